//! Telnyx Messaging v2: `POST /v2/messages` with Idempotency-Key; webhooks signed by Ed25519.
//! <https://developers.telnyx.com/api/messaging/send-message>

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use http::StatusCode;
use serde_json::{Value, json};

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::demo::{DEMO_TELNYX_API_KEY, DEMO_TELNYX_SIGNING_KEY};
use crate::digest;
use crate::http_call::{HttpCall, text, texts};
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading, fields};
use crate::media::content_type;
use crate::message::{Accepted, Stage, first_reference, reference_of_text, reference_of_url};
use crate::numbers::is_phone;
use crate::post::Post;
use crate::segments;
use crate::simulator::Shared;

const NAME: &str = "telnyx";

#[derive(Debug)]
pub(crate) struct Telnyx;

impl Protocol for Telnyx {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        Account {
            kind: NAME.to_owned(),
            name: DEMO_TELNYX_API_KEY.to_owned(),
            secret: DEMO_TELNYX_API_KEY.to_owned(),
            signing_key: DEMO_TELNYX_SIGNING_KEY.to_owned(),
            ..Account::default()
        }
    }

    fn send_paths(&self) -> &'static [&'static str] {
        &["/v2/messages"]
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        let key = call.authorization("Bearer").unwrap_or_default();
        let known = shared.find_account(NAME, |account| account.secret == key);
        known.ok_or_else(|| self.error(StatusCode::UNAUTHORIZED, None, None))
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let Some(json) = call.json() else {
            let detail = "The request failed because it was not well-formed.";
            return Reading::refused(error(StatusCode::BAD_REQUEST, "10015", "Bad Request", detail, None));
        };
        let media = texts(&json["media_urls"]);
        let callback_url = Some(text(&json, "webhook_url")).filter(|url| !url.is_empty());
        let tags = texts(&json["tags"]);
        let found = callback_url.map(reference_of_url).into_iter();
        let outline = Outline {
            from: text(&json, "from").to_owned(),
            to: text(&json, "to").to_owned(),
            channel: if media.is_empty() { "sms" } else { "mms" },
            subject: json["subject"].as_str().map(str::to_owned),
            body: text(&json, "text").to_owned(),
            media,
            reference: first_reference(found.chain(tags.iter().map(|tag| reference_of_text(tag)))),
            callback_url: callback_url.map(str::to_owned),
            event_fields: fields([
                ("messaging_profile_id", json["messaging_profile_id"].clone()),
                ("tags", json["tags"].clone()),
            ]),
            ..Outline::default()
        };
        let checked = check(&json, &outline, call.header("idempotency-key"));
        Reading::checked(vec![outline], checked)
    }

    fn answer(&self, _account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        let payload = messages.first().map(|message| payload(message, "queued", message.received_at));
        answer::json(200, &json!({ "data": payload }))
    }

    fn error(&self, status: StatusCode, code: Option<&str>, message: Option<&str>) -> Whole {
        let (usual, title) = match status.as_u16() {
            401 => ("10009", "Authentication failed"),
            403 => ("10010", "Authorization failed"),
            404 => ("10005", "Resource not found"),
            429 => ("10011", "Too many requests"),
            500.. => ("10007", "Unexpected error"),
            _ => ("10015", "Bad Request"),
        };
        let detail = message.unwrap_or("The request was refused.");
        error(status, code.unwrap_or(usual), title, detail, None)
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        let mut posts = Vec::new();
        for message in messages {
            let (event, status, code) = match message.stage() {
                Stage::Sent => ("message.sent", "sent", None),
                Stage::Delivered => ("message.finalized", "delivered", None),
                Stage::Undelivered("") => ("message.finalized", "delivery_failed", Some("40008")),
                Stage::Undelivered(code) => ("message.finalized", "delivery_failed", Some(code)),
                // Text messages are not known to be read.
                Stage::Read => continue,
            };
            let mut payload = payload(message, status, hook.now());
            if let Some(code) = code {
                payload["errors"] = json!([{
                    "code": code, "title": "Undeliverable", "detail": "The message was not delivered.",
                }]);
            }
            let id = digest::stable_uuid(&[NAME, &message.receipts_key(), message.stage().name()]);
            posts.extend(hook.copies(message, event_post(hook, event, &id.to_string(), payload)));
        }
        posts
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        let media = inbound
            .media
            .iter()
            .map(|url| json!({ "url": url, "content_type": content_type(url), "sha256": null, "size": 1 }));
        let payload = json!({
            "record_type": "message", "direction": "inbound", "id": inbound.id,
            "type": if inbound.media.is_empty() { "SMS" } else { "MMS" },
            "messaging_profile_id": "5ade0000-0000-4000-8000-000000000001",
            "from": { "phone_number": inbound.from, "carrier": "", "line_type": "Wireless" },
            "to": [{ "phone_number": inbound.to, "status": "webhook_delivered", "carrier": "", "line_type": "" }],
            "cc": [], "text": inbound.body, "subject": inbound.subject, "media": media.collect::<Vec<_>>(),
            "encoding": encoding(inbound.body), "parts": segments::count(inbound.body), "tags": [],
            "cost": null, "received_at": inbound.date.to_string(), "sent_at": null, "completed_at": null,
            "valid_until": null, "errors": [],
        });
        let id = digest::stable_uuid(&[NAME, inbound.id, "received"]);
        event_post(hook, "message.received", &id.to_string(), payload)
    }

    fn key_conflict(&self) -> Option<Whole> {
        let detail = "The idempotency key was used before with another request.";
        Some(error(StatusCode::UNPROCESSABLE_ENTITY, "10015", "Bad Request", detail, None))
    }

    /// Seconds to wait, not a time.
    fn rate_limit_headers(&self, retry_after_s: u64, _until_unix_s: u64) -> Vec<(&'static str, String)> {
        vec![
            ("x-ratelimit-limit", "600".to_owned()),
            ("x-ratelimit-remaining", "0".to_owned()),
            ("x-ratelimit-reset", retry_after_s.to_string()),
        ]
    }
}

fn error(status: StatusCode, code: &str, title: &str, detail: &str, pointer: Option<&str>) -> Whole {
    let mut error = json!({ "code": code, "title": title, "detail": detail, "meta": {} });
    if let Some(pointer) = pointer {
        error["source"] = json!({ "pointer": pointer });
    }
    answer::json(status.as_u16(), &json!({ "errors": [error] }))
}

fn check(json: &Value, outline: &Outline, idempotency_key: &str) -> Result<(), Whole> {
    let missing = |pointer: &str| {
        let detail = "The request was missing a required parameter.";
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Err(error(status, "10004", "Missing required parameter", detail, Some(pointer)))
    };
    let refuse = |code: &str, title: &str, pointer: &str| {
        Err(error(StatusCode::BAD_REQUEST, code, title, "The parameter is not valid.", Some(pointer)))
    };
    let has_profile = json["messaging_profile_id"].is_string();
    if outline.to.is_empty() {
        return missing("/to");
    }
    if !(outline.to.starts_with('+') && is_phone(&outline.to)) {
        return refuse("10002", "Invalid phone number", "/to");
    }
    if outline.from.is_empty() && !has_profile {
        return missing("/from");
    }
    if !outline.from.is_empty() && !outline.from.starts_with('+') && !has_profile && outline.from.len() > 8 {
        return refuse("40305", "Invalid 'from' address", "/from");
    }
    if outline.body.is_empty() && outline.media.is_empty() {
        return missing("/text");
    }
    if json["encoding"] == "gsm7" && !segments::is_gsm(&outline.body) {
        return refuse("40009", "Invalid message body", "/text");
    }
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'-');
    if idempotency_key.len() > 255 || !idempotency_key.bytes().all(is_key) {
        return refuse("10015", "Bad Request", "/headers/idempotency-key");
    }
    Ok(())
}

fn encoding(text: &str) -> &'static str {
    if segments::is_gsm(text) { "GSM-7" } else { "UCS-2" }
}

fn payload(message: &Accepted, status: &str, now: jiff::Timestamp) -> Value {
    let is_done = matches!(status, "delivered" | "delivery_failed");
    json!({
        "record_type": "message", "direction": "outbound", "id": message.provider_message_id,
        "type": if &*message.channel == "mms" { "MMS" } else { "SMS" },
        "messaging_profile_id": message.event_fields.get("messaging_profile_id"),
        "from": { "phone_number": message.from, "carrier": "", "line_type": "" },
        "to": [{ "phone_number": message.to, "status": status, "carrier": "", "line_type": "" }], "cc": [],
        "text": message.body, "subject": message.subject,
        "media": message.media.iter().map(|url| json!({ "url": url })).collect::<Vec<_>>(),
        "webhook_url": message.callback_url, "encoding": encoding(&message.body),
        "parts": segments::count(&message.body),
        "tags": message.event_fields.get("tags").cloned().unwrap_or(json!([])),
        "cost": { "amount": "0.0040", "currency": "USD" },
        "received_at": message.received_at.to_string(),
        "sent_at": (status != "queued").then(|| now.to_string()),
        "completed_at": is_done.then(|| now.to_string()),
        "valid_until": null, "errors": [],
    })
}

/// The signature covers the time, a bar, and the body.
/// <https://developers.telnyx.com/docs/messaging/messages/receiving-webhooks>
fn event_post(hook: &Hook<'_>, event_type: &str, id: &str, payload: Value) -> Post {
    let event = json!({
        "data": {
            "event_type": event_type, "id": id, "occurred_at": hook.now().to_string(), "record_type": "event",
            "payload": payload,
        },
        "meta": { "attempt": 1, "delivered_to": hook.url },
    });
    let body = event.to_string();
    let timestamp = hook.now().as_second().to_string();
    let seed: Option<[u8; 32]> =
        STANDARD.decode(&hook.account.signing_key).ok().and_then(|seed| seed.try_into().ok());
    let signature = seed.map(|seed| {
        let signed = [timestamp.as_bytes(), b"|", body.as_bytes()].concat();
        digest::base64(&SigningKey::from_bytes(&seed).sign(&signed).to_bytes())
    });
    Post::new(hook.url, "application/json", body)
        .with("telnyx-timestamp", timestamp)
        .with("telnyx-signature-ed25519", signature.unwrap_or_default())
}
