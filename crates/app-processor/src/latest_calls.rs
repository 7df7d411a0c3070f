//! A provider's latest calls: what they took, and how many there were in each second of the last minute. In memory, for
//! what is published; nothing is decided by it.

use std::time::Duration;

use tokio::time::Instant;

/// Calls whose times are kept.
const CALLS: usize = 200;
const SECONDS: u64 = 60;

#[derive(Debug)]
pub(crate) struct LatestCalls {
    began: Instant,
    /// Filled up, then written over from the oldest on.
    took_us: Vec<u32>,
    oldest: usize,
    /// The number of a second since the beginning, and of its calls, at the place of its number modulo the length.
    seconds: [(u64, u32); SECONDS as usize],
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lately {
    /// In the middle; nothing before the first call.
    pub latency_ms: Option<f32>,
    pub latency_p95_ms: Option<f32>,
    /// Over the whole seconds of the last minute; nothing before the first.
    pub calls_per_s: Option<f32>,
}

impl LatestCalls {
    pub(crate) fn new(began: Instant) -> Self {
        Self { began, took_us: Vec::new(), oldest: 0, seconds: [(0, 0); SECONDS as usize] }
    }

    pub(crate) fn add(&mut self, took: Duration, now: Instant) {
        let took_us = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        if self.took_us.len() < CALLS {
            self.took_us.push(took_us);
        } else {
            self.took_us[self.oldest] = took_us;
            self.oldest = (self.oldest + 1) % CALLS;
        }
        let second = self.second(now);
        let place = usize::try_from(second % SECONDS).unwrap_or(0);
        let (of, calls) = &mut self.seconds[place];
        if *of != second {
            (*of, *calls) = (second, 0);
        }
        *calls = calls.saturating_add(1);
    }

    pub(crate) fn lately(&self, now: Instant) -> Lately {
        let mut sorted = self.took_us.clone();
        sorted.sort_unstable();
        let at = |hundredths: usize| {
            sorted.get((sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1)))
        };
        #[expect(clippy::cast_possible_truncation, reason = "a figure for people")]
        let ms = |us: &u32| (f64::from(*us) / 1e3) as f32;
        // The second that is under way is not whole.
        let this = self.second(now);
        let first = this.saturating_sub(SECONDS - 1);
        let counted = self.seconds.iter().filter(|(second, _)| (first..this).contains(second));
        let calls: u64 = counted.map(|(_, calls)| u64::from(*calls)).sum();
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let calls_per_s = (this > first).then(|| calls as f32 / (this - first) as f32);
        Lately { latency_ms: at(50).map(ms), latency_p95_ms: at(95).map(ms), calls_per_s }
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.began).as_secs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn the_latest_calls_are_told_by_their_middle_and_by_what_few_exceed() {
        let began = Instant::now();
        let mut calls = LatestCalls::new(began);
        let none = Lately { latency_ms: None, latency_p95_ms: None, calls_per_s: None };
        assert_eq!(calls.lately(began), none);
        calls.add(ms(40), began);
        assert_eq!(
            (calls.lately(began).latency_ms, calls.lately(began).latency_p95_ms),
            (Some(40.0), Some(40.0))
        );
        for number in 0..1_000 {
            calls.add(ms(if number % 10 == 0 { 900 } else { 20 }), began);
        }
        assert_eq!(
            (calls.lately(began).latency_ms, calls.lately(began).latency_p95_ms),
            (Some(20.0), Some(900.0))
        );
        for _ in 0..CALLS {
            calls.add(ms(10), began);
        }
        assert_eq!(calls.lately(began).latency_p95_ms, Some(10.0), "what is older is forgotten");
    }

    #[test]
    fn calls_a_second_are_those_of_the_last_minutes_whole_seconds() {
        let began = Instant::now();
        let at = |second: u64| began + Duration::from_secs(second);
        let mut calls = LatestCalls::new(began);
        for second in 0..10 {
            (0..5).for_each(|_| calls.add(ms(1), at(second)));
        }
        calls.add(ms(1), at(10));
        assert_eq!(calls.lately(at(10)).calls_per_s, Some(5.0));
        assert_eq!(calls.lately(at(59)).calls_per_s, Some(51.0 / 59.0));
        assert_eq!(calls.lately(at(64)).calls_per_s, Some(26.0 / 59.0));
        assert_eq!(calls.lately(at(200)).calls_per_s, Some(0.0));
    }
}
