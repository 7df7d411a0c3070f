//! The table that a run ends with. Must not depend on a terminal: it is pasted into notes.

use crate::figure::Figure;

/// A scenario's name, and its figures or why there are none.
pub type Row = (&'static str, Result<Vec<Figure>, String>);

/// Whether every figure of every scenario passed.
pub fn all_passed(rows: &[Row]) -> bool {
    rows.iter().all(|(_, result)| match result {
        Ok(figures) => figures.iter().all(|figure| figure.passed),
        Err(_) => false,
    })
}

pub fn render(rows: &[Row]) -> String {
    let mut cells = vec![["scenario", "figure", "value", "bar", ""].map(str::to_owned)];
    for (name, result) in rows {
        match result {
            Ok(figures) => cells.extend(figures.iter().enumerate().map(|(index, figure)| {
                let name = if index == 0 { *name } else { "" };
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
                cells.push([(*name).to_owned(), first, String::new(), String::new(), "FAIL".to_owned()]);
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
        let good = ("a", Ok(vec![Figure::exactly("lost", 0, 0), Figure::told("rate", "7/s")]));
        let bad = ("b", Ok(vec![Figure::at_most("duplicates", 3, 2)]));
        assert!(all_passed(std::slice::from_ref(&good)));
        assert!(!all_passed(&[good.clone(), bad.clone()]));
        let text = render(&[good, bad]);
        assert!(text.contains("duplicates  3") && text.contains("FAIL"), "{text}");
    }

    #[test]
    fn a_scenario_that_broke_off_fails_the_run() {
        let broken = ("c", Err("waited in vain".to_owned()));
        assert!(!all_passed(std::slice::from_ref(&broken)));
        assert!(render(&[broken]).contains("waited in vain"));
    }
}
