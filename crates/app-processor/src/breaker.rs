//! The circuit breaker of one provider: what its answers say about itself, and how much may be sent to it. Knows no
//! clock but the one that it is given, and nothing of messages.
//!
//! Closed, it counts. Too many failures among the latest calls open it: nothing is sent for a while, twice as long each
//! time. Then a few calls probe the provider, several because one of them may be to a recipient that always fails; the
//! majority decides. After an outage of some length traffic comes back at a rate that doubles every second.

mod suspicion;

use std::time::Duration;

use model::{Outcome, ProviderHealth, Reason};
use tokio::time::Instant;

pub(crate) use self::suspicion::Recipient;
use self::suspicion::Suspicion;

/// The latest calls that are counted, how many there must be, and the share of failures that opens.
const WINDOW: usize = 20;
const CALLS_MIN: usize = 10;
const FAILURES_SHARE: f64 = 0.5;

/// Calls at once that probe, and how many of the same verdict decide.
const PROBES: usize = 3;
const PROBES_DECIDE: u32 = 2;
const PROBES_TIME: Duration = Duration::from_secs(60);

/// The first pause and the longest, by what is wrong.
const UNREACHABLE_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
const FAILING_PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
const HALT_PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// Throttled answers in a row, without an accepted one between, that slow the whole account down.
const THROTTLED_IN_A_ROW: u32 = 3;
const THROTTLE_PAUSE_MAX: Duration = Duration::from_secs(5);

/// An outage that took longer than this ends slowly: so many calls in the first second, twice as many in each further
/// one, all after so many seconds.
const SLOW_AFTER: Duration = Duration::from_secs(2);
const SLOW_RATE: f64 = 20.0;
const SLOW_SECONDS: f64 = 7.0;

const HALTED: &str = Reason::Halted.as_str();
const THROTTLED: &str = Reason::Throttled.as_str();
const FAILING: &str = Reason::Unavailable.as_str();

#[derive(Debug)]
pub(crate) struct Breaker {
    state: State,
    /// The latest verdicts, the newest last: whether it failed.
    window: Vec<bool>,
    /// Openings since it was last closed, and ever.
    openings: u32,
    opening: u64,
    /// Since when it has not been closed.
    down_since: Option<Instant>,
    throttled: u32,
    suspicion: Suspicion,
    /// Why it is not closed.
    reason: Option<&'static str>,
    /// Failures that opened it.
    opened_by: usize,
    /// Since when it has been closed or not.
    changed_at: Instant,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    HalfOpen {
        good: u32,
        bad: u32,
        under_way: usize,
        since: Instant,
    },
    /// Closed as far as verdicts go, but slowly.
    Returning {
        since: Instant,
        begun: f64,
    },
}

/// A call that is over, as far as the breaker needs to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndedCall {
    /// [`Breaker::opening`] when it began.
    pub opening: u64,
    pub recipient: Recipient,
    /// Calls of the provider that are under way, with this one.
    pub under_way: usize,
}

/// How much may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Allowance {
    Calls(usize),
    /// Nothing, or nothing more: another provider should have it.
    Nothing,
}

impl Breaker {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Closed,
            window: Vec::with_capacity(WINDOW),
            openings: 0,
            opening: 0,
            down_since: None,
            throttled: 0,
            suspicion: Suspicion::default(),
            reason: None,
            opened_by: 0,
            changed_at: Instant::now(),
        }
    }

    /// Up to `wanted` calls. They count as begun; [`Self::give_back`] takes back.
    pub(crate) fn take(&mut self, wanted: usize, now: Instant) -> Allowance {
        self.move_on(now);
        let calls = match &mut self.state {
            State::Closed => wanted,
            State::Open { .. } => 0,
            State::HalfOpen { under_way, since, .. } => {
                // A call that ended without a word, by a defect of an adapter, must not keep its place for ever.
                if now.duration_since(*since) > PROBES_TIME {
                    (*under_way, *since) = (0, now);
                }
                let probes = wanted.min(PROBES.saturating_sub(*under_way));
                *under_way += probes;
                probes
            }
            State::Returning { since, begun } => {
                let elapsed = now.duration_since(*since).as_secs_f64();
                // The integral of a rate that doubles every second.
                let allowed = SLOW_RATE * (elapsed.exp2() - 1.0) / std::f64::consts::LN_2 - *begun;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small count")]
                let calls = wanted.min(allowed.max(0.0) as usize);
                *begun += f64::from(u32::try_from(calls).unwrap_or(u32::MAX));
                calls
            }
        };
        if calls == 0 { Allowance::Nothing } else { Allowance::Calls(calls) }
    }

    /// Calls that were taken and not begun.
    pub(crate) fn give_back(&mut self, calls: usize) {
        match &mut self.state {
            State::Returning { begun, .. } => *begun -= f64::from(u32::try_from(calls).unwrap_or(0)),
            State::HalfOpen { under_way, .. } => *under_way = under_way.saturating_sub(calls),
            State::Closed | State::Open { .. } => {}
        }
    }

    /// The number of openings so far: a call that began before the latest says nothing about a probe.
    pub(crate) fn opening(&self) -> u64 {
        self.opening
    }

    /// Whether it lets nothing through until some time.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        matches!(self.state, State::Open { until } if now < until)
    }

    /// A call that was allowed after that opening ended without an answer of the provider: the provider was not asked.
    pub(crate) fn forgo(&mut self, opening: u64) {
        if opening == self.opening {
            self.give_back(1);
        }
    }

    /// Whether a message that was forbidden waits for the account, which is blocked, and is not refused itself.
    pub(crate) fn blames_account(&self, recipient: Recipient) -> bool {
        let is_halted =
            self.reason == Some(HALTED) && matches!(self.state, State::Open { .. } | State::HalfOpen { .. });
        is_halted && !self.suspicion.is_barred(recipient)
    }

    /// What a call came to.
    pub(crate) fn learn(&mut self, outcome: &Outcome, call: EndedCall, now: Instant) {
        self.move_on(now);
        if call.opening != self.opening {
            return;
        }
        if let State::HalfOpen { under_way, .. } = &mut self.state {
            *under_way = under_way.saturating_sub(1);
        }
        match outcome {
            Outcome::Accepted { .. } | Outcome::Rejected { .. } => {
                if matches!(outcome, Outcome::Accepted { .. }) {
                    self.suspicion.accepted(call.recipient);
                }
                self.throttled = 0;
                self.verdict(false, FAILING, FAILING_PAUSE, now);
            }
            Outcome::Throttled { retry_after, .. } => {
                self.throttled += 1;
                if self.throttled >= THROTTLED_IN_A_ROW && !self.is_open(now) {
                    let pause = retry_after.unwrap_or(THROTTLE_PAUSE_MAX).min(THROTTLE_PAUSE_MAX);
                    self.reason = Some(THROTTLED);
                    self.changed_at = now;
                    self.state = State::Open { until: now + pause };
                }
            }
            Outcome::Unreachable { .. } => self.open(Reason::Unreachable.as_str(), UNREACHABLE_PAUSE, now),
            Outcome::Forbidden { .. } => self.forbidden(call, now),
            Outcome::Halted { .. } => self.open(HALTED, HALT_PAUSE, now),
            Outcome::Unavailable { .. } | Outcome::Uncertain { .. } => {
                self.verdict(true, FAILING, FAILING_PAUSE, now);
            }
        }
    }

    /// One answer says nothing about the provider; enough of them halt it, and probes of a halted one decide as usual.
    fn forbidden(&mut self, call: EndedCall, now: Instant) {
        if self.blames_account(call.recipient) {
            self.verdict(true, HALTED, HALT_PAUSE, now);
        } else if self.suspicion.forbidden(call.recipient, call.under_way, now) {
            self.open(HALTED, HALT_PAUSE, now);
        }
    }

    fn verdict(&mut self, failed: bool, reason: &'static str, pause: (Duration, Duration), now: Instant) {
        match &mut self.state {
            // Only a pause that it asked for is open without an opening: there is nothing to decide.
            State::Open { .. } => {}
            State::HalfOpen { good, bad, .. } => {
                *good += u32::from(!failed);
                *bad += u32::from(failed);
                if *bad >= PROBES_DECIDE {
                    self.open(reason, pause, now);
                } else if *good >= PROBES_DECIDE {
                    self.come_back(now);
                }
            }
            State::Closed | State::Returning { .. } => {
                if self.window.len() == WINDOW {
                    self.window.remove(0);
                }
                self.window.push(failed);
                let failures = count(&self.window);
                #[expect(clippy::cast_precision_loss, reason = "small counts")]
                let share = failures as f64 / self.window.len() as f64;
                if failed && self.window.len() >= CALLS_MIN && share >= FAILURES_SHARE {
                    self.open(reason, pause, now);
                }
            }
        }
    }

    /// Calls that were under way when it opened do not make the pause longer.
    fn open(&mut self, reason: &'static str, (first, longest): (Duration, Duration), now: Instant) {
        if self.is_open(now) {
            return;
        }
        let pause = first.saturating_mul(1 << self.openings.min(16)).min(longest);
        self.openings += 1;
        self.opening += 1;
        if self.down_since.is_none() {
            self.down_since = Some(now);
            self.opened_by = count(&self.window).max(1);
            self.changed_at = now;
        }
        self.reason = Some(reason);
        self.window.clear();
        self.state = State::Open { until: now + pause };
    }

    fn come_back(&mut self, now: Instant) {
        let was_long = self.down_since.is_some_and(|since| now.duration_since(since) > SLOW_AFTER);
        if was_long {
            self.state = State::Returning { since: now, begun: 0.0 };
        } else {
            self.close();
        }
    }

    fn close(&mut self) {
        let suspicion = std::mem::take(&mut self.suspicion);
        *self = Self { opening: self.opening, suspicion, ..Self::new() };
    }

    /// What the time alone changes.
    fn move_on(&mut self, now: Instant) {
        match self.state {
            State::Open { until } if now >= until => {
                // Being throttled says nothing about being up: no probes, and no slow return.
                if self.down_since.is_none() {
                    self.throttled = 0;
                    self.reason = None;
                    self.state = State::Closed;
                } else {
                    self.state = State::HalfOpen { good: 0, bad: 0, under_way: 0, since: now };
                }
            }
            State::Returning { since, .. } if now.duration_since(since).as_secs_f64() >= SLOW_SECONDS => {
                self.close();
            }
            _ => {}
        }
    }

    /// For people: where it stands, why, and until when.
    pub(crate) fn report(
        &mut self,
        now: Instant,
    ) -> (ProviderHealth, Option<&'static str>, Option<Duration>) {
        self.move_on(now);
        let (health, until) = match self.state {
            State::Closed => (ProviderHealth::Closed, None),
            State::Open { until } if self.reason == Some(HALTED) => (ProviderHealth::Halted, Some(until)),
            State::Open { until } if self.reason == Some(THROTTLED) => (ProviderHealth::Paused, Some(until)),
            State::Open { until } => (ProviderHealth::Open, Some(until)),
            State::HalfOpen { .. } | State::Returning { .. } => (ProviderHealth::HalfOpen, None),
        };
        (health, self.reason, until.map(|until| until.duration_since(now)))
    }

    /// How long it has been where it stands.
    pub(crate) fn since(&self, now: Instant) -> Duration {
        now.duration_since(self.changed_at)
    }

    /// Failures among the latest calls; while it is not closed, of those that opened it.
    pub(crate) fn failures(&self) -> usize {
        match self.state {
            State::Closed => count(&self.window),
            _ => self.opened_by,
        }
    }
}

fn count(window: &[bool]) -> usize {
    window.iter().filter(|&&failed| failed).count()
}

#[cfg(test)]
mod tests;
