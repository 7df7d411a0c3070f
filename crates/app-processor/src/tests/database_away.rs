//! While the database is away: outcomes wait, nothing is claimed, and nothing is forgotten.

use std::sync::Arc;
use std::time::Duration;

use model::Status;
use testkit::until;
use tokio_util::sync::CancellationToken;

use super::provider::TestProvider;
use super::stage::{Stage, config, provider, settled, step, turns};
use crate::run_once::Visit;

/// Longer than any part of a test takes: leases are kept by the test's own doing alone.
const LONG_LEASE: &str = "[processor]\nlease_s = 60\n";

#[tokio::test]
async fn outcomes_wait_for_the_database_and_nothing_is_claimed_before_the_leases_are_kept_again() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let (answered, under_way) = (stage.accept_to(1).await, stage.accept_to(2).await);
    let text = format!("{LONG_LEASE}{}", provider("p", &test_provider.base_url, ""));
    let processor = stage.processor(&text);
    step(&processor).await;
    let (mut first, mut second) = (test_provider.call().await, test_provider.call().await);
    if second.is_to(1) {
        std::mem::swap(&mut first, &mut second);
    }
    let due = stage.accept_to(3).await;
    assert!(processor.leases.are_kept());

    stage.database.go_away().await;
    first.accept().await;
    until("a settle has failed", async || (!processor.leases.are_kept()).then_some(())).await;
    step(&processor).await;
    assert!(processor.extend_leases().await.is_err());
    assert_eq!(processor.leases.count(), 2, "the outcome waits");

    stage.database.come_back().await;
    until("the outcome is settled", async || (processor.leases.count() == 1).then_some(())).await;
    assert_eq!(stage.find(answered.id).await.status, Status::Ok);
    step(&processor).await;
    let row = stage.row(due.id).await.unwrap();
    assert_eq!((row.lease_no, row.leased_by), (0, None), "the call under way may have lost its lease");

    processor.extend_leases().await.unwrap();
    step(&processor).await;
    assert_eq!(stage.row(due.id).await.unwrap().leased_by, Some(processor.owner));
    second.accept().await;
    test_provider.call().await.accept().await;
    settled(&processor).await;
    for id in [under_way.id, due.id] {
        assert_eq!(stage.find(id).await.status, Status::Ok);
        assert_eq!(stage.event_kinds(id).await, ["sent"]);
    }
    assert_eq!(processor.parts.metrics.leases_lost.get(), 0);
}

#[tokio::test]
async fn leases_that_cannot_be_given_back_are_ours_no_more() {
    let stage = Stage::new().await;
    stage.accept_to(2).await;
    stage
        .execute(
            "create function refuse() returns trigger language plpgsql as $$ begin raise 'not now'; end $$;
             create trigger refuse before update on outbox for each row
                 when (old.leased_by is not null and new.leased_by is null) execute function refuse()",
        )
        .await;
    let mut config = config(&provider("p", "http://127.0.0.1:9", ""));
    // Over before a call could begin under it.
    config.processor.lease = Duration::from_nanos(1);
    let processor = stage.processor_of(config);
    let round = processor.run_once(&mut turns(&processor), Visit::Everyone, &CancellationToken::new()).await;
    assert!(matches!(round, Err(app_db::Error::Refused(_))), "{round:?}");
    assert_eq!(processor.leases.count(), 0, "extending it would keep the message from everybody for ever");
}

#[tokio::test]
async fn a_claim_that_the_database_does_not_answer_leaves_nothing_behind() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    let message = stage.accept_to(2).await;
    let processor = stage.processor_for(&test_provider, "max_in_flight = 1");
    stage.database.go_away().await;
    let round = processor.run_once(&mut turns(&processor), Visit::Everyone, &CancellationToken::new()).await;
    assert!(matches!(round, Err(app_db::Error::Unavailable(_))), "{round:?}");
    assert_eq!(processor.leases.count(), 0);

    stage.database.come_back().await;
    step(&processor).await;
    test_provider.call().await.accept().await;
    settled(&processor).await;
    assert_eq!(stage.find(message.id).await.status, Status::Ok, "its slot was given back");
}

#[tokio::test]
async fn leases_are_extended_as_soon_as_the_database_is_back() {
    let mut test_provider = TestProvider::start().await;
    let stage = Stage::new().await;
    stage.accept_to(2).await;
    let text = format!("[processor]\nlease_s = 2\n{}", provider("p", &test_provider.base_url, ""));
    let processor = stage.processor(&text);
    let end = CancellationToken::new();
    let keeping = tokio::spawn(Arc::clone(&processor).keep_leases(end.clone()));
    step(&processor).await;
    let call = test_provider.call().await;
    stage.database.go_away().await;
    until("the leases are not kept", async || (!processor.leases.are_kept()).then_some(())).await;
    stage.database.come_back().await;
    until("they are kept again", async || processor.leases.are_kept().then_some(())).await;
    call.accept().await;
    settled(&processor).await;
    end.cancel();
    keeping.await.unwrap();
    assert_eq!(processor.parts.metrics.leases_lost.get(), 0);
}
