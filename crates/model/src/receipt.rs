//! Receipts: which call of ours a receipt is about, and what it does to the message. `app-db` reads the facts, locks and
//! writes.

mod calls;

use crate::{Delivery, Status};

pub use self::calls::{CallRecord, LatestCall, NoCall, call_of_event, find_call};

/// What is known of a message when a receipt about it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageSnapshot {
    pub status: Status,
    pub delivery: Delivery,
    /// The attempt that is under way or was the last: counted ones, and one more while a lease runs.
    pub attempt: u32,
    /// Whether a call is under way or its outcome is unknown: the receipt is then the answer.
    pub unanswered: bool,
    /// Whether a provider accepted it, and it waits to be confirmed before another one is asked.
    pub confirming: bool,
}

/// What a receipt does to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptStep {
    /// Late, doubled or out of order.
    Nothing,
    /// It is `ok` now, with the receipt's delivery, and no longer in the outbox.
    Settles,
    /// It goes on waiting to be confirmed, with the receipt's delivery.
    Notes,
    /// It is not confirmed and will not be: the next provider is asked now.
    HandsOver,
}

/// A receipt in the terms of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptInfo {
    pub delivery: Delivery,
    /// The attempt that it is about, as [`find_call`] found it.
    pub attempt: u32,
    /// Whether it is about an attempt that its provider accepted and that no receipt has refused since. Where several
    /// providers had the message, the number of the last attempt does not show that.
    pub about_an_acceptance: bool,
}

/// What a receipt does. Delivery never regresses: a settled message moves up its rank only. Any proof that a provider has
/// the message settles one that is not settled, whichever attempt it is about; a refusal does so only for the attempt
/// whose answer is missing. Only a delivery settles a message that waits to be confirmed.
pub fn after_receipt(message: MessageSnapshot, receipt: ReceiptInfo) -> ReceiptStep {
    let is_refusal = receipt.delivery == Delivery::Undelivered;
    let is_about_the_last_attempt =
        !is_refusal || receipt.about_an_acceptance || receipt.attempt == message.attempt;
    let settles = match message.status {
        Status::Outbox | Status::Retry if message.confirming => {
            let is_delivered = receipt.delivery.rank() >= Delivery::Delivered.rank();
            return match receipt.delivery {
                _ if is_delivered => ReceiptStep::Settles,
                Delivery::Undelivered if receipt.about_an_acceptance => ReceiptStep::HandsOver,
                Delivery::Sent if message.delivery.rank() < Delivery::Sent.rank() => ReceiptStep::Notes,
                _ => ReceiptStep::Nothing,
            };
        }
        Status::Ok => receipt.delivery.rank() > message.delivery.rank() && is_about_the_last_attempt,
        // A refused or canceled message stays failed unless a receipt shows that it was delivered.
        Status::Failed => receipt.delivery.rank() >= Delivery::Delivered.rank(),
        Status::Outbox | Status::Retry => !is_refusal || (message.unanswered && is_about_the_last_attempt),
    };
    if settles { ReceiptStep::Settles } else { ReceiptStep::Nothing }
}

#[cfg(test)]
mod tests;
