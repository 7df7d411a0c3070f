//! Logs failures that repeat: while a database is away, every task fails again and again. Each cause is logged once a
//! minute, with the number of failures that were not logged since.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::telemetry::chain;

const INTERVAL: Duration = Duration::from_secs(60);
/// Causes that are remembered. Their texts come from databases and networks: there are few.
const CAUSES_MAX: usize = 100;

/// Decides which failures are logged.
#[derive(Debug, Default)]
pub struct LogThrottle(Mutex<HashMap<String, Seen>>);

#[derive(Debug)]
struct Seen {
    logged_at: Instant,
    suppressed: u64,
}

impl LogThrottle {
    /// Nothing, or that it is time to log this cause and how often it was not logged.
    pub fn due(&self, cause: &str, now: Instant) -> Option<u64> {
        let mut causes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seen) = causes.get_mut(cause) {
            if now.duration_since(seen.logged_at) < INTERVAL {
                seen.suppressed += 1;
                return None;
            }
            seen.logged_at = now;
            return Some(std::mem::take(&mut seen.suppressed));
        }
        if causes.len() >= CAUSES_MAX {
            causes.retain(|_, seen| now.duration_since(seen.logged_at) < INTERVAL);
        }
        if causes.len() < CAUSES_MAX {
            causes.insert(cause.to_owned(), Seen { logged_at: now, suppressed: 0 });
        }
        Some(0)
    }
}

/// Logs that something failed, and why, unless the same cause was logged within the last minute. All tasks of the process
/// share that: one cause fails many of them.
pub fn report(what: &'static str, error: &dyn Error) {
    static THROTTLE: LazyLock<LogThrottle> = LazyLock::new(LogThrottle::default);
    let cause = chain(error);
    match THROTTLE.due(&cause, Instant::now()) {
        Some(suppressed) => tracing::warn!(error = cause, suppressed, "{what}"),
        None => tracing::debug!(error = cause, "{what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_logged_once_a_minute_with_what_was_left_out() {
        let (throttle, start) = (LogThrottle::default(), Instant::now());
        let at = |s: u64| start + Duration::from_secs(s);
        let due: Vec<_> = [0, 1, 59].map(|s| throttle.due("away", at(s))).to_vec();
        assert_eq!(due, [Some(0), None, None]);
        assert_eq!(throttle.due("another", at(59)), Some(0));
        assert_eq!(throttle.due("away", at(60)), Some(2));
        assert_eq!(throttle.due("away", at(61)), None);
    }

    #[test]
    fn an_hour_of_failures_every_200_ms_is_60_lines() {
        let (throttle, start) = (LogThrottle::default(), Instant::now());
        let lines =
            (0..5 * 3600).filter(|n| throttle.due("away", start + Duration::from_millis(200) * *n).is_some());
        assert_eq!(lines.count(), 60);
    }

    #[test]
    fn causes_without_end_are_not_remembered() {
        let (throttle, now) = (LogThrottle::default(), Instant::now());
        for number in 0..10_000 {
            throttle.due(&number.to_string(), now);
        }
        assert!(throttle.0.lock().unwrap().len() <= CAUSES_MAX);
    }
}
