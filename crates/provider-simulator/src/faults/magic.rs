//! Recipients that make things go wrong by themselves: a newcomer needs no control API to see a retry.

use super::{Fault, Subject, WaitForm};

/// A magic recipient: `+1 500 555 0nnn`, or `fault-name@` any domain.
#[derive(Clone, Debug)]
pub struct Magic {
    pub number: &'static str,
    pub local_part: &'static str,
    pub fault: Fault,
    /// The fault meets the first calls of each message only, so that a retry succeeds. Nothing: every call.
    pub first_calls: Option<u32>,
}

const fn once(number: &'static str, local_part: &'static str, fault: Fault) -> Magic {
    Magic { number, local_part, fault, first_calls: Some(1) }
}

const fn always(number: &'static str, local_part: &'static str, fault: Fault) -> Magic {
    Magic { number, local_part, fault, first_calls: None }
}

const fn status(status: u16) -> Fault {
    Fault::Status { status, code: None, message: None }
}

/// Every magic recipient. The provider's own test numbers are not here: they are part of its validation.
pub const MAGIC: &[Magic] = &[
    once("+15005550429", "fault-429", Fault::Throttle { retry_after_s: 2, form: WaitForm::Seconds }),
    once("+15005550503", "fault-503", status(503)),
    always("+15005550500", "fault-500", status(500)),
    always("+15005550400", "fault-400", status(400)),
    once("+15005550460", "fault-hang", Fault::Hang { for_s: 30.0, accept_first: false }),
    once("+15005550461", "fault-accept-then-hang", Fault::Hang { for_s: 30.0, accept_first: true }),
    once("+15005550462", "fault-reset", Fault::Reset),
    once("+15005550463", "fault-accept-then-reset", Fault::AcceptThenReset),
    once("+15005550464", "fault-slow-body", Fault::SlowBody { for_s: 3.0 }),
    once("+15005550465", "fault-garbage", Fault::Garbage),
    once("+15005550466", "fault-truncated", Fault::Truncated),
    always("+15005550470", "fault-duplicate-receipts", Fault::DuplicateReceipts { copies: 2 }),
    always("+15005550471", "fault-late-receipts", Fault::LateReceipts { delay_ms: 10_000 }),
    always("+15005550472", "fault-receipts-before-answer", Fault::ReceiptsBeforeAnswer),
    always("+15005550473", "fault-no-receipts", Fault::NoReceipts),
    always("+15005550474", "fault-undelivered", Fault::Undelivered { code: None }),
    always("+15005550475", "fault-read", Fault::Read),
];

pub(super) fn of(subject: &Subject<'_>) -> Option<&'static Magic> {
    if let Some((local_part, _)) = subject.to.split_once('@') {
        let local_part = local_part.strip_prefix("fault-")?;
        return MAGIC.iter().find(|magic| magic.local_part.strip_prefix("fault-") == Some(local_part));
    }
    let number = subject.to.strip_prefix("whatsapp:").unwrap_or(subject.to);
    // Spares the usual number a walk through the table.
    number.strip_prefix("+15005550")?;
    MAGIC.iter().find(|magic| magic.number == number)
}
