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
use service::named_hosts::ForeignRequest;

fn problem(status: StatusCode, sentence: impl std::fmt::Display) -> Response {
    (status, Json(json!({ "error": sentence.to_string() }))).into_response()
}

/// The control API asks for no credential, so web pages of other names must not reach it.
pub(crate) fn forbidden(foreign: ForeignRequest) -> Response {
    let sentence = match foreign {
        ForeignRequest::Host => {
            "the control API answers only where the Host header names localhost, a loopback address or a --host name"
        }
        ForeignRequest::Site => "web pages of other sites may not call the control API",
    };
    problem(StatusCode::FORBIDDEN, sentence)
}

pub(crate) async fn not_found(uri: Uri) -> Response {
    let sentence = format!("nothing is at {}; docs/simulator.md lists what the simulator serves", uri.path());
    problem(StatusCode::NOT_FOUND, sentence)
}
