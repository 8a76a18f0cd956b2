//! Percentiles over any number of values in constant memory.
//!
//! Buckets are log-linear, as in Gil Tene's `HdrHistogram`: a value keeps its
//! leading 11 bits. Worked example: 1,000,000 ns lies between 2^19 and 2^20,
//! where buckets are 2^19 / 1024 = 512 ns wide; its bucket is reported by its
//! middle, at most 256 ns away, 0.026 % of the value. Below 2,048 ns every
//! nanosecond has a bucket of its own. The error is therefore never above
//! 1/2048, half of what is promised.

/// Buckets for each doubling of the value.
const PER_OCTAVE: usize = 1 << SUB_BITS;
const SUB_BITS: u32 = 10;
/// Values from here on share the last bucket: 2^47 ns are 39 hours.
const HIGHEST: u64 = (1 << 47) - 1;
const BUCKETS: usize = index(HIGHEST) + 1;

/// Counts of values in nanoseconds. About 300 KiB of address space, of which
/// only the pages that are counted in become memory.
#[derive(Debug, Clone)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

/// The bucket of a value that is at most [`HIGHEST`].
#[allow(
    clippy::cast_possible_truncation,
    reason = "the result is below 2^16; `try_from` is not const"
)]
const fn index(value: u64) -> usize {
    if value < 2 * PER_OCTAVE as u64 {
        return value as usize;
    }
    let shift = value.ilog2() - SUB_BITS;
    shift as usize * PER_OCTAVE + (value >> shift) as usize
}

/// The middle of a bucket.
fn middle(index: usize) -> u64 {
    if index < 2 * PER_OCTAVE {
        return index as u64;
    }
    let shift = index / PER_OCTAVE - 1;
    let low = ((index % PER_OCTAVE + PER_OCTAVE) as u64) << shift;
    low + ((1 << shift) >> 1)
}

impl Histogram {
    /// An empty histogram.
    pub fn new() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0 }
    }

    /// Counts a value (nanoseconds). Values of more than 39 hours are counted
    /// in the last bucket.
    pub fn record(&mut self, value: u64) {
        self.counts[index(value.min(HIGHEST))] += 1;
        self.total += 1;
    }

    /// All values of several histograms in one.
    pub fn sum<'parts>(parts: impl IntoIterator<Item = &'parts Self>) -> Self {
        let mut sum = Self::new();
        for part in parts {
            sum.total += part.total;
            // What is zero stays untouched, so that it becomes no memory.
            let filled = part.counts.iter().enumerate().filter(|(_, count)| **count > 0);
            filled.for_each(|(index, count)| sum.counts[index] += count);
        }
        sum
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many values lie from `low` up to, but without, `high`; the edges are
    /// as exact as a bucket is wide.
    pub fn count_between(&self, low: u64, high: u64) -> u64 {
        let range = index(low.min(HIGHEST))..index(high.min(HIGHEST));
        self.counts.get(range).unwrap_or_default().iter().sum()
    }

    /// The nearest-rank percentile (NIST's definition): the smallest value
    /// such that at least `percent` of all values are at most as large; `None`
    /// while empty.
    pub fn percentile(&self, percent: f64) -> Option<u64> {
        self.ranked(nearest_rank(percent, self.total))
    }

    /// The value that so many, itself among them, are at most as large as; `None`
    /// beyond the last.
    pub fn ranked(&self, rank: u64) -> Option<u64> {
        let mut seen = 0;
        let holds = |count: &u64| {
            seen += count;
            seen >= rank
        };
        self.counts.iter().position(holds).map(middle)
    }
}

/// The rank of a percentile among `total` values, counted from 1. `percent` is
/// taken to a thousandth, and reckoned with in whole numbers: 99.9 % of 1000 as
/// floating point is a hair above 999.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a percentage is neither negative nor large"
)]
pub fn nearest_rank(percent: f64, total: u64) -> u64 {
    let thousandths = (percent * 1000.0).round() as u64;
    let rank = (u128::from(thousandths) * u128::from(total)).div_ceil(100_000);
    u64::try_from(rank).unwrap_or(u64::MAX).clamp(1, total.max(1))
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ranks_are_exact_where_floating_point_is_not() {
        for (percent, total, rank) in
            [(99.9, 1000, 999), (99.9, 8000, 7992), (50.0, 7, 4), (99.0, 100, 99), (0.0, 9, 1)]
        {
            assert_eq!(nearest_rank(percent, total), rank, "{percent} of {total}");
        }
        assert_eq!(nearest_rank(100.0, u64::MAX), u64::MAX);
    }

    #[test]
    fn every_value_lies_within_its_buckets_error() {
        for shift in 0..47 {
            for value in [1_u64 << shift, (1 << shift) + 1, (3 << shift) / 2, (2 << shift) - 1] {
                let found = middle(index(value));
                assert!(found.abs_diff(value) * 2048 <= value, "{value} became {found}");
            }
        }
    }

    #[test]
    fn values_beyond_the_range_are_still_counted() {
        let mut histogram = Histogram::new();
        histogram.record(u64::MAX);
        assert_eq!(histogram.total(), 1);
        assert!(histogram.percentile(50.0).is_some_and(|p| p > HIGHEST / 2));
    }

    proptest! {
        #[test]
        fn percentiles_agree_with_sorting(
            mut values in prop::collection::vec(0_u64..100_000_000_000, 1..500),
            thousandths in 0..=100_000_u32,
        ) {
            let mut histogram = Histogram::new();
            for value in &values {
                histogram.record(*value);
            }
            values.sort_unstable();
            let rank = (thousandths as usize * values.len()).div_ceil(100_000).max(1);
            let exact = values[rank - 1];
            let found = histogram.percentile(f64::from(thousandths) / 1000.0).unwrap();
            prop_assert!(found.abs_diff(exact) * 1000 <= exact, "{found} for {exact}");
        }
    }
}
