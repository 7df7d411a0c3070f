//! What a claim finds out on its way: leases that lapsed, receipts that did not come, messages past their time.

use std::sync::Arc;
use std::time::Duration;

use model::{Delivery, NewMessage, Outcome, Status};
use providers::{Call, Outgoing, Provider, Webhook, WebhookError, WebhookRequest};
use service::metrics::{ChannelStatusCode, ProviderLabel};

use tokio::time::Instant;

use super::provider::TestProvider;
use super::stage::{Stage, config, provider, settled, step, unknown_outcomes};
use crate::Processor;

/// Settles one lapsed lease in a round that must send nothing.
async fn after_a_lapse(lapsed_at: &str, more: &str) -> (Stage, Arc<Processor>, model::Message) {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let message = stage.accept_to(2).await;
    stage.lapse(message.id, lapsed_at).await;
    let slow = "[processor]\nbackoff_base_s = 3600.0\n";
    let processor = stage.processor(&format!("{slow}{}", provider("p", &test_provider.base_url, more)));
    step(&processor).await;
    assert_eq!(processor.leases.count(), 0, "nothing is sent in the same breath");
    assert!(test_provider.has_no_more_calls());
    assert_eq!(stage.event_kinds(message.id).await, ["outcome_unknown"]);
    let stored = stage.find(message.id).await;
    assert_eq!((stored.status, stored.attempt), (Status::Retry, 1), "the attempt counts");
    assert_eq!(stored.provider_id.as_deref(), Some(lapsed_at));
    let row = stage.row(message.id).await.unwrap();
    assert_eq!((row.lease_no, row.leased_by), (2, None));
    (stage, processor, stored)
}

#[tokio::test]
async fn a_lapsed_lease_is_tried_again_later_where_a_duplicate_is_welcome() {
    let (stage, processor, message) = after_a_lapse("p", "on_unknown = \"retry\"").await;
    assert_eq!(message.delivery, Delivery::None);
    assert_eq!(stage.code(message.id).await, "lease_lapsed");
    assert!(stage.row(message.id).await.unwrap().due_at.is_some());
    assert_eq!(unknown_outcomes(&processor, "p", "retry"), 1);
}

#[tokio::test]
async fn a_lease_that_lapses_in_a_queue_that_has_moved_on_is_found_by_a_look_behind() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let processor = stage.processor_for(&test_provider, "on_unknown = \"hold\"");
    let (old, newer) = (stage.accept_to(2).await, stage.accept_to(3).await);
    stage.lapse(old.id, "p").await;
    stage
        .execute(&format!(
            "update outbox set next_attempt_at = now() - interval '1 hour';
             update outbox set next_attempt_at = now() - interval '2 hours', leased_until = now() + interval '1 hour'
             where message_id = '{}'",
            old.id
        ))
        .await;
    step(&processor).await;
    test_provider.call().await.accept().await;
    settled(&processor).await;
    assert_eq!(stage.event_kinds(newer.id).await, ["sent"]);

    stage.execute("update outbox set leased_until = now() - interval '1 second'").await;
    step(&processor).await;
    assert!(stage.event_kinds(old.id).await.is_empty(), "claims do not look below their floor");
    processor.look_for_left_behind().await.unwrap();
    step(&processor).await;
    assert_eq!(stage.event_kinds(old.id).await, ["outcome_unknown"]);
}

#[tokio::test]
async fn a_lapsed_lease_is_held_where_a_duplicate_is_not_welcome() {
    let (stage, processor, message) = after_a_lapse("p", "on_unknown = \"hold\"").await;
    assert_eq!(message.delivery, Delivery::Unknown);
    assert_eq!(stage.code(message.id).await, "outcome_unknown");
    assert_eq!(stage.row(message.id).await.unwrap().due_at, None);
    assert_eq!(unknown_outcomes(&processor, "p", "hold"), 1);
}

#[tokio::test]
async fn a_lapsed_lease_of_a_provider_that_is_no_longer_configured_is_held() {
    let (stage, processor, message) = after_a_lapse("gone", "on_unknown = \"retry\"").await;
    assert_eq!(message.delivery, Delivery::Unknown);
    assert_eq!(stage.row(message.id).await.unwrap().due_at, None);
    assert_eq!(unknown_outcomes(&processor, "gone", "hold"), 1);
}

#[tokio::test]
async fn a_lapsed_lease_waits_for_its_receipt_and_is_held_when_none_came() {
    let more = "on_unknown = \"reconcile\"\nreconcile_wait_s = 60";
    let (stage, processor, message) = after_a_lapse("p", more).await;
    assert_eq!(message.delivery, Delivery::Unknown);
    let due_at = stage.row(message.id).await.unwrap().due_at.unwrap();
    assert_eq!(due_at, message.updated_at + Duration::from_secs(60), "the wait, by the database's clock");
    assert_eq!(unknown_outcomes(&processor, "p", "reconcile"), 1);

    stage.make_due(message.id).await;
    step(&processor).await;
    assert_eq!(processor.leases.count(), 0);
    let held = stage.find(message.id).await;
    assert_eq!((held.status, held.delivery, held.attempt), (Status::Retry, Delivery::Unknown, 1));
    assert_eq!(held.provider_id.as_deref(), Some("p"));
    assert_eq!(stage.row(message.id).await.unwrap().due_at, None);
    assert_eq!(stage.event_kinds(message.id).await, ["outcome_unknown", "held"]);
    assert_eq!(unknown_outcomes(&processor, "p", "hold"), 0, "the unknown outcome is counted once");
}

#[tokio::test]
async fn an_expired_message_fails_as_such_and_names_no_provider_that_it_never_had() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let past = stage.fixtures.now - Duration::from_secs(1);
    let message = stage.accept(NewMessage { expires_at: Some(past), ..stage.fixtures.sms(1, 2) }).await;
    let processor = stage.processor_for(&test_provider, "");
    step(&processor).await;
    assert_eq!(processor.leases.count(), 0);
    assert!(test_provider.has_no_more_calls());
    let failed = stage.find(message.id).await;
    assert_eq!((failed.status, failed.attempt, failed.provider_id), (Status::Failed, 0, None));
    assert_eq!(stage.code(message.id).await, "expired");
    assert_eq!(stage.event_kinds(message.id).await, ["failed"]);
    assert!(stage.row(message.id).await.is_none());
    let label = ChannelStatusCode::new("sms", "failed", "expired");
    assert_eq!(processor.parts.metrics.messages_settled.get_or_create(&label).get(), 1);
}

/// An adapter with a defect.
#[derive(Debug)]
struct Defective;

impl Provider for Defective {
    fn call(&self, _message: &Outgoing<'_>) -> Result<Call, Outcome> {
        panic!("a defect of an adapter")
    }

    fn webhook(&self, _request: &WebhookRequest<'_>) -> Result<Webhook, WebhookError> {
        panic!("a defect of an adapter")
    }
}

fn in_flight(processor: &Processor) -> i64 {
    let (candidate, _) = processor.lanes.0[0].choose(Instant::now()).unwrap();
    processor.parts.metrics.provider_in_flight.get_or_create(&ProviderLabel::new(&candidate.config.id)).get()
}

#[tokio::test]
async fn a_call_that_panics_ends_the_keeping_of_its_lease_and_counts_as_unknown() {
    let stage = Stage::new().await;
    let message = stage.accept_to(2).await;
    let mut config = config(&provider("p", "http://127.0.0.1:1", "on_unknown = \"hold\""));
    config.providers[0].adapter = Arc::new(Defective);
    let processor = stage.processor_of(config);
    step(&processor).await;
    settled(&processor).await;
    assert_eq!(in_flight(&processor), 0);
    let row = stage.row(message.id).await.unwrap();
    assert_eq!(row.leased_by, Some(processor.owner), "nothing settled it");

    stage.let_leases_lapse().await;
    step(&processor).await;
    assert_eq!(stage.event_kinds(message.id).await, ["outcome_unknown"]);
    assert_eq!(unknown_outcomes(&processor, "p", "hold"), 1);
}

#[tokio::test]
async fn a_call_that_is_dropped_ends_the_keeping_of_its_lease_and_counts_as_unknown() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let message = stage.accept_to(2).await;
    let processor = stage.processor_for(&test_provider, "on_unknown = \"hold\"");
    let (candidate, permit) = processor.lanes.0[0].choose(Instant::now()).unwrap();
    let mut claim = processor.claim("sms", "p", 1).await.unwrap();
    let claimed = claim.sendable.pop().unwrap();
    let calling = tokio::spawn(Arc::clone(&processor).send_and_settle(0, candidate, claimed, permit));
    let _unanswered = test_provider.call().await;
    assert_eq!(processor.leases.count(), 1);
    calling.abort();
    assert!(calling.await.unwrap_err().is_cancelled());
    assert_eq!((processor.leases.count(), in_flight(&processor)), (0, 0));

    stage.let_leases_lapse().await;
    step(&processor).await;
    assert_eq!(stage.event_kinds(message.id).await, ["outcome_unknown"]);
    assert_eq!(unknown_outcomes(&processor, "p", "hold"), 1);
}
