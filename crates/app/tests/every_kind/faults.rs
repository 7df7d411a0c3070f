//! What each kind makes of a provider that fails, in that provider's own words.

use serde_json::{Value, json};
use testkit::until;

use super::lines::Line;
use super::platform::Platform;

pub(crate) async fn play(platform: &Platform, line: &Line) {
    let channel = platform.channels(line)[0];
    let bout = Bout { platform, line, channel };
    bout.refused().await;
    bout.unreadable().await;
    bout.unavailable().await;
    bout.throttled().await;
}

struct Bout<'a> {
    platform: &'a Platform,
    line: &'a Line,
    channel: &'a str,
}

impl Bout<'_> {
    /// A message to somebody who meets these faults.
    async fn send(&self, number: usize, faults: &[(Value, Option<u32>)]) -> String {
        let to = self.line.recipient(number);
        for (fault, times) in faults {
            let rule = self.line.rule(self.channel, &to, fault.clone(), *times);
            self.platform.simulator.post("/faults", &rule).await.expect(201);
        }
        self.platform.send(self.line, self.channel, &to).await
    }

    fn place(&self, message: &Value) -> String {
        format!("{}: {message}", self.line.kind)
    }

    /// For good, with the provider's code.
    async fn refused(&self) {
        let refusal = self.line.refusal;
        let fault = json!({ "type": "status", "status": refusal.status, "code": refusal.code });
        let id = self.send(50, &[(fault, None)]).await;
        let message = self.platform.settled(self.line, &id, "failed", "none").await;
        let (payload, place) = (&message["status_payload"], self.place(&message));
        let (reason, provider_code) = refusal.becomes;
        assert_eq!(payload["code"], reason, "{place}");
        assert_eq!(payload["provider_code"], provider_code, "{place}");
        assert_eq!(self.platform.calls(&id).await.len(), 1, "{place}");
    }

    /// Nobody knows whether it was sent: it is held, as this provider is configured.
    async fn unreadable(&self) {
        let faults = [(json!({ "type": "garbage" }), Some(1)), (json!({ "type": "no_receipts" }), None)];
        let id = self.send(51, &faults).await;
        let message = self.platform.settled(self.line, &id, "retry", "unknown").await;
        let place = self.place(&message);
        assert_eq!(message["status_payload"]["code"], "outcome_unknown", "{place}");
        assert_eq!(message["next_attempt_at"], Value::Null, "{place}");
        assert_eq!(self.platform.accepted(&id).await.len(), 1, "{place}");
    }

    /// Tried again; the answer costs an attempt.
    async fn unavailable(&self) {
        let id = self.send(52, &[(json!({ "type": "status", "status": 500 }), Some(1))]).await;
        if self.line.says_how_long {
            let message = self.platform.settled(self.line, &id, "ok", self.line.delivery).await;
            assert_eq!(message["attempt"], 2, "{}", self.place(&message));
        } else {
            let message = self.waits(&id).await;
            assert_eq!(message["attempt"], 1, "{}", self.place(&message));
        }
    }

    /// It waits as long as the provider says, and that costs no attempt.
    async fn throttled(&self) {
        let fault = json!({ "type": "throttle", "retry_after_s": 1 });
        let id = self.send(53, &[(fault, Some(1))]).await;
        if !self.line.says_how_long {
            self.waits(&id).await;
            return;
        }
        let message = self.platform.settled(self.line, &id, "ok", self.line.delivery).await;
        let calls = self.platform.calls(&id).await;
        let place = format!("{}, {calls:?}", self.place(&message));
        assert_eq!(message["attempt"], 1, "{place}");
        assert_eq!(calls[0]["answer"], "429", "{place}");
        let at_ms = |call: usize| calls[call]["at_ms"].as_i64().unwrap();
        assert!(at_ms(1) - at_ms(0) >= 1_000, "{place}");
    }

    /// Longer than this test does.
    async fn waits(&self, id: &str) -> Value {
        let what = format!("a message of {} waits", self.line.kind);
        until(&what, async || {
            let message = self.platform.message(id).await;
            (message["status"] == "retry").then_some(message)
        })
        .await
    }
}
