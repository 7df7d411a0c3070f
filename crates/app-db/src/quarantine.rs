//! Webhooks that could not be verified or understood, and receipts that match no message yet: kept as they came,
//! bounded by rows and bytes, so that a flood of forgeries costs a fixed amount of disk.

use serde_json::Value;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::{Client, Error};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Unverified,
    Unparsable,
    Unmatched,
}

impl Reason {
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
