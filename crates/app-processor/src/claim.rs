//! Claiming for one route and provider, and what is found out on the way: leases that lapsed, receipts that did
//! not come, messages that outlived their time. Those are settled in the claim's own transaction, so that none is
//! forgotten if we vanish.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use app_db::claim::{ClaimRequest, Claimed, Lease};
use app_db::settle::Settlement;
use jiff::Timestamp;
use model::transition::{self, Transition, Tried};
use model::{Bucket, Direction, OnUnknown, Reason};
use tokio::time::Instant;

use crate::Processor;

/// What was due longer ago than the last claim's oldest, less this, is only looked for by the sweep. Accepts and
/// retries commit within it of the time they put on a row.
const FLOOR_MARGIN: Duration = Duration::from_secs(30);
/// How often a claim looks from the very beginning.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// What a claim brought.
#[derive(Debug)]
pub(crate) struct Claim {
    pub sendable: Vec<Claimed>,
    /// It took as many rows as it might: there may be more.
    pub was_full: bool,
}

/// Where claims of a route begin to look.
#[derive(Debug, Default)]
pub(crate) struct Floors(Mutex<HashMap<String, RouteFloors>>);

#[derive(Debug)]
struct RouteFloors {
    by_priority: [Option<Timestamp>; 3],
    swept_at: Instant,
}

impl Floors {
    /// The floors of a route: none where it is time to sweep.
    fn of(&self, route: &str) -> [Option<Timestamp>; 3] {
        let mut floors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match floors.get_mut(route) {
            Some(known) if known.swept_at.elapsed() < SWEEP_EVERY => known.by_priority,
            Some(known) => {
                *known = RouteFloors { by_priority: [None; 3], swept_at: Instant::now() };
                [None; 3]
            }
            None => [None; 3],
        }
    }

    fn raise(&self, route: &str, claimed: &[Claimed]) {
        let mut floors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = floors
            .entry(route.to_owned())
            .or_insert_with(|| RouteFloors { by_priority: [None; 3], swept_at: Instant::now() });
        for row in claimed {
            let priority = usize::try_from(row.message.priority.as_i16()).unwrap_or(0).min(2);
            let floor = row.due_at.checked_sub(FLOOR_MARGIN).ok();
            known.by_priority[priority] = known.by_priority[priority].max(floor);
        }
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
        let request = ClaimRequest {
            route,
            provider_id,
            owner: self.owner,
            lease: self.parts.config.processor.lease,
            limit,
            floors: self.floors.of(route),
        };
        let mut client = app_db::pool::get(&self.parts.pool).await?;
        let transaction = client.transaction().await?;
        let claimed = app_db::claim::claim(&transaction, request).await?;
        self.floors.raise(route, &claimed);
        let was_full = claimed.len() == limit;
        let (settlements, sendable) = self.sort_out(claimed);
        let settled = app_db::settle::settle(&transaction, self.owner, &settlements).await?;
        self.leases.begin(sendable.iter().map(lease_of), began);
        if let Err(error) = transaction.commit().await {
            // Whether the leases are ours is unknown: they are left to lapse, and nothing is sent.
            self.leases.end(sendable.iter().map(lease_of));
            return Err(error.into());
        }
        for settlement in &settlements {
            crate::settle::count(&self.parts, settlement, &settled);
        }
        self.parts.metrics.claim_duration_seconds.observe(began.elapsed().as_secs_f64());
        if !self.leases.is_fresh(began) {
            // The database took its time: before these were sent, their leases might be over.
            let leases: Vec<Lease> = sendable.iter().map(lease_of).collect();
            app_db::claim::release(&client, self.owner, &leases).await?;
            self.leases.end(leases);
            return Ok(Claim { sendable: Vec::new(), was_full: true });
        }
        Ok(Claim { sendable, was_full })
    }

    /// What must be settled instead of sent, and what may be sent.
    fn sort_out(&self, claimed: Vec<Claimed>) -> (Vec<Settlement>, Vec<Claimed>) {
        let mut settlements = Vec::new();
        let mut sendable = Vec::with_capacity(claimed.len());
        for row in claimed {
            match self.step_before_sending(&row) {
                Some(transition) => {
                    let provider_id = row.lapsed_provider.clone().or(row.message.provider_id.clone());
                    settlements.push(self.settlement(&row, transition, provider_id));
                }
                None => sendable.push(row),
            }
        }
        (settlements, sendable)
    }

    fn step_before_sending(&self, row: &Claimed) -> Option<Transition> {
        debug_assert_eq!(row.message.direction, Direction::Outbound);
        let policy = &self.parts.config.processor.retry;
        if let Some(provider_id) = &row.lapsed_provider {
            // A provider that was taken out of the configuration: nobody says that a duplicate would be welcome.
            let provider = self.parts.config.provider(provider_id);
            let on_unknown = provider.map_or(OnUnknown::Hold, |provider| provider.on_unknown);
            let wait = provider.map_or(Duration::ZERO, |provider| provider.reconcile_wait);
            let tried = tried(row, Duration::ZERO);
            return Some(transition::after_unknown(
                Reason::LeaseLapsed,
                None,
                tried,
                policy,
                on_unknown,
                wait,
            ));
        }
        if row.reconciling {
            return Some(transition::after_reconcile_wait(row.attempt));
        }
        let expired = row.message.expires_at.is_some_and(|expires_at| expires_at <= row.claimed_at);
        expired.then(|| transition::expired(row.attempt))
    }

    pub(crate) fn settlement(
        &self,
        row: &Claimed,
        transition: Transition,
        provider_id: Option<String>,
    ) -> Settlement {
        let bucket = Bucket::of(row.message.id);
        let event_id = self.ids.next(self.parts.clock.now(), bucket);
        let channel = row.message.channel;
        Settlement { lease: lease_of(row), transition, channel, provider_id, event_id, reference: None }
    }
}

pub(crate) fn lease_of(row: &Claimed) -> Lease {
    Lease { message_id: row.message.id, lease_no: row.lease_no }
}

/// What the rules need to know, `since` after the claim.
pub(crate) fn tried(row: &Claimed, since: Duration) -> Tried {
    let due_first = row.message.send_at.map_or(row.message.created_at, |at| at.max(row.message.created_at));
    let age_at_claim = Duration::try_from(row.claimed_at.duration_since(due_first)).unwrap_or_default();
    Tried {
        attempt: row.attempt,
        age: age_at_claim + since,
        claims: u32::try_from(row.lease_no).unwrap_or(1),
        jitter: fastrand::f64(),
    }
}
