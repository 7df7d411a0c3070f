//! A configured provider as the processor sees it: its connections, its slots, how it fares, what it may take now.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use app_db::provider_states::ProviderState;
use jiff::Timestamp;
use model::provider_health::PAUSED_BY_OPERATOR;
use model::{Outcome, ProviderHealth};
use service::metrics::Metrics;
use service::{Config, ProviderConfig};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::StartError;
use crate::breaker::{Allowance, Breaker, EndedCall, Recipient};
use crate::meters::Meters;
use crate::send::Transports;

/// The largest batch of one claim.
const CLAIM_ROWS_MAX: usize = 500;

#[derive(Debug)]
pub(crate) struct Candidate {
    pub config: ProviderConfig,
    pub transports: Transports,
    pub webhook_url: String,
    pub meters: Meters,
    slots: Arc<Semaphore>,
    breaker: Mutex<Breaker>,
    /// When the installation's rate has something for us again, as far as the database said.
    rate_ready_at: Mutex<Option<Instant>>,
    /// An operator's word, for all processors.
    paused: AtomicBool,
    /// Whether a claim was limited by its slots: a freed one is then worth a wake-up.
    wanted: AtomicBool,
}

/// What a candidate can do for a claim.
#[derive(Debug)]
pub(crate) enum Room {
    Slots(OwnedSemaphorePermit),
    /// Its slots are taken, or its rate is used up: soon.
    Busy,
    /// Its breaker is open, or it comes back slowly, or it is paused: the next candidate takes over.
    Down,
}

/// All configured providers.
#[derive(Debug)]
pub(crate) struct Candidates(HashMap<String, Arc<Candidate>>);

impl Candidates {
    pub(crate) fn new(config: &Config, metrics: &Metrics) -> Result<Self, StartError> {
        let candidate = |provider: &ProviderConfig| {
            let transports = Transports::new(provider)
                .map_err(|problem| StartError::Client { id: provider.id.clone(), problem })?;
            let candidate = Candidate {
                transports,
                webhook_url: format!("{}/api/webhooks/{}", config.public_url, provider.id),
                meters: Meters::new(metrics, &provider.id),
                slots: Arc::new(Semaphore::new(provider.max_in_flight)),
                breaker: Mutex::new(Breaker::new()),
                rate_ready_at: Mutex::new(None),
                paused: AtomicBool::new(false),
                wanted: AtomicBool::new(false),
                config: provider.clone(),
            };
            Ok((provider.id.clone(), Arc::new(candidate)))
        };
        config.providers.iter().map(candidate).collect::<Result<_, StartError>>().map(Self)
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Arc<Candidate>> {
        self.0.get(id)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Candidate>> {
        self.0.values()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Candidate {
    /// An operator's word; says whether it may be used again from now on.
    pub(crate) fn set_paused(&self, paused: bool) -> bool {
        self.paused.swap(paused, Ordering::Relaxed) && !paused
    }

    /// How it fares, to be published.
    pub(crate) fn state(&self, now: Instant, clock: Timestamp) -> ProviderState {
        let mut breaker = lock(&self.breaker);
        let (health, reason, left) = breaker.report(now);
        let is_paused = self.paused.load(Ordering::Relaxed);
        let lately = self.meters.lately(now);
        let in_flight = self.under_way();
        let count = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
        ProviderState {
            provider_id: self.config.id.clone(),
            state: if is_paused { ProviderHealth::Paused } else { health },
            reason: if is_paused { Some(PAUSED_BY_OPERATOR) } else { reason }.map(str::to_owned),
            since: clock.checked_sub(breaker.since(now)).unwrap_or(clock),
            until: left.and_then(|left| clock.checked_add(left).ok()).filter(|_| !is_paused),
            in_flight: count(in_flight),
            slots: count(self.config.max_in_flight),
            failures: count(breaker.failures()),
            latency_ms: lately.latency_ms,
            latency_p95_ms: lately.latency_p95_ms,
            calls_per_s: lately.calls_per_s,
        }
    }

    /// Whether nothing may be sent to it for now.
    pub(crate) fn is_down(&self, now: Instant) -> bool {
        self.paused.load(Ordering::Relaxed) || lock(&self.breaker).is_open(now)
    }

    /// Up to `limit` slots.
    pub(crate) fn take(&self, limit: usize, now: Instant) -> Room {
        if self.is_down(now) {
            return Room::Down;
        }
        let free = self.slots.available_permits();
        let wanted = free.min(CLAIM_ROWS_MAX).min(limit);
        if wanted == 0 || lock(&self.rate_ready_at).is_some_and(|at| now < at) {
            self.want();
            return Room::Busy;
        }
        let Allowance::Calls(allowed) = lock(&self.breaker).take(wanted, now) else {
            self.want();
            return Room::Down;
        };
        let permits =
            u32::try_from(allowed).ok().and_then(|n| Arc::clone(&self.slots).try_acquire_many_owned(n).ok());
        permits.map_or(Room::Busy, Room::Slots)
    }

    /// Of a call that begins and ends now.
    #[cfg(test)]
    pub(crate) fn learn(self: &Arc<Self>, outcome: &Outcome) {
        self.begin("+12025550199").end(outcome.clone());
    }

    /// Of `permits` so many are not used: nothing was due, or the rate did not allow it.
    pub(crate) fn give_back(&self, unused: usize) {
        lock(&self.breaker).give_back(unused);
    }

    /// The installation's rate is used up until then.
    pub(crate) fn rate_is_ready_at(&self, at: Instant) {
        *lock(&self.rate_ready_at) = Some(at);
    }

    pub(crate) fn rate_is_ready(&self) {
        *lock(&self.rate_ready_at) = None;
    }

    /// Somebody waits for its slots.
    pub(crate) fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_waited_for(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for its slots and half of them are free. That takes the mark away; the next claim sets it
    /// again.
    pub(crate) fn has_room_for_who_waits(&self) -> bool {
        let half = self.config.max_in_flight.min(CLAIM_ROWS_MAX) / 2;
        self.slots.available_permits() > half && self.wanted.swap(false, Ordering::Relaxed)
    }

    /// A call that its breaker has allowed begins.
    pub(crate) fn begin(self: &Arc<Self>, recipient: &str) -> AllowedCall {
        let opening = lock(&self.breaker).opening();
        let recipient = Recipient::of(recipient);
        AllowedCall { candidate: Arc::clone(self), opening, recipient, is_answered: false }
    }

    fn under_way(&self) -> usize {
        self.config.max_in_flight.saturating_sub(self.slots.available_permits())
    }
}

/// A call that a breaker has allowed. Dropped without an answer of the provider, it gives its place among the probes back.
#[derive(Debug)]
pub(crate) struct AllowedCall {
    candidate: Arc<Candidate>,
    opening: u64,
    recipient: Recipient,
    is_answered: bool,
}

impl AllowedCall {
    /// The breaker learns what the outcome says about the provider. Returns what it says about the message: one that was
    /// forbidden waits at no cost where the account is to blame.
    pub(crate) fn end(mut self, outcome: Outcome) -> Outcome {
        self.is_answered = true;
        let now = Instant::now();
        let under_way = self.candidate.under_way();
        let call = EndedCall { opening: self.opening, recipient: self.recipient, under_way };
        let mut breaker = lock(&self.candidate.breaker);
        let was_open = breaker.is_open(now);
        breaker.learn(&outcome, call, now);
        if !was_open && breaker.is_open(now) {
            let (_, reason, pause) = breaker.report(now);
            let pause_ms = pause.unwrap_or_default().as_millis();
            let provider_id = self.candidate.config.id.as_str();
            tracing::warn!(provider.id = provider_id, reason, pause_ms, "circuit breaker opened");
        }
        match outcome {
            Outcome::Forbidden { provider_code, detail } if breaker.blames_account(self.recipient) => {
                Outcome::Halted { provider_code, detail }
            }
            other => other,
        }
    }
}

impl Drop for AllowedCall {
    fn drop(&mut self) {
        if !self.is_answered {
            lock(&self.candidate.breaker).forgo(self.opening);
        }
    }
}
