//! The whole story of a message going out: claim → route → send → settle, each a file beside this one. What email is
//! sent with is gathered before (`attachments`).

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use app_db::claim::{Claimed, Lease};
use service::failures;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Processor;
use crate::candidate::Candidate;
use crate::lease::Leases;
use crate::send::Ended;
use crate::settle::Attempt;

/// Claims follow each other at this distance at least. A first wake-up after idling is served at once.
const CLAIM_PACE: Duration = Duration::from_millis(2);
/// After a round that claimed so many messages: under load each claim takes a batch, because what a claim costs beside
/// its rows is as much as some dozens of them.
const BUSY_PACE: Duration = Duration::from_millis(8);
pub(crate) const BUSY_ROWS: usize = 16;
/// After a failed round.
const DATABASE_PAUSE: Duration = Duration::from_millis(250);

/// What a round brought.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    pub claimed: usize,
    /// The numbers of lanes that may have more due than there were slots or rate for.
    pub unserved: Vec<usize>,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Visit<'a> {
    Everyone,
    /// Those that were left unserved: nothing says that others have something due.
    Only(&'a [usize]),
}

impl Processor {
    /// Rounds until shutdown: over all lanes on every wake-up and at least at every polling interval, and over those
    /// that were left unserved as soon as there is room.
    pub(crate) async fn work(self: &Arc<Self>, shutdown: &CancellationToken) {
        let poll_interval = self.parts.config.processor.poll_interval;
        let mut turns: Vec<usize> = (0..self.lanes.0.len()).collect();
        let (mut unserved, mut woken, mut poll_at) = (Vec::new(), true, Instant::now());
        while !shutdown.is_cancelled() {
            let began = Instant::now();
            let everyone = woken || unserved.is_empty() || began >= poll_at;
            if everyone {
                poll_at = began + poll_interval;
            }
            let visit = if everyone { Visit::Everyone } else { Visit::Only(&unserved) };
            let round = self.run_once(&mut turns, visit, shutdown).await.inspect_err(|error| {
                failures::report("cannot claim; trying again", error);
            });
            let (pause, longest) = match &round {
                Ok(round) if !round.unserved.is_empty() => (CLAIM_PACE, BUSY_PACE),
                Ok(round) if round.claimed >= BUSY_ROWS => (BUSY_PACE, poll_interval),
                Ok(_) => (CLAIM_PACE, poll_interval),
                Err(_) => (DATABASE_PAUSE, Duration::ZERO),
            };
            unserved = round.map_or_else(|_| Vec::new(), |round| round.unserved);
            tokio::time::sleep(pause.saturating_sub(began.elapsed())).await;
            woken = tokio::select! {
                () = self.parts.wake.notified() => true,
                () = self.room.notified() => false,
                () = tokio::time::sleep(longest) => false,
                () = shutdown.cancelled() => false,
            };
        }
    }

    /// One round: whoever has a candidate with free slots gets a claim, and goes to the end of `turns`, which are the
    /// lanes' numbers: those that share a provider take turns at its slots, however many rounds find none free.
    pub(crate) async fn run_once(
        self: &Arc<Self>,
        turns: &mut Vec<usize>,
        visit: Visit<'_>,
        shutdown: &CancellationToken,
    ) -> Result<Round, app_db::Error> {
        let mut round = Round::default();
        // The gate wakes us when it opens. Our own calls' leases may have lapsed with the database away: claiming now would take them from us. And a
        // settler that is behind wakes us when it is not.
        if !self.gate.is_open() || !self.leases.are_kept() || self.settler.is_behind() {
            return Ok(round);
        }
        let idle = match visit {
            Visit::Everyone => self.looked_into_and_empty().await?,
            Visit::Only(_) => HashSet::new(),
        };
        for number in turns.clone() {
            if shutdown.is_cancelled() {
                break;
            }
            if idle.contains(&number) || matches!(visit, Visit::Only(numbers) if !numbers.contains(&number)) {
                continue;
            }
            let lane = &self.lanes.0[number];
            let Some((candidate, permits)) = lane.choose(Instant::now()) else {
                if lane.is_waited_for(Instant::now()) {
                    round.unserved.push(number);
                }
                continue;
            };
            turns.retain(|&other| other != number);
            turns.push(number);
            let (claimed, was_full) = self.claim_and_send(number, candidate, permits).await?;
            round.claimed += claimed;
            if was_full {
                round.unserved.push(number);
            }
        }
        Ok(round)
    }

    /// Of the lanes that are looked into before they are claimed from, those with nothing due: one look tells for all.
    async fn looked_into_and_empty(&self) -> Result<HashSet<usize>, app_db::Error> {
        let (numbers, lanes): (Vec<usize>, Vec<(&str, app_db::floors::Floors)>) = self
            .lanes
            .looked_into()
            .map(|(number, lane)| (number, (lane.name.as_str(), self.floors.of(&lane.name))))
            .unzip();
        if lanes.is_empty() {
            return Ok(HashSet::new());
        }
        let client = app_db::pool::get(&self.parts.pool).await?;
        let have_due = app_db::floors::have_due(&client, &lanes).await?;
        Ok(numbers.into_iter().zip(have_due).filter(|(_, due)| !due).map(|(number, _)| number).collect())
    }

    /// How many it claimed, and whether there may be more.
    async fn claim_and_send(
        self: &Arc<Self>,
        number: usize,
        candidate: Arc<Candidate>,
        mut permits: OwnedSemaphorePermit,
    ) -> Result<(usize, bool), app_db::Error> {
        let lane = &self.lanes.0[number];
        // On every way out, what was not begun is given back.
        let mut unused = Unused { candidate: Arc::clone(&candidate), calls: permits.num_permits() };
        let within_rate = self.take_rate(&candidate, unused.calls).await?;
        if within_rate < unused.calls {
            candidate.want();
        }
        if within_rate == 0 {
            return Ok((0, true));
        }
        let claim = self.claim(&lane.name, &candidate.config.id, within_rate).await?;
        if claim.was_full {
            // The pace and the slots decide when it is looked for.
            candidate.want();
        }
        let claimed = claim.sendable.len();
        for message in claim.sendable {
            let Some(permit) = permits.split(1) else { break };
            let sending = Arc::clone(self).send_and_settle(number, Arc::clone(&candidate), message, permit);
            tokio::spawn(sending);
        }
        lane.carried(&candidate, claimed);
        unused.calls -= claimed;
        self.give_rate_back(&candidate, within_rate - claimed).await?;
        Ok((claimed, claim.was_full))
    }

    /// The slot is free when the provider has answered; the lease is held until that is settled.
    pub(crate) async fn send_and_settle(
        self: Arc<Self>,
        number: usize,
        candidate: Arc<Candidate>,
        claimed: Claimed,
        permit: OwnedSemaphorePermit,
    ) {
        let held = HeldLease { leases: Arc::clone(&self.leases), lease: claimed.lease() };
        let began = Instant::now();
        let allowed = candidate.begin(claimed.target.as_str());
        let ended = match self.gather(&claimed).await {
            Ok(gathered) => {
                let call = candidate.meters.call();
                let ended = self.send(&candidate, &claimed, &gathered).await;
                drop(call);
                ended
            }
            Err(outcome) => Ended::Unprepared(outcome),
        };
        let ended = match ended {
            Ended::Answered(outcome) => Ended::Answered(allowed.end(outcome)),
            // Nothing is learned about the provider.
            unasked => {
                drop(allowed);
                unasked
            }
        };
        drop(permit);
        if candidate.has_room_for_who_waits() {
            self.room.notify_one();
        }
        let attempt = Attempt { ended, began, held };
        self.settle(&self.lanes.0[number], &candidate, &claimed, attempt);
    }
}

/// Calls that a candidate allowed and that are not begun.
struct Unused {
    candidate: Arc<Candidate>,
    calls: usize,
}

impl Drop for Unused {
    fn drop(&mut self) {
        self.candidate.give_back(self.calls);
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
