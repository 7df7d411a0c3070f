//! Receipts: what a provider reports after its answer. They are applied in groups, each message locked once; the outbox
//! row is locked first, as everywhere. `model::receipt` decides which call a receipt is about and what it changes.

mod applying;
pub(crate) mod calls;
pub(crate) mod standing;
pub(crate) mod writing;

use std::collections::HashMap;

use model::receipt::NoCall;
use model::{Bucket, Delivery};
use uuid::Uuid;

use self::applying::{Event, Row, Step};
use self::calls::Addressed;
use crate::group::{self, Surroundings};
use crate::parked::{self, Parked};
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
    /// Nothing stored has the provider's id that it names. It may be known later.
    Unmatched,
    /// It is about no call that its provider was asked to make. That does not change.
    Ignored(NoCall),
}

/// Applies a group of receipts in its order; the results are in that order too.
pub async fn apply(
    pool: &Pool,
    ids: &model::IdGenerator,
    now: jiff::Timestamp,
    receipts: &[NewReceipt],
) -> Vec<Result<Applied, Error>> {
    let entry = |receipt| Entry { receipt: storable_receipt(receipt), parked_id: None };
    let entries: Vec<Entry> = receipts.iter().map(entry).collect();
    group::run(&entries, Surroundings { pool, ids, now }).await
}

/// The same for parked receipts. The transaction that applies one also forgets it, unless it stays unmatched.
pub async fn apply_parked(
    pool: &Pool,
    ids: &model::IdGenerator,
    now: jiff::Timestamp,
    parked: &[Parked],
) -> Vec<Result<Applied, Error>> {
    let entry =
        |parked: &Parked| Entry { receipt: storable_receipt(&parked.receipt), parked_id: Some(parked.id) };
    let entries: Vec<Entry> = parked.iter().map(entry).collect();
    group::run(&entries, Surroundings { pool, ids, now }).await
}

/// A receipt, and under which id it is parked.
struct Entry {
    receipt: NewReceipt,
    parked_id: Option<Uuid>,
}

impl group::Member for Entry {
    type Result = Applied;

    async fn write_together(entries: &[Self], surroundings: Surroundings<'_>) -> Result<Vec<Applied>, Error> {
        let Surroundings { pool, ids, now } = surroundings;
        let receipts: Vec<&NewReceipt> = entries.iter().map(|entry| &entry.receipt).collect();
        let mut client: Client = pool.get().await?;
        let transaction = client.transaction().await?;
        let references = find_references(&transaction, &receipts).await?;
        // The message, and the attempt: what the receipt brought back, else what is stored for the provider's id.
        let target = |receipt: &NewReceipt| match receipt.message_id {
            Some(message_id) => Some((message_id, receipt.attempt)),
            None => references.get(&reference_hash(receipt)?).copied(),
        };
        let addressed: Vec<Option<Addressed<'_>>> = receipts
            .iter()
            .map(|receipt| {
                target(receipt).map(|(message_id, attempt)| Addressed { receipt, message_id, attempt })
            })
            .collect();
        let wanted = addressed.iter().flatten().map(|addressed| addressed.message_id);
        let mut rows = standing::lock(&transaction, wanted).await?;
        let calls = calls::read(&transaction, addressed.iter().flatten(), &rows).await?;
        // Before any receipt changes a row: which call each is about does not depend on the others.
        let attempt = |addressed: &Addressed<'_>| match rows.get(&addressed.message_id) {
            Some(row) => addressed.attempt(row, &calls),
            None => Err(NoCall::UnknownMessage),
        };
        let attempts: Vec<Option<Result<u32, NoCall>>> =
            addressed.iter().map(|addressed| addressed.as_ref().map(attempt)).collect();
        let mut events = Vec::new();
        let mut results = Vec::with_capacity(receipts.len());
        for ((receipt, addressed), attempt) in receipts.iter().zip(&addressed).zip(attempts) {
            results.push(match (addressed, attempt) {
                (Some(Addressed { message_id, .. }), Some(Ok(attempt))) => {
                    let mut next_id = || ids.next(now, Bucket::of(*message_id));
                    rows.get_mut(message_id).map_or(Applied::Stale, |row| {
                        row.apply(receipt, attempt, *message_id, &mut next_id, &mut events)
                    })
                }
                (_, Some(Err(why))) => Applied::Ignored(why),
                _ if receipt.provider_message_id.is_some() => Applied::Unmatched,
                // It names nothing by which a message could be found.
                _ => Applied::Ignored(NoCall::UnknownMessage),
            });
        }
        writing::write(&transaction, &rows).await?;
        writing::write_events(&transaction, &events).await?;
        forget_parked(&transaction, entries, &results).await?;
        transaction.commit().await?;
        Ok(results)
    }
}

/// A crash leaves a parked receipt to be applied again, which changes nothing.
async fn forget_parked(
    transaction: &deadpool_postgres::Transaction<'_>,
    entries: &[Entry],
    results: &[Applied],
) -> Result<(), Error> {
    let is_over = |result: &Applied| *result != Applied::Unmatched;
    let over = entries.iter().zip(results).filter(|(_, result)| is_over(result));
    let ids: Vec<Uuid> = over.filter_map(|(entry, _)| entry.parked_id).collect();
    if !ids.is_empty() {
        let statement = transaction.prepare_cached(parked::FORGET).await?;
        transaction.execute(&statement, &[&ids]).await?;
    }
    Ok(())
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

pub(crate) const REFERENCES: &str = "select r.key_hash, r.message_id, r.attempt from unnest($1::smallint[], $2::bytea[]) as k(bucket, key_hash)
             join provider_refs r on r.bucket = any(array[k.bucket]) and r.key_hash = k.key_hash";

/// Our messages and their attempts, by the provider's id, for the receipts that do not bring ours back.
async fn find_references(
    transaction: &deadpool_postgres::Transaction<'_>,
    receipts: &[&NewReceipt],
) -> Result<HashMap<[u8; 32], (Uuid, Option<u32>)>, Error> {
    let hashes: Vec<[u8; 32]> = receipts
        .iter()
        .filter(|receipt| receipt.message_id.is_none())
        .filter_map(|receipt| reference_hash(receipt))
        .collect();
    if hashes.is_empty() {
        return Ok(HashMap::new());
    }
    let buckets: Vec<i16> = hashes.iter().map(|hash| i16::from(hash[0])).collect();
    let hashes: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
    let statement = transaction.prepare_cached(REFERENCES).await?;
    let rows = transaction.query(&statement, &[&buckets, &hashes]).await?;
    let pair = |row: &tokio_postgres::Row| {
        let hash = <[u8; 32]>::try_from(row.get::<_, &[u8]>(0)).ok()?;
        Some((hash, (row.get(1), u32::try_from(row.get::<_, i32>(2)).ok())))
    };
    Ok(rows.iter().filter_map(pair).collect())
}
