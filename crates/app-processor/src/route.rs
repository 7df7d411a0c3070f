//! Choosing among a route's candidates by what is known of each: free slots, rate, and whether it is paused. The
//! rule that a message matches is `model::route`; here is who carries it now.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::{Outcome, Route};
use service::metrics::Metrics;
use service::{Config, ProviderConfig};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::StartError;
use crate::meters::Meters;
use crate::send::HttpClient;
use crate::smtp::SmtpClient;

/// The largest batch of one claim.
const CLAIM_ROWS_MAX: usize = 500;
/// Throttled answers in a row, without an accepted one between, that slow the whole account down.
const THROTTLED_IN_A_ROW: u32 = 3;
const THROTTLE_PAUSE_MAX: Duration = Duration::from_secs(5);
const UNREACHABLE_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
const HALT_PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// A configured provider and how it fares.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub config: ProviderConfig,
    pub client: HttpClient,
    pub smtp: SmtpClient,
    pub webhook_url: String,
    pub meters: Meters,
    slots: Arc<Semaphore>,
    health: Mutex<Health>,
    /// Whether a claim was limited by its slots: a freed one is then worth a wake-up.
    wanted: AtomicBool,
}

#[derive(Debug)]
struct Health {
    /// Nothing is claimed for it before this.
    paused_until: Option<Instant>,
    /// Pauses in a row: the next is twice as long, and afterwards one message goes ahead as a probe.
    pauses: u32,
    throttled: u32,
    tokens: f64,
    refilled_at: Instant,
}

/// All configured providers.
#[derive(Debug)]
pub(crate) struct Candidates(HashMap<String, Arc<Candidate>>);

impl Candidates {
    pub(crate) fn new(config: &Config, metrics: &Metrics) -> Result<Self, StartError> {
        let candidate = |provider: &ProviderConfig| {
            let client = HttpClient::new(provider)
                .map_err(|problem| StartError::Client { id: provider.id.clone(), problem })?;
            let health = Health {
                paused_until: None,
                pauses: 0,
                throttled: 0,
                tokens: provider.rate_per_s.unwrap_or_default().min(1.0),
                refilled_at: Instant::now(),
            };
            let candidate = Candidate {
                client,
                smtp: SmtpClient::new(provider),
                webhook_url: format!("{}/api/webhooks/{}", config.public_url, provider.id),
                meters: Meters::new(metrics, &provider.id),
                slots: Arc::new(Semaphore::new(provider.max_in_flight)),
                health: Mutex::new(health),
                wanted: AtomicBool::new(false),
                config: provider.clone(),
            };
            Ok((provider.id.clone(), Arc::new(candidate)))
        };
        config.providers.iter().map(candidate).collect::<Result<_, StartError>>().map(Self)
    }

    /// The route's first candidate that is not paused, with the slots that it has to give now. The next one takes
    /// over when it is paused, not when it is merely busy.
    pub(crate) fn choose(&self, route: &Route) -> Option<(Arc<Candidate>, OwnedSemaphorePermit)> {
        let now = Instant::now();
        let known = route.providers.iter().filter_map(|id| self.0.get(id));
        let candidate = known.into_iter().find(|candidate| !candidate.is_paused(now))?;
        let permits = candidate.take_slots(now)?;
        Some((Arc::clone(candidate), permits))
    }

    /// Whether a claim for this route was limited by slots or rate, not by a pause, whose end a poll finds.
    pub(crate) fn are_waited_for(&self, route: &Route) -> bool {
        let now = Instant::now();
        let mut known = route.providers.iter().filter_map(|id| self.0.get(id));
        known.any(|candidate| candidate.is_waited_for() && !candidate.is_paused(now))
    }
}

impl Candidate {
    fn health(&self) -> std::sync::MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_paused(&self, now: Instant) -> bool {
        self.health().paused_until.is_some_and(|until| now < until)
    }

    fn take_slots(&self, now: Instant) -> Option<OwnedSemaphorePermit> {
        let mut health = self.health();
        let free = self.slots.available_permits().min(CLAIM_ROWS_MAX);
        let in_use =
            self.config.max_in_flight - self.slots.available_permits().min(self.config.max_in_flight);
        let probing = health.pauses > 0;
        let by_health = if probing { 1_usize.saturating_sub(in_use) } else { free };
        let by_rate = health.refill(self.config.rate_per_s, now);
        let wanted = free.min(by_health).min(by_rate);
        if wanted == 0 {
            self.want();
            return None;
        }
        let permits = Arc::clone(&self.slots).try_acquire_many_owned(u32::try_from(wanted).ok()?).ok()?;
        if self.config.rate_per_s.is_some() {
            health.tokens -= f64::from(u32::try_from(wanted).unwrap_or(u32::MAX));
        }
        Some(permits)
    }

    /// Somebody waits for its slots.
    pub(crate) fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    fn is_waited_for(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for its slots and half of them are free. That takes the mark away; the next claim sets it
    /// again.
    pub(crate) fn has_room_for_who_waits(&self) -> bool {
        let half = self.config.max_in_flight.min(CLAIM_ROWS_MAX) / 2;
        self.slots.available_permits() > half && self.wanted.swap(false, Ordering::Relaxed)
    }

    /// Gives back rate that a claim took and did not use.
    pub(crate) fn refund(&self, unused: usize) {
        if self.config.rate_per_s.is_some() {
            self.health().tokens += f64::from(u32::try_from(unused).unwrap_or(0));
        }
    }

    /// What an outcome says about the provider, beyond the message.
    pub(crate) fn learn(&self, outcome: &Outcome) {
        let mut health = self.health();
        let now = Instant::now();
        match outcome {
            Outcome::Accepted { .. } | Outcome::Rejected { .. } => {
                health.pauses = 0;
                health.throttled = 0;
                health.paused_until = None;
            }
            Outcome::Throttled { retry_after, .. } => {
                health.throttled += 1;
                if health.throttled >= THROTTLED_IN_A_ROW {
                    let pause = retry_after.unwrap_or(THROTTLE_PAUSE_MAX).min(THROTTLE_PAUSE_MAX);
                    health.paused_until = Some(now + pause);
                }
            }
            Outcome::Unreachable { .. } => self.pause(&mut health, now, UNREACHABLE_PAUSE),
            Outcome::Halted { .. } => self.pause(&mut health, now, HALT_PAUSE),
            // Whether that is the provider or the message is not known here.
            Outcome::Unavailable { .. } | Outcome::Uncertain { .. } => {}
        }
    }

    /// Answers of calls that were under way when it was paused do not make the pause longer.
    fn pause(&self, health: &mut Health, now: Instant, (first, longest): (Duration, Duration)) {
        if health.paused_until.is_some_and(|until| now < until) {
            return;
        }
        let pause = first.saturating_mul(1 << health.pauses.min(16)).min(longest);
        health.pauses += 1;
        health.paused_until = Some(now + pause);
        tracing::warn!(provider.id = self.config.id, pause_ms = pause.as_millis(), "provider paused");
    }
}

impl Health {
    /// Whole tokens in the bucket, which holds a tenth of a second's worth, at least one.
    fn refill(&mut self, rate_per_s: Option<f64>, now: Instant) -> usize {
        let Some(rate) = rate_per_s else { return usize::MAX };
        let earned = now.duration_since(self.refilled_at).as_secs_f64() * rate;
        self.tokens = (self.tokens + earned).min((rate / 10.0).max(1.0));
        self.refilled_at = now;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 10^5")]
        let whole = self.tokens.max(0.0) as usize;
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROVIDER: &str = r#"
[[providers]]
id = "a"
kind = "twilio"
account_sid = "AC00000000000000000000000000000001"
auth_token = "t"
max_in_flight = 8
[[providers]]
id = "b"
kind = "twilio"
account_sid = "AC00000000000000000000000000000001"
auth_token = "t"
rate_per_s = 20.0
"#;

    fn candidates() -> (Candidates, Route) {
        let config = Config::parse(PROVIDER, "app.toml", &|_| None).unwrap();
        let route = config.routes.0[0].clone();
        (Candidates::new(&config, &Metrics::default()).unwrap(), route)
    }

    fn chosen(candidates: &Candidates, route: &Route) -> Option<(String, usize)> {
        candidates
            .choose(route)
            .map(|(candidate, permits)| (candidate.config.id.clone(), permits.num_permits()))
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_candidate_gives_all_its_free_slots() {
        let (candidates, route) = candidates();
        let (_, held) = candidates.choose(&route).unwrap();
        assert_eq!(held.num_permits(), 8);
        assert_eq!(chosen(&candidates, &route), None, "busy is not down: the next does not take over");
        drop(held);
        assert_eq!(chosen(&candidates, &route), Some(("a".to_owned(), 8)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unreachable_provider_is_left_alone_and_then_probed_with_one_message() {
        let (candidates, route) = candidates();
        let unreachable = Outcome::Unreachable { detail: String::new() };
        candidates.0["a"].learn(&unreachable);
        assert_eq!(chosen(&candidates, &route).unwrap().0, "b");
        tokio::time::advance(UNREACHABLE_PAUSE.0).await;
        let (probe, permit) = candidates.choose(&route).unwrap();
        assert_eq!((probe.config.id.as_str(), permit.num_permits()), ("a", 1));
        assert_eq!(chosen(&candidates, &route), None, "one probe at a time");
        drop(permit);
        probe.learn(&Outcome::Accepted { provider_message_id: None });
        assert_eq!(chosen(&candidates, &route), Some(("a".to_owned(), 8)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_is_kept() {
        let (candidates, route) = candidates();
        candidates.0["a"].learn(&Outcome::Halted { provider_code: None, detail: String::new() });
        let mut sent = 0;
        for _ in 0..100 {
            tokio::time::advance(Duration::from_millis(10)).await;
            sent += chosen(&candidates, &route).map_or(0, |(_, count)| count);
        }
        assert!((19..=22).contains(&sent), "{sent} in a second at 20/s");
    }
}
