//! The fault suite at a small scale, so that it cannot rot between its full runs: a few scenarios, against the
//! binaries that were built with this test.
#![expect(clippy::unwrap_used, reason = "a test: what cannot be done fails it")]

use chaos::scenarios;
use chaos::stage::{self, Stage};
use chaos::table::{self, Row};

const SCALE: f64 = 0.01;

/// One after the other on one PostgreSQL: they share the machine's few cores.
async fn play(names: &[&str]) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut stage = Stage::open(stage::binaries_beside_us().unwrap(), SCALE).await.unwrap();
    let mut rows: Vec<Row> = Vec::new();
    for scenario in scenarios::named(&names).unwrap() {
        let result = (scenario.run)(&mut stage).await.map_err(|error| format!("{error:#}"));
        rows.push((scenario.name.to_owned(), result));
        let invariants = stage.check_invariants().await.map_err(|error| format!("{error:#}"));
        rows.push((format!("{}, afterwards", scenario.name), invariants));
    }
    stage.close(false).await.unwrap();
    let text = table::render(&rows);
    assert!(table::all_passed(&rows), "\n{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_eight_calls_first_messages_and_every_outcome_end_as_promised() {
    play(&["eight-calls", "first-messages", "outcomes"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_lose_nothing_and_several_processors_send_nothing_twice() {
    play(&["kill-between", "kill-processor", "several-processors"]).await;
}

#[test]
fn an_unknown_scenario_is_refused_by_name() {
    let error = scenarios::named(&["no-such".to_owned()]).err().unwrap().to_string();
    assert!(error.contains("no-such") && error.contains("eight-calls"), "{error}");
}
