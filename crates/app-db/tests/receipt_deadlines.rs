//! Receipts that never come, on a real PostgreSQL: who is looked at, when, and by how many at once.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::time::Duration;

use app_db::messages::events;
use app_db::receipt_deadlines::{Examination, Progress, examine};
use app_db::receipts::{Applied, NewReceipt, apply};
use jiff::Timestamp;
use model::{Delivery, NewMessage, Status};
use testkit::outbox::{Outbox, accepted, rejected, unavailable};
use uuid::Uuid;

const DEADLINE: Duration = Duration::from_secs(600);

struct Stage {
    outbox: Outbox,
    /// When the cursor passes every message that was made until now.
    later: Timestamp,
}

impl Stage {
    async fn new() -> Self {
        let outbox = Outbox::new().await;
        let later = outbox.fixtures.now + Duration::from_secs(3600);
        Self { outbox, later }
    }

    /// So many messages that provider `p` accepted so long ago, in the order of ids.
    async fn accepted(&self, count: u16, ago_s: u32) -> Vec<Uuid> {
        let mut ids = Vec::new();
        for to in 0..count {
            ids.push(self.outbox.accept(self.outbox.fixtures.sms(1, 10 + to)).await.id);
        }
        for claimed in self.outbox.claim(usize::from(count)).await {
            self.outbox.settle(&claimed, &accepted()).await;
        }
        self.age(ago_s).await;
        ids.sort_unstable();
        ids
    }

    async fn age(&self, ago_s: u32) {
        let sql = format!("update messages set updated_at = now() - interval '{ago_s} seconds'");
        self.outbox.execute(&sql).await;
    }

    async fn examine_at(&self, now: Timestamp, reporting: &[&str]) -> Progress {
        let mut client = self.outbox.pool().get().await.unwrap();
        let examination = Examination { now, deadline: DEADLINE, reporting };
        examine(&mut client, &self.outbox.fixtures.ids, examination).await.unwrap()
    }

    /// Whose delivery is unknown now, in the order of ids.
    async fn timed_out(&self) -> Vec<Uuid> {
        let mut ids: Vec<Uuid> =
            self.examine_at(self.later, &["p"]).await.timed_out.into_iter().map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    async fn noted(&self) -> i64 {
        let client = self.outbox.pool().get().await.unwrap();
        client.query_one("select count(*) from receipt_deadlines", &[]).await.unwrap().get(0)
    }

    /// What was noted is due.
    async fn make_due(&self) {
        self.outbox.execute("update receipt_deadlines set examine_at = now()").await;
    }

    async fn receipt(&self, id: Uuid, delivery: Delivery) -> Applied {
        let receipt = NewReceipt {
            message_id: Some(id),
            attempt: Some(1),
            provider_id: "p".to_owned(),
            provider_message_id: Some("SM1".to_owned()),
            delivery,
            provider_code: None,
            detail: None,
            temporary: false,
        };
        let fixtures = &self.outbox.fixtures;
        apply(self.outbox.pool(), &fixtures.ids, fixtures.now, &[receipt]).await.pop().unwrap().unwrap()
    }
}

#[tokio::test]
async fn an_accepted_message_without_a_receipt_is_unknown_after_the_deadline_and_only_then() {
    let stage = Stage::new().await;
    let ids = stage.accepted(2, 601).await;
    let too_early = stage.examine_at(stage.outbox.fixtures.now + DEADLINE, &["p"]).await;
    assert!(too_early.timed_out.is_empty() && !too_early.more);
    assert_eq!(stage.timed_out().await, ids);
    let message = stage.outbox.find(ids[0]).await;
    assert_eq!((message.status, message.delivery), (Status::Ok, Delivery::Unknown));
    assert_eq!(message.status_payload.unwrap().code, "receipt_timeout");
    let client = stage.outbox.pool().get().await.unwrap();
    let event = events::list(&client, ids[0], Uuid::nil(), 10).await.unwrap().pop().unwrap();
    assert_eq!((event.kind.as_str(), event.code.as_deref()), ("outcome_unknown", Some("receipt_timeout")));
    assert_eq!(
        (event.delivery.as_str(), event.attempt, event.provider_id.as_deref()),
        ("unknown", 1, Some("p"))
    );
    assert!(stage.timed_out().await.is_empty(), "each is looked at once");
    assert_eq!(stage.noted().await, 0);
}

#[tokio::test]
async fn what_a_receipt_settled_what_failed_and_who_does_not_report_are_left_alone() {
    let stage = Stage::new().await;
    let ids = stage.accepted(2, 601).await;
    stage.receipt(ids[0], Delivery::Sent).await;
    let failed = stage.outbox.accept(stage.outbox.fixtures.sms(1, 50)).await.id;
    let claimed = stage.outbox.claim(1).await.pop().unwrap();
    stage.outbox.settle(&claimed, &rejected()).await;
    stage.age(601).await;
    assert!(stage.examine_at(stage.later, &["another"]).await.timed_out.is_empty());
    assert_eq!(stage.noted().await, 0);
    let deliveries = [Delivery::Sent, Delivery::Pending, Delivery::None];
    for (id, delivery) in ids.into_iter().chain([failed]).zip(deliveries) {
        assert_eq!(stage.outbox.find(id).await.delivery, delivery);
    }
}

#[tokio::test]
async fn a_receipt_that_comes_after_the_deadline_still_applies() {
    for delivery in [Delivery::Sent, Delivery::Undelivered, Delivery::Delivered] {
        let stage = Stage::new().await;
        let id = stage.accepted(1, 601).await[0];
        assert_eq!(stage.timed_out().await, [id]);
        assert_eq!(stage.receipt(id, delivery).await, Applied::Changed { message_id: id });
        let message = stage.outbox.find(id).await;
        assert_eq!((message.status, message.delivery), (Status::Ok, delivery));
        let code = message.status_payload.map(|payload| payload.code);
        assert_ne!(code.as_deref(), Some("receipt_timeout"));
    }
}

#[tokio::test]
async fn what_was_sent_long_after_its_id_was_made_is_looked_at_again() {
    let stage = Stage::new().await;
    let f = &stage.outbox.fixtures;
    let send_at = Some(f.now + Duration::from_secs(7200));
    let scheduled = stage.outbox.accept(NewMessage { send_at, ..f.sms(1, 90) }).await.id;
    let accepted_late = stage.accepted(1, 100).await[0];
    let retried = stage.outbox.accept(f.sms(1, 91)).await.id;
    let claimed = stage.outbox.claim(1).await.pop().unwrap();
    stage.outbox.settle(&claimed, &unavailable()).await;
    assert!(stage.timed_out().await.is_empty());
    assert_eq!(stage.noted().await, 3);
    let waits = "select string_agg(round(extract(epoch from examine_at - now()) / 100)::text, ',' order by examine_at)
        from receipt_deadlines";
    let client = stage.outbox.pool().get().await.unwrap();
    let waits: String = client.query_one(waits, &[]).await.unwrap().get(0);
    assert_eq!(waits, "5,6,78", "what is left of the deadline, a whole one, and one after `send_at`");

    stage.age(601).await;
    stage.make_due().await;
    assert_eq!(stage.timed_out().await, [accepted_late]);
    assert_eq!(stage.noted().await, 2, "the others wait on");
    stage.outbox.execute("update outbox set next_attempt_at = now()").await;
    for claimed in stage.outbox.claim(2).await {
        stage.outbox.settle(&claimed, &accepted()).await;
    }
    stage.age(601).await;
    stage.make_due().await;
    let mut both = [scheduled, retried];
    both.sort_unstable();
    assert_eq!(stage.timed_out().await, both);
    assert_eq!(stage.noted().await, 0);
}

#[tokio::test]
async fn a_failed_message_that_is_tried_again_behind_the_cursor_is_looked_at_again() {
    let stage = Stage::new().await;
    let id = stage.outbox.accept(stage.outbox.fixtures.sms(1, 2)).await.id;
    let claimed = stage.outbox.claim(1).await.pop().unwrap();
    stage.outbox.settle(&claimed, &rejected()).await;
    assert!(stage.timed_out().await.is_empty());
    assert_eq!(stage.noted().await, 0, "a failed message waits for nothing");
    let mut client = stage.outbox.pool().get().await.unwrap();
    let event_id = stage.outbox.event_id(id);
    assert!(app_db::requeue::requeue(&mut client, id, "sms", event_id, None).await.unwrap());
    let claimed = stage.outbox.claim(1).await.pop().unwrap();
    stage.outbox.settle(&claimed, &accepted()).await;
    stage.age(601).await;
    assert_eq!(stage.timed_out().await, [id]);
}

#[tokio::test]
async fn several_at_once_look_at_each_message_once_and_none_waits_for_another() {
    let stage = Stage::new().await;
    let ids = stage.accepted(20, 601).await;
    let mut busy = stage.outbox.pool().get().await.unwrap();
    let holding = busy.transaction().await.unwrap();
    holding.execute("select from receipt_cursor for update", &[]).await.unwrap();
    assert!(stage.timed_out().await.is_empty(), "another is at it");
    holding.rollback().await.unwrap();
    let all = tokio::join!(stage.timed_out(), stage.timed_out(), stage.timed_out(), stage.timed_out());
    let mut found = [all.0, all.1, all.2, all.3].concat();
    found.extend(stage.timed_out().await);
    found.sort_unstable();
    assert_eq!(found, ids);
    assert_eq!(stage.outbox.event_kinds(ids[0]).await, ["sent", "outcome_unknown"]);
}

#[tokio::test]
async fn what_was_noted_goes_with_its_message() {
    let stage = Stage::new().await;
    stage.outbox.accept(stage.outbox.fixtures.sms(1, 2)).await;
    assert!(stage.timed_out().await.is_empty());
    assert_eq!(stage.noted().await, 1);
    stage.outbox.execute("delete from outbox; delete from messages").await;
    stage.make_due().await;
    assert!(stage.timed_out().await.is_empty());
    assert_eq!(stage.noted().await, 0);
}
