//! The inbox: newest messages, what is unread, and how far people have read.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use app_db::accept::{Accept, accept};
use app_db::inbox::{self, UNREAD_MAX};
use app_db::receive::{Inbound, Received, receive};
use model::{Direction, NewMessage};
use testkit::TestDatabase;
use testkit::fixtures::Fixtures;
use uuid::Uuid;

/// Stores an inbound message; its conversation and its id.
async fn received(database: &TestDatabase, f: &Fixtures, message: NewMessage) -> (Uuid, Uuid) {
    let inbound = Inbound {
        provider_id: "p".to_owned(),
        provider_message_id: message.id.to_string(),
        files: Vec::new(),
        message,
    };
    let results = receive(&database.pool, &f.ids, f.now, &[inbound]).await;
    let Received { conversation_id, message_id, .. } = results.into_iter().next().unwrap().unwrap();
    (conversation_id.unwrap(), message_id)
}

#[tokio::test]
async fn what_came_in_is_unread_until_it_was_shown_and_never_again() {
    let (database, f) = (testkit::database().await, Fixtures::new());
    let client = database.pool.get().await.unwrap();
    let unread = async || inbox::list(&client, None, 10).await.unwrap()[0].unread;
    let (conversation, first) = received(&database, &f, f.inbound_sms(2, 1)).await;
    let (_, second) = received(&database, &f, f.inbound_sms(2, 1)).await;
    assert_eq!(unread().await, 2);
    inbox::mark_read(&client, conversation, first).await.unwrap();
    assert_eq!(unread().await, 1);
    inbox::mark_read(&client, conversation, second).await.unwrap();
    assert_eq!(unread().await, 0);
    inbox::mark_read(&client, conversation, first).await.unwrap();
    assert_eq!(unread().await, 0, "a page that was rendered earlier takes nothing back");
}

#[tokio::test]
async fn an_entry_shows_its_newest_message_and_counts_inbound_ones_to_a_bound() {
    let (database, f) = (testkit::database().await, Fixtures::new());
    for _ in 0..UNREAD_MAX + 5 {
        received(&database, &f, f.inbound_sms(2, 1)).await;
    }
    let client = database.pool.get().await.unwrap();
    assert_eq!(inbox::list(&client, None, 10).await.unwrap()[0].unread, UNREAD_MAX);
    let message = NewMessage { body: "x".repeat(500), ..f.sms(1, 2) };
    let request = Accept { message, route: "sms".to_owned(), sticky: Vec::new(), idempotency: None };
    accept(&database.pool, &f.ids, f.now, &[request]).await.remove(0).unwrap();
    let entries = inbox::list(&client, None, 10).await.unwrap();
    let newest = entries[0].newest.clone().unwrap();
    assert_eq!((entries.len(), newest.direction), (1, Direction::Outbound));
    assert_eq!(newest.excerpt.len(), 120);
    assert_eq!(entries[0].unread, UNREAD_MAX - 1, "our own is not unread");
}

#[tokio::test]
async fn pages_of_the_inbox_cover_every_conversation_once() {
    let (database, f) = (testkit::database().await, Fixtures::new());
    let mut all = Vec::new();
    for other in 10..27 {
        all.push(received(&database, &f, f.inbound_sms(other, 1)).await.0);
    }
    let client = database.pool.get().await.unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = inbox::list(&client, after, 5).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.conversation.last_message_at, last.conversation.id));
        seen.extend(page.into_iter().map(|entry| entry.conversation.id));
    }
    seen.sort();
    all.sort();
    assert_eq!(seen, all);
}
