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

pub(crate) async fn not_found(uri: Uri) -> Response {
    let sentence = format!("nothing is at {}; docs/simulator.md lists what the simulator serves", uri.path());
    problem(StatusCode::NOT_FOUND, sentence)
}
