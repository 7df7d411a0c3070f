//! Bandwidth Messaging v2: `POST /api/v2/users/{account_id}/messages`; callbacks in lists of one, which bring a user
//! and a password. <https://dev.bandwidth.com/apis/messaging/>

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::demo::{
    DEMO_BANDWIDTH_ACCOUNT_ID, DEMO_BANDWIDTH_PASSWORD, DEMO_BANDWIDTH_USER, DEMO_WEBHOOK_CREDENTIALS,
};
use crate::http_call::{HttpCall, text, texts};
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading, fields};
use crate::message::{Accepted, Stage, reference_of_text};
use crate::numbers::{is_number, is_phone, with_plus};
use crate::post::Post;
use crate::segments;
use crate::simulator::Shared;

const NAME: &str = "bandwidth";
const TEXT_CHARACTERS_MAX: usize = 2048;

#[derive(Debug)]
pub(crate) struct Bandwidth;

impl Protocol for Bandwidth {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        Account {
            kind: NAME.to_owned(),
            name: DEMO_BANDWIDTH_ACCOUNT_ID.to_owned(),
            user: DEMO_BANDWIDTH_USER.to_owned(),
            secret: DEMO_BANDWIDTH_PASSWORD.to_owned(),
            signing_key: DEMO_WEBHOOK_CREDENTIALS.to_owned(),
            ..Account::default()
        }
    }

    fn send_paths(&self) -> &'static [&'static str] {
        &["/api/v2/users/{account_id}/messages"]
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        let (user, password) = call.basic().unwrap_or_default();
        let is_it = |account: &Account| account.user == user && account.secret == password;
        if shared.find_account(NAME, is_it).is_none() {
            return Err(self.error(StatusCode::UNAUTHORIZED, None, None));
        }
        let wanted = call.parameter("account_id");
        let known = shared.find_account(NAME, |account| is_it(account) && account.name == wanted);
        known.ok_or_else(|| self.error(StatusCode::FORBIDDEN, None, None))
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let Some(json) = call.json() else {
            return Reading::refused(self.error(StatusCode::BAD_REQUEST, None, Some("Invalid JSON")));
        };
        let media = texts(&json["media"]);
        let people = texts(&json["to"]);
        let outline = Outline {
            from: with_plus(text(&json, "from")),
            channel: if media.is_empty() && people.len() < 2 { "sms" } else { "mms" },
            body: text(&json, "text").to_owned(),
            media,
            reference: reference_of_text(text(&json, "tag")),
            event_fields: fields([
                ("tag", json["tag"].clone()),
                ("applicationId", json["applicationId"].clone()),
                ("to", json["to"].clone()),
            ]),
            ..Outline::default()
        };
        let checked = check(&json, &outline, &people);
        let outlines = people.iter().map(|to| Outline { to: with_plus(to), ..outline.clone() });
        Reading::checked(outlines.collect(), checked)
    }

    /// One for all recipients.
    fn ids(&self, shared: &Shared, outlines: &[Outline]) -> Vec<String> {
        vec![id_of(&shared.hex_id()); outlines.len()]
    }

    fn inbound_id(&self, hex: &str, _has_media: bool) -> String {
        id_of(hex)
    }

    fn answer(&self, _account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        let Some(first) = messages.first() else { return answer::json(202, &json!({})) };
        let mut answer = message_of(first, "out");
        answer["text"] = json!(first.body);
        answer::json(202, &answer)
    }

    /// What stands under `code` is the type.
    fn error(&self, status: StatusCode, code: Option<&str>, message: Option<&str>) -> Whole {
        let (usual, words) = match status.as_u16() {
            401 => ("unauthorized", "Authentication failed"),
            403 => ("forbidden", "Access to the account is denied"),
            404 => ("not-found", "Resource not found"),
            415 => ("unsupported-media-type", "The content type is not supported"),
            429 => ("too-many-requests", "The queue of the account is full"),
            500.. => ("internal-server-error", "Internal server error"),
            _ => ("request-validation", "Your request could not be accepted"),
        };
        let body = json!({ "type": code.unwrap_or(usual), "description": message.unwrap_or(words) });
        answer::json(status.as_u16(), &body)
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        messages.iter().flat_map(|message| receipt(hook, message)).collect()
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        let event = json!([{
            "type": "message-received", "time": date(inbound.date),
            "description": "Incoming message received", "to": inbound.to,
            "message": {
                "id": inbound.id, "time": date(inbound.date), "to": [inbound.to], "from": inbound.from,
                "text": inbound.body, "applicationId": "5ade0000-0000-4000-8000-000000000001",
                "media": inbound.media, "owner": inbound.to, "direction": "in",
                "segmentCount": segments::count(inbound.body),
            },
        }]);
        hook.with_basic(Post::json(hook.url, &event))
    }
}

/// 29 characters, as the documentation shows them.
fn id_of(hex: &str) -> String {
    hex.chars().take(29).collect()
}

fn check(json: &Value, outline: &Outline, people: &[String]) -> Result<(), Whole> {
    let refuse = |field: &str, description: &str| {
        let body = json!({
            "type": "request-validation", "description": "Your request could not be accepted",
            "fieldErrors": [{ "fieldName": field, "description": description }],
        });
        Err(answer::json(400, &body))
    };
    if text(json, "applicationId").is_empty() {
        return refuse("applicationId", "'applicationId' must not be blank");
    }
    if people.is_empty() || !json["to"].is_array() {
        return refuse("to", "'to' must not be empty");
    }
    if let Some(wrong) = people.iter().find(|to| !is_phone(to)) {
        return refuse(
            "to",
            &format!("'{wrong}' must be replaced with a valid E164 formatted telephone number"),
        );
    }
    if !is_number(&outline.from) {
        return refuse("from", "'from' must be replaced with a valid E164 formatted telephone number");
    }
    if outline.body.is_empty() && outline.media.is_empty() {
        return refuse("text", "'text' or 'media' must be given");
    }
    if outline.body.chars().count() > TEXT_CHARACTERS_MAX {
        return refuse("text", "'text' must not exceed 2048 characters");
    }
    Ok(())
}

fn date(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// The message within callbacks, where its text is empty.
fn message_of(message: &Accepted, direction: &str) -> Value {
    let mut shown = json!({
        "id": message.provider_message_id, "time": date(message.received_at), "owner": message.from,
        "direction": direction, "to": message.event_fields.get("to"), "from": message.from, "text": "",
        "applicationId": message.field("applicationId"), "segmentCount": segments::count(&message.body),
    });
    if let Some(tag) = message.event_fields.get("tag") {
        shown["tag"] = tag.clone();
    }
    if !message.media.is_empty() {
        shown["media"] = json!(message.media);
    }
    shown
}

fn receipt(hook: &Hook<'_>, message: &Accepted) -> Vec<Post> {
    let (name, description, code) = match message.stage() {
        Stage::Sent if &*message.channel == "mms" => {
            ("message-sending", "Message is sending to carrier", None)
        }
        Stage::Delivered => ("message-delivered", "Message delivered to carrier.", None),
        Stage::Undelivered(code) => ("message-failed", "rejected", Some(code.parse().unwrap_or(4720_u32))),
        Stage::Sent | Stage::Read => return Vec::new(),
    };
    let mut event = json!({
        "type": name, "time": date(hook.now()), "description": description, "to": message.to,
        "message": message_of(message, "out"),
    });
    if let Some(code) = code {
        event["errorCode"] = json!(code);
    }
    hook.copies(message, hook.with_basic(Post::json(hook.url, &json!([event]))))
}
