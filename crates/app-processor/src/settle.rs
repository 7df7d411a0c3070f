//! Settling: outcomes become transitions, and transitions are written in batches by one task. Outcomes are never
//! dropped: while the database is away they wait here.

use std::sync::Arc;
use std::time::Duration;

use app_db::claim::Claimed;
use app_db::settle::{Settled, Settlement};
use model::transition::{self, EventKind, Transition};
use model::{Next, Outcome};
use service::metrics::{ChannelLabel, ChannelStatusCode, ProviderResolution};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use uuid::Uuid;

use crate::claim::{lease_of, tried};
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
    channel: &'static str,
    written: oneshot::Sender<()>,
}

impl Settler {
    pub(crate) fn new(parts: Parts, owner: Uuid, leases: Arc<Leases>) -> Self {
        let (queue, waiting) = mpsc::unbounded_channel();
        tokio::spawn(write_batches(parts, owner, leases, waiting));
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
        let settlement = self.settlement(claimed, transition, provider.id.clone());
        let (written, is_written) = oneshot::channel();
        if self.settler.queue.send(Pending { settlement, channel, written }).is_ok() {
            // An error means that the task ended with the runtime; then nobody waits for this either.
            let _ = is_written.await;
        }
        self.leases.end([lease_of(claimed)]);
    }
}

async fn write_batches(
    parts: Parts,
    owner: Uuid,
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
            count(&parts, &pending, &settled);
            let _ = pending.written.send(());
        }
        tokio::time::sleep(SETTLE_PACE.saturating_sub(began.elapsed())).await;
    }
}

/// Writes a batch, however long the database is away.
async fn write(parts: &Parts, owner: Uuid, leases: &Leases, settlements: &[Settlement]) -> Settled {
    loop {
        match try_write(parts, owner, settlements).await {
            Ok(settled) => return settled,
            Err(error) => {
                leases.settling_fails();
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    waiting = settlements.len(),
                    "cannot settle; trying again"
                );
                tokio::time::sleep(DATABASE_PAUSE).await;
            }
        }
    }
}

async fn try_write(parts: &Parts, owner: Uuid, settlements: &[Settlement]) -> Result<Settled, app_db::Error> {
    let mut client = app_db::pool::get(&parts.pool).await?;
    let transaction = client.transaction().await?;
    let settled = app_db::settle::settle(&transaction, owner, settlements).await?;
    transaction.commit().await?;
    Ok(settled)
}

fn count(parts: &Parts, pending: &Pending, settled: &Settled) {
    let Settlement { lease, transition, provider_id, .. } = &pending.settlement;
    let metrics = &parts.metrics;
    if !settled.written.contains(&lease.message_id) {
        if !settled.by_receipt.contains(&lease.message_id) {
            metrics.leases_lost.inc();
            tracing::warn!(message.id = %lease.message_id, lease = lease.lease_no, "lease lost: outcome not written");
        }
        return;
    }
    if transition.event == EventKind::OutcomeUnknown {
        let label = ProviderResolution::new(provider_id, resolution(transition));
        metrics.outcomes_unknown.get_or_create(&label).inc();
    }
    if transition.next == Next::Gone {
        let code = transition.payload.as_ref().map_or("", |payload| payload.code.as_str());
        let label = ChannelStatusCode::new(pending.channel, transition.status.as_str(), code);
        metrics.messages_settled.get_or_create(&label).inc();
    }
}

/// What was done about an unknown outcome.
pub(crate) fn resolution(transition: &Transition) -> &'static str {
    match (transition.next, transition.delivery) {
        (Next::Gone, _) => "failed",
        (Next::Never, _) => "hold",
        (Next::After(_), model::Delivery::Unknown) => "reconcile",
        (Next::After(_), _) => "retry",
    }
}
