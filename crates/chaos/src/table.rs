//! The table that a run ends with. Must not depend on a terminal: it is pasted into notes.

use crate::figure::Figure;

/// A scenario's name, and its figures or why there are none.
pub type Row = (String, Result<Vec<Figure>, String>);

/// Whether every figure of every scenario passed.
pub fn all_passed(rows: &[Row]) -> bool {
    rows.iter().all(|(_, result)| match result {
        Ok(figures) => figures.iter().all(|figure| figure.passed),
        Err(_) => false,
    })
}

/// Many runs of the same scenarios: those that failed in full, and of the others the sums of what they counted.
pub fn summary(rows: Vec<Row>) -> Vec<Row> {
    let (passed, failed): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|row| all_passed(std::slice::from_ref(row)));
    let mut sums: Vec<(String, f64)> = Vec::new();
    for figure in passed.iter().filter_map(|(_, result)| result.as_ref().ok()).flatten() {
        let Ok(value) = figure.value.parse::<f64>() else { continue };
        match sums.iter_mut().find(|(what, _)| *what == figure.what) {
            Some((_, sum)) => *sum += value,
            None => sums.push((figure.what.clone(), value)),
        }
    }
    let mut figures = vec![
        Figure::told("runs that passed", passed.len()),
        Figure::exactly("runs that failed", failed.len(), 0),
    ];
    figures.extend(sums.into_iter().map(|(what, sum)| Figure::told(format!("in all: {what}"), sum)));
    failed.into_iter().chain([("all runs".to_owned(), Ok(figures))]).collect()
}

pub fn render(rows: &[Row]) -> String {
    let mut cells = vec![["scenario", "figure", "value", "bar", ""].map(str::to_owned)];
    for (name, result) in rows {
        match result {
            Ok(figures) => cells.extend(figures.iter().enumerate().map(|(index, figure)| {
                let name = if index == 0 { name.as_str() } else { "" };
                let verdict = match (figure.bar.is_empty(), figure.passed) {
                    (true, _) => "",
                    (false, true) => "pass",
                    (false, false) => "FAIL",
                };
                [name, &figure.what, &figure.value, &figure.bar, verdict].map(str::to_owned)
            })),
            Err(problem) => {
                // In full it was said when it happened.
                let first = problem.lines().next().unwrap_or_default().chars().take(80).collect();
                cells.push([name.clone(), first, String::new(), String::new(), "FAIL".to_owned()]);
            }
        }
    }
    let mut widths = [0; 5];
    for row in &cells {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &cells {
        let line: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(line.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_figure_below_its_bar_fails_the_run_and_is_marked() {
        let good = ("a".to_owned(), Ok(vec![Figure::exactly("lost", 0, 0), Figure::told("rate", "7/s")]));
        let bad = ("b".to_owned(), Ok(vec![Figure::at_most("duplicates", 3, 2)]));
        assert!(all_passed(std::slice::from_ref(&good)));
        assert!(!all_passed(&[good.clone(), bad.clone()]));
        let text = render(&[good, bad]);
        assert!(text.contains("duplicates  3") && text.contains("FAIL"), "{text}");
    }

    #[test]
    fn a_scenario_that_broke_off_fails_the_run() {
        let broken = ("c".to_owned(), Err("waited in vain".to_owned()));
        assert!(!all_passed(std::slice::from_ref(&broken)));
        assert!(render(&[broken]).contains("waited in vain"));
    }

    #[test]
    fn a_summary_keeps_failed_runs_in_full_and_sums_what_the_others_counted() {
        let run = |seed: u64, lost: usize| {
            (format!("seed {seed}"), Ok(vec![Figure::exactly("lost", lost, 0), Figure::told("accepted", 40)]))
        };
        let rows = summary(vec![run(1, 0), run(2, 1), run(3, 0)]);
        assert!(!all_passed(&rows));
        let text = render(&rows);
        assert!(text.contains("seed 2") && !text.contains("seed 3"), "{text}");
        assert!(text.contains("in all: accepted  80"), "{text}");
    }
}
