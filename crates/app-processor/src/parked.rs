//! Matches parked receipts with the messages that they are about: right after a settle that stored a provider's id which
//! receipts are matched by, and in a paced search for all others.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use app_db::Error;
use app_db::parked::search::{self, Found};
use app_db::parked::{self, Parked};
use app_db::receipts::{self, Applied, NewReceipt};
use app_db::settle::Settlement;
use jiff::Timestamp;
use model::IdGenerator;
use model::receipt::NoCall;
use service::metrics::{ProviderDelivery, ProviderResult};

use crate::{Parts, Processor};

/// One search of all processors at a time begins this long after the one before.
pub(crate) const SEARCH_EVERY: Duration = Duration::from_secs(20);
/// Receipts that are applied together.
const GROUP: usize = 500;
/// How long after a receipt the provider's id of its message may still be written: far beyond the longest call and lease.
const ID_WRITTEN_WITHIN: Duration = Duration::from_secs(900);

impl Processor {
    /// One search, unless any processor began one within this time.
    pub(crate) async fn search_parked(&self, pause: Duration) -> Result<(), Error> {
        let client = app_db::pool::get(&self.parts.pool).await?;
        let Some(turn) = search::begin(&client, pause).await? else { return Ok(()) };
        let (by_reference, searched_for) = self.split(search::all(&client).await?);
        if by_reference.is_empty() && searched_for.is_empty() {
            return Ok(());
        }
        let mut found = Vec::new();
        let mut unknown = Vec::new();
        if !searched_for.is_empty() {
            let ids: HashSet<&str> = searched_for.iter().filter_map(provider_message_id).collect();
            let ids: Vec<&str> = ids.into_iter().collect();
            let searched = search::search(&client, &turn, &ids).await?;
            (found, unknown) = sort_out(searched_for, &searched.found, searched.completed);
        }
        drop(client);
        found.extend(by_reference);
        apply(&self.parts, &self.ids, &found).await?;
        let client = app_db::pool::get(&self.parts.pool).await?;
        for (provider_id, count) in search::drop_unknown(&client, &unknown).await? {
            let count = u64::try_from(count).unwrap_or(0);
            not_applied(&self.parts, &provider_id, NoCall::UnknownMessage.as_str(), count);
        }
        Ok(())
    }

    /// Those that settles find by their reference, and those that are searched for.
    fn split(&self, parked: Vec<Parked>) -> (Vec<Parked>, Vec<Parked>) {
        parked.into_iter().partition(|parked| {
            let provider = self.parts.config.provider(&parked.receipt.provider_id);
            provider.is_some_and(|provider| !provider.kind.receipts_carry_our_id)
        })
    }
}

fn provider_message_id(parked: &Parked) -> Option<&str> {
    parked.receipt.provider_message_id.as_deref()
}

/// Those whose messages were found, now with our id, and the ids of those that are about no message of ours: all messages
/// have been searched since their provider's id must have been written.
fn sort_out(
    parked: Vec<Parked>,
    found: &[Found],
    completed: Option<Timestamp>,
) -> (Vec<Parked>, Vec<uuid::Uuid>) {
    let by_id: HashMap<(&str, &str), &Found> = found
        .iter()
        .rev()
        .map(|found| ((found.provider_id.as_str(), found.provider_message_id.as_str()), found))
        .collect();
    let (mut matched, mut unknown) = (Vec::new(), Vec::new());
    for parked in parked {
        let key = provider_message_id(&parked).map(|id| (parked.receipt.provider_id.as_str(), id));
        if let Some(found) = key.and_then(|key| by_id.get(&key)) {
            let receipt = NewReceipt { message_id: Some(found.message_id), ..parked.receipt };
            matched.push(Parked { receipt, ..parked });
        } else if completed.is_some_and(|began| parked.received_at + ID_WRITTEN_WITHIN < began) {
            unknown.push(parked.id);
        }
    }
    // In the order in which they came.
    matched.sort_by_key(|parked| parked.id);
    (matched, unknown)
}

/// Receipts that came before the provider's own id of their message was known are applied now that it is.
pub(crate) async fn match_settled(
    parts: &Parts,
    ids: &IdGenerator,
    settlements: &[Settlement],
) -> Result<(), Error> {
    let references: Vec<[u8; 32]> =
        settlements.iter().filter_map(|settlement| settlement.reference).collect();
    if references.is_empty() {
        return Ok(());
    }
    let parked = {
        let client = app_db::pool::get(&parts.pool).await?;
        parked::look(&client, &references).await?
    };
    apply(parts, ids, &parked).await
}

async fn apply(parts: &Parts, ids: &IdGenerator, parked: &[Parked]) -> Result<(), Error> {
    for group in parked.chunks(GROUP) {
        let applied = receipts::apply_parked(&parts.pool, ids, parts.clock.now(), group).await;
        for (parked, applied) in group.iter().zip(applied) {
            let NewReceipt { provider_id, delivery, .. } = &parked.receipt;
            match applied? {
                Applied::Changed { .. } => {
                    let labels = ProviderDelivery::new(provider_id, delivery.as_str());
                    parts.metrics.receipts.get_or_create(&labels).inc();
                }
                Applied::Stale => not_applied(parts, provider_id, "stale", 1),
                Applied::Ignored(why) => not_applied(parts, provider_id, why.as_str(), 1),
                Applied::Unmatched => {}
            }
        }
    }
    Ok(())
}

fn not_applied(parts: &Parts, provider_id: &str, result: &str, count: u64) {
    let labels = ProviderResult::new(provider_id, result);
    parts.metrics.receipts_not_applied.get_or_create(&labels).inc_by(count);
}
