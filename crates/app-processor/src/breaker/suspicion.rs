//! Whether answers that forbid a message (`Outcome::Forbidden`) are about the whole account. One such answer may be about
//! its recipient. The evidence is several recipients in a row without an accepted call between them.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use tokio::time::Instant;

/// So many recipients in a row, and as many as there are calls under way: refusals are often faster than acceptances.
const RECIPIENTS: usize = 8;
/// Where there is little to send: so many recipients, for so long.
const RECIPIENTS_SLOW: usize = 3;
const SLOW_TIME: Duration = Duration::from_secs(10);
/// Recipients that are remembered, at most.
const REMEMBERED_MAX: usize = 10_000;

/// A recipient, as far as it must be told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Recipient(u64);

impl Recipient {
    pub(crate) fn of(address: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        address.hash(&mut hasher);
        Self(hasher.finish())
    }
}

#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// Recipients that were forbidden since the last accepted call, and since when.
    suspects: HashSet<Recipient>,
    since: Option<Instant>,
    /// Recipients that were forbidden while others were accepted: a further refusal is about them alone.
    barred: HashSet<Recipient>,
}

impl Suspicion {
    /// The account works: what was forbidden before was so because of its recipient or its sender.
    pub(super) fn accepted(&mut self, recipient: Recipient) {
        self.since = None;
        if !self.suspects.is_empty() {
            if self.barred.len() + self.suspects.len() > REMEMBERED_MAX {
                self.barred.clear();
            }
            self.barred.extend(self.suspects.drain());
        }
        if !self.barred.is_empty() {
            self.barred.remove(&recipient);
        }
    }

    /// Whether the account is to blame, now that this recipient was forbidden.
    pub(super) fn forbidden(&mut self, recipient: Recipient, under_way: usize, now: Instant) -> bool {
        if self.is_barred(recipient) {
            return false;
        }
        let since = *self.since.get_or_insert(now);
        if self.suspects.len() < REMEMBERED_MAX {
            self.suspects.insert(recipient);
        }
        let recipients = self.suspects.len();
        let is_enough = recipients >= RECIPIENTS
            || (recipients >= RECIPIENTS_SLOW && now.duration_since(since) >= SLOW_TIME);
        is_enough && recipients >= under_way
    }

    pub(super) fn is_barred(&self, recipient: Recipient) -> bool {
        self.barred.contains(&recipient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipient(number: usize) -> Recipient {
        Recipient::of(&format!("+1202555{number:04}"))
    }

    #[test]
    fn one_recipient_is_no_evidence_however_often_it_is_forbidden() {
        let (mut suspicion, now) = (Suspicion::default(), Instant::now());
        for second in 0..1_000 {
            assert!(!suspicion.forbidden(recipient(1), 1, now + Duration::from_secs(second)));
        }
    }

    #[test]
    fn several_recipients_in_a_row_are_evidence_and_an_accepted_call_between_refutes_it() {
        let (mut suspicion, now) = (Suspicion::default(), Instant::now());
        for number in 1..RECIPIENTS {
            assert!(!suspicion.forbidden(recipient(number), 1, now), "{number}");
        }
        suspicion.accepted(recipient(100));
        for number in 1..=50 {
            let is_known = number < RECIPIENTS;
            assert_eq!(suspicion.is_barred(recipient(number)), is_known);
            let is_evidence = suspicion.forbidden(recipient(number), 1, now);
            assert_eq!(is_evidence, number >= 2 * RECIPIENTS - 1, "{number}: those of before do not count");
        }
    }

    #[test]
    fn refusals_that_are_faster_than_acceptances_are_no_evidence() {
        let (mut suspicion, now) = (Suspicion::default(), Instant::now());
        let under_way = 64;
        for number in 1..under_way {
            assert!(!suspicion.forbidden(recipient(number), under_way, now), "{number}");
        }
        assert!(suspicion.forbidden(recipient(under_way), under_way, now), "a whole round was forbidden");
    }

    #[test]
    fn few_recipients_are_evidence_after_some_time() {
        let (mut suspicion, now) = (Suspicion::default(), Instant::now());
        for number in 0..RECIPIENTS_SLOW {
            assert!(!suspicion.forbidden(recipient(number), 1, now));
        }
        assert!(!suspicion.forbidden(recipient(0), 1, now + SLOW_TIME / 2));
        assert!(suspicion.forbidden(recipient(0), 1, now + SLOW_TIME));
    }
}
