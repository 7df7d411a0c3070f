//! Bird, the platform after MessageBird: messages of a workspace's channel; webhooks signed over time, URL and the
//! body's hash. <https://docs.bird.com/api>

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::demo::{
    DEMO_BIRD_ACCESS_KEY, DEMO_BIRD_CHANNEL_ID, DEMO_BIRD_SIGNING_KEY, DEMO_BIRD_WORKSPACE_ID,
};
use crate::digest;
use crate::http_call::{HttpCall, text};
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading, fields};
use crate::message::{Accepted, Stage, reference_of_text};
use crate::numbers::is_phone;
use crate::post::Post;
use crate::simulator::Shared;

const NAME: &str = "bird";

#[derive(Debug)]
pub(crate) struct Bird;

impl Protocol for Bird {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        Account {
            kind: NAME.to_owned(),
            name: DEMO_BIRD_CHANNEL_ID.to_owned(),
            // The channel's workspace.
            user: DEMO_BIRD_WORKSPACE_ID.to_owned(),
            secret: DEMO_BIRD_ACCESS_KEY.to_owned(),
            signing_key: DEMO_BIRD_SIGNING_KEY.to_owned(),
            ..Account::default()
        }
    }

    fn send_paths(&self) -> &'static [&'static str] {
        &["/workspaces/{workspace_id}/channels/{channel_id}/messages"]
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        let key = call.authorization("AccessKey").unwrap_or_default();
        if shared.find_account(NAME, |account| account.secret == key).is_none() {
            return Err(self.error(StatusCode::UNAUTHORIZED, None, None));
        }
        let (workspace, channel) = (call.parameter("workspace_id"), call.parameter("channel_id"));
        let is_it =
            |account: &Account| account.secret == key && account.user == workspace && account.name == channel;
        shared.find_account(NAME, is_it).ok_or_else(|| self.error(StatusCode::NOT_FOUND, None, None))
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let refuse = |words: &str| self.error(StatusCode::UNPROCESSABLE_ENTITY, None, Some(words));
        let Some(json) = call.json() else { return Reading::refused(refuse("the body is not valid JSON")) };
        let contact = &json["receiver"]["contacts"][0];
        let images = json["body"]["image"]["images"].as_array().into_iter().flatten();
        let outline = Outline {
            from: call.parameter("channel_id").to_owned(),
            to: text(contact, "identifierValue").to_owned(),
            channel: if json["body"]["type"] == "image" { "mms" } else { "sms" },
            body: match text(&json["body"], "type") {
                "image" => text(&json["body"]["image"], "text"),
                _ => text(&json["body"]["text"], "text"),
            }
            .to_owned(),
            media: images.map(|image| text(image, "mediaUrl").to_owned()).collect(),
            reference: reference_of_text(text(&json, "reference")),
            event_fields: fields([("reference", json["reference"].clone()), ("body", json["body"].clone())]),
            ..Outline::default()
        };
        let checked = if !is_phone(&outline.to) {
            Err(refuse("receiver.contacts: a valid identifier is required"))
        } else if outline.body.is_empty() && outline.media.is_empty() {
            Err(refuse("body: a text or an image is required"))
        } else {
            Ok(())
        };
        Reading::checked(vec![outline], checked)
    }

    fn answer(&self, _account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        let shown = messages.first().map(|message| outbound(message, "accepted", message.received_at));
        answer::json(202, &shown.unwrap_or_default())
    }

    fn error(&self, status: StatusCode, code: Option<&str>, message: Option<&str>) -> Whole {
        let (usual, words) = match status.as_u16() {
            401 => ("Unauthorized", "the access key is not valid"),
            403 => ("Forbidden", "the access key may not do this"),
            404 => ("NotFound", "there is no such channel"),
            429 => ("TooManyRequests", "too many requests"),
            500.. => ("InternalServerError", "something went wrong"),
            _ => ("InvalidRequest", "the request was refused"),
        };
        let body = json!({ "code": code.unwrap_or(usual), "message": message.unwrap_or(words) });
        answer::json(status.as_u16(), &body)
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        let event = |message: &Accepted| {
            let (status, reason) = match message.stage() {
                Stage::Sent => ("sent", None),
                Stage::Delivered => ("delivered", None),
                Stage::Undelivered("") => ("delivery_failed", Some("unknown subscriber")),
                Stage::Undelivered(code) => ("delivery_failed", Some(code)),
                // Text messages are not known to be read.
                Stage::Read => return None,
            };
            let mut payload = outbound(message, status, hook.now());
            payload["reason"] = json!(reason.unwrap_or_default());
            Some(signed(hook, "sms.outbound", payload))
        };
        let events = messages.iter().filter_map(|message| Some((message, event(message)?)));
        events.flat_map(|(message, post)| hook.copies(message, post)).collect()
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        let body = if inbound.media.is_empty() {
            json!({ "type": "text", "text": { "text": inbound.body } })
        } else {
            let images = inbound.media.iter().map(|url| json!({ "mediaUrl": url, "altText": "" }));
            let images: Vec<Value> = images.collect();
            json!({ "type": "image", "image": { "text": inbound.body, "images": images } })
        };
        let payload = json!({
            "id": inbound.id, "channelId": hook.account.name,
            "sender": { "contact": { "identifierKey": "phonenumber", "identifierValue": inbound.from } },
            "receiver": { "connector": { "identifierValue": inbound.to } }, "body": body,
            "direction": "incoming", "status": "received", "reason": "",
            "createdAt": inbound.date.to_string(),
        });
        signed(hook, "sms.inbound", payload)
    }
}

fn outbound(message: &Accepted, status: &str, now: jiff::Timestamp) -> Value {
    json!({
        "id": message.provider_message_id, "channelId": message.from, "status": status,
        "direction": "outgoing", "reference": message.field("reference"),
        "receiver": { "contacts": [{ "identifierKey": "phonenumber", "identifierValue": message.to }] },
        "body": message.event_fields.get("body"), "createdAt": message.received_at.to_string(),
        "updatedAt": now.to_string(),
    })
}

/// HMAC-SHA256 over the time, the URL, and the 32 bytes of the body's hash, a line each.
/// <https://docs.bird.com/api/notifications-api/api-reference/webhook-subscriptions/verifying-a-webhook-subscription>
fn signed(hook: &Hook<'_>, event: &str, payload: Value) -> Post {
    let body = json!({ "service": "channels", "event": event, "payload": payload }).to_string();
    let timestamp = hook.now().as_second().to_string();
    let hash = digest::sha256(body.as_bytes());
    let parts = [timestamp.as_bytes(), b"\n", hook.url.as_bytes(), b"\n", &hash];
    let signature = digest::base64(&digest::hmac_sha256(hook.account.signing_key.as_bytes(), &parts));
    Post::new(hook.url, "application/json", body)
        .with("messagebird-signature", signature)
        .with("messagebird-request-timestamp", timestamp)
}
