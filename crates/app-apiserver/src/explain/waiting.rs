//! Why a message that is to be sent has not gone.

use std::time::Duration;

use app_db::messages::facts::{Leased, Work};
use jiff::Timestamp;
use model::{OnUnknown, Reason, Status, StatusPayload};

use super::candidates::Candidate;
use super::words::{aside, at, inside, meaning};
use super::{Known, State};

/// What is due for so long waits in a queue.
const LONG: Duration = Duration::from_secs(30);

pub(super) fn state(known: &Known<'_>, has_route: bool, candidates: &[Candidate]) -> State {
    let message = &known.facts.message;
    let reason = message.status_payload.as_ref().map(|payload| payload.code.clone());
    let state = why(known, has_route, candidates);
    State { reason: state.reason.or(reason), ..state }
}

fn why(known: &Known<'_>, has_route: bool, candidates: &[Candidate]) -> State {
    let facts = known.facts;
    let now = facts.now;
    let Some(work) = &facts.work else {
        return State::new("due", "It is on its way back into the outbox; ask again in a moment.".to_owned());
    };
    if let Some(lease) = &work.lease {
        return leased(known, work, lease);
    }
    let Some(due_at) = work.next_attempt_at else { return held(known) };
    if let Some(hold) = known.hold {
        return State::new("copy", format!("It waits: {hold}."));
    }
    if let Some(expires_at) = facts.message.expires_at.filter(|expires_at| *expires_at <= now) {
        let when = at(expires_at, now);
        let summary =
            format!("Its expires_at passed at {when} before it could be sent; it is failed within seconds.");
        return State { since: Some(expires_at), ..State::new("expired", summary) };
    }
    if work.reconciling {
        let when = at(due_at, now);
        let who = asked(known);
        let summary = format!(
            "Nobody knows whether {who} has it{}; a receipt is waited for until {when}, and if none comes it is held.",
            said(known)
        );
        return waiting(known, "reconciling", summary, due_at);
    }
    if due_at > now {
        return later(known, due_at);
    }
    let state = due(known, has_route, candidates, due_at);
    State { since: Some(due_at), ..state }
}

fn waiting(known: &Known<'_>, code: &'static str, summary: String, until: Timestamp) -> State {
    let message = &known.facts.message;
    State {
        since: Some(message.updated_at),
        until: Some(until),
        provider_id: message.provider_id.clone(),
        ..State::new(code, summary)
    }
}

/// Who was asked last.
fn asked<'a>(known: &Known<'a>) -> &'a str {
    known.facts.message.provider_id.as_deref().filter(|id| !id.is_empty()).unwrap_or("the provider")
}

fn said(known: &Known<'_>) -> String {
    let said = |payload: &StatusPayload| aside(payload.provider_code.as_deref(), payload.detail.as_deref());
    known.facts.message.status_payload.as_ref().map(said).unwrap_or_default()
}

fn leased(known: &Known<'_>, work: &Work, lease: &Leased) -> State {
    let (now, until) = (known.facts.now, lease.until);
    let when = at(until, now);
    let who = Some(lease.provider_id.as_str()).filter(|id| !id.is_empty());
    let (code, summary) = match who {
        None => (
            "expired",
            "Its time has passed before it could be sent; a processor is failing it now.".to_owned(),
        ),
        Some(_) if work.reconciling => {
            ("reconciling", "No receipt came in time; a processor is putting it on hold now.".to_owned())
        }
        Some(id) if until > now => {
            let summary = format!(
                "A processor is sending it through {id} right now; its lease runs until {when}, and is extended while \
                 the call takes."
            );
            ("sending", summary)
        }
        Some(id) => {
            let policy = known.config.provider(id).map_or(OnUnknown::Hold, |provider| provider.on_unknown);
            let then = match policy {
                OnUnknown::Retry => "it is sent again",
                OnUnknown::Hold => "it is held",
                OnUnknown::Reconcile => "a receipt is waited for",
            };
            let summary = format!(
                "The processor that was sending it through {id} has not been heard of since {when}: nobody knows \
                 whether {id} has it. The next claim finds that out, and by the policy of {id} {then}."
            );
            ("lease_lapsed", summary)
        }
    };
    State {
        until: Some(until),
        provider_id: who.map(str::to_owned),
        processor: Some(lease.processor),
        ..State::new(code, summary)
    }
}

fn held(known: &Known<'_>) -> State {
    let message = &known.facts.message;
    let code = message.status_payload.as_ref().map_or("", |payload| payload.code.as_str());
    if [Reason::Operator, Reason::Restored].iter().any(|reason| reason.as_str() == code) {
        let summary = format!(
            "It is held: {}. `app outbox release` makes it due, a retry sends it alone, a cancel ends it.",
            inside(meaning(code))
        );
        return State { since: Some(message.updated_at), ..State::new("held", summary) };
    }
    let who = asked(known);
    let summary = format!(
        "It is held: nobody knows whether {who} has it{}, and it is not sent again by itself. A receipt settles it; \
         a retry sends it again (the recipient may get it twice), a cancel ends it.",
        said(known)
    );
    State {
        since: Some(message.updated_at),
        provider_id: message.provider_id.clone(),
        ..State::new("held", summary)
    }
}

fn later(known: &Known<'_>, due_at: Timestamp) -> State {
    let message = &known.facts.message;
    let when = at(due_at, known.facts.now);
    if message.status == Status::Outbox {
        let summary = format!("It is scheduled: it is to be sent at {when}, and not before.");
        return waiting(known, "scheduled", summary, due_at);
    }
    let (who, said) = (asked(known), said(known));
    let code = message.status_payload.as_ref().map_or("", |payload| payload.code.as_str());
    if code == Reason::AwaitingDelivery.as_str() {
        let summary = format!(
            "{who} accepted it, and its delivery is waited for until {when}; if that is not reported by then, the next \
             provider has it too."
        );
        return waiting(known, "awaiting_delivery", summary, due_at);
    }
    if code == "throttled" {
        let summary = format!("{who} asked to slow down{said}; it is tried again at {when}.");
        return waiting(known, "rate_limited", summary, due_at);
    }
    let attempts = message.attempt;
    let most = known.config.processor.retry.max_attempts;
    let summary = format!(
        "The last call of {who} failed: {}{said}. It is tried again at {when}; {attempts} of at most {most} attempts \
         are used up.",
        inside(meaning(code))
    );
    waiting(known, "waiting_for_retry", summary, due_at)
}

/// It is due and nobody has it.
fn due(known: &Known<'_>, has_route: bool, candidates: &[Candidate], due_at: Timestamp) -> State {
    let now = known.facts.now;
    let since = at(due_at, now);
    if !has_route {
        let channel = known.facts.message.channel;
        let summary = format!(
            "It has been due since {since}, but no rule of the configuration takes it: it waits until one does (see \
             [[routes]], and whether a provider carries {channel})."
        );
        return State::new("no_route", summary);
    }
    let Some(best) = candidates.iter().min_by_key(|candidate| candidate.distance()) else {
        let summary = format!("It has been due since {since}, but its rule names no provider.");
        return State::new("no_provider", summary);
    };
    let id = &best.provider_id;
    let (code, summary) = match best.code() {
        "probing" => {
            let summary = format!(
                "It has been due since {since}, but {id} failed before and is being probed{}: a few messages at a time \
                 are sent to it, and all that are due once it answers them.",
                best.since().map_or_else(String::new, |began| format!(" (down since {})", at(began, now)))
            );
            ("probing", summary)
        }
        "ready" | "avoided" => {
            let is_long = due_at.checked_add(LONG).is_ok_and(|long| long < now);
            let queue = if is_long { " after those that were due before it" } else { "" };
            let summary = format!(
                "It has been due since {since}; {id} can take it, and a processor claims it in a moment{queue}."
            );
            ("due", summary)
        }
        "unknown" => {
            let summary = format!(
                "It has been due since {since}, but no processor has said anything within the last 15 seconds. See \
                 whether one is running."
            );
            ("no_processor", summary)
        }
        code => {
            let code = match code {
                "busy" | "rate_limited" => "rate_limited",
                "paused_by_operator" | "paused" => "paused_by_operator",
                "breaker_open" | "halted" => "provider_down",
                _ => "no_provider",
            };
            let each: Vec<String> = candidates.iter().map(|candidate| candidate.sentence(now)).collect();
            let summary = format!(
                "It has been due since {since}, but none of its providers can take it: {}.",
                each.join("; ")
            );
            (code, summary)
        }
    };
    State { until: best.until(), provider_id: Some(id.clone()), ..State::new(code, summary) }
}
