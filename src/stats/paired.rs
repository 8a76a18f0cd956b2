//! The difference of two series that were measured in the same rounds: what moves
//! both alike cancels out in each round.
//!
//! Rounds are gathered in contiguous batches of equal length, ten to nineteen of
//! them however long the run is: when there are twenty, neighbours are put
//! together. The medians of batches are nearly independent and normal, so that
//! their spread gives an interval by Student's t (batch means, Conway 1963).

use super::exact::student;
use super::{Histogram, Summary};

/// Batches at most; as many make room by halving.
const MOST: usize = 20;
/// Rounds below which nothing is claimed.
const FEWEST: u64 = 40;
/// Rounds in a batch below which its 99th percentile is its largest value.
const FEWEST_FOR_P99: u64 = 100;
/// Neighbouring batches that are this much alike: the difference itself wanders,
/// more slowly than the batches are long. Independent ones are so in 1 of 100.
const ALIKE: f64 = 0.65;

/// Values with a sign.
#[derive(Debug, Clone, Default)]
struct Signed {
    below: Histogram,
    above: Histogram,
}

impl Signed {
    fn record(&mut self, value: i64) {
        let side = if value < 0 { &mut self.below } else { &mut self.above };
        side.record(value.unsigned_abs());
    }

    fn absorb(&mut self, other: &Self) {
        self.below.absorb(&other.below);
        self.above.absorb(&other.above);
    }

    #[allow(clippy::cast_precision_loss, reason = "nanoseconds, far below 2^53")]
    fn median(&self) -> Option<f64> {
        let (below, total) = (self.below.total(), self.below.total() + self.above.total());
        let rank = total.div_ceil(2);
        if rank <= below {
            // The smallest of all is the largest below zero.
            return self.below.ranked(below - rank + 1).map(|value| -(value as f64));
        }
        self.above.ranked(rank - below).map(|value| value as f64)
    }
}

#[derive(Debug, Clone, Default)]
struct Batch {
    rounds: u64,
    difference: Signed,
    base: Histogram,
    other: Histogram,
}

impl Batch {
    fn record(&mut self, base: u64, other: u64) {
        self.rounds += 1;
        self.difference.record(signed(other) - signed(base));
        self.base.record(base);
        self.other.record(other);
    }

    fn absorb(&mut self, more: &Self) {
        self.rounds += more.rounds;
        self.difference.absorb(&more.difference);
        self.base.absorb(&more.base);
        self.other.absorb(&more.other);
    }

    /// By how much the other's 99th percentile is the larger one.
    #[allow(clippy::cast_precision_loss, reason = "nanoseconds, far below 2^53")]
    fn p99(&self) -> Option<f64> {
        let [base, other] = [&self.base, &self.other].map(|series| series.percentile(99.0));
        Some(other? as f64 - base? as f64)
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A figure with the interval that holds it in 95 of 100 runs, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounded {
    /// The figure,
    pub value: f64,
    /// and its bounds.
    pub low: f64,
    /// See above.
    pub high: f64,
}

impl Bounded {
    /// Whether it is not zero by chance.
    pub fn is_clear(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// What two series say of each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Rounds that both have.
    pub rounds: u64,
    /// Median of the differences, other less base.
    pub median: Option<f64>,
    /// The same with its interval, where one holds.
    pub bounded: Option<Bounded>,
    /// The difference in percent of the base's median.
    pub percent: Option<f64>,
    /// Share of the rounds in which the other was the faster one.
    pub faster: Option<f64>,
    /// Difference of the 99th percentiles, where batches are long enough.
    pub p99: Option<Bounded>,
    /// Why no interval is given.
    pub why_not: Option<&'static str>,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Paired {
    batches: Vec<Batch>,
    /// Rounds in each.
    length: u64,
    current: Batch,
    faster: u64,
    base: Summary,
}

impl Default for Paired {
    fn default() -> Self {
        Self {
            batches: Vec::with_capacity(MOST),
            length: 1,
            current: Batch::default(),
            faster: 0,
            base: Summary::new(),
        }
    }
}

impl Paired {
    /// Takes in a round that both have, in nanoseconds.
    pub fn record(&mut self, base: u64, other: u64) {
        self.faster += u64::from(other < base);
        self.base.record(base);
        self.current.record(base, other);
        if self.current.rounds < self.length {
            return;
        }
        self.batches.push(std::mem::take(&mut self.current));
        if self.batches.len() == MOST {
            self.length *= 2;
            for place in 0..MOST / 2 {
                let more = self.batches.remove(place + 1);
                self.batches[place].absorb(&more);
            }
        }
    }

    /// What can be said so far.
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    pub fn compare(&self) -> Compared {
        let mut all = self.current.clone();
        self.batches.iter().for_each(|batch| all.absorb(batch));
        let rounds = all.rounds;
        let median = all.difference.median();
        let medians: Vec<f64> =
            self.batches.iter().filter_map(|batch| batch.difference.median()).collect();
        let why_not = if rounds < FEWEST {
            Some("too few rounds")
        } else if likeness(&medians) > ALIKE {
            Some("the difference wanders too slowly for an interval")
        } else {
            None
        };
        let usable = why_not.is_none();
        let p99s: Vec<f64> = self.batches.iter().filter_map(Batch::p99).collect();
        let base = self.base.percentile(50.0).filter(|median| *median > 0);
        Compared {
            rounds,
            median,
            bounded: median.filter(|_| usable).map(|value| bounded(value, &medians)),
            percent: median.and_then(|median| Some(100.0 * median / base? as f64)),
            faster: (rounds > 0).then(|| self.faster as f64 / rounds as f64),
            p99: all
                .p99()
                .filter(|_| usable && self.length >= FEWEST_FOR_P99)
                .map(|value| bounded(value, &p99s)),
            why_not,
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a handful")]
fn bounded(value: f64, batches: &[f64]) -> Bounded {
    let count = batches.len() as f64;
    let mean = batches.iter().sum::<f64>() / count;
    let squares: f64 = batches.iter().map(|one| (one - mean).powi(2)).sum();
    let half = student(batches.len() - 1) * (squares / (count - 1.0) / count).sqrt();
    Bounded { value, low: value - half, high: value + half }
}

/// The correlation of neighbours.
fn likeness(values: &[f64]) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a handful")]
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let squares: f64 = values.iter().map(|one| (one - mean).powi(2)).sum();
    let products: f64 = values.windows(2).map(|two| (two[0] - mean) * (two[1] - mean)).sum();
    if squares > 0.0 { products / squares } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    #[allow(clippy::cast_precision_loss, reason = "a test's noise")]
    fn normal(random: &mut Random) -> f64 {
        (0..12).map(|_| random.below(1 << 20) as f64 / f64::from(1 << 20)).sum::<f64>() - 6.0
    }

    /// Both wander together by a random walk to and fro of some milliseconds; noise of
    /// `noise` of their own.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a test's noise")]
    fn compare(seed: u64, rounds: u64, apart: f64, noise: f64) -> Compared {
        let mut random = Random::new(seed);
        let mut paired = Paired::default();
        let mut level = 20e6;
        for _ in 0..rounds {
            level += 100e3 * normal(&mut random) + (20e6 - level) * 0.001;
            let base = level + noise * normal(&mut random);
            let other = level + apart + noise * normal(&mut random);
            paired.record(base.max(1.0) as u64, other.max(1.0) as u64);
        }
        paired.compare()
    }

    /// At a promised 5 %, 300 runs of lengths from 60 to 1,200 rounds, seeds 1 to 300.
    #[test]
    fn what_does_not_differ_is_seldom_said_to() {
        let claims = (1..=300).filter(|seed| {
            let compared = compare(*seed, 60 + (seed % 20) * 60, 0.0, 100e3);
            compared.bounded.is_some_and(|bounded| bounded.is_clear())
        });
        let claims = claims.count();
        assert!(claims <= 24, "{claims} of 300 at a promised 15");
    }

    #[test]
    fn two_hundred_microseconds_are_found_in_half_a_minute() {
        let found = (1..=100).filter(|seed| {
            let compared = compare(*seed, 600, 200e3, 100e3);
            compared.bounded.is_some_and(|bounded| bounded.low > 100e3 && bounded.high < 300e3)
        });
        assert!(found.count() >= 98);
    }

    #[test]
    fn a_handful_of_rounds_claims_nothing() {
        let compared = compare(1, 20, 5e6, 100e3);
        assert_eq!(compared.why_not, Some("too few rounds"));
        assert_eq!((compared.rounds, compared.bounded, compared.p99), (20, None, None));
        assert!(compared.median.is_some_and(|median| (4e6..6e6).contains(&median)));
        assert_eq!(Paired::default().compare().rounds, 0);
    }
}
