//! Meta's WhatsApp Cloud API: `POST /{version}/{phone_number_id}/messages`; webhooks signed with the app's secret over
//! bytes that escape whatever is not ASCII.
//! <https://developers.facebook.com/docs/whatsapp/cloud-api/reference/messages>

use std::fmt::Write as _;
use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::demo::{DEMO_WHATSAPP_ACCESS_TOKEN, DEMO_WHATSAPP_APP_SECRET, DEMO_WHATSAPP_PHONE_NUMBER_ID};
use crate::digest;
use crate::http_call::{HttpCall, text};
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading, fields};
use crate::media::content_type;
use crate::message::{Accepted, Stage, reference_of_text};
use crate::numbers::{is_phone, with_plus, without_plus};
use crate::post::Post;
use crate::simulator::Shared;

const NAME: &str = "whatsapp";
const MEDIA: [&str; 5] = ["image", "video", "audio", "document", "sticker"];
const TEXT_CHARACTERS_MAX: usize = 4096;

#[derive(Debug)]
pub(crate) struct Whatsapp;

impl Protocol for Whatsapp {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        Account {
            kind: NAME.to_owned(),
            name: DEMO_WHATSAPP_PHONE_NUMBER_ID.to_owned(),
            secret: DEMO_WHATSAPP_ACCESS_TOKEN.to_owned(),
            signing_key: DEMO_WHATSAPP_APP_SECRET.to_owned(),
            ..Account::default()
        }
    }

    /// Of any version of the Graph API.
    fn send_paths(&self) -> &'static [&'static str] {
        &["/{version}/{phone_number_id}/messages"]
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        let token = call.authorization("Bearer").unwrap_or_default();
        if shared.find_account(NAME, |account| account.secret == token).is_none() {
            return Err(self.error(StatusCode::UNAUTHORIZED, None, None));
        }
        let id = call.parameter("phone_number_id");
        let known = shared.find_account(NAME, |account| account.secret == token && account.name == id);
        known.ok_or_else(|| error(400, 100, "Unsupported post request. The object does not exist.", ""))
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let Some(json) = call.json() else {
            return Reading::refused(error(400, 100, "Invalid parameter", "The body is not JSON."));
        };
        let message_type = match text(&json, "type") {
            "" => "text",
            message_type => message_type,
        };
        let part = &json[message_type];
        let media = ["link", "id"].iter().find_map(|name| part[name].as_str());
        let body = match message_type {
            "text" => text(part, "body"),
            "template" => text(part, "name"),
            _ => text(part, "caption"),
        };
        // A person without a number is written to by the id that the business knows (`US.1349...`).
        let to = Some(text(&json, "to")).filter(|to| !to.is_empty()).unwrap_or(text(&json, "recipient"));
        let outline = Outline {
            from: call.parameter("phone_number_id").to_owned(),
            to: with_plus(to),
            channel: "whatsapp",
            body: body.to_owned(),
            media: media.filter(|_| MEDIA.contains(&message_type)).map(str::to_owned).into_iter().collect(),
            reference: reference_of_text(text(&json, "biz_opaque_callback_data")),
            event_fields: fields([
                ("biz_opaque_callback_data", json["biz_opaque_callback_data"].clone()),
                ("input", json!(to)),
            ]),
            ..Outline::default()
        };
        let checked = check(&json, message_type, part, &outline)
            .map_err(|(code, details)| error(400, code, title(code), details));
        Reading::checked(vec![outline], checked)
    }

    fn ids(&self, shared: &Shared, outlines: &[Outline]) -> Vec<String> {
        outlines.iter().map(|_| self.inbound_id(&shared.hex_id(), false)).collect()
    }

    fn inbound_id(&self, hex: &str, _has_media: bool) -> String {
        format!("wamid.{}", digest::base64(hex.as_bytes()))
    }

    fn answer(&self, _account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        let Some(first) = messages.first() else { return answer::json(200, &json!({})) };
        let answer = json!({
            "messaging_product": "whatsapp",
            "contacts": [{ "input": first.field("input"), "wa_id": without_plus(&first.to) }],
            "messages": [{ "id": first.provider_message_id, "message_status": "accepted" }],
        });
        answer::json(200, &answer)
    }

    fn error(&self, status: StatusCode, code: Option<&str>, message: Option<&str>) -> Whole {
        let usual = match status.as_u16() {
            401 => 190,
            403 => 10,
            404 => 100,
            429 => 130_429,
            503 => 2,
            500.. => 131_000,
            _ => 131_009,
        };
        let code = code.and_then(|code| code.parse().ok()).unwrap_or(usual);
        error(status.as_u16(), code, message.unwrap_or(title(code)), "")
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        messages.iter().flat_map(|message| hook.copies(message, receipt(hook, message))).collect()
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        let from = without_plus(inbound.from);
        let mut message = json!({
            "from": from, "id": inbound.id, "timestamp": inbound.date.as_second().to_string(),
            "type": "text", "text": { "body": inbound.body },
        });
        if let Some(parent) = inbound.in_reply_to {
            message["context"] = json!({ "from": without_plus(inbound.to), "id": parent });
        }
        if let (Some(url), Value::Object(message)) = (inbound.media.first(), &mut message) {
            message.remove("text");
            message.insert("type".to_owned(), json!("image"));
            let image = json!({
                "id": digest::stable_uuid(&[url]).as_u128().to_string(), "mime_type": content_type(url),
                "sha256": digest::base64(&digest::sha256(url.as_bytes())), "caption": inbound.body, "url": url,
            });
            message.insert("image".to_owned(), image);
        }
        let contact = json!({ "profile": { "name": "" }, "wa_id": from });
        signed(hook, &json!({ "contacts": [contact], "messages": [message] }))
    }
}

/// <https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes>
fn title(code: u32) -> &'static str {
    match code {
        2 => "Service temporarily unavailable",
        10 => "Application does not have permission for this action",
        100 => "Invalid parameter",
        190 => "Error validating access token",
        130_429 => "Rate limit hit",
        131_000 => "Something went wrong",
        131_008 => "Required parameter is missing",
        131_009 => "Parameter value is not valid",
        131_026 => "Message undeliverable",
        _ => "The request was refused",
    }
}

fn error(status: u16, code: u32, title: &str, details: &str) -> Whole {
    let mut error = json!({
        "message": format!("(#{code}) {title}"), "type": "OAuthException", "code": code,
        "fbtrace_id": "Aqk1simulator",
    });
    if !details.is_empty() {
        error["error_data"] = json!({ "messaging_product": "whatsapp", "details": details });
    }
    answer::json(status, &json!({ "error": error }))
}

fn check(
    json: &Value,
    message_type: &str,
    part: &Value,
    outline: &Outline,
) -> Result<(), (u32, &'static str)> {
    if json["messaging_product"] != "whatsapp" {
        return Err((100, "The parameter messaging_product is required."));
    }
    if outline.to.is_empty() {
        return Err((131_008, "The parameter to is required."));
    }
    if !is_phone(&outline.to) && !is_user_id(&outline.to) {
        return Err((131_009, "The recipient is neither a phone number nor a user's id."));
    }
    match message_type {
        "text" if outline.body.is_empty() => Err((131_008, "The parameter text['body'] is required.")),
        "text" if outline.body.chars().count() > TEXT_CHARACTERS_MAX => {
            Err((100, "Param text['body'] must be at most 4096 characters long."))
        }
        "template" if outline.body.is_empty() || text(&part["language"], "code").is_empty() => {
            Err((131_008, "The template's name and language are required."))
        }
        _ if MEDIA.contains(&message_type) && outline.media.is_empty() => {
            Err((131_008, "A link or an id of the medium is required."))
        }
        _ if !part.is_object() => Err((131_008, "The object that the type names is required.")),
        _ => Ok(()),
    }
}

/// A country's code, a dot, and letters or digits.
fn is_user_id(text: &str) -> bool {
    text.split_once('.').is_some_and(|(country, id)| {
        country.len() == 2
            && country.bytes().all(|byte| byte.is_ascii_uppercase())
            && !id.is_empty()
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

fn receipt(hook: &Hook<'_>, message: &Accepted) -> Post {
    let mut status = json!({
        "id": message.provider_message_id, "recipient_id": without_plus(&message.to),
        "timestamp": hook.now().as_second().to_string(),
        "conversation": { "id": "5ade0000", "origin": { "type": "utility" } },
        "pricing": { "billable": true, "pricing_model": "PMP", "category": "utility" },
    });
    status["status"] = match message.stage() {
        Stage::Sent => json!("sent"),
        Stage::Delivered => json!("delivered"),
        Stage::Undelivered(code) => {
            let code = code.parse().unwrap_or(131_026);
            status["errors"] = json!([{
                "code": code, "title": title(code), "message": title(code),
                "error_data": { "details": "The message was refused by a scripted fault." },
            }]);
            json!("failed")
        }
        Stage::Read => json!("read"),
    };
    if let Some(data) = message.event_fields.get("biz_opaque_callback_data") {
        status["biz_opaque_callback_data"] = data.clone();
    }
    signed(hook, &json!({ "statuses": [status] }))
}

/// <https://developers.facebook.com/docs/graph-api/webhooks/getting-started#validate-payloads>
fn signed(hook: &Hook<'_>, more: &Value) -> Post {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": { "display_phone_number": "15550100000", "phone_number_id": hook.account.name },
    });
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more.clone()) {
        value.extend(more);
    }
    let event = json!({
        "object": "whatsapp_business_account",
        "entry": [{ "id": "8856996819413533", "changes": [{ "value": value, "field": "messages" }] }],
    });
    let body = escaped(&event.to_string());
    let signature =
        digest::hex(&digest::hmac_sha256(hook.account.signing_key.as_bytes(), &[body.as_bytes()]));
    Post::new(hook.url, "application/json", body).with("x-hub-signature-256", format!("sha256={signature}"))
}

/// JSON as Meta writes it: ASCII alone, and slashes escaped.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '/' => text.push_str("\\/"),
            _ if character.is_ascii() => text.push(character),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text
}
