//! Twilio SendGrid v3: mail send; the Event Webhook and Inbound Parse.

mod events;
mod inbound_parse;
mod mail;
mod validate;

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

pub(crate) use events::post_events;
pub(crate) use inbound_parse::{File, InboundMail, post_inbound, post_reply};

use crate::answer::{Exchange, Whole};
use crate::faults::Subject;
use crate::message::{Answered, Call, Kind};
use crate::options::SendgridAccount;
use crate::server::Connection;
use crate::simulator::Shared;

/// SendGrid's limit on a whole message.
const MESSAGE_BYTES_MAX: usize = 30 * 1024 * 1024;

/// An error as SendGrid lists it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
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
        let mut answer = http::Response::new(Bytes::from(body.to_string()));
        *answer.status_mut() = self.status;
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        answer
    }
}

/// `POST /v3/mail/send`
pub(crate) async fn send(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let at_ms = shared.options.clock.now().as_millisecond();
    let account = authenticate(&shared, &headers);
    let read = read(&headers, &body);
    let outline = read.as_ref().map(mail::outline).unwrap_or_default();
    let number = shared.ledger.begin_call(Call {
        kind: Kind::Sendgrid,
        account: account.as_ref().ok().map(|(index, _)| *index),
        message_id: outline.message_id,
        attempt: outline.attempt,
        to: outline.to.into(),
        at_ms,
        answer: Answered::Nothing,
    });
    let (index, account) = match account {
        Ok(account) => account,
        Err(refusal) => {
            shared.ledger.end_call(number, Answered::Status(refusal.status.as_u16()));
            return refusal.into_answer().map(Into::into);
        }
    };
    let message_key = outline.message_id.map_or_else(|| outline.to.to_owned(), |id| id.to_string());
    let met = shared.faults.meet(&Subject {
        kind: Kind::Sendgrid,
        account: &account.api_key,
        to: outline.to,
        from: outline.from,
        message_key: &message_key,
    });
    let exchange = Exchange { shared: &shared, connection: &connection, kind: Kind::Sendgrid, number, met };
    exchange
        .run(|met| {
            let checked = match &read {
                Ok(mail) => validate::check(mail).map(|()| mail),
                Err((status, message)) => Err(Refusal::new(*status, message)),
            };
            let mail = match checked {
                Ok(mail) => mail,
                Err(refusal) => return (Vec::new(), refusal.into_answer()),
            };
            let mut answer = http::Response::new(Bytes::new());
            if mail["mail_settings"]["sandbox_mode"]["enable"] == true {
                return (Vec::new(), answer);
            }
            let provider_message_id = shared.base64_id();
            if let Ok(id) = HeaderValue::from_str(&provider_message_id) {
                answer.headers_mut().insert(HeaderName::from_static("x-message-id"), id);
            }
            *answer.status_mut() = StatusCode::ACCEPTED;
            let now = shared.options.clock.now();
            (mail::accepted(mail, index, &provider_message_id, now, met), answer)
        })
        .await
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

fn authenticate<'a>(
    shared: &'a Shared,
    headers: &HeaderMap,
) -> Result<(usize, &'a SendgridAccount), Refusal> {
    let key = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
        .ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, "Permission denied, wrong credentials"))?;
    let message = "The provided authorization grant is invalid, expired, or revoked";
    let known = shared.options.sendgrid.iter().enumerate().find(|(_, account)| account.api_key == key);
    known.ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, message))
}

/// The error that a scripted fault asks for.
pub(crate) fn fault_error(status: StatusCode, message: Option<&str>) -> Whole {
    let message = message.unwrap_or(match status.as_u16() {
        429 => "too many requests",
        500.. => "internal error",
        _ => "The request was refused by a scripted fault",
    });
    Refusal::new(status, message).into_answer()
}
