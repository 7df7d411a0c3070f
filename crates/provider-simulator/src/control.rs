//! The control API: for tests and for hands, not part of any provider's protocol. Problems are told as
//! `{"error": sentence}`.

pub(crate) mod faults;
pub(crate) mod inbound;
pub(crate) mod ledger;
mod page;

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, Uri};
use serde_json::json;

fn problem(status: StatusCode, sentence: impl std::fmt::Display) -> Response {
    (status, Json(json!({ "error": sentence.to_string() }))).into_response()
}

/// Reads a body as JSON whatever its Content-Type says: a plain `curl -d` is to work.
fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Response> {
    serde_json::from_slice(body).map_err(|error| problem(StatusCode::BAD_REQUEST, error))
}

pub(crate) async fn not_found(uri: Uri) -> Response {
    let sentence = format!("nothing is at {}; docs/simulator.md lists what the simulator serves", uri.path());
    problem(StatusCode::NOT_FOUND, sentence)
}
