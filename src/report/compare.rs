//! How two runs differ, and how sure that is.
//!
//! Where both measured at the same time, each round trip is compared with the other
//! run's of the same moment, and what moved both cancels out. Else each run is cut
//! into ten contiguous batches, and the spread of their percentiles tells how far
//! the whole's may be off. A run that remembers too long for its length has no
//! such interval: then nothing is claimed, and it is said why.

use super::figures::Figures;
use super::kept::{BATCHES, Kept};
use super::run::Run;
use crate::stats::autocorrelation::{time, variance};
use crate::stats::exact::student;
use crate::stats::percentile;

/// Fewest round trips that say something about a median.
pub const FEWEST_MEDIAN: u64 = 50;
/// Fewest that say something about a p99: five of them are above it.
pub const FEWEST_P99: u64 = 500;
/// A run must be so many times as long as it remembers.
const FEWEST_MEMORIES: f64 = 50.0;
/// Pairs that make a comparison a paired one: this share of the shorter run.
const PAIRED_SHARE: f64 = 0.5;

/// A difference, in nanoseconds; above zero the second run is slower.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The difference.
    pub nanos: f64,
    /// The ends of its 95 % interval, where it has one.
    pub interval: Result<(f64, f64), WhyNot>,
    /// In per cent of the first run's.
    pub percent: Option<f64>,
}

/// Why a difference has no interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyNot {
    /// Fewer replies than this.
    TooFew(u64),
    /// One of the two remembers too long for its length.
    Wanders,
}

impl Estimate {
    /// Whether it may as well be none.
    pub fn within_noise(&self) -> bool {
        self.interval.is_ok_and(|(low, high)| low <= 0.0 && high >= 0.0)
    }

    /// Whether it is not there by chance.
    pub fn is_clear(&self) -> bool {
        self.interval.is_ok_and(|(low, high)| low > 0.0 || high < 0.0)
    }
}

/// How a run differs from another.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The place of the run that is compared with.
    pub base: usize,
    /// The place of the run that is compared.
    pub other: usize,
    /// Rounds that both measured, where they were compared so, and the share in
    /// which the other was faster.
    pub paired: Option<(u64, f64)>,
    /// At the median; none where one has no replies.
    pub median: Option<Estimate>,
    /// At the p99.
    pub p99: Option<Estimate>,
}

/// Compares each run of a further file with the run of the same series in the
/// first.
pub fn all(runs: &[Run]) -> Vec<Difference> {
    let first =
        |other: &Run| runs.iter().position(|run| run.file == 0 && run.series == other.series);
    let further = (0..runs.len()).filter(|&other| runs[other].file > 0);
    further.filter_map(|other| Some(differ(runs, first(&runs[other])?, other))).collect()
}

fn differ(runs: &[Run], base: usize, other: usize) -> Difference {
    let (first, second) = (&runs[base].figures, &runs[other].figures);
    let whole = [first, second];
    if let Some(rounds) = Rounds::of(first, second) {
        let (count, wanders) = (rounds.base.len() as u64, rounds.wanders());
        let estimate = |percent, fewest| {
            estimate(whole, percent, (count, fewest), wanders, || rounds.square(percent))
        };
        let [median, p99] = [estimate(50.0, FEWEST_MEDIAN), estimate(99.0, FEWEST_P99)];
        return Difference { base, other, paired: Some((count, rounds.faster())), median, p99 };
    }
    let count = first.rtts.count().min(second.rtts.count());
    let wanders = first.wanders(FEWEST_MEMORIES) || second.wanders(FEWEST_MEMORIES);
    let estimate = |percent, fewest| {
        estimate(whole, percent, (count, fewest), wanders, || square(whole, percent))
    };
    let [median, p99] = [estimate(50.0, FEWEST_MEDIAN), estimate(99.0, FEWEST_P99)];
    Difference { base, other, paired: None, median, p99 }
}

/// The difference of two runs at a percentile. `square` is that of its standard
/// error for one of [`BATCHES`] batches.
#[allow(clippy::cast_precision_loss, reason = "round-trip times are far below 2^53 ns")]
fn estimate(
    whole: [&Figures; 2],
    percent: f64,
    (count, fewest): (u64, u64),
    wanders: bool,
    square: impl FnOnce() -> f64,
) -> Option<Estimate> {
    let [first, second] =
        [whole[0].percentile(percent)? as f64, whole[1].percentile(percent)? as f64];
    let nanos = second - first;
    let interval = if count < fewest {
        Err(WhyNot::TooFew(fewest))
    } else if wanders {
        Err(WhyNot::Wanders)
    } else {
        let half = student(BATCHES - 1) * (square() / BATCHES as f64).sqrt();
        Ok((nanos - half, nanos + half))
    };
    Some(Estimate { nanos, interval, percent: (first > 0.0).then(|| 100.0 * nanos / first) })
}

/// Between runs of different times the errors of both add up.
#[allow(clippy::cast_precision_loss, reason = "round-trip times are far below 2^53 ns")]
fn square(whole: [&Figures; 2], percent: f64) -> f64 {
    let of = |figures: &Figures| {
        let batches = figures.series.batches(percent);
        let batches: Vec<f64> = batches.into_iter().map(|nanos| nanos as f64).collect();
        // No batch is known better than a bucket is wide.
        spread(&batches).max((figures.resolution(percent) as f64).powi(2) / 3.0)
    };
    whole.map(of).iter().sum()
}

/// The square of the sample standard deviation.
#[allow(clippy::cast_precision_loss, reason = "a handful")]
fn spread(values: &[f64]) -> f64 {
    let count = values.len() as f64;
    variance(values) * count / (count - 1.0).max(1.0)
}

/// Round trips of both runs at the same moments, in their order.
struct Rounds {
    base: Vec<u64>,
    other: Vec<u64>,
}

impl Rounds {
    /// Those of two runs, where enough of them are.
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn of(base: &Figures, other: &Figures) -> Option<Self> {
        let ((one, 1), (two, 1)) = (base.series.kept(), other.series.kept()) else { return None };
        // Half of the time from one packet to the next.
        let near = base.nanos() / base.sent().saturating_sub(1).max(1) / 2;
        let mut rounds = Self { base: Vec::new(), other: Vec::new() };
        let mut further = two.iter().peekable();
        for first in one {
            while further.next_if(|second| second.sent.saturating_add(near) < first.sent).is_some()
            {
            }
            let same = |second: &&Kept| second.sent <= first.sent.saturating_add(near);
            if let Some(second) = further.next_if(same) {
                rounds.base.push(first.rtt);
                rounds.other.push(second.rtt);
            }
        }
        let shorter = one.len().min(two.len()) as f64;
        let enough = rounds.base.len() as f64 >= (PAIRED_SHARE * shorter).max(2.0);
        enough.then_some(rounds)
    }

    /// The share of rounds in which the other was faster.
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn faster(&self) -> f64 {
        let faster = self.base.iter().zip(&self.other).filter(|(base, other)| other < base);
        faster.count() as f64 / self.base.len().max(1) as f64
    }

    /// Whether the difference itself remembers too long for so few rounds.
    #[allow(clippy::cast_precision_loss, reason = "round-trip times are far below 2^53 ns")]
    fn wanders(&self) -> bool {
        let pairs = self.base.iter().zip(&self.other);
        let differences: Vec<f64> =
            pairs.map(|(base, other)| *other as f64 - *base as f64).collect();
        (differences.len() as f64) < FEWEST_MEMORIES * time(&differences)
    }

    /// Within a batch what moved both cancels out.
    #[allow(clippy::cast_precision_loss, reason = "round-trip times are far below 2^53 ns")]
    fn square(&self, percent: f64) -> f64 {
        let count = self.base.len();
        let batch = |batch: usize| {
            let range = batch * count / BATCHES..(batch + 1) * count / BATCHES;
            let of = |values: &[u64]| percentile(&mut values.to_vec(), percent).unwrap_or(0) as f64;
            of(&self.other[range.clone()]) - of(&self.base[range])
        };
        let batches: Vec<f64> = (0..BATCHES).map(batch).collect();
        spread(&batches).max(1.0 / 3.0)
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
