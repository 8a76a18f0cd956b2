//! A fair sample of a series of any length, in constant memory.

use crate::stats::Random;

/// Values kept: 1 % of them, which decide about the p99, are still 80.
pub const SIZE: usize = 8192;

/// Keeps each of the values so far with the same chance (Vitter 1985,
/// algorithm R), and in which order they came.
#[derive(Debug, Clone)]
pub struct Reservoir {
    /// Place in the series, and value.
    kept: Vec<(u64, u64)>,
    seen: u64,
    random: Random,
}

impl Reservoir {
    /// An empty one; the same seed keeps the same places of a series.
    pub fn new(seed: u64) -> Self {
        Self { kept: Vec::new(), seen: 0, random: Random::new(seed) }
    }

    /// The next value.
    #[inline]
    pub fn record(&mut self, value: u64) {
        let place = self.seen;
        self.seen += 1;
        if self.kept.len() < SIZE {
            self.kept.push((place, value));
            return;
        }
        let drawn = self.random.below(self.seen);
        if let Some(kept) = usize::try_from(drawn).ok().and_then(|drawn| self.kept.get_mut(drawn)) {
            *kept = (place, value);
        }
    }

    /// The values kept, in the order in which they came.
    pub fn values(&self) -> Vec<u64> {
        let mut kept = self.kept.clone();
        kept.sort_unstable();
        kept.into_iter().map(|(_, value)| value).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_series_is_kept_whole_and_in_order() {
        let mut reservoir = Reservoir::new(1);
        for value in [5, 3, 4] {
            reservoir.record(value);
        }
        assert_eq!(reservoir.values(), [5, 3, 4]);
    }

    #[test]
    fn a_long_series_is_kept_fairly_and_in_order() {
        let mut reservoir = Reservoir::new(1);
        for value in 0..1_000_000 {
            reservoir.record(value);
        }
        let values = reservoir.values();
        assert_eq!(values.len(), SIZE);
        assert!(values.is_sorted());
        for tenth in 1..10 {
            let median = values[SIZE * tenth / 10];
            assert!(median.abs_diff(tenth as u64 * 100_000) < 20_000, "{tenth}: {median}");
        }
    }
}
