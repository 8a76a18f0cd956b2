//! How often which round-trip time came: bins that several runs share.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "edges of bins, rounded anyway"
)]

use super::axis::round_up;
use super::figures::{FINE, Figures};
use super::run::Run;
use crate::stats::Summary;

/// Where p99.9 is this many times the median, equal steps would put nearly all
/// into one bin.
const WIDE: u64 = 5;

/// Bins that together hold every value.
#[derive(Debug, Clone)]
pub struct Bins {
    /// Where each begins, and where the last ends (nanoseconds).
    pub edges: Vec<u64>,
    /// Whether each is so many times as wide as the one before.
    pub logarithmic: bool,
    /// Whether the last bin also holds what lies above it.
    pub open: bool,
}

impl Bins {
    /// About so many bins for all of these runs; none if they hold no values.
    pub fn new(runs: &[Run], wanted: usize) -> Option<Self> {
        let rtts = || runs.iter().map(|run| &run.figures.rtts);
        let low = rtts().filter_map(Summary::min).min()?;
        let max = rtts().filter_map(Summary::max).max()?;
        let median = rtts().filter_map(|rtts| rtts.percentile(50.0)).min()?;
        let most = rtts().filter_map(|rtts| rtts.percentile(99.9)).max()?;
        let wanted = wanted.max(2) as u64;
        let logarithmic = most / median.max(1) >= WIDE;
        let edges = if logarithmic { ratios(low, max, wanted) } else { steps(low, most, wanted) };
        let open = max >= edges.last().copied().unwrap_or(max);
        Some(Self { edges, logarithmic, open })
    }

    /// How many values of a series lie in each bin.
    pub fn counts(&self, figures: &Figures) -> Vec<u64> {
        let inner = self.edges.len().saturating_sub(2);
        let mut counts: Vec<u64> = self
            .edges
            .windows(2)
            .take(inner)
            .map(|edge| figures.count_between(edge[0], edge[1]))
            .collect();
        let before: u64 = counts.iter().sum();
        counts.push(figures.rtts.count().saturating_sub(before));
        counts
    }
}

/// Equal steps of a round size. They hold many of those of the figures' own histogram
/// each, else bins would hold now more and now fewer of them.
fn steps(low: u64, high: u64, wanted: u64) -> Vec<u64> {
    let grain = high >> (FINE - GRAINS);
    let step = ((high - low.min(high)) / wanted).max(grain).max(1);
    let step = round_up(step as f64) as u64;
    (low / step..=high / step + 1).map(|bin| bin * step).collect()
}

/// Of the figures' own histogram in a bin, as a power of two.
const GRAINS: u32 = 4;

/// Equal ratios, as near as round numbers come to them.
fn ratios(low: u64, high: u64, wanted: u64) -> Vec<u64> {
    let decades = |nanos: u64| (nanos.max(1) as f64).log10();
    let (first, last) = (decades(low), decades(high));
    let fits = |each: &f64| each * (last - first) <= wanted as f64;
    let each = [40.0, 20.0, 10.0, 5.0, 2.0].into_iter().find(fits).unwrap_or(1.0);
    // To round may move an edge past the ends: one more at each of them.
    let edges = ((first * each) as u64).saturating_sub(1)..=(last * each) as u64 + 2;
    let mut edges: Vec<u64> = edges.map(|edge| round(edge as f64 / each, each > 10.0)).collect();
    edges.dedup();
    let begin = edges.partition_point(|edge| *edge <= low).saturating_sub(1);
    edges.truncate(edges.partition_point(|edge| *edge <= high) + 1);
    edges.drain(..begin);
    edges[0] = edges[0].min(low);
    edges
}

/// A power of ten to two digits, or to three.
fn round(decades: f64, finely: bool) -> u64 {
    let digit = 10_f64.powi(decades.floor() as i32 - 1 - i32::from(finely));
    let ten = std::f64::consts::LN_10;
    (((decades * ten).exp() / digit).round() * digit) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures::Figures;

    fn run(values: impl Iterator<Item = u64>) -> Run {
        let mut figures = Figures::new(0);
        values.for_each(|value| figures.rtts.record(value));
        Run { label: String::new(), file: 0, series: String::new(), figures }
    }

    #[test]
    fn near_values_are_counted_in_equal_steps() {
        let runs = [run(100_000..200_000)];
        let bins = Bins::new(&runs, 20).unwrap();
        assert!(!bins.logarithmic);
        let counts = bins.counts(&runs[0].figures);
        assert!((18..=22).contains(&counts.len()), "{counts:?}");
        assert_eq!(counts.iter().sum::<u64>(), 100_000);
        assert!(bins.edges.iter().all(|edge| edge % 5_000 == 0), "{:?}", bins.edges);
        let inner = &counts[1..counts.len() - 1];
        assert!(inner.iter().all(|count| (4_900..5_300).contains(count)), "{counts:?}");
    }

    #[test]
    fn far_values_are_counted_in_equal_ratios() {
        let runs = [run((0..1000).map(|value| 100_000 + value * value * value))];
        let bins = Bins::new(&runs, 20).unwrap();
        assert!(bins.logarithmic && !bins.open);
        assert_eq!(bins.edges[..4], [100_000, 160_000, 250_000, 400_000]);
        assert_eq!(bins.counts(&runs[0].figures).iter().sum::<u64>(), 1000);
    }

    #[test]
    fn a_few_above_share_the_last_bin() {
        let runs = [run((0..9_999).map(|value| 100_000 + value).chain([90_000_000]))];
        let bins = Bins::new(&runs, 10).unwrap();
        assert!(bins.open && *bins.edges.last().unwrap() < 120_000);
        assert_eq!(bins.counts(&runs[0].figures).iter().sum::<u64>(), 10_000);
    }

    #[test]
    fn one_value_and_none() {
        for value in [0, 1, 77, 123_456_789] {
            let runs = [run([value].into_iter())];
            let bins = Bins::new(&runs, 20).unwrap();
            assert_eq!(bins.counts(&runs[0].figures).iter().sum::<u64>(), 1, "{value}");
        }
        assert!(Bins::new(&[run(std::iter::empty())], 20).is_none());
    }
}
