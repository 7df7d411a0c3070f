//! The one place that reads the time, so that tests can set it; and the database's time, which decides where the two
//! disagree.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// A process whose clock is further off the database's than this is not ready, and destroys and claims nothing.
pub const CLOCK_OFFSET_MAX: SignedDuration = SignedDuration::from_secs(5);

/// The system's time, or a time that a test sets.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    #[default]
    System,
    /// Unix milliseconds.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(start.as_millisecond())))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System => Timestamp::now(),
            Self::Manual(unix_ms) => {
                Timestamp::from_millisecond(unix_ms.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
            }
        }
    }

    /// Moves a manual clock; does nothing to the system's.
    pub fn advance_ms(&self, by_ms: i64) {
        if let Self::Manual(unix_ms) = self {
            unix_ms.fetch_add(by_ms, Ordering::SeqCst);
        }
    }
}

/// How far a clock that read `before` and `after` around the answer `database` is off at least: zero where the answer
/// lies between the two, however long it took.
pub fn clock_offset(before: Timestamp, database: Timestamp, after: Timestamp) -> SignedDuration {
    let ahead = before.duration_since(database);
    let behind = after.duration_since(database);
    if ahead.is_positive() {
        ahead
    } else if behind.is_negative() {
        behind
    } else {
        SignedDuration::ZERO
    }
}

/// Whether a clock that is so far off may be relied on.
pub fn clock_agrees(offset: SignedDuration) -> bool {
    offset.abs() <= CLOCK_OFFSET_MAX
}

/// The local clock while it agrees with the database's, and the database's time while it does not. Ids are made from
/// it: their time says in which week's partition a message is stored, and when retention drops it.
#[derive(Clone, Debug)]
pub struct DatabaseClock {
    local: Clock,
    reference: Arc<Mutex<Option<Reference>>>,
}

#[derive(Clone, Copy, Debug)]
struct Reference {
    database: Timestamp,
    read_at: Instant,
    /// How long the answer took: it may be older than `read_at` by this.
    took: Duration,
}

impl DatabaseClock {
    /// Follows the local clock until the database's time is first read.
    pub fn new(local: Clock) -> Self {
        Self { local, reference: Arc::default() }
    }

    /// The database answered with its time, to a question that was asked at `asked_at`.
    pub fn observe(&self, database: Timestamp, asked_at: Instant) {
        let read_at = Instant::now();
        let took = read_at.duration_since(asked_at);
        *self.reference.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Reference { database, read_at, took });
    }

    /// A leap of the local clock shows at once: the time since the last answer is measured by the monotonic clock.
    pub fn now(&self) -> Timestamp {
        let local = self.local.now();
        let reference = *self.reference.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Reference { database, read_at, took }) = reference else { return local };
        let Ok(expected) = database.checked_add(read_at.elapsed()) else { return local };
        let tolerated = CLOCK_OFFSET_MAX.saturating_add(SignedDuration::try_from(took).unwrap_or_default());
        if local.duration_since(expected).abs() <= tolerated { local } else { expected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn an_answer_between_two_readings_shows_no_offset_however_long_it_took() {
        assert_eq!(clock_offset(at(100), at(107), at(160)), SignedDuration::ZERO);
        assert_eq!(clock_offset(at(100), at(90), at(101)), SignedDuration::from_secs(10));
        assert_eq!(clock_offset(at(100), at(110), at(101)), SignedDuration::from_secs(-9));
        assert!(clock_agrees(SignedDuration::from_secs(-5)) && !clock_agrees(SignedDuration::from_secs(6)));
    }

    #[test]
    fn a_local_clock_that_leaps_is_replaced_by_the_databases_time() {
        let local = Clock::manual(at(1_000_000));
        let clock = DatabaseClock::new(local.clone());
        assert_eq!(clock.now(), at(1_000_000));
        clock.observe(at(1_000_003), Instant::now());
        assert_eq!(clock.now(), at(1_000_000), "3 s are tolerated");
        for leap_ms in [60 * 86_400_000, -120 * 86_400_000] {
            local.advance_ms(leap_ms);
            let off = clock.now().duration_since(at(1_000_003));
            assert!(off.abs() < SignedDuration::from_secs(60), "{leap_ms}: {off}");
        }
    }
}
