//! Claim, settle, lease, cancel, requeue: the life of an outbox row on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::collections::HashSet;
use std::time::Duration;

use app_db::claim;
use app_db::settle::{Settled, Settlement};
use app_db::{cancel, floors, housekeeping};
use model::transition::{self, Earlier, Elsewhere, Rules, Tried};
use model::{Bucket, Delivery, OnUnknown, Outcome, Priority, Reason, RetryPolicy, Status};
use testkit::outbox::{Outbox, accepted, rejected, unavailable};
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_message_is_in_the_outbox_exactly_until_it_is_settled() {
    let outbox = Outbox::new().await;
    let message = outbox.accept(outbox.fixtures.sms(1, 2)).await;
    assert_eq!((message.status, message.delivery), (Status::Outbox, Delivery::None));
    assert!(message.next_attempt_at.is_some());

    let claimed = outbox.claim(10).await;
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].body, "Hello");
    assert!(claimed[0].lapsed_provider.is_none());
    let settled = outbox.settle(&claimed[0], &accepted()).await;
    assert_eq!(settled.written, HashSet::from([message.id]));

    let stored = outbox.find(message.id).await;
    assert_eq!((stored.status, stored.delivery, stored.attempt), (Status::Ok, Delivery::Pending, 1));
    assert_eq!(
        (stored.provider_id.as_deref(), stored.provider_message_id.as_deref()),
        (Some("p"), Some("SM1"))
    );
    assert_eq!(stored.next_attempt_at, None);
    assert!(outbox.claim(10).await.is_empty());
    assert_eq!(outbox.event_kinds(message.id).await, ["sent"]);
}

#[tokio::test]
async fn two_claims_never_get_the_same_row() {
    let outbox = Outbox::new().await;
    for to in 0..40 {
        outbox.accept(outbox.fixtures.sms(9000, to)).await;
    }
    let others = outbox.fixtures.ids.next(outbox.fixtures.now, Bucket(1));
    let (mine, theirs) = tokio::join!(outbox.claim(40), outbox.claim_as(others, 40));
    let rest = outbox.claim(40).await;
    let ids: Vec<Uuid> = mine.iter().chain(&theirs).chain(&rest).map(|claimed| claimed.message_id).collect();
    assert_eq!(ids.len(), 40);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), 40);
}

#[tokio::test]
async fn the_urgent_go_first_and_within_a_priority_the_longest_due() {
    let outbox = Outbox::new().await;
    let mut expected = Vec::new();
    for (to, priority) in
        [(1, Priority::Low), (2, Priority::High), (3, Priority::Normal), (4, Priority::High)]
    {
        let message = model::NewMessage { priority, ..outbox.fixtures.sms(9000, to) };
        expected.push((priority.as_i16(), outbox.accept(message).await.id));
    }
    expected.sort();
    let mut order = Vec::new();
    for _ in 0..4 {
        let claimed = outbox.claim(1).await;
        order.push((claimed[0].priority.as_i16(), claimed[0].message_id));
    }
    assert_eq!(order, expected);
}

#[tokio::test]
async fn a_scheduled_message_is_not_due_before_its_time() {
    let outbox = Outbox::new().await;
    let send_at = outbox.fixtures.now + Duration::from_secs(3600);
    let message =
        outbox.accept(model::NewMessage { send_at: Some(send_at), ..outbox.fixtures.sms(1, 2) }).await;
    assert_eq!(message.next_attempt_at.map(|at| at.as_second()), Some(send_at.as_second()));
    assert!(outbox.claim(10).await.is_empty());
}

#[tokio::test]
async fn a_transient_failure_is_due_again_later_and_keeps_its_reason() {
    let outbox = Outbox::new().await;
    let message = outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let claimed = outbox.claim(1).await;
    let throttled = Outcome::Throttled { retry_after: Some(Duration::from_secs(60)), provider_code: None };
    outbox.settle(&claimed[0], &throttled).await;
    let stored = outbox.find(message.id).await;
    assert_eq!((stored.status, stored.attempt), (Status::Retry, 0));
    assert_eq!(stored.status_payload.unwrap().code, "throttled");
    assert!(stored.next_attempt_at.unwrap() >= stored.updated_at + Duration::from_secs(60));
    assert!(outbox.claim(1).await.is_empty());
    assert_eq!(outbox.event_kinds(message.id).await, ["retrying"]);
}

#[tokio::test]
async fn a_worker_whose_lease_lapsed_cannot_overwrite_a_newer_one() {
    let outbox = Outbox::new().await;
    let message = outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let stale = outbox.claim(1).await;
    outbox.let_leases_lapse().await;
    let current = outbox.claim(1).await;
    assert_eq!(current[0].lapsed_provider.as_deref(), Some("p"), "the first attempt's outcome is unknown");
    assert!(current[0].lease_no > stale[0].lease_no);

    let late = outbox.settle(&stale[0], &rejected()).await;
    assert_eq!(late, Settled::default());
    assert_eq!(outbox.find(message.id).await.status, Status::Outbox);
    let settled = outbox.settle(&current[0], &accepted()).await;
    assert_eq!(settled.written.len(), 1);
    assert_eq!(outbox.find(message.id).await.status, Status::Ok);
}

#[tokio::test]
async fn an_extended_lease_does_not_lapse_and_a_lost_one_is_not_extended() {
    let outbox = Outbox::new().await;
    outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let claimed = outbox.claim(1).await;
    let lease = claimed[0].lease();
    outbox.let_leases_lapse().await;
    let client = outbox.pool().get().await.unwrap();
    let kept = claim::extend(&client, outbox.owner, LEASE, &[lease]).await.unwrap();
    assert_eq!(kept, [lease]);
    assert!(outbox.claim(1).await.is_empty());
    let stranger = outbox.fixtures.ids.next(outbox.fixtures.now, Bucket(1));
    assert!(claim::extend(&client, stranger, LEASE, &[lease]).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_released_row_is_due_at_once_and_counts_as_not_tried() {
    let outbox = Outbox::new().await;
    outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let claimed = outbox.claim(1).await;
    let client = outbox.pool().get().await.unwrap();
    claim::release(&client, outbox.owner, &[claimed[0].lease()]).await.unwrap();
    let again = outbox.claim(1).await;
    assert_eq!((again.len(), again[0].attempt, again[0].lapsed_provider.as_deref()), (1, 0, None));
}

#[tokio::test]
async fn a_message_that_waits_for_a_receipt_comes_back_marked_so() {
    let outbox = Outbox::new().await;
    outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let claimed = outbox.claim(1).await;
    let uncertain = Outcome::Uncertain { reason: Reason::Timeout, detail: "10 s".to_owned() };
    outbox.settle_by(OnUnknown::Reconcile, &claimed[0], &uncertain).await;
    assert!(outbox.claim(1).await.is_empty(), "it waits");
    outbox.execute("update outbox set next_attempt_at = now()").await;
    let due = outbox.claim(1).await;
    assert!(due[0].reconciling && due[0].lapsed_provider.is_none());
}

#[tokio::test]
async fn only_what_nobody_holds_can_be_canceled() {
    let outbox = Outbox::new().await;
    let waiting = outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let client = outbox.pool().get().await.unwrap();
    assert!(cancel::cancel(&client, waiting.id, outbox.event_id(waiting.id)).await.unwrap());
    let stored = outbox.find(waiting.id).await;
    assert_eq!((stored.status, stored.status_payload.unwrap().code.as_str()), (Status::Failed, "canceled"));
    assert!(!cancel::cancel(&client, waiting.id, outbox.event_id(waiting.id)).await.unwrap(), "settled");

    let leased = outbox.accept(outbox.fixtures.sms(1, 3)).await;
    outbox.claim(1).await;
    assert!(!cancel::cancel(&client, leased.id, outbox.event_id(leased.id)).await.unwrap(), "leased");
}

#[tokio::test]
async fn failures_and_retries_of_many_messages_are_settled_in_one_statement() {
    let outbox = Outbox::new().await;
    for to in 0..300 {
        outbox.accept(outbox.fixtures.sms(9000, to)).await;
    }
    let claimed = outbox.claim(300).await;
    let policy = RetryPolicy::default();
    let settlements: Vec<Settlement> = claimed
        .iter()
        .enumerate()
        .map(|(position, row)| {
            let outcome = [accepted(), unavailable(), rejected()][position % 3].clone();
            let tried =
                Tried { attempt: 0, age: Duration::ZERO, claims: 1, jitter: 0.0, earlier: Earlier::None };
            let transition = transition::after_outcome(
                &outcome,
                tried,
                &Rules {
                    policy: &policy,
                    on_unknown: OnUnknown::Retry,
                    reconcile_wait: LEASE,
                    elsewhere: Elsewhere::Nowhere,
                    confirm_within: None,
                },
            );
            let event_id = outbox.event_id(row.message_id);
            Settlement {
                lease: row.lease(),
                transition,
                channel: model::Channel::Sms,
                provider_id: Some("p".to_owned()),
                event_id,
                reference: None,
                lane: None,
                accepts: false,
                holder: None,
            }
        })
        .collect();
    let settled = outbox.write(&settlements).await;
    let client = outbox.pool().get().await.unwrap();
    assert_eq!(settled.written.len(), 300);
    let count = async |sql: &str| client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0);
    assert_eq!(count("select count(*) from messages where status_tag = 'ok'").await, 100);
    assert_eq!(count("select count(*) from messages where status_tag = 'retry'").await, 100);
    assert_eq!(count("select count(*) from problems where kind = 'failed'").await, 100);
    assert_eq!(count("select count(*) from outbox").await, 100);
    assert_eq!(count("select count(*) from message_events").await, 300);
}

#[tokio::test]
async fn what_outlived_its_time_is_taken_to_be_expired() {
    let outbox = Outbox::new().await;
    let expires_at = Some(outbox.fixtures.now + Duration::from_secs(3600));
    let expiring = outbox.accept(model::NewMessage { expires_at, ..outbox.fixtures.sms(1, 2) }).await;
    let lasting = outbox.accept(outbox.fixtures.sms(1, 3)).await;
    let take = async |max_age: Duration| {
        let mut client = outbox.pool().get().await.unwrap();
        let transaction = client.transaction().await.unwrap();
        let now = outbox.fixtures.now + Duration::from_secs(7200);
        let rows = housekeeping::claim_expired(&transaction, outbox.owner, now, max_age, &mut Uuid::nil())
            .await
            .unwrap();
        rows.into_iter().map(|row| row.message_id).collect::<Vec<_>>()
    };
    let day = Duration::from_secs(86_400);
    assert!(take(day).await.is_empty());
    outbox
        .execute("update outbox set expires_at = now() - interval '1 second' where expires_at is not null")
        .await;
    assert_eq!(take(day).await, [expiring.id]);
    outbox.execute("update outbox set next_attempt_at = now() - interval '2 hours'; update messages set created_at = now() - interval '2 hours'").await;
    let mut old = take(Duration::from_secs(3600)).await;
    old.sort();
    assert_eq!(old, [expiring.id, lasting.id]);
}

#[tokio::test]
async fn what_waits_for_a_receipt_does_not_expire() {
    let outbox = Outbox::new().await;
    let expires_at = Some(outbox.fixtures.now + Duration::from_secs(3600));
    outbox.accept(model::NewMessage { expires_at, ..outbox.fixtures.sms(1, 2) }).await;
    let claimed = outbox.claim(1).await;
    let uncertain = Outcome::Uncertain { reason: Reason::Timeout, detail: "10 s".to_owned() };
    outbox.settle_by(OnUnknown::Reconcile, &claimed[0], &uncertain).await;
    outbox.execute("update outbox set expires_at = now() - interval '1 second'").await;
    let mut client = outbox.pool().get().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    let max_age = Duration::from_secs(86_400);
    let rows = housekeeping::claim_expired(
        &transaction,
        outbox.owner,
        outbox.fixtures.now,
        max_age,
        &mut Uuid::nil(),
    )
    .await
    .unwrap();
    assert!(rows.is_empty());
}

#[tokio::test]
async fn rows_of_a_route_that_is_gone_are_found_and_moved() {
    let outbox = Outbox::new().await;
    outbox.accept(outbox.fixtures.sms(1, 2)).await;
    outbox.execute("update outbox set route = 'old'").await;
    outbox.accept(outbox.fixtures.sms(1, 3)).await;
    let client = outbox.pool().get().await.unwrap();
    assert_eq!(housekeeping::routes_in_use(&client).await.unwrap(), ["old", "sms"]);
    let rows = housekeeping::rows_of_route(&client, "old", Uuid::nil()).await.unwrap();
    assert_eq!(rows[0].target.as_str(), "+12025550002");
    let moves: Vec<_> = rows.into_iter().map(|row| (row, "sms".to_owned())).collect();
    assert_eq!(housekeeping::reroute(&client, &moves).await.unwrap(), 1);
    assert_eq!(outbox.claim(10).await.len(), 2);
}

#[tokio::test]
async fn a_settle_that_waited_for_an_extension_of_its_lease_settles_all_the_same() {
    let outbox = Outbox::new().await;
    let message = outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let claimed = outbox.claim(1).await;
    let mut extending = outbox.pool().get().await.unwrap();
    let extension = extending.transaction().await.unwrap();
    // The statement of `claim::extend`, whose commit we hold back.
    extension.batch_execute("update outbox set leased_until = now() + interval '20 seconds'").await.unwrap();
    let watching = outbox.pool().get().await.unwrap();
    let outcome = accepted();
    let (settled, ()) = tokio::join!(outbox.settle(&claimed[0], &outcome), async {
        testkit::until("the settle waits for the row", async || {
            let waits = "select exists (select from pg_locks where not granted and pid in
                             (select pid from pg_stat_activity where datname = current_database()))";
            watching.query_one(waits, &[]).await.unwrap().get::<_, bool>(0).then_some(())
        })
        .await;
        extension.commit().await.unwrap();
    });
    assert_eq!(settled.written, HashSet::from([message.id]));
    let left: i64 = watching.query_one("select count(*) from outbox", &[]).await.unwrap().get(0);
    assert_eq!(left, 0, "a row that stays would be sent again when its lease is over");
}

/// As a newer version's processors and servers leave it while versions are mixed.
async fn make_unknown(outbox: &Outbox, id: Uuid) {
    outbox
        .execute(&format!(
            "alter table outbox drop constraint if exists outbox_channel_check;
             update outbox set channel = 'pigeon' where message_id = '{id}'"
        ))
        .await;
}

#[tokio::test]
async fn a_row_of_an_unknown_channel_is_left_alone_and_costs_the_others_nothing() {
    let outbox = Outbox::new().await;
    let unknown = outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let known = outbox.accept(outbox.fixtures.sms(1, 3)).await;
    make_unknown(&outbox, unknown.id).await;

    let claimed = outbox.claim(2).await;
    assert_eq!(claimed.iter().map(|row| row.message_id).collect::<Vec<_>>(), [known.id]);
    assert_eq!(outbox.settle(&claimed[0], &accepted()).await.written.len(), 1);

    let client = outbox.pool().get().await.unwrap();
    let floors = floors::Floors([Some(claimed[0].claimed_at); 3]);
    assert_eq!(
        floors::left_behind(&client, &[("sms", floors)]).await.unwrap()[0],
        [None; 3],
        "nobody is sent back for it"
    );
    let sql = "select lease_no, leased_by is null from outbox";
    let row = client.query_one(sql, &[]).await.unwrap();
    assert_eq!((row.get::<_, i32>(0), row.get::<_, bool>(1)), (0, true), "it was never leased");
}

#[tokio::test]
async fn housekeeping_passes_over_rows_of_an_unknown_channel() {
    let outbox = Outbox::new().await;
    let unknown = outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let known = outbox.accept(outbox.fixtures.sms(1, 3)).await;
    make_unknown(&outbox, unknown.id).await;
    outbox.execute("update outbox set expires_at = now() - interval '1 second'").await;

    let mut client = outbox.pool().get().await.unwrap();
    let stranded = housekeeping::rows_of_route(&client, "sms", Uuid::nil()).await.unwrap();
    assert_eq!(stranded.iter().map(|row| row.lease.message_id).collect::<Vec<_>>(), [known.id]);
    let transaction = client.transaction().await.unwrap();
    let now = outbox.fixtures.now + Duration::from_secs(7200);
    let expired =
        housekeeping::claim_expired(&transaction, outbox.owner, now, Duration::ZERO, &mut Uuid::nil())
            .await
            .unwrap();
    assert_eq!(expired.iter().map(|row| row.message_id).collect::<Vec<_>>(), [known.id]);
}
