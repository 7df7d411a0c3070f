//! A transaction without idle round trips: BEGIN travels with the first statements, COMMIT with the last.
//!
//! Statements that are polled together are sent together, in the order of polling. What must hold: `begin` is polled
//! first, `commit` last, and the statement beside `commit` is a prepared one, sent at its first poll. A statement
//! that fails turns a COMMIT behind it into a rollback, so its own result is the one to look at.

use std::ops::Deref;

use crate::{Client, Error, Pool};

/// More than any caller asks for.
const COMMON_ROWS: u32 = 10_000;

/// A transaction that only reads and may use bitmap scans: an index that has several entries for a row (GIN) is of no use
/// without them, and our sessions do not allow them otherwise (`pool`). Of an entry with very many rows it gives about
/// [`COMMON_ROWS`] of them, chosen at random: enough to see that it is common. An entry with fewer is answered in whole.
pub(crate) async fn with_bitmap_scans(
    client: &mut Client,
) -> Result<deadpool_postgres::Transaction<'_>, Error> {
    let transaction = client.build_transaction().read_only(true).start().await?;
    let settings =
        format!("set local enable_bitmapscan = on; set local gin_fuzzy_search_limit = {COMMON_ROWS}");
    transaction.batch_execute(&settings).await?;
    Ok(transaction)
}

const COMMIT_AFTER_EARLIER: &str = "select pg_logical_emit_message(true, 'app', '')
        where current_setting('synchronous_standby_names') <> '';
    commit";

/// A connection inside a transaction. Dropped before its end, the connection is closed and the server rolls back.
pub(crate) struct Open(Option<Client>);

impl Open {
    pub(crate) async fn on(pool: &Pool) -> Result<Self, Error> {
        Ok(Self(Some(pool.get().await?)))
    }

    pub(crate) async fn begin(&self) -> Result<(), Error> {
        Ok(self.batch_execute("begin").await?)
    }

    pub(crate) async fn commit(&self) -> Result<(), Error> {
        Ok(self.batch_execute("commit").await?)
    }

    /// A commit of a transaction that wrote nothing and answers with what an earlier one wrote. Where that one was given
    /// up while it waited for a synchronous standby, its rows are seen and the standby may not have them: this commit
    /// waits for the standby, too.
    pub(crate) async fn commit_after_earlier(&self) -> Result<(), Error> {
        Ok(self.batch_execute(COMMIT_AFTER_EARLIER).await?)
    }

    /// Gives the connection back after its COMMIT, or after a ROLLBACK.
    pub(crate) async fn end<R>(mut self, result: Result<R, Error>) -> Result<R, Error> {
        let is_clean = result.is_ok() || self.batch_execute("rollback").await.is_ok();
        if is_clean {
            drop(self.0.take());
        }
        result
    }
}

impl Deref for Open {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.0.as_ref().expect("a connection until the end")
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Client::take(client));
        }
    }
}
