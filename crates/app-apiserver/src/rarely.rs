//! Saying something at most once a minute, however often it happens.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;

const INTERVAL_S: i64 = 60;

#[derive(Debug)]
pub(crate) struct Rarely {
    last_s: AtomicI64,
}

impl Default for Rarely {
    fn default() -> Self {
        Self { last_s: AtomicI64::new(i64::MIN) }
    }
}

impl Rarely {
    /// Whether it is time to say it again.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        let (now_s, last_s) = (now.as_second(), self.last_s.load(Ordering::Relaxed));
        last_s.saturating_add(INTERVAL_S) <= now_s
            && self.last_s.compare_exchange(last_s, now_s, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_a_minute() {
        let rarely = Rarely::default();
        let said: Vec<bool> =
            [0, 0, 59, 60, 61, 120].map(|s| rarely.is_due(Timestamp::from_second(s).unwrap())).to_vec();
        assert_eq!(said, [true, false, false, true, false, true]);
    }
}
