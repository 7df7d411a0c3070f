//! Which call a receipt is about. A receipt counts only for a message that its own provider was asked to send, on an
//! attempt that exists; the lease, the message and its events record who was asked.

use crate::Status;

/// A call that a provider was asked to make for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallRecord<'a> {
    pub provider_id: &'a str,
    /// The number of the attempt, from 1. A call that cost no attempt has the number of the next one.
    pub attempt: u32,
}

/// Why a receipt is about no call of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCall {
    /// There is no outbound message of this id.
    UnknownMessage,
    /// This provider was never asked to send the message.
    NotAsked,
    /// This provider was asked, but not on that attempt.
    WrongAttempt,
}

impl NoCall {
    pub const ALL: [Self; 3] = [Self::UnknownMessage, Self::NotAsked, Self::WrongAttempt];

    /// The metric label and the word for logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UnknownMessage => "unknown_message",
            Self::NotAsked => "not_asked",
            Self::WrongAttempt => "wrong_attempt",
        }
    }
}

/// What the message's row and its outbox row tell without its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatestCall<'a> {
    /// The call that a lease is for: it may be under way.
    pub leased: Option<CallRecord<'a>>,
    pub status: Status,
    pub provider_id: Option<&'a str>,
    /// Attempts counted so far.
    pub attempt: u32,
}

impl LatestCall<'_> {
    /// The attempt that a receipt of this provider is about, where that is certain without the message's events. Of a
    /// message that is `ok` after one attempt, its provider made that attempt.
    pub fn answers(&self, provider_id: &str, attempt: Option<u32>) -> Option<u32> {
        let only_call = match (self.status, self.provider_id) {
            (Status::Ok, Some(provider_id)) if self.attempt == 1 => {
                Some(CallRecord { provider_id, attempt: 1 })
            }
            _ => None,
        };
        let known = self.leased.into_iter().chain(only_call);
        find_call(provider_id, attempt, known).ok()
    }
}

/// The attempt that a receipt of this provider is about. Where it names none, the latest of its provider.
///
/// # Errors
/// Why there is no such call among these.
pub fn find_call<'a>(
    provider_id: &str,
    attempt: Option<u32>,
    calls: impl Iterator<Item = CallRecord<'a>>,
) -> Result<u32, NoCall> {
    let mut is_asked = false;
    let found = calls
        .filter(|call| call.provider_id == provider_id)
        .inspect(|_| is_asked = true)
        .map(|call| call.attempt)
        .filter(|&number| attempt.is_none_or(|attempt| attempt == number))
        .max();
    found.ok_or(if is_asked { NoCall::WrongAttempt } else { NoCall::NotAsked })
}

/// The call that an event records, if it records one. `attempt` is the event's count of attempts.
pub fn call_of_event<'a>(
    kind: &str,
    code: Option<&str>,
    detail: Option<&str>,
    provider_id: &'a str,
    attempt: u32,
) -> Option<CallRecord<'a>> {
    let code = code.unwrap_or_default();
    let number = match (kind, code) {
        // Only a receipt about a call of ours leaves an event; it may be the only record of that call.
        ("sent" | "receipt", _) => attempt,
        ("outcome_unknown", code) if code != "receipt_timeout" => attempt,
        // No byte of the request was written.
        ("retrying", "unreachable") => return None,
        ("retrying", code) if costs_no_attempt(code) => attempt + 1,
        ("retrying", _) => attempt,
        ("failed", "expired") => match detail?.trim_start_matches("the last: ") {
            "unreachable" => return None,
            code if costs_no_attempt(code) => attempt + 1,
            _ => attempt,
        },
        ("failed", _) => attempt,
        _ => return None,
    };
    Some(CallRecord { provider_id, attempt: number })
}

fn costs_no_attempt(code: &str) -> bool {
    matches!(code, "throttled" | "halted")
}
