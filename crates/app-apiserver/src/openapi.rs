//! The API's description (OpenAPI 3.1), put together from the endpoints, and the page that shows it.

use std::sync::OnceLock;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response as Description, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::problem::{self, FieldError, Problem};

const DOCS_PATH: &str = "/docs";
const DOCUMENT_PATH: &str = "/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "app",
        description = "Sends and receives SMS, MMS, email and WhatsApp through any provider. A message is answered with 202 \
            when it is stored durably, and delivered afterwards. Every error is a problem document (RFC 9457) with a \
            stable `code`; unknown fields and parameters are errors. Times are RFC 3339 in UTC."
    ),
    tags(
        (name = "messages", description = "Send, list, cancel and retry messages"),
        (name = "conversations", description = "All messages between the same participants"),
        (name = "webhooks", description = "Where providers deliver inbound messages and receipts"),
        (name = "operation", description = "Health, metrics, documentation"),
    ),
    paths(
        crate::messages::list_messages::list_messages,
        crate::messages::send_sms::send_sms,
        crate::messages::send_email::send_email,
        crate::messages::send_whatsapp::send_whatsapp,
        crate::messages::show_message::show_message,
        crate::messages::list_message_events::list_message_events,
        crate::messages::explain_message::explain_message,
        crate::messages::cancel_message::cancel_message,
        crate::messages::retry_message::retry_message,
        crate::conversations::list_conversations::list_conversations,
        crate::conversations::show_conversation::show_conversation,
        crate::conversations::list_conversation_messages::list_conversation_messages,
        crate::conversations::reply::reply,
        crate::show_media::show_media,
        crate::receive_webhook::receive_sms::receive_sms,
        crate::receive_webhook::receive_email::receive_email,
        crate::receive_webhook::receive_webhook,
        crate::receive_webhook::receive_webhook_by_get,
        crate::webhook_deliveries::list_webhook_deliveries::list_webhook_deliveries,
        crate::webhook_deliveries::show_webhook_delivery::show_webhook_delivery,
        crate::webhook_deliveries::replay_webhook_delivery::replay_webhook_delivery,
        crate::audit::list_audit_entries::list_audit_entries,
        crate::show_metrics::show_metrics,
        crate::health::healthz,
        crate::health::readyz,
        show_document,
    ),
    components(schemas(Problem, FieldError)),
    security(("api_key" = []), ()),
    modifiers(&Common),
)]
struct Api;

/// What every endpoint has in common, so that none of them repeats it.
struct Common;

impl Modify for Common {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = |description: &str| {
            let mut scheme = Http::new(HttpAuthScheme::Bearer);
            scheme.description = Some(description.to_owned());
            SecurityScheme::Http(scheme)
        };
        let api_key = "An API key from `app keys create`; also as user or password of Basic authentication. A demonstration needs \
             none until the first key is made.";
        components.add_security_scheme("api_key", bearer(api_key));
        components.add_security_scheme("webhook_secret", bearer("The `secret` of `[webhooks]`."));
        for (path, item) in &mut openapi.paths.paths {
            let has_key = path.starts_with("/api/") && !path.starts_with("/api/webhooks/");
            for (operation, takes_body) in [(&mut item.get, false), (&mut item.post, true)] {
                if let Some(operation) = operation {
                    add_problems(operation, path.starts_with("/api/"), has_key, takes_body);
                }
            }
        }
    }
}

fn add_problems(operation: &mut Operation, is_api: bool, has_key: bool, is_post: bool) {
    let takes_body = operation.request_body.is_some();
    let takes_json = matches!(&operation.request_body,
        Some(RefOr::T(body)) if body.content.contains_key("application/json"));
    let mut add = |status: &str, description: &str| {
        let missing = !operation.responses.responses.contains_key(status);
        if missing {
            operation.responses.responses.insert(status.to_owned(), RefOr::T(described(description)));
        }
    };
    if has_key {
        add("401", "`unauthorized`: without a valid API key, where there are keys");
    }
    if has_key {
        add(
            "403",
            "`forbidden_host`, `cross_site`: a server without keys is called by another name, or by another site",
        );
    }
    if is_api && (takes_body || !is_post) {
        let validation = "`validation_failed` with `errors`; `malformed_json`, `invalid_cursor`, \
                          `invalid_idempotency_key`";
        add("400", validation);
    }
    if takes_body {
        add("408", "`request_timeout`: the body did not come in time");
        add("413", "`body_too_large`");
    }
    if takes_json {
        add("415", "`unsupported_media_type`: JSON is wanted");
    }
    if is_api {
        add("500", "`internal`: a defect, logged under the answer's `X-Request-Id`");
        add("503", "`database_unavailable` or `overloaded`: try again after `Retry-After` seconds");
    }
}

fn described(description: &str) -> Description {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(description).content(problem::MEDIA_TYPE, content).build()
}

/// The whole description.
pub fn document() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

/// This description
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "operation",
    operation_id = "openapi",
    security(()),
    responses((status = 200, description = "OpenAPI 3.1", body = Object))
)]
pub(crate) async fn show_document() -> Response {
    static JSON: OnceLock<String> = OnceLock::new();
    let json = JSON.get_or_init(|| document().to_json().unwrap_or_default());
    ([(CONTENT_TYPE, "application/json")], json.as_str()).into_response()
}

/// The page that shows it; it asks no other server for anything.
pub(crate) fn docs() -> SwaggerUi {
    SwaggerUi::new(DOCS_PATH).config(Config::from(DOCUMENT_PATH).validator_url("none"))
}

/// What the page may do: show itself and call this server.
pub(crate) async fn contain(request: Request, next: Next) -> Response {
    const POLICY: &str = "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; \
                          img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";
    const REFERRER_POLICY: HeaderName = HeaderName::from_static("referrer-policy");
    let mut response = next.run(request).await;
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::*;
    use crate::content::{EMAIL_FIELDS, PHONE_FIELDS, WHATSAPP_FIELDS};

    const METHODS: [&str; 2] = ["get", "post"];

    fn json() -> Value {
        serde_json::to_value(document()).unwrap()
    }

    /// `(path, method)` of every route, from the one file that lists them.
    fn routes() -> BTreeSet<(String, String)> {
        let mut routes = BTreeSet::new();
        for rest in include_str!("router.rs").split(".route(\"").skip(1) {
            let (path, handlers) = rest.lines().next().unwrap().split_once("\", ").unwrap();
            for method in METHODS.into_iter().filter(|method| handlers.contains(&format!("{method}("))) {
                routes.insert((path.to_owned(), method.to_owned()));
            }
        }
        routes
    }

    fn operations(document: &Value) -> BTreeMap<(String, String), &Value> {
        let mut operations = BTreeMap::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                operations.insert((path.clone(), method.clone()), operation);
            }
        }
        operations
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = json();
        let described: BTreeSet<(String, String)> = operations(&document).into_keys().collect();
        assert!(routes().len() > 20);
        assert_eq!(described, routes());
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_a_summary_and_described_responses() {
        let document = json();
        let mut ids = BTreeSet::new();
        for ((path, method), operation) in operations(&document) {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} stands twice");
            assert!(operation["summary"].is_string() && operation["tags"].is_array(), "{method} {path}");
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path}");
            for (status, response) in responses {
                let description = response["description"].as_str().unwrap();
                assert!(!description.is_empty(), "{method} {path} {status}");
                if status.starts_with(['4', '5']) && path != "/readyz" {
                    assert!(response["content"][problem::MEDIA_TYPE].is_object(), "{method} {path} {status}");
                }
            }
            if path.starts_with("/api/") {
                assert!(responses.contains_key("503"), "{method} {path}");
            }
            for parameter in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
                let parameters = operation["parameters"].as_array().unwrap();
                let found = parameters.iter().any(|p| p["name"] == parameter && p["in"] == "path");
                assert!(found, "{method} {path}: {parameter}");
            }
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn check(value: &Value, document: &Value) {
            match value {
                Value::Object(map) => {
                    if let Some(reference) = map.get("$ref").and_then(Value::as_str) {
                        let pointer = reference.strip_prefix('#').unwrap();
                        assert!(document.pointer(pointer).is_some(), "{reference}");
                    }
                    map.values().for_each(|value| check(value, document));
                }
                Value::Array(list) => list.iter().for_each(|value| check(value, document)),
                _ => {}
            }
        }
        let document = json();
        assert_eq!(document["openapi"], "3.1.0");
        check(&document, &document);
    }

    #[test]
    fn the_described_fields_are_the_fields_that_are_taken() {
        let document = json();
        let described = |schema: &str| -> BTreeSet<String> {
            let schema = &document["components"]["schemas"][schema];
            assert_eq!(schema["additionalProperties"], false, "{schema}");
            schema["properties"].as_object().unwrap().keys().cloned().collect()
        };
        let taken = |lists: &[&[&str]]| -> BTreeSet<String> {
            lists.iter().flat_map(|list| list.iter()).map(|name| (*name).to_owned()).collect()
        };
        assert_eq!(described("SendSms"), taken(&[&["from", "to"], &PHONE_FIELDS]));
        assert_eq!(described("SendEmail"), taken(&[&["from", "to"], &EMAIL_FIELDS]));
        assert_eq!(described("SendWhatsapp"), taken(&[&["from", "to"], &WHATSAPP_FIELDS]));
        assert_eq!(described("Reply"), taken(&[&EMAIL_FIELDS]));
    }
}
