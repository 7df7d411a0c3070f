//! Weekly partitions on a real PostgreSQL: made ahead, made on demand, dropped whole by the database's clock alone.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::time::Duration;

use app_db::accept::{Accept, Accepted, accept};
use app_db::partitions::{self, Outlook};
use app_db::receipts::{Applied, NewReceipt, apply};
use app_db::receive::{Inbound, receive};
use app_db::{Client, Error, Pool};
use model::{Delivery, NewMessage};
use testkit::fixtures::Fixtures;
use testkit::outbox::{Outbox, accepted};

const DAY: Duration = Duration::from_secs(86_400);

fn request(message: NewMessage) -> Accept {
    Accept { message, route: "sms".to_owned(), sticky: Vec::new(), idempotency: None }
}

async fn weeks(client: &Client) -> i64 {
    let sql = "select count(*) from pg_inherits where inhparent = 'messages'::regclass";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// Fixtures whose ids carry another time.
fn days_from_now(days: i32) -> Fixtures {
    let f = Fixtures::new();
    let now = if days < 0 { f.now - DAY * days.unsigned_abs() } else { f.now + DAY * days.unsigned_abs() };
    Fixtures { now, ..f }
}

async fn store(pool: &Pool, f: &Fixtures, message: NewMessage) -> Result<Accepted, Error> {
    accept(pool, &f.ids, f.now, &[request(message)]).await.pop().unwrap()
}

#[tokio::test]
async fn old_weeks_are_dropped_whole_but_not_under_an_outbox_row() {
    let database = testkit::database().await;
    let mut client = database.pool.get().await.unwrap();
    let old = days_from_now(-365);
    partitions::ensure(&mut client, old.now).await.unwrap();
    partitions::ensure(&mut client, old.now).await.unwrap();
    assert_eq!(weeks(&client).await, 12);
    store(&database.pool, &old, old.sms(1, 2)).await.unwrap();
    let dropped = partitions::drop_older_than(&client, 60 * DAY).await.unwrap();
    assert_eq!(dropped.len(), 10, "{dropped:?}");
    assert_eq!(weeks(&client).await, 7, "the week stays that an outbox row points into");
    client.batch_execute("delete from outbox").await.unwrap();
    let dropped = partitions::drop_older_than(&client, 60 * DAY).await.unwrap();
    assert_eq!(dropped.len(), 2, "{dropped:?}");
}

#[tokio::test]
async fn the_current_the_last_and_future_weeks_are_never_dropped() {
    let database = testkit::database().await;
    let mut client = database.pool.get().await.unwrap();
    partitions::ensure(&mut client, days_from_now(365).now).await.unwrap();
    assert_eq!(partitions::drop_older_than(&client, Duration::ZERO).await.unwrap(), [""; 0]);
    assert_eq!(weeks(&client).await, 12);
}

#[tokio::test]
async fn a_week_that_was_detached_under_an_outbox_row_is_attached_again() {
    let database = testkit::database().await;
    let mut client = database.pool.get().await.unwrap();
    let old = days_from_now(-365);
    partitions::ensure(&mut client, old.now).await.unwrap();
    let Accepted::New(message) = store(&database.pool, &old, old.sms(1, 2)).await.unwrap() else { panic!() };
    let sql = "select tableoid::regclass::text from messages where id = $1";
    let week: String = client.query_one(sql, &[&message.id]).await.unwrap().get(0);
    client.batch_execute(&format!("alter table messages detach partition {week}")).await.unwrap();
    partitions::drop_older_than(&client, 60 * DAY).await.unwrap();
    assert!(client.query_opt(sql, &[&message.id]).await.unwrap().is_some(), "the message is there");
}

#[tokio::test]
async fn messages_of_a_week_without_a_partition_are_stored_all_the_same() {
    let database = testkit::database().await;
    let (pool, near, far) = (&database.pool, days_from_now(36), days_from_now(90));
    let group = [request(near.sms(1, 2)), request(far.sms(1, 3))];
    let results = accept(pool, &near.ids, near.now, &group).await;
    assert!(results.iter().all(|result| matches!(result, Ok(Accepted::New(_)))), "{results:?}");
    let later = days_from_now(150);
    let inbound = Inbound {
        message: later.inbound_sms(2, 1),
        provider_id: "p".to_owned(),
        provider_message_id: "SM1".to_owned(),
        files: Vec::new(),
    };
    let received = receive(pool, &later.ids, later.now, &[inbound]).await.pop().unwrap().unwrap();
    assert!(received.new);
}

async fn drop_events(client: &Client) {
    let sql = "select inhrelid::regclass::text from pg_inherits where inhparent = 'message_events'::regclass";
    for row in client.query(sql, &[]).await.unwrap() {
        client.batch_execute(&format!("drop table {}", row.get::<_, &str>(0))).await.unwrap();
    }
}

#[tokio::test]
async fn settles_and_receipts_go_on_after_their_partition_was_missing() {
    let outbox = Outbox::new().await;
    let client = outbox.pool().get().await.unwrap();
    let message = outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let claimed = outbox.claim(1).await.pop().unwrap();
    drop_events(&client).await;
    let settlement = outbox.settlement(&claimed, &accepted(), model::OnUnknown::Retry);
    let settle =
        async || app_db::settle::settle(&client, outbox.owner, std::slice::from_ref(&settlement)).await;
    let error = settle().await.unwrap_err();
    assert!(partitions::make_missing(outbox.pool(), &error).await.unwrap(), "{error:?}");
    assert!(settle().await.unwrap().written.contains(&message.id));
    drop_events(&client).await;
    let receipt = NewReceipt {
        message_id: Some(message.id),
        attempt: Some(1),
        provider_id: "p".to_owned(),
        provider_message_id: None,
        delivery: Delivery::Delivered,
        provider_code: None,
        detail: None,
        temporary: false,
    };
    let f = &outbox.fixtures;
    let applied = apply(outbox.pool(), &f.ids, f.now, &[receipt]).await.pop().unwrap().unwrap();
    assert_eq!(applied, Applied::Changed { message_id: message.id });
}

#[tokio::test]
async fn a_role_without_ddl_serves_while_weeks_exist_and_is_warned() {
    let database = testkit::database().await;
    let owner = database.pool.get().await.unwrap();
    let name: String = owner.query_one("select current_database()::text", &[]).await.unwrap().get(0);
    let role = format!("writer_of_{name}");
    owner
        .batch_execute(&format!(
            "create role {role}; grant usage on schema public to {role};
             grant select, insert, update, delete on all tables in schema public to {role}"
        ))
        .await
        .unwrap();
    // One connection, so that its role is everybody's.
    let pool = app_db::connect(&database.url, 1).unwrap();
    pool.get().await.unwrap().batch_execute(&format!("set role {role}")).await.unwrap();
    let ensure =
        async || -> Outlook { partitions::ensure_ahead(&mut pool.get().await.unwrap()).await.unwrap() };
    assert_eq!((ensure().await.may_not_create, ensure().await.warning()), (false, None));
    let sql = "select inhrelid::regclass::text from pg_inherits
               where inhparent in ('messages'::regclass, 'message_events'::regclass) order by 1";
    let tables: Vec<String> = owner.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    for (position, table) in tables.iter().enumerate() {
        // Of each table, six weeks: the last one, this one, and four more.
        if position % 6 >= 3 {
            owner.batch_execute(&format!("drop table {table}")).await.unwrap();
        }
    }
    let outlook = ensure().await;
    assert!(outlook.may_not_create && outlook.has_this_week());
    let warning = outlook.warning().unwrap();
    assert!(warning.contains("app migrate"), "{warning}");
    let f = Fixtures::new();
    assert!(store(&pool, &f, f.sms(1, 2)).await.is_ok());
    let later = days_from_now(28);
    let error = store(&pool, &later, later.sms(1, 2)).await.unwrap_err();
    assert!(matches!(error, Error::NoPartition { .. }) || error.is_missing_privilege(), "{error:?}");
    partitions::ensure_ahead(&mut database.pool.get().await.unwrap()).await.unwrap();
    assert_eq!(ensure().await.warning(), None, "the owner made the weeks");
    owner.batch_execute(&format!("drop owned by {role}; drop role {role}")).await.unwrap();
}
