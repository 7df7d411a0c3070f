//! Sessions of the console. Only the SHA-256 of a session's token is stored, so that a copy of the table opens none.

use std::time::Duration;

use uuid::Uuid;

use crate::pool::GenericClient;
use crate::{Client, Error};

/// A working day. The database's clock counts it.
pub const LASTS: Duration = Duration::from_secs(12 * 3600);

/// The hash of a session's token.
pub type TokenHash = [u8; 32];

/// A session that is valid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Session {
    pub api_key_id: Uuid,
    /// How long it is still valid.
    pub remaining: Duration,
}

pub(crate) const DELETE_EXPIRED: &str = "delete from console_sessions where expires_at <= now()";

pub(crate) const OPEN: &str = "insert into console_sessions (token_hash, api_key_id, expires_at)
             select $1, id, now() + $3::double precision * interval '1 second' from api_keys
             where id = $2 and revoked_at is null and role = 'operator'";

/// Opens a session for a valid operator's key, and removes those that have expired. Whether it is open.
///
/// # Errors
/// As the database gives them.
pub async fn open(
    client: &impl GenericClient,
    token_hash: &TokenHash,
    api_key_id: Uuid,
) -> Result<bool, Error> {
    client.execute(DELETE_EXPIRED, &[]).await?;
    let opened = client.execute(OPEN, &[&token_hash.as_slice(), &api_key_id, &LASTS.as_secs_f64()]).await?;
    Ok(opened > 0)
}

pub(crate) const FIND: &str =
    "select api_key_id, extract(epoch from expires_at - now())::double precision from console_sessions
             where token_hash = $1 and expires_at > now()";

/// The session of this token, if it is valid.
///
/// # Errors
/// As the database gives them.
pub async fn find(client: &Client, token_hash: &TokenHash) -> Result<Option<Session>, Error> {
    let statement = client.prepare_cached(FIND).await?;
    let row = client.query_opt(&statement, &[&token_hash.as_slice()]).await?;
    Ok(row.map(|row| {
        let remaining = Duration::try_from_secs_f64(row.get(1)).unwrap_or_default();
        Session { api_key_id: row.get(0), remaining }
    }))
}

pub(crate) const VALID: &str =
    "select token_hash from console_sessions where token_hash = any($1) and expires_at > now()";

/// Those of these that are valid.
///
/// # Errors
/// As the database gives them.
pub async fn valid_of(client: &Client, token_hashes: &[TokenHash]) -> Result<Vec<TokenHash>, Error> {
    let statement = client.prepare_cached(VALID).await?;
    let hashes: Vec<&[u8]> = token_hashes.iter().map(<[u8; 32]>::as_slice).collect();
    let rows = client.query(&statement, &[&hashes]).await?;
    Ok(rows.iter().filter_map(|row| row.get::<_, &[u8]>(0).try_into().ok()).collect())
}

pub(crate) const END: &str = "delete from console_sessions where token_hash = $1";

/// Ends a session. Whether it was open.
///
/// # Errors
/// As the database gives them.
pub async fn end(client: &impl GenericClient, token_hash: &TokenHash) -> Result<bool, Error> {
    Ok(client.execute(END, &[&token_hash.as_slice()]).await? > 0)
}
