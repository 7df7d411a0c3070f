//! The whole story of a message going out: claim → route → send → settle, each a file beside this one.

use std::sync::Arc;
use std::time::Duration;

use app_db::claim::{Claimed, Lease};
use prometheus_client::metrics::gauge::Gauge;
use service::telemetry::chain;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Processor;
use crate::claim::lease_of;
use crate::lease::Leases;
use crate::route::Candidate;

/// Claims follow each other at this distance at least, so that under load each takes a batch. A first wake-up
/// after idling is served at once.
const CLAIM_PACE: Duration = Duration::from_millis(4);
/// After a failed round.
const DATABASE_PAUSE: Duration = Duration::from_millis(250);

impl Processor {
    /// Rounds until shutdown, on every wake-up and at least at every polling interval.
    pub(crate) async fn work(self: &Arc<Self>, shutdown: &CancellationToken) {
        let mut turns: Vec<usize> = (0..self.parts.config.routes.0.len()).collect();
        while !shutdown.is_cancelled() {
            let began = Instant::now();
            let pause = match self.run_once(&mut turns, shutdown).await {
                Ok(()) => CLAIM_PACE.saturating_sub(began.elapsed()),
                Err(error) => {
                    tracing::error!(error = chain(&error), "cannot claim; trying again");
                    DATABASE_PAUSE
                }
            };
            tokio::time::sleep(pause).await;
            tokio::select! {
                () = self.parts.wake.notified() => {}
                () = tokio::time::sleep(self.parts.config.processor.poll_interval) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// One round over all routes: whoever has a candidate with free slots gets a claim, and goes to the
    /// end of `turns`, which are the routes' numbers: those that share a provider take turns at its slots, however
    /// many rounds find none free.
    pub(crate) async fn run_once(
        self: &Arc<Self>,
        turns: &mut Vec<usize>,
        shutdown: &CancellationToken,
    ) -> Result<(), app_db::Error> {
        if !self.leases.are_kept() {
            // Our own calls' leases may have lapsed with the database away: claiming now would take them from us.
            return Ok(());
        }
        for number in turns.clone() {
            if shutdown.is_cancelled() {
                break;
            }
            let route = &self.parts.config.routes.0[number];
            let Some((candidate, permits)) = self.candidates.choose(route) else { continue };
            turns.retain(|&other| other != number);
            turns.push(number);
            self.claim_and_send(&route.name, candidate, permits).await?;
        }
        Ok(())
    }

    async fn claim_and_send(
        self: &Arc<Self>,
        route: &str,
        candidate: Arc<Candidate>,
        mut permits: OwnedSemaphorePermit,
    ) -> Result<(), app_db::Error> {
        let claim = self.claim(route, &candidate.config.id, permits.num_permits()).await?;
        if claim.was_full {
            // There may be more; the pace and the slots decide when it is looked for.
            candidate.want();
            self.parts.wake.notify_one();
        }
        for message in claim.sendable {
            let Some(permit) = permits.split(1) else { break };
            tokio::spawn(Arc::clone(self).send_and_settle(Arc::clone(&candidate), message, permit));
        }
        candidate.refund(permits.num_permits());
        Ok(())
    }

    pub(crate) async fn send_and_settle(
        self: Arc<Self>,
        candidate: Arc<Candidate>,
        claimed: Claimed,
        permit: OwnedSemaphorePermit,
    ) {
        let call = Call::begin(&self, &candidate, lease_of(&claimed));
        let began = Instant::now();
        let outcome = self.send(&candidate, &claimed).await;
        candidate.learn(&outcome);
        self.settle(&candidate, &claimed, &outcome, began).await;
        drop(call);
        drop(permit);
        if candidate.is_wanted() {
            self.parts.wake.notify_one();
        }
    }
}

/// A call under way. However it ends, also by a panic, its lease is no longer kept: what is not settled then lapses,
/// and its outcome counts as unknown.
struct Call {
    leases: Arc<Leases>,
    lease: Lease,
    in_flight: Gauge,
}

impl Call {
    fn begin(processor: &Processor, candidate: &Candidate, lease: Lease) -> Self {
        let in_flight = processor.parts.metrics.provider_in_flight.get_or_create(&candidate.label).clone();
        in_flight.inc();
        Self { leases: Arc::clone(&processor.leases), lease, in_flight }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.in_flight.dec();
        self.leases.end([self.lease]);
    }
}
