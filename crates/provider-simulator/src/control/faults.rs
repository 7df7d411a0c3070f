//! `/faults`: put rules in force, list them, end them.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use bytes::Bytes;
use http::StatusCode;
use serde_json::json;

use super::problem;
use crate::server::Connection;
use crate::simulator::Shared;

pub(crate) async fn list(State(shared): State<Arc<Shared>>) -> Response {
    Json(json!({ "faults": shared.faults.list() })).into_response()
}

pub(crate) async fn add(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    body: Bytes,
) -> Response {
    connection.answer_first();
    // Whatever its Content-Type says: a plain `curl -d` is to work.
    let rule = match serde_json::from_slice(&body) {
        Ok(rule) => rule,
        Err(error) => return problem(StatusCode::BAD_REQUEST, error),
    };
    match shared.add_fault(rule) {
        Ok(active) => (StatusCode::CREATED, Json(active)).into_response(),
        Err(error) => problem(StatusCode::BAD_REQUEST, error),
    }
}

pub(crate) async fn clear(State(shared): State<Arc<Shared>>) -> Response {
    Json(json!({ "removed": shared.remove_faults(None) })).into_response()
}

pub(crate) async fn remove(State(shared): State<Arc<Shared>>, Path(id): Path<u64>) -> Response {
    match shared.remove_faults(Some(id)) {
        0 => problem(StatusCode::NOT_FOUND, format!("no fault {id} is in force")),
        removed => Json(json!({ "removed": removed })).into_response(),
    }
}
