//! The migrated database that tests' databases are copies of, made once per server and schema.

use std::fs;
use std::path::{Path, PathBuf};

use app_db::Client;
use jiff::Timestamp;
use rustix::process::{Pid, test_kill_process};
use sha2::{Digest, Sha256};

use super::{connect, with_database};

/// Held while a template is made, so that processes that start at once make one.
const ADVISORY_LOCK: i64 = 0x6170_7074_6573_7400;
const WEEK_S: i64 = 7 * 24 * 3600;

/// The name of the template, which is there on return.
///
/// # Panics
/// When it cannot be made.
pub(super) async fn ensure(admin_url: &str) -> String {
    let admin = connect(admin_url, 1);
    let client =
        admin.get().await.unwrap_or_else(|error| panic!("no connection to the test server: {error}"));
    client.allow(app_db::pool::LONG_LIMIT);
    let name = format!("app_test_template_{}", key(now(&client).await));
    client.execute("select pg_advisory_lock($1)", &[&ADVISORY_LOCK]).await.expect("the lock");
    let there =
        client.query_opt("select from pg_database where datname = $1", &[&name]).await.expect("an answer");
    if there.is_none() {
        let unfinished = format!("{name}_unfinished");
        let start = format!("drop database if exists {unfinished} with (force)");
        client.batch_execute(&start).await.expect("room for the template");
        client.batch_execute(&format!("create database {unfinished}")).await.expect("the template");
        migrate(&with_database(admin_url, &unfinished)).await;
        let finish = format!("alter database {unfinished} rename to {name}");
        client.batch_execute(&finish).await.expect("the finished template");
    }
    client.execute("select pg_advisory_unlock($1)", &[&ADVISORY_LOCK]).await.expect("the lock given back");
    name
}

async fn migrate(url: &str) {
    let pool = connect(url, 1);
    let mut client = pool.get().await.expect("a connection to the template");
    let migrated = app_db::migrate::run(&mut client).await;
    migrated.unwrap_or_else(|error| panic!("{error}"));
    // The session ends with the pool. Renaming and copying wait some seconds for that by themselves.
}

/// The server's: tests have no other clock that they may ask.
async fn now(client: &Client) -> Timestamp {
    client.query_one("select now()", &[]).await.expect("the time").get(0)
}

/// Changes with what the schema is made from, and with the week: partitions are made some weeks ahead.
fn key(now: Timestamp) -> String {
    let app_db = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../app-db"));
    let mut files: Vec<PathBuf> =
        ["src/migrate.rs", "src/partitions.rs"].map(|file| app_db.join(file)).into();
    let migrations = fs::read_dir(app_db.join("migrations")).expect("the migrations");
    files.extend(migrations.map(|entry| entry.expect("a migration").path()));
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        hash.update(fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display())));
    }
    let week = now.as_second() / WEEK_S;
    hash.update(week.to_be_bytes());
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Drops databases of tests whose process is gone.
pub(super) async fn drop_leftovers(admin_url: &str) {
    let admin = connect(admin_url, 1);
    let client =
        admin.get().await.unwrap_or_else(|error| panic!("no connection to the test server: {error}"));
    client.allow(app_db::pool::LONG_LIMIT);
    let leftovers = "select datname from pg_database where datname ~ '^app_test_[0-9]+_[0-9]+$'";
    for row in client.query(leftovers, &[]).await.expect("a list") {
        let name: String = row.get(0);
        let pid = name.split('_').nth(2).and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        if pid.is_some_and(|pid| test_kill_process(pid).is_err()) {
            // Another process may drop it at the same time.
            let _ = client.batch_execute(&format!("drop database if exists {name}")).await;
        }
    }
}
