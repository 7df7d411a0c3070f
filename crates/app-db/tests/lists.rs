//! Lists of messages: filters, pages and bounded windows on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use app_db::accept::{Accept, accept};
use app_db::messages::list::{Filter, Order, Wanted, list};
use model::{Delivery, Status};
use testkit::fixtures::{Fixtures, phone};
use uuid::Uuid;

struct Stored {
    database: testkit::TestDatabase,
    /// Oldest first.
    ids: Vec<Uuid>,
}

impl Stored {
    /// Messages 0 to n-1 from one number to three others in turn.
    async fn new(n: u16) -> Self {
        let database = testkit::database().await;
        let f = Fixtures::new();
        let request = |to| Accept {
            message: f.sms(1, 10 + to % 3),
            route: "sms".to_owned(),
            sticky: Vec::new(),
            idempotency: None,
        };
        let group: Vec<Accept> = (0..n).map(request).collect();
        for result in accept(&database.pool, &f.ids, f.now, &group).await {
            result.unwrap();
        }
        let mut ids: Vec<Uuid> = group.iter().map(|request| request.message.id).collect();
        ids.sort();
        Self { database, ids }
    }

    async fn pages(&self, filter: &Filter, order: Order, limit: usize) -> Vec<Vec<Uuid>> {
        let mut client = self.database.pool.get().await.unwrap();
        let mut pages = Vec::new();
        let mut after = None;
        loop {
            let page = list(&mut client, filter, Wanted::new(order, after, limit)).await.unwrap();
            pages.push(page.messages.iter().map(|message| message.id).collect());
            after = page.next;
            if after.is_none() {
                return pages;
            }
        }
    }

    async fn execute(&self, sql: &str) {
        self.database.pool.get().await.unwrap().batch_execute(sql).await.unwrap();
    }
}

#[tokio::test]
async fn pages_cover_every_message_once_in_either_order() {
    let stored = Stored::new(50).await;
    for limit in [1, 7, 25, 50, 200] {
        let oldest_first = stored.pages(&Filter::default(), Order::OldestFirst, limit).await.concat();
        assert_eq!(oldest_first, stored.ids, "{limit}");
        let mut newest_first = stored.pages(&Filter::default(), Order::NewestFirst, limit).await.concat();
        newest_first.reverse();
        assert_eq!(newest_first, stored.ids, "{limit}");
    }
}

#[tokio::test]
async fn filters_narrow_and_combine() {
    let stored = Stored::new(30).await;
    let number = async |filter: Filter| stored.pages(&filter, Order::NewestFirst, 200).await.concat().len();
    let to = |n| Some(phone(n));
    assert_eq!(number(Filter { to: to(10), ..Filter::default() }).await, 10);
    let first = {
        let client = stored.database.pool.get().await.unwrap();
        app_db::messages::find(&client, stored.ids[0]).await.unwrap().unwrap()
    };
    let conversation_id = Some(first.conversation_id);
    assert_eq!(number(Filter { conversation_id, ..Filter::default() }).await, 10);
    assert_eq!(number(Filter { conversation_id, problem: true, ..Filter::default() }).await, 0);
    assert_eq!(number(Filter { from: to(10), ..Filter::default() }).await, 0);
    assert_eq!(number(Filter { from: to(1), to: to(12), ..Filter::default() }).await, 10);
    assert_eq!(number(Filter { to: to(99), ..Filter::default() }).await, 0);
    assert_eq!(number(Filter { status: Some(Status::Outbox), ..Filter::default() }).await, 30);
    assert_eq!(number(Filter { status: Some(Status::Retry), ..Filter::default() }).await, 0);
    assert_eq!(number(Filter { delivery: Some(Delivery::Delivered), ..Filter::default() }).await, 0);
    let client = stored.database.pool.get().await.unwrap();
    let created_at = app_db::messages::find(&client, stored.ids[0]).await.unwrap().unwrap().created_at;
    assert_eq!(number(Filter { since: Some(created_at), ..Filter::default() }).await, 30, "at or after");
    assert_eq!(number(Filter { until: Some(created_at), ..Filter::default() }).await, 0, "before");
    let later = created_at + std::time::Duration::from_micros(1);
    assert_eq!(number(Filter { since: Some(later), ..Filter::default() }).await, 0);
    assert_eq!(number(Filter { until: Some(later), ..Filter::default() }).await, 30);
}

#[tokio::test]
async fn a_text_is_found_in_bodies_subjects_and_addresses_as_it_stands() {
    let stored = Stored::new(6).await;
    let message = |n: usize, set: &str| format!("update messages set {set} where id = '{}';", stored.ids[n]);
    stored.execute(&message(0, "body = 'Save 50% Today'")).await;
    stored.execute(&message(1, "body = 'Save 500 today'")).await;
    stored.execute(&message(2, "subject = 'A_b \\ c'")).await;
    let found = async |text: &str| {
        let filter = Filter { text: Some(text.to_owned()), ..Filter::default() };
        stored.pages(&filter, Order::OldestFirst, 200).await.concat()
    };
    assert_eq!(found("save 50% t").await, stored.ids[..1], "in any case, and the sign is no pattern");
    assert_eq!(found("today").await, stored.ids[..2]);
    assert_eq!(found("a_B \\").await, stored.ids[2..3]);
    assert!(found("a%c").await.is_empty());
    stored.execute(&message(3, "provider_message_id = 'SM0123abc'")).await;
    assert_eq!(found("sm0123ABC").await, stored.ids[3..4]);
    let number = phone(11);
    let to = Filter { to: Some(number.clone()), ..Filter::default() };
    let sent_to_it = stored.pages(&to, Order::OldestFirst, 200).await.concat();
    assert_eq!(found(&number[number.len() - 4..]).await, sent_to_it, "part of a number");
}

#[tokio::test]
async fn problems_and_failed_messages_are_found_among_many_others() {
    let stored = Stored::new(40).await;
    let failed = stored.ids[3];
    stored
        .execute(&format!(
            "delete from outbox where message_id = '{failed}';
             update messages set status_tag = 'failed' where id = '{failed}';
             insert into problems (bucket, message_id, kind) select bucket, id, 'failed' from messages where id = '{failed}'"
        ))
        .await;
    for filter in [
        Filter { problem: true, ..Filter::default() },
        Filter { status: Some(Status::Failed), ..Filter::default() },
    ] {
        assert_eq!(stored.pages(&filter, Order::NewestFirst, 10).await, [[failed].to_vec()]);
    }
}

#[tokio::test]
async fn a_rare_match_is_found_however_deep_it_lies() {
    let stored = Stored::new(900).await;
    let oldest = stored.ids[0];
    stored
        .execute(&format!(
            "delete from outbox where message_id = '{oldest}';
             update messages set status_tag = 'ok', delivery_tag = 'read' where id = '{oldest}'"
        ))
        .await;
    let filter = Filter { delivery: Some(Delivery::Read), ..Filter::default() };
    assert_eq!(stored.pages(&filter, Order::NewestFirst, 1).await.concat(), [oldest]);
}

#[tokio::test]
async fn the_messages_of_a_conversation_are_its_own() {
    let stored = Stored::new(30).await;
    let client = stored.database.pool.get().await.unwrap();
    let first = app_db::messages::find(&client, stored.ids[0]).await.unwrap().unwrap();
    let filter = Filter { conversation_id: Some(first.conversation_id), ..Filter::default() };
    let ids = stored.pages(&filter, Order::OldestFirst, 4).await.concat();
    assert_eq!(ids.len(), 10);
    assert_eq!(ids[0], first.id);
    assert!(ids.is_sorted());
}
