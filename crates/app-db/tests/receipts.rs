//! Receipts on a real PostgreSQL: late, doubled, out of order, before the answer, for unknown outcomes.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use app_db::claim::Claimed;
use app_db::messages::events;
use app_db::receipts::{Applied, NewReceipt, apply};
use app_db::settle::Settled;
use model::receipt::NoCall;
use model::{Bucket, Delivery, Message, OnUnknown, Outcome, Reason, Status};
use testkit::outbox::{Outbox, accepted, rejected};
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
        receipt_of(self.id, delivery, attempt)
    }

    async fn apply(&self, receipts: &[NewReceipt]) -> Vec<Applied> {
        apply_to(&self.outbox, receipts).await
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

fn receipt_of(id: Uuid, delivery: Delivery, attempt: u32) -> NewReceipt {
    NewReceipt {
        message_id: Some(id),
        attempt: Some(attempt),
        provider_id: "p".to_owned(),
        provider_message_id: Some("SM1".to_owned()),
        delivery,
        provider_code: (delivery == Delivery::Undelivered).then(|| "30003".to_owned()),
        detail: None,
        temporary: false,
    }
}

async fn apply_to(outbox: &Outbox, receipts: &[NewReceipt]) -> Vec<Applied> {
    let fixtures = &outbox.fixtures;
    let results = apply(outbox.pool(), &fixtures.ids, fixtures.now, receipts).await;
    results.into_iter().map(Result::unwrap).collect()
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
async fn a_receipt_that_names_no_message_of_ours_is_ignored_or_waits_for_its_id() {
    let sent = Sent::new().await;
    let stranger = sent.outbox.fixtures.ids.next(sent.outbox.fixtures.now, Bucket(3));
    let by_id = NewReceipt { message_id: Some(stranger), ..sent.receipt(Delivery::Sent, 1) };
    let by_reference = NewReceipt { message_id: None, ..sent.receipt(Delivery::Sent, 1) };
    let by_nothing =
        NewReceipt { message_id: None, provider_message_id: None, ..sent.receipt(Delivery::Sent, 1) };
    let unknown = Applied::Ignored(NoCall::UnknownMessage);
    assert_eq!(sent.apply(&[by_id, by_reference, by_nothing]).await, [unknown, Applied::Unmatched, unknown]);
}

/// Every receipt but one of provider `p` about attempt 1.
fn forged(sent: &Sent, delivery: Delivery) -> Vec<NewReceipt> {
    let receipt = |provider_id: &str, attempt: Option<u32>| NewReceipt {
        provider_id: provider_id.to_owned(),
        attempt,
        ..sent.receipt(delivery, 1)
    };
    [("q", Some(1)), ("q", Some(2)), ("q", None), ("p", Some(2)), ("p", Some(0))]
        .map(|(provider_id, attempt)| receipt(provider_id, attempt))
        .to_vec()
}

const WRONG: [Applied; 5] = [
    Applied::Ignored(NoCall::NotAsked),
    Applied::Ignored(NoCall::NotAsked),
    Applied::Ignored(NoCall::NotAsked),
    Applied::Ignored(NoCall::WrongAttempt),
    Applied::Ignored(NoCall::WrongAttempt),
];

#[tokio::test]
async fn only_the_asked_provider_settles_and_only_by_an_attempt_that_exists() {
    for delivery in [Delivery::Sent, Delivery::Delivered, Delivery::Undelivered, Delivery::Read] {
        let leased = Sent::new().await;
        assert_eq!(leased.apply(&forged(&leased, delivery)).await, WRONG, "{delivery}");
        assert_eq!(leased.message().await.status, Status::Outbox, "the call is under way");
        let (ok, unknown, failed) = (Sent::new().await, Sent::new().await, Sent::new().await);
        ok.settle(&accepted(), OnUnknown::Retry).await;
        unknown.settle(&uncertain(), OnUnknown::Hold).await;
        failed.settle(&rejected(), OnUnknown::Retry).await;
        for sent in [ok, unknown, failed] {
            let before = sent.message().await;
            assert_eq!(sent.apply(&forged(&sent, delivery)).await, WRONG, "{delivery} {:?}", before.status);
            assert_eq!(sent.message().await, before);
        }
    }
}

#[tokio::test]
async fn no_receipt_settles_what_was_scheduled_canceled_or_never_sent() {
    let outbox = Outbox::new().await;
    let [waiting, canceled, unreachable] = [2, 3, 4].map(|to| outbox.fixtures.sms(1, to));
    let waiting = outbox.accept(waiting).await.id;
    outbox.execute("update outbox set next_attempt_at = now() + interval '1 day'").await;
    let canceled = outbox.accept(canceled).await.id;
    let client = outbox.pool().get().await.unwrap();
    assert!(app_db::cancel::cancel(&client, canceled, outbox.event_id(canceled)).await.unwrap());
    let unreachable = outbox.accept(unreachable).await.id;
    let claimed = outbox.claim(1).await.pop().unwrap();
    outbox.settle(&claimed, &Outcome::Unreachable { detail: "refused".to_owned() }).await;
    for id in [waiting, canceled, unreachable] {
        let before = outbox.find(id).await;
        for delivery in [Delivery::Sent, Delivery::Delivered, Delivery::Undelivered, Delivery::Read] {
            for attempt in [Some(1), None] {
                let receipt = NewReceipt { attempt, ..receipt_of(id, delivery, 1) };
                let applied = apply_to(&outbox, &[receipt]).await;
                assert_eq!(applied, [Applied::Ignored(NoCall::NotAsked)], "{:?} {delivery}", before.status);
            }
        }
        assert_eq!(outbox.find(id).await, before);
    }
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

#[tokio::test]
async fn an_earlier_provider_settles_during_the_next_ones_call_and_both_are_remembered() {
    let sent = Sent::new().await;
    sent.settle(&uncertain(), OnUnknown::Retry).await;
    sent.outbox.execute("update outbox set next_attempt_at = now()").await;
    sent.outbox.claim(1).await.pop().unwrap();
    sent.outbox.execute("update outbox set leased_provider = 'q'").await;
    let of_q = |delivery, attempt| NewReceipt {
        provider_id: "q".to_owned(),
        ..receipt_of(sent.id, delivery, attempt)
    };
    let changed = Applied::Changed { message_id: sent.id };
    assert_eq!(sent.apply(&[sent.receipt(Delivery::Sent, 1)]).await, [changed]);
    assert_eq!(sent.apply(&[of_q(Delivery::Read, 1)]).await, [Applied::Ignored(NoCall::WrongAttempt)]);
    assert_eq!(
        sent.apply(&[sent.receipt(Delivery::Read, 2)]).await,
        [Applied::Ignored(NoCall::WrongAttempt)]
    );
    assert_eq!(
        sent.apply(&[of_q(Delivery::Delivered, 2), sent.receipt(Delivery::Read, 1)]).await,
        [changed; 2]
    );
    assert_eq!(sent.message().await.delivery, Delivery::Read);
}

#[tokio::test]
async fn receipts_of_a_second_call_count_whichever_of_them_settled_the_message() {
    for settled_by in [1, 2] {
        let sent = Sent::new().await;
        sent.settle(&uncertain(), OnUnknown::Retry).await;
        sent.outbox.execute("update outbox set next_attempt_at = now()").await;
        sent.outbox.claim(1).await.pop().unwrap();
        let changed = Applied::Changed { message_id: sent.id };
        assert_eq!(sent.apply(&[sent.receipt(Delivery::Sent, settled_by)]).await, [changed]);
        let of_the_second = [Delivery::Delivered, Delivery::Read].map(|delivery| sent.receipt(delivery, 2));
        assert_eq!(sent.apply(&of_the_second[..1]).await, [changed], "settled by attempt {settled_by}");
        assert_eq!(sent.apply(&of_the_second[1..]).await, [changed], "settled by attempt {settled_by}");
        assert_eq!(
            sent.apply(&[sent.receipt(Delivery::Read, 3)]).await,
            [Applied::Ignored(NoCall::WrongAttempt)]
        );
    }
}
