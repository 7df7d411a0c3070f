//! Twilio's JSON: the message resource, a page of them, and the error.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use http::StatusCode;
use serde_json::{Value, json};

use crate::answer::{self, Whole};
use crate::message::{Accepted, Stage};
use crate::segments;

/// RFC 2822, in UTC.
const DATE: &str = "%a, %d %b %Y %H:%M:%S +0000";

pub(super) fn json(value: &Value) -> Whole {
    answer::json(200, value)
}

pub(super) fn error(status: StatusCode, code: u32, message: &str) -> Whole {
    let mut answer = json(&json!({
        "code": code,
        "message": message,
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "status": status.as_u16(),
    }));
    *answer.status_mut() = status;
    answer
}

pub(super) fn status_of(stage: Stage<'_>) -> &'static str {
    match stage {
        Stage::Sent => "sent",
        Stage::Delivered => "delivered",
        Stage::Undelivered(_) => "undelivered",
        Stage::Read => "read",
    }
}

/// The status that the receipts so far have told.
fn status(message: &Accepted, receipts_done: u8) -> &'static str {
    match receipts_done {
        0 if message.messaging_service_sid.is_some() => "accepted",
        0 => "queued",
        1 => "sent",
        _ if message.plan.undelivered.is_some() => "undelivered",
        2 => "delivered",
        _ => "read",
    }
}

/// `is_new`: as the create call shows it, before anything was sent.
pub(super) fn message(message: &Accepted, account_sid: &str, is_new: bool) -> Value {
    let receipts_done = if is_new { 0 } else { message.receipts_done.load(SeqCst) };
    let status = status(message, receipts_done);
    let is_by_service = message.messaging_service_sid.is_some();
    let date = message.received_at.strftime(DATE).to_string();
    let code = if status == "undelivered" { undelivered_code(message).parse::<u32>().ok() } else { None };
    let uri = format!("/2010-04-01/Accounts/{account_sid}/Messages/{}", message.provider_message_id);
    json!({
        "account_sid": account_sid,
        "api_version": "2010-04-01",
        "body": message.body,
        "date_created": date,
        "date_sent": (receipts_done > 0).then_some(&date),
        "date_updated": date,
        "direction": "outbound-api",
        "error_code": code,
        "error_message": Value::Null,
        "from": if is_by_service && message.from.is_empty() { Value::Null } else { json!(message.from) },
        "messaging_service_sid": message.messaging_service_sid,
        "num_media": message.media.len().to_string(),
        "num_segments": if is_by_service && is_new { 0 } else { segments::count(&message.body) }.to_string(),
        "price": Value::Null,
        "price_unit": Value::Null,
        "sid": message.provider_message_id,
        "status": status,
        "subresource_uris": { "media": format!("{uri}/Media.json") },
        "tags": Value::Null,
        "to": message.to,
        "uri": format!("{uri}.json"),
    })
}

/// The code of an undelivered message: the fault's, or Twilio's for an unreachable handset.
pub(super) fn undelivered_code(message: &Accepted) -> &str {
    match message.plan.undelivered.as_deref() {
        None | Some("") => "30003",
        Some(code) => code,
    }
}

pub(super) fn page(messages: &[Arc<Accepted>], account_sid: &str, page_size: usize) -> Value {
    let uri = format!("/2010-04-01/Accounts/{account_sid}/Messages.json?PageSize={page_size}&Page=0");
    let shown: Vec<Value> = messages.iter().map(|it| message(it, account_sid, false)).collect();
    json!({
        "end": shown.len().saturating_sub(1),
        "first_page_uri": uri,
        "messages": shown,
        "next_page_uri": Value::Null,
        "page": 0,
        "page_size": page_size,
        "previous_page_uri": Value::Null,
        "start": 0,
        "uri": uri,
    })
}
