//! The mails before a mail, as they are found for it.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use app_db::claim::Claimed;
use app_db::receive::{Inbound, receive};
use app_db::threads::{self, Mail};
use model::{Direction, NewMessage};
use testkit::outbox::{Outbox, accepted, rejected};
use uuid::Uuid;

const APP: &str = "app@example.com";
const ANN: &str = "ann@example.net";

async fn received(outbox: &Outbox, message: NewMessage, provider_message_id: &str) -> Uuid {
    let message = NewMessage { direction: Direction::Inbound, ..message };
    let inbound = Inbound {
        message,
        provider_id: "p".to_owned(),
        provider_message_id: provider_message_id.to_owned(),
        files: Vec::new(),
    };
    let mut results = receive(outbox.pool(), &outbox.fixtures.ids, outbox.fixtures.now, &[inbound]).await;
    results.pop().unwrap().unwrap().message_id
}

async fn sent(outbox: &Outbox, from: &str, to: &str) -> Uuid {
    let message = outbox.accept(outbox.fixtures.email(from, to)).await;
    let claimed = outbox.claim(1).await;
    outbox.settle(&claimed[0], &accepted()).await;
    message.id
}

async fn threaded(outbox: &Outbox) -> Vec<Claimed> {
    let mut claimed = outbox.claim(10).await;
    threads::fill(&outbox.pool().get().await.unwrap(), &mut claimed).await.unwrap();
    claimed
}

fn inbound(id: &str) -> Mail {
    Mail::Inbound { provider_message_id: id.to_owned() }
}

fn outbound(message_id: Uuid) -> Mail {
    Mail::Outbound { message_id, source: model::Endpoint::stored(APP) }
}

#[tokio::test]
async fn a_mail_has_the_mails_of_its_conversation_before_it_oldest_first() {
    let outbox = Outbox::new().await;
    let first = sent(&outbox, APP, ANN).await;
    received(&outbox, outbox.fixtures.email(ANN, APP), "1@example.net").await;
    let second = sent(&outbox, APP, ANN).await;
    received(&outbox, outbox.fixtures.email(ANN, APP), "2@example.net").await;
    sent(&outbox, APP, "bob@example.net").await;
    outbox.accept(outbox.fixtures.email(APP, ANN)).await;
    let claimed = threaded(&outbox).await;
    let expected = [outbound(first), inbound("1@example.net"), outbound(second), inbound("2@example.net")];
    assert_eq!(claimed[0].before, expected);
}

#[tokio::test]
async fn what_came_after_it_was_accepted_is_not_before_it() {
    let outbox = Outbox::new().await;
    outbox.accept(outbox.fixtures.email(APP, ANN)).await;
    received(&outbox, outbox.fixtures.email(ANN, APP), "late@example.net").await;
    assert_eq!(threaded(&outbox).await[0].before, []);
}

#[tokio::test]
async fn what_nobody_got_is_not_before_it() {
    let outbox = Outbox::new().await;
    outbox.accept(outbox.fixtures.email(APP, ANN)).await;
    outbox.settle(&outbox.claim(1).await[0], &rejected()).await;
    outbox.accept(outbox.fixtures.email(APP, ANN)).await;
    outbox.accept(outbox.fixtures.email(APP, ANN)).await;
    let claimed = threaded(&outbox).await;
    assert_eq!(claimed.len(), 2);
    assert!(claimed.iter().all(|row| row.before.is_empty()), "{claimed:?}");
}

#[tokio::test]
async fn each_mail_of_a_batch_has_its_own_and_a_text_message_none() {
    let outbox = Outbox::new().await;
    received(&outbox, outbox.fixtures.email(ANN, APP), "ann@example.net").await;
    received(&outbox, outbox.fixtures.email("bob@example.net", APP), "bob@example.net").await;
    received(&outbox, outbox.fixtures.inbound_sms(2, 1), "SM1").await;
    outbox.accept(outbox.fixtures.email(APP, ANN)).await;
    outbox.accept(outbox.fixtures.email(APP, "bob@example.net")).await;
    outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let claimed = threaded(&outbox).await;
    let before = |to: &str| {
        let mut rows = claimed.iter().filter(|row| row.target.as_str() == to);
        rows.next().unwrap().before.clone()
    };
    assert_eq!(before(ANN), [inbound("ann@example.net")]);
    assert_eq!(before("bob@example.net"), [inbound("bob@example.net")]);
    assert_eq!(before(&testkit::fixtures::phone(2)), []);
}

#[tokio::test]
async fn only_the_newest_of_a_long_conversation_are_looked_at() {
    let outbox = Outbox::new().await;
    for number in 0..60 {
        received(&outbox, outbox.fixtures.email(ANN, APP), &format!("{number}@example.net")).await;
    }
    outbox.accept(outbox.fixtures.email(APP, ANN)).await;
    let before = threaded(&outbox).await.remove(0).before;
    assert_eq!(before.len(), 50);
    assert_eq!((&before[0], &before[49]), (&inbound("10@example.net"), &inbound("59@example.net")));
}

/// Rows and index entries that this session's statements have read so far.
async fn rows_read(client: &app_db::Client) -> i64 {
    client.execute("select pg_stat_force_next_flush()", &[]).await.unwrap();
    let read = "select (select sum(seq_tup_read) from pg_stat_user_tables)
                    + (select sum(idx_tup_read) from pg_stat_user_indexes)";
    client.query_one(&format!("select ({read})::int8"), &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn looking_for_them_reads_no_more_of_a_long_conversation_and_nothing_for_text_messages() {
    let outbox = Outbox::new().await;
    for number in 0..200 {
        received(&outbox, outbox.fixtures.email(ANN, APP), &format!("{number}@example.net")).await;
    }
    outbox.accept(outbox.fixtures.email(APP, ANN)).await;
    let mut claimed = outbox.claim(1).await;
    let pool = app_db::connect(&outbox.database.url, 1).unwrap();
    let client = app_db::pool::get(&pool).await.unwrap();
    threads::fill(&client, &mut claimed).await.unwrap();
    let before = rows_read(&client).await;
    threads::fill(&client, &mut claimed).await.unwrap();
    let read = rows_read(&client).await - before;
    assert!((50..70).contains(&read), "{read} rows");

    outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let mut claimed = outbox.claim(1).await;
    let before = rows_read(&client).await;
    threads::fill(&client, &mut claimed).await.unwrap();
    assert_eq!(rows_read(&client).await, before);
}
