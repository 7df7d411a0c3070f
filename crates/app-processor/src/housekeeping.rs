//! What the duties of maintenance do: partitions, retention, expiry, stranded routes, cleaning, gauges. When they do it is
//! in `duties`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use app_db::Error;
use app_db::housekeeping::KeysCleanedTo;
use app_db::receipt_deadlines::{self, Examination};
use app_db::settle::Settlement;
use model::Reason;
use service::metrics::{ChannelLabel, ChannelState, ProviderResolution};
use tokio::time::Instant;
use uuid::Uuid;

use crate::Processor;
use crate::duties::Batch;

const PARTITION_WARNING_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Rows that no route takes are matched again when the configuration changes, which is a start; so seldom otherwise.
const UNROUTED_EVERY: Duration = Duration::from_secs(600);
impl Processor {
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
    pub(crate) async fn expire(&self, walked_to: &mut Uuid) -> Result<(), Error> {
        if !self.gate.is_open() {
            return Ok(());
        }
        let mut client = app_db::pool::get(&self.parts.pool).await?;
        let max_age = self.parts.config.processor.retry.max_age;
        let transaction = client.transaction().await?;
        let now = self.parts.clock.now();
        let rows =
            app_db::housekeeping::claim_expired(&transaction, self.owner, now, max_age, walked_to).await?;
        let settlements: Vec<Settlement> = rows
            .iter()
            .map(|row| self.settlement(row, model::transition::expired(row.attempt), None))
            .collect();
        let settled = app_db::settle::settle(&transaction, self.owner, &settlements).await?;
        transaction.commit().await?;
        for settlement in &settlements {
            crate::settle::count(&self.parts, settlement, &settled);
        }
        Ok(())
    }

    /// Messages whose provider accepted them and never reported: their delivery is unknown after the deadline.
    pub(crate) async fn examine_receipt_deadlines(&self) -> Result<Batch, Error> {
        let config = &self.parts.config;
        let Some(deadline) = config.processor.receipt_deadline else { return Ok(Batch::default()) };
        let reporting: Vec<&str> = config
            .providers
            .iter()
            .filter(|provider| provider.kind.receipts)
            .map(|provider| provider.id.as_str())
            .collect();
        let mut client = app_db::pool::get(&self.parts.pool).await?;
        // A local clock that is ahead would move the cursor past messages that are not committed yet.
        let now = app_db::gauges::database_time(&client).await?;
        let examination = Examination { now, deadline, reporting: reporting.as_slice() };
        let progress = receipt_deadlines::examine(&mut client, &self.ids, examination).await?;
        for (_, provider_id) in &progress.timed_out {
            let label = ProviderResolution::new(provider_id, Reason::ReceiptTimeout.as_str());
            self.parts.metrics.outcomes_unknown.get_or_create(&label).inc();
        }
        Ok(Batch { count: progress.timed_out.len() as u64, more: progress.more })
    }

    pub(crate) async fn clean_keys(&self, cleaned_to: &mut KeysCleanedTo) -> Result<Batch, Error> {
        if !self.gate.is_open() {
            return Ok(Batch::default());
        }
        let client = app_db::pool::get(&self.parts.pool).await?;
        Ok(until_none(
            app_db::housekeeping::delete_old_keys(&client, self.parts.config.retention, cleaned_to).await?,
        ))
    }

    pub(crate) async fn trim_rejected_webhooks(&self) -> Result<Batch, Error> {
        if !self.gate.is_open() {
            return Ok(Batch::default());
        }
        let client = app_db::pool::get(&self.parts.pool).await?;
        Ok(Batch { count: app_db::quarantine::trim(&client).await?, more: false })
    }

    pub(crate) async fn clean_provider_states(&self) -> Result<Batch, Error> {
        if !self.gate.is_open() {
            return Ok(Batch::default());
        }
        let client = app_db::pool::get(&self.parts.pool).await?;
        Ok(Batch { count: app_db::provider_states::delete_gone(&client).await?, more: false })
    }

    pub(crate) async fn clean_conversations(&self) -> Result<Batch, Error> {
        let Some(keep) = self.parts.config.retention.filter(|_| self.gate.is_open()) else {
            return Ok(Batch::default());
        };
        let client = app_db::pool::get(&self.parts.pool).await?;
        Ok(until_none(app_db::housekeeping::delete_idle_conversations(&client, keep).await?))
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

/// A batch after which another follows as long as there was something to do.
fn until_none(count: u64) -> Batch {
    Batch { count, more: count > 0 }
}
