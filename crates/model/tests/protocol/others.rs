//! The steps of everything that is no processor: the server that accepts, cancels and takes receipts, and the provider.

use model::receipt::{MessageSnapshot, ReceiptInfo, ReceiptStep, after_receipt};
use model::{Delivery, Outcome, Reason, Status};

use crate::processor::Protocol;
use crate::world::{Client, Message, OutboxRow, Receipt, Request, Stage, World};

/// What the provider does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    Accepts,
    /// Refused for good.
    Rejects,
    /// A 5xx: costs an attempt.
    Unavailable,
    /// A 429: costs none.
    Throttles,
}

/// As `app_db::accept`: message and outbox row in one transaction. The client repeats the request with its idempotency
/// key until it is stored; a repetition changes nothing.
pub(crate) fn store(world: &mut World) -> bool {
    if world.message.is_some() {
        return false;
    }
    world.message =
        Some(Message { status: Status::Outbox, delivery: Delivery::None, attempt: 0, canceled: false });
    world.row = Some(OutboxRow {
        lease_no: 0,
        attempt: 0,
        leased_by: None,
        has_provider: false,
        lease_runs: false,
        reconciling: false,
        held: false,
        locked_by: None,
    });
    true
}

/// The 202, after the commit.
pub(crate) fn answer(world: &mut World) -> bool {
    let is_stored = world.message.is_some() && world.client == Client::Asks;
    if is_stored {
        world.client = Client::Answered;
    }
    is_stored
}

/// As `app_db::cancel::cancel`: only a row that nobody leased.
pub(crate) fn cancel(world: &mut World) -> bool {
    let is_free = world.row.is_some_and(|row| row.leased_by.is_none() && row.locked_by.is_none());
    if is_free && let (Some(message), Some(row)) = (world.message.as_mut(), world.row.take()) {
        *message = Message {
            status: Status::Failed,
            delivery: Delivery::None,
            attempt: row.attempt.max(message.attempt),
            canceled: true,
        };
    }
    is_free
}

impl Protocol {
    /// The provider reads a request, decides, and answers. The answer reaches the processor that waits for it.
    pub(crate) fn serve(&self, world: &mut World, request: Request, verdict: Verdict) -> bool {
        world.wire.retain(|other| *other != request);
        if verdict == Verdict::Accepts {
            world.copies += 1;
        }
        let outcome = match verdict {
            Verdict::Accepts => Outcome::Accepted { provider_message_id: None },
            Verdict::Rejects => {
                Outcome::Rejected { reason: Reason::Rejected, provider_code: None, detail: String::new() }
            }
            Verdict::Unavailable => {
                Outcome::Unavailable { retry_after: None, provider_code: None, detail: String::new() }
            }
            Verdict::Throttles => Outcome::Throttled { retry_after: None, provider_code: None },
        };
        let worker = &mut world.workers[request.from.worker];
        let waits = worker.run == request.from.run;
        let task = worker.task.as_mut().filter(|task| task.lease_no == request.lease_no && waits);
        if let Some(task) = task.filter(|task| task.stage == Stage::Calling) {
            self.decide(task, &outcome);
        }
        true
    }

    /// The answer does not come in time. The request may still be on the wire.
    pub(crate) fn time_out(&self, world: &mut World, worker: usize) -> bool {
        let task = world.workers[worker].task.as_mut().filter(|task| task.stage == Stage::Calling);
        let Some(task) = task else { return false };
        self.decide(task, &Outcome::Uncertain { reason: Reason::Timeout, detail: String::new() });
        true
    }

    /// The connection is refused: no byte was written.
    pub(crate) fn cannot_reach(&self, world: &mut World, worker: usize) -> bool {
        let task = world.workers[worker].task.as_mut().filter(|task| task.stage == Stage::Claimed);
        let Some(task) = task else { return false };
        self.decide(task, &Outcome::Unreachable { detail: String::new() });
        true
    }
}

/// As `app_db::receipts::apply`.
pub(crate) fn apply_receipt(world: &mut World, receipt: Receipt) -> bool {
    if world.row.is_some_and(|row| row.locked_by.is_some()) {
        return false;
    }
    let Some(message) = world.message.as_mut() else { return false };
    let is_leased = world.row.is_some_and(|row| row.leased_by.is_some() && !row.reconciling);
    let counted = world.row.map_or(message.attempt, |row| row.attempt);
    let snapshot = MessageSnapshot {
        status: message.status,
        delivery: message.delivery,
        attempt: counted + u32::from(is_leased),
        unanswered: is_leased || message.delivery == Delivery::Unknown,
        confirming: false,
    };
    let info =
        ReceiptInfo { delivery: receipt.delivery, attempt: receipt.attempt, about_an_acceptance: false };
    if after_receipt(snapshot, info) == ReceiptStep::Settles {
        world.history.receipt_came_first |= is_leased;
        world.history.was_delivered |= receipt.delivery == Delivery::Delivered;
        *message = Message {
            status: Status::Ok,
            delivery: receipt.delivery,
            attempt: snapshot.attempt,
            canceled: false,
        };
        world.row = None;
    }
    true
}
