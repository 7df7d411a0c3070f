//! Keeping leases: they are short, so that a crash is repaired in seconds, and extended while a call runs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use app_db::claim::Lease;
use service::failures;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Processor;

/// The part of a lease that is relied on; the rest is for clocks, stalls and the way to the database.
const SAFE_SHARE: f64 = 0.7;

/// The leases that calls run under.
#[derive(Debug)]
pub(crate) struct Leases {
    lease: Duration,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    leases: HashSet<Lease>,
    /// Those of them that were not ours any more when they were to be extended.
    lost: HashSet<Lease>,
    /// When every held lease was last known to be good.
    good_at: Instant,
}

impl Leases {
    pub(crate) fn new(lease: Duration) -> Self {
        Self {
            lease,
            held: Mutex::new(Held { leases: HashSet::new(), lost: HashSet::new(), good_at: Instant::now() }),
        }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leases that were taken no earlier than `taken_at`.
    pub(crate) fn begin(&self, leases: impl IntoIterator<Item = Lease>, taken_at: Instant) {
        let mut held = self.held();
        if held.leases.is_empty() {
            held.good_at = taken_at;
        }
        held.leases.extend(leases);
    }

    /// Whether a lease that was taken then still has time for a call to begin under it.
    pub(crate) fn is_fresh(&self, taken_at: Instant) -> bool {
        taken_at.elapsed() < self.lease.mul_f64(SAFE_SHARE)
    }

    pub(crate) fn end(&self, leases: impl IntoIterator<Item = Lease>) {
        let mut held = self.held();
        for lease in leases {
            held.leases.remove(&lease);
            held.lost.remove(&lease);
        }
    }

    /// Whether a call may still begin under a lease that was taken some time ago: otherwise another processor may have
    /// the message by now.
    pub(crate) fn is_kept(&self, lease: Lease) -> bool {
        let held = self.held();
        self.is_fresh(held.good_at) && !held.lost.contains(&lease)
    }

    /// How many calls are under way or wait for their settle.
    pub(crate) fn count(&self) -> usize {
        self.held().leases.len()
    }

    /// Whether it is safe to claim: a lease of our own that lapsed while the database was away would look like one
    /// of a vanished processor.
    pub(crate) fn are_kept(&self) -> bool {
        let held = self.held();
        held.leases.is_empty() || self.is_fresh(held.good_at)
    }

    /// The database is away: no claims until the leases were extended again.
    pub(crate) fn settling_fails(&self) {
        let mut held = self.held();
        held.good_at = held.good_at.checked_sub(self.lease).unwrap_or(held.good_at);
    }
}

impl Processor {
    pub(crate) async fn keep_leases(self: Arc<Self>, shutdown: CancellationToken) {
        let lease = self.parts.config.processor.lease;
        loop {
            tokio::select! {
                () = tokio::time::sleep(lease / 4) => {}
                () = shutdown.cancelled() => return,
            }
            while !self.leases.held().leases.is_empty() && !shutdown.is_cancelled() {
                match self.extend_leases().await {
                    Ok(()) => break,
                    Err(error) => {
                        failures::report("cannot extend leases; trying again", &error);
                        tokio::time::sleep(lease / 20).await;
                    }
                }
            }
        }
    }

    pub(crate) async fn extend_leases(&self) -> Result<(), app_db::Error> {
        let began = Instant::now();
        let leases: Vec<Lease> = self.leases.held().leases.iter().copied().collect();
        let client = app_db::pool::get(&self.parts.pool).await?;
        // What is not extended is either settled by now or lost; the settle finds out which.
        let lease = self.parts.config.processor.lease;
        let extended = app_db::claim::extend(&client, self.owner, lease, &leases).await?;
        let mut held = self.leases.held();
        held.good_at = began;
        if extended.len() < leases.len() {
            let extended: HashSet<Lease> = extended.into_iter().collect();
            let lost = leases.into_iter().filter(|lease| !extended.contains(lease));
            let lost: Vec<Lease> = lost.filter(|lease| held.leases.contains(lease)).collect();
            held.lost.extend(lost);
        }
        Ok(())
    }
}
