//! What is done now and then, a task at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::{Delivery, NewMessage, Status};
use service::metrics::{ChannelLabel, ChannelState, ChannelStatusCode};
use testkit::fixtures::Fixtures;
use testkit::until;
use tokio_util::sync::CancellationToken;

use super::provider::TestProvider;
use super::stage::{Stage, provider, settled, step, unknown_outcomes};
use crate::Processor;
use crate::duties::{DUTIES, Memory};

const NOWHERE: &str = "http://127.0.0.1:1";

#[tokio::test]
async fn a_message_whose_route_is_gone_is_matched_again_and_sent() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let stranded = stage.accept_on("gone", stage.fixtures.sms(1, 2)).await;
    let unmatched = stage.accept_on("", stage.fixtures.sms(1, 3)).await;
    let processor = stage.processor_for(&test_provider, "");
    step(&processor).await;
    assert_eq!(processor.leases.count(), 0, "no route of this configuration has it");

    processor.reroute_stranded(&mut HashMap::new()).await.unwrap();
    for id in [stranded.id, unmatched.id] {
        let row = stage.row(id).await.unwrap();
        assert_eq!((row.route.as_str(), row.lease_no), ("sms", 0));
    }
    tokio::time::timeout(Duration::from_secs(30), processor.parts.wake.notified()).await.unwrap();
    step(&processor).await;
    for call in test_provider.calls(2).await {
        call.accept().await;
    }
    settled(&processor).await;
    assert_eq!(stage.find(stranded.id).await.status, Status::Ok);
}

#[tokio::test]
async fn a_message_that_no_route_takes_waits_where_it_is() {
    let stage = Stage::new().await;
    let email = stage.accept_on("email", stage.fixtures.email("a@example.org", "b@example.org")).await;
    let processor = stage.processor(&provider("p", NOWHERE, ""));
    let mut unrouted = HashMap::new();
    processor.reroute_stranded(&mut unrouted).await.unwrap();
    assert_eq!(stage.row(email.id).await.unwrap().route, "email");
    assert!(unrouted.contains_key("email"), "and is not looked at again soon");
}

#[tokio::test]
async fn a_message_that_outlived_its_time_fails_also_where_no_route_takes_it() {
    let stage = Stage::new().await;
    let past = stage.fixtures.now - Duration::from_secs(1);
    let expired = NewMessage { expires_at: Some(past), ..stage.fixtures.sms(1, 2) };
    let expired = stage.accept_on("gone", expired).await;
    let unknown = NewMessage { expires_at: Some(past), ..stage.fixtures.sms(1, 3) };
    let unknown = stage.accept_on("gone", unknown).await;
    stage.lapse(unknown.id, "p").await;
    let young = stage.accept_on("gone", stage.fixtures.sms(1, 4)).await;
    let processor = stage.processor(&provider("p", NOWHERE, ""));
    processor.expire(&mut uuid::Uuid::nil()).await.unwrap();

    let failed = stage.find(expired.id).await;
    assert_eq!((failed.status, failed.attempt, failed.provider_id), (Status::Failed, 0, None));
    assert_eq!(stage.code(expired.id).await, "expired");
    assert_eq!(stage.event_kinds(expired.id).await, ["failed"]);
    assert!(stage.row(expired.id).await.is_none());
    for id in [unknown.id, young.id] {
        assert_eq!(stage.find(id).await.status, Status::Outbox);
    }
    let label = ChannelStatusCode::new("sms", "failed", "expired");
    assert_eq!(processor.parts.metrics.messages_settled.get_or_create(&label).get(), 1);
}

fn gauges(processor: &Processor, channel: &str) -> [i64; 4] {
    ["due", "delayed", "leased", "held"].map(|state| {
        processor.parts.metrics.outbox_messages.get_or_create(&ChannelState::new(channel, state)).get()
    })
}

#[tokio::test]
async fn the_gauges_say_what_waits_and_for_what() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let processor = stage.processor_for(&test_provider, "on_unknown = \"hold\"");
    for to in [1, 2, 3] {
        stage.accept_to(to).await;
    }
    step(&processor).await;
    let [resets, _under_way, _too] = <[_; 3]>::try_from(test_provider.calls(3).await).ok().unwrap();
    resets.reset();
    testkit::until("one is held", async || (processor.leases.count() == 2).then_some(())).await;
    let send_at = Some(stage.fixtures.now + Duration::from_secs(3600));
    for to in [4, 5, 6] {
        stage.accept(NewMessage { send_at, ..stage.fixtures.sms(1, to) }).await;
    }
    let due = stage.accept_to(7).await;
    stage
        .execute(&format!(
            "update outbox set next_attempt_at = now() - interval '1 hour' where message_id = '{}'",
            due.id
        ))
        .await;

    processor.measure().await.unwrap();
    assert_eq!(gauges(&processor, "sms"), [1, 3, 2, 1]);
    assert_eq!(gauges(&processor, "email"), [0; 4]);
    let age = ChannelLabel::new("sms");
    let age = processor.parts.metrics.outbox_oldest_due_age_seconds.get_or_create(&age).get();
    assert!((3600.0..3700.0).contains(&age), "{age}");

    stage.execute("delete from outbox").await;
    processor.measure().await.unwrap();
    assert_eq!(gauges(&processor, "sms"), [0; 4], "what is gone is no longer shown");
}

#[tokio::test]
async fn an_accepted_message_without_a_receipt_is_unknown_after_the_deadline() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let an_hour_ago = Fixtures { now: stage.fixtures.now - Duration::from_secs(3600), ..Fixtures::new() };
    let old = stage.accept(an_hour_ago.sms(1, 2)).await;
    let young = stage.accept_to(3).await;
    let provider = provider("p", &test_provider.base_url, "");
    let processor = |deadline_s: u32| {
        stage.processor(&format!("[processor]\nreceipt_deadline_s = {deadline_s}\n{provider}"))
    };
    let working = processor(600);
    step(&working).await;
    for call in test_provider.calls(2).await {
        call.accept().await;
    }
    settled(&working).await;
    stage.execute("update messages set updated_at = now() - interval '11 minutes'").await;
    processor(0).examine_receipt_deadlines().await.unwrap();
    assert_eq!(stage.find(old.id).await.delivery, Delivery::Pending, "0 switches it off");
    working.examine_receipt_deadlines().await.unwrap();
    assert_eq!(stage.find(old.id).await.delivery, Delivery::Unknown);
    assert_eq!(stage.code(old.id).await, "receipt_timeout");
    assert_eq!(stage.find(young.id).await.delivery, Delivery::Pending);
    assert_eq!(unknown_outcomes(&working, "p", "receipt_timeout"), 1);
}

#[tokio::test]
async fn a_round_of_a_duty_goes_on_in_batches_until_nothing_is_left() {
    let stage = Stage::new().await;
    stage
        .execute(
            "insert into inbound_keys (bucket, key_hash, message_id, created_at)
             select get_byte(hash, 0), hash, md5(n::text)::uuid, now() - interval '60 days'
             from generate_series(1, 12000) n, lateral (select sha256(n::text::bytea) as hash) h",
        )
        .await;
    let text = format!("[retention]\nmessages_days = 7\n{}", provider("p", NOWHERE, ""));
    let processor = stage.processor(&text);
    let duty = DUTIES.into_iter().find(|duty| duty.name == "key cleaner").unwrap();
    let round =
        async || processor.round(&duty, &mut Memory::default(), &CancellationToken::new()).await.unwrap();
    assert_eq!(round().await, 12_000, "in three batches");
    assert_eq!(round().await, 0);
}

#[tokio::test]
async fn a_duty_that_waits_for_a_lock_holds_up_no_other() {
    let stage = Stage::new().await;
    let past = stage.fixtures.now - Duration::from_secs(1);
    let expired = NewMessage { expires_at: Some(past), ..stage.fixtures.sms(1, 2) };
    let expired = stage.accept_on("gone", expired).await;
    let mut locking = stage.pool().get().await.unwrap();
    let transaction = locking.transaction().await.unwrap();
    transaction.batch_execute("lock table idempotency_keys in access exclusive mode").await.unwrap();
    let processor = stage.processor(&provider("p", NOWHERE, ""));
    let end = CancellationToken::new();
    let mut duties = tokio::task::JoinSet::new();
    for duty in DUTIES {
        duties.spawn(Arc::clone(&processor).keep(duty, end.clone()));
    }
    until("the expired message has failed", async || {
        (stage.find(expired.id).await.status == Status::Failed).then_some(())
    })
    .await;
    transaction.rollback().await.unwrap();
    end.cancel();
    duties.join_all().await;
}
