//! Accepting and receiving in groups: keys, conversations, poisoned members, on a real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::collections::HashSet;

use app_db::accept::{Accept, Accepted, Idempotency, accept};
use app_db::media::NewFile;
use app_db::receive::{Inbound, Received, receive};
use app_db::{Error, Pool, conversations};
use jiff::Timestamp;
use model::NewMessage;
use testkit::fixtures::Fixtures;
use uuid::Uuid;

fn request(message: NewMessage, key: Option<(u8, u8)>) -> Accept {
    let idempotency = key.map(|(key, body)| Idempotency { key_hash: [key; 32], fingerprint: [body; 32] });
    Accept { message, route: String::new(), sticky: Vec::new(), idempotency }
}

async fn count(pool: &Pool, table: &str) -> i64 {
    let client = pool.get().await.unwrap();
    client.query_one(&format!("select count(*) from {table}"), &[]).await.unwrap().get(0)
}

fn words(results: &[Result<Accepted, Error>]) -> Vec<&'static str> {
    let word = |result: &Result<Accepted, Error>| match result {
        Ok(Accepted::New(_)) => "new",
        Ok(Accepted::Replayed(_)) => "replayed",
        Ok(Accepted::KeyReused) => "reused",
        Ok(Accepted::Forgotten) => "forgotten",
        Err(_) => "error",
    };
    results.iter().map(word).collect()
}

fn message(result: &Result<Accepted, Error>) -> &model::Message {
    match result {
        Ok(Accepted::New(message) | Accepted::Replayed(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_group_shares_conversations_and_stores_every_message() {
    let database = testkit::database().await;
    let f = Fixtures::new();
    let group = [f.sms(1, 2), f.sms(2, 1), f.sms(1, 3), f.sms(1, 2)].map(|message| request(message, None));
    let results = accept(&database.pool, &f.ids, f.now, &group).await;
    assert_eq!(words(&results), ["new"; 4]);
    let conversation = |position: usize| message(&results[position]).conversation_id;
    assert_eq!(conversation(0), conversation(1), "both directions are one conversation");
    assert_eq!(conversation(0), conversation(3));
    assert_ne!(conversation(0), conversation(2));
    assert_eq!(count(&database.pool, "conversations").await, 2);
    assert_eq!(count(&database.pool, "messages").await, 4);
    assert_eq!(count(&database.pool, "outbox").await, 4);
}

#[tokio::test]
async fn whatsapp_between_the_numbers_of_an_sms_conversation_is_a_conversation_of_its_own() {
    let database = testkit::database().await;
    let f = Fixtures::new();
    let group = [f.sms(1, 2), f.whatsapp(1, 2), f.whatsapp(2, 1)].map(|message| request(message, None));
    let results = accept(&database.pool, &f.ids, f.now, &group).await;
    assert_eq!(words(&results), ["new"; 3]);
    let conversation = |position: usize| message(&results[position]).conversation_id;
    assert_ne!(conversation(0), conversation(1));
    assert_eq!(conversation(1), conversation(2), "both directions are one conversation");
    let client = database.pool.get().await.unwrap();
    let found = conversations::find(&client, conversation(1)).await.unwrap().unwrap();
    assert_eq!((found.medium.as_str(), found.participants.len()), ("whatsapp", 2));
    let ends = conversations::reply_ends(&client, conversation(1)).await.unwrap().unwrap();
    assert_eq!(ends.channel, model::Channel::Whatsapp);
}

#[tokio::test]
async fn the_same_key_is_answered_with_the_first_message_also_within_a_group_and_with_other_recipients() {
    let database = testkit::database().await;
    let f = Fixtures::new();
    let group = [
        request(f.sms(1, 2), Some((7, 1))),
        request(f.sms(1, 2), Some((7, 1))),
        request(f.sms(1, 3), Some((7, 2))),
        request(f.sms(1, 3), Some((8, 2))),
    ];
    let results = accept(&database.pool, &f.ids, f.now, &group).await;
    assert_eq!(words(&results), ["new", "replayed", "reused", "new"]);
    assert_eq!(message(&results[0]), message(&results[1]));

    let later = [request(f.sms(1, 2), Some((7, 1))), request(f.sms(9, 9), Some((8, 3)))];
    let results_later = accept(&database.pool, &f.ids, f.now, &later).await;
    assert_eq!(words(&results_later), ["replayed", "reused"]);
    assert_eq!(message(&results_later[0]), message(&results[0]));
    assert_eq!(count(&database.pool, "messages").await, 2);
    assert_eq!(count(&database.pool, "conversations").await, 2, "a refused request leaves nothing behind");
}

#[tokio::test]
async fn a_replay_says_what_the_first_answer_said_although_the_message_has_moved_on() {
    let database = testkit::database().await;
    let f = Fixtures::new();
    let first = accept(&database.pool, &f.ids, f.now, &[request(f.sms(1, 2), Some((7, 1)))]).await;
    let client = database.pool.get().await.unwrap();
    client
        .batch_execute(
            "delete from outbox;
             update messages set status_tag = 'ok', delivery_tag = 'delivered', provider_id = 'p', attempt = 3,
                 updated_at = now() + interval '1 minute'",
        )
        .await
        .unwrap();
    let again = accept(&database.pool, &f.ids, f.now, &[request(f.sms(1, 2), Some((7, 1)))]).await;
    assert_eq!(words(&again), ["replayed"]);
    assert_eq!(message(&again[0]), message(&first[0]));
}

#[tokio::test]
async fn sixty_four_groups_with_one_key_store_one_message() {
    let database = testkit::database().await;
    let f = Fixtures::new();
    let attempts: Vec<[Accept; 1]> = (0..64).map(|_| [request(f.sms(1, 2), Some((7, 1)))]).collect();
    let mut tasks = tokio::task::JoinSet::new();
    let f = std::sync::Arc::new(f);
    for attempt in attempts {
        let (pool, f) = (database.pool.clone(), std::sync::Arc::clone(&f));
        tasks.spawn(async move { accept(&pool, &f.ids, f.now, &attempt).await.pop().unwrap().unwrap() });
    }
    let ids: HashSet<Uuid> =
        tasks.join_all().await.into_iter().map(|accepted| message(&Ok(accepted)).id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(count(&database.pool, "messages").await, 1);
}

#[tokio::test]
async fn sixty_four_first_messages_between_one_pair_make_one_conversation() {
    let database = testkit::database().await;
    let f = std::sync::Arc::new(Fixtures::new());
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..64 {
        let (pool, f) = (database.pool.clone(), std::sync::Arc::clone(&f));
        tasks.spawn(async move {
            let message = if number % 2 == 0 { f.sms(1, 2) } else { f.sms(2, 1) };
            accept(&pool, &f.ids, f.now, &[request(message, None)]).await.pop().unwrap().unwrap();
        });
    }
    tasks.join_all().await;
    assert_eq!(count(&database.pool, "conversations").await, 1);
    assert_eq!(count(&database.pool, "messages").await, 64);
}

#[tokio::test]
async fn groups_over_the_same_hot_conversations_in_any_order_do_not_fail_each_other() {
    let database = testkit::database().await;
    let f = std::sync::Arc::new(Fixtures::new());
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..8_u16 {
        let (pool, f) = (database.pool.clone(), std::sync::Arc::clone(&f));
        tasks.spawn(async move {
            for round in 0..10_u16 {
                let pair = |n: u16| {
                    request(f.sms(1, 10 + (n * 7 + worker * 3 + round) % 20), Some(((n % 16) as u8, 1)))
                };
                let group: Vec<Accept> = (0..40).map(pair).collect();
                let results = accept(&pool, &f.ids, f.now, &group).await;
                assert!(results.iter().all(Result::is_ok), "{:?}", words(&results));
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn a_poisoned_request_fails_alone() {
    let database = testkit::database().await;
    let f = Fixtures::new();
    let poisoned = NewMessage { body: "a NUL: \0".to_owned(), ..f.sms(1, 2) };
    let group = [f.sms(1, 2), poisoned, f.sms(1, 3)].map(|message| request(message, None));
    let results = accept(&database.pool, &f.ids, f.now, &group).await;
    assert_eq!(words(&results), ["new", "error", "new"]);
    assert!(matches!(results[1], Err(Error::Refused(_))));
    assert_eq!(count(&database.pool, "messages").await, 2);
    assert_eq!(count(&database.pool, "outbox").await, 2);
}

fn inbound(message: NewMessage, provider_message_id: &str) -> Inbound {
    Inbound {
        message,
        provider_id: "p".to_owned(),
        provider_message_id: provider_message_id.to_owned(),
        files: Vec::new(),
    }
}

#[tokio::test]
async fn an_inbound_message_joins_the_conversation_of_the_outbound_one() {
    let database = testkit::database().await;
    let f = Fixtures::new();
    let sent = accept(&database.pool, &f.ids, f.now, &[request(f.sms(1, 2), None)]).await;
    let received = receive(&database.pool, &f.ids, f.now, &[inbound(f.inbound_sms(2, 1), "SM1")]).await;
    let Received { new, conversation_id, .. } = *received[0].as_ref().unwrap();
    assert!(new);
    assert_eq!(conversation_id, Some(message(&sent[0]).conversation_id));
    let client = database.pool.get().await.unwrap();
    let ends = conversations::reply_ends(&client, conversation_id.unwrap()).await.unwrap().unwrap();
    assert_eq!((ends.source.as_str(), ends.target.as_str()), ("+12025550001", "+12025550002"));
}

#[tokio::test]
async fn the_same_provider_message_fifty_times_at_once_is_one_message() {
    let database = testkit::database().await;
    let f = std::sync::Arc::new(Fixtures::new());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (pool, f) = (database.pool.clone(), std::sync::Arc::clone(&f));
        tasks.spawn(async move {
            let group: Vec<Inbound> = (0..5).map(|_| inbound(f.inbound_sms(2, 1), "SM1")).collect();
            receive(&pool, &f.ids, f.now, &group).await
        });
    }
    let received: Vec<Received> =
        tasks.join_all().await.into_iter().flatten().map(|result| result.unwrap()).collect();
    assert_eq!(received.len(), 50);
    assert_eq!(received.iter().map(|r| r.message_id).collect::<HashSet<_>>().len(), 1);
    assert_eq!(received.iter().filter(|r| r.new).count(), 1);
    assert_eq!(count(&database.pool, "messages").await, 1);
}

#[tokio::test]
async fn a_group_that_is_written_again_because_its_answer_was_lost_is_answered_as_the_first_time() {
    let database = testkit::database().await;
    let f = Fixtures::new();
    let file = |id| NewFile {
        id,
        filename: "a.txt".to_owned(),
        content_type: "text/plain".to_owned(),
        bytes: b"a".to_vec(),
    };
    let mut with_a_file = inbound(f.inbound_sms(2, 1), "SM1");
    with_a_file.files = vec![file(f.inbound_sms(2, 1).id)];
    let first = [with_a_file, inbound(f.inbound_sms(3, 1), "SM2")];
    let said = async |group: &[Inbound]| -> Vec<Received> {
        receive(&database.pool, &f.ids, f.now, group).await.into_iter().map(Result::unwrap).collect()
    };
    let told = said(&first).await;
    assert!(told.iter().all(|received| received.new && received.conversation_id.is_some()), "{told:?}");
    assert_eq!(said(&first).await, told);
    // With what has come to the group since, and beside another delivery of the same.
    let again = [inbound(f.inbound_sms(2, 1), "SM1"), inbound(f.inbound_sms(4, 1), "SM3")];
    let together = said(&[&first[..], &again[..]].concat()).await;
    assert_eq!(together[..2], told);
    assert_eq!((together[2].message_id, together[2].new), (told[0].message_id, false));
    assert!(together[3].new);
    assert_eq!((count(&database.pool, "messages").await, count(&database.pool, "media").await), (3, 1));
}

#[tokio::test]
async fn conversations_are_listed_by_their_newest_activity() {
    let database = testkit::database().await;
    let f = Fixtures::new();
    for to in 2..7 {
        accept(&database.pool, &f.ids, f.now, &[request(f.sms(1, to), None)]).await;
    }
    let client = database.pool.get().await.unwrap();
    let first = conversations::list(&client, None, 3).await.unwrap();
    let last = first.last().unwrap();
    let second = conversations::list(&client, Some((last.last_message_at, last.id)), 3).await.unwrap();
    assert_eq!((first.len(), second.len()), (3, 2));
    let activity: Vec<Timestamp> = first.iter().chain(&second).map(|c| c.last_message_at).collect();
    assert!(activity.is_sorted_by(|a, b| a > b));

    let oldest = second.last().unwrap().id;
    client
        .batch_execute("update conversations set last_message_at = last_message_at - interval '1 minute'")
        .await
        .unwrap();
    conversations::touch(&client, &[oldest]).await.unwrap();
    assert_eq!(conversations::list(&client, None, 1).await.unwrap()[0].id, oldest);
}
