//! The rows of the messages that a group of receipts names, each locked.

use std::collections::{BTreeMap, HashMap};

use model::{Bucket, Delivery, StatusPayload};
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::applying::Row;
use crate::Error;

pub(crate) const LOCK_OUTBOX: &str =
    "select o.* from unnest($1::uuid[], $2::smallint[]) as k(id, bucket) cross join lateral (
                 select message_id, case when not reconciling then leased_provider end, attempt, lease_no,
                     accepted_by, refused_by
                 from outbox
                 where message_id = k.id and bucket = k.bucket for update
             ) as o";

pub(crate) const LOCK_MESSAGES: &str =
    "select m.* from unnest($1::uuid[], $2::smallint[]) as k(id, bucket) cross join lateral (
                 select id, status_tag, delivery_tag, attempt, lease_no, provider_id, provider_message_id,
                     status_payload from messages
                 where id = k.id and bucket = k.bucket and inbound_or_outbound = 'outbound' for no key update
             ) as m";

/// Locks outbox rows, then messages, each in the order of ids, and reads both.
pub(super) async fn lock(
    transaction: &deadpool_postgres::Transaction<'_>,
    wanted: impl Iterator<Item = Uuid>,
) -> Result<BTreeMap<Uuid, Row>, Error> {
    let mut ids: Vec<Uuid> = wanted.collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let buckets: Vec<i16> = ids.iter().map(|&id| Bucket::of(id).as_i16()).collect();
    let statement = transaction.prepare_cached(LOCK_OUTBOX).await?;
    let rows = transaction.query(&statement, &[&ids, &buckets]).await?;
    let mut outbox: HashMap<Uuid, Waiting> =
        rows.iter().map(|row| (row.get(0), Waiting::from_row(row))).collect();
    let statement = transaction.prepare_cached(LOCK_MESSAGES).await?;
    let rows = transaction.query(&statement, &[&ids, &buckets]).await?;
    rows.iter()
        .map(|row| {
            let id: Uuid = row.get(0);
            let waiting = outbox.remove(&id);
            let is_waiting = waiting.is_some();
            let Waiting { leased_provider, attempt, lease_no, accepted_by, refused_by } =
                waiting.unwrap_or_else(|| Waiting::none(row.get(3), row.get(4)));
            let delivery: Delivery = row.get::<_, &str>(2).parse()?;
            let counted = u32::try_from(attempt).unwrap_or(0);
            let leased = leased_provider.is_some();
            Ok((
                id,
                Row {
                    status: row.get::<_, &str>(1).parse()?,
                    delivery,
                    attempt: counted + u32::from(leased),
                    lease_no,
                    unanswered: leased || delivery == Delivery::Unknown,
                    leased_provider,
                    provider_id: row.get(5),
                    provider_message_id: row.get(6),
                    payload: row.get::<_, Option<Json<StatusPayload>>>(7).map(|json| json.0),
                    confirming: is_waiting && accepted_by.is_some(),
                    accepted_by: accepted_by.unwrap_or_default(),
                    refused_by: refused_by.unwrap_or_default(),
                    step: None,
                },
            ))
        })
        .collect()
}

/// What the outbox row of a message says.
struct Waiting {
    leased_provider: Option<String>,
    attempt: i32,
    lease_no: i32,
    accepted_by: Option<Vec<String>>,
    refused_by: Option<Vec<String>>,
}

impl Waiting {
    fn from_row(row: &tokio_postgres::Row) -> Self {
        Self {
            leased_provider: row.get(1),
            attempt: row.get(2),
            lease_no: row.get(3),
            accepted_by: row.get(4),
            refused_by: row.get(5),
        }
    }

    /// Of a message that has no row: what the message says.
    fn none(attempt: i32, lease_no: i32) -> Self {
        Self { leased_provider: None, attempt, lease_no, accepted_by: None, refused_by: None }
    }
}
