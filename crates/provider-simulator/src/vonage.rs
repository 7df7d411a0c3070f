//! Vonage Messages API v1: `POST /v1/messages` by key and secret; webhooks that carry a JWT over the body's hash.
//! <https://developer.vonage.com/en/api/messages>

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::demo::{
    DEMO_VONAGE_API_KEY, DEMO_VONAGE_API_SECRET, DEMO_VONAGE_APPLICATION_ID, DEMO_VONAGE_SIGNATURE_SECRET,
};
use crate::digest;
use crate::http_call::{HttpCall, text};
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading, fields};
use crate::media::content_type;
use crate::message::{Accepted, Stage, first_reference, reference_of_text, reference_of_url};
use crate::numbers::{is_number, is_phone, with_plus, without_plus};
use crate::post::Post;
use crate::segments;
use crate::simulator::Shared;

const NAME: &str = "vonage";
const MEDIA: [&str; 6] = ["image", "vcard", "audio", "video", "file", "content"];
const CLIENT_REF_CHARACTERS_MAX: usize = 100;

#[derive(Debug)]
pub(crate) struct Vonage;

impl Protocol for Vonage {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        Account {
            kind: NAME.to_owned(),
            name: DEMO_VONAGE_API_KEY.to_owned(),
            // The application whose webhooks these are.
            user: DEMO_VONAGE_APPLICATION_ID.to_owned(),
            secret: DEMO_VONAGE_API_SECRET.to_owned(),
            signing_key: DEMO_VONAGE_SIGNATURE_SECRET.to_owned(),
            ..Account::default()
        }
    }

    fn send_paths(&self) -> &'static [&'static str] {
        &["/v1/messages"]
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        let (user, password) = call.basic().unwrap_or_default();
        let known = shared.find_account(NAME, |account| account.name == user && account.secret == password);
        known.ok_or_else(|| self.error(StatusCode::UNAUTHORIZED, None, None))
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let Some(json) = call.json() else {
            return Reading::refused(error(422, "1010", "Missing params", "The body is not JSON.", None));
        };
        let message_type = text(&json, "message_type");
        let parts = parts(&json, message_type);
        let callback_url = Some(text(&json, "webhook_url")).filter(|url| !url.is_empty());
        let client_ref = text(&json, "client_ref");
        let is_media = MEDIA.contains(&message_type);
        let caption = parts.iter().map(|part| text(part, "caption")).find(|caption| !caption.is_empty());
        let caption = caption.unwrap_or_else(|| text(&json, "text"));
        let outline = Outline {
            from: with_plus(text(&json, "from")),
            to: with_plus(text(&json, "to")),
            channel: if json["channel"] == "mms" { "mms" } else { "sms" },
            body: if is_media { caption } else { text(&json, "text") }.to_owned(),
            media: parts.iter().map(|part| text(part, "url").to_owned()).collect(),
            reference: first_reference(
                callback_url.map(reference_of_url).into_iter().chain([reference_of_text(client_ref)]),
            ),
            callback_url: callback_url.map(str::to_owned),
            event_fields: fields([("client_ref", json["client_ref"].clone())]),
            ..Outline::default()
        };
        let checked = check(&json, message_type);
        Reading::checked(vec![outline], checked)
    }

    fn answer(&self, _account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        let id = messages.first().map(|message| &message.provider_message_id);
        answer::json(202, &json!({ "message_uuid": id }))
    }

    fn error(&self, status: StatusCode, code: Option<&str>, message: Option<&str>) -> Whole {
        let (usual, title) = match status.as_u16() {
            401 => ("unauthorized", "You did not provide correct credentials."),
            402 => ("1070", "Partner quota exceeded"),
            403 => ("forbidden", "Your account does not have permission to perform this action."),
            404 => ("not-found", "Not Found"),
            429 => ("1000", "Throttled"),
            500.. => ("1030", "Internal error"),
            _ => ("1020", "Invalid params"),
        };
        let detail = message.unwrap_or("The request was refused.");
        error(status.as_u16(), code.unwrap_or(usual), title, detail, None)
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        messages.iter().flat_map(|message| hook.copies(message, receipt(hook, message))).collect()
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        let mut event = json!({
            "channel": "sms", "message_uuid": inbound.id, "to": without_plus(inbound.to),
            "from": without_plus(inbound.from), "timestamp": date(inbound.date), "message_type": "text",
            "text": inbound.body, "usage": { "currency": "EUR", "price": "0.0333" },
            "origin": { "network_code": "12345" }, "context_status": "none",
            "sms": {
                "num_messages": segments::count(inbound.body).to_string(),
                "keyword": inbound.body.split_whitespace().next().unwrap_or_default().to_uppercase(),
            },
        });
        // One event has one medium.
        if let (Some(url), Value::Object(event)) = (inbound.media.first(), &mut event) {
            for name in ["text", "sms"] {
                event.remove(name);
            }
            let kind = match content_type(url) {
                "text/vcard" => "vcard",
                "application/pdf" => "file",
                _ => "image",
            };
            event.insert("channel".to_owned(), json!("mms"));
            event.insert("message_type".to_owned(), json!(kind));
            let name = url.rsplit('/').next();
            event.insert(kind.to_owned(), json!({ "url": url, "name": name, "caption": inbound.body }));
        }
        signed(hook, &[NAME, inbound.id, "inbound"], &event)
    }
}

/// The media of a message: one, or with the type `content` a list of several.
fn parts<'a>(json: &'a Value, message_type: &str) -> Vec<&'a Value> {
    match &json[message_type] {
        _ if !MEDIA.contains(&message_type) => Vec::new(),
        Value::Array(parts) => parts.iter().collect(),
        part => vec![part],
    }
}

fn date(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn type_of(code: &str) -> String {
    let is_number = code.bytes().all(|byte| byte.is_ascii_digit());
    let page = if is_number { "api-errors/messages" } else { "api-errors" };
    format!("https://developer.vonage.com/{page}#{code}")
}

fn error(status: u16, code: &str, title: &str, detail: &str, parameter: Option<(&str, &str)>) -> Whole {
    let mut problem = json!({
        "type": type_of(code), "title": title, "detail": detail,
        "instance": digest::stable_uuid(&[code, detail]).simple().to_string(),
    });
    if let Some((name, reason)) = parameter {
        problem["invalid_parameters"] = json!([{ "name": name, "reason": reason }]);
    }
    answer::with_body(status, "application/problem+json", problem.to_string())
}

fn check(json: &Value, message_type: &str) -> Result<(), Whole> {
    let refuse = |name: &str, reason: &str| {
        let detail = "The value of one or more parameters is invalid.";
        Err(error(422, "1020", "Invalid params", detail, Some((name, reason))))
    };
    for name in ["message_type", "channel", "to", "from"] {
        if text(json, name).is_empty() {
            let detail = "The request body did not contain all mandatory parameters.";
            return Err(error(422, "1010", "Missing params", detail, Some((name, "is required"))));
        }
    }
    // Numbers are digits alone here.
    let (to, from) = (text(json, "to"), text(json, "from"));
    if to.starts_with('+') || !is_phone(to) {
        return refuse("to", "`to` must be a number in E.164 form without a plus");
    }
    if from.starts_with('+') || (!is_number(from) && from.len() > 11) {
        return Err(error(422, "1120", "Illegal Sender Address", "The sender is not valid.", None));
    }
    let is_media = MEDIA.contains(&message_type);
    match (text(json, "channel"), message_type) {
        ("sms" | "mms", "text") if text(json, "text").is_empty() => return refuse("text", "is required"),
        ("sms" | "mms", "text") => {}
        ("mms", _) if is_media => {
            let parts = parts(json, message_type);
            if parts.is_empty() || parts.iter().any(|part| text(part, "url").is_empty()) {
                return refuse("url", "is required");
            }
        }
        ("sms" | "mms", _) => return refuse("message_type", "is not one of this channel"),
        _ => return refuse("channel", "is not one of this account"),
    }
    if text(json, "client_ref").chars().count() > CLIENT_REF_CHARACTERS_MAX {
        return refuse("client_ref", "is longer than 100 characters");
    }
    Ok(())
}

fn receipt(hook: &Hook<'_>, message: &Accepted) -> Post {
    let mut event = json!({
        "message_uuid": message.provider_message_id, "to": without_plus(&message.to),
        "from": without_plus(&message.from), "timestamp": date(hook.now()), "channel": message.channel,
        "usage": { "currency": "EUR", "price": "0.0333" }, "destination": { "network_code": "23410" },
        "sms": { "count_total": segments::count(&message.body).to_string() },
    });
    if let Some(client_ref) = message.event_fields.get("client_ref") {
        event["client_ref"] = client_ref.clone();
    }
    let status = match message.stage() {
        Stage::Sent => "submitted",
        Stage::Delivered => "delivered",
        Stage::Undelivered(code) => {
            let code = if code.is_empty() { "1260" } else { code };
            event["error"] = json!({
                "type": type_of(code), "title": code, "detail": "Destination unreachable",
                "instance": message.provider_message_id,
            });
            "rejected"
        }
        Stage::Read => "read",
    };
    event["status"] = json!(status);
    signed(hook, &[NAME, &message.receipts_key(), status], &event)
}

/// <https://developer.vonage.com/en/getting-started/concepts/webhooks#decoding-signed-webhooks>
fn signed(hook: &Hook<'_>, own: &[&str], event: &Value) -> Post {
    let body = event.to_string();
    let claims = json!({
        "iat": hook.now().as_second(), "jti": digest::stable_uuid(own), "iss": "Vonage",
        "payload_hash": digest::hex(&digest::sha256(body.as_bytes())), "api_key": hook.account.name,
        "application_id": hook.account.user,
    });
    let token = digest::jwt(hook.account.signing_key.as_bytes(), &claims);
    Post::new(hook.url, "application/json", body).with("authorization", format!("Bearer {token}"))
}
