//! The whole story of a message going out: claim → route → send → settle, each a file beside this one.

use std::sync::Arc;
use std::time::Duration;

use app_db::claim::{Claimed, Lease};
use service::telemetry::chain;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Processor;
use crate::lease::Leases;
use crate::route::Candidate;

/// Claims follow each other at this distance at least. A first wake-up after idling is served at once.
const CLAIM_PACE: Duration = Duration::from_millis(2);
/// After a round that claimed so many messages: under load each claim takes a batch, because what a claim costs beside
/// its rows is as much as some dozens of them.
const BUSY_PACE: Duration = Duration::from_millis(8);
pub(crate) const BUSY_ROWS: usize = 16;
/// After a failed round.
const DATABASE_PAUSE: Duration = Duration::from_millis(250);

/// What a round over all routes brought.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    pub claimed: usize,
    /// There may be more than there were slots or rate for.
    pub is_full: bool,
}

impl Processor {
    /// Rounds until shutdown, on every wake-up and at least at every polling interval.
    pub(crate) async fn work(self: &Arc<Self>, shutdown: &CancellationToken) {
        let mut turns: Vec<usize> = (0..self.parts.config.routes.0.len()).collect();
        while !shutdown.is_cancelled() {
            let began = Instant::now();
            let (pause, longest) = match self.run_once(&mut turns, shutdown).await {
                // A wake-up says that half of the slots are free; one by one they are looked for at our pace.
                Ok(round) if round.is_full => (CLAIM_PACE, BUSY_PACE),
                Ok(round) if round.claimed >= BUSY_ROWS => {
                    (BUSY_PACE, self.parts.config.processor.poll_interval)
                }
                Ok(_) => (CLAIM_PACE, self.parts.config.processor.poll_interval),
                Err(error) => {
                    tracing::error!(error = chain(&error), "cannot claim; trying again");
                    (DATABASE_PAUSE, Duration::ZERO)
                }
            };
            tokio::time::sleep(pause.saturating_sub(began.elapsed())).await;
            tokio::select! {
                () = self.parts.wake.notified() => {}
                () = tokio::time::sleep(longest) => {}
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
    ) -> Result<Round, app_db::Error> {
        let mut round = Round::default();
        // Our own calls' leases may have lapsed with the database away: claiming now would take them from us. And a
        // settler that is behind wakes us when it is not.
        if !self.leases.are_kept() || self.settler.is_behind() {
            return Ok(round);
        }
        for number in turns.clone() {
            if shutdown.is_cancelled() {
                break;
            }
            let route = &self.parts.config.routes.0[number];
            let Some((candidate, permits)) = self.candidates.choose(route) else {
                round.is_full |= self.candidates.are_waited_for(route);
                continue;
            };
            turns.retain(|&other| other != number);
            turns.push(number);
            let claim = self.claim_and_send(&route.name, candidate, permits).await?;
            round.claimed += claim.claimed;
            round.is_full |= claim.is_full;
        }
        Ok(round)
    }

    async fn claim_and_send(
        self: &Arc<Self>,
        route: &str,
        candidate: Arc<Candidate>,
        mut permits: OwnedSemaphorePermit,
    ) -> Result<Round, app_db::Error> {
        let claim = self.claim(route, &candidate.config.id, permits.num_permits()).await?;
        if claim.was_full {
            // There may be more; the pace and the slots decide when it is looked for.
            candidate.want();
        }
        let round = Round { claimed: claim.sendable.len(), is_full: claim.was_full };
        for message in claim.sendable {
            let Some(permit) = permits.split(1) else { break };
            tokio::spawn(Arc::clone(self).send_and_settle(Arc::clone(&candidate), message, permit));
        }
        candidate.refund(permits.num_permits());
        Ok(round)
    }

    /// The slot is free when the provider has answered; the lease is held until that is settled.
    pub(crate) async fn send_and_settle(
        self: Arc<Self>,
        candidate: Arc<Candidate>,
        claimed: Claimed,
        permit: OwnedSemaphorePermit,
    ) {
        let held = HeldLease { leases: Arc::clone(&self.leases), lease: claimed.lease() };
        let began = Instant::now();
        let call = candidate.meters.call();
        let outcome = self.send(&candidate, &claimed).await;
        drop(call);
        candidate.learn(&outcome);
        drop(permit);
        if candidate.has_room_for_who_waits() {
            self.parts.wake.notify_one();
        }
        self.settle(&candidate, &claimed, &outcome, began, held);
    }
}

/// The lease of a call that is under way or waits for its settle. However that ends, also by a panic, the lease is no
/// longer kept then: what is not settled lapses, and its outcome counts as unknown.
#[derive(Debug)]
pub(crate) struct HeldLease {
    leases: Arc<Leases>,
    lease: Lease,
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.leases.end([self.lease]);
    }
}
