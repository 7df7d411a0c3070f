//! Who could carry a message now, and if not, why not: of each candidate, as processors have published it.

use app_db::provider_pauses::ProviderPause;
use app_db::provider_states::ProviderState;
use jiff::Timestamp;
use model::provider_health::PAUSED_BY_OPERATOR;
use model::{Message, ProviderHealth};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Known, words};
use crate::times;

/// A provider that may carry the message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExplanationCandidate)]
pub(crate) struct CandidateJson {
    pub provider_id: String,
    /// Null where it is not configured.
    #[schema(required = true)]
    pub kind: Option<&'static str>,
    /// Whether it could carry the message now; null where that is not known.
    #[schema(required = true)]
    pub available: Option<bool>,
    /// `ready`, `avoided`, `busy`, `probing`, `rate_limited`, `paused`, `paused_by_operator`, `breaker_open`, `halted`,
    /// `channel_not_configured`, `not_configured` or `unknown`.
    pub code: &'static str,
    /// The same for people.
    pub detail: String,
    /// Since when.
    #[schema(required = true, format = DateTime)]
    pub since: Option<String>,
    /// Until when, where it ends by itself.
    #[schema(required = true, format = DateTime)]
    pub until: Option<String>,
}

/// How a candidate is.
#[derive(Debug)]
pub(super) struct Candidate {
    pub provider_id: String,
    kind: Option<&'static str>,
    condition: Condition,
}

#[derive(Debug)]
struct Condition {
    code: &'static str,
    available: Option<bool>,
    detail: String,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Candidate {
    pub(super) fn code(&self) -> &'static str {
        self.condition.code
    }

    pub(super) fn since(&self) -> Option<Timestamp> {
        self.condition.since
    }

    pub(super) fn until(&self) -> Option<Timestamp> {
        self.condition.until
    }

    /// `twilio-main: it is left alone after 5 failures among its latest calls, until ...`
    pub(super) fn sentence(&self, now: Timestamp) -> String {
        let until =
            self.until().map_or_else(String::new, |until| format!(", until {}", words::at(until, now)));
        format!("{}: {}{until}", self.provider_id, self.condition.detail)
    }

    /// The nearer it is to carrying the message, the smaller.
    pub(super) fn distance(&self) -> usize {
        distance(self.code())
    }
}

impl From<Candidate> for CandidateJson {
    fn from(Candidate { provider_id, kind, condition }: Candidate) -> Self {
        Self {
            provider_id,
            kind,
            available: condition.available,
            code: condition.code,
            detail: condition.detail,
            since: condition.since.map(times::format),
            until: condition.until.map(times::format),
        }
    }
}

impl Condition {
    fn lasting(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, available: Some(false), detail: detail.into(), since: None, until: None }
    }
}

pub(super) fn candidate(known: &Known<'_>, id: &str, is_avoided: bool) -> Candidate {
    let mut condition = condition(known, id);
    if is_avoided && condition.available == Some(true) {
        condition.code = "avoided";
        condition.detail =
            "it failed the last attempt, and is asked only while no other candidate is there".to_owned();
    }
    let kind = known.config.provider(id).map(|provider| provider.kind.name);
    Candidate { provider_id: id.to_owned(), kind, condition }
}

fn condition(known: &Known<'_>, id: &str) -> Condition {
    let Message { channel, .. } = known.facts.message;
    let Some(provider) = known.config.provider(id) else {
        return Condition::lasting("not_configured", "the configuration has no provider of this id");
    };
    if !provider.channels.contains(&channel) {
        let detail = format!("it is not configured to carry {channel}");
        return Condition::lasting("channel_not_configured", detail);
    }
    if let Some(pause) = known.pauses.iter().find(|pause| pause.provider_id == id) {
        return by_operator(pause);
    }
    let states = known.states.iter().filter(|state| state.provider_id == id);
    let conditions = states.map(|state| of_state(state, known.facts.now));
    // One processor that can send it is enough.
    conditions.min_by_key(|condition| distance(condition.code)).unwrap_or_else(|| Condition {
        available: None,
        ..Condition::lasting("unknown", "no processor has said anything about it within the last 15 seconds")
    })
}

fn by_operator(pause: &ProviderPause) -> Condition {
    let detail = match &pause.note {
        Some(note) => format!("an operator paused it: {note}"),
        None => "an operator paused it".to_owned(),
    };
    Condition { since: Some(pause.paused_at), ..Condition::lasting("paused_by_operator", detail) }
}

fn of_state(state: &ProviderState, now: Timestamp) -> Condition {
    let is_over = state.until.is_some_and(|until| until <= now);
    let why = state.reason.as_deref().map(|code| format!(": {}", words::inside(words::meaning(code))));
    let why = why.unwrap_or_default();
    let (code, available, detail) = match state.state {
        ProviderHealth::Closed if state.in_flight >= state.slots => {
            ("busy", false, format!("all {} of its calls are under way", state.slots))
        }
        ProviderHealth::Closed => ("ready", true, "it works".to_owned()),
        ProviderHealth::HalfOpen => probing(None),
        ProviderHealth::Open | ProviderHealth::Halted if is_over => probing(state.until),
        ProviderHealth::Paused if is_over => ("ready", true, "its pause is over".to_owned()),
        ProviderHealth::Paused if state.reason.as_deref() == Some("throttled") => {
            ("rate_limited", false, "it asked to slow down".to_owned())
        }
        // The processor has not read yet that the pause is over.
        ProviderHealth::Paused if state.reason.as_deref() == Some(PAUSED_BY_OPERATOR) => {
            ("paused", false, "an operator resumed it; processors use it again within seconds".to_owned())
        }
        ProviderHealth::Paused => ("paused", false, format!("it is paused{why}")),
        ProviderHealth::Open => {
            let failures = state.failures;
            (
                "breaker_open",
                false,
                format!("it is left alone after {failures} failures among its latest calls{why}"),
            )
        }
        ProviderHealth::Halted => {
            let why = if why.is_empty() { ": it refuses the account".to_owned() } else { why };
            ("halted", false, format!("it is out of rotation{why}"))
        }
    };
    let until = state.until.filter(|_| !is_over);
    Condition { code, available: Some(available), detail, since: Some(state.since), until }
}

/// `from` is when its probes began, where that was by time alone.
fn probing(from: Option<Timestamp>) -> (&'static str, bool, String) {
    let from = from.map_or_else(String::new, |from| format!(" since {from:.0}"));
    (
        "probing",
        true,
        format!("it failed before and is being probed{from}: a few messages at a time are sent to it"),
    )
}

fn distance(code: &str) -> usize {
    const ORDER: [&str; 12] = [
        "ready",
        "avoided",
        "probing",
        "busy",
        "rate_limited",
        "paused",
        "paused_by_operator",
        "breaker_open",
        "halted",
        "unknown",
        "channel_not_configured",
        "not_configured",
    ];
    ORDER.iter().position(|known| *known == code).unwrap_or(ORDER.len())
}
