//! The state of the protocol model: what the database, the processors, the network and the provider hold of one
//! message. Data only; the steps are in the files beside this one.

use model::transition::EventKind;
use model::{Delivery, Next, Status, Transition};

/// How many faults of each kind one run may have. Each fault uses one up, so that every run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// Processors killed.
    pub crashes: u8,
    /// Leases that lapse although their holder still runs: it was suspended, or cut off from the database.
    pub lapses: u8,
    /// Answers that do not arrive.
    pub lost_answers: u8,
    /// Answers that are no verdict: 429, 5xx, connection refused.
    pub refusals: u8,
    /// Leases that a processor gives back unused.
    pub releases: u8,
    /// Receipts that the provider delivers a second time.
    pub repeated_receipts: u8,
    /// Requests of a client to cancel.
    pub cancels: u8,
}

/// Everything that the steps read and change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub client: Client,
    pub message: Option<Message>,
    pub row: Option<OutboxRow>,
    pub workers: Vec<Worker>,
    /// Requests that were written to a provider and that it has not read yet.
    pub wire: Vec<Request>,
    /// How many times the provider accepted the message.
    pub copies: u8,
    /// Receipts under way.
    pub receipts: Vec<Receipt>,
    pub faults: Faults,
    pub history: History,
}

/// The client that sends the message, with an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    Asks,
    /// It has the 202.
    Answered,
}

/// The row of `messages`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Message {
    pub status: Status,
    pub delivery: Delivery,
    pub attempt: u32,
    pub canceled: bool,
}

/// The row of `outbox`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct OutboxRow {
    pub lease_no: u32,
    pub attempt: u32,
    pub leased_by: Option<Owner>,
    /// Whether a provider is noted: by the lease that runs, or by one that lapsed and is not settled.
    pub has_provider: bool,
    /// Whether `leased_until` is in the future.
    pub lease_runs: bool,
    pub reconciling: bool,
    /// Never due.
    pub held: bool,
    /// Whose open transaction locks the row. Only the variant that calls before it commits has one during a call.
    pub locked_by: Option<usize>,
}

/// A processor's run: a restarted processor is another owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub worker: usize,
    pub run: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    /// Counts its starts.
    pub run: u8,
    pub task: Option<Task>,
}

/// What a processor keeps in memory of the message that it claimed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Task {
    pub lease_no: u32,
    /// As counted before this attempt.
    pub attempt: u32,
    pub stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// It may send.
    Claimed,
    /// The request is written.
    Calling,
    /// Only the settle is left.
    Decided(Decision),
}

/// A transition, without the texts that no rule reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Decision {
    pub status: Status,
    pub delivery: Delivery,
    pub attempt: u32,
    pub next: NextStep,
    pub is_unknown_outcome: bool,
}

/// [`Next`] without its duration: in the model a wait ends at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum NextStep {
    Gone,
    Due,
    Held,
}

impl From<Transition> for Decision {
    fn from(transition: Transition) -> Self {
        Self {
            status: transition.status,
            delivery: transition.delivery,
            attempt: transition.attempt,
            next: match transition.next {
                Next::Gone => NextStep::Gone,
                Next::After(_) => NextStep::Due,
                Next::Never => NextStep::Held,
            },
            is_unknown_outcome: transition.event == EventKind::OutcomeUnknown,
        }
    }
}

/// A call of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    pub from: Owner,
    pub lease_no: u32,
    /// The number of the attempt, which a receipt brings back.
    pub attempt: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Receipt {
    pub attempt: u32,
    pub delivery: Delivery,
}

/// What happened so far: no rule reads it, the properties do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct History {
    /// Events of the kind `outcome_unknown`.
    pub unknown_outcomes: u8,
    /// A crash, a lapse or a lost answer happened.
    pub had_fault: bool,
    /// A settle was written under a lease that was not the newest.
    pub wrote_stale: bool,
    /// A receipt that says "delivered" was applied.
    pub was_delivered: bool,
    /// A receipt settled the message while its call was not answered.
    pub receipt_came_first: bool,
}
