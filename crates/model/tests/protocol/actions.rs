//! The model as stateright checks it: which steps are possible in a state, and what must hold in each.

use model::{Delivery, OnUnknown, Status};
use stateright::{Model, Property};

use crate::others::{self, Verdict};
use crate::processor::{self, Protocol};
use crate::world::{Client, Faults, History, Receipt, Request, Worker, World};

/// A protocol, and how much may go wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checked {
    pub protocol: Protocol,
    pub workers: usize,
    pub faults: Faults,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Store,
    Answer,
    Cancel,
    Claim(usize),
    Release(usize),
    Call(usize),
    CannotReach(usize),
    Serve(Request, Verdict),
    TimeOut(usize),
    Settle(usize),
    Crash(usize),
    Lapse,
    Deliver(Receipt),
    DeliverAgain(Receipt),
    Report(Request, Delivery),
}

impl Model for Checked {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            client: Client::Asks,
            message: None,
            row: None,
            workers: vec![Worker { run: 0, task: None }; self.workers],
            wire: Vec::new(),
            copies: 0,
            receipts: Vec::new(),
            faults: self.faults,
            history: History::default(),
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        let every_worker = [
            Action::Claim,
            Action::Release,
            Action::Call,
            Action::CannotReach,
            Action::TimeOut,
            Action::Settle,
            Action::Crash,
        ];
        let of_workers = (0..self.workers).flat_map(|worker| every_worker.map(|action| action(worker)));
        let verdicts = [Verdict::Accepts, Verdict::Rejects, Verdict::Unavailable, Verdict::Throttles];
        let of_provider = world.wire.iter().flat_map(|&request| {
            let answers = verdicts.map(|verdict| Action::Serve(request, verdict));
            // The provider accepts and the receipt is delivered to us, in whatever order with the answer.
            let reports = [Delivery::Delivered, Delivery::Undelivered]
                .map(|delivery| Action::Report(request, delivery));
            answers.into_iter().chain(reports)
        });
        let of_receipts = world
            .receipts
            .iter()
            .flat_map(|&receipt| [Action::Deliver(receipt), Action::DeliverAgain(receipt)]);
        let all = [Action::Store, Action::Answer, Action::Cancel, Action::Lapse];
        let all = all.into_iter().chain(of_workers).chain(of_provider).chain(of_receipts);
        actions.extend(all.filter(|&action| self.next_state(world, action).is_some()));
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        // Nothing changes twice in the same way: each possible step is a state of its own.
        (self.step(&mut world, action) && world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("an accepted message is never lost", |_, world: &World| {
                let is_waiting =
                    world.message.is_some_and(|m| matches!(m.status, Status::Outbox | Status::Retry));
                (world.client == Client::Asks || world.message.is_some()) && is_waiting == world.row.is_some()
            }),
            Property::always("no settle is written under an old lease", |_, world: &World| {
                !world.history.wrote_stale
            }),
            Property::always("each duplicate has an unknown outcome of its own", |_, world: &World| {
                world.copies <= 1 + world.history.unknown_outcomes
            }),
            Property::always("without a fault nothing is sent twice", |_, world: &World| {
                world.history.had_fault || world.copies <= 1
            }),
            Property::always("hold and reconcile send nothing twice", |checked: &Self, world: &World| {
                checked.protocol.on_unknown == OnUnknown::Retry || world.copies <= 1
            }),
            Property::always("what is ok was accepted by the provider", |_, world: &World| {
                world.message.is_none_or(|message| message.status != Status::Ok) || world.copies > 0
            }),
            Property::always("what is canceled was sent only with an unknown outcome", |_, world: &World| {
                let is_canceled = world.message.is_some_and(|message| message.canceled);
                !is_canceled || world.history.unknown_outcomes > 0 || world.copies == 0
            }),
            Property::always("what was delivered stays delivered", |_, world: &World| {
                !world.history.was_delivered
                    || world.message.is_some_and(|m| m.delivery == Delivery::Delivered)
            }),
            // Every step uses something up, so a run ends; where it ends the message is settled or shown to a person.
            // This is the "eventually" that holds also where two runs meet in one state, where stateright's is not exact.
            Property::always("a run ends settled, or held", |checked: &Self, world: &World| {
                let goes_on = || {
                    let mut actions = Vec::new();
                    checked.actions(world, &mut actions);
                    !actions.is_empty()
                };
                is_settled(world) || goes_on()
            }),
            Property::eventually("always settled in the end", |_, world: &World| is_settled(world)),
            Property::sometimes("delivered", |_, world: &World| world.history.was_delivered),
            Property::sometimes("a receipt comes before the answer", |_, world: &World| {
                world.history.receipt_came_first
            }),
            Property::sometimes("an unknown outcome", |_, world: &World| world.history.unknown_outcomes > 0),
        ]
    }
}

fn is_settled(world: &World) -> bool {
    let is_final = world.message.is_some_and(|m| matches!(m.status, Status::Ok | Status::Failed));
    is_final || world.row.is_some_and(|row| row.held)
}

impl Checked {
    /// Whether the step is possible; `world` is then as it is after it.
    fn step(&self, world: &mut World, action: Action) -> bool {
        let protocol = &self.protocol;
        match action {
            Action::Store => others::store(world),
            Action::Answer => others::answer(world),
            Action::Cancel => uses(&mut world.faults.cancels) && others::cancel(world),
            Action::Claim(worker) => world.workers[worker].task.is_none() && protocol.claim(world, worker),
            Action::Release(worker) => uses(&mut world.faults.releases) && processor::release(world, worker),
            Action::Call(worker) => processor::call(world, worker),
            Action::CannotReach(worker) => {
                uses(&mut world.faults.refusals) && protocol.cannot_reach(world, worker)
            }
            Action::Serve(request, verdict) => {
                let is_verdict = matches!(verdict, Verdict::Accepts | Verdict::Rejects);
                (is_verdict || uses(&mut world.faults.refusals)) && protocol.serve(world, request, verdict)
            }
            Action::Report(request, delivery) => {
                world.receipts.push(Receipt { attempt: request.attempt, delivery });
                protocol.serve(world, request, Verdict::Accepts)
            }
            Action::TimeOut(worker) => {
                world.history.had_fault = true;
                uses(&mut world.faults.lost_answers) && protocol.time_out(world, worker)
            }
            Action::Settle(worker) => protocol.settle(world, worker),
            Action::Crash(worker) => {
                world.history.had_fault = true;
                uses(&mut world.faults.crashes) && processor::crash(world, worker)
            }
            Action::Lapse => {
                let is_kept = processor::is_kept(world);
                world.history.had_fault |= is_kept;
                (!is_kept || uses(&mut world.faults.lapses))
                    && world.row.as_mut().is_some_and(|row| std::mem::take(&mut row.lease_runs))
            }
            Action::Deliver(receipt) => {
                let place = world.receipts.iter().position(|other| *other == receipt);
                place.map(|place| world.receipts.remove(place)).is_some()
                    && others::apply_receipt(world, receipt)
            }
            Action::DeliverAgain(receipt) => {
                uses(&mut world.faults.repeated_receipts) && others::apply_receipt(world, receipt)
            }
        }
    }
}

fn uses(budget: &mut u8) -> bool {
    let is_left = *budget > 0;
    *budget = budget.saturating_sub(1);
    is_left
}
