//! A line of numbers as a small picture, drawn here: no script, no style.

use maud::{Markup, html};

const WIDTH: usize = 240;
const HEIGHT: usize = 32;

/// `about` says the same for whoever does not see it.
pub(super) fn sparkline(numbers: &[i64], about: &str) -> Markup {
    let max = numbers.iter().copied().max().unwrap_or(0).max(1);
    html! {
        svg .spark role="img" aria-label=(about) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } width=(WIDTH) height=(HEIGHT)
            preserveAspectRatio="none" {
            polyline points=(points(numbers, max)) fill="none" stroke="currentColor" stroke-width="1.5"
                vector-effect="non-scaling-stroke" {}
        }
    }
}

fn points(numbers: &[i64], max: i64) -> String {
    let last = numbers.len().saturating_sub(1).max(1);
    let point = |(position, number): (usize, &i64)| {
        let x = (position * WIDTH) as f64 / last as f64;
        let y = (HEIGHT - 2) as f64 * (1.0 - *number as f64 / max as f64) + 1.0;
        format!("{x:.1},{y:.1}")
    };
    numbers.iter().enumerate().map(point).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_goes_from_edge_to_edge_and_the_highest_number_is_at_the_top() {
        assert_eq!(points(&[0, 5, 10], 10), "0.0,31.0 120.0,16.0 240.0,1.0");
        assert_eq!(points(&[], 1), "");
        assert_eq!(points(&[3], 3), "0.0,1.0");
    }
}
