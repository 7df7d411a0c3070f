//! A message in whatever state, and the configuration and providers around it.

use app_db::messages::events::Event;
use app_db::messages::facts::Work;
use model::{Channel, Delivery, Endpoint, Message, Priority, ProviderHealth, Reason, StatusPayload};
use serde_json::Value;

use super::super::*;

pub(super) const NOW: i64 = 1_800_000_000;

const CONFIG: &str = r#"
[processor]
receipt_deadline_s = 3600
[[providers]]
id = "a"
kind = "twilio"
account_sid = "AC1"
auth_token = "t"
on_unknown = "hold"
[[providers]]
id = "b"
kind = "twilio"
account_sid = "AC1"
auth_token = "t"
[[routes]]
channel = "sms"
to_prefix = "+49"
providers = ["a"]
[[routes]]
channel = "sms"
to_prefix = "+1"
providers = ["a", "b"]
[[routes]]
channel = "sms"
providers = ["b"]
"#;

/// Seconds from now.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(NOW + seconds).unwrap()
}

pub(super) struct Case {
    pub(super) config: Config,
    pub(super) facts: Facts,
    pub(super) states: Vec<ProviderState>,
    pub(super) pauses: Vec<ProviderPause>,
}

impl Case {
    /// An SMS that is due since three seconds, with providers that work.
    pub(super) fn new() -> Self {
        let message = Message {
            id: Uuid::from_u128(1),
            conversation_id: Uuid::from_u128(2),
            channel: Channel::Sms,
            direction: Direction::Outbound,
            source: Endpoint::stored("+12025550100"),
            target: Endpoint::stored("+12025550199"),
            subject: None,
            body: "Hello".to_owned(),
            attachments: Vec::new(),
            metadata: serde_json::Map::new(),
            priority: Priority::Normal,
            status: Status::Outbox,
            status_payload: None,
            delivery: Delivery::None,
            provider_id: None,
            provider_message_id: None,
            attempt: 0,
            next_attempt_at: Some(at(-3)),
            timestamp: at(-3),
            send_at: None,
            expires_at: None,
            created_at: at(-3),
            updated_at: at(-3),
        };
        let work = Work {
            route: "sms:+1".to_owned(),
            next_attempt_at: Some(at(-3)),
            lease: None,
            reconciling: false,
        };
        Self {
            config: Config::parse(CONFIG, "app.toml", &|_| None).unwrap(),
            facts: Facts {
                message,
                work: Some(work),
                events: Vec::new(),
                has_older_events: false,
                now: at(0),
            },
            states: ["a", "b"].map(|id| state(id, ProviderHealth::Closed)).to_vec(),
            pauses: Vec::new(),
        }
    }

    pub(super) fn work(&mut self) -> &mut Work {
        self.facts.work.as_mut().unwrap()
    }

    pub(super) fn due_in(mut self, seconds: Option<i64>) -> Self {
        self.work().next_attempt_at = seconds.map(at);
        self.facts.message.next_attempt_at = seconds.map(at);
        self
    }

    pub(super) fn because(mut self, status: Status, delivery: Delivery, reason: Option<Reason>) -> Self {
        let message = &mut self.facts.message;
        (message.status, message.delivery) = (status, delivery);
        message.status_payload = reason.map(StatusPayload::new);
        message.provider_id = Some("a".to_owned());
        message.attempt = 1;
        if matches!(status, Status::Ok | Status::Failed) {
            self.facts.work = None;
            message.next_attempt_at = None;
        }
        self
    }

    pub(super) fn health(mut self, health: &[(&str, ProviderHealth)]) -> Self {
        self.states = health.iter().map(|(id, health)| state(id, *health)).collect();
        self
    }

    pub(super) fn explained(&self) -> Value {
        let Self { config, facts, states, pauses } = self;
        serde_json::to_value(explain(Known { config, facts, states, pauses, hold: None })).unwrap()
    }

    /// The state's code, after a look at what its sentence says.
    #[track_caller]
    pub(super) fn is(&self, code: &str, says: &[&str]) {
        let explained = self.explained();
        let summary = explained["summary"].as_str().unwrap();
        assert_eq!(explained["state"]["code"], code, "{explained:#}");
        assert!(summary.ends_with('.') && !summary.contains("  "), "{summary}");
        for part in says {
            assert!(summary.contains(part), "{part:?} is not in {summary:?}");
        }
    }

    pub(super) fn candidates(&self) -> Vec<String> {
        let explained = self.explained();
        let candidates = explained["candidates"].as_array().unwrap();
        let text = |candidate: &Value| {
            format!(
                "{} {} {}",
                candidate["provider_id"].as_str().unwrap(),
                candidate["code"].as_str().unwrap(),
                candidate["available"]
            )
        };
        candidates.iter().map(text).collect()
    }
}

pub(super) fn state(id: &str, health: ProviderHealth) -> ProviderState {
    let reason = match health {
        ProviderHealth::Closed => None,
        ProviderHealth::Paused => Some("throttled"),
        ProviderHealth::Halted => Some("halted"),
        ProviderHealth::Open | ProviderHealth::HalfOpen => Some("unreachable"),
    };
    ProviderState {
        provider_id: id.to_owned(),
        state: health,
        reason: reason.map(str::to_owned),
        since: at(-60),
        until: (health != ProviderHealth::Closed).then(|| at(20)),
        in_flight: 1,
        slots: 2,
        failures: 5,
        latency_ms: None,
        latency_p95_ms: None,
        calls_per_s: None,
    }
}

pub(super) fn event(kind: &str, attempt: i32, code: Option<&str>) -> Event {
    Event {
        id: Uuid::from_u128(9),
        kind: kind.to_owned(),
        status: "retry".to_owned(),
        delivery: "delivered".to_owned(),
        attempt,
        provider_id: Some("a".to_owned()),
        code: code.map(str::to_owned),
        provider_code: Some("30001".to_owned()),
        detail: Some("HTTP 503".to_owned()),
        created_at: at(-2),
    }
}
