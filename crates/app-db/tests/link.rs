//! The link to the database: silence, resets, servers that only allow reading, databases that cannot be used; on a
//! real PostgreSQL behind a proxy with faults.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use app_db::{Client, Error, Pool, gauges, migrate, pool, readiness};
use jiff::Timestamp;
use testkit::{Fault, FaultProxy, TestDatabase, until};
use tokio::sync::Notify;

/// Short, for tests; long enough for an answer on a busy machine.
const LIMIT: Duration = Duration::from_secs(2);

/// A database behind a proxy.
async fn stage() -> (TestDatabase, FaultProxy, Pool) {
    let database = testkit::database().await;
    let proxy = FaultProxy::for_database(&database.url).await;
    let url = format!("{}?connect_timeout=2", proxy.database_url(&database.url));
    let pool = app_db::connect(&url, 4).unwrap();
    (database, proxy, pool)
}

/// The server's time: tests have no other clock that they may ask.
async fn now(database: &TestDatabase) -> Timestamp {
    gauges::database_time(&database.pool.get().await.unwrap()).await.unwrap()
}

async fn limited(pool: &Pool) -> Client {
    let client = pool::get(pool).await.unwrap();
    client.allow(LIMIT);
    client
}

fn is_unavailable<T>(result: Result<T, impl Into<Error>>) -> bool {
    matches!(result.map_err(Into::into), Err(Error::Unavailable(_)))
}

type Use = for<'a> fn(
    &'a mut Client,
) -> Pin<Box<dyn Future<Output = Result<(), tokio_postgres::Error>> + Send + 'a>>;

/// Every way in which the crates use a connection.
const USES: [(&str, Use); 6] = [
    ("query", |client| Box::pin(async move { client.query("select 1", &[]).await.map(|_| ()) })),
    ("execute", |client| Box::pin(async move { client.execute("select 1", &[]).await.map(|_| ()) })),
    ("prepare", |client| Box::pin(async move { client.prepare_cached("select 2").await.map(|_| ()) })),
    ("simple", |client| Box::pin(async move { client.batch_execute("select 1; select 2").await })),
    ("begin", |client| Box::pin(async move { client.transaction().await.map(|_| ()) })),
    ("large", |client| {
        Box::pin(async move {
            // More than the sockets' buffers take.
            let large = "x".repeat(32 << 20);
            client.query("select length($1::text)", &[&large]).await.map(|_| ())
        })
    }),
];

#[tokio::test]
async fn every_use_of_a_connection_in_a_black_hole_ends_and_its_connection_is_dropped() {
    let (_database, proxy, pool) = stage().await;
    for (name, work) in USES {
        let mut client = limited(&pool).await;
        client.query_one("select 1", &[]).await.unwrap();
        proxy.set(Fault::BlackHole);
        let result = tokio::time::timeout(LIMIT * 10, work(&mut client)).await;
        let result = result.unwrap_or_else(|_| panic!("{name} has no limit"));
        assert!(is_unavailable(result), "{name}");
        assert!(client.is_closed(), "{name}");
        assert!(pool::health(&pool).is_down(), "{name}");
        drop(client);
        assert!(is_unavailable(pool::get(&pool).await), "{name}: no new connection either");
        proxy.set(Fault::None);
        drop(until("the database serves again", async || pool::get(&pool).await.ok()).await);
        assert!(!pool::health(&pool).is_down(), "{name}");
    }
}

#[tokio::test]
async fn a_commit_whose_answer_does_not_come_is_unavailable_and_nothing_is_left_open() {
    let (database, proxy, pool) = stage().await;
    let mut client = limited(&pool).await;
    let transaction = client.transaction().await.unwrap();
    transaction.batch_execute("create table of_a_test (x integer)").await.unwrap();
    proxy.set(Fault::SilentServer);
    assert!(is_unavailable(transaction.commit().await));
    proxy.set(Fault::None);
    // The server took the commit: that is what an unknown commit means.
    let direct = database.pool.get().await.unwrap();
    let sql = "select to_regclass('of_a_test') is not null";
    until("it was committed", async || {
        direct.query_one(sql, &[]).await.unwrap().get::<_, bool>(0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_slow_answer_that_makes_progress_is_waited_for() {
    let (_database, proxy, pool) = stage().await;
    let client = limited(&pool).await;
    client.query_one("select 1", &[]).await.unwrap();
    proxy.set(Fault::Slow(LIMIT / 8));
    // A piece each time: together longer than the limit.
    let rows = client.query("select repeat('x', 100000) from generate_series(1, 20)", &[]).await.unwrap();
    assert_eq!(rows.len(), 20);
    assert!(!client.is_closed() && !pool::health(&pool).is_down());
}

#[tokio::test]
async fn an_idle_connection_has_no_limit() {
    let (_database, _proxy, pool) = stage().await;
    let client = limited(&pool).await;
    client.allow(Duration::from_millis(50));
    client.query_one("select 1", &[]).await.unwrap();
    let other = limited(&pool).await;
    other.query_one("select pg_sleep_for('500 ms')", &[]).await.unwrap();
    assert!(!client.is_closed());
}

#[tokio::test]
async fn a_statement_that_is_given_up_ends_on_the_server() {
    let (database, _proxy, pool) = stage().await;
    let client = pool::get(&pool).await.unwrap();
    client.allow(Duration::from_millis(300));
    let sql = "select pg_sleep_for('59 s'), 'given up'";
    assert!(is_unavailable(client.query(sql, &[]).await));
    let direct = database.pool.get().await.unwrap();
    until("it has ended", async || {
        let sql = "select count(*) from pg_stat_activity
                   where datname = current_database() and query like '%given up%' and pid <> pg_backend_pid()";
        let running: i64 = direct.query_one(sql, &[]).await.unwrap().get(0);
        (running == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reset_connection_is_unavailable_and_the_next_one_works() {
    let (_database, proxy, pool) = stage().await;
    let client = limited(&pool).await;
    client.query_one("select 1", &[]).await.unwrap();
    proxy.reset_all();
    assert!(is_unavailable(client.query_one("select 1", &[]).await));
    drop(client);
    pool::get(&pool).await.unwrap().query_one("select 1", &[]).await.unwrap();
}

#[tokio::test]
async fn a_server_that_turns_read_only_loses_every_session_and_they_come_back_with_it() {
    let (database, _proxy, pool) = stage().await;
    let (first, second) = (limited(&pool).await, limited(&pool).await);
    let name = first.query_one("select current_database()::text", &[]).await.unwrap().get::<_, String>(0);
    let write = "create table of_a_test (x integer)";
    // As after a failover: sessions that exist find out at their next transaction.
    first.batch_execute("set default_transaction_read_only = on").await.unwrap();
    let direct = database.pool.get().await.unwrap();
    direct
        .batch_execute(&format!("alter database {name} set default_transaction_read_only = on"))
        .await
        .unwrap();

    assert!(is_unavailable(first.batch_execute(write).await));
    until("all sessions are closed", async || (first.is_closed() && second.is_closed()).then_some(())).await;
    drop((first, second));
    let refused = pool::get(&pool).await.unwrap_err();
    assert!(format!("{refused:?}").contains("ReadOnly"), "{refused:?}");
    assert!(!readiness::look(&pool, || Timestamp::UNIX_EPOCH).await.is_ready());

    direct
        .batch_execute(&format!("alter database {name} reset default_transaction_read_only"))
        .await
        .unwrap();
    let client = pool::get(&pool).await.unwrap();
    client.batch_execute(write).await.unwrap();
    assert!(!pool::health(&pool).is_down());
}

#[tokio::test]
async fn a_host_that_only_allows_reading_is_passed_over_unless_the_url_takes_any() {
    let standby = app_db::embedded::Embedded::start_throwaway().await.unwrap();
    let only_reads = app_db::connect(&standby.url(), 1).unwrap();
    let client = pool::get(&only_reads).await.unwrap();
    client.batch_execute("alter system set default_transaction_read_only = on").await.unwrap();
    client.batch_execute("select pg_reload_conf()").await.unwrap();
    until("it only allows reading", async || {
        let on: String = client.query_one("show default_transaction_read_only", &[]).await.unwrap().get(0);
        (on == "on").then_some(())
    })
    .await;
    let primary = app_db::embedded::Embedded::start_throwaway().await.unwrap();
    let host = |url: String| url::Url::parse(&url).unwrap().host_str().unwrap().to_owned();
    let (first, second) = (host(standby.url()), host(primary.url()));
    for (parameters, expected) in
        [("", "off"), ("?target_session_attrs=primary", "on"), ("?target_session_attrs=any", "on")]
    {
        let url = format!("postgres://app@{first}:5432,{second}:5432/app{parameters}");
        let pool = app_db::connect(&url, 1).unwrap();
        let client = pool::get(&pool).await.unwrap();
        let read_only: String = client.query_one("show transaction_read_only", &[]).await.unwrap().get(0);
        assert_eq!(read_only, expected, "{parameters}: the server's own setting is not overridden");
    }
    standby.stop().await.unwrap();
    primary.stop().await.unwrap();
}

#[tokio::test]
async fn a_database_that_cannot_hold_every_message_is_refused_with_the_reason() {
    let database = testkit::database().await;
    let admin = database.pool.get().await.unwrap();
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let name = format!("app_test_{}_{}", std::process::id(), encoding.to_lowercase());
        let sql = format!("create database {name} encoding '{encoding}' locale 'C' template template0");
        admin.batch_execute(&sql).await.unwrap();
        let mut url = url::Url::parse(&database.url).unwrap();
        url.set_path(&name);
        let refused = pool::get(&app_db::connect(url.as_str(), 1).unwrap()).await.unwrap_err();
        assert!(matches!(&refused, Error::Unusable(why) if why.contains(encoding)), "{refused:?}");
        until("it is dropped", async || admin.batch_execute(&format!("drop database {name}")).await.ok())
            .await;
    }
}

#[tokio::test]
async fn a_migration_that_is_given_up_leaves_no_lock_behind() {
    let database = testkit::database().await;
    let holder = database.pool.get().await.unwrap();
    let mut client = database.pool.get().await.unwrap();
    // As another `app migrate` that is at work.
    let key = "7021235395513810945";
    holder.batch_execute(&format!("begin; select pg_advisory_xact_lock({key})")).await.unwrap();
    let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted";
    let begun = async {
        until("it waits for the other one", async || {
            let direct = database.pool.get().await.unwrap();
            (direct.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) > 0).then_some(())
        })
        .await;
    };
    tokio::select! {
        migrated = migrate::run(&mut client) => panic!("{migrated:?}"),
        () = begun => {}
    }
    drop(client);
    holder.batch_execute("commit").await.unwrap();
    let direct = database.pool.get().await.unwrap();
    let locks = "select count(*) from pg_locks where locktype = 'advisory'
                     and database = (select oid from pg_database where datname = current_database())";
    until("no lock is left", async || {
        (direct.query_one(locks, &[]).await.unwrap().get::<_, i64>(0) == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_listener_in_a_black_hole_ends_so_that_it_can_listen_again() {
    let (database, proxy, _pool) = stage().await;
    let url = proxy.database_url(&database.url);
    let wake = Arc::new(Notify::new());
    let listening = tokio::spawn({
        let (url, wake) = (url.clone(), Arc::clone(&wake));
        async move { app_db::wake::listen(&url, &wake).await.err() }
    });
    wake.notified().await;
    let direct = database.pool.get().await.unwrap();
    app_db::wake::notify(&direct).await.unwrap();
    wake.notified().await;
    proxy.set(Fault::BlackHole);
    let ended = tokio::time::timeout(Duration::from_secs(30), listening).await;
    assert!(ended.expect("it notices").unwrap().is_some());
}

#[tokio::test]
async fn readiness_looks_at_partitions_and_leaves_nothing_behind() {
    let database = testkit::database().await;
    let look = async || {
        let now = now(&database).await;
        readiness::look(&database.pool, || now).await
    };
    for _ in 0..3 {
        let readiness = look().await;
        assert!(readiness.is_ready(), "{readiness:?}");
    }
    let client = database.pool.get().await.unwrap();
    let sql = "select count(*) from pg_locks where pid <> pg_backend_pid() and relation is not null
                   and database = (select oid from pg_database where datname = current_database())";
    assert_eq!(client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0);
    let this_week = "select child.relname::text from pg_inherits join pg_class child on child.oid = inhrelid
                where inhparent = 'messages'::regclass order by 1 offset 1 limit 1";
    let name: String = client.query_one(this_week, &[]).await.unwrap().get(0);
    client.batch_execute(&format!("drop table {name}")).await.unwrap();
    drop(client);
    let readiness = look().await;
    assert!(!readiness.is_ready() && readiness.partitions.contains(&name), "{readiness:?}");
    assert_eq!((readiness.database.as_str(), readiness.writes.as_str()), ("ok", "ok"));
}

#[tokio::test]
async fn what_a_lost_transaction_locks_is_free_before_its_repetition_gives_up() {
    let (database, proxy, pool) = stage().await;
    let mut lost = pool::get(&pool).await.unwrap();
    lost.batch_execute("create table locked (id int primary key); insert into locked values (1)")
        .await
        .unwrap();
    let transaction = lost.transaction().await.unwrap();
    transaction.batch_execute("select from locked where id = 1 for update").await.unwrap();
    proxy.abandon_all();
    // The wait for a lock has the limit that every session of ours has.
    let repetition = database.pool.get().await.unwrap();
    repetition.batch_execute("select from locked where id = 1 for update").await.unwrap();
}
