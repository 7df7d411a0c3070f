//! Recognises a pooler that lends a server's session for one transaction at a time (PgBouncer's `transaction` and
//! `statement` modes). Settings of a session, prepared statements and LISTEN do not work there: ours would be lost, and
//! those of others would change. Must be asked before a setting is changed.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{Connection, LinkError};

/// Sessions that are opened to see whether they share a server's session. Poolers lend the one that was used last.
const OTHERS: usize = 2;
/// A pool in session mode may have no session left.
const OTHERS_LIMIT: Duration = Duration::from_secs(2);

/// What a session tells about its server.
#[derive(Debug)]
pub(super) struct Facts {
    pub backend_pid: i32,
    pub is_read_only: bool,
    pub is_standby: bool,
}

impl Facts {
    pub(super) async fn of(client: &Client) -> Result<Self, LinkError> {
        let sql =
            "select pg_backend_pid(), current_setting('transaction_read_only') = 'on', pg_is_in_recovery()";
        let answer = client.simple_query(sql).await?;
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let field = |number: usize| row.and_then(|row| row.get(number)).unwrap_or_default();
        Ok(Self {
            backend_pid: field(0).parse().unwrap_or(0),
            is_read_only: field(1) == "t",
            is_standby: field(2) == "t",
        })
    }
}

/// Whether `session`, which ran in this backend just now, shares it with others.
pub(super) async fn is_shared<F>(
    session: &Connection,
    backend_pid: i32,
    another: impl Fn() -> F,
) -> Result<bool, LinkError>
where
    F: Future<Output = Result<Connection, LinkError>>,
{
    let mut others = Vec::new();
    for _ in 0..OTHERS {
        let asked = async {
            let other = another().await?;
            let facts = Facts::of(&other).await?;
            Ok::<_, LinkError>((other, facts))
        };
        let Ok(Ok((other, facts))) = timeout(OTHERS_LIMIT, asked).await else { break };
        // In `statement` mode there are no transactions.
        if facts.backend_pid == backend_pid || other.batch_execute("begin").await.is_err() {
            return Ok(true);
        }
        others.push(other);
    }
    Ok(Facts::of(session).await?.backend_pid != backend_pid)
}
