//! Settling: outcomes become transitions, and transitions are written in batches by one task. Outcomes are never
//! dropped: while the database is away they wait here.

use std::sync::Arc;
use std::time::Duration;

use app_db::Error;
use app_db::claim::Claimed;
use app_db::receipts::{Applied, NewReceipt};
use app_db::receive::key_hash;
use app_db::settle::{Settled, Settlement};
use model::transition::{self, EventKind, Transition};
use model::{IdGenerator, Next, Outcome};
use service::metrics::{ChannelLabel, ChannelStatusCode, ProviderResolution};
use service::telemetry::chain;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::claim::tried;
use crate::lease::Leases;
use crate::route::Candidate;
use crate::{Parts, Processor};

/// The largest batch of one settle.
const SETTLE_ROWS_MAX: usize = 500;
/// Batches follow each other at this distance at least, so that under load each is worth its commit.
const SETTLE_PACE: Duration = Duration::from_millis(4);
const DATABASE_PAUSE: Duration = Duration::from_millis(200);

/// The way to the settling task.
#[derive(Debug)]
pub(crate) struct Settler {
    queue: mpsc::UnboundedSender<Pending>,
}

#[derive(Debug)]
struct Pending {
    settlement: Settlement,
    written: oneshot::Sender<()>,
}

impl Settler {
    pub(crate) fn new(parts: Parts, owner: Uuid, ids: Arc<IdGenerator>, leases: Arc<Leases>) -> Self {
        let (queue, waiting) = mpsc::unbounded_channel();
        tokio::spawn(write_batches(parts, owner, ids, leases, waiting));
        Self { queue }
    }
}

impl Processor {
    /// Settles one attempt; returns when that is committed. The queue needs no bound: it holds at most one
    /// outcome for every slot.
    pub(crate) async fn settle(
        &self,
        candidate: &Candidate,
        claimed: &Claimed,
        outcome: &Outcome,
        began: Instant,
    ) {
        let provider = &candidate.config;
        let took = began.elapsed();
        let transition = transition::after_outcome(
            outcome,
            tried(claimed, took),
            &self.parts.config.processor.retry,
            provider.on_unknown,
            provider.reconcile_wait,
        );
        let channel = claimed.message.channel.as_str();
        let waited =
            Duration::try_from(claimed.claimed_at.duration_since(claimed.due_at)).unwrap_or_default();
        let latency =
            self.parts.metrics.dispatch_latency_seconds.get_or_create(&ChannelLabel::new(channel)).clone();
        latency.observe((waited + took).as_secs_f64());
        let mut settlement = self.settlement(claimed, transition, Some(provider.id.clone()));
        if !provider.kind.receipts_carry_our_id {
            let provider_message_id = settlement.transition.provider_message_id.as_deref();
            settlement.reference = provider_message_id.map(|id| key_hash(&provider.id, id));
        }
        let (written, is_written) = oneshot::channel();
        if self.settler.queue.send(Pending { settlement, written }).is_ok() {
            // An error means that the task ended with the runtime; then nobody waits for this either.
            let _ = is_written.await;
        }
    }
}

async fn write_batches(
    parts: Parts,
    owner: Uuid,
    ids: Arc<IdGenerator>,
    leases: Arc<Leases>,
    mut waiting: mpsc::UnboundedReceiver<Pending>,
) {
    let mut batch = Vec::with_capacity(SETTLE_ROWS_MAX);
    while waiting.recv_many(&mut batch, SETTLE_ROWS_MAX).await > 0 {
        let began = Instant::now();
        let settlements: Vec<Settlement> = batch.iter().map(|pending| pending.settlement.clone()).collect();
        let settled = write(&parts, owner, &leases, &settlements).await;
        parts.metrics.settle_duration_seconds.observe(began.elapsed().as_secs_f64());
        for pending in batch.drain(..) {
            count(&parts, &pending.settlement, &settled);
            let _ = pending.written.send(());
        }
        if let Err(error) = match_parked(&parts, &ids, &settlements).await {
            tracing::warn!(error = chain(&error), "parked receipts were not looked at");
        }
        tokio::time::sleep(SETTLE_PACE.saturating_sub(began.elapsed())).await;
    }
}

/// Writes a batch, however long the database is away. What the database refuses is written one by one, so that one
/// row cannot keep the others from settling; a row that is refused alone is left to its lease.
async fn write(parts: &Parts, owner: Uuid, leases: &Leases, settlements: &[Settlement]) -> Settled {
    loop {
        match try_write(parts, owner, settlements).await {
            Ok(settled) => return settled,
            Err(error) if !error.is_about_values() => {
                if matches!(error, Error::Unavailable(_)) {
                    leases.settling_fails();
                }
                let waiting = settlements.len();
                tracing::error!(error = chain(&error), waiting, "cannot settle; trying again");
                tokio::time::sleep(DATABASE_PAUSE).await;
            }
            Err(error) => {
                if let [settlement] = settlements {
                    let error = chain(&error);
                    tracing::error!(message.id = %settlement.lease.message_id, error, "the database refuses an outcome");
                    return Settled::default();
                }
                let mut all = Settled::default();
                for settlement in settlements {
                    let one = Box::pin(write(parts, owner, leases, std::slice::from_ref(settlement))).await;
                    all.written.extend(one.written);
                    all.by_receipt.extend(one.by_receipt);
                }
                return all;
            }
        }
    }
}

async fn try_write(parts: &Parts, owner: Uuid, settlements: &[Settlement]) -> Result<Settled, Error> {
    let mut client = app_db::pool::get(&parts.pool).await?;
    let transaction = client.transaction().await?;
    let settled = app_db::settle::settle(&transaction, owner, settlements).await?;
    transaction.commit().await?;
    Ok(settled)
}

/// Receipts that came before the provider's own id of their message was known are applied now that it is.
async fn match_parked(parts: &Parts, ids: &IdGenerator, settlements: &[Settlement]) -> Result<(), Error> {
    let references: Vec<[u8; 32]> =
        settlements.iter().filter_map(|settlement| settlement.reference).collect();
    if references.is_empty() {
        return Ok(());
    }
    let client = app_db::pool::get(&parts.pool).await?;
    let parked = app_db::parked::look(&client, &references).await?;
    let (parked_ids, receipts): (Vec<Uuid>, Vec<NewReceipt>) = parked.into_iter().unzip();
    let applied = app_db::receipts::apply(&parts.pool, ids, parts.clock.now(), &receipts).await;
    for (id, applied) in parked_ids.into_iter().zip(applied) {
        if applied? != Applied::Unmatched {
            app_db::parked::forget(&client, id).await?;
        }
    }
    Ok(())
}

/// Counts what a settle wrote, and what it could not.
pub(crate) fn count(parts: &Parts, settlement: &Settlement, settled: &Settled) {
    let Settlement { lease, transition, channel, provider_id, .. } = settlement;
    let metrics = &parts.metrics;
    if !settled.written.contains(&lease.message_id) {
        if !settled.by_receipt.contains(&lease.message_id) {
            metrics.leases_lost.inc();
            tracing::warn!(message.id = %lease.message_id, lease = lease.lease_no, "lease lost: outcome not written");
        }
        return;
    }
    if transition.event == EventKind::OutcomeUnknown {
        let label =
            ProviderResolution::new(provider_id.as_deref().unwrap_or_default(), resolution(transition));
        metrics.outcomes_unknown.get_or_create(&label).inc();
    }
    if transition.next == Next::Gone {
        let code = transition.payload.as_ref().map_or("", |payload| payload.code.as_str());
        let label = ChannelStatusCode::new(channel.as_str(), transition.status.as_str(), code);
        metrics.messages_settled.get_or_create(&label).inc();
    }
}

/// What was done about an unknown outcome.
fn resolution(transition: &Transition) -> &'static str {
    match (transition.next, transition.delivery) {
        (Next::Gone, _) => "failed",
        (Next::Never, _) => "hold",
        (Next::After(_), model::Delivery::Unknown) => "reconcile",
        (Next::After(_), _) => "retry",
    }
}
