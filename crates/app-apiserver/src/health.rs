//! `GET /healthz` and `GET /readyz`: whether the process lives, and whether it can serve.

use std::time::Duration;

use app_db::Client;
use app_db::migrate::MigrateError;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use service::clock::{clock_agrees, clock_offset};
use tokio::sync::Mutex;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::App;

const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
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
#[schema(example = json!({"ready": true, "database": "ok", "schema": "ok", "clock": "ok", "partitions": "ok", "dispatch": "ok"}))]
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
    /// `ok`, or why nothing is sent although messages are stored, and what to do.
    dispatch: String,
}

/// Whether the server can serve
///
/// The database answers, its schema is of this version, the clocks agree within 5 seconds, and this week has its
/// partition. Looked at once a
/// second at most.
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
    Readiness {
        ready: false,
        database,
        schema: "unknown".to_owned(),
        clock: "unknown".to_owned(),
        partitions: "unknown".to_owned(),
        dispatch: "unknown".to_owned(),
    }
}

async fn look(app: &App) -> Readiness {
    let silent = || not_ready(format!("did not answer within {} s", CHECK_TIMEOUT.as_secs()));
    let client = match timeout(CHECK_TIMEOUT, app_db::pool::get(&app.pool)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return not_ready(error.to_string()),
        Err(_) => return silent(),
    };
    let before = app.clock.now();
    let (schema, database_time) = match timeout(CHECK_TIMEOUT, ask(&client)).await {
        Ok(Ok(answers)) => answers,
        Ok(Err(error)) => return not_ready(error.to_string()),
        Err(_) => {
            // Whoever came next on this connection would wait for the answer too.
            drop(Client::take(client));
            return silent();
        }
    };
    let offset = clock_offset(before, database_time, app.clock.now());
    let outlook = app.partitions.outlook();
    let has_this_week = outlook.is_none_or(|outlook| database_time < outlook.made_until);
    Readiness {
        ready: schema.is_ok() && clock_agrees(offset) && has_this_week,
        database: "ok".to_owned(),
        schema: schema.map_or_else(|error| error.to_string(), |()| "ok".to_owned()),
        clock: if clock_agrees(offset) {
            "ok".to_owned()
        } else {
            format!("{:+.1} s off the database's; set the clock of one of them", offset.as_secs_f64())
        },
        dispatch: app.database_watch.hold().unwrap_or_else(|| "ok".to_owned()),
        partitions: outlook
            .and_then(|outlook| outlook.warning())
            .unwrap_or_else(|| if has_this_week { "ok" } else { "missing for this week" }.to_owned()),
    }
}

async fn ask(client: &Client) -> Result<(Result<(), MigrateError>, Timestamp), app_db::Error> {
    let schema = app_db::migrate::check(client).await;
    Ok((schema, app_db::gauges::database_time(client).await?))
}
