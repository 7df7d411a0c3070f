//! The steps of a processor: claim, call, settle, release, and what ends or delays it. Each follows the statement or
//! function that it names; what a step decides comes from `model::transition`.

use std::time::Duration;

use model::transition::{self, Earlier, Elsewhere, Rules, Tried};
use model::{OnUnknown, Outcome, Reason, RetryPolicy};

use crate::world::{Decision, NextStep, OutboxRow, Owner, Request, Stage, Task, Worker, World};

/// What differs between the models: the policy, and the parts of the protocol that may be taken out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    pub on_unknown: OnUnknown,
    /// Whether a settle matches the lease: `lease_no` and `leased_by` (app-db/src/settle.rs).
    pub is_fenced: bool,
    /// Whether the lease is committed before the provider is called (app-processor/src/claim.rs).
    pub commits_before_call: bool,
}

/// Small, so that exhausted attempts are reached.
const MAX_ATTEMPTS: u32 = 3;

fn policy() -> RetryPolicy {
    RetryPolicy { max_attempts: MAX_ATTEMPTS, ..RetryPolicy::default() }
}

impl Protocol {
    fn rules<'a>(&self, policy: &'a RetryPolicy) -> Rules<'a> {
        Rules {
            policy,
            on_unknown: self.on_unknown,
            reconcile_wait: Duration::from_secs(300),
            elsewhere: Elsewhere::Nowhere,
            confirm_within: None,
        }
    }

    /// As `app_db::claim::claim` and `sort_out` of app-processor/src/claim.rs.
    pub(crate) fn claim(&self, world: &mut World, worker: usize) -> bool {
        let owner = Owner { worker, run: world.workers[worker].run };
        let Some(row) = world.row.as_mut().filter(|row| is_claimable(row)) else { return false };
        let (lapsed, lease_no, attempt) = (row.has_provider, row.lease_no + 1, row.attempt);
        let reconciling = row.reconciling;
        if self.commits_before_call || lapsed || reconciling {
            *row =
                OutboxRow { lease_no, leased_by: Some(owner), has_provider: true, lease_runs: true, ..*row };
        } else {
            row.locked_by = Some(worker);
        }
        let stage = if reconciling {
            Stage::Decided(transition::after_reconcile_wait(attempt).into())
        } else if lapsed {
            let unknown = transition::after_unknown(
                Reason::LeaseLapsed,
                None,
                tried(attempt, lease_no),
                &self.rules(&policy()),
            );
            Stage::Decided(unknown.into())
        } else {
            Stage::Claimed
        };
        world.workers[worker].task = Some(Task { lease_no, attempt, stage });
        true
    }

    /// What the processor concludes from the answer, or from its absence.
    pub(crate) fn decide(&self, task: &mut Task, outcome: &Outcome) {
        let step =
            transition::after_outcome(outcome, tried(task.attempt, task.lease_no), &self.rules(&policy()));
        task.stage = Stage::Decided(step.into());
    }

    /// As `app_db::settle::settle`: written only under the lease that it was decided for.
    pub(crate) fn settle(&self, world: &mut World, worker: usize) -> bool {
        let Some(Task { lease_no, stage: Stage::Decided(decision), .. }) = world.workers[worker].task else {
            return false;
        };
        world.workers[worker].task = None;
        let owner = Owner { worker, run: world.workers[worker].run };
        let Some(row) = world.row.as_mut() else { return true };
        if row.locked_by == Some(worker) {
            // The one transaction of claim, call and settle.
            *row = OutboxRow { lease_no, leased_by: Some(owner), locked_by: None, ..*row };
        }
        let is_ours = row.lease_no == lease_no && row.leased_by == Some(owner);
        if self.is_fenced && !is_ours {
            return true;
        }
        world.history.wrote_stale |= !is_ours;
        write(world, decision);
        true
    }
}

fn is_claimable(row: &OutboxRow) -> bool {
    !row.held && !row.lease_runs && row.locked_by.is_none()
}

fn tried(attempt: u32, lease_no: u32) -> Tried {
    Tried { attempt, age: Duration::ZERO, claims: lease_no, jitter: 0.5, earlier: Earlier::None }
}

/// As the statement of app-db/src/settle.rs: outbox row, message and event together.
fn write(world: &mut World, decision: Decision) {
    let Decision { status, delivery, attempt, next, is_unknown_outcome } = decision;
    if let Some(message) = world.message.as_mut() {
        (message.status, message.delivery, message.attempt) = (status, delivery, attempt);
    }
    world.history.unknown_outcomes += u8::from(is_unknown_outcome);
    world.row = world.row.filter(|_| next != NextStep::Gone).map(|row| OutboxRow {
        attempt,
        leased_by: None,
        has_provider: false,
        lease_runs: false,
        held: next == NextStep::Held,
        reconciling: delivery == model::Delivery::Unknown && next == NextStep::Due,
        ..row
    });
}

/// The request is written. From here the provider may have the message.
pub(crate) fn call(world: &mut World, worker: usize) -> bool {
    let Worker { run, task } = &mut world.workers[worker];
    let Some(task) = task.as_mut().filter(|task| task.stage == Stage::Claimed) else { return false };
    task.stage = Stage::Calling;
    let from = Owner { worker, run: *run };
    world.wire.push(Request { from, lease_no: task.lease_no, attempt: task.attempt + 1 });
    true
}

/// As `app_db::claim::release`: nothing was sent, so the row is due again at no cost.
pub(crate) fn release(world: &mut World, worker: usize) -> bool {
    let owner = Owner { worker, run: world.workers[worker].run };
    let Some(task) = world.workers[worker].task.take_if(|task| task.stage == Stage::Claimed) else {
        return false;
    };
    if let Some(row) = world.row.as_mut() {
        if row.locked_by == Some(worker) {
            row.locked_by = None;
        } else if row.lease_no == task.lease_no && row.leased_by == Some(owner) {
            *row = OutboxRow { leased_by: None, has_provider: false, lease_runs: false, ..*row };
        }
    }
    true
}

/// The process is killed and starts again: what it had in memory is gone, an open transaction is rolled back. What it
/// wrote to the provider stays on the wire.
pub(crate) fn crash(world: &mut World, worker: usize) -> bool {
    let Worker { run, task } = &mut world.workers[worker];
    if task.take().is_none() {
        // A crash with empty hands changes nothing that the model has.
        return false;
    }
    *run += 1;
    if let Some(row) = world.row.as_mut().filter(|row| row.locked_by == Some(worker)) {
        row.locked_by = None;
    }
    true
}

/// Whether somebody extends the lease of the row.
pub(crate) fn is_kept(world: &World) -> bool {
    let Some(OutboxRow { leased_by: Some(owner), lease_no, .. }) = world.row else { return false };
    let worker = &world.workers[owner.worker];
    worker.run == owner.run && worker.task.as_ref().is_some_and(|task| task.lease_no == lease_no)
}
