//! The whole story of a message going out: claim → route → send → settle, each a file beside this one.

use std::sync::Arc;
use std::time::Duration;

use app_db::claim::Claimed;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Processor;
use crate::route::Candidate;

/// Claims follow each other at this distance at least, so that under load each takes a batch. A first wake-up
/// after idling is served at once.
const CLAIM_PACE: Duration = Duration::from_millis(4);
/// After a failed round.
const DATABASE_PAUSE: Duration = Duration::from_millis(250);

impl Processor {
    /// Rounds until shutdown, on every wake-up and at least at every polling interval.
    pub(crate) async fn work(self: &Arc<Self>, shutdown: &CancellationToken) {
        let mut first_route = 0;
        while !shutdown.is_cancelled() {
            let began = Instant::now();
            let pause = match self.run_once(first_route).await {
                Ok(()) => CLAIM_PACE.saturating_sub(began.elapsed()),
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "cannot claim; trying again");
                    DATABASE_PAUSE
                }
            };
            first_route += 1;
            tokio::time::sleep(pause).await;
            tokio::select! {
                () = self.parts.wake.notified() => {}
                () = tokio::time::sleep(self.parts.config.processor.poll_interval) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// One round over all routes: whoever has a candidate with free slots gets a claim. `first_route` rotates, so
    /// that routes that share a provider take turns at its slots.
    pub(crate) async fn run_once(self: &Arc<Self>, first_route: usize) -> Result<(), app_db::Error> {
        if !self.leases.are_kept() {
            // Our own calls' leases may have lapsed with the database away: claiming now would take them from us.
            return Ok(());
        }
        let routes = &self.parts.config.routes.0;
        for offset in 0..routes.len() {
            let route = &routes[(first_route + offset) % routes.len()];
            let Some((candidate, permits)) = self.candidates.choose(route) else { continue };
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
        let claimed = self.claim(route, &candidate.config.id, permits.num_permits()).await?;
        if claimed.len() == permits.num_permits() {
            // There may be more; the pace and the slots decide when it is looked for.
            candidate.want();
            self.parts.wake.notify_one();
        }
        for message in claimed {
            let Some(permit) = permits.split(1) else { break };
            tokio::spawn(Arc::clone(self).send_and_settle(Arc::clone(&candidate), message, permit));
        }
        candidate.refund(permits.num_permits());
        Ok(())
    }

    async fn send_and_settle(
        self: Arc<Self>,
        candidate: Arc<Candidate>,
        claimed: Claimed,
        permit: OwnedSemaphorePermit,
    ) {
        let in_flight = self.parts.metrics.provider_in_flight.get_or_create(&candidate.label).clone();
        in_flight.inc();
        let began = Instant::now();
        let outcome = self.send(&candidate, &claimed).await;
        in_flight.dec();
        candidate.learn(&outcome);
        self.settle(&candidate, &claimed, &outcome, began).await;
        drop(permit);
        if candidate.is_wanted() {
            self.parts.wake.notify_one();
        }
    }
}
