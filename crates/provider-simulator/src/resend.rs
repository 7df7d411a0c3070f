//! Resend: `POST /emails` with Idempotency-Key; webhooks signed after Standard Webhooks under Svix's header names; an
//! inbound mail is fetched after its event. <https://resend.com/docs/api-reference/emails/send-email>

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value, json};

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::demo::{DEMO_RESEND_API_KEY, DEMO_RESEND_SIGNING_SECRET};
use crate::digest;
use crate::http_call::{HttpCall, authorization, text, texts};
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading, fields};
use crate::mail;
use crate::message::{Accepted, Stage, own_reference};
use crate::numbers::{is_mailbox, mailbox};
use crate::post::Post;
use crate::simulator::Shared;

const NAME: &str = "resend";
const RECIPIENTS_MAX: usize = 50;
const KEY_CHARACTERS_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Resend;

impl Protocol for Resend {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        Account {
            kind: NAME.to_owned(),
            name: DEMO_RESEND_API_KEY.to_owned(),
            secret: DEMO_RESEND_API_KEY.to_owned(),
            signing_key: DEMO_RESEND_SIGNING_SECRET.to_owned(),
            ..Account::default()
        }
    }

    fn send_paths(&self) -> &'static [&'static str] {
        &["/emails"]
    }

    fn other_routes(&self) -> Router<Arc<Shared>> {
        Router::new()
            .route("/emails/receiving/{id}", get(received))
            .route("/emails/receiving/{id}/raw", get(received_raw))
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        authenticate(shared, &call.headers)
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let Some(json) = call.json() else {
            return Reading::refused(error(400, "validation_error", "The request body is not valid JSON."));
        };
        let tags: Vec<(&str, &str)> = json["tags"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|tag| (text(tag, "name"), text(tag, "value")))
            .collect();
        let files = json["attachments"].as_array().into_iter().flatten();
        let body = if json["text"].is_string() { "text" } else { "html" };
        let tags_back: Map<String, Value> =
            tags.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let outline = Outline {
            from: mailbox(text(&json, "from")).to_owned(),
            channel: "email",
            subject: json["subject"].as_str().map(str::to_owned),
            body: text(&json, body).to_owned(),
            media: files.map(|file| text(file, "filename").to_owned()).collect(),
            reference: own_reference(tags.iter().copied()),
            event_fields: fields([("tags", Value::Object(tags_back))]),
            ..Outline::default()
        };
        let people: Vec<String> = ["to", "cc", "bcc"]
            .iter()
            .flat_map(|list| texts(&json[list]))
            .map(|to| mailbox(&to).to_owned())
            .collect();
        let checked = check(call, &json, &tags, &people)
            .map_err(|(status, name, message)| error(status, name, &message));
        let outlines = people.into_iter().map(|to| Outline { to, ..outline.clone() });
        Reading::checked(outlines.collect(), checked)
    }

    /// One for all recipients.
    fn ids(&self, shared: &Shared, outlines: &[Outline]) -> Vec<String> {
        vec![shared.uuid().to_string(); outlines.len()]
    }

    fn answer(&self, _account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        answer::json(200, &json!({ "id": messages.first().map(|message| &message.provider_message_id) }))
    }

    fn error(&self, status: StatusCode, code: Option<&str>, message: Option<&str>) -> Whole {
        let (name, words) = match status.as_u16() {
            401 => ("missing_api_key", "Missing API Key"),
            403 => ("invalid_api_key", "API key is invalid"),
            404 => ("not_found", "Not found"),
            429 => ("rate_limit_exceeded", "Too many requests."),
            500 => ("internal_server_error", "An unexpected error occurred."),
            501.. => ("application_error", "An unexpected error occurred."),
            _ => ("validation_error", "The request was refused."),
        };
        error(status.as_u16(), code.unwrap_or(name), message.unwrap_or(words))
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        messages.iter().flat_map(|message| hook.copies(message, event(hook, message))).collect()
    }

    /// The event names the mail only; the mail itself waits to be fetched.
    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        let files = inbound.files.iter().enumerate().map(|(index, file)| {
            json!({
                "id": digest::stable_uuid(&[inbound.id, &index.to_string()]), "filename": file.name,
                "content_type": file.content_type, "content_disposition": "attachment", "content_id": null,
            })
        });
        let message_id = format!("<{}>", mail::message_id(inbound.id));
        let data = json!({
            "email_id": inbound.id, "created_at": inbound.date.to_string(), "from": inbound.from,
            "to": [inbound.to], "cc": [], "bcc": [], "subject": inbound.subject, "message_id": message_id,
            "attachments": files.collect::<Vec<_>>(),
        });
        let mut headers = json!({ "message-id": message_id });
        if let Some(parent) = inbound.in_reply_to {
            headers["in-reply-to"] = json!(format!("<{parent}>"));
            headers["references"] = json!(format!("<{parent}>"));
        }
        let path = format!("/emails/receiving/{}", inbound.id);
        let raw_url = format!("{}{path}/raw", hook.shared.own_url());
        let mut stored = data.clone();
        for (name, value) in [
            ("object", json!("email")),
            ("id", json!(inbound.id)),
            ("reply_to", json!([])),
            ("html", json!(inbound.html)),
            ("text", json!(inbound.body)),
            ("headers", headers),
            ("raw", json!({ "download_url": raw_url, "expires_at": inbound.date.to_string() })),
        ] {
            stored[name] = value;
        }
        hook.shared.documents.put(format!("{path}/raw"), mail::source(inbound));
        hook.shared.documents.put(path, stored.to_string());
        let id = digest::stable_uuid(&[NAME, inbound.id, "received"]);
        signed(hook, &id.simple().to_string(), &envelope("email.received", inbound.date, &data))
    }

    fn key_conflict(&self) -> Option<Whole> {
        let message = "This idempotency key has been used on another request with a different body.";
        Some(error(409, "invalid_idempotent_request", message))
    }

    /// Seconds to wait, not a time.
    fn rate_limit_headers(&self, retry_after_s: u64, _until_unix_s: u64) -> Vec<(&'static str, String)> {
        vec![
            ("ratelimit-limit", "2".to_owned()),
            ("ratelimit-remaining", "0".to_owned()),
            ("ratelimit-reset", retry_after_s.to_string()),
        ]
    }
}

fn authenticate(shared: &Shared, headers: &HeaderMap) -> Result<usize, Whole> {
    let Some(key) = authorization(headers, "Bearer") else {
        return Err(Resend.error(StatusCode::UNAUTHORIZED, None, None));
    };
    let known = shared.find_account(NAME, |account| account.secret == key);
    known.ok_or_else(|| Resend.error(StatusCode::FORBIDDEN, None, None))
}

/// `GET /emails/receiving/{id}`
async fn received(State(shared): State<Arc<Shared>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    if let Err(answer) = authenticate(&shared, &headers) {
        return answer.into_response();
    }
    let answer = match shared.documents.get(&format!("/emails/receiving/{id}")) {
        Some(stored) => answer::with_body(200, "application/json", stored),
        None => Resend.error(StatusCode::NOT_FOUND, None, None),
    };
    answer.into_response()
}

/// What `raw.download_url` leads to: the MIME source, without a key.
async fn received_raw(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    let answer = match shared.documents.get(&format!("/emails/receiving/{id}/raw")) {
        Some(source) => answer::with_body(200, "message/rfc822", source),
        None => Resend.error(StatusCode::NOT_FOUND, None, None),
    };
    answer.into_response()
}

fn error(status: u16, name: &str, message: &str) -> Whole {
    answer::json(status, &json!({ "statusCode": status, "name": name, "message": message }))
}

type Problem = (u16, &'static str, String);

fn check(call: &HttpCall, json: &Value, tags: &[(&str, &str)], people: &[String]) -> Result<(), Problem> {
    let invalid = |message: String| Err((422, "validation_error", message));
    if call.header("user-agent").is_empty() {
        return Err((403, "validation_error", "A User-Agent header is required.".to_owned()));
    }
    if call.header("idempotency-key").len() > KEY_CHARACTERS_MAX {
        let message = "The idempotency key must be between 1 and 256 characters.";
        return Err((400, "invalid_idempotency_key", message.to_owned()));
    }
    for name in ["from", "subject"] {
        if text(json, name).is_empty() {
            return Err((422, "missing_required_field", format!("Missing `{name}` field.")));
        }
    }
    if texts(&json["to"]).is_empty() {
        return Err((422, "missing_required_field", "Missing `to` field.".to_owned()));
    }
    if text(json, "text").is_empty() && text(json, "html").is_empty() {
        return Err((422, "missing_required_field", "Missing `html` or `text` field.".to_owned()));
    }
    if !is_mailbox(mailbox(text(json, "from"))) {
        return Err((422, "invalid_from_address", "Invalid `from` field.".to_owned()));
    }
    if people.len() > RECIPIENTS_MAX || people.iter().any(|to| !is_mailbox(to)) {
        return invalid("Invalid `to` field.".to_owned());
    }
    let is_fine = |text: &str| {
        (1..=256).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
    };
    if tags.iter().any(|(name, value)| !is_fine(name) || !is_fine(value)) {
        return invalid(
            "Tags should only contain ASCII letters, numbers, underscores, or dashes.".to_owned(),
        );
    }
    Ok(())
}

fn event(hook: &Hook<'_>, message: &Accepted) -> Post {
    let mut data = json!({
        "created_at": message.received_at.to_string(), "email_id": message.provider_message_id,
        "from": message.from, "to": [message.to], "subject": message.subject, "headers": [],
        "tags": message.event_fields.get("tags").cloned().unwrap_or(json!({})),
    });
    let name = match message.stage() {
        Stage::Sent => "email.sent",
        Stage::Delivered => "email.delivered",
        Stage::Undelivered(code) => {
            let code = if code.is_empty() { "5.1.1" } else { code };
            data["bounce"] = json!({
                "message": format!("550 {code} The recipient was refused by a scripted fault."),
                "type": "Permanent", "subType": "General",
            });
            "email.bounced"
        }
        Stage::Read => "email.opened",
    };
    let id = digest::stable_uuid(&[NAME, &message.receipts_key(), message.stage().name()]);
    signed(hook, &id.simple().to_string(), &envelope(name, hook.now(), &data))
}

fn envelope(name: &str, created_at: jiff::Timestamp, data: &Value) -> Value {
    json!({ "type": name, "created_at": created_at.to_string(), "data": data })
}

/// HMAC-SHA256 over id, time and body, joined by dots, with the bytes behind `whsec_`.
/// <https://docs.svix.com/receiving/verifying-payloads/how-manual>
fn signed(hook: &Hook<'_>, id: &str, event: &Value) -> Post {
    let (id, body) = (format!("msg_{id}"), event.to_string());
    let timestamp = hook.now().as_second().to_string();
    let secret = &hook.account.signing_key;
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap_or(secret)).unwrap_or_default();
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body.as_bytes()];
    let signature = digest::base64(&digest::hmac_sha256(&key, &signed));
    Post::new(hook.url, "application/json", body)
        .with("svix-id", id)
        .with("svix-timestamp", timestamp)
        .with("svix-signature", format!("v1,{signature}"))
}
