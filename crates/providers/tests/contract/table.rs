//! What each kind's fixtures hold it to, counted, and what they lack. To see the table:
//! `cargo test -p providers --test contract table -- --nocapture`.

use model::Channel;
use providers::{KINDS, Kind};
use serde_json::Value;

use crate::fixture::{Fixture, KindFixtures};

const COLUMNS: [&str; 6] = ["send", "classify", "verify", "vectors", "inbound", "receipts"];

/// The fixtures of one kind, by what they are for.
struct Counted {
    kind: &'static Kind,
    signs: bool,
    requests: Vec<Fixture>,
    responses: Vec<Fixture>,
    webhooks: Vec<Fixture>,
}

impl Counted {
    fn of(kind: &'static Kind) -> Self {
        let fixtures = KindFixtures::of(kind);
        Self {
            kind,
            signs: fixtures.settings["signs_nothing"] != true,
            requests: fixtures.cases("requests"),
            responses: fixtures.cases("responses"),
            webhooks: fixtures.cases("webhooks"),
        }
    }

    fn empty(kind: &'static Kind) -> Self {
        let none = Vec::new;
        Self { kind, signs: true, requests: none(), responses: none(), webhooks: none() }
    }

    fn webhooks(&self, which: impl Fn(&Value) -> bool) -> usize {
        self.webhooks.iter().filter(|fixture| which(&fixture.json)).count()
    }

    /// In the order of [`COLUMNS`].
    fn numbers(&self) -> [usize; 6] {
        [
            self.requests.len(),
            self.responses.len(),
            self.webhooks(|json| is_signed(json) || is_unverified(json) || is_vector(json)),
            self.webhooks(is_vector),
            self.webhooks(|json| !inbound(json).is_empty()),
            self.webhooks(|json| !receipts(json).is_empty()),
        ]
    }

    fn lacks(&self) -> Vec<String> {
        let sends = |channel: Channel| {
            self.requests.iter().any(|fixture| {
                let is_sent = fixture.json["request"].is_object() || fixture.json["smtp"].is_object();
                is_sent && fixture.json["message"]["channel"] == channel.as_str()
            })
        };
        let classifies = |outcomes: &[&str]| {
            self.responses
                .iter()
                .any(|fixture| outcomes.iter().any(|name| fixture.json["outcome"][name].is_object()))
        };
        let Kind { channels, receipts: has_receipts, inbound: has_inbound, .. } = self.kind;
        let calls_back = *has_receipts || *has_inbound;
        let carries = |json: &Value| receipts(json).iter().any(|receipt| receipt["message_id"].is_string());
        let mut rules: Vec<(bool, String)> = Vec::new();
        let mut rule = |holds: bool, what: &str| rules.push((holds, what.to_owned()));
        for channel in *channels {
            rule(sends(*channel), &format!("a request that sends {}", channel.as_str()));
        }
        rule(classifies(&["accepted"]), "a response that is accepted");
        rule(classifies(&["throttled", "unavailable"]), "a response that is to be tried again");
        rule(classifies(&["rejected"]), "a response that refuses");
        rule(classifies(&["uncertain"]), "a malformed response, which is uncertain");
        rule(!calls_back || !self.signs || self.webhooks(is_signed) > 0, "a webhook with `signed`");
        rule(!calls_back || self.webhooks(is_unverified) > 0, "a webhook that is unverified");
        rule(
            !calls_back || self.webhooks(|json| json["verify"] == false) > 0,
            "a webhook with verification off",
        );
        rule(
            *has_inbound == (self.webhooks(|json| !inbound(json).is_empty()) > 0),
            "inbound, as its Kind says",
        );
        rule(
            *has_receipts == (self.webhooks(|json| !receipts(json).is_empty()) > 0),
            "receipts, as its Kind says",
        );
        rule(!self.kind.receipts_carry_our_id || self.webhooks(carries) > 0, "a receipt that carries our id");
        rules.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| what).collect()
    }
}

fn is_signed(json: &Value) -> bool {
    json["signed"].is_object()
}

fn is_unverified(json: &Value) -> bool {
    json["error"]["unverified"].is_string()
}

fn is_vector(json: &Value) -> bool {
    json["vector"].is_string()
}

fn inbound(json: &Value) -> &[Value] {
    json["webhook"]["inbound"].as_array().map_or(&[], Vec::as_slice)
}

fn receipts(json: &Value) -> &[Value] {
    json["webhook"]["receipts"].as_array().map_or(&[], Vec::as_slice)
}

fn line(name: &str, cells: impl IntoIterator<Item = String>) -> String {
    cells.into_iter().fold(format!("{name:<12}"), |line, cell| format!("{line}{cell:>10}")) + "\n"
}

#[test]
fn every_kind_has_the_fixtures_that_its_description_asks_for() {
    let mut table = line("kind", COLUMNS.map(str::to_owned));
    let mut totals = [0; COLUMNS.len()];
    let mut lacking = Vec::new();
    for kind in KINDS {
        let counted = Counted::of(kind);
        let numbers = counted.numbers();
        table += &line(kind.name, numbers.map(|number| number.to_string()));
        for (total, number) in totals.iter_mut().zip(numbers) {
            *total += number;
        }
        lacking.extend(counted.lacks().into_iter().map(|what| format!("{}: {what}", kind.name)));
    }
    table += &line(&format!("{} kinds", KINDS.len()), totals.map(|total| total.to_string()));
    println!("\n{table}");
    assert!(lacking.is_empty(), "no fixture is\n{}", lacking.join("\n"));
}

#[test]
fn a_kind_without_fixtures_lacks_everything() {
    for kind in KINDS {
        // A channel each, four meanings of an answer, three webhooks that prove verification, and what it says it has.
        let says = [kind.inbound, kind.receipts, kind.receipts_carry_our_id].into_iter().filter(|says| *says);
        assert_eq!(
            Counted::empty(kind).lacks().len(),
            kind.channels.len() + 4 + 3 + says.count(),
            "{}",
            kind.name
        );
    }
}
