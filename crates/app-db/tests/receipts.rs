//! Receipts on a real PostgreSQL: late, doubled, out of order, before the answer, for unknown outcomes.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use app_db::claim::Claimed;
use app_db::messages::events;
use app_db::receipts::{Applied, NewReceipt, apply};
use app_db::settle::Settled;
use model::{Bucket, Delivery, Message, OnUnknown, Outcome, Reason, Status};
use testkit::outbox::{Outbox, accepted};
use uuid::Uuid;

/// A message under a lease: its call is under way.
struct Sent {
    outbox: Outbox,
    id: Uuid,
    claimed: Claimed,
}

impl Sent {
    async fn new() -> Self {
        let outbox = Outbox::new().await;
        let id = outbox.accept(outbox.fixtures.sms(1, 2)).await.id;
        let claimed = outbox.claim(1).await.pop().unwrap();
        Self { outbox, id, claimed }
    }

    async fn settle(&self, outcome: &Outcome, on_unknown: OnUnknown) -> Settled {
        self.outbox.settle_by(on_unknown, &self.claimed, outcome).await
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
            temporary: false,
        }
    }

    async fn apply(&self, receipts: &[NewReceipt]) -> Vec<Applied> {
        let fixtures = &self.outbox.fixtures;
        let results = apply(self.outbox.pool(), &fixtures.ids, fixtures.now, receipts).await;
        results.into_iter().map(Result::unwrap).collect()
    }

    async fn message(&self) -> Message {
        self.outbox.find(self.id).await
    }

    async fn events(&self) -> Vec<(String, String)> {
        let client = self.outbox.pool().get().await.unwrap();
        let listed = events::list(&client, self.id, Uuid::nil(), 100).await.unwrap();
        listed.into_iter().map(|event| (event.kind, event.delivery)).collect()
    }

    async fn problem(&self) -> Option<String> {
        let client = self.outbox.pool().get().await.unwrap();
        let sql = "select kind from problems where message_id = $1";
        client.query_opt(sql, &[&self.id]).await.unwrap().map(|row| row.get(0))
    }
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
    let client = sent.outbox.pool().get().await.unwrap();
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
    let stranger = sent.outbox.fixtures.ids.next(sent.outbox.fixtures.now, Bucket(3));
    let by_id = NewReceipt { message_id: Some(stranger), ..sent.receipt(Delivery::Sent, 1) };
    let by_reference = NewReceipt { message_id: None, ..sent.receipt(Delivery::Sent, 1) };
    let by_nothing =
        NewReceipt { message_id: None, provider_message_id: None, ..sent.receipt(Delivery::Sent, 1) };
    assert_eq!(sent.apply(&[by_id, by_reference, by_nothing]).await, [Applied::Unmatched; 3]);
}

#[tokio::test]
async fn another_try_and_a_late_delivery_end_as_delivered_whichever_comes_first() {
    for retry_first in [true, false] {
        let sent = Sent::new().await;
        let rejected = Outcome::Rejected {
            reason: Reason::Rejected,
            provider_code: None,
            detail: "HTTP 400".to_owned(),
        };
        sent.settle(&rejected, OnUnknown::Retry).await;
        let retry = async || {
            let mut client = sent.outbox.pool().get().await.unwrap();
            let event_id = sent.outbox.event_id(sent.id);
            app_db::requeue::requeue(&mut client, sent.id, "sms", event_id, None).await.unwrap()
        };
        let delivered = [sent.receipt(Delivery::Delivered, 1)];
        if retry_first {
            assert!(retry().await);
            sent.apply(&delivered).await;
        } else {
            sent.apply(&delivered).await;
            assert!(!retry().await, "it is neither failed nor held");
        }
        let message = sent.message().await;
        assert_eq!((message.status, message.delivery), (Status::Ok, Delivery::Delivered));
        assert!(sent.outbox.claim(1).await.is_empty(), "nothing is left to send");
    }
}

#[tokio::test]
async fn another_try_waits_for_a_receipt_that_is_being_written_and_then_gives_way() {
    let sent = Sent::new().await;
    let rejected =
        Outcome::Rejected { reason: Reason::Rejected, provider_code: None, detail: "HTTP 400".to_owned() };
    sent.settle(&rejected, OnUnknown::Retry).await;
    let mut writer = sent.outbox.pool().get().await.unwrap();
    let writing = writer.transaction().await.unwrap();
    writing
        .execute(
            "update messages set status_tag = 'ok', delivery_tag = 'delivered' where id = $1",
            &[&sent.id],
        )
        .await
        .unwrap();
    let (pool, id, event_id) = (sent.outbox.pool().clone(), sent.id, sent.outbox.event_id(sent.id));
    let retrying = tokio::spawn(async move {
        let mut client = pool.get().await.unwrap();
        app_db::requeue::requeue(&mut client, id, "sms", event_id, None).await.unwrap()
    });
    let watcher = sent.outbox.pool().get().await.unwrap();
    let is_waiting = "select exists (select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock')";
    while !watcher.query_one(is_waiting, &[]).await.unwrap().get::<_, bool>(0) {
        tokio::task::yield_now().await;
    }
    writing.commit().await.unwrap();
    assert!(!retrying.await.unwrap());
    assert_eq!(sent.message().await.delivery, Delivery::Delivered);
    assert!(sent.outbox.claim(1).await.is_empty());
}

#[tokio::test]
async fn the_providers_id_is_remembered_where_receipts_do_not_bring_ours_back() {
    let sent = Sent::new().await;
    let mut settlement = sent.outbox.settlement(&sent.claimed, &accepted(), OnUnknown::Retry);
    settlement.reference = Some(app_db::receive::key_hash("p", "SM1"));
    sent.outbox.write(&[settlement]).await;
    let without_ours = NewReceipt { message_id: None, attempt: None, ..sent.receipt(Delivery::Delivered, 1) };
    assert_eq!(sent.apply(&[without_ours]).await, [Applied::Changed { message_id: sent.id }]);
    assert_eq!(sent.message().await.delivery, Delivery::Delivered);
}
