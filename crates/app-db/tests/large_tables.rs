//! What a step costs among very many rows: a list by address, the sweep for expired messages, the cleaning of keys, and
//! activity in a conversation that many writers use. PostgreSQL's own counters say what was read; times are printed.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use app_db::accept::{Accept, accept};
use app_db::messages::list::{Filter, Order, Wanted, list};
use app_db::{Pool, conversations, housekeeping, inbox, pool};
use testkit::fixtures::Fixtures;
use testkit::outbox::Outbox;
use uuid::Uuid;

/// A million conversations: our number takes part in each, every other number in one.
const CONVERSATIONS: &str = "
    set session_replication_role = replica;
    insert into conversations (bucket, id, participants_hash, medium, participants, last_message_at)
    select get_byte(hash, 0), md5(n::text)::uuid, hash, 'phone', array['+12025550000', '+1303' || n],
        now() - n * interval '1 second'
    from generate_series(1, 1000000) n, lateral (select sha256(n::text::bytea) as hash) h;
    set session_replication_role = origin";

/// Messages that were accepted four days ago and are to be sent in a year, and one that was due all that time.
const SCHEDULED: &str = "
    set session_replication_role = replica;
    create function made_id(n bigint) returns uuid language sql as $$
        select (lpad(to_hex((extract(epoch from now() - interval '4 days') * 1000)::bigint), 12, '0') || '7000'
            || '8' || lpad(to_hex(n), 15, '0'))::uuid
    $$;
    insert into messages (bucket, id, conversation_id, inbound_or_outbound, channel, endpoint_source,
        endpoint_target, body, status_tag, delivery_tag, created_at, send_at)
    select 0, made_id(n), made_id(1), 'outbound', 'sms', '+1', '+2', 'Hello', 'outbox', 'none',
        now() - interval '4 days', case when n < 100000 then now() + interval '1 year' end
    from generate_series(1, 100000) n;
    insert into outbox (bucket, message_id, conversation_id, channel, route, priority, next_attempt_at, expires_at)
    select 0, id, conversation_id, 'sms', 'sms', 1, coalesce(send_at, created_at), send_at + interval '1 day'
    from messages;
    set session_replication_role = origin";

async fn execute(pool: &Pool, sql: &str) {
    let client = pool::get(pool).await.unwrap();
    // Loading takes minutes on a busy machine.
    client.allow(Duration::from_secs(3600));
    client.batch_execute("set statement_timeout = 0").await.unwrap();
    client.batch_execute(sql).await.unwrap();
}

/// Rows and index entries that this session's statements have read so far.
async fn rows_read(pool: &Pool) -> i64 {
    let client = pool::get(pool).await.unwrap();
    client.execute("select pg_stat_force_next_flush()", &[]).await.unwrap();
    let read = "select ((select sum(seq_tup_read) from pg_stat_user_tables)
        + (select sum(idx_tup_read) from pg_stat_user_indexes))::int8";
    client.query_one(read, &[]).await.unwrap().get(0)
}

/// What a step reads, and how long it takes the second time: the first plans it.
async fn measured<R>(pool: &Pool, name: &str, mut step: impl AsyncFnMut() -> R) -> (R, i64) {
    step().await;
    let before = rows_read(pool).await;
    let began = Instant::now();
    let result = step().await;
    let took = began.elapsed();
    let read = rows_read(pool).await - before;
    println!("{name}: {:.2} ms, {read} rows and entries read", took.as_secs_f64() * 1000.0);
    (result, read)
}

#[tokio::test]
async fn messages_from_an_address_are_found_among_a_million_conversations() {
    let database = testkit::database().await;
    let pool = app_db::connect(&database.url, 1).unwrap();
    execute(&pool, CONVERSATIONS).await;
    execute(&pool, "vacuum analyze conversations").await;
    let filter = |from: &str| Filter { from: Some(from.to_owned()), ..Filter::default() };
    let look = async |filter: &Filter| {
        let mut client = pool::get(&pool).await.unwrap();
        list(&mut client, filter, Wanted::new(Order::NewestFirst, None, 50)).await.unwrap().messages.len()
    };
    let rare = filter("+1303500000");
    let (_, read) = measured(&pool, "?from= of a rare address", async || look(&rare).await).await;
    assert!(read < 1_000, "{read}");
    let common = filter("+12025550000");
    let (_, read) = measured(&pool, "?from= of a common address", async || look(&common).await).await;
    assert!(read < 10_000, "{read}");

    let found = async |address: &str| {
        let mut client = pool::get(&pool).await.unwrap();
        inbox::of_address(&mut client, address, 20).await.unwrap()
    };
    let (rare, read) =
        measured(&pool, "conversations of a rare address", async || found("+1303500000").await).await;
    assert_eq!(rare[0].participants, ["+12025550000", "+1303500000"]);
    assert!(rare.len() == 1 && read < 1_000, "{read}");
    let (common, read) =
        measured(&pool, "conversations of a common address", async || found("+12025550000").await).await;
    let newest: Vec<&str> = common.iter().map(|found| found.participants[1].as_str()).collect();
    assert_eq!((newest.len(), newest[0], newest[19]), (20, "+13031", "+130320"));
    assert!(read < 10_000, "{read}");
    assert!(found("+19999999").await.is_empty());
}

#[tokio::test]
async fn the_sweep_for_expired_messages_passes_scheduled_ones_in_bounded_pieces() {
    let outbox = Outbox::new().await;
    let pool = app_db::connect(&outbox.database.url, 1).unwrap();
    execute(&pool, SCHEDULED).await;
    execute(&pool, "vacuum analyze outbox").await;
    let mut walked_to = Uuid::nil();
    let sweep = async |walked_to: &mut Uuid| {
        let mut client = pool::get(&pool).await.unwrap();
        let transaction = client.transaction().await.unwrap();
        let max_age = Duration::from_secs(3 * 86_400);
        let rows =
            housekeeping::claim_expired(&transaction, outbox.owner, outbox.fixtures.now, max_age, walked_to);
        let rows = rows.await.unwrap();
        transaction.commit().await.unwrap();
        rows.len()
    };
    let (_, read) =
        measured(&pool, "a sweep over 100,000 scheduled", async || sweep(&mut walked_to).await).await;
    assert!(read < 20_000, "{read}");
    let mut sweeps = 2;
    while sweep(&mut walked_to).await == 0 {
        sweeps += 1;
        assert!(sweeps < 30, "the walk reaches the last message");
    }
    println!("the message behind them was found by sweep {}", sweeps + 1);
    while walked_to != Uuid::nil() {
        sweep(&mut walked_to).await;
    }
}

#[tokio::test]
async fn cleaning_keys_deletes_the_old_ones_and_reads_no_others() {
    let database = testkit::database().await;
    let pool = app_db::connect(&database.url, 1).unwrap();
    // As old as they are numbered, in half minutes, but in no order on disk.
    execute(
        &pool,
        "insert into inbound_keys (bucket, key_hash, message_id, created_at)
         select get_byte(hash, 0), hash, md5(n::text)::uuid, now() - n * interval '30 seconds'
         from generate_series(1, 60000) n, lateral (select sha256(n::text::bytea) as hash) h order by hash;
         insert into idempotency_keys (bucket, key_hash, fingerprint, message_id, created_at)
         select bucket, key_hash, key_hash, message_id, created_at from inbound_keys;
         insert into provider_refs (bucket, key_hash, message_id, attempt, created_at)
         select bucket, key_hash, message_id, 1, created_at from inbound_keys;
         analyze",
    )
    .await;
    let count = async |table: &str| -> i64 {
        let client = pool::get(&pool).await.unwrap();
        client.query_one(&format!("select count(*) from {table}"), &[]).await.unwrap().get(0)
    };
    let (mut deleted, mut cleaned_to) = (0, housekeeping::KeysCleanedTo::default());
    loop {
        let before = rows_read(&pool).await;
        let client = pool::get(&pool).await.unwrap();
        let batch =
            housekeeping::delete_old_keys(&client, Some(Duration::ZERO), &mut cleaned_to).await.unwrap();
        drop(client);
        let read = rows_read(&pool).await - before;
        assert!(read <= i64::try_from(batch).unwrap() * 5 + 30, "{read} read for {batch} deleted");
        if batch == 0 {
            break;
        }
        deleted += batch;
    }
    // Of half-minutely keys, 48 hours are 5,760, and 14 days are 40,320.
    let left = [count("idempotency_keys").await, count("inbound_keys").await, count("provider_refs").await];
    println!("{deleted} keys deleted, {left:?} left");
    for (left, expected) in left.into_iter().zip([5_760, 40_320, 40_320]) {
        assert!((expected - 60..=expected).contains(&left), "{left}, about {expected} expected");
    }
}

#[tokio::test]
async fn only_idle_conversations_without_messages_are_deleted() {
    let (database, f) = (testkit::database().await, Fixtures::new());
    for to in 2..5 {
        let request =
            Accept { message: f.sms(1, to), route: String::new(), sticky: Vec::new(), idempotency: None };
        accept(&database.pool, &f.ids, f.now, &[request]).await.remove(0).unwrap();
    }
    let client = database.pool.get().await.unwrap();
    let day = Duration::from_secs(86_400);
    let mut newest = inbox::list(&client, None, 10).await.unwrap().into_iter();
    let (idle, in_use) = (newest.next().unwrap().conversation.id, newest.next().unwrap().conversation.id);
    let age = "update conversations set last_message_at = now() - interval '2 days' where id = any($1)";
    client.execute(age, &[&vec![idle, in_use]]).await.unwrap();
    client.execute("delete from outbox where conversation_id = $1", &[&idle]).await.unwrap();
    client.execute("delete from messages where conversation_id <> $1", &[&in_use]).await.unwrap();
    assert_eq!(housekeeping::delete_idle_conversations(&client, day).await.unwrap(), 1);
    let left: Vec<Uuid> = inbox::list(&client, None, 10)
        .await
        .unwrap()
        .into_iter()
        .map(|entry| entry.conversation.id)
        .collect();
    assert!(left.len() == 2 && left.contains(&in_use) && !left.contains(&idle), "{left:?}");
}

#[tokio::test]
async fn activity_is_noted_while_an_insert_of_a_message_is_open() {
    let outbox = Outbox::new().await;
    let conversation = outbox.accept(outbox.fixtures.sms(1, 2)).await.conversation_id;
    outbox.execute("update conversations set last_message_at = now() - interval '1 hour'").await;
    let mut writing = outbox.pool().get().await.unwrap();
    let transaction = writing.transaction().await.unwrap();
    // What the foreign key of an inserted message does.
    transaction.batch_execute("select from conversations for key share").await.unwrap();
    let client = outbox.pool().get().await.unwrap();
    conversations::touch(&client, &[conversation]).await.unwrap();
    let moved = "select last_message_at > now() - interval '1 minute' from conversations";
    assert!(client.query_one(moved, &[]).await.unwrap().get::<_, bool>(0), "skipped as locked");
}

#[tokio::test]
async fn a_conversation_with_64_writers_moves_up_whenever_it_is_noted() {
    let outbox = Arc::new(Outbox::new().await);
    let pool = app_db::connect(&outbox.database.url, 32).unwrap();
    let conversation = outbox.accept(outbox.fixtures.sms(1, 2)).await.conversation_id;
    let (done, accepted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut writers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (pool, outbox) = (pool.clone(), Arc::clone(&outbox));
        let (done, accepted) = (Arc::clone(&done), Arc::clone(&accepted));
        writers.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let message = outbox.fixtures.sms(1, 2);
                let request =
                    Accept { message, route: "sms".to_owned(), sticky: Vec::new(), idempotency: None };
                let fixtures = &outbox.fixtures;
                let group = [request];
                accept(&pool, &fixtures.ids, fixtures.now, &group).await.remove(0).unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    testkit::until("writers are at work", async || (accepted.load(Ordering::Relaxed) > 64).then_some(()))
        .await;
    let client = outbox.pool().get().await.unwrap();
    let (mut moved, mut longest) = (0, Duration::ZERO);
    for _ in 0..20 {
        client.batch_execute("update conversations set last_message_at = '2020-01-01'").await.unwrap();
        let began = Instant::now();
        conversations::touch(&client, &[conversation]).await.unwrap();
        longest = longest.max(began.elapsed());
        let sql = "select last_message_at > '2020-01-02' from conversations";
        moved += usize::from(client.query_one(sql, &[]).await.unwrap().get::<_, bool>(0));
    }
    done.store(true, Ordering::Relaxed);
    writers.join_all().await;
    let messages = accepted.load(Ordering::Relaxed);
    println!(
        "moved up {moved} of 20 times with 64 writers ({messages} messages), the slowest in {:.1} ms",
        longest.as_secs_f64() * 1000.0
    );
    assert_eq!(moved, 20);
}

#[tokio::test]
async fn lanes_that_have_something_due_above_their_floor_are_told_from_others() {
    let outbox = Outbox::new().await;
    outbox.accept(outbox.fixtures.sms(1, 2)).await;
    let claimed_from = |hours: i64| {
        let floor = outbox.fixtures.now.checked_add(jiff::SignedDuration::from_hours(hours)).unwrap();
        app_db::floors::Floors([None, Some(floor), None])
    };
    let lanes = [
        ("sms", app_db::floors::Floors::default()),
        ("sms", claimed_from(-1)),
        ("sms", claimed_from(1)),
        ("email", app_db::floors::Floors::default()),
    ];
    let client = outbox.pool().get().await.unwrap();
    let have_due = app_db::floors::have_due(&client, &lanes).await.unwrap();
    assert_eq!(have_due, [true, true, false, false]);
    assert_eq!(outbox.claim(1).await.len(), 1);
    let have_due = app_db::floors::have_due(&client, &lanes).await.unwrap();
    assert_eq!(have_due, [false; 4], "it is leased");
}
