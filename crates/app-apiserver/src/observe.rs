//! Around every request: an id, a duration by route, a panic turned into a 500, and what went wrong inside, logged
//! once. Must not log bodies, addresses or queries.

use std::convert::Infallible;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::Router;
use axum::extract::{MatchedPath, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::Route;
use futures_util::FutureExt;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use model::Bucket;
use service::failures;
use service::metrics::RouteMethodStatus;
use service::telemetry::chain;
use tower::layer::layer_fn;
use tower::{Service, service_fn};

use crate::App;
use crate::problem::{self, Cause, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_CHARS_MAX: usize = 64;
/// The console's own pages.
const HTML: &str = "text/html; charset=utf-8";

/// Around every route of a router. (`axum::middleware::from_fn` would copy and box the route for each request.)
pub(crate) fn observed(app: &App, routes: Router<App>) -> Router<App> {
    let app = app.clone();
    routes.layer(layer_fn(move |mut route: Route| {
        let app = app.clone();
        service_fn(move |request: Request| {
            let app = app.clone();
            let seen = Seen::of(&app, &request);
            let answer = route.call(request).map(|Ok(response)| response);
            async move { Ok::<_, Infallible>(observe(&app, seen, answer).await) }
        })
    }))
}

/// What is noted of a request before it is answered.
struct Seen {
    started: Instant,
    request_id: HeaderValue,
    method: &'static str,
    path: Option<MatchedPath>,
}

impl Seen {
    fn of(app: &App, request: &Request) -> Self {
        Self {
            started: Instant::now(),
            request_id: request_id(app, request.headers()),
            method: known_method(request.method().as_str()),
            path: request.extensions().get().cloned(),
        }
    }
}

async fn observe(app: &App, seen: Seen, answer: impl Future<Output = Response>) -> Response {
    let Seen { started, request_id, method, path } = seen;
    let route = path.as_ref().map_or("unmatched", MatchedPath::as_str);
    let is_api = route.starts_with("/api/");

    let mut response = answered(answer, route).await;
    let status = response.status();
    if let Some(Cause(cause)) = response.extensions_mut().remove() {
        log(app, &cause, status, &request_id, route);
    }
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, request_id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_api {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    let labels = RouteMethodStatus { route: route.to_owned(), method, status: status.as_u16() };
    let duration_s = started.elapsed().as_secs_f64();
    app.metrics.http_request_duration_seconds.get_or_create(&labels).observe(duration_s);
    tracing::debug!(
        http.route = route,
        http.status = status.as_u16(),
        http.duration_s = duration_s,
        "request"
    );
    response
}

/// The answer, in our form; a panic costs this request a 500, and no other anything.
async fn answered(answer: impl Future<Output = Response>, route: &str) -> Response {
    match AssertUnwindSafe(answer).catch_unwind().await {
        Ok(response) => as_problem(response),
        Err(_) => {
            tracing::error!(http.route = route, "a handler panicked");
            Problem::internal().into_response()
        }
    }
}

/// The client's own, where it can stand in a log; else a new one.
fn request_id(app: &App, headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(REQUEST_ID).filter(|value| {
        let is_plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        (1..=REQUEST_ID_CHARS_MAX).contains(&value.len()) && value.as_bytes().iter().all(is_plain)
    });
    given.cloned().unwrap_or_else(|| {
        let id = app.ids.next(app.database_clock.now(), Bucket(0));
        HeaderValue::try_from(id.to_string()).unwrap_or(HeaderValue::from_static("unknown"))
    })
}

fn log(
    app: &App,
    cause: &std::sync::Arc<dyn Error + Send + Sync>,
    status: StatusCode,
    request_id: &HeaderValue,
    route: &str,
) {
    let chain = chain(&**cause);
    let (status, request_id) = (status.as_u16(), request_id.to_str().unwrap_or_default());
    match status {
        500 => {
            // One cause may fail every request.
            let Some(suppressed) = app.log_throttle.due(&chain) else { return };
            tracing::error!(
                log.suppressed = suppressed,
                http.status = status,
                http.request_id = request_id,
                http.route = route,
                error = chain,
                "a request failed"
            );
        }
        501.. => failures::report("requests cannot be served", &**cause),
        _ => {}
    }
    if status != 500 {
        tracing::debug!(
            http.status = status,
            http.request_id = request_id,
            http.route = route,
            error = chain,
            "a request was refused"
        );
    }
}

/// Methods that a client made up are no labels.
fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|&known| known == method).unwrap_or("other")
}

/// What the framework refuses by itself, in our form; its headers, such as `Allow`, stay.
fn as_problem(response: Response) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_ours = content_type
        .is_some_and(|text| text == problem::MEDIA_TYPE || text == "application/json" || text == HTML);
    if !is_error || is_ours {
        return response;
    }
    let allowed = response.headers().get(http::header::ALLOW).and_then(|value| value.to_str().ok());
    let problem = match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            let detail = format!("this path takes {} only", allowed.unwrap_or("other methods"));
            Problem::new(status, "method_not_allowed", detail)
        }
        StatusCode::NOT_FOUND => not_found(),
        status if status.is_client_error() => {
            Problem::new(status, "bad_request", "the request cannot be understood")
        }
        _ => Problem::internal(),
    };
    let (mut parts, body) = problem.into_response().into_parts();
    for (name, value) in response.headers() {
        if *name != CONTENT_TYPE && *name != CONTENT_LENGTH {
            parts.headers.entry(name).or_insert(value.clone());
        }
    }
    Response::from_parts(parts, body)
}

/// For every path that is no route.
pub(crate) fn not_found() -> Problem {
    Problem::not_found("not_found", "there is nothing at this path; /docs lists what there is")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_answered_with_an_opaque_500() {
        let response = answered(async { panic!("secret") }, "/").await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["code"], "internal");
        assert!(!problem.to_string().contains("secret"), "{problem}");
    }

    #[tokio::test]
    async fn a_refusal_of_the_framework_becomes_a_problem_and_keeps_its_headers() {
        let refusal =
            (StatusCode::METHOD_NOT_ALLOWED, [(http::header::ALLOW, "GET,HEAD")], "no").into_response();
        let response = answered(std::future::ready(refusal), "/").await;
        assert_eq!(response.headers()[http::header::ALLOW], "GET,HEAD");
        assert_eq!(response.headers()[CONTENT_TYPE], problem::MEDIA_TYPE);
    }

    #[test]
    fn a_chain_names_every_cause() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::io::Error);

        assert_eq!(chain(&Outer(std::io::Error::other("inner"))), "outer: inner");
    }
}
