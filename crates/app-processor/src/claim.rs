//! Claiming for one route and provider, and what is found out on the way: leases that lapsed, receipts that did
//! not come, messages that outlived their time. Those are settled at once. Until that is written, a lapsed row keeps its
//! provider and a waiting one its mark, so that none is forgotten if we vanish.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use app_db::claim::{ClaimRequest, Claimed, Lease};
use app_db::floors;
use app_db::settle::Settlement;
use model::transition::{self, Elsewhere, Rules, Transition, Tried};
use model::{Bucket, OnUnknown, Reason};
use service::failures;
use tokio::time::Instant;

use crate::Processor;

/// What a claim brought.
#[derive(Debug)]
pub(crate) struct Claim {
    pub sendable: Vec<Claimed>,
    /// It took as many rows as it might: there may be more.
    pub was_full: bool,
}

/// Where claims of each route begin to look.
#[derive(Debug, Default)]
pub(crate) struct Floors(Mutex<HashMap<String, floors::Floors>>);

impl Floors {
    pub(crate) fn of(&self, route: &str) -> floors::Floors {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(route).copied().unwrap_or_default()
    }

    fn change(&self, route: &str, change: impl FnOnce(&mut floors::Floors)) {
        let mut floors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(floors.entry(route.to_owned()).or_default());
    }
}

impl Processor {
    /// Takes up to `limit` due messages of a route for a provider; all of them are to be sent.
    pub(crate) async fn claim(
        &self,
        route: &str,
        provider_id: &str,
        limit: usize,
    ) -> Result<Claim, app_db::Error> {
        let began = Instant::now();
        let floors = self.floors.of(route);
        let request = ClaimRequest {
            route,
            provider_id,
            owner: self.owner,
            lease: self.parts.config.processor.lease,
            limit,
            floors: floors.0,
        };
        let client = app_db::pool::get(&self.parts.pool).await?;
        let claimed = app_db::claim::claim(&client, request).await?;
        let was_full = claimed.len() == limit;
        self.floors.change(route, |known| known.raise(&floors, &claimed));
        let (settlements, mut sendable) = self.sort_out(claimed, provider_id);
        self.leases.begin(sendable.iter().map(Claimed::lease), began);
        self.settle_unsent(&client, &settlements).await;
        self.parts.metrics.claim_duration_seconds.observe(began.elapsed().as_secs_f64());
        let threaded = app_db::threads::fill(&client, &mut sendable).await;
        if threaded.is_err() || !self.leases.is_fresh(began) {
            // The database took its time, or is away: before these were sent, their leases might be over.
            let leases: Vec<Lease> = sendable.iter().map(Claimed::lease).collect();
            let released = app_db::claim::release(&client, self.owner, &leases).await;
            // Ours no more, also where they could not be given back: then they lapse.
            self.leases.end(leases);
            self.floors.change(route, |floors| *floors = floors::Floors::default());
            threaded?;
            released?;
            return Ok(Claim { sendable: Vec::new(), was_full: true });
        }
        Ok(Claim { sendable, was_full })
    }

    /// Looks below the floors of every lane, for what claims would not meet again.
    pub(crate) async fn look_for_left_behind(&self) -> Result<(), app_db::Error> {
        let client = app_db::pool::get(&self.parts.pool).await?;
        let lanes: Vec<(&str, floors::Floors)> =
            self.lanes.0.iter().map(|lane| (lane.name.as_str(), self.floors.of(&lane.name))).collect();
        for (lane, found) in self.lanes.0.iter().zip(floors::left_behind(&client, &lanes).await?) {
            if found != [None; 3] {
                self.floors.change(&lane.name, |floors| floors.lower(found));
                self.parts.wake.notify_one();
            }
        }
        Ok(())
    }

    /// A failure costs time only: what is not written is found again when its lease is over.
    async fn settle_unsent(&self, client: &app_db::Client, settlements: &[Settlement]) {
        match app_db::settle::settle(client, self.owner, settlements).await {
            Ok(settled) => {
                for settlement in settlements {
                    crate::settle::count(&self.parts, settlement, &settled);
                }
            }
            Err(error) => {
                // The next claim settles it where only a partition was missing.
                let _ = app_db::partitions::make_missing(&self.parts.pool, &error).await;
                failures::report(
                    "what a claim found out is not settled; the next one finds it again",
                    &error,
                );
            }
        }
    }

    /// What must be settled instead of sent, and what may be sent.
    fn sort_out(&self, claimed: Vec<Claimed>, provider_id: &str) -> (Vec<Settlement>, Vec<Claimed>) {
        let mut settlements = Vec::new();
        let mut sendable = Vec::with_capacity(claimed.len());
        for row in claimed {
            match self.step_before_sending(&row, provider_id) {
                Some(transition) => {
                    // A claim of a row that waits for a receipt sends nothing, also where that claim lapsed: the step
                    // is about the provider that was asked last. Other steps without a call are about none.
                    let provider_id =
                        if row.reconciling { row.provider_id.clone() } else { row.lapsed_provider.clone() };
                    settlements.push(self.settlement(&row, transition, provider_id));
                }
                None => sendable.push(row),
            }
        }
        (settlements, sendable)
    }

    fn step_before_sending(&self, row: &Claimed, provider_id: &str) -> Option<Transition> {
        let policy = &self.parts.config.processor.retry;
        // First: under a lease that found this out and lapsed, nothing was sent.
        if row.reconciling {
            return Some(transition::after_reconcile_wait(row.attempt));
        }
        if let Some(provider_id) = &row.lapsed_provider {
            // A provider that was taken out of the configuration: nobody says that a duplicate would be welcome.
            let provider = self.parts.config.provider(provider_id);
            let on_unknown = provider.map_or(OnUnknown::Hold, |provider| provider.on_unknown);
            let wait = provider.map_or(Duration::ZERO, |provider| provider.reconcile_wait);
            let elsewhere = Elsewhere::Nowhere;
            let rules = Rules { policy, on_unknown, reconcile_wait: wait, elsewhere, confirm_within: None };
            let tried = tried(row, Duration::ZERO);
            return Some(transition::after_unknown(Reason::LeaseLapsed, None, tried, &rules));
        }
        // Who accepted it is not asked again, and what was accepted does not expire.
        let is_late = row.expires_at.is_some_and(|expires_at| expires_at <= row.claimed_at);
        let has_accepted = row.accepted_by.iter().any(|id| id == provider_id);
        if has_accepted || (is_late && !row.accepted_by.is_empty()) {
            return Some(transition::unconfirmed(row.attempt, row.earlier()));
        }
        is_late.then(|| transition::expired(row.attempt))
    }

    pub(crate) fn settlement(
        &self,
        row: &Claimed,
        transition: Transition,
        provider_id: Option<String>,
    ) -> Settlement {
        let event_id = self.ids.next(self.parts.clock.now(), Bucket::of(row.message_id));
        let channel = row.channel;
        Settlement {
            lease: row.lease(),
            transition,
            channel,
            provider_id,
            event_id,
            reference: None,
            lane: None,
            accepts: false,
            holder: row.accepted_by.last().cloned(),
        }
    }
}

/// What the rules need to know, `since` after the claim.
pub(crate) fn tried(row: &Claimed, since: Duration) -> Tried {
    let age_at_claim =
        Duration::try_from(row.claimed_at.duration_since(row.first_due_at)).unwrap_or_default();
    Tried {
        attempt: row.attempt,
        age: age_at_claim + since,
        claims: u32::try_from(row.lease_no).unwrap_or(1),
        jitter: fastrand::f64(),
        earlier: row.earlier(),
    }
}
