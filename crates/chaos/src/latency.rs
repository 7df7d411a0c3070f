//! Percentiles of measured times.

/// Times in milliseconds, sorted.
#[derive(Clone, Debug)]
pub struct Latencies(Vec<f64>);

impl Latencies {
    pub fn new(mut times_ms: Vec<f64>) -> Self {
        times_ms.sort_by(f64::total_cmp);
        Self(times_ms)
    }

    /// The smallest time that at least this share (0 to 1) of all are not above. Not a number without any.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        let rank = (share * self.0.len() as f64).ceil() as usize;
        self.0.get(rank.clamp(1, self.0.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
    }

    pub fn max_ms(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }
}

#[cfg(test)]
mod tests {
    use super::Latencies;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let times = Latencies::new((1..=200).rev().map(f64::from).collect());
        assert_eq!(
            (times.percentile_ms(0.5), times.percentile_ms(0.99), times.max_ms()),
            (100.0, 198.0, 200.0)
        );
        assert!(Latencies::new(Vec::new()).percentile_ms(0.5).is_nan());
    }
}
