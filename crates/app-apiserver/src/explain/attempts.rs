//! What happened at each attempt, and what receipts said, read from a message's events.

use app_db::messages::events::Event;
use serde::Serialize;
use utoipa::ToSchema;

use super::words;
use crate::times;

/// A call of a provider.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExplanationAttempt)]
pub(crate) struct AttemptJson {
    /// Which attempt it was, from 1. Calls that cost none (`is_counted`) have the number of the next.
    pub number: i32,
    /// Whether it counts towards `max_attempts`.
    pub is_counted: bool,
    #[schema(format = DateTime)]
    pub at: String,
    /// Null where no provider was called: the message does not fit its provider, or a file could not be fetched.
    #[schema(required = true)]
    pub provider_id: Option<String>,
    /// `accepted`, `rejected`, `forbidden`, `throttled`, `unavailable`, `unreachable`, `halted`, `unknown` or `gave_up`.
    pub outcome: &'static str,
    /// A stable word for why; null where it was accepted.
    #[schema(required = true)]
    pub code: Option<String>,
    /// The provider's own code, as it gave it.
    #[schema(required = true)]
    pub provider_code: Option<String>,
    /// What that means, for people.
    #[schema(required = true)]
    pub detail: Option<String>,
}

/// A provider's later word.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExplanationReceipt)]
pub(crate) struct ReceiptJson {
    #[schema(format = DateTime)]
    pub at: String,
    #[schema(required = true)]
    pub provider_id: Option<String>,
    /// `sent`, `delivered`, `undelivered` or `read`.
    pub delivery: String,
    #[schema(required = true)]
    pub provider_code: Option<String>,
    #[schema(required = true)]
    pub detail: Option<String>,
}

/// The outcome that an event tells of; nothing where no provider was called.
fn outcome(event: &Event) -> Option<(&'static str, bool)> {
    let code = event.code.as_deref().unwrap_or_default();
    match event.kind.as_str() {
        "sent" => Some(("accepted", true)),
        "outcome_unknown" if code != "receipt_timeout" => Some(("unknown", true)),
        "retrying" => Some(match code {
            "throttled" => ("throttled", false),
            "unreachable" => ("unreachable", false),
            "halted" => ("halted", false),
            "unavailable" => ("unavailable", true),
            "forbidden" => ("forbidden", true),
            _ => ("rejected", true),
        }),
        "failed" => match code {
            "exhausted" => Some(("gave_up", true)),
            // Without a detail nobody was asked: its time was over before.
            "expired" => event.detail.as_ref().map(|_| ("gave_up", false)),
            _ => Some(("rejected", true)),
        },
        _ => None,
    }
}

pub(super) fn attempts(events: &[Event]) -> Vec<AttemptJson> {
    let attempt = |event: &Event| {
        let (outcome, is_counted) = outcome(event)?;
        Some(AttemptJson {
            number: event.attempt + i32::from(!is_counted),
            is_counted,
            at: times::format(event.created_at),
            provider_id: event.provider_id.clone(),
            outcome,
            code: event.code.clone(),
            provider_code: event.provider_code.clone(),
            detail: detail(event),
        })
    };
    events.iter().filter_map(attempt).collect()
}

pub(super) fn receipts(events: &[Event]) -> Vec<ReceiptJson> {
    let receipts = events.iter().filter(|event| event.kind == "receipt");
    receipts
        .map(|event| ReceiptJson {
            at: times::format(event.created_at),
            provider_id: event.provider_id.clone(),
            delivery: event.delivery.clone(),
            provider_code: event.provider_code.clone(),
            detail: event.detail.clone(),
        })
        .collect()
}

/// The code in words, and what the adapter says of the provider's own.
fn detail(event: &Event) -> Option<String> {
    let code = event.code.as_deref()?;
    Some(match &event.detail {
        Some(detail) => format!("{}: {detail}", words::meaning(code)),
        None => words::meaning(code).to_owned(),
    })
}
