//! Which of several like series are unlike the others: by how often something went
//! wrong, with exact tests, and by their levels, with gaps that noise cannot make.

use super::Summary;
use super::exact::{at_least, choices};

/// The chance of a false alarm over all series of a run together.
const ERROR: f64 = 0.01;
/// A series with fewer troubles is not singled out, however clean the others are,
const FEWEST: u64 = 3;
/// nor are some whose rate is not this many times that of the others.
const TIMES: f64 = 2.0;
/// Levels that are closer than this part of the lower are one level,
const SHARE: u64 = 50;
/// and those that are closer than this: what a processor's caches do.
const CLOSEST: u64 = 20_000;
/// A gap is none that is not so many standard errors of the medians beside it,
const ERRORS: f64 = 8.0;
/// or so many times the usual gap.
const USUAL: u64 = 10;
/// A series with fewer values has no level.
const LEAST: u64 = 20;

/// One of the series.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Series {
    /// How often something could have gone wrong,
    pub trials: u64,
    /// and did, runs of it counted once.
    pub troubles: u64,
    /// Its median, and that median's standard error.
    pub level: Option<(u64, f64)>,
}

impl Series {
    /// A series of durations of which so many had trouble.
    pub fn new(trials: u64, troubles: u64, durations: &Summary) -> Self {
        Self { trials, troubles, level: level(durations) }
    }
}

/// The median and its standard error, from the values half a standard deviation of
/// a rank below and above it.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ranks far below 2^53"
)]
fn level(durations: &Summary) -> Option<(u64, f64)> {
    let count = durations.count();
    if count < LEAST {
        return None;
    }
    let middle = count as f64 / 2.0;
    let off = (count as f64).sqrt() / 2.0;
    let low = durations.ranked((middle - off).max(1.0) as u64)?;
    let high = durations.ranked((middle + off).ceil() as u64)?;
    Some((durations.percentile(50.0)?, high.abs_diff(low) as f64 / 2.0))
}

/// What sets series apart, by place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apart {
    /// Those that have more trouble than the others, the worst first.
    pub troubled: Vec<usize>,
    /// All by level, the quickest first; one group where they are alike.
    pub levels: Vec<Vec<usize>>,
}

impl Apart {
    /// Of several series of one run.
    pub fn of(series: &[Series]) -> Self {
        Self { troubled: troubled(series), levels: levels(series) }
    }

    /// The group that most are in; of equal ones the quickest.
    pub fn usual(&self) -> Option<usize> {
        let size = |place: &usize| (self.levels[*place].len(), std::cmp::Reverse(*place));
        (0..self.levels.len()).max_by_key(size)
    }

    /// Why one is unlike the others, if it is.
    pub fn why(&self, place: usize) -> Option<&'static str> {
        let usual = self.usual();
        let group = self.levels.iter().position(|group| group.contains(&place));
        let apart = group.is_some() && group != usual;
        match (self.troubled.contains(&place), apart, group > usual) {
            (true, true, _) => Some("loses more than the others, and has another level"),
            (true, false, _) => Some("loses more than the others"),
            (false, true, true) => Some("is slower than the others"),
            (false, true, false) => Some("is faster than the others"),
            (false, false, _) => None,
        }
    }
}

/// Those that have more trouble than the others, by place, the worst first; at most
/// half of them.
pub fn troubled(series: &[Series]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..series.len()).collect();
    order.sort_unstable_by(|one, other| rate(&series[*other]).total_cmp(&rate(&series[*one])));
    let mut found = 0;
    // Without the worst the next may stand out that hid behind them.
    while let Some(more) = stand_out(series, &order[found..]) {
        if found + more > series.len() / 2 {
            break;
        }
        found += more;
    }
    order.truncate(found);
    order
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn rate(series: &Series) -> f64 {
    series.troubles as f64 / series.trials.max(1) as f64
}

/// How many of the first of these, the worst before the others, have more of all
/// troubles than chance would ever give to as many of them, whichever.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn stand_out(series: &[Series], order: &[usize]) -> Option<usize> {
    let of = |places: &[usize]| {
        places.iter().fold(Series::default(), |sum, place| Series {
            trials: sum.trials + series[*place].trials,
            troubles: sum.troubles + series[*place].troubles,
            level: None,
        })
    };
    let all = of(order);
    let half = order.len() / 2;
    let chance = |worst: usize| {
        let (own, others) = (of(&order[..worst]), of(&order[worst..]));
        let least = series[order[worst - 1]].troubles;
        if least < FEWEST || rate(&own) < TIMES * rate(&others) {
            return 1.0;
        }
        let share = own.trials as f64 / all.trials as f64;
        // Each choice of so many, and each number of them, was a try (Bonferroni).
        at_least(own.troubles, all.troubles, share) * choices(order.len(), worst) * half as f64
    };
    let chances = (1..=half).map(|worst| (worst, chance(worst)));
    let least = chances.min_by(|one, other| one.1.total_cmp(&other.1));
    least.filter(|(_, chance)| *chance <= ERROR / 2.0).map(|(worst, _)| worst)
}

/// The series by level: one group where all are alike, the quickest first.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "nanoseconds, far below 2^53"
)]
pub fn levels(series: &[Series]) -> Vec<Vec<usize>> {
    let mut known: Vec<(u64, f64, usize)> = Vec::new();
    for (place, one) in series.iter().enumerate() {
        known.extend(one.level.map(|(median, error)| (median, error, place)));
    }
    known.sort_unstable_by_key(|(median, ..)| *median);
    let gaps: Vec<u64> = known.windows(2).map(|two| two[1].0 - two[0].0).collect();
    let mut sorted = gaps.clone();
    sorted.sort_unstable();
    // Of two series the only gap tells nothing of what is usual.
    let usual = if sorted.len() < 2 { 0 } else { sorted[(sorted.len() - 1) / 2] };
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (at, (median, error, place)) in known.iter().enumerate() {
        let split = at.checked_sub(1).is_none_or(|before| {
            let (below, its_error, _) = known[before];
            let noise = (ERRORS * error.max(its_error)) as u64;
            let least = (below / SHARE).max(CLOSEST).max(noise).max(USUAL * usual);
            median - below > least
        });
        if split {
            groups.push(Vec::new());
        }
        if let Some(group) = groups.last_mut() {
            group.push(*place);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    /// A number about 0 with a standard deviation of 1 (twelve uniform ones).
    #[allow(clippy::cast_precision_loss, reason = "a test's noise")]
    fn normal(random: &mut Random) -> f64 {
        (0..12).map(|_| random.below(1 << 20) as f64 / f64::from(1 << 20)).sum::<f64>() - 6.0
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a test's noise")]
    fn run(random: &mut Random, packets: u64, level: f64, noise: f64, per_mille: u64) -> Series {
        let mut durations = Summary::new();
        let mut troubles = 0;
        for _ in 0..packets {
            durations.record((level + noise * normal(random)).max(1.0) as u64);
            troubles += u64::from(random.below(1000) < per_mille);
        }
        Series::new(packets, troubles, &durations)
    }

    /// In 200 clean runs of 16 flows each.
    #[test]
    fn clean_runs_have_no_outlier() {
        let mut random = Random::new(1);
        let mut false_alarms = [0, 0];
        for _ in 0..200 {
            let flows: Vec<Series> =
                (0..16).map(|_| run(&mut random, 300, 20e6, 300e3, 5)).collect();
            false_alarms[0] += u32::from(!troubled(&flows).is_empty());
            false_alarms[1] += u32::from(levels(&flows).len() > 1);
        }
        assert!(false_alarms[0] <= 6 && false_alarms[1] <= 6, "{false_alarms:?}");
    }

    #[test]
    fn one_bad_path_of_four_is_found_with_exactly_its_flows() {
        let mut random = Random::new(2);
        let mut right = [0, 0, 0];
        for _ in 0..100 {
            let bad: Vec<usize> = (0..16).filter(|_| random.below(4) == 0).collect();
            let bad = if bad.is_empty() || bad.len() > 8 { vec![3, 7, 8] } else { bad };
            let mut flows = |packets, lossy: u64, slower: f64| -> Vec<Series> {
                let of = |place: usize| {
                    let is_bad = bad.contains(&place);
                    let level = if is_bad { 20e6 + slower } else { 20e6 };
                    run(&mut random, packets, level, 300e3, if is_bad { lossy } else { 0 })
                };
                (0..16).map(of).collect()
            };
            let found = |flows: &[Series]| {
                let mut found = troubled(flows);
                found.sort_unstable();
                found
            };
            right[0] += u32::from(found(&flows(200, 200, 0.0)) == bad);
            right[1] += u32::from(found(&flows(1_200, 10, 0.0)) == bad);
            let levels = levels(&flows(200, 0, 2e6));
            right[2] += u32::from(levels.len() == 2 && levels[1].len() == bad.len());
        }
        assert!(right.iter().all(|right| *right >= 95), "{right:?}");
    }

    #[test]
    fn three_levels_are_three_groups_and_two_series_can_differ() {
        let series = |us: u64| Series { trials: 9, troubles: 0, level: Some((us * 1_000, 500.0)) };
        let flows: Vec<Series> =
            [1210, 1950, 1212, 3000, 1940, 1211, 3002].into_iter().map(series).collect();
        assert_eq!(levels(&flows), [vec![0, 5, 2], vec![4, 1], vec![3, 6]]);
        assert_eq!(levels(&[series(1200), series(1900)]).len(), 2);
        assert_eq!(levels(&[series(100), series(110)]).len(), 1, "caches");
    }
}
