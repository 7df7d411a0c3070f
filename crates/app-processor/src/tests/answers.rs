//! What each way that a call can end does to its message.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use model::{Delivery, Message, Status};
use tokio::net::TcpListener;

use tokio::time::Instant;

use super::provider::{Call, TestProvider};
use super::stage::{Stage, provider, settled, step, unknown_outcomes};
use crate::Processor;

/// One message, one call, and how it ended.
struct Ended {
    stage: Stage,
    processor: Arc<Processor>,
    message: Message,
}

impl Ended {
    async fn by(more: &str, answer: impl AsyncFnOnce(Call)) -> Self {
        let mut test_provider = TestProvider::start().await;
        let stage = Stage::new().await;
        let message = stage.accept_to(2).await;
        let processor = stage.processor_for(&test_provider, more);
        step(&processor).await;
        answer(test_provider.call().await).await;
        settled(&processor).await;
        Self { message: stage.find(message.id).await, stage, processor }
    }

    fn status(&self) -> (Status, Delivery, u32) {
        (self.message.status, self.message.delivery, self.message.attempt)
    }

    fn payload(&self) -> (&str, Option<&str>) {
        let payload = self.message.status_payload.as_ref().unwrap();
        (payload.code.as_str(), payload.provider_code.as_deref())
    }

    fn detail(&self) -> &str {
        self.message.status_payload.as_ref().unwrap().detail.as_deref().unwrap_or_default()
    }

    async fn events(&self) -> Vec<String> {
        self.stage.event_kinds(self.message.id).await
    }

    async fn is_held_as_unknown(&self, reason: &str) {
        assert_eq!(self.status(), (Status::Retry, Delivery::Unknown, 1));
        assert_eq!(self.payload().0, "outcome_unknown");
        assert!(self.detail().starts_with(reason), "{}", self.detail());
        assert_eq!(self.events().await, ["outcome_unknown"]);
        assert_eq!(self.stage.row(self.message.id).await.unwrap().due_at, None);
        assert_eq!(unknown_outcomes(&self.processor, "p", "hold"), 1);
    }
}

const HOLD: &str = "on_unknown = \"hold\"";

#[tokio::test]
async fn a_201_settles_as_ok() {
    let ended = Ended::by("", Call::accept).await;
    assert_eq!(ended.status(), (Status::Ok, Delivery::Pending, 1));
    let provider_message_id = ended.message.provider_message_id.as_deref();
    assert_eq!(provider_message_id, Some("SM00000000000000000000000000000001"));
    assert_eq!(ended.events().await, ["sent"]);
}

#[tokio::test]
async fn a_429_costs_no_attempt_and_waits_at_least_as_long_as_it_asks() {
    let ended = Ended::by("", async |call| call.answer(429, "retry-after: 30\r\n", "{}").await).await;
    assert_eq!(ended.status(), (Status::Retry, Delivery::None, 0));
    assert_eq!(ended.payload(), ("throttled", Some("429")));
    let due_at = ended.stage.row(ended.message.id).await.unwrap().due_at.unwrap();
    // Both are the time of the settle, by the database's clock.
    assert!(due_at >= ended.message.updated_at + Duration::from_secs(30), "{due_at}");
    assert_eq!(ended.events().await, ["retrying"]);
}

#[tokio::test]
async fn a_503_costs_an_attempt_and_is_tried_again() {
    let ended = Ended::by("", async |call| call.answer(503, "", "").await).await;
    assert_eq!(ended.status(), (Status::Retry, Delivery::None, 1));
    assert_eq!(ended.payload(), ("unavailable", Some("503")));
    assert!(ended.stage.row(ended.message.id).await.unwrap().due_at.is_some());
    assert_eq!(ended.events().await, ["retrying"]);
}

#[tokio::test]
async fn a_400_fails_with_the_providers_own_code() {
    let body = r#"{"code":21211,"message":"Invalid 'To' Phone Number","status":400}"#;
    let ended = Ended::by("", async |call| call.answer(400, "", body).await).await;
    assert_eq!(ended.status(), (Status::Failed, Delivery::None, 1));
    assert_eq!(ended.payload(), ("invalid_recipient", Some("21211")));
    assert!(ended.stage.row(ended.message.id).await.is_none());
    assert_eq!(ended.events().await, ["failed"]);
}

#[tokio::test]
async fn a_refused_connection_costs_no_attempt_and_pauses_the_provider() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let stage = Stage::new().await;
    let message = stage.accept_to(2).await;
    let processor = stage.processor(&provider("p", &base_url, ""));
    step(&processor).await;
    settled(&processor).await;
    let stored = stage.find(message.id).await;
    assert_eq!((stored.status, stored.delivery, stored.attempt), (Status::Retry, Delivery::None, 0));
    assert_eq!(stage.code(message.id).await, "unreachable");
    // Nothing while it is paused, then one as a probe; a healthy one gives all of its 64.
    let slots = processor.lanes.0[0].choose(Instant::now());
    assert!(slots.is_none_or(|(_, permits)| permits.num_permits() == 1));
}

#[tokio::test]
async fn a_reset_after_the_request_was_written_leaves_the_outcome_unknown() {
    let ended = Ended::by(HOLD, async |call| call.reset()).await;
    ended.is_held_as_unknown("connection_reset").await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_leaves_the_outcome_unknown() {
    let ended = Ended::by(HOLD, Call::break_off).await;
    ended.is_held_as_unknown("connection_reset: HTTP 201, then").await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_leaves_the_outcome_unknown() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let message = stage.accept_to(2).await;
    let processor = stage.processor_for(&test_provider, &format!("{HOLD}\ntimeout_s = 0.3"));
    step(&processor).await;
    let unanswered = test_provider.call().await;
    settled(&processor).await;
    drop(unanswered);
    let ended = Ended { message: stage.find(message.id).await, stage, processor };
    ended.is_held_as_unknown("timeout: no answer within 300 ms").await;
}

#[tokio::test]
async fn an_answer_that_is_too_long_leaves_the_outcome_unknown() {
    let body = " ".repeat((1 << 20) + 1);
    let ended = Ended::by(HOLD, async |call| call.answer(201, "", &body).await).await;
    ended.is_held_as_unknown("unreadable_answer: HTTP 201, then").await;
}

#[tokio::test]
async fn a_success_that_cannot_be_read_leaves_the_outcome_unknown() {
    let ended = Ended::by(HOLD, async |call| call.answer(200, "", "<html>").await).await;
    ended.is_held_as_unknown("unreadable_answer").await;
}

#[tokio::test]
async fn an_unknown_outcome_is_retried_where_the_provider_is_configured_so() {
    let ended = Ended::by("on_unknown = \"retry\"", async |call| call.reset()).await;
    assert_eq!(ended.status(), (Status::Retry, Delivery::None, 1));
    assert_eq!(ended.events().await, ["outcome_unknown"]);
    assert!(ended.stage.row(ended.message.id).await.unwrap().due_at.is_some());
    assert_eq!(unknown_outcomes(&ended.processor, "p", "retry"), 1);
}
