//! Infobip: SMS v3 and MMS v2, whose rejections hide in a success; webhooks that nobody signs.
//! <https://www.infobip.com/docs/api/channels/sms>

use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::demo::{DEMO_INFOBIP_API_KEY, DEMO_WEBHOOK_CREDENTIALS};
use crate::digest;
use crate::http_call::{HttpCall, text};
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading, fields};
use crate::media::content_type;
use crate::message::{Accepted, Stage, first_reference, reference_of_text, reference_of_url};
use crate::numbers::{is_phone, with_plus, without_plus};
use crate::post::Post;
use crate::segments;
use crate::simulator::Shared;

const NAME: &str = "infobip";
const MMS: &str = "/mms/2/messages";

#[derive(Debug)]
pub(crate) struct Infobip;

impl Protocol for Infobip {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        Account {
            kind: NAME.to_owned(),
            name: DEMO_INFOBIP_API_KEY.to_owned(),
            secret: DEMO_INFOBIP_API_KEY.to_owned(),
            signing_key: DEMO_WEBHOOK_CREDENTIALS.to_owned(),
            ..Account::default()
        }
    }

    fn send_paths(&self) -> &'static [&'static str] {
        &["/sms/3/messages", MMS]
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        let key = call.authorization("App").unwrap_or_default();
        let known = shared.find_account(NAME, |account| account.secret == key);
        known.ok_or_else(|| self.error(StatusCode::UNAUTHORIZED, None, None))
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let bad = |words: &str| self.error(StatusCode::BAD_REQUEST, None, Some(words));
        let Some(json) = call.json() else { return Reading::refused(bad("The request is not valid JSON.")) };
        let is_mms = call.uri.path().ends_with(MMS);
        let mut outlines = Vec::new();
        for message in json["messages"].as_array().into_iter().flatten() {
            outlines.extend(read_message(message, is_mms));
        }
        if outlines.is_empty() {
            return Reading::refused(bad("messages : must not be empty"));
        }
        if outlines.iter().any(|outline| outline.body.is_empty() && outline.media.is_empty()) {
            return Reading { messages: outlines, answer: Some(bad("content : must not be empty")) };
        }
        // A rejection of a message is a success of the call.
        if outlines.iter().any(|outline| !is_phone(&outline.to)) {
            let rejected = outlines.iter().map(|outline| {
                let id = outline.event_fields.get("messageId").cloned().unwrap_or_default();
                json!({ "messageId": id, "status": status("REJECTED"), "destination": outline.to })
            });
            let answer = json!({ "messages": rejected.collect::<Vec<_>>() });
            return Reading { answer: Some(answer::json(200, &answer)), messages: outlines };
        }
        Reading { messages: outlines, answer: None }
    }

    /// The sender's own where it has chosen one.
    fn ids(&self, shared: &Shared, outlines: &[Outline]) -> Vec<String> {
        let own = |outline: &Outline| outline.event_fields.get("messageId")?.as_str().map(str::to_owned);
        outlines.iter().map(|outline| own(outline).unwrap_or_else(|| shared.hex_id())).collect()
    }

    fn answer(&self, _account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        let listed = messages.iter().map(|message| {
            json!({
                "messageId": message.provider_message_id, "status": status("ACCEPTED"),
                "destination": without_plus(&message.to),
                "details": { "messageCount": segments::count(&message.body) },
            })
        });
        let listed: Vec<Value> = listed.collect();
        answer::json(200, &json!({ "bulkId": bulk_id(messages.first().map(|it| &**it)), "messages": listed }))
    }

    fn error(&self, status: StatusCode, code: Option<&str>, message: Option<&str>) -> Whole {
        let (usual, words) = match status.as_u16() {
            401 => ("UNAUTHORIZED", "Invalid login details"),
            403 => ("FORBIDDEN", "Unauthorized access"),
            404 => ("NOT_FOUND", "Requested URL not found"),
            429 => ("TOO_MANY_REQUESTS", "Too many requests"),
            500.. => ("GENERAL_ERROR", "Something went wrong. Please contact support."),
            _ => ("BAD_REQUEST", "Bad Request"),
        };
        let exception = json!({ "messageId": code.unwrap_or(usual), "text": message.unwrap_or(words) });
        answer::json(status.as_u16(), &json!({ "requestError": { "serviceException": exception } }))
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        messages.iter().flat_map(|message| receipt(hook, message)).collect()
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        let mut result = json!({
            "messageId": inbound.id, "from": without_plus(inbound.from), "to": without_plus(inbound.to),
            "receivedAt": date(inbound.date), "smsCount": segments::count(inbound.body),
            "price": { "pricePerMessage": 0, "currency": "EUR" }, "callbackData": "",
        });
        if inbound.media.is_empty() {
            result["text"] = json!(inbound.body);
            result["cleanText"] = json!(inbound.body);
            let keyword = inbound.body.split_whitespace().next().unwrap_or_default();
            result["keyword"] = json!(keyword.to_uppercase());
        } else {
            let media =
                inbound.media.iter().map(|url| json!({ "contentType": content_type(url), "url": url }));
            let text = json!({ "contentType": "text/plain", "value": inbound.body });
            result["message"] = [text].into_iter().chain(media).collect();
        }
        let body = json!({ "results": [result], "messageCount": 1, "pendingMessageCount": 0 });
        hook.with_basic(Post::json(hook.url, &body))
    }
}

/// One per destination.
fn read_message(message: &Value, is_mms: bool) -> Vec<Outline> {
    let content = &message["content"];
    let segments = content["messageSegments"].as_array().into_iter().flatten();
    let (mut body, mut media) = (text(content, "text").to_owned(), Vec::new());
    for segment in segments {
        match text(segment, "type") {
            "TEXT" => text(segment, "text").clone_into(&mut body),
            _ => media.push(text(segment, "contentUrl").to_owned()),
        }
    }
    let webhooks = &message["webhooks"];
    let callback_url = Some(text(&webhooks["delivery"], "url")).filter(|url| !url.is_empty());
    let callback_data = text(webhooks, "callbackData");
    let destinations = message["destinations"].as_array().into_iter().flatten();
    let read = destinations.map(|destination| {
        let found = [reference_of_text(callback_data), reference_of_text(text(destination, "messageId"))];
        Outline {
            from: with_plus(text(message, "sender")),
            to: with_plus(text(destination, "to")),
            channel: if is_mms { "mms" } else { "sms" },
            subject: content["title"].as_str().filter(|title| !title.is_empty()).map(str::to_owned),
            body: body.clone(),
            media: media.clone(),
            reference: first_reference(callback_url.map(reference_of_url).into_iter().chain(found)),
            callback_url: callback_url.map(str::to_owned),
            event_fields: fields([
                ("messageId", destination["messageId"].clone()),
                ("callbackData", webhooks["callbackData"].clone()),
                ("intermediateReport", webhooks["delivery"]["intermediateReport"].clone()),
            ]),
            ..Outline::default()
        }
    });
    read.collect()
}

/// <https://www.infobip.com/docs/essentials/response-status-and-error-codes>
fn status(name: &str) -> Value {
    let (group, group_name, id, full) = match name {
        "ACCEPTED" => (1, "PENDING", 26, "PENDING_ACCEPTED"),
        "ENROUTE" => (1, "PENDING", 7, "PENDING_ENROUTE"),
        "DELIVERED" => (3, "DELIVERED", 5, "DELIVERED_TO_HANDSET"),
        "UNDELIVERABLE" => (2, "UNDELIVERABLE", 9, "UNDELIVERABLE_NOT_DELIVERED"),
        _ => (5, "REJECTED", 52, "REJECTED_DESTINATION"),
    };
    json!({ "groupId": group, "groupName": group_name, "id": id, "name": full, "description": full })
}

fn bulk_id(message: Option<&Accepted>) -> String {
    digest::stable_uuid(&[NAME, message.map(|it| &*it.provider_message_id).unwrap_or_default()]).to_string()
}

/// The zone has no colon.
fn date(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3f+0000").to_string()
}

fn receipt(hook: &Hook<'_>, message: &Accepted) -> Vec<Post> {
    let none = json!({
        "groupId": 0, "groupName": "OK", "id": 0, "name": "NO_ERROR", "description": "No Error",
        "permanent": false,
    });
    let wants_all = message.event_fields.get("intermediateReport") == Some(&json!(true));
    let (status, error) = match message.stage() {
        Stage::Sent if wants_all => (status("ENROUTE"), none),
        Stage::Delivered => (status("DELIVERED"), none),
        Stage::Undelivered(code) => {
            let id: u32 = code.parse().unwrap_or(1);
            let error = json!({
                "groupId": 1, "groupName": "HANDSET_ERRORS", "id": id, "name": "EC_UNKNOWN_SUBSCRIBER",
                "description": "Unknown Subscriber", "permanent": true,
            });
            (status("UNDELIVERABLE"), error)
        }
        Stage::Sent | Stage::Read => return Vec::new(),
    };
    let result = json!({
        "bulkId": bulk_id(Some(message)), "messageId": message.provider_message_id,
        "to": without_plus(&message.to), "sentAt": date(message.received_at), "doneAt": date(hook.now()),
        "smsCount": segments::count(&message.body), "callbackData": message.field("callbackData"),
        "price": { "pricePerMessage": 0.01, "currency": "EUR" }, "status": status, "error": error,
    });
    let post = hook.with_basic(Post::json(hook.url, &json!({ "results": [result] })));
    hook.copies(message, post)
}
