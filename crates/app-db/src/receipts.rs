//! Receipts: the provider's later word. Applied in groups, each message locked once; what is locked first is the
//! outbox row, as everywhere. Which receipt changes what is decided in `model::transition`.

use std::collections::{BTreeMap, HashMap};

use model::transition::{Report, Standing, receipt_applies};
use model::{Bucket, Delivery, Status, StatusPayload};
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::group::{self, Surroundings};
use crate::text::storable;
use crate::{Client, Error, Pool};

/// A verified receipt about one of our messages.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct NewReceipt {
    /// Ours, where the receipt brought it back.
    pub message_id: Option<Uuid>,
    pub attempt: Option<u32>,
    pub provider_id: String,
    pub provider_message_id: Option<String>,
    pub delivery: Delivery,
    pub provider_code: Option<String>,
    pub detail: Option<String>,
    /// Of a refusal: whether another try might be delivered.
    pub temporary: bool,
}

/// What became of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It changed the message.
    Changed { message_id: Uuid },
    /// Late, doubled or out of order.
    Stale,
    /// No message of ours is known to be meant.
    Unmatched,
}

/// Applies a group of receipts in its order; the results are in that order too.
pub async fn apply(
    pool: &Pool,
    ids: &model::IdGenerator,
    now: jiff::Timestamp,
    receipts: &[NewReceipt],
) -> Vec<Result<Applied, Error>> {
    let receipts: Vec<NewReceipt> = receipts.iter().map(storable_receipt).collect();
    group::run(&receipts, Surroundings { pool, ids, now }).await
}

struct Row {
    status: Status,
    delivery: Delivery,
    attempt: u32,
    lease_no: i32,
    unanswered: bool,
    provider_id: Option<String>,
    provider_message_id: Option<String>,
    payload: Option<StatusPayload>,
    changed: bool,
}

struct Event {
    message_id: Uuid,
    id: Uuid,
    delivery: Delivery,
    attempt: u32,
    provider_id: String,
    provider_code: Option<String>,
    detail: Option<String>,
}

impl group::Member for NewReceipt {
    type Result = Applied;

    async fn write_together(
        receipts: &[Self],
        surroundings: Surroundings<'_>,
    ) -> Result<Vec<Applied>, Error> {
        let Surroundings { pool, ids, now } = surroundings;
        let mut client: Client = pool.get().await?;
        let transaction = client.transaction().await?;
        let references = find_references(&transaction, receipts).await?;
        let target = |receipt: &NewReceipt| {
            let by_reference = || references.get(&reference_hash(receipt)?).copied();
            receipt.message_id.or_else(by_reference)
        };
        let mut rows = lock(&transaction, receipts.iter().filter_map(target)).await?;
        let mut events = Vec::new();
        let mut results = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            let Some((message_id, row)) = target(receipt).and_then(|id| Some((id, rows.get_mut(&id)?)))
            else {
                results.push(Applied::Unmatched);
                continue;
            };
            if !apply_one(row, receipt) {
                results.push(Applied::Stale);
                continue;
            }
            events.push(Event {
                message_id,
                id: ids.next(now, Bucket::of(message_id)),
                delivery: receipt.delivery,
                attempt: row.attempt,
                provider_id: receipt.provider_id.clone(),
                provider_code: receipt.provider_code.clone(),
                detail: receipt.detail.clone(),
            });
            results.push(Applied::Changed { message_id });
        }
        write(&transaction, &rows).await?;
        write_events(&transaction, &events).await?;
        transaction.commit().await?;
        Ok(results)
    }
}

/// Changes the row in memory; says whether it did.
fn apply_one(row: &mut Row, receipt: &NewReceipt) -> bool {
    let standing = Standing {
        status: row.status,
        delivery: row.delivery,
        attempt: row.attempt,
        unanswered: row.unanswered,
    };
    if !receipt_applies(standing, Report { delivery: receipt.delivery, attempt: receipt.attempt }) {
        return false;
    }
    row.changed = true;
    row.status = Status::Ok;
    row.delivery = receipt.delivery;
    row.payload = payload_of(receipt);
    row.unanswered = false;
    row.provider_id = Some(receipt.provider_id.clone());
    row.provider_message_id = receipt.provider_message_id.clone().or(row.provider_message_id.take());
    true
}

/// What a receipt leaves in `status_payload`: of a refusal whether another try might help, of any the provider's code.
fn payload_of(receipt: &NewReceipt) -> Option<StatusPayload> {
    let refused = receipt.delivery == Delivery::Undelivered;
    (refused || receipt.provider_code.is_some()).then(|| StatusPayload {
        code: receipt.delivery.as_str().to_owned(),
        provider_code: receipt.provider_code.clone(),
        detail: receipt.detail.clone(),
        temporary: refused.then_some(receipt.temporary),
    })
}

fn storable_receipt(receipt: &NewReceipt) -> NewReceipt {
    let owned = |text: &Option<String>| text.as_deref().map(|text| storable(text).into_owned());
    NewReceipt {
        provider_message_id: owned(&receipt.provider_message_id),
        provider_code: owned(&receipt.provider_code),
        detail: owned(&receipt.detail),
        ..receipt.clone()
    }
}

fn reference_hash(receipt: &NewReceipt) -> Option<[u8; 32]> {
    Some(crate::receive::key_hash(&receipt.provider_id, receipt.provider_message_id.as_deref()?))
}

/// Our messages, by the provider's id, for the receipts that do not bring ours back.
async fn find_references(
    transaction: &deadpool_postgres::Transaction<'_>,
    receipts: &[NewReceipt],
) -> Result<HashMap<[u8; 32], Uuid>, Error> {
    let hashes: Vec<[u8; 32]> =
        receipts.iter().filter(|receipt| receipt.message_id.is_none()).filter_map(reference_hash).collect();
    if hashes.is_empty() {
        return Ok(HashMap::new());
    }
    let buckets: Vec<i16> = hashes.iter().map(|hash| i16::from(hash[0])).collect();
    let hashes: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
    let statement = transaction
        .prepare_cached(
            "select r.key_hash, r.message_id from unnest($1::smallint[], $2::bytea[]) as k(bucket, key_hash)
             join provider_refs r on r.bucket = any(array[k.bucket]) and r.key_hash = k.key_hash",
        )
        .await?;
    let rows = transaction.query(&statement, &[&buckets, &hashes]).await?;
    let pair =
        |row: &tokio_postgres::Row| Some((<[u8; 32]>::try_from(row.get::<_, &[u8]>(0)).ok()?, row.get(1)));
    Ok(rows.iter().filter_map(pair).collect())
}

/// Locks outbox rows, then messages, each in the order of ids, and reads where they stand.
async fn lock(
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
    let statement = transaction
        .prepare_cached(
            "select o.* from unnest($1::uuid[], $2::smallint[]) as k(id, bucket) cross join lateral (
                 select message_id, leased_by is not null and not reconciling, attempt, lease_no from outbox
                 where message_id = k.id and bucket = k.bucket for update
             ) as o",
        )
        .await?;
    let outbox: HashMap<Uuid, (bool, i32, i32)> = transaction
        .query(&statement, &[&ids, &buckets])
        .await?
        .iter()
        .map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3))))
        .collect();
    let statement = transaction
        .prepare_cached(
            "select m.* from unnest($1::uuid[], $2::smallint[]) as k(id, bucket) cross join lateral (
                 select id, status_tag, delivery_tag, attempt, lease_no, provider_id, provider_message_id,
                     status_payload from messages
                 where id = k.id and bucket = k.bucket and inbound_or_outbound = 'outbound' for update
             ) as m",
        )
        .await?;
    let rows = transaction.query(&statement, &[&ids, &buckets]).await?;
    rows.iter()
        .map(|row| {
            let id: Uuid = row.get(0);
            let in_outbox = outbox.get(&id).copied();
            let (leased, attempt, lease_no) = in_outbox.unwrap_or((false, row.get(3), row.get(4)));
            let delivery: Delivery = row.get::<_, &str>(2).parse()?;
            let counted = u32::try_from(attempt).unwrap_or(0);
            Ok((
                id,
                Row {
                    status: row.get::<_, &str>(1).parse()?,
                    delivery,
                    attempt: counted + u32::from(leased),
                    lease_no,
                    unanswered: leased || delivery == Delivery::Unknown,
                    provider_id: row.get(5),
                    provider_message_id: row.get(6),
                    payload: row.get::<_, Option<Json<StatusPayload>>>(7).map(|json| json.0),
                    changed: false,
                },
            ))
        })
        .collect()
}

async fn write(
    transaction: &deadpool_postgres::Transaction<'_>,
    rows: &BTreeMap<Uuid, Row>,
) -> Result<(), Error> {
    let changed: Vec<(&Uuid, &Row)> = rows.iter().filter(|(_, row)| row.changed).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = changed.iter().map(|(id, _)| **id).collect();
    let buckets: Vec<i16> = ids.iter().map(|&id| Bucket::of(id).as_i16()).collect();
    // Also of those that had no outbox row when it was looked for: somebody may have asked for another try since.
    let statement = transaction
        .prepare_cached(
            "delete from outbox o using unnest($1::uuid[], $2::smallint[]) as k(id, bucket)
             where o.message_id = any(array[k.id]) and o.bucket = k.bucket",
        )
        .await?;
    transaction.execute(&statement, &[&ids, &buckets]).await?;
    let statement = transaction
        .prepare_cached(
            "update messages m set status_tag = 'ok', delivery_tag = k.delivery_tag,
                 status_payload = k.status_payload, attempt = k.attempt, lease_no = k.lease_no,
                 provider_id = k.provider_id, provider_message_id = k.provider_message_id, updated_at = now()
             from unnest($1::uuid[], $2::smallint[], $3::text[], $4::jsonb[], $5::integer[], $6::integer[],
                     $7::text[], $8::text[])
                 as k(id, bucket, delivery_tag, status_payload, attempt, lease_no, provider_id, provider_message_id)
             where m.id = any(array[k.id]) and m.bucket = k.bucket",
        )
        .await?;
    let deliveries: Vec<&str> = changed.iter().map(|(_, row)| row.delivery.as_str()).collect();
    let payloads: Vec<Option<Json<&StatusPayload>>> =
        changed.iter().map(|(_, row)| row.payload.as_ref().map(Json)).collect();
    let attempts: Vec<i32> =
        changed.iter().map(|(_, row)| i32::try_from(row.attempt).unwrap_or(i32::MAX)).collect();
    let lease_nos: Vec<i32> = changed.iter().map(|(_, row)| row.lease_no).collect();
    let provider_ids: Vec<Option<&str>> = changed.iter().map(|(_, row)| row.provider_id.as_deref()).collect();
    let provider_message_ids: Vec<Option<&str>> =
        changed.iter().map(|(_, row)| row.provider_message_id.as_deref()).collect();
    transaction
        .execute(
            &statement,
            &[
                &ids,
                &buckets,
                &deliveries,
                &payloads,
                &attempts,
                &lease_nos,
                &provider_ids,
                &provider_message_ids,
            ],
        )
        .await?;
    write_problems(transaction, &ids, &buckets, &deliveries).await
}

/// An undelivered message is a problem; any other that a receipt settled no longer is.
async fn write_problems(
    transaction: &deadpool_postgres::Transaction<'_>,
    ids: &[Uuid],
    buckets: &[i16],
    deliveries: &[&str],
) -> Result<(), Error> {
    let statement = transaction
        .prepare_cached(
            "with k as (select * from unnest($1::uuid[], $2::smallint[], $3::text[]) as k(id, bucket, delivery_tag)),
             solved as (
                 delete from problems p using k
                 where p.message_id = any(array[k.id]) and p.bucket = k.bucket
                     and k.delivery_tag <> 'undelivered'
             )
             insert into problems (bucket, message_id, kind)
             select bucket, id, 'undelivered' from k where delivery_tag = 'undelivered'
             on conflict (message_id, bucket) do update set kind = excluded.kind",
        )
        .await?;
    transaction.execute(&statement, &[&ids, &buckets, &deliveries]).await?;
    Ok(())
}

async fn write_events(
    transaction: &deadpool_postgres::Transaction<'_>,
    events: &[Event],
) -> Result<(), Error> {
    if events.is_empty() {
        return Ok(());
    }
    let statement = transaction
        .prepare_cached(
            "insert into message_events (bucket, message_id, id, kind, status_tag, delivery_tag, attempt,
                 provider_id, provider_code, detail)
             select bucket, message_id, id, 'receipt', 'ok', delivery_tag, attempt, provider_id, provider_code, detail
             from unnest($1::smallint[], $2::uuid[], $3::uuid[], $4::text[], $5::integer[], $6::text[], $7::text[],
                     $8::text[])
                 as k(bucket, message_id, id, delivery_tag, attempt, provider_id, provider_code, detail)",
        )
        .await?;
    let buckets: Vec<i16> = events.iter().map(|event| Bucket::of(event.message_id).as_i16()).collect();
    let message_ids: Vec<Uuid> = events.iter().map(|event| event.message_id).collect();
    let ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
    let deliveries: Vec<&str> = events.iter().map(|event| event.delivery.as_str()).collect();
    let attempts: Vec<i32> =
        events.iter().map(|event| i32::try_from(event.attempt).unwrap_or(i32::MAX)).collect();
    let provider_ids: Vec<&str> = events.iter().map(|event| event.provider_id.as_str()).collect();
    let provider_codes: Vec<Option<&str>> =
        events.iter().map(|event| event.provider_code.as_deref()).collect();
    let details: Vec<Option<&str>> = events.iter().map(|event| event.detail.as_deref()).collect();
    transaction
        .execute(
            &statement,
            &[&buckets, &message_ids, &ids, &deliveries, &attempts, &provider_ids, &provider_codes, &details],
        )
        .await?;
    Ok(())
}
