//! A series of durations summed up: extremes, moments and percentiles.

use super::{Histogram, nearest_rank};

/// Minimum, mean, maximum, spread and percentiles of a series of nanosecond
/// values, in constant memory.
#[derive(Debug, Clone, Default)]
pub struct Summary<const BITS: u32 = 10> {
    histogram: Histogram<BITS>,
    min: u64,
    max: u64,
    mean: f64,
    /// Sum of squared distances from the mean (Welford 1962), which loses no
    /// digits where a sum of squares would.
    squares: f64,
}

impl<const BITS: u32> Summary<BITS> {
    /// An empty series.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a value (nanoseconds).
    #[allow(clippy::cast_precision_loss, reason = "moments are floating point by nature")]
    pub fn record(&mut self, value: u64) {
        self.min = if self.is_empty() { value } else { self.min.min(value) };
        self.max = self.max.max(value);
        self.histogram.record(value);
        let value = value as f64;
        let distance = value - self.mean;
        self.mean += distance / self.histogram.total() as f64;
        self.squares += distance * (value - self.mean);
    }

    /// Takes in what another has summed up (Chan and others 1979).
    #[allow(clippy::cast_precision_loss, reason = "moments are floating point by nature")]
    pub fn absorb(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        let (own, more) = (self.count() as f64, other.count() as f64);
        let distance = other.mean - self.mean;
        self.squares += other.squares + distance * distance * own * more / (own + more);
        self.mean += distance * more / (own + more);
        self.min = if self.is_empty() { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.histogram.absorb(&other.histogram);
    }

    /// How many values were taken in.
    pub fn count(&self) -> u64 {
        self.histogram.total()
    }

    /// Whether no value was taken in.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// The smallest value (nanoseconds).
    pub fn min(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.min)
    }

    /// The largest value (nanoseconds).
    pub fn max(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.max)
    }

    /// The arithmetic mean (nanoseconds).
    pub fn mean(&self) -> Option<f64> {
        (!self.is_empty()).then_some(self.mean)
    }

    /// The sample standard deviation (nanoseconds), which needs two values.
    #[allow(clippy::cast_precision_loss, reason = "moments are floating point by nature")]
    pub fn stddev(&self) -> Option<f64> {
        (self.count() > 1).then(|| (self.squares / (self.count() - 1) as f64).sqrt())
    }

    /// How many values lie from `low` up to, but without, `high` (nanoseconds).
    pub fn count_between(&self, low: u64, high: u64) -> u64 {
        self.histogram.count_between(low, high)
    }

    /// The nearest-rank percentile (nanoseconds), within 0.05 % and never
    /// outside what was seen.
    pub fn percentile(&self, percent: f64) -> Option<u64> {
        self.ranked(nearest_rank(percent, self.count()))
    }

    /// The value of this rank from the smallest, which is 1, up (nanoseconds);
    /// as exact as a percentile.
    pub fn ranked(&self, rank: u64) -> Option<u64> {
        self.histogram.ranked(rank).map(|value| value.clamp(self.min, self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[u64]) -> Summary {
        let mut summary = Summary::new();
        for value in values {
            summary.record(*value);
        }
        summary
    }

    #[test]
    fn nothing_measured_gives_no_number() {
        let summary = of(&[]);
        assert_eq!(summary.min(), None);
        assert_eq!(summary.mean(), None);
        assert_eq!(summary.stddev(), None);
        assert_eq!(summary.percentile(99.0), None);
    }

    #[test]
    fn one_value_is_all_of_its_percentiles_and_has_no_spread() {
        let summary = of(&[123_456_789]);
        assert_eq!(summary.percentile(0.0), Some(123_456_789));
        assert_eq!(summary.percentile(99.9), Some(123_456_789));
        assert_eq!(summary.stddev(), None);
    }

    #[test]
    fn sample_standard_deviation() {
        let summary = of(&[2, 4, 4, 4, 5, 5, 7, 9]);
        assert_eq!(summary.mean(), Some(5.0));
        let stddev = summary.stddev().unwrap();
        assert!((stddev - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12, "{stddev}");
    }

    #[test]
    fn a_small_spread_on_a_large_offset_keeps_its_digits() {
        let summary = of(&[1_000_000_000_000, 1_000_000_000_001, 1_000_000_000_002]);
        assert!((summary.stddev().unwrap() - 1.0).abs() < 1e-6);
    }
}
