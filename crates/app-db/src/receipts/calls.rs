//! Which call each receipt of a group is about. The locked rows tell that of almost all; the events of a message are
//! read only where its rows are not enough.

use std::collections::{BTreeMap, HashMap};

use model::Bucket;
use model::receipt::{CallRecord, LatestCall, NoCall, call_of_event, find_call};
use uuid::Uuid;

use super::NewReceipt;
use super::applying::Row;
use crate::Error;

/// A call of a message, as its events record it.
struct Call {
    provider_id: String,
    attempt: u32,
}

/// The calls of messages.
#[derive(Default)]
pub(super) struct Calls(HashMap<Uuid, Vec<Call>>);

/// A receipt, and the message that it names.
pub(super) struct Addressed<'a> {
    pub receipt: &'a NewReceipt,
    pub message_id: Uuid,
    pub attempt: Option<u32>,
}

impl Addressed<'_> {
    /// The attempt that it is about, as far as the rows tell.
    fn answered(&self, row: &Row) -> Option<u32> {
        let latest = LatestCall {
            leased: leased(row),
            status: row.status,
            provider_id: row.provider_id.as_deref(),
            attempt: row.attempt,
        };
        latest.answers(&self.receipt.provider_id, self.attempt)
    }

    /// The attempt that it is about.
    pub(super) fn attempt(&self, row: &Row, calls: &Calls) -> Result<u32, NoCall> {
        if let Some(attempt) = self.answered(row) {
            return Ok(attempt);
        }
        let calls = calls.0.get(&self.message_id).map(Vec::as_slice).unwrap_or_default();
        let records =
            calls.iter().map(|call| CallRecord { provider_id: &call.provider_id, attempt: call.attempt });
        find_call(&self.receipt.provider_id, self.attempt, leased(row).into_iter().chain(records))
    }
}

/// The call that may be under way.
fn leased(row: &Row) -> Option<CallRecord<'_>> {
    let provider_id = row.leased_provider.as_deref()?;
    Some(CallRecord { provider_id, attempt: row.attempt })
}

/// Events of messages that name a provider, oldest first: the calls are among them.
pub(crate) const EVENTS: &str = "
    select e.message_id, e.kind, e.code, e.detail, e.provider_id, e.attempt
    from unnest($1::uuid[], $2::smallint[]) as k(id, bucket)
    join message_events e on e.message_id = any(array[k.id]) and e.bucket = k.bucket
    where e.provider_id is not null and e.kind in ('sent', 'receipt', 'retrying', 'failed', 'outcome_unknown')";

/// Reads the events of those messages whose rows do not tell which call a receipt is about.
pub(super) async fn read<'a: 'r, 'r>(
    transaction: &deadpool_postgres::Transaction<'_>,
    receipts: impl Iterator<Item = &'r Addressed<'a>>,
    rows: &BTreeMap<Uuid, Row>,
) -> Result<Calls, Error> {
    let mut ids: Vec<Uuid> = receipts
        .filter(|receipt| rows.get(&receipt.message_id).is_some_and(|row| receipt.answered(row).is_none()))
        .map(|receipt| receipt.message_id)
        .collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.is_empty() {
        return Ok(Calls::default());
    }
    let buckets: Vec<i16> = ids.iter().map(|&id| Bucket::of(id).as_i16()).collect();
    let statement = transaction.prepare_cached(EVENTS).await?;
    let mut calls = Calls::default();
    for row in transaction.query(&statement, &[&ids, &buckets]).await? {
        let attempt = u32::try_from(row.get::<_, i32>(5)).unwrap_or(0);
        let call = call_of_event(row.get(1), row.get(2), row.get(3), row.get(4), attempt);
        if let Some(CallRecord { provider_id, attempt }) = call {
            let call = Call { provider_id: provider_id.to_owned(), attempt };
            calls.0.entry(row.get(0)).or_default().push(call);
        }
    }
    Ok(calls)
}
