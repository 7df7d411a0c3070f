//! `/ledger` and `/calls`: what was accepted, and every call that was seen, also refused ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{Html, IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{page, problem};
use crate::kind::Kind;
use crate::ledger::Summary;
use crate::message::Accepted;
use crate::simulator::Shared;

const PAGE_MESSAGES: usize = 100;
const WAIT_S_MAX: f64 = 300.0;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LedgerQuery {
    /// The newest so many; all without it.
    limit: Option<usize>,
    #[serde(default)]
    summary: bool,
    message_id: Option<Uuid>,
    to: Option<String>,
    /// Answer once so many messages were accepted, or after `wait_s` (30).
    wait_count: Option<usize>,
    wait_s: Option<f64>,
}

#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    summary: Summary,
    messages: Vec<Entry<'a>>,
}

/// A message as the ledger shows it.
#[derive(Serialize)]
struct Entry<'a> {
    kind: Kind,
    provider_message_id: &'a str,
    from: &'a str,
    to: &'a str,
    channel: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    body: &'a str,
    media: &'a [String],
    message_id: Option<Uuid>,
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'a str>,
    received_at: jiff::Timestamp,
    faults: &'a [String],
    /// When calls about this message arrived, in Unix milliseconds; refused ones too.
    calls_at_ms: &'a [i64],
}

impl<'a> Entry<'a> {
    fn new(message: &'a Accepted, calls_at_ms: &'a [i64]) -> Self {
        Self {
            kind: message.kind,
            provider_message_id: &message.provider_message_id,
            from: &message.from,
            to: &message.to,
            channel: &message.channel,
            subject: message.subject.as_deref(),
            body: &message.body,
            media: &message.media,
            message_id: message.message_id,
            attempt: message.attempt,
            idempotency_key: message.idempotency_key.as_deref(),
            received_at: message.received_at,
            faults: &message.faults,
            calls_at_ms,
        }
    }
}

pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<LedgerQuery>,
    headers: HeaderMap,
) -> Response {
    if let Some(wanted) = query.wait_count {
        let wait_s = query.wait_s.unwrap_or(30.0);
        if !(0.0..=WAIT_S_MAX).contains(&wait_s) {
            return problem(StatusCode::BAD_REQUEST, format!("`wait_s` must be between 0 and {WAIT_S_MAX}"));
        }
        let mut count = shared.ledger.watch_count();
        let enough = count.wait_for(|&count| count >= wanted);
        // Either way the answer says how many there are.
        let _ = tokio::time::timeout(Duration::from_secs_f64(wait_s), enough).await;
    }
    if query.summary {
        return Json(shared.ledger.summary()).into_response();
    }
    let wants_html = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_page = wants_html.is_some_and(|accept| accept.contains("text/html"));
    let limit = query.limit.unwrap_or(if is_page { PAGE_MESSAGES } else { usize::MAX });
    let messages = shared.ledger.messages(limit, |message| {
        query.message_id.is_none_or(|id| message.message_id == Some(id))
            && query.to.as_deref().is_none_or(|to| &*message.to == to)
    });
    let summary = shared.ledger.summary();
    if is_page {
        return Html(page::ledger(&summary, &messages)).into_response();
    }
    let mut times: HashMap<Uuid, Vec<i64>> = HashMap::new();
    for id in messages.iter().filter_map(|message| message.message_id) {
        times.entry(id).or_default();
    }
    shared.ledger.each_call(|call| {
        if let Some(times) = call.message_id.and_then(|id| times.get_mut(&id)) {
            times.push(call.at_ms);
        }
    });
    let entries = messages.iter().map(|message| {
        let times = message.message_id.and_then(|id| times.get(&id));
        Entry::new(message, times.map(Vec::as_slice).unwrap_or_default())
    });
    Json(Answer { summary, messages: entries.collect() }).into_response()
}

pub(crate) async fn clear(State(shared): State<Arc<Shared>>) -> Response {
    shared.keys.clear();
    match shared.ledger.clear() {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            let sentence = format!("the ledger's file cannot be emptied: {error}");
            problem(StatusCode::INTERNAL_SERVER_ERROR, sentence)
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CallsQuery {
    limit: Option<usize>,
    message_id: Option<Uuid>,
    to: Option<String>,
}

pub(crate) async fn calls(State(shared): State<Arc<Shared>>, Query(query): Query<CallsQuery>) -> Response {
    let calls = shared.ledger.calls(query.limit.unwrap_or(usize::MAX), |call| {
        query.message_id.is_none_or(|id| call.message_id == Some(id))
            && query.to.as_deref().is_none_or(|to| &*call.to == to)
    });
    let summary = shared.ledger.summary();
    Json(json!({ "count": summary.calls, "by_answer": summary.calls_by_answer, "calls": calls }))
        .into_response()
}
