//! API keys: `app_` and 43 characters, the last six a checksum, so that a mistyped or truncated key is told from a
//! revoked one without a look-up, and secret scanners can be sure. Shown once; only SHA-256 of it is stored (a
//! random key of 220 bits needs no slow hash).

mod role;

use jiff::Timestamp;
use model::{Bucket, IdGenerator};
use sha2::{Digest, Sha256};
use tokio_postgres::Row;
use uuid::Uuid;

pub use self::role::{Role, UnknownRole};
use crate::pool::GenericClient;
use crate::{Client, Error, Transaction};

/// A stored key, without its secret.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ApiKey {
    pub id: Uuid,
    pub name: String,
    /// The key's first characters.
    pub prefix: String,
    pub role: Role,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    /// About when, to the minute or two; none where no server has noted a use yet.
    pub last_used_at: Option<Timestamp>,
}

const PREFIX: &str = "app_";
const SECRET_CHARS: usize = 37;
const CHECKSUM_CHARS: usize = 6;
const SHOWN_CHARS: usize = 10;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Why a text is no key of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key is mistyped or truncated: it begins with app_ and has {} characters", PREFIX.len() + SECRET_CHARS + CHECKSUM_CHARS)]
pub struct Malformed;

/// The stored form of a key, if its checksum is right.
///
/// # Errors
/// [`Malformed`] without a look-up.
pub fn hash(key: &str) -> Result<[u8; 32], Malformed> {
    let rest = key.strip_prefix(PREFIX).filter(|rest| rest.is_ascii()).ok_or(Malformed)?;
    if rest.len() != SECRET_CHARS + CHECKSUM_CHARS {
        return Err(Malformed);
    }
    let (secret, given) = rest.split_at(SECRET_CHARS);
    if checksum(secret) == given { Ok(Sha256::digest(key).into()) } else { Err(Malformed) }
}

fn checksum(secret: &str) -> String {
    let digest: [u8; 32] = Sha256::digest(format!("{PREFIX}{secret}")).into();
    digest.iter().take(CHECKSUM_CHARS).map(|byte| char::from(ALPHABET[usize::from(*byte) % 62])).collect()
}

/// Makes a key from randomness of the operating system's; it is never shown again. 62 does not divide 256: bytes above 247
/// are skipped, so that every character is as likely.
fn generate(random: &mut dyn FnMut() -> u8) -> String {
    let mut secret = String::with_capacity(SECRET_CHARS);
    while secret.len() < SECRET_CHARS {
        let byte = random();
        if byte < 248 {
            secret.push(char::from(ALPHABET[usize::from(byte) % 62]));
        }
    }
    of_secret(&secret)
}

/// The key of these random characters.
#[doc(hidden)]
pub fn of_secret(secret: &str) -> String {
    format!("{PREFIX}{secret}{}", checksum(secret))
}

/// One that requests may come with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidKey {
    pub hash: [u8; 32],
    pub id: Uuid,
    pub role: Role,
}

/// An id for a key that is yet to be made.
pub fn new_id(ids: &IdGenerator, now: Timestamp) -> Uuid {
    // The table is small and never spread: its ids rather say the order.
    ids.next(now, Bucket(0))
}

/// Stores a new key and returns it with its row.
///
/// # Errors
/// As the database gives them.
pub async fn create(
    client: &impl GenericClient,
    ids: &IdGenerator,
    now: Timestamp,
    name: &str,
    role: Role,
    random: &mut (dyn FnMut() -> u8 + Send),
) -> Result<(String, ApiKey), Error> {
    loop {
        if let Some(made) = create_once(client, new_id(ids, now), name, role, random).await? {
            return Ok(made);
        }
    }
}

pub(crate) const CREATE: &str =
    "insert into api_keys (id, name, prefix, key_hash, role) values ($1, $2, $3, $4, $5)
             on conflict (id) do nothing
             returning id, name, prefix, role, created_at, revoked_at, last_used_at";

/// As [`create`], under an id that may be tried twice: nothing where it is taken.
///
/// # Errors
/// As the database gives them.
pub async fn create_once(
    client: &impl GenericClient,
    id: Uuid,
    name: &str,
    role: Role,
    random: &mut (dyn FnMut() -> u8 + Send),
) -> Result<Option<(String, ApiKey)>, Error> {
    let key = generate(random);
    let key_hash: [u8; 32] = Sha256::digest(&key).into();
    let row = client
        .query_opt(CREATE, &[&id, &name, &&key[..SHOWN_CHARS], &key_hash.as_slice(), &role.as_str()])
        .await?;
    row.map(|row| Ok((key, from_row(&row)?))).transpose()
}

pub(crate) const LIST: &str =
    "select id, name, prefix, role, created_at, revoked_at, last_used_at from api_keys order by id desc";

/// All keys, the newest first.
///
/// # Errors
/// As the database gives them.
pub async fn list(client: &Client) -> Result<Vec<ApiKey>, Error> {
    client.query(LIST, &[]).await?.iter().map(from_row).collect()
}

pub(crate) const REVOKE: &str = "with ended as (delete from console_sessions where api_key_id = $1)
    update api_keys set revoked_at = now() where id = $1 and revoked_at is null";

/// Ends its sessions with it. Whether there was such a key that was not revoked yet.
///
/// # Errors
/// As the database gives them.
pub async fn revoke(client: &impl GenericClient, id: Uuid) -> Result<bool, Error> {
    Ok(client.execute(REVOKE, &[&id]).await? > 0)
}

/// What became of a wish to revoke a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    Revoked,
    /// There is no such key, or it was revoked before.
    NoSuchKey,
    /// No operator's key would be left: it stays valid.
    WouldLeaveNoOperator,
}

/// As [`revoke`], but only where an operator's key is left.
///
/// # Errors
/// As the database gives them.
pub async fn revoke_unless_last(client: &mut Client, id: Uuid) -> Result<Revocation, Error> {
    let transaction = client.transaction().await?;
    let outcome = revoke_unless_last_within(&transaction, id).await?;
    if outcome == Revocation::Revoked {
        transaction.commit().await?;
    } else {
        transaction.rollback().await?;
    }
    Ok(outcome)
}

pub(crate) const LOCK_OPERATORS: &str =
    "select id from api_keys where role = 'operator' and revoked_at is null order by id for no key update";

/// As [`revoke_unless_last`], in a transaction of the caller's, which must roll it back unless the key is revoked.
///
/// # Errors
/// As the database gives them.
pub async fn revoke_unless_last_within(transaction: &Transaction<'_>, id: Uuid) -> Result<Revocation, Error> {
    // Two concurrent revocations wait for each other here; the second no longer finds the key that the first revoked.
    // The order keeps the two from waiting for each other.
    let operators = transaction.query(LOCK_OPERATORS, &[]).await?;
    let is_left = operators.iter().any(|row| row.get::<_, Uuid>(0) != id);
    Ok(match revoke(transaction, id).await? {
        false => Revocation::NoSuchKey,
        true if is_left => Revocation::Revoked,
        true => Revocation::WouldLeaveNoOperator,
    })
}

pub(crate) const VALID: &str = "select key_hash, id, role from api_keys where revoked_at is null";

/// The keys that are valid. A server keeps them in memory and reads them again now and then.
///
/// # Errors
/// As the database gives them.
pub async fn valid(client: &Client) -> Result<Vec<ValidKey>, Error> {
    let rows = client.query(VALID, &[]).await?;
    rows.iter()
        .map(|row| {
            let hash = row.get::<_, &[u8]>(0).try_into();
            let hash = hash.map_err(|_| Error::Unreadable("the hash of an API key".to_owned()))?;
            Ok(ValidKey { hash, id: row.get(1), role: role_of(row, 2)? })
        })
        .collect()
}

pub(crate) const WAS_ANY_MADE: &str = "select exists (select 1 from api_keys)";

/// Whether a key was ever made here, revoked ones included.
///
/// # Errors
/// As the database gives them.
pub async fn was_any_made(client: &Client) -> Result<bool, Error> {
    Ok(client.query_one(WAS_ANY_MADE, &[]).await?.get(0))
}

pub(crate) const NOTE_USE: &str = "with due as (
                   select id from api_keys
                   where id = any($1) and (last_used_at is null or last_used_at < now() - interval '1 minute')
                   for no key update skip locked)
               update api_keys set last_used_at = now() from due where api_keys.id = due.id";

/// Notes that these keys were used just now, each at most once a minute, whichever servers say so.
///
/// # Errors
/// As the database gives them.
pub async fn note_use(client: &Client, ids: &[Uuid]) -> Result<u64, Error> {
    // Who holds a row notes the same, or revokes the key.
    Ok(client.execute(NOTE_USE, &[&ids]).await?)
}

fn role_of(row: &Row, column: usize) -> Result<Role, Error> {
    let word: &str = row.get(column);
    word.parse().map_err(|unknown: UnknownRole| Error::Unreadable(unknown.to_string()))
}

fn from_row(row: &Row) -> Result<ApiKey, Error> {
    Ok(ApiKey {
        id: row.get(0),
        name: row.get(1),
        prefix: row.get(2),
        role: role_of(row, 3)?,
        created_at: row.get(4),
        revoked_at: row.get(5),
        last_used_at: row.get(6),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> String {
        let mut state = 0_u8;
        generate(&mut || {
            state = state.wrapping_mul(73).wrapping_add(41);
            state
        })
    }

    #[test]
    fn a_key_has_its_form_and_its_checksum_is_checked() {
        let key = key();
        assert_eq!(key.len(), 47);
        assert!(hash(&key).is_ok());
        for position in 0..key.len() {
            let mut mistyped: Vec<u8> = key.clone().into_bytes();
            mistyped[position] = if mistyped[position] == b'x' { b'y' } else { b'x' };
            assert_eq!(hash(std::str::from_utf8(&mistyped).unwrap()), Err(Malformed), "{position}");
        }
        assert_eq!(hash(&key[..46]), Err(Malformed));
        assert_eq!(hash(""), Err(Malformed));
    }
}
