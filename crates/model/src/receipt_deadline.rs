//! What becomes of a message whose provider accepted it and never reported: after a deadline nobody counts on a receipt
//! any more. One that comes all the same still applies.

use std::time::Duration;

use crate::{Delivery, Reason, Status, StatusPayload};

/// Where a message stands when it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Examined {
    pub status: Status,
    pub delivery: Delivery,
    /// How long it has been so.
    pub since: Duration,
    /// How long until it is to be sent at the earliest.
    pub due_in: Duration,
    /// Whether its provider reports on delivery at all.
    pub is_reported_on: bool,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing, now or later.
    Done,
    /// Its delivery is unknown from now on.
    TimedOut,
    /// It is looked at again after this.
    After(Duration),
}

impl Examined {
    pub fn verdict(self, deadline: Duration) -> Verdict {
        match (self.status, self.delivery) {
            (Status::Outbox | Status::Retry, _) => Verdict::After(self.due_in.saturating_add(deadline)),
            (Status::Ok, Delivery::Pending) if !self.is_reported_on => Verdict::Done,
            (Status::Ok, Delivery::Pending) => match deadline.checked_sub(self.since) {
                Some(left) if !left.is_zero() => Verdict::After(left),
                _ => Verdict::TimedOut,
            },
            _ => Verdict::Done,
        }
    }
}

/// What the message's status says from then on. It stays `ok`: the provider has it.
pub fn payload(deadline: Duration) -> StatusPayload {
    let detail = format!("no receipt within {} s", deadline.as_secs());
    StatusPayload { detail: Some(detail), ..StatusPayload::new(Reason::ReceiptTimeout) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receipt::{MessageSnapshot, ReceiptInfo, ReceiptStep, after_receipt};

    const DEADLINE: Duration = Duration::from_secs(100);

    fn pending(since_s: u64) -> Examined {
        Examined {
            status: Status::Ok,
            delivery: Delivery::Pending,
            since: Duration::from_secs(since_s),
            due_in: Duration::ZERO,
            is_reported_on: true,
        }
    }

    #[test]
    fn only_what_is_pending_times_out_and_only_after_the_deadline() {
        assert_eq!(pending(99).verdict(DEADLINE), Verdict::After(Duration::from_secs(1)));
        assert_eq!(pending(100).verdict(DEADLINE), Verdict::TimedOut);
        for &delivery in Delivery::ALL.iter().filter(|&&delivery| delivery != Delivery::Pending) {
            let examined = Examined { delivery, ..pending(1000) };
            assert_eq!(examined.verdict(DEADLINE), Verdict::Done, "{delivery}");
        }
        assert_eq!(Examined { is_reported_on: false, ..pending(1000) }.verdict(DEADLINE), Verdict::Done);
        let failed = Examined { status: Status::Failed, delivery: Delivery::None, ..pending(1000) };
        assert_eq!(failed.verdict(DEADLINE), Verdict::Done);
    }

    #[test]
    fn what_is_not_sent_yet_is_looked_at_again_a_deadline_after_it_is_due() {
        let due_in = Duration::from_secs(50);
        for status in [Status::Outbox, Status::Retry] {
            let examined = Examined { status, delivery: Delivery::None, due_in, ..pending(1000) };
            assert_eq!(examined.verdict(DEADLINE), Verdict::After(Duration::from_secs(150)));
        }
    }

    #[test]
    fn a_late_receipt_still_applies() {
        let timed_out = MessageSnapshot {
            status: Status::Ok,
            delivery: Delivery::Unknown,
            attempt: 1,
            unanswered: false,
            confirming: false,
        };
        for delivery in [Delivery::Sent, Delivery::Undelivered, Delivery::Delivered, Delivery::Read] {
            let step =
                after_receipt(timed_out, ReceiptInfo { delivery, attempt: 1, about_an_acceptance: false });
            assert_eq!(step, ReceiptStep::Settles, "{delivery}");
        }
    }
}
