//! Webhooks that could not be verified or understood, and receipts that match no message yet: kept as they came,
//! bounded by rows and bytes for each provider and reason, so that a flood of forgeries costs a fixed amount of disk and
//! removes nothing of another provider, nothing that was verified, and nothing within another peer's share.

pub(crate) mod rejected;

use std::str::FromStr;

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

pub use self::rejected::keep_rejected;
use crate::pool::GenericClient;
use crate::pool::LONG_LIMIT;
use crate::{Client, Error};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Unverified,
    Unparsable,
    Unmatched,
}

impl FromStr for Reason {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|reason| reason.as_str() == text);
        known.ok_or_else(|| Error::Unreadable(format!("`{text}` is no reason why a webhook is kept")))
    }
}

impl Reason {
    pub const ALL: [Self; 3] = [Self::Unverified, Self::Unparsable, Self::Unmatched];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unverified => "unverified",
            Self::Unparsable => "unparsable",
            Self::Unmatched => "unmatched",
        }
    }
}

/// A webhook as it arrived.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub id: Uuid,
    pub provider_id: String,
    pub reason: Reason,
    /// What is wrong with it.
    pub detail: String,
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Names and values, without credentials.
    pub headers: Value,
    pub body: Vec<u8>,
    /// Whether the body is only its beginning.
    pub is_cut: bool,
    /// For an unmatched receipt, the key of the provider's id.
    pub key_hash: Option<[u8; 32]>,
}

/// Bounds for each provider and reason. The peers share them: of the peer with the most rows, the oldest go first.
const ROWS_MAX: i64 = 5_000;
const BYTES_MAX: i64 = 64 << 20;
/// An unmatched receipt is tried again for so long.
const UNMATCHED_HOURS: f64 = 72.0;

pub(crate) const TRIM: &str = "
        with by_peer as (
            select id, provider_id, reason, octet_length(body) as bytes,
                row_number() over (partition by provider_id, reason, peer order by id desc) as rank
            from webhook_deliveries
        ), ranked as (
            select id, row_number() over fair as rank, sum(bytes) over fair as bytes
            from by_peer window fair as (partition by provider_id, reason order by rank, id desc)
        )
        delete from webhook_deliveries d using ranked r
        where d.id = r.id and (r.rank > $1 or r.bytes > $2
            or (d.reason = 'unmatched' and d.received_at < now() - $3 * interval '1 hour'))";

/// Removes what is above the bounds, and unmatched receipts past their time.
///
/// # Errors
/// As the database gives them.
pub async fn trim(client: &Client) -> Result<u64, Error> {
    client.allow(LONG_LIMIT);
    Ok(client.execute(TRIM, &[&ROWS_MAX, &BYTES_MAX, &UNMATCHED_HOURS]).await?)
}

/// Which of those that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Which {
    pub reason: Option<Reason>,
    pub provider_id: Option<String>,
    /// What came later is not meant.
    pub up_to: Option<Uuid>,
}

impl Which {
    /// [`WHICH`] as arguments.
    fn arguments(&self) -> (Option<&str>, Option<&str>, Uuid) {
        (self.reason.map(Reason::as_str), self.provider_id.as_deref(), self.up_to.unwrap_or(Uuid::max()))
    }
}

const WHICH: &str =
    "($1::text is null or reason = $1) and ($2::text is null or provider_id = $2) and id <= $3";

/// One that is kept, as a list shows it.
#[derive(Clone, Debug)]
pub struct Kept {
    pub id: Uuid,
    pub provider_id: String,
    pub reason: Reason,
    pub detail: String,
    pub body_bytes: i32,
    pub is_cut: bool,
    pub reception: Reception,
}

/// When, how often and from where one was delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reception {
    pub received_at: Timestamp,
    /// Of the last delivery of the same.
    pub last_received_at: Timestamp,
    pub deliveries: i64,
    /// The address that delivered it first. Absent: it is an unmatched receipt, or an older server kept it.
    pub peer: Option<String>,
}

const RECEPTION: &str =
    "received_at, coalesce(last_received_at, received_at) as last_received_at, deliveries, peer";

fn reception(row: &Row) -> Reception {
    Reception {
        received_at: row.get("received_at"),
        last_received_at: row.get("last_received_at"),
        deliveries: row.get("deliveries"),
        peer: row.get("peer"),
    }
}

fn kept(row: &Row) -> Result<Kept, Error> {
    Ok(Kept {
        id: row.get("id"),
        provider_id: row.get("provider_id"),
        reason: row.get::<_, &str>("reason").parse()?,
        detail: row.get("detail"),
        body_bytes: row.get("body_bytes"),
        is_cut: row.get("is_cut"),
        reception: reception(row),
    })
}

/// Servers of an older version cut at so many bytes and do not say so.
const IS_CUT: &str = "(is_cut or reason = 'unverified' and octet_length(body) >= 262144)";

pub(crate) fn list_sql() -> String {
    format!(
        "select id, provider_id, reason, detail, octet_length(body) as body_bytes, {IS_CUT} as is_cut, {RECEPTION}
         from webhook_deliveries where {WHICH} and id < $4 order by id desc limit $5"
    )
}

pub(crate) fn ids_sql() -> String {
    format!("select id from webhook_deliveries where {WHICH} and id > $4 order by id limit $5")
}

pub(crate) fn count_sql() -> String {
    format!("select count(*), (array_agg(id order by id desc))[1] from webhook_deliveries where {WHICH}")
}

pub(crate) fn find_sql() -> String {
    format!(
        "select provider_id, reason, detail, method, target, headers, body, {IS_CUT} as is_cut, key_hash, {RECEPTION}
         from webhook_deliveries where id = $1"
    )
}

pub(crate) fn remove_all_sql() -> String {
    format!("delete from webhook_deliveries where {WHICH}")
}

/// What is kept, older than `before`, the newest first.
///
/// # Errors
/// As the database gives them.
pub async fn list(
    client: &Client,
    which: &Which,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Kept>, Error> {
    let statement = client.prepare_cached(&list_sql()).await?;
    let (reason, provider_id, up_to) = which.arguments();
    let before = before.unwrap_or(Uuid::max());
    client
        .query(&statement, &[&reason, &provider_id, &up_to, &before, &limit])
        .await?
        .iter()
        .map(kept)
        .collect()
}

/// The ids of those that came after `after`, the oldest first: the order in which they are to be processed.
///
/// # Errors
/// As the database gives them.
pub async fn ids(client: &Client, which: &Which, after: Uuid, limit: i64) -> Result<Vec<Uuid>, Error> {
    let statement = client.prepare_cached(&ids_sql()).await?;
    let (reason, provider_id, up_to) = which.arguments();
    let rows = client.query(&statement, &[&reason, &provider_id, &up_to, &after, &limit]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How many they are, and the newest of them.
///
/// # Errors
/// As the database gives them.
pub async fn count(client: &Client, which: &Which) -> Result<(i64, Option<Uuid>), Error> {
    let statement = client.prepare_cached(&count_sql()).await?;
    let (reason, provider_id, up_to) = which.arguments();
    let row = client.query_one(&statement, &[&reason, &provider_id, &up_to]).await?;
    Ok((row.get(0), row.get(1)))
}

/// One of them, whole.
///
/// # Errors
/// As the database gives them.
pub async fn find(client: &Client, id: Uuid) -> Result<Option<(Delivery, Reception)>, Error> {
    let statement = client.prepare_cached(&find_sql()).await?;
    let Some(row) = client.query_opt(&statement, &[&id]).await? else { return Ok(None) };
    let delivery = Delivery {
        id,
        provider_id: row.get(0),
        reason: row.get::<_, &str>(1).parse()?,
        detail: row.get(2),
        method: row.get(3),
        target: row.get(4),
        headers: row.get::<_, Json<Value>>(5).0,
        body: row.get(6),
        is_cut: row.get(7),
        key_hash: row.get::<_, Option<&[u8]>>(8).and_then(|hash| hash.try_into().ok()),
    };
    Ok(Some((delivery, reception(&row))))
}

pub(crate) const NOTE: &str =
    "update webhook_deliveries set reason = $2, detail = $3, content_hash = null where id = $1";

/// Notes what is wrong with it now. What is delivered later is another row, with its own reason.
///
/// # Errors
/// As the database gives them.
pub async fn note(client: &Client, id: Uuid, reason: Reason, detail: &str) -> Result<(), Error> {
    let statement = client.prepare_cached(NOTE).await?;
    client.execute(&statement, &[&id, &reason.as_str(), &detail]).await?;
    Ok(())
}

pub(crate) const REMOVE: &str = "delete from webhook_deliveries where id = $1";

/// Forgets one, because it was taken in after all or is of no use. Whether it was there.
///
/// # Errors
/// As the database gives them.
pub async fn remove(client: &impl GenericClient, id: Uuid) -> Result<bool, Error> {
    let statement = client.prepare_cached(REMOVE).await?;
    Ok(client.execute(&statement, &[&id]).await? > 0)
}

/// Forgets them. How many they were.
///
/// # Errors
/// As the database gives them.
pub async fn remove_all(client: &impl GenericClient, which: &Which) -> Result<u64, Error> {
    let statement = client.prepare_cached(&remove_all_sql()).await?;
    let (reason, provider_id, up_to) = which.arguments();
    Ok(client.execute(&statement, &[&reason, &provider_id, &up_to]).await?)
}

pub(crate) const COUNTS: &str =
    "select reason, provider_id, count(*) from webhook_deliveries group by 1, 2 order by 1, 2";

/// How many are kept, by reason and provider.
///
/// # Errors
/// As the database gives them.
pub async fn counts(client: &Client) -> Result<Vec<(Reason, String, i64)>, Error> {
    let statement = client.prepare_cached(COUNTS).await?;
    let count = |row: &Row| Ok((row.get::<_, &str>(0).parse()?, row.get(1), row.get(2)));
    client.query(&statement, &[]).await?.iter().map(count).collect()
}
