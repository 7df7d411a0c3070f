//! Log lines that strangers or outages could multiply: one for each cause and interval, with the number of suppressed
//! ones.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Causes beyond this share one entry, so that invented ones cost nothing.
const CAUSES_MAX: usize = 256;
const FURTHER_CAUSES: &str = "";

#[derive(Debug)]
pub(crate) struct LogThrottle {
    interval: Duration,
    causes: Mutex<HashMap<String, Logged>>,
}

#[derive(Debug)]
struct Logged {
    at: Instant,
    suppressed: u64,
}

impl LogThrottle {
    pub(crate) fn every(interval: Duration) -> Self {
        Self { interval, causes: Mutex::default() }
    }

    /// Whether a line of this cause is due: then, how many were suppressed since the last one.
    pub(crate) fn due(&self, cause: &str) -> Option<u64> {
        let now = Instant::now();
        let mut causes = self.causes();
        if causes.len() >= CAUSES_MAX && !causes.contains_key(cause) {
            causes.retain(|_, logged| now.duration_since(logged.at) < self.interval);
        }
        let cause =
            if causes.len() < CAUSES_MAX || causes.contains_key(cause) { cause } else { FURTHER_CAUSES };
        match causes.get_mut(cause) {
            Some(logged) if now.duration_since(logged.at) < self.interval => {
                logged.suppressed += 1;
                None
            }
            Some(logged) => Some(std::mem::replace(logged, Logged { at: now, suppressed: 0 }).suppressed),
            None => {
                causes.insert(cause.to_owned(), Logged { at: now, suppressed: 0 });
                Some(0)
            }
        }
    }

    fn causes(&self) -> MutexGuard<'_, HashMap<String, Logged>> {
        // Counters stay usable after a panic.
        self.causes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_line_of_a_cause_is_due_in_an_interval_and_counts_the_suppressed_ones() {
        let throttle = LogThrottle::every(Duration::from_secs(60));
        assert_eq!([throttle.due("a"), throttle.due("a"), throttle.due("b")], [Some(0), None, Some(0)]);
        advance(Duration::from_secs(59)).await;
        assert_eq!(throttle.due("a"), None);
        advance(Duration::from_secs(1)).await;
        assert_eq!([throttle.due("a"), throttle.due("a")], [Some(2), None]);
    }

    #[tokio::test(start_paused = true)]
    async fn invented_causes_share_one_entry() {
        let throttle = LogThrottle::every(Duration::from_secs(60));
        let due = (0..10_000).filter(|number| throttle.due(&number.to_string()).is_some()).count();
        assert_eq!(due, CAUSES_MAX + 1);
        assert_eq!(throttle.causes().len(), CAUSES_MAX + 1);
        advance(Duration::from_secs(60)).await;
        assert_eq!(throttle.due("new"), Some(0));
    }
}
