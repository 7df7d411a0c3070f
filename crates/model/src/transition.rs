//! The state machine: what an outcome does to a message. One pure function per cause; app-db writes what they say.

use std::time::Duration;

use crate::{Delivery, OnUnknown, Outcome, Reason, RetryPolicy, Status, StatusPayload};

/// What becomes of the outbox row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Settled: the row goes.
    Gone,
    /// Due again after this.
    After(Duration),
    /// Held: the row stays and is never due.
    Never,
}

/// A row of `message_events`: what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Accepted,
    Sent,
    Retrying,
    Failed,
    Canceled,
    OutcomeUnknown,
    Held,
    Requeued,
    Receipt,
    Received,
}

impl EventKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Sent => "sent",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::Held => "held",
            Self::Requeued => "requeued",
            Self::Receipt => "receipt",
            Self::Received => "received",
        }
    }
}

/// One step of a message, ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    pub status: Status,
    pub delivery: Delivery,
    pub payload: Option<StatusPayload>,
    pub next: Next,
    /// The message's attempt count after this step.
    pub attempt: u32,
    pub event: EventKind,
    pub provider_message_id: Option<String>,
}

/// What the rules need to know of the message in hand.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// Attempts counted before this one.
    pub attempt: u32,
    /// Since it was due first.
    pub age: Duration,
    /// How often it was claimed (its lease number): drives the backoff of waits that cost no attempt.
    pub claims: u32,
    /// `jitter` in [0, 1) spreads the retries.
    pub jitter: f64,
    pub earlier: Earlier,
}

/// What is known of earlier attempts that a provider accepted, where delivery is to be confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Earlier {
    /// There were none.
    #[default]
    None,
    /// One may still be delivered.
    Accepted,
    /// Of each the carrier has said since that it was not delivered.
    Refused,
}

/// What the configuration says about the attempt in hand.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub policy: &'a RetryPolicy,
    pub on_unknown: OnUnknown,
    pub reconcile_wait: Duration,
    pub elsewhere: Elsewhere,
    /// A message that is not delivered so long after a provider accepted it goes to another, too. Nothing where no
    /// other is left.
    pub confirm_within: Option<Duration>,
}

/// Whether another provider may take over what this one did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// There is none.
    Nowhere,
    /// There is one, and none has failed the message just before: it may have it at once.
    Now,
    /// There is one, and the last to fail was already the second in a row: all wait, or two providers that are down
    /// would use up a message's attempts between them in no time.
    Later,
}

/// The step that an outcome asks for. With another provider at hand waits are none, and a refusal that is about our
/// account is not the last word.
pub fn after_outcome(outcome: &Outcome, tried: Tried, rules: &Rules<'_>) -> Transition {
    beside(tried.earlier, after_outcome_alone(outcome, tried, rules))
}

/// A provider has accepted the message before: what another one says of it neither fails it, nor holds it, nor takes that
/// back. What it ends with is what became of the earlier attempts.
fn beside(earlier: Earlier, step: Transition) -> Transition {
    let is_over = step.status == Status::Failed || step.delivery == Delivery::Unknown;
    match (earlier, step.status) {
        (Earlier::None, _) | (_, Status::Ok) => step,
        (_, _) if is_over => {
            let event = match step.event {
                EventKind::OutcomeUnknown => EventKind::OutcomeUnknown,
                _ => EventKind::Retrying,
            };
            let said = step.payload;
            let ended = unconfirmed(step.attempt, earlier);
            // The code stays the earlier attempt's; what was said of this one is in the words.
            let payload = ended.payload.map(|payload| StatusPayload {
                provider_code: said.as_ref().and_then(|said| said.provider_code.clone()),
                detail: said.map(|said| match said.detail {
                    Some(detail) => format!("another provider: {}: {detail}", said.code),
                    None => format!("another provider: {}", said.code),
                }),
                ..payload
            });
            Transition { event, payload, ..ended }
        }
        _ => Transition { delivery: Delivery::Pending, ..step },
    }
}

fn after_outcome_alone(outcome: &Outcome, tried: Tried, rules: &Rules<'_>) -> Transition {
    let &Rules { policy, elsewhere, confirm_within, .. } = rules;
    let counted = tried.attempt + 1;
    let wait_unless_elsewhere = |tries: u32, retry_after: Option<Duration>| match elsewhere {
        Elsewhere::Now => Duration::ZERO,
        // What one provider asks for binds no other.
        Elsewhere::Later => policy.delay(tries, None, tried.jitter),
        Elsewhere::Nowhere => policy.delay(tries, retry_after, tried.jitter),
    };
    match outcome {
        Outcome::Rejected { reason: Reason::Configuration, provider_code, detail }
            if elsewhere == Elsewhere::Now =>
        {
            let (code, detail) = (provider_code.clone(), Some(detail.clone()));
            retry_or_give_up(Reason::Configuration, code, detail, Duration::ZERO, counted, tried, policy)
        }
        Outcome::Accepted { provider_message_id } => {
            let accepted = Transition {
                status: Status::Ok,
                delivery: Delivery::Pending,
                payload: None,
                next: Next::Gone,
                attempt: counted,
                event: EventKind::Sent,
                provider_message_id: provider_message_id.clone(),
            };
            match confirm_within.filter(|_| elsewhere != Elsewhere::Nowhere) {
                Some(wait) => Transition {
                    status: Status::Retry,
                    payload: Some(StatusPayload::new(Reason::AwaitingDelivery)),
                    next: Next::After(wait),
                    ..accepted
                },
                None => accepted,
            }
        }
        Outcome::Rejected { reason, provider_code, detail } => {
            failed(*reason, provider_code.clone(), Some(detail.clone()), counted)
        }
        Outcome::Unavailable { retry_after, provider_code, detail } => {
            let wait = wait_unless_elsewhere(counted, *retry_after);
            let detail = Some(detail.clone());
            retry_or_give_up(Reason::Unavailable, provider_code.clone(), detail, wait, counted, tried, policy)
        }
        Outcome::Throttled { retry_after, provider_code } => {
            let wait = wait_unless_elsewhere(tried.claims, *retry_after);
            wait_at_no_cost(Reason::Throttled, provider_code.clone(), None, wait, tried, policy)
        }
        Outcome::Unreachable { detail } => {
            let wait = wait_unless_elsewhere(tried.claims, None);
            wait_at_no_cost(Reason::Unreachable, None, Some(detail.clone()), wait, tried, policy)
        }
        Outcome::Forbidden { provider_code, detail } => {
            let wait = wait_unless_elsewhere(counted, None);
            let detail = Some(detail.clone());
            retry_or_give_up(Reason::Forbidden, provider_code.clone(), detail, wait, counted, tried, policy)
        }
        Outcome::Halted { provider_code, detail } => {
            let wait = wait_unless_elsewhere(tried.claims, None);
            wait_at_no_cost(Reason::Halted, provider_code.clone(), Some(detail.clone()), wait, tried, policy)
        }
        Outcome::Uncertain { reason, detail } => after_unknown(*reason, Some(detail.clone()), tried, rules),
    }
}

/// The step after an attempt of which nobody knows whether the provider has the message: an uncertain answer, or
/// a lease that lapsed. The attempt counts.
pub fn after_unknown(reason: Reason, detail: Option<String>, tried: Tried, rules: &Rules<'_>) -> Transition {
    let &Rules { policy, on_unknown, reconcile_wait, .. } = rules;
    let counted = tried.attempt + 1;
    let step = match on_unknown {
        OnUnknown::Retry => {
            let wait = policy.delay(counted, None, tried.jitter);
            let step = retry_or_give_up(reason, None, detail, wait, counted, tried, policy);
            Transition { event: EventKind::OutcomeUnknown, ..step }
        }
        OnUnknown::Hold => {
            Transition { event: EventKind::OutcomeUnknown, ..held(reason, detail, counted, Next::Never) }
        }
        OnUnknown::Reconcile => {
            let next = Next::After(reconcile_wait);
            Transition { event: EventKind::OutcomeUnknown, ..held(reason, detail, counted, next) }
        }
    };
    beside(tried.earlier, step)
}

/// The step when no receipt came while a message waited to be reconciled.
pub fn after_reconcile_wait(attempt: u32) -> Transition {
    held(Reason::OutcomeUnknown, Some("no receipt came in time".to_owned()), attempt, Next::Never)
}

/// The step of a message that a provider accepted, that was not confirmed in time, and that nobody else can take.
pub fn unconfirmed(attempt: u32, earlier: Earlier) -> Transition {
    let (delivery, reason) = match earlier {
        Earlier::Refused => (Delivery::Undelivered, Reason::Undelivered),
        Earlier::None | Earlier::Accepted => (Delivery::Pending, Reason::AwaitingDelivery),
    };
    Transition {
        status: Status::Ok,
        delivery,
        payload: Some(StatusPayload::new(reason)),
        next: Next::Gone,
        attempt,
        event: EventKind::Sent,
        provider_message_id: None,
    }
}

/// The step of a message that outlived its time before it could be sent.
pub fn expired(attempt: u32) -> Transition {
    failed(Reason::Expired, None, None, attempt)
}

fn held(reason: Reason, detail: Option<String>, attempt: u32, next: Next) -> Transition {
    let detail = Some(match detail {
        Some(detail) => format!("{reason}: {detail}"),
        None => reason.to_string(),
    });
    Transition {
        status: Status::Retry,
        delivery: Delivery::Unknown,
        payload: Some(StatusPayload { detail, ..StatusPayload::new(Reason::OutcomeUnknown) }),
        next,
        attempt,
        event: EventKind::Held,
        provider_message_id: None,
    }
}

fn failed(reason: Reason, provider_code: Option<String>, detail: Option<String>, attempt: u32) -> Transition {
    Transition {
        status: Status::Failed,
        delivery: Delivery::None,
        payload: Some(StatusPayload { provider_code, detail, ..StatusPayload::new(reason) }),
        next: Next::Gone,
        attempt,
        event: EventKind::Failed,
        provider_message_id: None,
    }
}

fn retry_or_give_up(
    reason: Reason,
    provider_code: Option<String>,
    detail: Option<String>,
    wait: Duration,
    attempt: u32,
    tried: Tried,
    policy: &RetryPolicy,
) -> Transition {
    if attempt >= policy.max_attempts {
        let detail = Some(format!("{attempt} attempts, the last: {reason}"));
        return failed(Reason::Exhausted, provider_code, detail, attempt);
    }
    let step = wait_at_no_cost(reason, provider_code, detail, wait, tried, policy);
    Transition { attempt, ..step }
}

fn wait_at_no_cost(
    reason: Reason,
    provider_code: Option<String>,
    detail: Option<String>,
    wait: Duration,
    tried: Tried,
    policy: &RetryPolicy,
) -> Transition {
    if tried.age >= policy.max_age {
        let detail = Some(format!("the last: {reason}"));
        return failed(Reason::Expired, provider_code, detail, tried.attempt);
    }
    Transition {
        status: Status::Retry,
        delivery: Delivery::None,
        payload: Some(StatusPayload { provider_code, detail, ..StatusPayload::new(reason) }),
        next: Next::After(wait),
        attempt: tried.attempt,
        event: EventKind::Retrying,
        provider_message_id: None,
    }
}

#[cfg(test)]
mod tests;
