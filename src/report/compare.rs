//! How two runs differ, and how sure that is.
//!
//! Where both measured at the same time, each round trip is compared with the other
//! run's of the same moment, as `client --against` does it. Else each run is cut
//! into ten contiguous batches, and the spread of their percentiles tells how far
//! the whole's may be off. A run that remembers too long for its length has no
//! such interval: then nothing is claimed, and it is said why.

use super::facts;
use super::figures::Figures;
use super::kept::{BATCHES, Kept};
use super::run::Run;
use crate::stats::autocorrelation::variance;
use crate::stats::exact::student;
use crate::stats::paired::{Compared, Estimate, Paired, WhyNot};
use crate::text::compared;

/// Fewest round trips that say something about a median.
pub const FEWEST_MEDIAN: u64 = 50;
/// Fewest that say something about a p99: five of them are above it.
pub const FEWEST_P99: u64 = 500;
/// A run must be so many times as long as it remembers.
const FEWEST_MEMORIES: f64 = 50.0;
/// Pairs that make a comparison a paired one: this share of the shorter run.
const PAIRED_SHARE: f64 = 0.5;

/// How a run differs from another.
#[derive(Debug, Clone)]
pub struct Difference {
    /// The place of the run that is compared with.
    pub base: usize,
    /// The place of the run that is compared.
    pub other: usize,
    /// What they say of each other.
    pub compared: Compared,
}

impl Difference {
    /// In words: at the median, at the p99, and how it was found.
    pub fn told(&self, runs: &[Run]) -> Vec<String> {
        let [base, other] = [self.base, self.other].map(|place| &runs[place].label);
        let unit = Some(facts::unit(runs));
        let sentences = compared::sentences([base, other], &self.compared, unit);
        sentences.into_iter().chain(compared::how(&self.compared)).collect()
    }
}

/// Compares each run of a further file with the run of the same series in the
/// first.
pub fn all(runs: &[Run]) -> Vec<Difference> {
    let first =
        |other: &Run| runs.iter().position(|run| run.file == 0 && run.series == other.series);
    let further = (0..runs.len()).filter(|&other| runs[other].file > 0);
    further.filter_map(|other| Some(differ(runs, first(&runs[other])?, other))).collect()
}

#[allow(clippy::cast_precision_loss, reason = "round-trip times are far below 2^53 ns")]
fn differ(runs: &[Run], base: usize, other: usize) -> Difference {
    let (first, second) = (&runs[base].figures, &runs[other].figures);
    let mut compared = rounds(first, second).unwrap_or_else(|| apart([first, second]));
    for (estimate, percent) in [(&mut compared.median, 50.0), (&mut compared.p99, 99.0)] {
        if let (Some(estimate), Some(one), Some(two)) =
            (estimate, first.percentile(percent), second.percentile(percent))
        {
            reach_out(estimate, two as f64 - one as f64);
        }
    }
    Difference { base, other, compared }
}

/// The two runs' own percentiles differ by a little else than their rounds do, where
/// nothing wanders: an interval holds both.
fn reach_out(estimate: &mut Estimate, whole: f64) {
    if let Ok((low, high)) = &mut estimate.interval {
        let width = *high - *low;
        if whole >= *low - width && whole <= *high + width {
            (*low, *high) = (low.min(whole), high.max(whole));
        }
    }
}

/// Two runs at different times.
fn apart(whole: [&Figures; 2]) -> Compared {
    let count = whole[0].rtts.count().min(whole[1].rtts.count());
    let wanders = whole.iter().any(|run| run.wanders(FEWEST_MEMORIES));
    let of = |percent, fewest| estimate(whole, percent, (count, fewest), wanders);
    Compared { paired: None, median: of(50.0, FEWEST_MEDIAN), p99: of(99.0, FEWEST_P99) }
}

/// The difference of two runs at a percentile.
#[allow(clippy::cast_precision_loss, reason = "round-trip times are far below 2^53 ns")]
fn estimate(
    whole: [&Figures; 2],
    percent: f64,
    (count, fewest): (u64, u64),
    wanders: bool,
) -> Option<Estimate> {
    let [first, second] =
        [whole[0].percentile(percent)? as f64, whole[1].percentile(percent)? as f64];
    let nanos = second - first;
    let interval = if count < fewest {
        Err(WhyNot::TooFew(fewest))
    } else if wanders {
        Err(WhyNot::Wanders)
    } else {
        let half = student(BATCHES - 1) * (square(whole, percent) / BATCHES as f64).sqrt();
        Ok((nanos - half, nanos + half))
    };
    Some(Estimate { nanos, interval, percent: (first > 0.0).then(|| 100.0 * nanos / first) })
}

/// The square of its standard error for one of [`BATCHES`] batches: the errors of both
/// add up.
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

/// Round trips of both runs at the same moments, where enough of them are.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn rounds(base: &Figures, other: &Figures) -> Option<Compared> {
    let ((one, 1), (two, 1)) = (base.series.kept(), other.series.kept()) else { return None };
    // The targets of one run take turns: the other's packet of a round may be nearly
    // one interval away, on either side.
    let near = base.nanos() / base.sent().saturating_sub(1).max(1);
    let mut paired = Paired::default();
    let mut further = two;
    let mut rounds = 0;
    for first in one {
        let away = |kept: &Kept| kept.sent.abs_diff(first.sent);
        while let [this, next, ..] = further
            && away(next) <= away(this)
        {
            further = &further[1..];
        }
        if let [nearest, rest @ ..] = further
            && away(nearest) < near
        {
            paired.record(first.rtt, nearest.rtt);
            rounds += 1;
            further = rest;
        }
    }
    let shorter = one.len().min(two.len()) as f64;
    (f64::from(rounds) >= (PAIRED_SHARE * shorter).max(2.0)).then(|| paired.compare())
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
