//! `GET /healthz` and `GET /readyz`: whether the process lives, and whether it can serve.

use app_db::readiness;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::App;

/// So long an answer serves everybody who asks.
const FRESH: SignedDuration = SignedDuration::from_secs(1);

/// The last look at the database. Anybody may ask, so that there is one look at a time, on one connection.
#[derive(Debug, Default)]
pub(crate) struct LastCheck(Mutex<Option<(Timestamp, Readiness)>>);

/// Whether the process lives
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "operation",
    operation_id = "healthz",
    security(()),
    responses((status = 200, description = "It does", body = String, content_type = "text/plain"))
)]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the server can serve, and what is wrong if not.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!({"ready": true, "database": "ok", "schema": "ok", "clock": "ok", "partitions": "ok", "writes": "ok", "dispatch": "ok"}))]
pub(crate) struct Readiness {
    ready: bool,
    /// `ok`, or what is wrong.
    database: String,
    /// `ok`, or what is wrong.
    schema: String,
    /// `ok`, or how far the server's clock is from the database's.
    clock: String,
    /// `ok`, or until when messages can be stored, and what to do.
    partitions: String,
    /// `ok`, or why nothing can be stored and committed.
    writes: String,
    /// `ok`, or why nothing is sent although messages are stored, and what to do.
    dispatch: String,
}

/// Whether the server can serve
///
/// The database answers, its schema is of this version, the clocks agree within 5 seconds, this week has its partitions,
/// and a write is stored and committed. Looked at once a second at most.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "operation",
    operation_id = "readyz",
    security(()),
    responses(
        (status = 200, description = "It can", body = Readiness),
        (status = 503, description = "It cannot, and why", body = Readiness),
    )
)]
pub(crate) async fn readyz(State(app): State<App>) -> Response {
    let readiness = check(&app).await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn check(app: &App) -> Readiness {
    if app.shutdown.is_cancelled() {
        return not_ready("unknown: the server is stopping".to_owned());
    }
    if !app.startup.is_done() {
        return not_ready("not reached yet: the server is starting".to_owned());
    }
    let mut last = app.last_check.0.lock().await;
    let now = app.clock.now();
    if let Some((at, readiness)) = &*last
        && (SignedDuration::ZERO..FRESH).contains(&now.duration_since(*at))
    {
        return readiness.clone();
    }
    let readiness = look(app).await;
    // Those who waited meanwhile take this answer, however long it took.
    *last = Some((app.clock.now(), readiness.clone()));
    readiness
}

fn not_ready(database: String) -> Readiness {
    of(readiness::Readiness::without_database(database), "unknown".to_owned())
}

fn of(found: readiness::Readiness, dispatch: String) -> Readiness {
    let ready = found.is_ready();
    let readiness::Readiness { database, schema, clock, partitions, writes } = found;
    Readiness { ready, database, schema, clock, partitions, writes, dispatch }
}

async fn look(app: &App) -> Readiness {
    let mut found = readiness::look(&app.pool, || app.clock.now()).await;
    // Missing partitions of later weeks: the server can serve, and an operator has to act before they begin.
    if found.is_ready()
        && let Some(warning) = app.partitions.outlook().and_then(|outlook| outlook.warning())
    {
        found.partitions = warning;
        return Readiness { ready: true, ..of(found, dispatch(app)) };
    }
    of(found, dispatch(app))
}

fn dispatch(app: &App) -> String {
    app.database_watch.hold().unwrap_or_else(|| "ok".to_owned())
}
