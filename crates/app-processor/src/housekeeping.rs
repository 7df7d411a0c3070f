//! What is done now and then by whoever comes first: partitions, retention, expiry, stranded routes, gauges. Every
//! task is safe to run on several processors at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use app_db::Error;
use app_db::receipt_deadlines::{self, Examination};
use app_db::settle::Settlement;
use model::Reason;
use service::failures;
use service::metrics::{ChannelLabel, ChannelState, ProviderResolution};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Processor;

const TICK: Duration = Duration::from_secs(1);
const GAUGES_EVERY: Duration = Duration::from_secs(5);
const STRANDED_EVERY: Duration = Duration::from_secs(10);
const EXPIRY_EVERY: Duration = Duration::from_secs(10);
const RECEIPTS_EVERY: Duration = Duration::from_secs(10);
const CLEANING_EVERY: Duration = Duration::from_secs(60);
const PARTITIONS_EVERY: Duration = Duration::from_secs(3600);

const PARTITION_WARNING_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Rows that no route takes are matched again when the configuration changes, which is a start; so seldom otherwise.
const UNROUTED_EVERY: Duration = Duration::from_secs(600);
/// Deletions of one cleaning, at most; the next goes on.
const CLEANING_BATCHES: usize = 20;
/// Pieces of the walk along the receipt deadline at a time: more than can be accepted in that time.
const RECEIPT_PIECES: usize = 100;

/// A lapsed lease in a queue that has moved on is found within this, and within the longer time where an old snapshot
/// keeps millions of dead rows and a look takes long.
const LOOK_BEHIND_EVERY: Duration = Duration::from_secs(5);
const LOOK_BEHIND_LATEST: Duration = Duration::from_secs(60);
/// What takes long is not repeated before this many times what it took.
const REST: u32 = 50;

/// When a task is due next. Due at once.
struct Every {
    interval: Duration,
    next: Instant,
}

impl Every {
    fn new(interval: Duration) -> Self {
        Self { interval, next: Instant::now() }
    }

    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = now >= self.next;
        if due {
            self.next = now + self.interval;
        }
        due
    }

    /// A task that took long is not repeated soon.
    fn took(&mut self, took: Duration) {
        self.next = self.next.max(Instant::now() + took * REST);
    }
}

impl Processor {
    pub(crate) async fn housekeep(self: Arc<Self>, shutdown: CancellationToken) {
        let mut gauges = Every::new(GAUGES_EVERY);
        let mut stranded = Every::new(STRANDED_EVERY);
        let mut expiry = Every::new(EXPIRY_EVERY);
        let mut receipts = Every::new(RECEIPTS_EVERY);
        let mut cleaning = Every::new(CLEANING_EVERY);
        let mut partitions = Every::new(PARTITIONS_EVERY);
        let mut unrouted = HashMap::new();
        while !shutdown.is_cancelled() {
            if partitions.is_due() {
                report("partitions", self.tend_partitions().await);
            }
            if stranded.is_due() {
                report("stranded routes", self.reroute_stranded(&mut unrouted).await);
            }
            if expiry.is_due() {
                report("expiry", self.expire().await);
            }
            if receipts.is_due() {
                let began = Instant::now();
                report("receipt deadlines", self.examine_receipt_deadlines(&shutdown).await);
                receipts.next = receipts.next.max(Instant::now() + began.elapsed());
            }
            if cleaning.is_due() {
                report("cleaning", self.clean().await);
            }
            if gauges.is_due() {
                let began = Instant::now();
                report("gauges", self.measure().await);
                gauges.took(began.elapsed());
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// In a task of its own: while an old snapshot keeps dead rows, a look takes long, and the rest must not wait.
    pub(crate) async fn keep_looking_behind(self: Arc<Self>, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            let began = Instant::now();
            report("what was left behind", self.look_for_left_behind().await);
            let rest = (began.elapsed() * REST).clamp(LOOK_BEHIND_EVERY, LOOK_BEHIND_LATEST);
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    pub(crate) async fn tend_partitions(&self) -> Result<(), Error> {
        let mut client = app_db::pool::get(&self.parts.pool).await?;
        let outlook = app_db::partitions::ensure_ahead(&mut client).await?;
        self.partition_warning.log(&outlook);
        if let Some(keep) = self.parts.config.retention.filter(|_| self.gate.is_open()) {
            let dropped = app_db::partitions::drop_older_than(&client, keep).await?;
            if !dropped.is_empty() {
                tracing::info!(partitions = dropped.len(), "dropped what retention no longer keeps");
            }
        }
        Ok(())
    }

    /// Rows whose route the configuration does not have (any more) are matched again.
    pub(crate) async fn reroute_stranded(
        &self,
        unrouted: &mut HashMap<String, Instant>,
    ) -> Result<(), Error> {
        let client = app_db::pool::get(&self.parts.pool).await?;
        let routes = &self.parts.config.routes;
        for name in app_db::housekeeping::routes_in_use(&client).await? {
            let looked_at = unrouted.get(&name).is_some_and(|at| at.elapsed() < UNROUTED_EVERY);
            if routes.of_lane(&name).is_some() || looked_at {
                continue;
            }
            let mut after = Uuid::nil();
            let mut without_route = 0;
            loop {
                let rows = app_db::housekeeping::rows_of_route(&client, &name, after).await?;
                let Some(last) = rows.last() else { break };
                after = last.lease.message_id;
                let total = rows.len();
                let moves: Vec<_> = rows
                    .into_iter()
                    .filter_map(|row| {
                        let route = routes.matching(&row.facts())?.name.clone();
                        Some((row, route))
                    })
                    .collect();
                let moved = app_db::housekeeping::reroute(&client, &moves).await?;
                if moved > 0 {
                    tracing::info!(moved, from = name, "matched again to the routes of this configuration");
                    self.parts.wake.notify_one();
                }
                without_route += total - moves.len();
            }
            if without_route > 0 {
                tracing::warn!(
                    messages = without_route,
                    route = name,
                    "no route takes these messages; they wait"
                );
                unrouted.insert(name, Instant::now());
            }
        }
        Ok(())
    }

    /// Messages that outlived their time fail, also where no provider is there to claim them for.
    pub(crate) async fn expire(&self) -> Result<(), Error> {
        if !self.gate.is_open() {
            return Ok(());
        }
        let mut client = app_db::pool::get(&self.parts.pool).await?;
        let max_age = self.parts.config.processor.retry.max_age;
        let transaction = client.transaction().await?;
        let now = self.parts.clock.now();
        let rows = app_db::housekeeping::claim_expired(&transaction, self.owner, now, max_age).await?;
        let settlements: Vec<Settlement> = rows
            .iter()
            .map(|row| {
                let provider_id = row.provider_id.clone();
                self.settlement(row, model::transition::expired(row.attempt), provider_id)
            })
            .collect();
        let settled = app_db::settle::settle(&transaction, self.owner, &settlements).await?;
        transaction.commit().await?;
        for settlement in &settlements {
            crate::settle::count(&self.parts, settlement, &settled);
        }
        Ok(())
    }

    /// Messages whose provider accepted them and never reported: their delivery is unknown after the deadline.
    pub(crate) async fn examine_receipt_deadlines(&self, shutdown: &CancellationToken) -> Result<(), Error> {
        let config = &self.parts.config;
        let Some(deadline) = config.processor.receipt_deadline else { return Ok(()) };
        let reporting: Vec<&str> = config
            .providers
            .iter()
            .filter(|provider| provider.kind.receipts)
            .map(|provider| provider.id.as_str())
            .collect();
        let mut client = app_db::pool::get(&self.parts.pool).await?;
        for _ in 0..RECEIPT_PIECES {
            // A local clock that is ahead would move the cursor past messages that are not committed yet.
            let now = app_db::gauges::database_time(&client).await?;
            let examination = Examination { now, deadline, reporting: reporting.as_slice() };
            let progress = receipt_deadlines::examine(&mut client, &self.ids, examination).await?;
            for (_, provider_id) in &progress.timed_out {
                let label = ProviderResolution::new(provider_id, Reason::ReceiptTimeout.as_str());
                self.parts.metrics.outcomes_unknown.get_or_create(&label).inc();
            }
            if !progress.more || shutdown.is_cancelled() {
                break;
            }
        }
        Ok(())
    }

    pub(crate) async fn clean(&self) -> Result<(), Error> {
        if !self.gate.is_open() {
            return Ok(());
        }
        let client = app_db::pool::get(&self.parts.pool).await?;
        for _ in 0..CLEANING_BATCHES {
            if app_db::housekeeping::delete_old_keys(&client, self.parts.config.retention).await? == 0 {
                break;
            }
        }
        app_db::quarantine::trim(&client).await?;
        app_db::provider_states::delete_gone(&client).await?;
        if let Some(keep) = self.parts.config.retention {
            for _ in 0..CLEANING_BATCHES {
                if app_db::housekeeping::delete_idle_conversations(&client, keep).await? == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn measure(&self) -> Result<(), Error> {
        let client = app_db::pool::get(&self.parts.pool).await?;
        let depths = app_db::gauges::outbox(&client).await?;
        let metrics = &self.parts.metrics;
        for channel in model::Channel::ALL {
            let name = channel.as_str();
            let depth = depths.iter().find(|depth| depth.channel == name).cloned().unwrap_or_default();
            for (state, count) in [
                ("due", depth.due),
                ("delayed", depth.delayed),
                ("leased", depth.leased),
                ("held", depth.held),
            ] {
                metrics.outbox_messages.get_or_create(&ChannelState::new(name, state)).set(count);
            }
            let age = metrics.outbox_oldest_due_age_seconds.get_or_create(&ChannelLabel::new(name)).clone();
            age.set(depth.oldest_due_age_s);
        }
        metrics.measured();
        Ok(())
    }
}

/// Warns once a day that partitions run out and this role may not create them.
#[derive(Debug, Default)]
pub(crate) struct PartitionWarning(Mutex<Option<Instant>>);

impl PartitionWarning {
    fn log(&self, outlook: &app_db::partitions::Outlook) {
        let Some(warning) = outlook.warning() else { return };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| last.elapsed() >= PARTITION_WARNING_EVERY) {
            *last = Some(Instant::now());
            tracing::warn!("{warning}");
        }
    }
}

fn report(task: &str, result: Result<(), Error>) {
    if let Err(error) = result {
        tracing::debug!(task, "housekeeping failed");
        failures::report("housekeeping failed; it will be tried again", &error);
    }
}
