//! A processor whose clock is off: it claims nothing and destroys nothing.

use std::sync::Arc;
use std::time::Duration;

use app_db::housekeeping::KeysCleanedTo;
use jiff::SignedDuration;
use model::Status;
use service::Clock;
use service::supervision::Supervisor;
use tokio_util::sync::CancellationToken;

use super::provider::TestProvider;
use super::stage::{Stage, config, provider, settled, step};
use crate::dispatch_gate::Closed;
use crate::{Parts, Processor};

const DAY_MS: i64 = 86_400_000;

/// A processor of whose tasks none runs, with a clock that is so far ahead, and messages kept for 30 days.
fn processor(stage: &Stage, base_url: &str) -> (Arc<Processor>, Clock) {
    let text = format!("[retention]\nmessages_days = 30\n{}", provider("p", base_url, ""));
    let clock = Clock::manual(stage.fixtures.now);
    let parts = Parts { clock: clock.clone(), ..stage.parts(config(&text)) };
    (Arc::new(Processor::new(parts, Supervisor::default()).unwrap()), clock)
}

/// Sets a manual clock to the time.
fn set(clock: &Clock) {
    let off = Clock::System.now().duration_since(clock.now());
    clock.advance_ms(i64::try_from(off.as_millis()).unwrap());
}

async fn weeks(stage: &Stage) -> i64 {
    let client = stage.pool().get().await.unwrap();
    let sql = "select count(*) from pg_inherits where inhparent = 'messages'::regclass";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_clock_that_is_60_days_ahead_drops_no_week() {
    let stage = Stage::new().await;
    let message = stage.accept_to(2).await;
    stage.execute("delete from outbox").await;
    let before = weeks(&stage).await;
    let (processor, clock) = processor(&stage, "http://127.0.0.1:1");
    clock.advance_ms(60 * DAY_MS);
    // Even where the gate has not seen the leap yet.
    processor.gate.open();
    processor.tend_partitions().await.unwrap();
    processor.clean_keys(&mut KeysCleanedTo::default()).await.unwrap();
    processor.clean_conversations().await.unwrap();
    assert_eq!(weeks(&stage).await, before);
    assert_eq!(stage.find(message.id).await.status, Status::Outbox);
}

#[tokio::test]
async fn a_processor_whose_clock_is_off_deletes_nothing_old_either() {
    let stage = Stage::new().await;
    let mut client = stage.pool().get().await.unwrap();
    let old = stage.fixtures.now - Duration::from_secs(365 * 86_400);
    app_db::partitions::ensure(&mut client, old).await.unwrap();
    let before = weeks(&stage).await;
    let (processor, clock) = processor(&stage, "http://127.0.0.1:1");
    clock.advance_ms(60_000);
    processor.look_at_gate().await.unwrap();
    processor.tend_partitions().await.unwrap();
    assert_eq!(weeks(&stage).await, before);
    set(&clock);
    processor.look_at_gate().await.unwrap();
    processor.tend_partitions().await.unwrap();
    assert!(weeks(&stage).await < before, "with its clock set, it does");
}

#[tokio::test]
async fn a_processor_claims_only_while_its_clock_agrees_with_the_databases() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let (processor, clock) = processor(&stage, &test_provider.base_url);
    let message = stage.accept_to(2).await;
    assert_eq!(processor.gate.closed(), Some(Closed::NotRead));
    step(&processor).await;
    clock.advance_ms(-3 * DAY_MS);
    processor.look_at_gate().await.unwrap();
    let Some(Closed::ClockOff { offset }) = processor.gate.closed() else { panic!("the gate is closed") };
    assert!((offset + SignedDuration::from_hours(72)).abs() < SignedDuration::from_mins(10), "{offset}");
    step(&processor).await;
    assert_eq!(stage.row(message.id).await.unwrap().lease_no, 0);
    set(&clock);
    processor.look_at_gate().await.unwrap();
    assert!(processor.gate.is_open());
    step(&processor).await;
    test_provider.calls(1).await.pop().unwrap().accept().await;
    settled(&processor).await;
    assert_eq!(stage.find(message.id).await.status, Status::Ok);
}

#[tokio::test]
async fn a_processor_claims_nothing_from_a_copied_database_until_it_is_adopted() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let client = stage.pool().get().await.unwrap();
    app_db::installation::store_first(&client, None).await.unwrap();
    stage.execute("update installation set database_oid = database_oid + 1").await;
    let message = stage.accept_to(2).await;
    let (processor, clock) = processor(&stage, &test_provider.base_url);
    set(&clock);
    processor.look_at_gate().await.unwrap();
    let Some(Closed::Copy { sentence }) = processor.gate.closed() else { panic!("the gate is closed") };
    assert!(sentence.contains("app adopt"), "{sentence}");
    step(&processor).await;
    processor.expire(&mut uuid::Uuid::nil()).await.unwrap();
    assert_eq!(stage.row(message.id).await.unwrap().lease_no, 0);
    app_db::installation::adopt(&client, None).await.unwrap();
    processor.look_at_gate().await.unwrap();
    step(&processor).await;
    test_provider.calls(1).await.pop().unwrap().accept().await;
    settled(&processor).await;
    assert_eq!(stage.find(message.id).await.status, Status::Ok);
}

#[tokio::test]
async fn a_processor_that_begins_held_sends_only_what_comes_later() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let waiting = stage.accept_to(2).await;
    let processor = stage.processor_for(&test_provider, "");
    processor.hold_outbox(&CancellationToken::new()).await;
    let later = stage.accept_to(3).await;
    step(&processor).await;
    test_provider.calls(1).await.pop().unwrap().accept().await;
    settled(&processor).await;
    assert_eq!(stage.find(later.id).await.status, Status::Ok);
    assert_eq!(stage.code(waiting.id).await, "operator");
}
