//! `GET /`: where things are, until the console stands here.

use axum::response::{Html, IntoResponse, Response};
use http::header::CONTENT_SECURITY_POLICY;

const PAGE: &str = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n",
    "<meta name=\"viewport\" content=\"width=device-width\">\n<title>app</title>\n",
    "<h1>app ",
    env!("CARGO_PKG_VERSION"),
    "</h1>\n<p>A messaging platform: one API sends and receives SMS, MMS, email and WhatsApp.\n<ul>\n",
    "<li><a href=\"/docs\">API documentation</a>\n",
    "<li><a href=\"/api/messages\">Messages</a>\n",
    "<li><a href=\"/api/conversations\">Conversations</a>\n",
    "<li><a href=\"/readyz\">Readiness</a>\n",
    "<li><a href=\"/metrics\">Metrics</a>\n",
    "</ul>\n</html>\n"
);

/// Where things are
#[utoipa::path(
    get,
    path = "/",
    tag = "operation",
    operation_id = "front_page",
    security(()),
    responses((status = 200, description = "A page of links", body = String, content_type = "text/html"))
)]
pub(crate) async fn front_page() -> Response {
    let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(PAGE)).into_response()
}
