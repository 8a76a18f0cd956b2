//! A series of round trips in constant memory: each one as it is while there are
//! few, the means of neighbours and percentiles of contiguous parts when there are
//! many.

use crate::stats::autocorrelation::{time, variance};
use crate::stats::{Histogram, percentile};

/// Round trips, or means of neighbours, that are kept: 1 MB.
pub const MOST: usize = 1 << 16;
/// Parts of a long series: when there are as many, neighbours are put together.
const PARTS: usize = 40;
/// Contiguous batches whose percentiles tell how far the whole's may be off.
pub const BATCHES: usize = 10;

/// A round trip, or the mean of several in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// When the (first) packet was sent, in nanoseconds since 1970.
    pub sent: u64,
    /// The round-trip time in nanoseconds.
    pub rtt: u64,
}

/// Percentiles of parts of a series that is too long to be kept.
#[derive(Debug, Clone, Default)]
struct Parts {
    full: Vec<Histogram>,
    /// Round trips in each.
    length: u64,
    current: Histogram,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Series {
    kept: Vec<Kept>,
    /// Round trips in each.
    per: u64,
    /// Those that are not enough for one yet: the first's time, their sum and number.
    rest: (u64, u64, u64),
    parts: Option<Parts>,
}

impl Default for Series {
    fn default() -> Self {
        Self { kept: Vec::new(), per: 1, rest: (0, 0, 0), parts: None }
    }
}

impl Series {
    /// Takes in a round trip.
    #[inline]
    pub fn record(&mut self, sent: u64, rtt: u64) {
        if let Some(parts) = &mut self.parts {
            parts.record(rtt);
            if self.rest.2 == 0 {
                self.rest.0 = sent;
            }
            self.rest.1 = self.rest.1.saturating_add(rtt);
            self.rest.2 += 1;
            if self.rest.2 < self.per {
                return;
            }
            let (sent, sum, _) = std::mem::take(&mut self.rest);
            self.kept.push(Kept { sent, rtt: sum / self.per });
        } else {
            self.kept.push(Kept { sent, rtt });
        }
        if self.kept.len() == MOST {
            self.thin();
        }
    }

    /// Means of two instead of each.
    fn thin(&mut self) {
        if self.parts.is_none() {
            let length = (MOST / PARTS) as u64;
            let mut parts = Parts { length, ..Parts::default() };
            self.kept.iter().for_each(|kept| parts.record(kept.rtt));
            self.parts = Some(parts);
        }
        for place in 0..MOST / 2 {
            let [one, other] = [self.kept[2 * place], self.kept[2 * place + 1]];
            self.kept[place] = Kept { sent: one.sent, rtt: u64::midpoint(one.rtt, other.rtt) };
        }
        self.kept.truncate(MOST / 2);
        self.per *= 2;
    }

    /// Each round trip, or the means of so many in a row.
    pub fn kept(&self) -> (&[Kept], u64) {
        (&self.kept, self.per)
    }

    /// All round trips, the shortest first, where all were kept.
    pub fn sorted(&self) -> Option<Vec<u64>> {
        self.parts.is_none().then(|| {
            let mut all: Vec<u64> = self.kept.iter().map(|kept| kept.rtt).collect();
            all.sort_unstable();
            all
        })
    }

    /// A percentile of each of [`BATCHES`] contiguous batches, in nanoseconds;
    /// fewer where there is less.
    pub fn batches(&self, percent: f64) -> Vec<u64> {
        if let Some(parts) = &self.parts {
            let group = |batch: usize| {
                let count = parts.full.len();
                &parts.full[batch * count / BATCHES..(batch + 1) * count / BATCHES]
            };
            let groups = (0..BATCHES).map(group);
            return groups
                .filter_map(|group| Histogram::<10>::sum(group).percentile(percent))
                .collect();
        }
        let count = self.kept.len();
        let batch = |batch: usize| {
            let range = batch * count / BATCHES..(batch + 1) * count / BATCHES;
            let mut rtts: Vec<u64> = self.kept[range].iter().map(|kept| kept.rtt).collect();
            percentile(&mut rtts, percent)
        };
        (0..BATCHES).filter_map(batch).collect()
    }

    /// How many round trips are worth one that is independent: the longest memory
    /// of the series and of whether it lies above these thresholds. `spread` is the
    /// standard deviation of single round trips.
    #[allow(clippy::cast_precision_loss, reason = "counts and times far below 2^53")]
    pub fn memory(&self, thresholds: &[u64], spread: f64) -> f64 {
        let values: Vec<f64> = self.kept.iter().map(|kept| kept.rtt as f64).collect();
        let Some(parts) = &self.parts else {
            let above = |threshold: &u64| {
                let above = self.kept.iter().map(|kept| f64::from(u8::from(kept.rtt > *threshold)));
                time(&above.collect::<Vec<f64>>())
            };
            return thresholds.iter().map(above).fold(time(&values), f64::max);
        };
        let share = |variance_of_means: f64, of_one: f64, length: u64, means: &[f64]| {
            if of_one > 0.0 {
                length as f64 * variance_of_means / of_one * time(means)
            } else {
                1.0
            }
        };
        let whole = share(variance(&values), spread * spread, self.per, &values);
        let above = |threshold: &u64| {
            let shares: Vec<f64> = parts
                .full
                .iter()
                .map(|part| part.count_between(*threshold, u64::MAX) as f64 / part.total() as f64)
                .collect();
            let mean = shares.iter().sum::<f64>() / shares.len() as f64;
            share(variance(&shares), mean * (1.0 - mean), parts.length, &shares)
        };
        thresholds.iter().map(above).fold(whole.max(1.0), f64::max)
    }
}

impl Parts {
    #[inline]
    fn record(&mut self, rtt: u64) {
        self.current.record(rtt);
        if self.current.total() < self.length {
            return;
        }
        self.full.push(std::mem::take(&mut self.current));
        if self.full.len() == PARTS {
            for place in 0..PARTS / 2 {
                let more = self.full.remove(place + 1);
                self.full[place].absorb(&more);
            }
            self.length *= 2;
        }
    }
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "simulations")]
mod tests {
    use super::*;
    use crate::stats::random::tests::Walk;

    #[test]
    fn a_long_series_is_told_as_a_short_one() {
        let values: Vec<u64> = Walk::new(3, 0.9)
            .take(300_000)
            .map(|value| {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "> 0")]
                let rtt = (1e6 + 1e4 * value) as u64;
                rtt
            })
            .collect();
        let mut series = Series::default();
        for (place, rtt) in (0..).zip(&values) {
            series.record(place, *rtt);
        }
        assert_eq!(series.sorted(), None);
        let (kept, per) = series.kept();
        assert!(kept.len() < MOST && kept.len() * usize::try_from(per).unwrap() > 299_980);
        let medians = series.batches(50.0);
        assert_eq!(medians.len(), BATCHES);
        assert!(medians.iter().all(|median| median.abs_diff(1_000_000) < 1_000), "{medians:?}");
        let memory = series.memory(&[1_000_000, 1_023_000], 1e4);
        assert!((14.0..35.0).contains(&memory), "{memory}");
    }

    #[test]
    fn a_short_series_is_exact() {
        let mut series = Series::default();
        (0..100).for_each(|place| series.record(place, 99 - place));
        assert_eq!(series.sorted().unwrap()[..3], [0, 1, 2]);
        assert_eq!(series.batches(100.0), [99, 89, 79, 69, 59, 49, 39, 29, 19, 9]);
        assert!(series.memory(&[50], 0.0) > 10.0, "a slope remembers");
    }
}
