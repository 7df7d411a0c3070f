//! Twilio SendGrid v3: mail send; the Event Webhook and Inbound Parse.

mod events;
mod inbound_parse;
mod mail;
mod validate;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::account::Account;
use crate::answer::{self, Whole};
use crate::http_call::HttpCall;
use crate::kind::{Hook, Inbound, Outline, Protocol, Reading};
use crate::message::Accepted;
use crate::options::{Options, SendgridAccount};
use crate::post::Post;
use crate::simulator::Shared;

const NAME: &str = "sendgrid";

/// SendGrid's limit on a whole message.
const MESSAGE_BYTES_MAX: usize = 30 * 1024 * 1024;

/// An error as SendGrid lists it.
#[derive(Debug, PartialEq, Eq)]
struct Refusal {
    status: StatusCode,
    message: String,
    field: Option<String>,
}

impl Refusal {
    fn new(status: StatusCode, message: &str) -> Self {
        Self { status, message: message.to_owned(), field: None }
    }

    fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, message: message.into(), field: Some(field.into()) }
    }

    fn into_answer(self) -> Whole {
        let body =
            json!({ "errors": [{ "message": self.message, "field": self.field, "help": Value::Null }] });
        answer::json(self.status.as_u16(), &body)
    }
}

#[derive(Debug)]
pub(crate) struct Sendgrid;

impl Protocol for Sendgrid {
    fn name(&self) -> &'static str {
        NAME
    }

    fn demo_account(&self) -> Account {
        account(&SendgridAccount::default())
    }

    fn accounts(&self, options: &Options) -> Vec<Account> {
        options.sendgrid.iter().map(account).collect()
    }

    fn send_paths(&self) -> &'static [&'static str] {
        &["/v3/mail/send"]
    }

    fn authenticate(&self, shared: &Shared, call: &HttpCall) -> Result<usize, Whole> {
        let refuse = |message| Refusal::new(StatusCode::UNAUTHORIZED, message).into_answer();
        let key =
            call.authorization("Bearer").ok_or_else(|| refuse("Permission denied, wrong credentials"))?;
        let known = shared.find_account(NAME, |account| account.secret == key);
        known.ok_or_else(|| refuse("The provided authorization grant is invalid, expired, or revoked"))
    }

    fn read(&self, call: &HttpCall) -> Reading {
        let mail = match read(&call.headers, &call.body) {
            Ok(mail) => mail,
            Err((status, message)) => return Reading::refused(Refusal::new(status, message).into_answer()),
        };
        let mut reading =
            Reading::checked(mail::outlines(&mail), validate::check(&mail).map_err(Refusal::into_answer));
        if reading.answer.is_none() && mail["mail_settings"]["sandbox_mode"]["enable"] == true {
            reading.answer = Some(Whole::empty());
        }
        reading
    }

    /// One for all recipients.
    fn ids(&self, shared: &Shared, outlines: &[Outline]) -> Vec<String> {
        vec![shared.base64_id(); outlines.len()]
    }

    fn inbound_id(&self, hex: &str, _has_media: bool) -> String {
        format!("{hex}@simulator.invalid")
    }

    fn answer(&self, _account: &Account, messages: &[Arc<Accepted>]) -> Whole {
        let mut answer = Whole::empty();
        *answer.status_mut() = StatusCode::ACCEPTED;
        let id = messages.first().map(|message| HeaderValue::from_str(&message.provider_message_id));
        if let Some(Ok(id)) = id {
            answer.headers_mut().insert(HeaderName::from_static("x-message-id"), id);
        }
        answer
    }

    /// There are no codes.
    fn error(&self, status: StatusCode, _code: Option<&str>, message: Option<&str>) -> Whole {
        let message = message.unwrap_or(match status.as_u16() {
            429 => "too many requests",
            500.. => "internal error",
            _ => "The request was refused by a scripted fault",
        });
        Refusal::new(status, message).into_answer()
    }

    /// One batch, copies within.
    fn receipts(&self, hook: &Hook<'_>, messages: &[&Accepted]) -> Vec<Post> {
        events::post(hook, messages).into_iter().collect()
    }

    fn batches_receipts(&self) -> bool {
        true
    }

    fn inbound(&self, hook: &Hook<'_>, inbound: &Inbound<'_>) -> Post {
        let accounts = &hook.shared.options.sendgrid;
        let mut own = accounts.iter().filter(|account| account.api_key == hook.account.name);
        let raw = inbound.raw.unwrap_or_else(|| own.any(|account| account.inbound_parse_raw));
        inbound_parse::post(hook.url, inbound, raw)
    }

    /// Inbound Parse is a setting of its own: events go elsewhere.
    fn inbound_url(&self, account: &Account, _last: Option<&Accepted>) -> Option<String> {
        account.inbound_url.as_ref().map(|url| url.as_str().to_owned())
    }
}

fn account(account: &SendgridAccount) -> Account {
    Account {
        kind: NAME.to_owned(),
        name: account.api_key.clone(),
        secret: account.api_key.clone(),
        webhook_url: account.event_webhook_url.clone(),
        inbound_url: account.inbound_parse_url.clone(),
        ..Account::default()
    }
}

/// The body as JSON, or the status and the words of its refusal.
fn read(headers: &HeaderMap, body: &[u8]) -> Result<Value, (StatusCode, &'static str)> {
    let content_type =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !content_type.to_ascii_lowercase().starts_with("application/json") {
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Type should be application/json."));
    }
    if body.len() > MESSAGE_BYTES_MAX {
        return Err((
            StatusCode::PAYLOAD_TOO_LARGE,
            "The JSON payload you have included in your request is too large.",
        ));
    }
    serde_json::from_slice(body).map_err(|_| (StatusCode::BAD_REQUEST, "Bad Request"))
}
