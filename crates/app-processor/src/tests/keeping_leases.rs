//! Calls that are longer than a lease.

use std::sync::Arc;
use std::time::Duration;

use model::Status;
use testkit::until;
use tokio_util::sync::CancellationToken;

use super::provider::TestProvider;
use super::stage::{Stage, config, provider, settled, step};

/// Long enough for a machine that is busy to extend it in time.
const LEASE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_call_that_is_longer_than_its_lease_is_nobody_elses() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let message = stage.accept_to(2).await;
    let mut config = config(&provider("p", &test_provider.base_url, ""));
    config.processor.lease = LEASE;
    let (holder, other) = (stage.processor_of(config.clone()), stage.processor_of(config));
    let end = CancellationToken::new();
    let keeping = tokio::spawn(Arc::clone(&holder).keep_leases(end.clone()));
    step(&holder).await;
    let call = test_provider.call().await;
    let first_end = stage.row(message.id).await.unwrap().leased_until.unwrap();
    until("the first lease would be over", async || {
        let client = stage.pool().get().await.unwrap();
        let now: jiff::Timestamp = client.query_one("select clock_timestamp()", &[]).await.unwrap().get(0);
        (now > first_end).then_some(())
    })
    .await;

    step(&other).await;
    assert_eq!(other.leases.count(), 0);
    let row = stage.row(message.id).await.unwrap();
    assert_eq!((row.lease_no, row.leased_by, row.is_due), (1, Some(holder.owner), false));
    assert!(row.leased_until.unwrap() > first_end);

    call.accept().await;
    settled(&holder).await;
    end.cancel();
    keeping.await.unwrap();
    assert_eq!(stage.find(message.id).await.status, Status::Ok);
    assert_eq!(stage.event_kinds(message.id).await, ["sent"]);
    assert!(test_provider.has_no_more_calls());
}

#[tokio::test]
async fn only_leases_of_calls_under_way_are_extended() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let message = stage.accept_to(2).await;
    let processor = stage.processor_for(&test_provider, "");
    step(&processor).await;
    let _unanswered = test_provider.call().await;
    let taken = stage.row(message.id).await.unwrap();
    processor.extend_leases().await.unwrap();
    let extended = stage.row(message.id).await.unwrap();
    assert!(extended.leased_until > taken.leased_until);
    assert_eq!(extended.due_at, taken.due_at, "its place in the queue stays");

    stage.lapse(message.id, "p").await;
    processor.extend_leases().await.unwrap();
    assert!(stage.row(message.id).await.unwrap().is_due, "what is another's by now is left alone");
}
