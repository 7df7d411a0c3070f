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
use tokio::sync::Mutex;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::App;

const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// Ids carry the server's time, partitions hang on them.
const CLOCK_OFFSET_S_MAX: f64 = 5.0;
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
#[schema(example = json!({"ready": true, "database": "ok", "schema": "ok", "clock": "ok"}))]
pub(crate) struct Readiness {
    ready: bool,
    /// `ok`, or what is wrong.
    database: String,
    /// `ok`, or what is wrong.
    schema: String,
    /// `ok`, or how far the server's clock is from the database's.
    clock: String,
}

/// Whether the server can serve
///
/// The database answers, its schema is of this version, and the clocks agree within 5 seconds. Looked at once a
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
    Readiness { ready: false, database, schema: "unknown".to_owned(), clock: "unknown".to_owned() }
}

async fn look(app: &App) -> Readiness {
    let silent = || not_ready(format!("did not answer within {} s", CHECK_TIMEOUT.as_secs()));
    let client = match timeout(CHECK_TIMEOUT, app_db::pool::get(&app.pool)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return not_ready(error.to_string()),
        Err(_) => return silent(),
    };
    let (schema, database_time) = match timeout(CHECK_TIMEOUT, ask(&client)).await {
        Ok(Ok(answers)) => answers,
        Ok(Err(error)) => return not_ready(error.to_string()),
        Err(_) => {
            // Whoever came next on this connection would wait for the answer too.
            drop(Client::take(client));
            return silent();
        }
    };
    let offset_s = app.clock.now().duration_since(database_time).as_secs_f64();
    let clock_agrees = offset_s.abs() <= CLOCK_OFFSET_S_MAX;
    Readiness {
        ready: schema.is_ok() && clock_agrees,
        database: "ok".to_owned(),
        schema: schema.map_or_else(|error| error.to_string(), |()| "ok".to_owned()),
        clock: if clock_agrees {
            "ok".to_owned()
        } else {
            format!("{offset_s:+.1} s off the database's; set the clock of one of them")
        },
    }
}

async fn ask(client: &Client) -> Result<(Result<(), MigrateError>, Timestamp), app_db::Error> {
    let schema = app_db::migrate::check(client).await;
    Ok((schema, app_db::gauges::database_time(client).await?))
}
