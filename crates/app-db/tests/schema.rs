//! The schema's rules, asked of the catalogue: bucket in every key, nothing that a spread-out database would refuse,
//! updates that stay HOT; migrating, and refusing another version's schema.

#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::time::Duration;

use app_db::accept::{Accept, accept};
use app_db::migrate::{self, MigrateError};
use app_db::partitions;
use testkit::fixtures::Fixtures;

/// The large tables. The others are small: a row for a key, a webhook in quarantine.
const LARGE: [&str; 9] = [
    "conversations",
    "messages",
    "outbox",
    "message_events",
    "idempotency_keys",
    "inbound_keys",
    "provider_refs",
    "problems",
    "media",
];

async fn column(client: &app_db::Client, sql: &str) -> Vec<String> {
    client.query(sql, &[&LARGE.to_vec()]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn every_key_of_a_large_table_has_the_bucket_in_it() {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    let without = column(
        &client,
        "select conrelid::regclass || ': ' || pg_get_constraintdef(oid) from pg_constraint
         where contype in ('p', 'u', 'f', 'x') and conrelid::regclass::text = any($1)
           and not exists (
               select from unnest(conkey) as key(number)
               join pg_attribute on attrelid = conrelid and attnum = key.number and attname = 'bucket')",
    )
    .await;
    assert_eq!(without, Vec::<String>::new());
    let keyed = column(
        &client,
        "select conrelid::regclass::text from pg_constraint
         where contype = 'p' and conrelid::regclass::text = any($1)",
    )
    .await;
    assert_eq!(keyed.len(), LARGE.len(), "{keyed:?}");
}

#[tokio::test]
async fn no_large_table_has_triggers_sequences_or_volatile_defaults_and_nothing_references_messages() {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    for sql in [
        "select tgrelid::regclass || ' ' || tgname from pg_trigger
         where not tgisinternal and tgrelid::regclass::text = any($1)",
        "select attrelid::regclass || '.' || attname from pg_attribute
         where attidentity <> '' and attrelid::regclass::text = any($1)",
        "select adrelid::regclass || ': ' || pg_get_expr(adbin, adrelid) from pg_attrdef
         where adrelid::regclass::text = any($1)
           and pg_get_expr(adbin, adrelid) !~ '^(now\\(\\)|[0-9]+|true|false)$'",
        "select conrelid::regclass::text from pg_constraint
         where contype = 'f' and confrelid = 'messages'::regclass and conrelid::regclass::text = any($1)",
    ] {
        assert_eq!(column(&client, sql).await, Vec::<String>::new(), "{sql}");
    }
}

#[tokio::test]
async fn no_index_names_what_settles_and_receipts_change() {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    let naming = "select indexdef from pg_indexes where tablename like 'messages%'
        and indexdef ~ '(status|delivery|provider|attempt|updated_at|lease)'";
    assert_eq!(client.query(naming, &[]).await.unwrap().len(), 0);
    // The query sees indexes of these tables, also those that name such a column in their predicate alone.
    let all = "select count(*) from pg_indexes where tablename like 'messages%'";
    assert!(client.query_one(all, &[]).await.unwrap().get::<_, i64>(0) > 0);
    client.batch_execute("create index on messages (id) where status_tag = 'ok'").await.unwrap();
    assert!(!client.query(naming, &[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_keys_hold_when_tables_are_spread_by_bucket() {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    for table in LARGE.into_iter().filter(|table| !["messages", "message_events"].contains(table)) {
        client
            .batch_execute(&format!(
                "create schema spread_{table};
                 create table spread_{table}.{table} (like {table} including constraints including defaults)
                     partition by hash (bucket);"
            ))
            .await
            .unwrap();
        let keys = client
            .query(
                "select pg_get_constraintdef(oid) from pg_constraint
                 where contype in ('p', 'u') and conrelid = $1::text::regclass",
                &[&table],
            )
            .await
            .unwrap();
        for key in keys {
            let definition: String = key.get(0);
            client
                .batch_execute(&format!("alter table spread_{table}.{table} add {definition}"))
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn migrating_twice_applies_nothing_the_second_time() {
    let database = testkit::database::empty_database().await;
    let mut client = database.pool.get().await.unwrap();
    assert!(matches!(migrate::check(&client).await, Err(MigrateError::Older { found: 0, .. })));
    assert!(!migrate::run(&mut client).await.unwrap().is_empty());
    assert!(migrate::run(&mut client).await.unwrap().is_empty());
    migrate::check(&client).await.unwrap();
}

#[tokio::test]
async fn two_migrations_at_once_do_not_run_into_each_other() {
    let database = testkit::database::empty_database().await;
    let run = async || {
        let mut client = database.pool.get().await.unwrap();
        migrate::run(&mut client).await.unwrap().len()
    };
    let (first, second) = tokio::join!(run(), run());
    assert_eq!(first.min(second), 0);
}

/// As a newer version of app leaves it, which says that the schema is good for binaries of that version and above.
async fn migrate_to_the_future(client: &app_db::Client, oldest_binary: u32) {
    client
        .batch_execute(&format!(
            "insert into refinery_schema_history
             select 999, 'from_the_future', applied_on, checksum from refinery_schema_history limit 1;
             update schema_compat set oldest_binary = {oldest_binary}"
        ))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_newer_schema_that_is_not_good_for_this_binary_is_refused_with_a_sentence() {
    let database = testkit::database().await;
    let mut client = database.pool.get().await.unwrap();
    migrate_to_the_future(&client, migrate::newest_version() + 1).await;
    let error = migrate::check(&client).await.unwrap_err();
    assert!(error.to_string().contains("version 999, newer than the"), "{error}");
    let refused = migrate::run(&mut client).await.unwrap_err();
    assert!(matches!(refused, MigrateError::Newer { found: 999, .. }));
}

#[tokio::test]
async fn a_newer_schema_that_is_good_for_this_binary_is_used_and_left_as_it_is() {
    let database = testkit::database().await;
    let mut client = database.pool.get().await.unwrap();
    migrate_to_the_future(&client, migrate::newest_version()).await;
    migrate::check(&client).await.unwrap();
    assert_eq!(migrate::run(&mut client).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn the_schema_names_no_binary_that_does_not_exist() {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    let oldest: i32 = client.query_one("select oldest_binary from schema_compat", &[]).await.unwrap().get(0);
    assert!(u32::try_from(oldest).unwrap() <= migrate::newest_version());
}

#[tokio::test]
async fn a_server_that_may_lose_commits_is_warned_about() {
    let database = testkit::database().await;
    let client = database.pool.get().await.unwrap();
    let name: String = client.query_one("select current_database()", &[]).await.unwrap().get(0);
    for (setting, warned) in [("off", true), ("on", false)] {
        client
            .batch_execute(&format!("alter database {name} set synchronous_commit = {setting}"))
            .await
            .unwrap();
        let later = app_db::connect(&database.url, 1).unwrap();
        let warnings = migrate::durability_warnings(&later.get().await.unwrap()).await.unwrap();
        let is_warned = warnings.iter().any(|warning| warning.contains("synchronous_commit = off"));
        assert_eq!(is_warned, warned, "{setting}: {warnings:?}");
    }
}

#[tokio::test]
async fn a_vocabulary_that_was_widened_holds_for_every_week_and_only_so_far() {
    let database = testkit::database().await;
    let mut client = database.pool.get().await.unwrap();
    // As version 10 left it, with its weeks and something in them.
    client
        .batch_execute(
            "alter table messages drop constraint messages_channel_check,
                 add constraint messages_channel_check check (channel in ('sms', 'mms', 'email'))",
        )
        .await
        .unwrap();
    let f = Fixtures::new();
    let request = |message| Accept { message, route: String::new(), sticky: Vec::new(), idempotency: None };
    assert!(accept(&database.pool, &f.ids, f.now, &[request(f.sms(1, 2))]).await[0].is_ok());
    assert!(accept(&database.pool, &f.ids, f.now, &[request(f.whatsapp(1, 2))]).await[0].is_err());
    let migration = include_str!("../migrations/V11__whatsapp.sql");
    client.batch_execute(&format!("begin; {migration}; commit")).await.unwrap();
    assert!(accept(&database.pool, &f.ids, f.now, &[request(f.whatsapp(1, 2))]).await[0].is_ok());
    // One that is made after the migration.
    let later = f.now + Duration::from_secs(60 * 24 * 3600);
    partitions::ensure(&mut client, later).await.unwrap();
    let rows = client
        .query(
            "select conrelid::regclass::text, pg_get_constraintdef(oid) from pg_constraint
             where conname = 'messages_channel_check'",
            &[],
        )
        .await
        .unwrap();
    assert!(rows.len() > 7, "the table and its weeks");
    for row in rows {
        let (table, definition): (String, String) = (row.get(0), row.get(1));
        for channel in model::Channel::ALL {
            assert!(definition.contains(&format!("'{channel}'")), "{table}: {definition}");
        }
    }
    for table in ["messages", "outbox"] {
        let sql = "select count(*) from pg_constraint where conrelid = $1::text::regclass and conname like '%channel%'";
        assert_eq!(client.query_one(sql, &[&table]).await.unwrap().get::<_, i64>(0), 1, "{table}");
    }
}
