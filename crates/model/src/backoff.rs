//! When to try again: exponential backoff with full jitter
//! (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), a cap, and a floor.

use std::time::Duration;

/// A provider's Retry-After is believed up to this.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

/// How often and how long a message is tried. Configuration section `[processor]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    pub max_attempts: u32,
    pub max_age: Duration,
    pub backoff_base: Duration,
    pub backoff_cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 12,
            max_age: Duration::from_secs(259_200),
            backoff_base: Duration::from_secs(2),
            backoff_cap: Duration::from_secs(3600),
        }
    }
}

impl RetryPolicy {
    /// The wait before the next try: between 0 and `base * 2^(tries - 1)`, at most the cap; never less than the
    /// floor, above which up to a fifth is added so that a released crowd does not come back as one.
    /// `tries` counts from 1, `jitter` is uniform in [0, 1).
    pub fn delay(&self, tries: u32, floor: Option<Duration>, jitter: f64) -> Duration {
        let doublings = tries.saturating_sub(1).min(31);
        let ceiling = self.backoff_base.saturating_mul(1 << doublings).min(self.backoff_cap);
        let wait = ceiling.mul_f64(jitter.clamp(0.0, 1.0));
        match floor {
            Some(floor) => {
                let floor = floor.min(RETRY_AFTER_MAX);
                wait.max(floor + floor.mul_f64(0.2 * jitter.clamp(0.0, 1.0)))
            }
            None => wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_the_cap() {
        let policy = RetryPolicy::default();
        let ceilings: Vec<u64> = [1, 2, 3, 12, 4_000_000_000]
            .iter()
            .map(|&tries| policy.delay(tries, None, 1.0).as_secs())
            .collect();
        assert_eq!(ceilings, [2, 4, 8, 3600, 3600]);
    }

    #[test]
    fn jitter_covers_everything_from_zero() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.delay(3, None, 0.0), Duration::ZERO);
        assert_eq!(policy.delay(3, None, 0.5), Duration::from_secs(4));
    }

    #[test]
    fn a_floor_is_never_undercut_and_is_believed_for_a_day_at_most() {
        let policy = RetryPolicy::default();
        let floor = Duration::from_secs(30);
        for jitter in [0.0, 0.3, 0.999] {
            assert!(policy.delay(1, Some(floor), jitter) >= floor);
        }
        let week = Duration::from_secs(7 * 24 * 3600);
        assert_eq!(policy.delay(1, Some(week), 0.0), RETRY_AFTER_MAX);
    }
}
