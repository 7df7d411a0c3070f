//! The delivery protocol, checked exhaustively within small bounds: claim, lease, call, crash, settle, receipt,
//! reconcile and cancel, with two and three processors. The model has the statements' rules and takes the decisions
//! from `model::transition`, as the processors do. Two tests take a part of the protocol out and must find the fault.
//! `cargo test -p model --test protocol -- --nocapture` prints the numbers of states.

#[path = "protocol/actions.rs"]
mod actions;
#[path = "protocol/others.rs"]
mod others;
#[path = "protocol/processor.rs"]
mod processor;
#[path = "protocol/world.rs"]
mod world;

use model::OnUnknown;
use stateright::{Checker, Model};

use self::actions::Checked;
use self::processor::Protocol;
use self::world::Faults;

const WHOLE: Protocol = Protocol { on_unknown: OnUnknown::Retry, is_fenced: true, commits_before_call: true };

/// One crash and one lapse: the smallest bounds in which leases change hands twice.
const FAULTS: Faults = Faults {
    crashes: 1,
    lapses: 1,
    lost_answers: 0,
    refusals: 0,
    releases: 0,
    repeated_receipts: 0,
    cancels: 1,
};

fn check(name: &str, checked: Checked) {
    let checker = checked.checker().threads(1).spawn_bfs().join();
    println!(
        "{name}: {} states, {} unique, depth {}",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
    checker.assert_properties();
}

#[test]
fn two_processors_keep_every_promise_whatever_fails() {
    for (name, faults) in [
        ("crashes", Faults { crashes: 2, lapses: 0, ..FAULTS }),
        ("lost answers and refusals", Faults { crashes: 0, lost_answers: 1, refusals: 1, ..FAULTS }),
        (
            "releases and repeated receipts",
            Faults { crashes: 0, releases: 1, repeated_receipts: 1, ..FAULTS },
        ),
    ] {
        check(&format!("two processors, Retry, {name}"), Checked { protocol: WHOLE, workers: 2, faults });
    }
}

#[test]
fn what_is_held_or_reconciled_is_never_sent_twice() {
    let faults = Faults { lost_answers: 1, refusals: 1, releases: 1, repeated_receipts: 1, ..FAULTS };
    for on_unknown in [OnUnknown::Hold, OnUnknown::Reconcile] {
        let protocol = Protocol { on_unknown, ..WHOLE };
        check(&format!("two processors, {on_unknown:?}"), Checked { protocol, workers: 2, faults });
    }
}

#[test]
fn three_processors_keep_every_promise() {
    check("three processors, Retry", Checked { protocol: WHOLE, workers: 3, faults: FAULTS });
}

/// The first property that does not hold, with the run that shows it.
fn faults_found(checked: Checked) -> Vec<&'static str> {
    let checker = checked.checker().threads(1).spawn_bfs().join();
    let discoveries = checker.discoveries();
    let mut broken: Vec<&str> = checked
        .properties()
        .iter()
        .filter(|property| {
            property.expectation != stateright::Expectation::Sometimes
                && discoveries.contains_key(property.name)
        })
        .map(|property| property.name)
        .collect();
    broken.sort_unstable();
    for name in &broken {
        println!("{name}: broken by {} steps", discoveries[*name].clone().into_actions().len());
    }
    broken
}

#[test]
fn without_the_fence_a_stale_write_is_found() {
    let protocol = Protocol { is_fenced: false, ..WHOLE };
    let broken = faults_found(Checked { protocol, workers: 2, faults: FAULTS });
    assert!(broken.contains(&"no settle is written under an old lease"), "{broken:?}");
}

#[test]
fn without_the_commit_before_the_call_an_unexplained_double_is_found() {
    let protocol = Protocol { commits_before_call: false, ..WHOLE };
    let broken = faults_found(Checked { protocol, workers: 2, faults: FAULTS });
    assert!(broken.contains(&"each duplicate has an unknown outcome of its own"), "{broken:?}");
}
