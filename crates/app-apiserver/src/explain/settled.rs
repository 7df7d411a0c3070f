//! What is to be said of a message that nobody is to send any more.

use model::{Delivery, Direction, Message, Status, StatusPayload};

use super::words::{aside, at, inside, meaning, span};
use super::{Known, State};

pub(super) fn state(known: &Known<'_>) -> State {
    let message = &known.facts.message;
    let state = match (message.direction, message.status) {
        (Direction::Inbound, _) => received(known),
        (_, Status::Failed) => failed(known),
        _ => accepted(known),
    };
    State {
        reason: message.status_payload.as_ref().map(|payload| payload.code.clone()),
        since: Some(message.updated_at),
        provider_id: message.provider_id.clone(),
        ..state
    }
}

fn provider(message: &Message) -> &str {
    message.provider_id.as_deref().filter(|id| !id.is_empty()).unwrap_or("a provider")
}

fn received(known: &Known<'_>) -> State {
    let message = &known.facts.message;
    let when = at(message.created_at, known.facts.now);
    let summary =
        format!("It was received through {} at {when}; there is nothing to send.", provider(message));
    State::new("received", summary)
}

fn failed(known: &Known<'_>) -> State {
    let message = &known.facts.message;
    let when = at(message.updated_at, known.facts.now);
    let payload = message.status_payload.as_ref();
    let code = payload.map_or("failed", |payload| payload.code.as_str());
    if code == "canceled" {
        let summary = format!("It was canceled at {when} before it was sent; a retry sends it after all.");
        return State::new("canceled", summary);
    }
    let why = inside(meaning(code));
    let said = said(payload);
    let by = match (message.attempt, message.provider_id.as_deref()) {
        (0, _) | (_, None) => String::new(),
        (1, Some(id)) => format!(" at the first attempt, through {id}"),
        (attempt, Some(id)) => format!(" after {attempt} attempts, the last through {id}"),
    };
    let summary = format!("It failed at {when}{by}, and will not be sent: {why}{said}. It can be retried.");
    State::new("failed", summary)
}

fn said(payload: Option<&StatusPayload>) -> String {
    payload.map_or_else(String::new, |payload| {
        aside(payload.provider_code.as_deref(), payload.detail.as_deref())
    })
}

fn accepted(known: &Known<'_>) -> State {
    let message = &known.facts.message;
    let when = at(message.updated_at, known.facts.now);
    let who = provider(message);
    let configured = message.provider_id.as_deref().and_then(|id| known.config.provider(id));
    let reports = configured.is_none_or(|provider| provider.kind.receipts);
    let said = said(message.status_payload.as_ref());
    match message.delivery {
        Delivery::Pending if !reports => {
            let summary = format!(
                "{who} accepted it at {when}, and does not report on delivery: nothing more is known."
            );
            State::new("accepted", summary)
        }
        Delivery::Pending => {
            let deadline = known.config.processor.receipt_deadline;
            let until = deadline.and_then(|deadline| message.updated_at.checked_add(deadline).ok());
            let until_when = until.map_or_else(String::new, |until| {
                format!(" It is waited for until {}.", at(until, known.facts.now))
            });
            let summary = format!("{who} accepted it at {when}; its receipt has not come yet.{until_when}");
            State { until, ..State::new("waiting_for_receipt", summary) }
        }
        Delivery::Unknown => {
            let waited = known.config.processor.receipt_deadline.map(span);
            let waited = waited.map_or_else(String::new, |waited| format!(" within {waited}"));
            let summary = format!(
                "{who} accepted it and did not report on its delivery{waited}; since {when} nobody counts on it. A \
                 receipt that comes later still applies."
            );
            State::new("receipt_timeout", summary)
        }
        Delivery::Sent => {
            let summary = format!(
                "{who} handed it to the carrier, as it reported at {when}; whether it was delivered is not known yet."
            );
            State::new("sent", summary)
        }
        Delivery::Undelivered => {
            let again = match message.status_payload.as_ref().and_then(|payload| payload.temporary) {
                Some(true) => " Another try might be delivered.",
                _ => "",
            };
            let summary =
                format!("{who} accepted it, and reported at {when} that it was not delivered{said}.{again}");
            State::new("undelivered", summary)
        }
        Delivery::Read => {
            State::new("read", format!("It was delivered and read, as {who} reported at {when}."))
        }
        Delivery::None | Delivery::Delivered | Delivery::Received => {
            State::new("delivered", format!("It was delivered, as {who} reported at {when}."))
        }
    }
}
