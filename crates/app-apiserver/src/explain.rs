//! Why a message is where it is, put together from what is known of it. No I/O: whoever asks brings the facts.

mod attempts;
mod candidates;
mod lane;
mod settled;
mod waiting;
mod words;

use app_db::messages::facts::Facts;
use app_db::provider_pauses::ProviderPause;
use app_db::provider_states::ProviderState;
use jiff::Timestamp;
use model::{Direction, Route, Status, Variant};
use serde::Serialize;
use service::Config;
use utoipa::ToSchema;
use uuid::Uuid;

use self::attempts::{AttemptJson, ReceiptJson};
use self::candidates::{Candidate, CandidateJson};
use crate::times;

pub(crate) use self::words::meaning;

/// All that an explanation is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    pub config: &'a Config,
    pub facts: &'a Facts,
    pub states: &'a [ProviderState],
    pub pauses: &'a [ProviderPause],
    /// Why nothing is sent at all, where the database is a copy.
    pub hold: Option<&'a str>,
}

/// Why a message is where it is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Explanation, example = json!({
    "message_id": "019a2f7e-3c41-70a4-8000-3f1c52d0a7b1",
    "summary": "It has been due since 2026-11-23T08:30:00Z (40 s ago), but none of its providers can take it: \
        twilio-main is left alone after 5 failures among its latest calls until 2026-11-23T08:31:00Z (in 20 s).",
    "state": {
        "code": "provider_down", "reason": null, "since": "2026-11-23T08:30:00.123456Z",
        "until": "2026-11-23T08:31:00.000000Z", "provider_id": null, "processor": null
    },
    "next_attempt_at": "2026-11-23T08:30:00.123456Z",
    "route": {
        "name": "sms", "stored": "sms", "avoid": null, "prefer": null,
        "rules": [{"name": "sms", "result": "matched", "key": null, "detail": null}]
    },
    "candidates": [{
        "provider_id": "twilio-main", "kind": "twilio", "available": false, "code": "breaker_open",
        "detail": "it is left alone after 5 failures among its latest calls", "since": "2026-11-23T08:30:00.000000Z",
        "until": "2026-11-23T08:31:00.000000Z"
    }],
    "attempts": [], "receipts": [], "has_older_events": false
}))]
pub(crate) struct ExplanationJson {
    pub message_id: Uuid,
    /// The answer in a sentence or two, for people.
    pub summary: String,
    pub state: StateJson,
    /// When the next attempt is due; null when it is settled or held.
    #[schema(required = true, format = DateTime)]
    pub next_attempt_at: Option<String>,
    /// Null for inbound messages.
    #[schema(required = true)]
    pub route: Option<RouteJson>,
    /// Who may carry it, in the order in which they are asked.
    pub candidates: Vec<CandidateJson>,
    /// What happened at each attempt, oldest first.
    pub attempts: Vec<AttemptJson>,
    /// What its provider reported since, oldest first.
    pub receipts: Vec<ReceiptJson>,
    /// There are older events than these are made of; `/events` has all.
    pub has_older_events: bool,
}

/// What is happening now.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExplanationState)]
pub(crate) struct StateJson {
    /// While it waits: `scheduled`, `due`, `sending`, `waiting_for_retry`, `rate_limited`, `provider_down`, `probing`,
    /// `paused_by_operator`, `no_route`, `no_provider`, `no_processor`, `awaiting_delivery`, `reconciling`,
    /// `lease_lapsed`, `held`, `expired`. Once settled: `failed`, `canceled`, `accepted`, `waiting_for_receipt`, `receipt_timeout`, `sent`,
    /// `delivered`, `read`, `undelivered`. Inbound: `received`.
    pub code: &'static str,
    /// A stable word for why, as in `status_payload`.
    #[schema(required = true)]
    pub reason: Option<String>,
    #[schema(required = true, format = DateTime)]
    pub since: Option<String>,
    /// When it ends by itself, where that is known.
    #[schema(required = true, format = DateTime)]
    pub until: Option<String>,
    /// The provider that it is about.
    #[schema(required = true)]
    pub provider_id: Option<String>,
    /// The processor that holds it.
    #[schema(required = true)]
    pub processor: Option<Uuid>,
}

/// Which rule the message matches.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExplanationRoute)]
pub(crate) struct RouteJson {
    /// The rule that decides; null where none matches.
    #[schema(required = true)]
    pub name: Option<String>,
    /// What its row in the outbox says; null when it is settled.
    #[schema(required = true)]
    pub stored: Option<String>,
    /// The provider that failed the last attempt: it comes last.
    #[schema(required = true)]
    pub avoid: Option<String>,
    /// The provider that the conversation used: it comes first.
    #[schema(required = true)]
    pub prefer: Option<String>,
    /// Every rule of the configuration, in order.
    pub rules: Vec<RuleJson>,
}

/// A rule and the message.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExplanationRule)]
pub(crate) struct RuleJson {
    pub name: String,
    /// `matched`, `does_not_match`, or `not_asked` because an earlier one matches.
    pub result: &'static str,
    /// The first key of the rule that does not fit.
    #[schema(required = true)]
    pub key: Option<&'static str>,
    /// Why it does not, for people.
    #[schema(required = true)]
    pub detail: Option<String>,
}

/// A state and its sentence.
#[derive(Debug)]
struct State {
    code: &'static str,
    summary: String,
    reason: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    provider_id: Option<String>,
    processor: Option<Uuid>,
}

impl State {
    fn new(code: &'static str, summary: String) -> Self {
        Self { code, summary, reason: None, since: None, until: None, provider_id: None, processor: None }
    }
}

pub(crate) fn explain(known: Known<'_>) -> ExplanationJson {
    let facts = known.facts;
    let (route, candidates) = match facts.message.direction {
        Direction::Inbound => (None, Vec::new()),
        Direction::Outbound => {
            let (route, candidates) = route(&known);
            (Some(route), candidates)
        }
    };
    let state = match (facts.message.direction, facts.message.status) {
        (Direction::Outbound, Status::Outbox | Status::Retry) => {
            let has_route = route.as_ref().is_some_and(|route| route.name.is_some());
            waiting::state(&known, has_route, &candidates)
        }
        _ => settled::state(&known),
    };
    ExplanationJson {
        message_id: facts.message.id,
        summary: state.summary,
        state: StateJson {
            code: state.code,
            reason: state.reason,
            since: state.since.map(times::format),
            until: state.until.map(times::format),
            provider_id: state.provider_id,
            processor: state.processor,
        },
        next_attempt_at: facts.message.next_attempt_at.map(times::format),
        route,
        candidates: candidates.into_iter().map(CandidateJson::from).collect(),
        attempts: attempts::attempts(&facts.events),
        receipts: attempts::receipts(&facts.events),
        has_older_events: facts.has_older_events,
    }
}

/// The rule that its row names, as long as the configuration has it; else the one that it matches now.
fn route(known: &Known<'_>) -> (RouteJson, Vec<Candidate>) {
    let (routes, message) = (&known.config.routes, &known.facts.message);
    let stored = known.facts.work.as_ref().map(|work| work.route.as_str());
    let (name, variant) = stored.map_or(("", Variant::Plain), Variant::parse);
    let mut matched = None;
    let mut rule = |route: &Route| {
        let mismatch = lane::mismatch(route, message);
        let result = match (&matched, &mismatch) {
            (Some(_), _) => "not_asked",
            (None, Some(_)) => "does_not_match",
            (None, None) => "matched",
        };
        if result == "matched" {
            matched = Some(route.name.clone());
        }
        let (key, detail) = mismatch.filter(|_| result == "does_not_match").unzip();
        RuleJson { name: route.name.clone(), result, key, detail }
    };
    let rules = routes.0.iter().map(&mut rule).collect();
    let deciding = routes.named(name).or_else(|| routes.named(matched.as_deref()?));
    let candidates = deciding.map(|route| variant.order(route)).unwrap_or_default();
    let is_avoided = |id: &str| variant == Variant::Avoid(id.to_owned());
    let candidates = candidates.into_iter().map(|candidate| {
        let id = candidate.provider_id.as_str();
        candidates::candidate(known, id, is_avoided(id))
    });
    let candidates = candidates.collect();
    let (avoid, prefer) = match variant {
        Variant::Plain => (None, None),
        Variant::Avoid(id) => (Some(id), None),
        Variant::Prefer(id) => (None, Some(id)),
    };
    let name = deciding.map(|route| route.name.clone());
    (RouteJson { name, stored: stored.map(str::to_owned), avoid, prefer, rules }, candidates)
}

#[cfg(test)]
mod tests;
