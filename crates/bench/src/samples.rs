//! What was measured: for each figure one value a round, in the order of the rounds.

use std::collections::BTreeMap;

/// All values of a run, by the figure's name.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    values: BTreeMap<String, Vec<f64>>,
}

/// The middle of some values and how far they reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median =
            if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        Some(Self { median, min, max })
    }
}

impl Samples {
    pub fn add(&mut self, figure: impl Into<String>, value: f64) {
        self.values.entry(figure.into()).or_default().push(value);
    }

    pub fn of(&self, figure: &str) -> &[f64] {
        self.values.get(figure).map_or(&[], Vec::as_slice)
    }

    pub fn spread(&self, figure: &str) -> Option<Spread> {
        Spread::of(self.of(figure))
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.values.iter().map(|(figure, values)| (figure.as_str(), values.as_slice()))
    }

    /// One figure by another, round by round: what disturbs a whole round disturbs both.
    pub fn ratio(&self, figure: &str, by: &str) -> Option<Spread> {
        let (above, below) = (self.of(figure), self.of(by));
        if above.len() == below.len() {
            let ratios: Vec<f64> = above.iter().zip(below).map(|(above, below)| above / below).collect();
            return Spread::of(&ratios);
        }
        // A round broke off in one of them: only the middles can be compared.
        let ratio = Spread::of(above)?.median / Spread::of(below)?.median;
        Spread::of(&[ratio])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_round_by_round() {
        let mut samples = Samples::default();
        for (ours, theirs) in [(20.0, 10.0), (2.0, 1.0), (90.0, 30.0)] {
            samples.add("ours", ours);
            samples.add("theirs", theirs);
        }
        let ratio = samples.ratio("ours", "theirs").unwrap();
        assert_eq!((ratio.median, ratio.min, ratio.max), (2.0, 2.0, 3.0));
    }

    #[test]
    fn a_figure_that_was_not_measured_has_no_ratio() {
        let mut samples = Samples::default();
        samples.add("ours", 1.0);
        assert_eq!(samples.ratio("ours", "theirs"), None);
        assert_eq!(samples.ratio("theirs", "ours"), None);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_ones() {
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 8.0]).unwrap().median, 3.0);
    }
}
