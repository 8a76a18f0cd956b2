//! The difference of two series that were measured in the same rounds: what moves
//! both alike cancels out in each round.
//!
//! Rounds are gathered in contiguous batches of equal length, ten to nineteen of
//! them however long the run is: when there are twenty, neighbours are put
//! together. The medians of batches are nearly independent and normal, so that
//! their spread gives an interval by Student's t (batch means, Conway 1963). At the
//! p99 it is the mean of the batches' differences that has one: where both wander
//! together, the p99 of the whole run is that of a few moments.

use super::autocorrelation::variance;
use super::exact::student;
use super::{Histogram, Summary};

/// Batches at most; as many make room by halving.
const MOST: usize = 20;
/// Rounds below which nothing is claimed.
const FEWEST: u64 = 50;
/// Rounds in a batch below which its 99th percentile is its largest value, as lengths
/// double; and rounds in all by then.
const LONG: u64 = 128;
const FEWEST_P99: u64 = LONG * MOST as u64 / 2;
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

/// A difference, in nanoseconds; above zero the other is slower.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The difference.
    pub nanos: f64,
    /// The ends of its 95 % interval, where it has one.
    pub interval: Result<(f64, f64), WhyNot>,
    /// In per cent of the base's.
    pub percent: Option<f64>,
}

/// Why a difference has no interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyNot {
    /// Fewer replies than this.
    TooFew(u64),
    /// One of the two, or the difference itself, remembers too long for its length.
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

/// What two series say of each other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    /// Rounds that both measured, where they were compared so, and the share in
    /// which the other was faster.
    pub paired: Option<(u64, f64)>,
    /// At the median; none where one has no replies.
    pub median: Option<Estimate>,
    /// At the p99.
    pub p99: Option<Estimate>,
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
        let each = |of: fn(&Batch) -> Option<f64>| -> Vec<f64> {
            self.batches.iter().filter_map(of).collect()
        };
        let (medians, p99s) = (each(|batch| batch.difference.median()), each(Batch::p99));
        let wanders = likeness(&medians) > ALIKE;
        let estimate = |nanos: f64, batches: &[f64], percent, fewest| {
            let base = self.base.percentile(percent).filter(|base| *base > 0);
            let interval = if rounds < fewest {
                Err(WhyNot::TooFew(fewest))
            } else if wanders {
                Err(WhyNot::Wanders)
            } else {
                let half = half(batches);
                Ok((nanos - half, nanos + half))
            };
            Estimate { nanos, interval, percent: base.map(|base| 100.0 * nanos / base as f64) }
        };
        let long = rounds >= FEWEST_P99;
        let p99 = if long { Some(mean(&p99s)) } else { all.p99() };
        Compared {
            paired: Some((rounds, self.faster as f64 / rounds.max(1) as f64)),
            median: all.difference.median().map(|nanos| estimate(nanos, &medians, 50.0, FEWEST)),
            p99: p99.map(|nanos| estimate(nanos, &p99s, 99.0, FEWEST_P99)),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a handful")]
fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Half of the interval that the spread of batches gives their mean.
#[allow(clippy::cast_precision_loss, reason = "a handful")]
fn half(batches: &[f64]) -> f64 {
    let free = batches.len().saturating_sub(1);
    student(free) * (variance(batches) / free.max(1) as f64).sqrt()
}

/// The correlation of neighbours.
fn likeness(values: &[f64]) -> f64 {
    let mean = mean(values);
    let squares: f64 = values.iter().map(|one| (one - mean).powi(2)).sum();
    let products: f64 = values.windows(2).map(|two| (two[0] - mean) * (two[1] - mean)).sum();
    if squares > 0.0 { products / squares } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;
    use crate::stats::random::tests::{normal, simulations};

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

    /// At a promised 5 %, runs of 60 to 1,200 rounds, and of as many that a p99 counts.
    #[test]
    fn what_does_not_differ_is_seldom_said_to() {
        let runs = simulations(300);
        let claims = (1..=runs).filter(|seed| {
            compare(*seed, 60 + (seed % 20) * 60, 0.0, 100e3).median.is_some_and(|it| it.is_clear())
        });
        let claims = claims.count() as u64;
        assert!(claims * 100 <= runs * 8, "{claims} of {runs}");
        let runs = simulations(40);
        let claims = (1..=runs).filter(|seed| {
            compare(*seed, 1_300 + (seed % 20) * 60, 0.0, 100e3).p99.is_some_and(|it| it.is_clear())
        });
        let claims = claims.count() as u64;
        assert!(claims * 100 <= runs * 10, "{claims} of {runs} at the p99");
    }

    #[test]
    fn two_hundred_microseconds_are_found_in_half_a_minute() {
        let found = (1..=100).filter(|seed| {
            let interval = compare(*seed, 600, 200e3, 100e3).median.map(|it| it.interval);
            interval.is_some_and(|it| it.is_ok_and(|(low, high)| low > 100e3 && high < 300e3))
        });
        assert!(found.count() >= 98);
    }

    #[test]
    fn a_handful_of_rounds_claims_nothing() {
        let compared = compare(1, 20, 5e6, 100e3);
        let (median, p99) = (compared.median.unwrap(), compared.p99.unwrap());
        assert_eq!(median.interval, Err(WhyNot::TooFew(FEWEST)));
        assert_eq!(p99.interval, Err(WhyNot::TooFew(FEWEST_P99)));
        assert_eq!(compared.paired.unwrap().0, 20);
        assert!((4e6..6e6).contains(&median.nanos), "{median:?}");
        let none = Paired::default().compare();
        assert_eq!((none.paired, none.median, none.p99), (Some((0, 0.0)), None, None));
    }
}
