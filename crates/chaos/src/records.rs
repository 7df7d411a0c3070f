//! What the database says about a run: counted, never changed.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use uuid::Uuid;

use crate::installation::Installation;
use crate::wait::until;

impl Installation {
    /// The number that a query without parameters answers.
    ///
    /// # Errors
    /// As the database gives them.
    pub async fn count(&self, query: &str) -> anyhow::Result<i64> {
        let client = self.pool.get().await?;
        Ok(client.query_one(query, &[]).await?.get(0))
    }

    /// Waits until no message waits: each is `ok` or `failed`.
    ///
    /// # Errors
    /// When some still wait after `limit`.
    pub async fn wait_until_settled(&self, limit: Duration) -> anyhow::Result<()> {
        until("every message is settled", limit, async || {
            let is_empty = self.count("select count(*) from outbox").await? == 0;
            // A million rows are counted slowly: do not do it all the time.
            if !is_empty {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Ok(is_empty.then_some(()))
        })
        .await
    }

    /// How many of these messages are not in the database.
    ///
    /// # Errors
    /// As the database gives them.
    pub async fn missing(&self, ids: &[Uuid]) -> anyhow::Result<usize> {
        let client = self.pool.get().await?;
        let wanted: HashSet<Uuid> = ids.iter().copied().collect();
        let ids: Vec<Uuid> = wanted.iter().copied().collect();
        let row = client.query_one("select count(*) from messages where id = any($1)", &[&ids]).await?;
        Ok(wanted.len() - usize::try_from(row.get::<_, i64>(0))?)
    }

    /// What became of each message.
    ///
    /// # Errors
    /// As the database gives them.
    pub async fn deliveries(&self) -> anyhow::Result<HashMap<Uuid, String>> {
        let rows = self.pool.get().await?.query("select id, delivery_tag from messages", &[]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// The leases that are held, or were when their holder was killed.
    ///
    /// # Errors
    /// As the database gives them.
    pub async fn leases(&self) -> anyhow::Result<Vec<(Uuid, i32)>> {
        let client = self.pool.get().await?;
        let rows =
            client.query("select message_id, lease_no from outbox where leased_by is not null", &[]).await?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// How often each message's outcome was unknown.
    ///
    /// # Errors
    /// As the database gives them.
    pub async fn unknown_outcomes(&self) -> anyhow::Result<HashMap<Uuid, usize>> {
        let query =
            "select message_id, count(*) from message_events where kind = 'outcome_unknown' group by 1";
        let client = self.pool.get().await?;
        let rows = client.query(query, &[]).await?;
        rows.iter().map(|row| Ok((row.get(0), usize::try_from(row.get::<_, i64>(1))?))).collect()
    }
}
