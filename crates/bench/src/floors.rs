//! What must hold: every judged figure, a line each, with its floor and what is aimed at.

use crate::measurements::queue_peers;
use crate::samples::{Samples, Spread};

/// How a judged figure comes about.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    Figure(&'static str),
    /// One figure by another, round by round.
    Ratio(&'static str, &'static str),
    /// A figure by the best of the queue peers.
    ByBestPeer(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    AtLeast,
    AtMost,
}

pub struct Floor {
    pub what: &'static str,
    pub of: Of,
    pub side: Side,
    pub floor: f64,
    pub aim: f64,
}

const fn at_least(what: &'static str, of: Of, floor: f64, aim: f64) -> Floor {
    Floor { what, of, side: Side::AtLeast, floor, aim }
}

const fn at_most(what: &'static str, of: Of, floor: f64, aim: f64) -> Floor {
    Floor { what, of, side: Side::AtMost, floor, aim }
}

pub const FLOORS: &[Floor] = &[
    at_least("HTTP accept ÷ pgbench", Of::Ratio("accept/s", "pgbench/s"), 2.5, 4.0),
    at_least("no-op drain ÷ best queue peer", Of::ByBestPeer("no-op drain/s"), 1.5, 2.5),
    at_least("sending drain ÷ bare client loop", Of::Ratio("sending drain/s", "bare client/s"), 0.5, 0.75),
    at_least("end to end ÷ pgbench", Of::Ratio("end to end/s", "pgbench/s"), 0.8, 1.2),
    at_least(
        "end to end ÷ Kannel",
        Of::Ratio("end to end, 256 connections/s", "peer Kannel end to end/s"),
        2.0,
        3.0,
    ),
    at_least("inbound webhooks ÷ pgbench", Of::Ratio("inbound/s", "pgbench/s"), 1.5, 3.0),
    at_most("idle accept → provider called, p50, ms", Of::Figure("idle accept to provider p50 ms"), 5.0, 2.5),
    at_most(
        "idle accept → provider called, p99, ms",
        Of::Figure("idle accept to provider p99 ms"),
        15.0,
        6.0,
    ),
    at_most(
        "claim, large backlog ÷ 10⁴",
        Of::Ratio("claim from a large backlog, ms", "claim from a 10^4 backlog, ms"),
        1.25,
        1.1,
    ),
    at_most(
        "claim after many processed ÷ fresh",
        Of::Ratio("claim, after many processed, ms", "claim, fresh, ms"),
        1.3,
        1.1,
    ),
    at_most(
        "claim with a snapshot held ÷ without",
        Of::Ratio("claim, snapshot held, ms", "claim, no snapshot held, ms"),
        1.3,
        1.1,
    ),
    at_most(
        "accept, many stored ÷ 10⁵ (time)",
        Of::Ratio("accept over large stored, ms each", "accept over 10^5 stored, ms each"),
        1.25,
        1.1,
    ),
    at_most(
        "list of messages, many stored ÷ 10⁵",
        Of::Ratio("list of messages over large stored, ms", "list of messages over 10^5 stored, ms"),
        1.25,
        1.1,
    ),
    at_most(
        "list of conversations, many stored ÷ 10⁵",
        Of::Ratio(
            "list of conversations over large stored, ms",
            "list of conversations over 10^5 stored, ms",
        ),
        1.25,
        1.1,
    ),
    at_most(
        "console, slowest page over 10⁶ stored, p95 ms",
        Of::Figure("console, slowest page p95 ms"),
        100.0,
        50.0,
    ),
    at_least(
        "accept with an inbox open ÷ without, 1,000 inbound/s",
        Of::Ratio("accept beside inbound, inbox open/s", "accept beside inbound/s"),
        0.95,
        0.98,
    ),
    at_most("WAL per message, whole life, kB", Of::Figure("WAL per message, whole life, bytes"), 4.5, 3.0),
    at_most("app-apiserver, highest resident MB", Of::Figure("app-apiserver loaded MB"), 64.0, 32.0),
    at_most("app-processor, highest resident MB", Of::Figure("app-processor loaded MB"), 64.0, 32.0),
];

/// A judged figure of a run.
#[derive(Clone, Debug)]
pub struct Verdict {
    pub what: String,
    pub value: Spread,
    pub passed: bool,
    pub aim_met: bool,
}

impl Floor {
    /// Nothing where a part of it was not measured.
    pub fn judge(&self, samples: &Samples) -> Option<Verdict> {
        let mut what = self.what.to_owned();
        let mut value = match self.of {
            Of::Figure(figure) => samples.spread(figure)?,
            Of::Ratio(figure, by) => samples.ratio(figure, by)?,
            Of::ByBestPeer(figure) => {
                let median = |peer: &String| samples.spread(peer).map_or(0.0, |spread| spread.median);
                let best = queue_peers::figures()
                    .filter(|peer| !samples.of(peer).is_empty())
                    .max_by(|a, b| median(a).total_cmp(&median(b)))?;
                what = format!(
                    "{what} ({})",
                    best.trim_start_matches("peer ").trim_end_matches(", no-op jobs/s")
                );
                samples.ratio(figure, &best)?
            }
        };
        if self.what.ends_with("kB") {
            value = Spread { median: value.median / 1e3, min: value.min / 1e3, max: value.max / 1e3 };
        }
        let reaches = |bar: f64| match self.side {
            Side::AtLeast => value.median >= bar,
            Side::AtMost => value.median <= bar,
        };
        Some(Verdict { what, value, passed: reaches(self.floor), aim_met: reaches(self.aim) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[(&str, f64)]) -> Samples {
        let mut samples = Samples::default();
        for (figure, value) in values {
            samples.add(*figure, *value);
        }
        samples
    }

    fn floor(what: &str) -> &'static Floor {
        FLOORS.iter().find(|floor| floor.what.starts_with(what)).unwrap()
    }

    #[test]
    fn below_its_floor_a_figure_fails() {
        let accept = floor("HTTP accept");
        let of = |accept_rate| samples(&[("accept/s", accept_rate), ("pgbench/s", 1_000.0)]);
        assert!(!accept.judge(&of(2_499.0)).unwrap().passed);
        let good = accept.judge(&of(2_500.0)).unwrap();
        assert!(good.passed && !good.aim_met);
    }

    #[test]
    fn the_drain_is_compared_with_the_best_peer_that_was_measured() {
        let drain = floor("no-op drain");
        assert!(drain.judge(&samples(&[("no-op drain/s", 9.0)])).is_none());
        let verdict = drain.judge(&samples(&[
            ("no-op drain/s", 60.0),
            ("peer pg-boss, no-op jobs/s", 20.0),
            ("peer graphile-worker, no-op jobs/s", 30.0),
        ]));
        let verdict = verdict.unwrap();
        assert_eq!(verdict.value.median, 2.0);
        assert!(verdict.what.contains("graphile-worker"), "{}", verdict.what);
    }

    #[test]
    fn wal_is_judged_in_kilobytes() {
        let wal = floor("WAL").judge(&samples(&[("WAL per message, whole life, bytes", 4_600.0)])).unwrap();
        assert!(!wal.passed);
        assert_eq!(wal.value.median, 4.6);
    }
}
