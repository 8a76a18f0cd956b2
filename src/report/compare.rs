//! How two runs differ, and how sure that is.
//!
//! Round-trip times in a row are alike: slow ones come together. A bootstrap
//! that draws them one by one would take that for certainty, so whole stretches
//! are drawn (moving blocks, Künsch 1989), each the square root of all long.

use super::run::Run;
use crate::stats::Random;

/// Samples drawn anew; the ends of a 95 % interval are the 26th and 975th.
const DRAWS: usize = 1000;
const LOW: usize = 25;
const HIGH: usize = DRAWS - 1 - LOW;
/// Fewest round trips that say something about a median.
pub const FEWEST_MEDIAN: usize = 20;
/// Fewest that say something about a p99: five of them are above it.
pub const FEWEST_P99: usize = 500;

/// A difference, in nanoseconds; above zero the second run is slower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// The difference of the two samples.
    pub nanos: i64,
    /// The lower end of the 95 % interval.
    pub low: i64,
    /// Its upper end.
    pub high: i64,
}

impl Estimate {
    /// Whether it may as well be none.
    pub fn within_noise(&self) -> bool {
        self.low <= 0 && self.high >= 0
    }
}

/// How a run differs from another.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The place of the run that is compared with.
    pub base: usize,
    /// The place of the run that is compared.
    pub other: usize,
    /// At the median; none with too few round trips.
    pub median: Option<Estimate>,
    /// At the p99; none with too few round trips.
    pub p99: Option<Estimate>,
}

/// Compares each run of a further file with the run of the same series in the
/// first.
pub fn all(runs: &[Run]) -> Vec<Difference> {
    let pairs: Vec<(usize, usize)> = (0..runs.len())
        .filter(|&other| runs[other].file > 0)
        .filter_map(|other| {
            let first = |run: &Run| run.file == 0 && run.series == runs[other].series;
            Some((runs.iter().position(first)?, other))
        })
        .collect();
    let drawn: Vec<Option<Drawn>> = (0..runs.len())
        .map(|place| {
            let used = pairs.iter().any(|&(base, other)| base == place || other == place);
            used.then(|| Drawn::of(&runs[place].figures.sample.values(), place as u64))
        })
        .collect();
    let differ = |&(base, other): &(usize, usize)| {
        let (Some(first), Some(second)) = (&drawn[base], &drawn[other]) else { return None };
        let median = first.median.differ(&second.median, FEWEST_MEDIAN);
        Some(Difference { base, other, median, p99: first.p99.differ(&second.p99, FEWEST_P99) })
    };
    pairs.iter().filter_map(differ).collect()
}

/// One percentile of a sample and of the samples drawn from it.
#[derive(Default)]
struct Percentile {
    size: usize,
    itself: u64,
    draws: Vec<u64>,
}

impl Percentile {
    fn differ(&self, other: &Self, fewest: usize) -> Option<Estimate> {
        if self.size.min(other.size) < fewest {
            return None;
        }
        let mut all: Vec<i64> =
            self.draws.iter().zip(&other.draws).map(|(&a, &b)| minus(b, a)).collect();
        all.sort_unstable();
        let nanos = minus(other.itself, self.itself);
        let (low, high) = (*all.get(LOW)?, *all.get(HIGH)?);
        Some(Estimate { nanos, low: low.min(nanos), high: high.max(nanos) })
    }
}

/// Round-trip times are far below 2^63.
fn minus(a: u64, b: u64) -> i64 {
    a.cast_signed().saturating_sub(b.cast_signed())
}

/// Median and p99 of a sample and of those drawn from it.
#[derive(Default)]
struct Drawn {
    median: Percentile,
    p99: Percentile,
}

impl Drawn {
    fn of(sample: &[u64], seed: u64) -> Self {
        let size = sample.len();
        if size == 0 {
            return Self::default();
        }
        let (median, p99) = median_and_p99(&mut sample.to_vec());
        let mut drawn = Self {
            median: Percentile { size, itself: median, draws: Vec::with_capacity(DRAWS) },
            p99: Percentile { size, itself: p99, draws: Vec::with_capacity(DRAWS) },
        };
        let mut random = Random::new(!seed);
        let stretch = size.isqrt();
        // So that a stretch may begin anywhere and go over the end.
        let twice: Vec<u64> = sample.iter().chain(&sample[..stretch]).copied().collect();
        let mut anew = Vec::with_capacity(size + stretch);
        for _ in 0..DRAWS {
            anew.clear();
            while anew.len() < size {
                let start = usize::try_from(random.below(size as u64)).unwrap_or(0);
                anew.extend_from_slice(&twice[start..start + stretch]);
            }
            anew.truncate(size);
            let (median, p99) = median_and_p99(&mut anew);
            drawn.median.draws.push(median);
            drawn.p99.draws.push(p99);
        }
        drawn
    }
}

/// By nearest rank; the values are left in another order.
fn median_and_p99(values: &mut [u64]) -> (u64, u64) {
    let rank = |percent: usize| (values.len() * percent).div_ceil(100).max(1) - 1;
    let (half, most) = (rank(50), rank(99));
    let (below, &mut p99, _) = values.select_nth_unstable(most);
    if half == most {
        return (p99, p99);
    }
    let (_, &mut median, _) = below.select_nth_unstable(half);
    (median, p99)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values around a mean, without any order.
    fn sample(seed: u64, mean: u64) -> Vec<u64> {
        let mut random = Random::new(seed);
        (0..1000).map(|_| mean + random.below(10_000) + random.below(10_000)).collect()
    }

    fn differ(a: &[u64], b: &[u64]) -> (Option<Estimate>, Option<Estimate>) {
        let (a, b) = (Drawn::of(a, 1), Drawn::of(b, 2));
        (a.median.differ(&b.median, FEWEST_MEDIAN), a.p99.differ(&b.p99, FEWEST_P99))
    }

    #[test]
    fn a_known_shift_lies_in_the_interval() {
        let (median, p99) = differ(&sample(1, 100_000), &sample(2, 412_000));
        for estimate in [median.unwrap(), p99.unwrap()] {
            assert!(estimate.low < 312_000 && estimate.high > 312_000, "{estimate:?}");
            assert!(estimate.high - estimate.low < 2_000, "{estimate:?}");
            assert!(!estimate.within_noise());
        }
    }

    #[test]
    fn the_same_distribution_twice_is_noise_about_as_often_as_promised() {
        let noise = (0..12)
            .filter(|&pair| {
                let (median, _) =
                    differ(&sample(2 * pair + 10, 1000), &sample(2 * pair + 11, 1000));
                median.unwrap().within_noise()
            })
            .count();
        assert!(noise >= 10, "{noise} of 12");
    }

    #[test]
    fn slow_stretches_make_it_less_sure() {
        let mut wave = sample(1, 100_000);
        for (place, value) in wave.iter_mut().enumerate() {
            *value += place as u64 / 100 % 2 * 20_000;
        }
        let mut mixed = wave.clone();
        let mut random = Random::new(3);
        for place in (1..mixed.len()).rev() {
            mixed.swap(place, usize::try_from(random.below(place as u64 + 1)).unwrap());
        }
        let width = |values: &[u64]| {
            let estimate = differ(values, &[&values[500..], &values[..500]].concat()).0.unwrap();
            estimate.high - estimate.low
        };
        assert!(width(&wave) > 2 * width(&mixed), "{} {}", width(&wave), width(&mixed));
    }

    #[test]
    fn too_few_say_nothing() {
        assert_eq!(differ(&[1; 19], &[1; 19]), (None, None));
        assert!(matches!(differ(&[1; 20], &[1; 20]), (Some(_), None)));
        assert_eq!(differ(&[], &sample(1, 1)), (None, None));
    }
}
