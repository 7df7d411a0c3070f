//! Webhooks that could not be verified or understood, and receipts that match no message yet: kept as they came,
//! bounded by rows and bytes, so that a flood of forgeries costs a fixed amount of disk.

use std::str::FromStr;

use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

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
    /// For an unmatched receipt, the key of the provider's id.
    pub key_hash: Option<[u8; 32]>,
}

/// Bounds per reason; the oldest go first.
const ROWS_MAX: i64 = 10_000;
const BYTES_MAX: i64 = 256 << 20;
/// An unmatched receipt is tried again for so long.
const UNMATCHED_HOURS: f64 = 72.0;

/// Keeps one.
///
/// # Errors
/// As the database gives them.
pub async fn keep(client: &Client, delivery: &Delivery) -> Result<(), Error> {
    let statement = client
        .prepare_cached(
            "insert into webhook_deliveries (id, provider_id, reason, detail, method, target, headers, body, key_hash)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .await?;
    let key_hash = delivery.key_hash.as_ref().map(<[u8; 32]>::as_slice);
    client
        .execute(
            &statement,
            &[
                &delivery.id,
                &delivery.provider_id,
                &delivery.reason.as_str(),
                &delivery.detail,
                &delivery.method,
                &delivery.target,
                &Json(&delivery.headers),
                &delivery.body,
                &key_hash,
            ],
        )
        .await?;
    Ok(())
}

/// Removes the oldest above the bounds, and unmatched receipts past their time.
///
/// # Errors
/// As the database gives them.
pub async fn trim(client: &Client) -> Result<u64, Error> {
    let sql = "
        with ranked as (
            select id, row_number() over newest as rank, sum(octet_length(body)) over newest as bytes
            from webhook_deliveries window newest as (partition by reason order by id desc)
        )
        delete from webhook_deliveries d using ranked r
        where d.id = r.id and (r.rank > $1 or r.bytes > $2
            or (d.reason = 'unmatched' and d.received_at < now() - $3 * interval '1 hour'))";
    Ok(client.execute(sql, &[&ROWS_MAX, &BYTES_MAX, &UNMATCHED_HOURS]).await?)
}

/// One that is kept, as a list shows it.
#[derive(Clone, Debug)]
pub struct Kept {
    pub id: Uuid,
    pub provider_id: String,
    pub reason: Reason,
    pub detail: String,
    pub method: String,
    pub target: String,
    pub body_bytes: i32,
    pub received_at: Timestamp,
}

const KEPT_COLUMNS: &str =
    "id, provider_id, reason, detail, method, target, octet_length(body) as body_bytes, received_at";

fn kept(row: &Row) -> Result<Kept, Error> {
    Ok(Kept {
        id: row.get("id"),
        provider_id: row.get("provider_id"),
        reason: row.get::<_, &str>("reason").parse()?,
        detail: row.get("detail"),
        method: row.get("method"),
        target: row.get("target"),
        body_bytes: row.get("body_bytes"),
        received_at: row.get("received_at"),
    })
}

/// What is kept, older than `before`, the newest first.
///
/// # Errors
/// As the database gives them.
pub async fn list(
    client: &Client,
    reason: Option<Reason>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Kept>, Error> {
    let statement = client
        .prepare_cached(&format!(
            "select {KEPT_COLUMNS} from webhook_deliveries
             where id < $1 and ($2::text is null or reason = $2) order by id desc limit $3"
        ))
        .await?;
    let before = before.unwrap_or(Uuid::max());
    client
        .query(&statement, &[&before, &reason.map(Reason::as_str), &limit])
        .await?
        .iter()
        .map(kept)
        .collect()
}

/// One of them, whole, with when it came.
///
/// # Errors
/// As the database gives them.
pub async fn find(client: &Client, id: Uuid) -> Result<Option<(Delivery, Timestamp)>, Error> {
    let statement = client
        .prepare_cached(
            "select provider_id, reason, detail, method, target, headers, body, key_hash, received_at
             from webhook_deliveries where id = $1",
        )
        .await?;
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
        key_hash: row.get::<_, Option<&[u8]>>(7).and_then(|hash| hash.try_into().ok()),
    };
    Ok(Some((delivery, row.get(8))))
}

/// Forgets one, because it was taken in after all or is of no use. Whether it was there.
///
/// # Errors
/// As the database gives them.
pub async fn remove(client: &Client, id: Uuid) -> Result<bool, Error> {
    let statement = client.prepare_cached("delete from webhook_deliveries where id = $1").await?;
    Ok(client.execute(&statement, &[&id]).await? > 0)
}

/// How many are kept, by reason.
///
/// # Errors
/// As the database gives them.
pub async fn counts(client: &Client) -> Result<Vec<(Reason, i64)>, Error> {
    let statement = client
        .prepare_cached("select reason, count(*) from webhook_deliveries group by reason order by reason")
        .await?;
    let count = |row: &Row| Ok((row.get::<_, &str>(0).parse()?, row.get(1)));
    client.query(&statement, &[]).await?.iter().map(count).collect()
}
