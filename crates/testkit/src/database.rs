//! A database per test, cloned from a migrated template, on a real PostgreSQL: the one that TEST_DATABASE_URL or
//! DATABASE_URL names, else one that lives as long as this process. Databases that it did not make are not touched.

mod server;
mod template;

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use app_db::Pool;
use url::Url;

/// Connections that a test's pool makes at most.
const POOL_SIZE: usize = 16;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A database of the newest schema. It goes with this value.
#[derive(Debug)]
pub struct TestDatabase {
    pub url: String,
    pub pool: Pool,
    name: String,
    admin_url: String,
}

impl TestDatabase {
    /// Ends every session and refuses new ones, until [`come_back`](Self::come_back).
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn go_away(&self) {
        let name = &self.name;
        self.as_admin(&format!(
            "alter database {name} allow_connections false;
             select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}';
             select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{name}'"
        ))
        .await;
    }

    /// # Panics
    /// When the server refuses.
    pub async fn come_back(&self) {
        self.as_admin(&format!("alter database {} allow_connections true", self.name)).await;
    }

    async fn as_admin(&self, sql: &str) {
        let admin = connect(&self.admin_url, 1);
        let client = admin.get().await.expect("a connection to the test server");
        client.allow(app_db::pool::LONG_LIMIT);
        // One by one: ALTER DATABASE must be committed before sessions are ended, or new ones slip in; and all are told to
        // end before one is waited for, or what it held lets others go on.
        for statement in sql.split(';') {
            client.batch_execute(statement).await.expect("the server does what it is asked");
        }
    }
}

/// A new database of the newest schema.
///
/// # Panics
/// When there is no server, or it refuses.
pub async fn database() -> TestDatabase {
    create(true).await
}

/// A new database without any table.
///
/// # Panics
/// As [`database`].
pub async fn empty_database() -> TestDatabase {
    create(false).await
}

async fn create(migrated: bool) -> TestDatabase {
    let server = server::server();
    let name = format!("app_test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let template = if migrated { server.template.as_str() } else { "template0" };
    let admin = connect(&server.admin_url, 1);
    let client = admin.get().await.expect("a connection to the test server");
    // Copying a template takes long on a busy machine.
    client.allow(app_db::pool::LONG_LIMIT);
    client
        .batch_execute(&format!("create database {name} template {template}"))
        .await
        .expect("a test database");
    let url = with_database(&server.admin_url, &name);
    TestDatabase { pool: connect(&url, POOL_SIZE), url, name, admin_url: server.admin_url.clone() }
}

fn connect(url: &str, size: usize) -> Pool {
    app_db::connect(url, size).unwrap_or_else(|error| panic!("{error}"))
}

/// The URL of another database on the same server.
fn with_database(url: &str, database: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) => {
            parsed.set_path(database);
            parsed.to_string()
        }
        // The other form, `key=value ...`, in which the last one counts.
        Err(_) => format!("{url} dbname={database}"),
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let drop_it = format!("drop database if exists {} with (force)", self.name);
        let admin_url = self.admin_url.clone();
        // A thread of its own: this one may be inside a runtime, which must not be blocked on itself. What stays
        // because of an error is removed by a later process.
        let dropping = thread::spawn(move || {
            server::block_on(async {
                if let Ok(client) = connect(&admin_url, 1).get().await {
                    client.allow(app_db::pool::LONG_LIMIT);
                    let _ = client.batch_execute(&drop_it).await;
                }
            });
        });
        let _ = dropping.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server_is_named_in_both_forms_of_a_url() {
        for (url, expected) in [
            ("postgres://u:p%2F@h:5432/db?sslmode=require", "postgres://u:p%2F@h:5432/other?sslmode=require"),
            ("postgresql://app@%2Ftmp%2Fx:5432/postgres", "postgresql://app@%2Ftmp%2Fx:5432/other"),
            ("host=/tmp user=app", "host=/tmp user=app dbname=other"),
        ] {
            assert_eq!(with_database(url, "other"), expected);
        }
    }

    #[tokio::test]
    async fn every_test_has_a_database_of_its_own_with_the_newest_schema() {
        let (first, second) = tokio::join!(database(), database());
        assert_ne!(first.url, second.url);
        let client = first.pool.get().await.unwrap();
        client.execute("delete from conversations", &[]).await.unwrap();
        let name: String = client.query_one("select current_database()", &[]).await.unwrap().get(0);
        assert_eq!(name, first.name);
    }

    #[tokio::test]
    async fn a_dropped_database_is_gone() {
        let (dropped, other) = tokio::join!(database(), database());
        let name = dropped.name.clone();
        let _open = dropped.pool.get().await.unwrap();
        drop(dropped);
        let client = other.pool.get().await.unwrap();
        let found = client.query_opt("select from pg_database where datname = $1", &[&name]).await.unwrap();
        assert!(found.is_none());
    }
}
