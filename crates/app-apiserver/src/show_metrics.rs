//! `GET /metrics`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::HeaderMap;
use http::header::CONTENT_TYPE;

use crate::App;
use crate::authentication::refusal;
use crate::problem::Problem;
use crate::server::PeerAddress;

const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Metrics for Prometheus
///
/// Open where the server listens on this machine only; elsewhere an API key is needed.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operation",
    operation_id = "metrics",
    responses((status = 200, description = "OpenMetrics text", body = String,
        content_type = "application/openmetrics-text"))
)]
pub(crate) async fn show_metrics(
    State(app): State<App>,
    peer: PeerAddress,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    app.keys.may_see_metrics(&headers).map_err(|problem| refusal(&app, problem, &headers, peer))?;
    let health = app_db::pool::health(&app.pool);
    app.metrics.note_database(!health.is_down(), health.silence());
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], app.metrics.encode()).into_response())
}
