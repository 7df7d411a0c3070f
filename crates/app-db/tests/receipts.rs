//! Receipts on a real PostgreSQL: late, doubled, out of order, before the answer, for unknown outcomes.

use std::time::Duration;

use app_db::accept::{Accept, Accepted, accept};
use app_db::claim::{self, ClaimRequest, Claimed, Lease};
use app_db::messages::{self, events};
use app_db::receipts::{Applied, NewReceipt, apply};
use app_db::settle::{Settled, Settlement, settle};
use model::transition::{self, Tried};
use model::{Bucket, Delivery, Message, OnUnknown, Outcome, Reason, RetryPolicy, Status};
use testkit::fixtures::Fixtures;
use uuid::Uuid;

struct Sent {
    database: testkit::TestDatabase,
    fixtures: Fixtures,
    owner: Uuid,
    id: Uuid,
    claimed: Claimed,
}

impl Sent {
    /// A message under a lease: its call is under way.
    async fn new() -> Self {
        let database = testkit::database().await;
        let fixtures = Fixtures::new();
        let request = Accept { message: fixtures.sms(1, 2), route: "sms".to_owned(), idempotency: None };
        let accepted = accept(&database.pool, &fixtures.ids, fixtures.now, &[request]).await.pop();
        let Some(Ok(Accepted::New(message))) = accepted else { panic!("{accepted:?}") };
        let owner = fixtures.ids.next(fixtures.now, Bucket(0));
        let mut client = database.pool.get().await.unwrap();
        let transaction = client.transaction().await.unwrap();
        let lease = Duration::from_secs(10);
        let request =
            ClaimRequest { route: "sms", provider_id: "p", owner, lease, limit: 1, floors: [None; 3] };
        let claimed = claim::claim(&transaction, request).await.unwrap().pop().unwrap();
        transaction.commit().await.unwrap();
        Self { id: message.id, database, fixtures, owner, claimed }
    }

    async fn settle(&self, outcome: &Outcome, on_unknown: OnUnknown) -> Settled {
        let tried = Tried { attempt: self.claimed.attempt, age: Duration::ZERO, claims: 1, jitter: 0.0 };
        let policy = RetryPolicy::default();
        let transition =
            transition::after_outcome(outcome, tried, &policy, on_unknown, Duration::from_secs(300));
        let lease = Lease { message_id: self.id, lease_no: self.claimed.lease_no };
        let event_id = self.fixtures.ids.next(self.fixtures.now, Bucket::of(self.id));
        let settlement = Settlement { lease, transition, provider_id: "p".to_owned(), event_id };
        let mut client = self.database.pool.get().await.unwrap();
        let transaction = client.transaction().await.unwrap();
        let settled = settle(&transaction, self.owner, &[settlement]).await.unwrap();
        transaction.commit().await.unwrap();
        settled
    }

    fn receipt(&self, delivery: Delivery, attempt: u32) -> NewReceipt {
        NewReceipt {
            message_id: Some(self.id),
            attempt: Some(attempt),
            provider_id: "p".to_owned(),
            provider_message_id: Some("SM1".to_owned()),
            delivery,
            provider_code: (delivery == Delivery::Undelivered).then(|| "30003".to_owned()),
            detail: None,
        }
    }

    async fn apply(&self, receipts: &[NewReceipt]) -> Vec<Applied> {
        let results = apply(&self.database.pool, &self.fixtures.ids, self.fixtures.now, receipts).await;
        results.into_iter().map(Result::unwrap).collect()
    }

    async fn message(&self) -> Message {
        let client = self.database.pool.get().await.unwrap();
        messages::find(&client, self.id).await.unwrap().unwrap()
    }

    async fn events(&self) -> Vec<(String, String)> {
        let client = self.database.pool.get().await.unwrap();
        let listed = events::list(&client, self.id, Uuid::nil(), 100).await.unwrap();
        listed.into_iter().map(|event| (event.kind, event.delivery)).collect()
    }

    async fn problem(&self) -> Option<String> {
        let client = self.database.pool.get().await.unwrap();
        let sql = "select kind from problems where message_id = $1";
        client.query_opt(sql, &[&self.id]).await.unwrap().map(|row| row.get(0))
    }
}

fn accepted() -> Outcome {
    Outcome::Accepted { provider_message_id: Some("SM1".to_owned()) }
}

fn uncertain() -> Outcome {
    Outcome::Uncertain { reason: Reason::Timeout, detail: "10 s".to_owned() }
}

#[tokio::test]
async fn delivery_moves_only_up_its_rank() {
    let sent = Sent::new().await;
    sent.settle(&accepted(), OnUnknown::Retry).await;
    let changed = Applied::Changed { message_id: sent.id };
    let receipts =
        [Delivery::Sent, Delivery::Sent, Delivery::Delivered, Delivery::Sent, Delivery::Undelivered];
    let applied = sent.apply(&receipts.map(|delivery| sent.receipt(delivery, 1))).await;
    assert_eq!(applied, [changed, Applied::Stale, changed, Applied::Stale, Applied::Stale]);
    assert_eq!(sent.message().await.delivery, Delivery::Delivered);
    let kinds = [("sent", "pending"), ("receipt", "sent"), ("receipt", "delivered")];
    assert_eq!(sent.events().await, kinds.map(|(kind, delivery)| (kind.to_owned(), delivery.to_owned())));
}

#[tokio::test]
async fn a_receipt_before_the_answer_settles_and_the_late_answer_adds_only_the_id() {
    let sent = Sent::new().await;
    let without_id = NewReceipt { provider_message_id: None, ..sent.receipt(Delivery::Delivered, 1) };
    assert_eq!(sent.apply(&[without_id]).await, [Applied::Changed { message_id: sent.id }]);
    let message = sent.message().await;
    assert_eq!((message.status, message.delivery, message.attempt), (Status::Ok, Delivery::Delivered, 1));
    assert_eq!(message.next_attempt_at, None);

    let settled = sent.settle(&accepted(), OnUnknown::Retry).await;
    assert!(settled.written.is_empty() && settled.by_receipt.contains(&sent.id));
    let message = sent.message().await;
    assert_eq!(message.delivery, Delivery::Delivered);
    assert_eq!(message.provider_message_id.as_deref(), Some("SM1"));
}

#[tokio::test]
async fn a_receipt_settles_an_unknown_outcome_that_was_held() {
    let sent = Sent::new().await;
    sent.settle(&uncertain(), OnUnknown::Hold).await;
    assert_eq!(sent.problem().await.as_deref(), Some("held"));
    sent.apply(&[sent.receipt(Delivery::Sent, 1)]).await;
    let message = sent.message().await;
    assert_eq!((message.status, message.delivery), (Status::Ok, Delivery::Sent));
    assert_eq!(message.status_payload, None);
    assert_eq!(sent.problem().await, None);
}

#[tokio::test]
async fn a_receipt_settles_what_waits_to_be_reconciled() {
    let sent = Sent::new().await;
    sent.settle(&uncertain(), OnUnknown::Reconcile).await;
    assert_eq!(sent.message().await.delivery, Delivery::Unknown);
    sent.apply(&[sent.receipt(Delivery::Delivered, 1)]).await;
    assert_eq!(sent.message().await.delivery, Delivery::Delivered);
    let client = sent.database.pool.get().await.unwrap();
    let left: i64 = client.query_one("select count(*) from outbox", &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_delivery_of_the_first_attempt_stops_the_second() {
    let sent = Sent::new().await;
    sent.settle(&uncertain(), OnUnknown::Retry).await;
    assert_eq!(sent.message().await.status, Status::Retry);
    sent.apply(&[sent.receipt(Delivery::Undelivered, 1)]).await;
    assert_eq!(
        sent.message().await.status,
        Status::Retry,
        "a refusal of it changes nothing: it is tried again"
    );
    sent.apply(&[sent.receipt(Delivery::Delivered, 1)]).await;
    assert_eq!(sent.message().await.status, Status::Ok);
}

#[tokio::test]
async fn an_undelivered_message_is_a_problem_with_the_providers_code() {
    let sent = Sent::new().await;
    sent.settle(&accepted(), OnUnknown::Retry).await;
    sent.apply(&[sent.receipt(Delivery::Undelivered, 1)]).await;
    let message = sent.message().await;
    assert_eq!((message.status, message.delivery), (Status::Ok, Delivery::Undelivered));
    let payload = message.status_payload.unwrap();
    assert_eq!((payload.code.as_str(), payload.provider_code.as_deref()), ("undelivered", Some("30003")));
    assert_eq!(sent.problem().await.as_deref(), Some("undelivered"));
    sent.apply(&[sent.receipt(Delivery::Delivered, 1)]).await;
    assert_eq!(sent.problem().await, None);
}

#[tokio::test]
async fn a_receipt_for_no_message_of_ours_is_unmatched() {
    let sent = Sent::new().await;
    let stranger = sent.fixtures.ids.next(sent.fixtures.now, Bucket(3));
    let by_id = NewReceipt { message_id: Some(stranger), ..sent.receipt(Delivery::Sent, 1) };
    let by_reference = NewReceipt { message_id: None, ..sent.receipt(Delivery::Sent, 1) };
    let by_nothing =
        NewReceipt { message_id: None, provider_message_id: None, ..sent.receipt(Delivery::Sent, 1) };
    assert_eq!(sent.apply(&[by_id, by_reference, by_nothing]).await, [Applied::Unmatched; 3]);
}
