//! MessageBird's REST API: `POST /messages` and `/mms`; status reports by GET, messages as forms, both with a JWT over
//! the URL and the body. <https://developers.messagebird.com/api/sms-messaging/>

use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::demo::{DEMO_MESSAGEBIRD_ACCESS_KEY, DEMO_MESSAGEBIRD_SIGNING_KEY};
use crate::digest;
use crate::http_call::{Form, HttpCall, text, texts};
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading, fields};
use crate::message::{Accepted, Stage, first_reference, reference_of_text, reference_of_url};
use crate::numbers::{is_phone, with_plus, without_plus};
use crate::post::Post;
use crate::segments;
use crate::simulator::Shared;

const NAME: &str = "messagebird";
const MMS: &str = "/mms";
const RECIPIENTS_MAX: usize = 50;

#[derive(Debug)]
pub(crate) struct Messagebird;

impl Protocol for Messagebird {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        Account {
            kind: NAME.to_owned(),
            name: DEMO_MESSAGEBIRD_ACCESS_KEY.to_owned(),
            secret: DEMO_MESSAGEBIRD_ACCESS_KEY.to_owned(),
            signing_key: DEMO_MESSAGEBIRD_SIGNING_KEY.to_owned(),
            ..Account::default()
        }
    }

    fn send_paths(&self) -> &'static [&'static str] {
        &["/messages", MMS]
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        let key = call.authorization("AccessKey").unwrap_or_default();
        let known = shared.find_account(NAME, |account| account.secret == key);
        known.ok_or_else(|| self.error(StatusCode::UNAUTHORIZED, None, None))
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let Some(json) = call.json() else {
            return Reading::refused(error(400, 21, "Bad request (the body is not JSON)", None));
        };
        let is_mms = call.uri.path().ends_with(MMS);
        let callback_url = Some(text(&json, "reportUrl")).filter(|url| !url.is_empty());
        let found = callback_url.map(reference_of_url).into_iter();
        let outline = Outline {
            from: with_plus(text(&json, "originator")),
            channel: if is_mms { "mms" } else { "sms" },
            subject: json["subject"].as_str().map(str::to_owned),
            body: text(&json, "body").to_owned(),
            media: texts(&json["mediaUrls"]),
            reference: first_reference(found.chain([reference_of_text(text(&json, "reference"))])),
            callback_url: callback_url.map(str::to_owned),
            event_fields: fields([("reference", json["reference"].clone())]),
            ..Outline::default()
        };
        let people = recipients(&json["recipients"]);
        let checked = check(&outline, &people);
        let outlines = people.iter().map(|to| Outline { to: with_plus(to), ..outline.clone() });
        Reading::checked(outlines.collect(), checked)
    }

    /// One for all recipients.
    fn ids(&self, shared: &Shared, outlines: &[Outline]) -> Vec<String> {
        vec![shared.hex_id(); outlines.len()]
    }

    fn inbound_id(&self, hex: &str, _has_media: bool) -> String {
        hex.to_owned()
    }

    fn answer(&self, _account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        let Some(first) = messages.first() else { return answer::json(201, &json!({})) };
        let items = messages.iter().map(|message| {
            // Numbers are numbers here.
            json!({
                "recipient": without_plus(&message.to).parse::<u64>().ok(), "status": "sent",
                "statusDatetime": date(message.received_at),
            })
        });
        let id = &first.provider_message_id;
        let path = if &*first.channel == "mms" { "mms" } else { "messages" };
        let answer = json!({
            "id": id, "href": format!("https://rest.messagebird.com/{path}/{id}"), "direction": "mt",
            "type": "sms", "originator": without_plus(&first.from), "body": first.body,
            "reference": first.event_fields.get("reference"), "createdDatetime": date(first.received_at),
            "recipients": {
                "totalCount": messages.len(), "totalSentCount": messages.len(), "totalDeliveredCount": 0,
                "totalDeliveryFailedCount": 0, "items": items.collect::<Vec<_>>(),
            },
        });
        answer::json(201, &answer)
    }

    fn error(&self, status: StatusCode, code: Option<&str>, message: Option<&str>) -> Whole {
        let (usual, words, parameter) = match status.as_u16() {
            401 => (2, "Request not allowed (incorrect access_key)", Some("access_key")),
            404 => (20, "Not found", None),
            429 => (98, "Too many requests", None),
            500.. => (99, "Internal error", None),
            _ => (21, "Bad request", None),
        };
        let code = code.and_then(|code| code.parse().ok()).unwrap_or(usual);
        error(status.as_u16(), code, message.unwrap_or(words), parameter)
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        messages.iter().flat_map(|message| receipt(hook, message)).collect()
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        let form = [
            ("id", inbound.id.to_owned()),
            ("recipient", without_plus(inbound.to).to_owned()),
            ("originator", without_plus(inbound.from).to_owned()),
            ("body", inbound.body.to_owned()),
            ("createdDatetime", date(inbound.date)),
        ];
        let mut form: Form = form.map(|(name, value)| (name.to_owned(), value)).into();
        if !inbound.media.is_empty() {
            form.push(("mediaUrls".to_owned(), json!(inbound.media).to_string()));
        }
        signed(hook, &[NAME, inbound.id], Post::form(hook.url, &form))
    }
}

/// A list, or one text with commas.
fn recipients(json: &Value) -> Vec<String> {
    match json {
        Value::String(list) => list.split(',').map(|one| one.trim().to_owned()).collect(),
        Value::Array(list) => {
            list.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect()
        }
        _ => Vec::new(),
    }
}

fn error(status: u16, code: u32, description: &str, parameter: Option<&str>) -> Whole {
    let error = json!({ "code": code, "description": description, "parameter": parameter });
    answer::json(status, &json!({ "errors": [error] }))
}

fn check(outline: &Outline, people: &[String]) -> Result<(), Whole> {
    let missing = |name: &str| Err(error(422, 9, &format!("no (correct) {name} found"), Some(name)));
    if outline.from.is_empty() {
        return missing("originator");
    }
    if people.is_empty() || people.len() > RECIPIENTS_MAX {
        return missing("recipients");
    }
    if people.iter().any(|to| !is_phone(to)) {
        return Err(error(422, 10, "no (correct) recipients found", Some("recipients")));
    }
    if outline.body.is_empty() && outline.media.is_empty() {
        return missing("body");
    }
    Ok(())
}

fn date(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}

/// <https://developers.messagebird.com/api/sms-messaging/#handle-a-status-report>
fn receipt(hook: &Hook<'_>, message: &Accepted) -> Vec<Post> {
    let (status, reason, code) = match message.stage() {
        Stage::Sent => ("sent", "successfully sent", "0"),
        Stage::Delivered => ("delivered", "successfully delivered", "0"),
        Stage::Undelivered("") => ("delivery_failed", "unknown subscriber", "1"),
        Stage::Undelivered(code) => ("delivery_failed", "refused by a scripted fault", code),
        // Text messages are not known to be read.
        Stage::Read => return Vec::new(),
    };
    let query = [
        ("id", (*message.provider_message_id).to_owned()),
        ("reference", message.field("reference").to_owned()),
        ("recipient", without_plus(&message.to).to_owned()),
        ("status", status.to_owned()),
        ("statusReason", reason.to_owned()),
        ("statusErrorCode", code.to_owned()),
        ("statusDatetime", date(hook.now())),
        ("mccmnc", "310010".to_owned()),
        ("messageLength", message.body.chars().count().to_string()),
        ("messagePartCount", segments::count(&message.body).to_string()),
        ("ported", "0".to_owned()),
        ("price[amount]", "0.000".to_owned()),
        ("price[currency]", "USD".to_owned()),
    ];
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let separator = if hook.url.contains('?') { '&' } else { '?' };
    let mut post = Post::new(&format!("{}{separator}{query}", hook.url), "", "");
    post.method = Method::GET;
    hook.copies(message, signed(hook, &[NAME, &message.receipts_key(), status], post))
}

/// No hash of a body that is not there.
/// <https://developers.messagebird.com/api/#verifying-http-requests>
fn signed(hook: &Hook<'_>, own: &[&str], post: Post) -> Post {
    let now = hook.now().as_second();
    let mut claims = json!({
        "iss": "MessageBird", "nbf": now, "exp": now + 60, "jti": digest::stable_uuid(own),
        "url_hash": digest::hex(&digest::sha256(post.url.as_bytes())),
    });
    if !post.body.is_empty() {
        claims["payload_hash"] = json!(digest::hex(&digest::sha256(&post.body)));
    }
    post.with("messagebird-signature-jwt", digest::jwt(hook.account.signing_key.as_bytes(), &claims))
}
