//! Another try that a person asks for, on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use app_db::requeue;
use app_db::settle::Settled;
use model::{Delivery, Outcome, Reason, Status};
use testkit::outbox::{Outbox, accepted, rejected};

#[tokio::test]
async fn a_held_message_is_never_due_is_a_problem_and_can_be_requeued() {
    let outbox = Outbox::new().await;
    let message = outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let claimed = outbox.claim(1).await;
    let uncertain = Outcome::Uncertain { reason: Reason::Timeout, detail: "10 s".to_owned() };
    outbox.settle(&claimed[0], &uncertain).await;
    let stored = outbox.find(message.id).await;
    assert_eq!((stored.status, stored.delivery), (Status::Retry, Delivery::Unknown));
    assert_eq!(stored.next_attempt_at, None);
    assert_eq!(stored.status_payload.unwrap().code, "outcome_unknown");
    assert!(outbox.claim(1).await.is_empty());

    let mut client = outbox.pool().get().await.unwrap();
    let event_id = outbox.event_id(message.id);
    let before = Some(stored.updated_at - std::time::Duration::from_micros(1));
    let too_late = requeue::requeue(&mut client, message.id, "sms", event_id, before).await.unwrap();
    assert!(!too_late && outbox.claim(1).await.is_empty(), "it was held after somebody looked");
    let now = Some(stored.updated_at);
    assert!(requeue::requeue(&mut client, message.id, "sms", event_id, now).await.unwrap());
    let claimed = outbox.claim(1).await;
    assert_eq!((claimed.len(), claimed[0].attempt), (1, 1), "the attempt count goes on");
    assert_eq!(outbox.event_kinds(message.id).await, ["outcome_unknown", "requeued"]);
}

#[tokio::test]
async fn a_requeued_message_cannot_be_settled_by_a_worker_of_its_earlier_life() {
    let outbox = Outbox::new().await;
    let message = outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let first = outbox.claim(1).await;
    outbox.settle(&first[0], &rejected()).await;
    let stored = outbox.find(message.id).await;
    assert_eq!(
        (stored.status, stored.status_payload.unwrap().provider_code.as_deref()),
        (Status::Failed, Some("21211"))
    );

    let mut client = outbox.pool().get().await.unwrap();
    assert!(
        requeue::requeue(&mut client, message.id, "sms", outbox.event_id(message.id), None).await.unwrap()
    );
    let second = outbox.claim(1).await;
    assert!(second[0].lease_no > first[0].lease_no);
    assert_eq!(outbox.settle(&first[0], &accepted()).await, Settled::default());
    let not_again =
        requeue::requeue(&mut client, message.id, "sms", outbox.event_id(message.id), None).await.unwrap();
    assert!(!not_again, "it is neither failed nor held");
}
