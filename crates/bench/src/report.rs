//! The report of a run: `docs/benchmarks.md` for people and `docs/benchmarks.json` for programs, from the same
//! values. Must not leave out what failed or was skipped.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::floors::{FLOORS, Side};
use crate::samples::Spread;

/// A run that is over.
pub struct Report {
    pub machine: Value,
    pub when: String,
    pub failures: Vec<String>,
}

const HEAD: &str = "# Benchmarks

Written by `make bench`, from one run; not edited by hand. Everything (clients, provider, our processes, the peers
and PostgreSQL) shares the machine named below. Absolute figures move with the machine's other work; **the ratios
are what counts**: their two sides were measured in turns, in the same run.

";

const COMPARED: &str = "
## What is compared

- **pgbench** writes, in our own schema with all its indexes and constraints, what an accepted message is: selects
  the conversation or inserts it (one in twenty is new), inserts the outbox row and the message; one message a
  commit, 64 clients, prepared statements. It parses no HTTP and checks nothing.
- **accept** is the release binary with an API key required, validation, routing, and metrics on, 64 connections in a
  closed loop. \"With Idempotency-Keys\" every request has one, a further row that pgbench does not write.
- **inbound** are Twilio webhooks with valid signatures, each a new message; a row of `inbound_keys` more than pgbench
  and no outbox row.
- **end to end**: accepted and delivered to the sink at once, at most 4,000 on their way; the time runs until the last
  one is settled. 64 connections against pgbench's 64 clients, and for the costs; 256 connections against Kannel, which
  has 256 too (neither machine is full with 64), and for the resident memory.
- **sending drain**: one app-processor with up to 1,000 calls at once, from a backlog to the sink until all is settled.
  **Bare client** is a loop of 64 hyper connections to the same sink; it stores nothing.
- **no-op drain**: `app_db::claim` and `app_db::settle`, the processor's statements, batches of 500, two clients,
  driven by this program; nothing is sent. It writes a lease, the message's outcome and an event; most queue peers
  only delete or mark their job. Peers run jobs that do nothing, put in by their own bulk call before the clock
  starts; their time ends when the database has no open job left. Their processes run handlers, ours does not.
- **Kannel** takes messages over HTTP, keeps them in its spool (which is not fsynced) and sends them to the same sink.
  It has no conversations, no idempotency, no events, no database.
- **sink** and clients are part of this program and cost processor time too: \"load and sink\" in the table of costs.
";

fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1_000.0 => {
            let digits = format!("{value:.0}");
            let mut text = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index).is_multiple_of(3) && digit.is_ascii_digit() {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn spread(spread: Spread) -> String {
    if spread.min == spread.max {
        String::new()
    } else {
        format!("{} – {}", number(spread.min), number(spread.max))
    }
}

impl Report {
    /// The judged figures: what the run ends with, on the terminal too.
    pub fn verdicts(bench: &Bench) -> String {
        let mut text = String::from(
            "| figure | measured | spread | floor | aim | |\n| --- | --- | --- | --- | --- | --- |\n",
        );
        for floor in FLOORS {
            let sign = if floor.side == Side::AtLeast { "≥" } else { "≤" };
            let (what, value, range, word) = match floor.judge(&bench.samples) {
                Some(v) => {
                    let word = if v.aim_met {
                        "aim met"
                    } else if v.passed {
                        "met"
                    } else {
                        "**missed**"
                    };
                    (v.what, number(v.value.median), spread(v.value), word)
                }
                None => (floor.what.to_owned(), "–".to_owned(), String::new(), "not measured"),
            };
            let _ = writeln!(
                text,
                "| {what} | {value} | {range} | {sign} {} | {sign} {} | {word} |",
                floor.floor, floor.aim
            );
        }
        text
    }

    /// Whether every figure that was measured is at or above its floor, and nothing broke off.
    pub fn passed(&self, bench: &Bench) -> bool {
        self.failures.is_empty() && FLOORS.iter().filter_map(|f| f.judge(&bench.samples)).all(|v| v.passed)
    }

    pub fn markdown(&self, bench: &Bench) -> String {
        let (machine, plan) = (&self.machine, &bench.plan);
        let mut text = HEAD.to_owned();
        let said = |key: &str| machine[key].as_str().map_or_else(|| machine[key].to_string(), str::to_owned);
        let _ = writeln!(
            text,
            "{}. {} × {}, {} GB of memory, Linux {}, load {} at the start. PostgreSQL {} with durable settings. {} rounds, \
             {} s a measurement, {} messages or jobs a drain, \"large\" or \"many\" is {} rows.\n",
            self.when,
            said("cores"),
            said("processor"),
            said("memory_gb"),
            said("kernel"),
            said("load_at_start"),
            said("postgres"),
            plan.rounds,
            plan.time.as_secs_f64(),
            number(plan.jobs as f64),
            number(plan.large as f64),
        );
        if let Some(settings) = machine["settings"].as_object() {
            let settings: Vec<String> =
                settings.iter().map(|(k, v)| format!("`{k} = {}`", v.as_str().unwrap_or_default())).collect();
            let _ = writeln!(text, "{}\n", settings.join(", "));
        }
        let _ = writeln!(text, "## Ratios and bounds\n\n{}", Self::verdicts(bench));
        let _ = writeln!(
            text,
            "Ratios are medians of the rounds' ratios; the spread is from the lowest to the highest round.\n"
        );
        text.push_str(&curve(bench));
        let _ = writeln!(
            text,
            "## Everything that was measured\n\n| figure | median | spread | values |\n| --- | --- | --- | --- |"
        );
        for (figure, values) in bench.samples.iter() {
            let Some(of) = Spread::of(values) else { continue };
            let _ =
                writeln!(text, "| {figure} | {} | {} | {} |", number(of.median), spread(of), values.len());
        }
        text.push_str(COMPARED);
        for (title, lines) in
            [("Notes", &bench.notes), ("Skipped", &bench.skipped), ("Broken off", &self.failures)]
        {
            if !lines.is_empty() {
                let _ = writeln!(text, "\n## {title}\n");
                for line in lines {
                    let _ = writeln!(text, "- {line}");
                }
            }
        }
        text
    }

    pub fn json(&self, bench: &Bench) -> Value {
        let figures: serde_json::Map<String, Value> = bench
            .samples
            .iter()
            .filter_map(|(figure, values)| {
                let Spread { median, min, max } = Spread::of(values)?;
                Some((
                    figure.to_owned(),
                    json!({ "median": median, "min": min, "max": max, "values": values }),
                ))
            })
            .collect();
        let judged: Vec<Value> = FLOORS
            .iter()
            .filter_map(|floor| {
                let verdict = floor.judge(&bench.samples)?;
                let Spread { median, min, max } = verdict.value;
                let side = if floor.side == Side::AtLeast { "at_least" } else { "at_most" };
                Some(json!({
                    "figure": verdict.what, "median": median, "min": min, "max": max, "side": side,
                    "floor": floor.floor, "aim": floor.aim, "passed": verdict.passed, "aim_met": verdict.aim_met,
                }))
            })
            .collect();
        let plan = &bench.plan;
        json!({
            "when": self.when, "machine": self.machine,
            "plan": {
                "rounds": plan.rounds, "seconds": plan.time.as_secs_f64(), "jobs": plan.jobs, "large": plan.large,
                "processed": plan.processed, "snapshot_s": plan.snapshot.as_secs(),
            },
            "judged": judged, "figures": figures, "notes": bench.notes, "skipped": bench.skipped,
            "broken_off": self.failures,
        })
    }
}

/// What is shown over each number of stored messages, `{}` in the figure's name.
const CURVE: [(&str, &str); 9] = [
    ("accept, ms each", "accept over {} stored, ms each"),
    ("claim of 500, ms", "claim of 500 over {} stored, ms"),
    ("settle of 500, ms", "settle of 500 over {} stored, ms"),
    ("page of 50 messages, ms", "list of messages over {} stored, ms"),
    ("page of 50 conversations, ms", "list of conversations over {} stored, ms"),
    ("page of a conversation, ms", "a conversation's list over {} stored, ms"),
    ("retention: a week dropped, ms", "retention over {} stored, ms"),
    ("messages in that week", "messages dropped over {} stored"),
    ("disk, bytes a message", "disk over {} stored, bytes each"),
];

/// A table with a column for each size; nothing where sizes were not compared.
fn curve(bench: &Bench) -> String {
    if bench.sizes.is_empty() {
        return String::new();
    }
    let columns = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let row = |first: &str, of: &dyn Fn(&String) -> String| {
        columns(std::iter::once(first.to_owned()).chain(bench.sizes.iter().map(of)).collect())
    };
    let mut text = "## Over how much is stored\n\n".to_owned();
    text += &row("", &|size| size.replace("large", &number(bench.plan.large as f64)));
    text += &row("---", &|_| "---".to_owned());
    for (title, figure) in CURVE {
        let median = |size: &String| {
            let spread = bench.samples.spread(&figure.replace("{}", size));
            spread.map_or("–".to_owned(), |spread| number(spread.median))
        };
        text += &row(title, &median);
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_are_sure() {
        let all: Vec<String> = [0.123, 12.34, 345.6, 1_234_567.8, 12_345.0].map(number).to_vec();
        assert_eq!(all, ["0.12", "12.3", "346", "1,234,568", "12,345"]);
    }
}
