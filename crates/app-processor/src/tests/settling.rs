//! Outcomes that the database refuses, and those whose lease was lost.

use model::Status;
use testkit::until;

use super::provider::TestProvider;
use super::stage::{Stage, settled, step};

#[tokio::test]
async fn a_row_that_is_refused_keeps_no_other_of_its_batch_from_settling() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    stage
        .execute(
            "alter table messages add check (endpoint_target <> '+12025550003' or status_tag = 'outbox')",
        )
        .await;
    let mut ids = Vec::new();
    for to in 1..=4 {
        ids.push(stage.accept_to(to).await.id);
    }
    let processor = stage.processor_for(&test_provider, "");
    step(&processor).await;
    let mut calls = test_provider.calls(4).await;

    // The first settle waits for this lock, so that the others become one batch behind it.
    let mut client = stage.pool().get().await.unwrap();
    let lock = client.transaction().await.unwrap();
    lock.execute("select from outbox where message_id = $1 for update", &[&ids[0]]).await.unwrap();
    let first = calls.iter().position(|call| call.is_to(1)).unwrap();
    calls.remove(first).accept().await;
    until("the settle waits for the lock", async || {
        let sql =
            "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        let observer = stage.pool().get().await.unwrap();
        observer.query_opt(sql, &[]).await.unwrap().map(|_| ())
    })
    .await;
    for call in calls {
        call.accept().await;
    }
    let label = service::metrics::ProviderOutcome::new("p", "accepted");
    let answered = processor.parts.metrics.attempts.get_or_create(&label).clone();
    until("all are answered", async || (answered.get() == 4).then_some(())).await;
    lock.rollback().await.unwrap();
    settled(&processor).await;

    for (place, &id) in ids.iter().enumerate() {
        let expected = if place == 2 { Status::Outbox } else { Status::Ok };
        assert_eq!(stage.find(id).await.status, expected, "message {place}");
    }
    let refused = stage.row(ids[2]).await.unwrap();
    assert_eq!(refused.leased_by, Some(processor.owner), "left to its lease");
    assert_eq!(processor.parts.metrics.leases_lost.get(), 1);
}

#[tokio::test]
async fn an_outcome_whose_lease_another_took_is_not_written() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let message = stage.accept_to(2).await;
    let slow = stage.processor_for(&test_provider, "on_unknown = \"hold\"");
    let quick = stage.processor_for(&test_provider, "on_unknown = \"hold\"");
    step(&slow).await;
    let call = test_provider.call().await;
    stage.let_leases_lapse().await;
    step(&quick).await;
    let held = stage.find(message.id).await;

    call.answer(400, "", r#"{"code":21211,"status":400}"#).await;
    settled(&slow).await;
    assert_eq!(stage.find(message.id).await, held);
    assert_eq!(stage.event_kinds(message.id).await, ["outcome_unknown"]);
    assert_eq!((slow.parts.metrics.leases_lost.get(), quick.parts.metrics.leases_lost.get()), (1, 0));
}
