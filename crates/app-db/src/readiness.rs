//! Whether the database does what a server needs now: it answers, its schema is right, the clocks agree, this week
//! has its partitions, and a write is stored and committed.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use crate::{Client, Error, Pool, gauges, migrate, partitions};

/// Of each wait for an answer.
const CHECK_LIMIT: Duration = Duration::from_secs(2);
/// Ids carry the server's time, and partitions depend on it.
const CLOCK_OFFSET_S_MAX: f64 = 5.0;

/// `ok` everywhere, or what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    pub database: String,
    pub schema: String,
    pub clock: String,
    pub partitions: String,
    pub writes: String,
}

const OK: &str = "ok";
const UNKNOWN: &str = "unknown";

impl Readiness {
    pub fn is_ready(&self) -> bool {
        [&self.database, &self.schema, &self.clock, &self.partitions, &self.writes]
            .into_iter()
            .all(|part| part == OK)
    }

    /// As a processor's `/readyz` answers; `dispatch` is `ok`, or why nothing is sent.
    pub fn to_json(&self, dispatch: &str) -> String {
        let Self { database, schema, clock, partitions, writes } = self;
        serde_json::json!({
            "ready": self.is_ready() && dispatch == OK, "database": database, "schema": schema, "clock": clock,
            "partitions": partitions, "writes": writes, "dispatch": dispatch,
        })
        .to_string()
    }

    /// For a server that did not look, or got no connection.
    pub fn without_database(why: impl Into<String>) -> Self {
        let unknown = || UNKNOWN.to_owned();
        Self {
            database: why.into(),
            schema: unknown(),
            clock: unknown(),
            partitions: unknown(),
            writes: unknown(),
        }
    }
}

/// Looks at everything; `now` is the server's time.
pub async fn look(pool: &Pool, now: impl Fn() -> Timestamp) -> Readiness {
    let silent = || Readiness::without_database(format!("did not answer within {} s", CHECK_LIMIT.as_secs()));
    let client = match timeout(CHECK_LIMIT, crate::pool::get(pool)).await {
        Ok(Ok(client)) => client,
        Ok(Err(error)) => return Readiness::without_database(error.to_string()),
        Err(_) => return silent(),
    };
    client.allow_for_look(CHECK_LIMIT);
    match look_with(&client, now).await {
        Ok(readiness) => readiness,
        Err(_) if client.is_closed() => silent(),
        Err(error) => Readiness::without_database(error.to_string()),
    }
}

async fn look_with(client: &Client, now: impl Fn() -> Timestamp) -> Result<Readiness, Error> {
    let schema = match migrate::check(client).await {
        Ok(()) => OK.to_owned(),
        Err(migrate::MigrateError::Database(error)) => return Err(error),
        Err(error) => {
            return Ok(Readiness { schema: error.to_string(), ..Readiness::without_database(OK) });
        }
    };
    let before = now();
    let database_time = gauges::database_time(client).await?;
    // The answer took its time, which says nothing of the clocks.
    let nearest = database_time.clamp(before, now().max(before));
    let offset_s = nearest.duration_since(database_time).as_secs_f64();
    let clock = if offset_s.abs() <= CLOCK_OFFSET_S_MAX {
        OK.to_owned()
    } else {
        format!("{offset_s:+.1} s off the database's; set the clock of one of them")
    };
    let missing = missing_partitions(client, now()).await?;
    let partitions = if missing.is_empty() {
        OK.to_owned()
    } else {
        format!("missing: {}; run `app migrate`", missing.join(", "))
    };
    let writes = match write(client).await {
        Ok(()) => OK.to_owned(),
        Err(_) if client.is_closed() => return Err(closed()),
        Err(error) => format!("a write failed: {error}"),
    };
    Ok(Readiness { database: OK.to_owned(), schema, clock, partitions, writes })
}

fn closed() -> Error {
    Error::Unavailable(std::sync::Arc::new(std::io::Error::from(std::io::ErrorKind::TimedOut)))
}

pub(crate) const MISSING_PARTITIONS: &str =
    "select name from unnest($1::text[]) as wanted(name) where to_regclass(name) is null";

/// Of this week.
async fn missing_partitions(client: &Client, now: Timestamp) -> Result<Vec<String>, Error> {
    let statement = client.prepare_cached(MISSING_PARTITIONS).await?;
    let names = partitions::names_at(now);
    Ok(client.query(&statement, &[&names]).await?.iter().map(|row| row.get(0)).collect())
}

pub(crate) const HAS_TABLE: &str = "select to_regclass('pg_temp.app_readiness') is not null";
const INSERT: &str = "insert into pg_temp.app_readiness values (1);";

/// A committed write. The row goes to a table of this session alone, whose file grows and is cut again each time: a full
/// disk shows, and nothing is left behind. The message makes the commit wait for what every commit waits for.
async fn write(client: &Client) -> Result<(), Error> {
    let statement = client.prepare_cached(HAS_TABLE).await?;
    let exists: bool = client.query_one(&statement, &[]).await?.get(0);
    let has_table = exists || create_table(client).await?;
    let insert = if has_table { INSERT } else { "" };
    let sql = format!("begin; {insert} select pg_logical_emit_message(true, 'app', ''); commit");
    if let Err(error) = client.batch_execute(&sql).await {
        let error = Error::from(error);
        let _ = client.batch_execute("rollback").await;
        return Err(error);
    }
    Ok(())
}

/// Whether this role may have temporary tables.
async fn create_table(client: &Client) -> Result<bool, Error> {
    let sql = "create temporary table app_readiness (x integer) on commit delete rows";
    match client.batch_execute(sql).await {
        Ok(()) => Ok(true),
        Err(error) if error.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
