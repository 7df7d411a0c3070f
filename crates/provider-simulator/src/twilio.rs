//! Twilio Programmable Messaging: create, list and fetch messages; status callbacks and inbound messages.

mod callback;
mod resource;
mod segments;
mod validate;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

pub(crate) use callback::{Inbound, inbound_url, post_inbound, post_receipt, post_reply};

use crate::answer::{Exchange, Whole};
use crate::faults::{Met, Subject};
use crate::message::{Accepted, Answered, Call, Kind, own_reference};
use crate::options::TwilioAccount;
use crate::server::Connection;
use crate::simulator::Shared;
use validate::Refusal;

type Form = Vec<(String, String)>;

/// The first value of a name, unless it is empty.
fn value<'a>(form: &'a Form, name: &str) -> Option<&'a str> {
    form.iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
        .filter(|value| !value.is_empty())
}

/// `POST .../Messages.json`
pub(crate) async fn create(
    State(shared): State<Arc<Shared>>,
    Extension(connection): Extension<Connection>,
    Path(account_sid): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let at_ms = shared.options.clock.now().as_millisecond();
    let form: Form = form_urlencoded::parse(&body).into_owned().collect();
    let account = authenticate(&shared, &headers, &account_sid);
    let to = value(&form, "To").unwrap_or_default();
    let (message_id, attempt) = value(&form, "StatusCallback").map_or((None, None), reference_of_url);
    let number = shared.ledger.begin_call(Call {
        kind: Kind::Twilio,
        account: account.as_ref().ok().map(|(index, _)| *index),
        message_id,
        attempt,
        to: to.into(),
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
    let message_key = message_id.map_or_else(|| to.to_owned(), |id| id.to_string());
    let from = value(&form, "From").unwrap_or_default();
    let met = shared.faults.meet(&Subject {
        kind: Kind::Twilio,
        account: &account.account_sid,
        to,
        from,
        message_key: &message_key,
    });
    let exchange = Exchange { shared: &shared, connection: &connection, kind: Kind::Twilio, number, met };
    exchange
        .run(|met| {
            if let Err(refusal) = validate::check(&form) {
                return (Vec::new(), refusal.into_answer());
            }
            let message = Arc::new(accepted(&shared, index, &headers, &form, met));
            let mut answer = resource::json(&resource::message(&message, &account.account_sid, true));
            *answer.status_mut() = StatusCode::CREATED;
            (vec![message], answer)
        })
        .await
}

/// Before the numbers of either end of a WhatsApp message.
const WHATSAPP: &str = "whatsapp:";

fn accepted(shared: &Shared, account: usize, headers: &HeaderMap, form: &Form, met: &mut Met) -> Accepted {
    let media: Vec<String> =
        form.iter().filter(|(name, _)| name == "MediaUrl").map(|(_, url)| url.clone()).collect();
    let is_mms = !media.is_empty() || value(form, "SendAsMms") == Some("true");
    let channel = match value(form, "To") {
        Some(to) if to.starts_with(WHATSAPP) => "whatsapp",
        _ if is_mms => "mms",
        _ => "sms",
    };
    let callback_url = value(form, "StatusCallback");
    let (message_id, attempt) = callback_url.map_or((None, None), reference_of_url);
    Accepted {
        kind: Kind::Twilio,
        account,
        provider_message_id: format!("{}{}", if is_mms { "MM" } else { "SM" }, shared.hex_id()).into(),
        from: value(form, "From").unwrap_or_default().into(),
        to: value(form, "To").unwrap_or_default().into(),
        channel: channel.into(),
        subject: None,
        body: value(form, "Body").unwrap_or_default().into(),
        media,
        message_id,
        attempt,
        idempotency_key: headers.get("idempotency-key").and_then(|key| key.to_str().ok()).map(Into::into),
        received_at: shared.options.clock.now(),
        faults: std::mem::take(&mut met.names),
        callback_url: callback_url.map(Into::into),
        messaging_service_sid: value(form, "MessagingServiceSid").map(Into::into),
        event_fields: serde_json::Map::new(),
        plan: met.plan.clone(),
        receipts_done: 0.into(),
    }
}

fn reference_of_url(url: &str) -> (Option<uuid::Uuid>, Option<u32>) {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let pairs: Form = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    own_reference(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

fn authenticate<'a>(
    shared: &'a Shared,
    headers: &HeaderMap,
    account_sid: &str,
) -> Result<(usize, &'a TwilioAccount), Refusal> {
    let credentials = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
        .and_then(|encoded| String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok())
        .unwrap_or_default();
    let (user, password) = credentials.split_once(':').unwrap_or_default();
    let is_it = |account: &TwilioAccount| account.account_sid == user && account.auth_token == password;
    let known = shared.options.twilio.iter().enumerate().find(|(_, account)| is_it(account));
    let Some((index, account)) = known else {
        return Err(Refusal {
            status: StatusCode::UNAUTHORIZED,
            code: 20003,
            message: "Authenticate".to_owned(),
        });
    };
    if account.account_sid != account_sid {
        let message = format!("The requested resource /Accounts/{account_sid}/Messages.json was not found");
        return Err(Refusal { status: StatusCode::NOT_FOUND, code: 20404, message });
    }
    Ok((index, account))
}

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    #[serde(rename = "To")]
    to: Option<String>,
    #[serde(rename = "From")]
    from: Option<String>,
    #[serde(rename = "PageSize")]
    page_size: Option<usize>,
}

/// `GET .../Messages.json`: newest first, one page of at most 1000.
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    Path(account_sid): Path<String>,
    Query(query): Query<ListQuery>,
    headers: HeaderMap,
) -> Response {
    let (index, account) = match authenticate(&shared, &headers, &account_sid) {
        Ok(account) => account,
        Err(refusal) => return refusal.into_answer().map(Into::into),
    };
    let page_size = query.page_size.unwrap_or(50).clamp(1, 1000);
    let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
    let mut messages = shared.ledger.messages(page_size, |message| {
        message.kind == Kind::Twilio
            && message.account == index
            && is(&query.to, &message.to)
            && is(&query.from, &message.from)
    });
    messages.reverse();
    resource::json(&resource::page(&messages, &account.account_sid, page_size)).map(Into::into)
}

/// `GET .../Messages/{sid}.json`
pub(crate) async fn fetch(
    State(shared): State<Arc<Shared>>,
    Path((account_sid, file)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let (index, account) = match authenticate(&shared, &headers, &account_sid) {
        Ok(account) => account,
        Err(refusal) => return refusal.into_answer().map(Into::into),
    };
    let found = file
        .strip_suffix(".json")
        .and_then(|sid| shared.ledger.message(sid))
        .filter(|message| message.kind == Kind::Twilio && message.account == index);
    let answer = match found {
        Some(message) => resource::json(&resource::message(&message, &account.account_sid, false)),
        None => {
            let message = format!("The requested resource /Messages/{file} was not found");
            resource::error(StatusCode::NOT_FOUND, 20404, &message)
        }
    };
    answer.map(Into::into)
}

/// The error that a scripted fault asks for.
pub(crate) fn fault_error(status: StatusCode, code: Option<u32>, message: Option<&str>) -> Whole {
    let code = code.unwrap_or(match status.as_u16() {
        401 => 20003,
        403 => 20403,
        404 => 20404,
        429 => 20429,
        503 => 20503,
        500.. => 20500,
        _ => 20001,
    });
    let message = message.unwrap_or(match status.as_u16() {
        429 => "Too Many Requests",
        500.. => "The server is not available",
        _ => "The request was refused by a scripted fault",
    });
    resource::error(status, code, message)
}
