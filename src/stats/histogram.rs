//! Percentiles over any number of values in bounded memory.
//!
//! Buckets are log-linear, as in Gil Tene's `HdrHistogram`: a value keeps its
//! leading 11 bits. Worked example: 1,000,000 ns lies between 2^19 and 2^20,
//! where buckets are 2^19 / 1024 = 512 ns wide; its bucket is reported by its
//! middle, at most 256 ns away, 0.026 % of the value. Below 2,048 ns every
//! nanosecond has a bucket of its own. The error is therefore never above
//! 1/2048, half of what is promised.

/// Leading bits that a value keeps besides its first, unless told otherwise.
const USUAL_BITS: u32 = 10;
/// Values from here on share the last bucket: 2^47 ns are 39 hours.
const HIGHEST: u64 = (1 << 47) - 1;

/// Counts of values in nanoseconds that keep `BITS` bits after their first.
/// Every doubling of the value has its own block of 2^`BITS` counts (8 KiB with
/// the usual ten), made when the first value falls into it: thousands of
/// histograms with a handful of values each stay small.
#[derive(Debug, Clone, Default)]
pub struct Histogram<const BITS: u32 = USUAL_BITS> {
    /// By doubling; the first two hold single nanoseconds. Empty where no value
    /// has come yet.
    octaves: Vec<Box<[u64]>>,
    total: u64,
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the result is below 2^16; `try_from` is not const"
)]
impl<const BITS: u32> Histogram<BITS> {
    /// Buckets for each doubling of the value.
    const PER_OCTAVE: usize = 1 << BITS;

    /// The bucket of a value that is at most [`HIGHEST`].
    const fn index(value: u64) -> usize {
        if value < 2 * Self::PER_OCTAVE as u64 {
            return value as usize;
        }
        let shift = value.ilog2() - BITS;
        shift as usize * Self::PER_OCTAVE + (value >> shift) as usize
    }

    /// The middle of a bucket.
    fn middle(index: usize) -> u64 {
        if index < 2 * Self::PER_OCTAVE {
            return index as u64;
        }
        let shift = index / Self::PER_OCTAVE - 1;
        let low = ((index % Self::PER_OCTAVE + Self::PER_OCTAVE) as u64) << shift;
        low + ((1 << shift) >> 1)
    }

    /// An empty histogram, which takes no memory of its own.
    pub fn new() -> Self {
        Self { octaves: Vec::new(), total: 0 }
    }

    /// Counts a value (nanoseconds). Values of more than 39 hours are counted
    /// in the last bucket.
    #[inline]
    pub fn record(&mut self, value: u64) {
        let index = Self::index(value.min(HIGHEST));
        let (octave, place) = (index / Self::PER_OCTAVE, index % Self::PER_OCTAVE);
        self.total += 1;
        match self.octaves.get_mut(octave).and_then(|counts| counts.get_mut(place)) {
            Some(count) => *count += 1,
            None => self.octave(octave)[place] = 1,
        }
    }

    /// An octave's counts, which are made if there are none.
    #[cold]
    fn octave(&mut self, octave: usize) -> &mut [u64] {
        if octave >= self.octaves.len() {
            self.octaves.resize_with(octave + 1, Box::default);
        }
        let counts = &mut self.octaves[octave];
        if counts.is_empty() {
            *counts = vec![0; Self::PER_OCTAVE].into_boxed_slice();
        }
        counts
    }

    /// Takes in what another has counted.
    pub fn absorb(&mut self, other: &Self) {
        self.total += other.total;
        for (octave, counts) in other.octaves.iter().enumerate() {
            if !counts.is_empty() {
                let own = self.octave(octave).iter_mut();
                own.zip(counts).for_each(|(count, more)| *count += more);
            }
        }
    }

    /// All values of several histograms in one.
    pub fn sum<'parts>(parts: impl IntoIterator<Item = &'parts Self>) -> Self {
        parts.into_iter().fold(Self::new(), |mut sum, part| {
            sum.absorb(part);
            sum
        })
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many values lie from `low` up to, but without, `high`; the edges are
    /// as exact as a bucket is wide.
    pub fn count_between(&self, low: u64, high: u64) -> u64 {
        let (low, high) = (Self::index(low.min(HIGHEST)), Self::index(high.min(HIGHEST)));
        let within = |octave: usize, counts: &[u64]| {
            let first = octave * Self::PER_OCTAVE;
            let [from, to] = [low, high].map(|edge| edge.saturating_sub(first).min(counts.len()));
            counts.get(from..to).unwrap_or_default().iter().sum::<u64>()
        };
        self.octaves.iter().enumerate().map(|(octave, counts)| within(octave, counts)).sum()
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
        for (octave, counts) in self.octaves.iter().enumerate() {
            let holds = |count: &u64| {
                seen += count;
                seen >= rank
            };
            if let Some(place) = counts.iter().position(holds) {
                return Some(Self::middle(octave * Self::PER_OCTAVE + place));
            }
        }
        None
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

/// The nearest-rank percentile of values that are all there, exactly; they are left
/// in another order.
pub fn percentile(values: &mut [u64], percent: f64) -> Option<u64> {
    let rank = nearest_rank(percent, values.len() as u64);
    let place = usize::try_from(rank).ok()?.checked_sub(1)?;
    (place < values.len()).then(|| *values.select_nth_unstable(place).1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Usual = Histogram<USUAL_BITS>;

    #[test]
    fn memory_grows_with_the_spread_of_values_and_not_with_their_range() {
        let cells = |histogram: &Usual| histogram.octaves.iter().map(|o| o.len()).sum::<usize>();
        let mut histogram = Usual::new();
        assert_eq!(cells(&histogram), 0);
        (60_000..64_000).for_each(|value| histogram.record(value));
        assert_eq!(cells(&histogram), Usual::PER_OCTAVE);
    }

    #[test]
    fn parts_make_the_whole() {
        let mut whole = Usual::new();
        let mut parts = [Usual::new(), Usual::new(), Usual::new()];
        for value in 1..=1000 {
            whole.record(value * value);
            parts[usize::from(value > 700)].record(value * value);
        }
        let sum = Usual::sum(&parts);
        for percent in [0.0, 50.0, 99.0, 100.0] {
            assert_eq!(sum.percentile(percent), whole.percentile(percent));
        }
        assert_eq!(sum.count_between(100, 10_000), 90);
        assert_eq!(sum.count_between(0, u64::MAX), 1000);
        assert_eq!(sum.count_between(10, 5), 0);
    }

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
                let found = Usual::middle(Usual::index(value));
                assert!(found.abs_diff(value) * 2048 <= value, "{value} became {found}");
                let found = Histogram::<6>::middle(Histogram::<6>::index(value));
                assert!(found.abs_diff(value) * 128 <= value, "{value} became {found}");
            }
        }
    }

    #[test]
    fn values_beyond_the_range_are_still_counted() {
        let mut histogram = Usual::new();
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
            let mut histogram = Usual::new();
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
