//! Settling: outcomes become transitions, and transitions are written in batches by one task. Outcomes are never
//! dropped: while the database is away they wait here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use app_db::Error;
use app_db::claim::Claimed;
use app_db::receive::key_hash;
use app_db::settle::{Settled, Settlement};
use model::transition::{self, Elsewhere, EventKind, Rules, Transition};
use model::{Delivery, IdGenerator, Next, Variant};
use service::failures;
use service::metrics::{ChannelStatusCode, ProviderResolution};
use service::supervision::Supervisor;
use service::telemetry::chain;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::candidate::Candidate;
use crate::claim::tried;
use crate::lanes::Lane;
use crate::lease::Leases;
use crate::parked;
use crate::run_once::{BUSY_ROWS, HeldLease};
use crate::send::Ended;
use crate::{Parts, Processor};

/// The largest batch of one settle.
const SETTLE_ROWS_MAX: usize = 500;
/// After a batch of some size the next follows at this distance at least, so that under load each is worth its commit.
const SETTLE_PACE: Duration = Duration::from_millis(8);
const DATABASE_PAUSE: Duration = Duration::from_millis(200);

/// So many outcomes may wait before claims wait, too, or fewer, where there are fewer slots: a processor that is killed
/// leaves them unknown.
const WAITING_MAX: usize = 2 * SETTLE_ROWS_MAX;

/// The name of the settling task.
pub(crate) const TASK: &str = "settler";

/// The way to the settling task.
#[derive(Debug)]
pub(crate) struct Settler {
    queue: mpsc::UnboundedSender<Pending>,
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
}

#[derive(Debug)]
struct Pending {
    settlement: Settlement,
    held: HeldLease,
}

impl Settler {
    pub(crate) fn new(
        parts: Parts,
        owner: Uuid,
        ids: Arc<IdGenerator>,
        leases: Arc<Leases>,
        supervisor: &Supervisor,
    ) -> Self {
        let (queue, pending) = mpsc::unbounded_channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        let slots: usize = parts.config.providers.iter().map(|provider| provider.max_in_flight).sum();
        let waiting_max = slots.min(WAITING_MAX);
        let writer = Writer { parts, owner, ids, leases, waiting: Arc::clone(&waiting), waiting_max };
        tokio::spawn(supervisor.guard(TASK, writer.write_batches(pending)));
        Self { queue, waiting, waiting_max }
    }

    /// More outcomes wait than the next batches take: what is claimed now would wait behind them.
    pub(crate) fn is_behind(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > self.waiting_max
    }
}

/// An attempt that is over.
pub(crate) struct Attempt {
    pub ended: Ended,
    pub began: Instant,
    pub held: HeldLease,
}

impl Processor {
    /// Hands one attempt's outcome on to be settled. The queue needs no bound: nothing is claimed while it is long.
    pub(crate) fn settle(&self, lane: &Lane, candidate: &Candidate, claimed: &Claimed, attempt: Attempt) {
        let Attempt { ended, began, held } = attempt;
        let provider = &candidate.config;
        let took = began.elapsed();
        let failover = elsewhere(lane, candidate, &claimed.accepted_by);
        let (outcome, asked, elsewhere) = match ended {
            Ended::Answered(outcome) => (outcome, true, failover),
            Ended::Refused(outcome) => (outcome, false, failover),
            Ended::Unprepared(outcome) => (outcome, false, Elsewhere::Nowhere),
        };
        let transition = transition::after_outcome(
            &outcome,
            tried(claimed, took),
            &Rules {
                policy: &self.parts.config.processor.retry,
                on_unknown: provider.on_unknown,
                reconcile_wait: provider.reconcile_wait,
                elsewhere,
                confirm_within: lane.confirms(candidate, &claimed.accepted_by),
            },
        );
        let waited =
            Duration::try_from(claimed.claimed_at.duration_since(claimed.due_at)).unwrap_or_default();
        candidate.meters.dispatched(claimed.channel, waited + took);
        let mut settlement = self.settlement(claimed, transition, asked.then(|| provider.id.clone()));
        let is_accepted = settlement.transition.event == EventKind::Sent;
        settlement.accepts = is_accepted && settlement.transition.next != Next::Gone;
        if is_accepted && settlement.holder.is_some() {
            settlement.holder = Some(provider.id.clone());
        }
        settlement.lane = lane_after(lane, candidate, claimed, elsewhere, &settlement);
        if !provider.kind.receipts_carry_our_id {
            let provider_message_id = settlement.transition.provider_message_id.as_deref();
            settlement.reference = provider_message_id.map(|id| key_hash(&provider.id, id));
        }
        self.settler.waiting.fetch_add(1, Ordering::Relaxed);
        // An error means that the task ended with the runtime; the lease lapses then.
        let _ = self.settler.queue.send(Pending { settlement, held });
    }
}

/// Whether another provider may take the message over. Who avoids one already was handed over just before.
fn elsewhere(lane: &Lane, candidate: &Candidate, accepted_by: &[String]) -> Elsewhere {
    if !lane.has_another(candidate, accepted_by, Instant::now()) {
        Elsewhere::Nowhere
    } else if matches!(lane.variant, Variant::Avoid(_)) {
        Elsewhere::Later
    } else {
        Elsewhere::Now
    }
}

/// Where the message waits for its next try, if that is another lane: away from who failed it; or, where it is to be
/// confirmed, at somebody who has not accepted it yet.
fn lane_after(
    lane: &Lane,
    candidate: &Candidate,
    claimed: &Claimed,
    elsewhere: Elsewhere,
    settlement: &Settlement,
) -> Option<String> {
    let step = &settlement.transition;
    let is_tried_again = matches!(step.next, Next::After(_)) && step.delivery != Delivery::Unknown;
    let id = candidate.config.id.clone();
    let variant = if !is_tried_again {
        None
    } else if settlement.accepts || !claimed.accepted_by.is_empty() {
        let mut accepted_by = claimed.accepted_by.clone();
        accepted_by.extend(settlement.accepts.then_some(id));
        lane.next_to_confirm(candidate, &accepted_by, Instant::now()).map(Variant::Prefer)
    } else {
        (elsewhere != Elsewhere::Nowhere).then_some(Variant::Avoid(id))
    };
    variant.map(|variant| variant.lane(&lane.route)).filter(|name| *name != lane.name)
}

/// What the settling task works with.
struct Writer {
    parts: Parts,
    owner: Uuid,
    ids: Arc<IdGenerator>,
    leases: Arc<Leases>,
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
}

impl Writer {
    async fn write_batches(self, mut pending: mpsc::UnboundedReceiver<Pending>) {
        let mut batch = Vec::with_capacity(SETTLE_ROWS_MAX);
        while pending.recv_many(&mut batch, SETTLE_ROWS_MAX).await > 0 {
            let began = Instant::now();
            let (settlements, held): (Vec<Settlement>, Vec<HeldLease>) =
                batch.drain(..).map(|pending| (pending.settlement, pending.held)).unzip();
            let settled = write(&self.parts, self.owner, &self.leases, &settlements).await;
            self.parts.metrics.settle_duration_seconds.observe(began.elapsed().as_secs_f64());
            for settlement in &settlements {
                count(&self.parts, settlement, &settled);
            }
            drop(held);
            let before = self.waiting.fetch_sub(settlements.len(), Ordering::Relaxed);
            let is_not_behind_any_more =
                before > self.waiting_max && before - settlements.len() <= self.waiting_max;
            let is_due_at_once =
                |settlement: &Settlement| settlement.transition.next == Next::After(Duration::ZERO);
            if is_not_behind_any_more || settlements.iter().any(is_due_at_once) {
                self.parts.wake.notify_one();
            }
            if let Err(error) = parked::match_settled(&self.parts, &self.ids, &settlements).await {
                failures::report("parked receipts were not looked at", &error);
            }
            if (BUSY_ROWS..SETTLE_ROWS_MAX).contains(&settlements.len()) {
                tokio::time::sleep(SETTLE_PACE.saturating_sub(began.elapsed())).await;
            }
        }
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
                if matches!(app_db::partitions::make_missing(&parts.pool, &error).await, Ok(true)) {
                    continue;
                }
                failures::report("cannot settle; trying again", &error);
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
    let client = app_db::pool::get(&parts.pool).await?;
    app_db::settle::settle(&client, owner, settlements).await
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
        (Next::After(_), Delivery::Unknown) => "reconcile",
        (Next::After(_), _) => "retry",
    }
}
