//! Plivo: `POST /v1/Account/{auth_id}/Message/`; callbacks as forms, signed by the second version of its scheme, which
//! covers the URL and a nonce and not the form. <https://www.plivo.com/docs/messaging/api/message>

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::demo::{DEMO_PLIVO_AUTH_ID, DEMO_PLIVO_AUTH_TOKEN};
use crate::digest;
use crate::http_call::{Form, HttpCall, text, texts};
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading, fields};
use crate::message::{Accepted, Stage, reference_of_url};
use crate::numbers::{is_phone, with_plus, without_plus};
use crate::post::Post;
use crate::segments;
use crate::simulator::Shared;

const NAME: &str = "plivo";
const DESTINATIONS_MAX: usize = 1000;
const MEDIA_MAX: usize = 10;

#[derive(Debug)]
pub(crate) struct Plivo;

impl Protocol for Plivo {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        Account {
            kind: NAME.to_owned(),
            name: DEMO_PLIVO_AUTH_ID.to_owned(),
            secret: DEMO_PLIVO_AUTH_TOKEN.to_owned(),
            signing_key: DEMO_PLIVO_AUTH_TOKEN.to_owned(),
            ..Account::default()
        }
    }

    /// The slash at the end matters.
    fn send_paths(&self) -> &'static [&'static str] {
        &["/v1/Account/{auth_id}/Message/"]
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        let (user, password) = call.basic().unwrap_or_default();
        let is_it = |account: &Account| account.name == user && account.secret == password;
        match shared.find_account(NAME, is_it) {
            Some(index) if call.parameter("auth_id") == user => Ok(index),
            Some(_) => Err(self.error(StatusCode::NOT_FOUND, None, None)),
            None => Err(self.error(StatusCode::UNAUTHORIZED, None, None)),
        }
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let Some(json) = call.json() else {
            return Reading::refused(self.error(StatusCode::BAD_REQUEST, None, Some("invalid JSON body")));
        };
        let media = texts(&json["media_urls"]);
        let callback_url = Some(text(&json, "url")).filter(|url| !url.is_empty());
        let outline = Outline {
            from: with_plus(text(&json, "src")),
            channel: if json["type"] == "mms" || !media.is_empty() { "mms" } else { "sms" },
            body: text(&json, "text").to_owned(),
            media,
            reference: callback_url.map(reference_of_url).unwrap_or_default(),
            callback_url: callback_url.map(str::to_owned),
            event_fields: fields([("method", json["method"].clone())]),
            ..Outline::default()
        };
        let people: Vec<&str> = text(&json, "dst").split('<').filter(|one| !one.is_empty()).collect();
        let checked = check(&json, &outline, &people)
            .map_err(|message| self.error(StatusCode::BAD_REQUEST, None, Some(message)));
        let outlines = people.iter().map(|to| Outline { to: with_plus(to), ..outline.clone() });
        Reading::checked(outlines.collect(), checked)
    }

    fn answer(&self, _account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        let ids: Vec<&str> = messages.iter().map(|message| &*message.provider_message_id).collect();
        let api_id = digest::stable_uuid(&ids);
        let answer = json!({
            "message": "message(s) queued", "message_uuid": ids, "api_id": api_id, "invalid_number": [],
        });
        answer::json(202, &answer)
    }

    /// There are no codes in answers.
    fn error(&self, status: StatusCode, _code: Option<&str>, message: Option<&str>) -> Whole {
        let words = message.unwrap_or(match status.as_u16() {
            401 => "authentication failed",
            404 => "not found",
            429 => "too many requests",
            500.. => "internal server error",
            _ => "the request was refused",
        });
        let api_id = digest::stable_uuid(&[NAME, words]);
        answer::json(status.as_u16(), &json!({ "api_id": api_id, "error": words }))
    }

    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        messages.iter().flat_map(|message| hook.copies(message, receipt(hook, message))).collect()
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        let is_mms = !inbound.media.is_empty();
        let mut form = vec![
            pair("From", without_plus(inbound.from)),
            pair("To", without_plus(inbound.to)),
            pair("Text", inbound.body),
            pair("Type", if is_mms { "mms" } else { "sms" }),
            pair("MessageUUID", inbound.id),
            pair("Units", segments::count(inbound.body).to_string()),
            pair("TotalRate", "0"),
            pair("TotalAmount", "0"),
        ];
        if is_mms {
            form.push(pair("Body", inbound.body));
            form.push(pair("MediaCount", inbound.media.len().to_string()));
        }
        for (index, url) in inbound.media.iter().enumerate() {
            form.push(pair(&format!("Media{index}"), url.as_str()));
        }
        signed(hook, &[NAME, inbound.id], Method::POST, &form)
    }
}

fn check(json: &Value, outline: &Outline, people: &[&str]) -> Result<(), &'static str> {
    let has_source = !outline.from.is_empty() || json["powerpack_uuid"].is_string();
    if !has_source {
        return Err("src parameter not present");
    }
    if people.is_empty() {
        return Err("dst parameter not present");
    }
    if people.len() > DESTINATIONS_MAX {
        return Err("too many destination numbers");
    }
    if people.iter().any(|to| !is_phone(to)) {
        return Err("invalid number format");
    }
    if outline.body.is_empty() && outline.media.is_empty() {
        return Err("text parameter not present");
    }
    if outline.media.len() > MEDIA_MAX {
        return Err("media_urls has too many entries");
    }
    Ok(())
}

fn pair(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

fn receipt(hook: &Hook<'_>, message: &Accepted) -> Post {
    let (status, code) = match message.stage() {
        Stage::Sent => ("sent", "000"),
        Stage::Delivered => ("delivered", "000"),
        Stage::Undelivered("") => ("undelivered", "70"),
        Stage::Undelivered(code) => ("undelivered", code),
        Stage::Read => ("read", "000"),
    };
    let time = |time: jiff::Timestamp| time.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let id = &*message.provider_message_id;
    let form = vec![
        pair("MessageUUID", id),
        pair("ParentMessageUUID", id),
        pair("PartInfo", "1 of 1"),
        pair("Status", status),
        pair("From", without_plus(&message.from)),
        pair("To", without_plus(&message.to)),
        pair("Units", segments::count(&message.body).to_string()),
        pair("TotalRate", "0.0035"),
        pair("TotalAmount", "0.0035"),
        pair("MCC", "310"),
        pair("MNC", "410"),
        pair("ErrorCode", code),
        pair("QueuedTime", time(message.received_at)),
        pair("SentTime", time(hook.now())),
        pair("DeliveryReportTime", time(hook.now())),
    ];
    let method = if message.field("method") == "GET" { Method::GET } else { Method::POST };
    signed(hook, &[NAME, &message.receipts_key(), status], method, &form)
}

/// HMAC-SHA256 over the URL without its query, and the nonce.
/// <https://www.plivo.com/docs/messaging/concepts/signature-validation>
fn signed(hook: &Hook<'_>, own: &[&str], method: Method, form: &Form) -> Post {
    let base = hook.url.split(['?', '#']).next().unwrap_or_default();
    let nonce = digest::sha256(own.join(" ").as_bytes());
    let nonce: String = nonce[..20].iter().map(|byte| char::from(b'0' + byte % 10)).collect();
    let key = hook.account.signing_key.as_bytes();
    let signature = digest::base64(&digest::hmac_sha256(key, &[base.as_bytes(), nonce.as_bytes()]));
    let mut post = Post::form(hook.url, form);
    if method == Method::GET {
        let separator = if hook.url.contains('?') { '&' } else { '?' };
        post.url = format!("{}{separator}{}", hook.url, String::from_utf8_lossy(&post.body));
        post.content_type = String::new();
        post.body = Bytes::new();
    }
    post.method = method;
    post.with("x-plivo-signature-v2", signature.clone())
        .with("x-plivo-signature-ma-v2", signature)
        .with("x-plivo-signature-v2-nonce", nonce)
}
