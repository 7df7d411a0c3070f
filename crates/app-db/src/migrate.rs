//! The schema's version: brings it up to date, and refuses to work on another.

use tokio_postgres::error::SqlState;

use crate::pool::{Connection, NO_LIMIT};
use crate::{Client, Error, partitions};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Hint only: keeps two `app migrate` from running into each other.
const ADVISORY_LOCK: i64 = 0x6170_7064_6200_0001;

/// Why the schema cannot be used, or not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error(
        "the database's schema is at version {found}, this version of app needs {needed}: run `app migrate`"
    )]
    Older { found: u32, needed: u32 },
    #[error(
        "the database's schema is at version {found}, newer than the {known} that this version of app knows: \
         start the version that migrated it, or a newer one"
    )]
    Newer { found: u32, known: u32 },
    #[error("a migration failed: {0}")]
    Failed(#[from] refinery::Error),
    #[error(transparent)]
    Database(#[from] Error),
    #[error("PostgreSQL {0} is too old: 15 is the oldest supported")]
    ServerTooOld(String),
}

impl From<tokio_postgres::Error> for MigrateError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error.into())
    }
}

pub(crate) const SERVER_VERSION: &str = "select current_setting('server_version_num')";

pub(crate) fn lock_sql() -> String {
    format!("select pg_advisory_xact_lock({ADVISORY_LOCK})")
}

/// The version that this binary was made for.
pub fn newest_version() -> u32 {
    let migrations = embedded::migrations::runner();
    migrations.get_migrations().iter().map(|m| u32::try_from(m.version()).unwrap_or(0)).max().unwrap_or(0)
}

/// Brings the schema up to date and makes the partitions that are needed next. Returns the names of what it
/// applied; running it again applies nothing.
///
/// # Errors
/// [`MigrateError::Newer`] before anything is touched; a failed migration leaves the ones before it.
pub async fn run(client: &mut Client) -> Result<Vec<String>, MigrateError> {
    let version: String = client.query_one(SERVER_VERSION, &[]).await?.get(0);
    if version.parse::<u32>().unwrap_or(0) < 150_000 {
        return Err(MigrateError::ServerTooOld(version));
    }
    let lock = lock(client).await?;
    // The server's own limits hold for each statement.
    client.allow(NO_LIMIT);
    client.batch_execute("set lock_timeout = '20s'").await?;
    let applied = apply(client).await;
    client.reset_settings().await?;
    drop(lock);
    applied
}

/// Held by the transaction of a session of its own: nothing is left behind, however this ends.
async fn lock(client: &Client) -> Result<Connection, Error> {
    let session = client.another().await?;
    session.allow(NO_LIMIT);
    let begin =
        "set statement_timeout = 0; set lock_timeout = 0; set idle_in_transaction_session_timeout = 0; begin";
    session.batch_execute(begin).await?;
    session.batch_execute(&lock_sql()).await?;
    Ok(session)
}

async fn apply(client: &mut Client) -> Result<Vec<String>, MigrateError> {
    if found_version(client).await? > newest_version() {
        // Refused, or good for this binary as it is: nothing is to be applied.
        check(client).await?;
        partitions::ensure_ahead(client).await?;
        return Ok(Vec::new());
    }
    let runner = embedded::migrations::runner();
    let report = runner.run_async(&mut ****client).await?;
    partitions::ensure_ahead(client).await?;
    Ok(report.applied_migrations().iter().map(ToString::to_string).collect())
}

pub(crate) const VERSION: &str = "select max(version) from refinery_schema_history";

/// Whether this binary can work on the schema as it is: of its own version, or of a newer one that names this binary's
/// version, or an older one, as good enough. So servers go on while a newer `app` migrates.
///
/// # Errors
/// [`MigrateError::Older`] or [`MigrateError::Newer`].
pub async fn check(client: &Client) -> Result<(), MigrateError> {
    let known = newest_version();
    match found_version(client).await? {
        found if found < known => Err(MigrateError::Older { found, needed: known }),
        found if found > known && oldest_binary(client).await? > known => {
            Err(MigrateError::Newer { found, known })
        }
        _ => Ok(()),
    }
}

/// 0: no schema.
async fn found_version(client: &Client) -> Result<u32, Error> {
    match client.query_one(VERSION, &[]).await {
        Ok(row) => {
            Ok(row.get::<_, Option<i32>>(0).and_then(|version| u32::try_from(version).ok()).unwrap_or(0))
        }
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

pub(crate) const OLDEST_BINARY: &str = "select oldest_binary from schema_compat";

/// The oldest binary that the schema is good for, by the newest version that it knows.
async fn oldest_binary(client: &Client) -> Result<u32, Error> {
    let row = client.query_one(OLDEST_BINARY, &[]).await?;
    Ok(u32::try_from(row.get::<_, i32>(0)).unwrap_or(0))
}

/// The server's major version.
///
/// # Errors
/// When it cannot be asked.
pub async fn server_version(client: &Client) -> Result<u32, Error> {
    let number: String = client.query_one(SERVER_VERSION, &[]).await?.get(0);
    Ok(number.parse::<u32>().unwrap_or(0) / 10_000)
}

pub(crate) const SETTINGS: &str = "select name, reset_val from pg_settings where name = any($1)";

/// What this server does not promise although "accepted" needs it: a sentence for each setting that is off.
///
/// # Errors
/// When the settings cannot be read.
pub async fn durability_warnings(client: &Client) -> Result<Vec<String>, Error> {
    let consequences = [
        ("fsync", "a crash of the machine can lose or corrupt everything accepted"),
        ("full_page_writes", "a crash of the machine can corrupt what was accepted"),
        ("synchronous_commit", "other sessions' commits can be lost by a crash; ours ask for it themselves"),
    ];
    let rows = client.query(SETTINGS, &[&consequences.map(|(n, _)| n).to_vec()]).await?;
    let off =
        rows.iter().map(|row| (row.get::<_, String>(0), row.get::<_, String>(1))).filter(|(_, v)| v == "off");
    let consequence = |name: &str| consequences.iter().find(|(n, _)| *n == name).map_or("", |(_, text)| text);
    Ok(off.map(|(name, _)| format!("PostgreSQL runs with {name} = off: {}", consequence(&name))).collect())
}
