//! The regression guard: a short run whose ratios must stay above bars that no healthy version comes near, on any
//! machine and beside any other work. Both sides of a ratio are measured in turns, and a bar that was missed is tried
//! again: noise passes the second time, a regression does not.

use crate::samples::Samples;

/// What a guard's run measures.
pub const MEASUREMENTS: &[&str] =
    &["pgbench", "accept", "inbound", "end-to-end", "bare-client", "sending-drain", "no-op-drain"];
pub const TRIES: usize = 3;

pub struct Guard {
    pub what: &'static str,
    figure: &'static str,
    by: &'static str,
    pub bar: f64,
}

const fn guard(what: &'static str, figure: &'static str, by: &'static str, bar: f64) -> Guard {
    Guard { what, figure, by, bar }
}

/// Each bar is at or below half of what `docs/benchmarks.md` shows.
pub const GUARDS: &[Guard] = &[
    guard("HTTP accept ÷ pgbench", "accept/s", "pgbench/s", 1.2),
    guard("inbound webhooks ÷ pgbench", "inbound/s", "pgbench/s", 1.2),
    guard("end to end ÷ pgbench", "end to end/s", "pgbench/s", 0.7),
    guard("no-op drain ÷ pgbench", "no-op drain/s", "pgbench/s", 4.0),
    guard("sending drain ÷ bare client loop", "sending drain/s", "bare client/s", 0.08),
];

impl Guard {
    /// The median of the rounds' ratios; nothing where a side was not measured.
    pub fn ratio(&self, samples: &Samples) -> Option<f64> {
        Some(samples.ratio(self.figure, self.by)?.median)
    }

    pub fn holds(&self, samples: &Samples) -> bool {
        self.ratio(samples).is_none_or(|ratio| ratio >= self.bar)
    }
}

/// The ratios of a try, for the terminal.
pub fn table(samples: &Samples) -> String {
    let mut text = String::from("| guarded | measured | at least | |\n| --- | --- | --- | --- |\n");
    for guard in GUARDS {
        let measured = guard.ratio(samples).map_or("not measured".to_owned(), |ratio| format!("{ratio:.2}"));
        let word = if guard.holds(samples) { "holds" } else { "**regression**" };
        text += &format!("| {} | {measured} | {} | {word} |\n", guard.what, guard.bar);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_below_its_bar_is_a_regression_and_one_that_was_not_measured_is_none() {
        let mut samples = Samples::default();
        assert!(GUARDS.iter().all(|guard| guard.holds(&samples)));
        samples.add("no-op drain/s", 39_000.0);
        samples.add("pgbench/s", 10_000.0);
        assert!(table(&samples).contains("no-op drain ÷ pgbench | 3.90 | 4 | **regression**"));
    }

    #[test]
    fn what_is_guarded_is_measured() {
        let known: Vec<&str> = crate::measurements::MEASUREMENTS.iter().map(|m| m.name).collect();
        assert!(MEASUREMENTS.iter().all(|name| known.contains(name)));
    }
}
