//! Where claims of a route begin to look. What lies below was claimed: going there again only walks past the dead
//! entries that it left in the index, of which there are many under load, and all of them while an old snapshot is
//! held open elsewhere.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::claim::Claimed;

/// Rows commit within this of the time that they are due from. One that took longer is left to a sweep.
const COMMIT_TIME: SignedDuration = SignedDuration::from_secs(1);
/// How often a claim looks from the very beginning: for late commits, lapsed leases, and what was locked by somebody
/// who then did not take it.
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// A sweep is not repeated before this many times what it took.
const SWEEP_REST: u32 = 50;

/// By priority from the most urgent.
pub type ByPriority = [Option<Timestamp>; 3];

/// The floors of one route.
#[derive(Clone, Debug, Default)]
pub struct Floors {
    known: ByPriority,
    next_sweep: Option<Instant>,
}

/// Where one claim looks from.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    pub floors: ByPriority,
    began: Instant,
    is_sweep: bool,
}

impl Floors {
    /// For the claim that begins now.
    pub fn start(&self, now: Instant) -> Start {
        let is_sweep = self.next_sweep.is_none_or(|next| next <= now);
        Start { floors: if is_sweep { [None; 3] } else { self.known }, began: now, is_sweep }
    }

    /// The next claim sweeps: for who gave rows back.
    pub fn sweep_next(&mut self) {
        self.next_sweep = None;
    }

    /// What a claim brought; `was_full` where there may be more of the same.
    pub fn learn(&mut self, start: Start, claimed: &[Claimed], was_full: bool, now: Instant) {
        if start.is_sweep {
            let rest = now.duration_since(start.began) * SWEEP_REST;
            self.next_sweep = Some(now + rest.max(SWEEP_EVERY));
            if was_full {
                // There may be more below what was known.
                self.known = [None; 3];
            }
        }
        for row in claimed {
            let priority = usize::try_from(row.priority.as_i16()).unwrap_or(0).min(2);
            // What is due from now on may be committed by somebody who began a moment ago.
            let floor = row.due_at.min(row.claimed_at.checked_sub(COMMIT_TIME).unwrap_or(Timestamp::MIN));
            self.known[priority] = self.known[priority].max(Some(floor));
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan;
    use model::{Channel, Endpoint, Priority};
    use uuid::Uuid;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn due(before: SignedDuration) -> Claimed {
        Claimed {
            message_id: Uuid::nil(),
            lease_no: 1,
            attempt: 0,
            priority: Priority::Normal,
            due_at: NOW - before,
            first_due_at: NOW - before,
            expires_at: None,
            claimed_at: NOW,
            lapsed_provider: None,
            reconciling: false,
            provider_id: None,
            channel: Channel::Sms,
            source: Endpoint::stored("a"),
            target: Endpoint::stored("b"),
            subject: None,
            body: String::new(),
            attachments: Vec::new(),
        }
    }

    /// A claim at a time; the floor of normal priority that it looked from.
    fn claim(
        floors: &mut Floors,
        at: Instant,
        took: Duration,
        row: &Claimed,
        full: bool,
    ) -> Option<Timestamp> {
        let start = floors.start(at);
        floors.learn(start, std::slice::from_ref(row), full, at + took);
        start.floors[1]
    }

    #[test]
    fn a_backlog_is_left_behind_and_what_is_recent_is_looked_at_again() {
        let (mut floors, at) = (Floors::default(), Instant::now());
        let hour = SignedDuration::from_hours(1);
        assert_eq!(claim(&mut floors, at, Duration::ZERO, &due(hour), true), None);
        assert_eq!(
            claim(&mut floors, at, Duration::ZERO, &due(SignedDuration::ZERO), true),
            Some(NOW - hour)
        );
        assert_eq!(claim(&mut floors, at, Duration::ZERO, &due(hour), true), Some(NOW - 1.second()));
        assert_eq!(floors.start(at).floors, [None, Some(NOW - 1.second()), None], "a floor never sinks");
    }

    #[test]
    fn now_and_then_everything_is_looked_at_and_the_less_often_the_longer_that_takes() {
        let (mut floors, began) = (Floors::default(), Instant::now());
        let (soon, row) = (Duration::from_millis(1), due(SignedDuration::from_secs(9)));
        let mut sweeps = |at: Duration, took| claim(&mut floors, began + at, took, &row, false).is_none();
        assert!(sweeps(Duration::ZERO, Duration::from_secs(1)), "the first");
        let rest = SWEEP_REST * Duration::from_secs(1);
        assert!(!sweeps(rest, soon), "a long one is followed by a long rest");
        assert!(sweeps(rest + Duration::from_secs(1), soon));
        assert!(!sweeps(rest + Duration::from_secs(2), soon));
        assert!(sweeps(rest + Duration::from_secs(7), soon), "a short one is repeated soon");
        floors.sweep_next();
        assert_eq!(floors.start(began).floors, [None; 3]);
    }

    #[test]
    fn a_sweep_that_found_little_changes_no_floor_and_a_full_one_goes_on_from_what_it_found() {
        let (mut floors, at) = (Floors::default(), Instant::now());
        let (hour, day) = (SignedDuration::from_hours(1), SignedDuration::from_hours(24));
        for (full, floor) in [(false, hour), (true, day)] {
            floors.sweep_next();
            claim(&mut floors, at, Duration::ZERO, &due(hour), false);
            floors.sweep_next();
            claim(&mut floors, at, Duration::ZERO, &due(day), full);
            assert_eq!(floors.start(at).floors[1], Some(NOW - floor));
        }
    }
}
