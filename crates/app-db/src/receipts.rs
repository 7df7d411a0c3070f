//! Receipts: the provider's later word. Applied in groups, each message locked once; what is locked first is the
//! outbox row, as everywhere. Which receipt changes what is decided in `model::transition`.

pub(crate) mod standing;
pub(crate) mod writing;

use std::collections::HashMap;

use model::transition::{ReceiptStep, Report, Standing, after_receipt};
use model::{Bucket, Delivery, Reason, Status, StatusPayload};
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
    confirming: bool,
    /// While it is to be confirmed: who accepted it, and whose carriers have refused it since.
    accepted_by: Vec<String>,
    refused_by: Vec<String>,
    step: Option<Step>,
}

/// What is to be written of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It leaves the outbox.
    Settle,
    /// It stays there.
    Note,
    /// It stays there, and is due now.
    HandOver,
}

struct Event {
    message_id: Uuid,
    id: Uuid,
    status: Status,
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
        // The message, and the attempt: what the receipt brought back, else what stands under the provider's id.
        let target = |receipt: &NewReceipt| match receipt.message_id {
            Some(message_id) => Some((message_id, receipt.attempt)),
            None => references.get(&reference_hash(receipt)?).copied(),
        };
        let wanted = receipts.iter().filter_map(target).map(|(message_id, _)| message_id);
        let mut rows = standing::lock(&transaction, wanted).await?;
        let mut events = Vec::new();
        let mut results = Vec::with_capacity(receipts.len());
        for receipt in receipts {
            let found = target(receipt).and_then(|(id, attempt)| Some((id, attempt, rows.get_mut(&id)?)));
            let Some((message_id, attempt, row)) = found else {
                results.push(Applied::Unmatched);
                continue;
            };
            if !apply_one(row, receipt, attempt) {
                results.push(Applied::Stale);
                continue;
            }
            events.push(Event {
                message_id,
                id: ids.next(now, Bucket::of(message_id)),
                status: row.status,
                delivery: receipt.delivery,
                attempt: row.attempt,
                provider_id: receipt.provider_id.clone(),
                provider_code: receipt.provider_code.clone(),
                detail: receipt.detail.clone(),
            });
            results.push(Applied::Changed { message_id });
        }
        writing::write(&transaction, &rows).await?;
        writing::write_events(&transaction, &events).await?;
        transaction.commit().await?;
        Ok(results)
    }
}

/// Changes the row in memory; says whether it did.
fn apply_one(row: &mut Row, receipt: &NewReceipt, attempt: Option<u32>) -> bool {
    let standing = Standing {
        status: row.status,
        delivery: row.delivery,
        attempt: row.attempt,
        unanswered: row.unanswered,
        confirming: row.confirming,
    };
    let report = Report {
        delivery: receipt.delivery,
        attempt,
        about_an_acceptance: row.was_accepted_by(&receipt.provider_id),
    };
    match after_receipt(standing, report) {
        ReceiptStep::Nothing => return false,
        ReceiptStep::Settles => {
            row.step = Some(Step::Settle);
            row.status = Status::Ok;
            row.delivery = receipt.delivery;
            row.payload = payload_of(receipt);
            row.unanswered = false;
            row.confirming = false;
            row.provider_id = Some(receipt.provider_id.clone());
            row.provider_message_id = receipt.provider_message_id.clone().or(row.provider_message_id.take());
        }
        ReceiptStep::Notes => {
            row.step = row.step.or(Some(Step::Note));
            row.delivery = receipt.delivery;
        }
        // Its delivery stays as it was: the next provider's attempt is still to come.
        ReceiptStep::HandsOver => {
            row.step = Some(Step::HandOver);
            row.payload = payload_of(receipt);
            row.refused_by.push(receipt.provider_id.clone());
        }
    }
    true
}

impl Row {
    /// Whether that provider accepted it, nothing was said against that, and it is not confirmed yet; also where the
    /// message ended with that acceptance, although others were asked after it.
    fn was_accepted_by(&self, provider_id: &str) -> bool {
        if self.confirming {
            let is_in = |list: &[String]| list.iter().any(|id| id == provider_id);
            return is_in(&self.accepted_by) && !is_in(&self.refused_by);
        }
        let ended_so =
            self.payload.as_ref().is_some_and(|payload| payload.code == Reason::AwaitingDelivery.as_str());
        ended_so && self.provider_id.as_deref() == Some(provider_id)
    }
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

pub(crate) const REFERENCES: &str = "select r.key_hash, r.message_id, r.attempt from unnest($1::smallint[], $2::bytea[]) as k(bucket, key_hash)
             join provider_refs r on r.bucket = any(array[k.bucket]) and r.key_hash = k.key_hash";

/// Our messages and their attempts, by the provider's id, for the receipts that do not bring ours back.
async fn find_references(
    transaction: &deadpool_postgres::Transaction<'_>,
    receipts: &[NewReceipt],
) -> Result<HashMap<[u8; 32], (Uuid, Option<u32>)>, Error> {
    let hashes: Vec<[u8; 32]> =
        receipts.iter().filter(|receipt| receipt.message_id.is_none()).filter_map(reference_hash).collect();
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
