//! A gateway that nobody has heard of, for the generic kind: any path below `/http`, JSON or a form, and fields under
//! any of a few usual names.

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::demo::{DEMO_HTTP_TOKEN, DEMO_WEBHOOK_CREDENTIALS};
use crate::http_call::HttpCall;
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading, fields};
use crate::message::{Accepted, Stage, first_reference, reference_of_text, reference_of_url};
use crate::numbers::with_plus;
use crate::post::Post;
use crate::simulator::Shared;

const NAME: &str = "http";

#[derive(Debug)]
pub(crate) struct Http;

impl Protocol for Http {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        Account {
            kind: NAME.to_owned(),
            name: DEMO_HTTP_TOKEN.to_owned(),
            secret: DEMO_HTTP_TOKEN.to_owned(),
            signing_key: DEMO_WEBHOOK_CREDENTIALS.to_owned(),
            ..Account::default()
        }
    }

    fn send_paths(&self) -> &'static [&'static str] {
        &["/http/{*path}"]
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        let token = call.authorization("Bearer").unwrap_or_default();
        let known = shared.find_account(NAME, |account| account.secret == token);
        known.ok_or_else(|| self.error(StatusCode::UNAUTHORIZED, None, None))
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let form = call.form();
        let asked = call.json().unwrap_or_else(|| {
            Value::Object(form.into_iter().map(|(name, value)| (name, Value::String(value))).collect())
        });
        let text = |names: &[&str]| -> String {
            let found = names.iter().find_map(|name| asked[*name].as_str());
            found.unwrap_or_default().to_owned()
        };
        let callback_url = Some(text(&["callback_url", "webhook_url"])).filter(|url| !url.is_empty());
        let reference = text(&["reference", "message_id", "client_ref"]);
        let found = callback_url.as_deref().map(reference_of_url).into_iter();
        let media = [&asked["media"], &asked["media_urls"]].into_iter().flat_map(crate::http_call::texts);
        let media: Vec<String> = media.collect();
        let outline = Outline {
            from: with_plus(&text(&["sender", "from"])),
            to: with_plus(&text(&["recipient", "to"])),
            channel: if media.is_empty() { "sms" } else { "mms" },
            body: text(&["text", "body", "message"]),
            media,
            reference: first_reference(found.chain([reference_of_text(&reference)])),
            callback_url: callback_url.clone(),
            event_fields: fields([("reference", json!(reference))]),
            ..Outline::default()
        };
        let refuse = |words| Err(self.error(StatusCode::BAD_REQUEST, None, Some(words)));
        let checked = if outline.to.is_empty() {
            refuse("recipient is missing")
        } else if outline.body.is_empty() && outline.media.is_empty() {
            refuse("text is missing")
        } else {
            Ok(())
        };
        Reading::checked(vec![outline], checked)
    }

    fn answer(&self, _account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        let id = messages.first().map(|message| &message.provider_message_id);
        answer::json(200, &json!({ "status": "accepted", "id": id }))
    }

    fn error(&self, status: StatusCode, code: Option<&str>, message: Option<&str>) -> Whole {
        let (usual, words) = match status.as_u16() {
            401 => ("unauthorized", "the token is not known"),
            429 => ("throttled", "too many requests"),
            500.. => ("unavailable", "the gateway is not available"),
            _ => ("refused", "the request was refused"),
        };
        let error = json!({ "code": code.unwrap_or(usual), "message": message.unwrap_or(words) });
        answer::json(status.as_u16(), &json!({ "status": "rejected", "error": error }))
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        let receipt = |message: &Accepted| {
            let (status, code) = match message.stage() {
                Stage::Undelivered("") => ("failed", Some("unreachable")),
                Stage::Undelivered(code) => ("failed", Some(code)),
                stage => (stage.name(), None),
            };
            let receipt = json!({
                "id": message.provider_message_id, "reference": message.field("reference"), "status": status,
                "code": code, "recipient": message.to, "time": hook.now().to_string(),
            });
            hook.with_basic(Post::json(hook.url, &receipt))
        };
        messages.iter().flat_map(|message| hook.copies(message, receipt(message))).collect()
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        let message = json!({
            "id": inbound.id, "sender": inbound.from, "recipient": inbound.to, "text": inbound.body,
            "media": inbound.media, "time": inbound.date.to_string(),
        });
        hook.with_basic(Post::json(hook.url, &message))
    }
}
