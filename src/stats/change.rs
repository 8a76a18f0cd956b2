//! Changes of level in a series that wanders: where the median of a stretch lies
//! further from that of the rest than chance explains.
//!
//! The medians of short blocks are compared, so that lone outliers and short
//! bursts count for nothing. Of all stretches the one is taken that stands out
//! most from the rest (circular binary segmentation, Olshen and others 2004), a
//! step being a stretch up to an end. How far chance goes is told by the spread of
//! what remains and by how long that remembers; a series that remembers too long
//! for its length is refused. What was found is split there, and each piece is
//! looked at again.

use super::autocorrelation::{time, variance};

/// Values in a block, at the least.
const BLOCK: usize = 25;
/// Blocks at the most.
const MOST_BLOCKS: usize = 240;
/// Blocks in a stretch, and beside it, at the least.
const SHORTEST: usize = 6;
/// Blocks that are looked at, at the least.
const FEWEST: usize = 24;
/// A series has so many times its memory, or is refused.
const FEWEST_MEMORIES: f64 = 80.0;
/// A change stands out by so many standard errors: in simulated stationary series
/// of 3,000 no stretch does so but in 1 (rho 0) to 5 % (rho 0.9) of them.
const STANDS_OUT: f64 = 4.35;
/// Pieces are split so often.
const DEPTH: u32 = 5;

/// A change of level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Change {
    /// The first value on the new level.
    pub at: usize,
    /// The median before it, back to the change before.
    pub from: f64,
    /// The median from it on, up to the next change.
    pub to: f64,
    /// About how likely chance does as much.
    pub chance: f64,
}

/// The changes of a series, in order.
pub fn changes(values: &[f64]) -> Vec<Change> {
    let mut found = Vec::new();
    split(values, 0, DEPTH, &mut found);
    found.sort_unstable_by_key(|(at, _)| *at);
    let ends = found.iter().map(|(at, _)| *at).skip(1).chain([values.len()]);
    let begins = [0].into_iter().chain(found.iter().map(|(at, _)| *at));
    let level = |from: usize, to: usize| median(&mut values[from..to].to_vec());
    found
        .iter()
        .zip(begins.zip(ends))
        .map(|((at, chance), (before, after))| Change {
            at: *at,
            from: level(before, *at),
            to: level(*at, after),
            chance: *chance,
        })
        .collect()
}

fn split(values: &[f64], offset: usize, depth: u32, found: &mut Vec<(usize, f64)>) {
    let block = values.len().div_ceil(MOST_BLOCKS).max(BLOCK);
    let medians: Vec<f64> =
        values.chunks_exact(block).map(|part| median(&mut part.to_vec())).collect();
    if medians.len() < FEWEST || depth == 0 {
        return;
    }
    let Some((stands_out, inside)) = most_different(&medians, SHORTEST) else { return };
    let blocks = inside.start * block..inside.end * block;
    let residuals = drawn_in(without_levels(values, &blocks, median));
    let memories = values_of(values) / time(&residuals);
    if memories < FEWEST_MEMORIES {
        return;
    }
    let rest = without_levels(&medians, &inside, mean);
    let freedom = values_of(&rest) / (values_of(&rest) - 2.0);
    let error = (variance(&rest) * freedom * time(&rest)).sqrt();
    let apart = stands_out / error;
    if error <= 0.0 || apart < STANDS_OUT {
        return;
    }
    // A fit to what simulations gave between 1 in 10 and 1 in 100.
    let chance = (3.0 * apart * (-apart * apart / 3.2).exp()).min(1.0);
    let last = medians.len();
    let edges = [(inside.start, inside.start > 0), (inside.end, inside.end < last)];
    let mut cuts = vec![0];
    for (edge, _) in edges.into_iter().filter(|(_, is_change)| *is_change) {
        let near = (edge - 1) * block..((edge + 1) * block).min(values.len());
        cuts.push(refined(values, near, block));
    }
    for &at in &cuts[1..] {
        found.push((offset + at, chance));
    }
    cuts.push(values.len());
    for piece in cuts.windows(2) {
        split(&values[piece[0]..piece[1]], offset + piece[0], depth - 1, found);
    }
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn values_of(values: &[f64]) -> f64 {
    values.len() as f64
}

/// The stretch whose mean lies furthest from that of the rest, in units of the
/// spread of one value. It and what lies beside it are so long at least.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(super) fn most_different(
    values: &[f64],
    shortest: usize,
) -> Option<(f64, std::ops::Range<usize>)> {
    let count = values.len();
    let mean = values.iter().sum::<f64>() / count as f64;
    let mut sums = vec![0.0];
    sums.extend(values.iter().scan(0.0, |sum, value| {
        *sum += value - mean;
        Some(*sum)
    }));
    let mut most: Option<(f64, std::ops::Range<usize>)> = None;
    for from in 0..count {
        for to in from + shortest..=count {
            let long = to - from;
            let beside = |free: usize| free == 0 || free >= shortest;
            if count - long < shortest || !beside(from) || !beside(count - to) {
                continue;
            }
            let share = long as f64 / count as f64;
            let apart = (sums[to] - sums[from]).abs() / (long as f64 * (1.0 - share)).sqrt();
            if most.as_ref().is_none_or(|(best, _)| apart > *best) {
                most = Some((apart, from..to));
            }
        }
    }
    most
}

/// What remains without the levels inside and outside.
pub(super) fn without_levels(
    values: &[f64],
    inside: &std::ops::Range<usize>,
    level: fn(&mut [f64]) -> f64,
) -> Vec<f64> {
    let (mut within, mut without) = (Vec::new(), Vec::new());
    for (place, value) in values.iter().enumerate() {
        if inside.contains(&place) { within.push(*value) } else { without.push(*value) }
    }
    let levels = [level(&mut without), level(&mut within)];
    let rest = values.iter().enumerate();
    rest.map(|(place, value)| value - levels[usize::from(inside.contains(&place))]).collect()
}

/// The furthest 1 in 100 of both ends drawn in: spikes say nothing of how long a
/// series remembers.
fn drawn_in(mut values: Vec<f64>) -> Vec<f64> {
    let mut sorted = values.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let cut = values.len() / 100;
    if let (Some(&low), Some(&high)) = (sorted.get(cut), sorted.iter().rev().nth(cut)) {
        for value in &mut values {
            *value = value.clamp(low, high);
        }
    }
    values
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(super) fn mean(values: &mut [f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Where within `near` the levels before and after fit best.
fn refined(values: &[f64], near: std::ops::Range<usize>, block: usize) -> usize {
    let before = median(&mut values[near.start.saturating_sub(3 * block)..=near.start].to_vec());
    let end = (near.end + 3 * block).min(values.len());
    let after = median(&mut values[near.end - 1..end].to_vec());
    let misfit = |value: f64, level: f64| (value - level).abs();
    let mut sum: f64 = values[near.clone()].iter().map(|value| misfit(*value, after)).sum();
    let mut best = (sum, near.start);
    for place in near {
        sum += misfit(values[place], before) - misfit(values[place], after);
        if sum < best.0 {
            best = (sum, place + 1);
        }
    }
    best.1.min(values.len() - 1)
}

/// The middle one; the values are left in another order.
pub fn median(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = (values.len() - 1) / 2;
    values.sort_unstable_by(f64::total_cmp);
    values[middle]
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "simulations")]
mod tests {
    use super::*;
    use crate::stats::random::tests::{Walk, simulations};

    fn series(seed: u64, rho: f64) -> Vec<f64> {
        Walk::new(seed, rho).take(3000).collect()
    }

    #[test]
    fn a_stationary_series_seldom_changes() {
        let most = simulations(200) * 18 / 200;
        for rho in [0.0, 0.5, 0.9, 0.99, 0.999] {
            let told =
                (0..simulations(200)).filter(|seed| !changes(&series(*seed, rho)).is_empty());
            let told = told.count() as u64;
            assert!(told <= most, "rho {rho}: {told} of {}", simulations(200));
        }
    }

    #[test]
    fn spikes_and_bursts_are_no_change() {
        let told = (0..simulations(200)).filter(|seed| {
            let mut values = series(*seed, 0.0);
            let mut random = crate::stats::Random::new(*seed);
            for _ in 0..6 {
                values[random.below(3000) as usize] += 100.0;
            }
            for _ in 0..3 {
                let at = random.below(2990) as usize;
                values[at..at + 10].iter_mut().for_each(|value| *value += 50.0);
            }
            !changes(&values).is_empty()
        });
        assert!(told.count() as u64 <= simulations(200) * 18 / 200);
    }

    #[test]
    fn a_step_of_one_standard_deviation_is_found_where_it_is() {
        for rho in [0.0, 0.5, 0.9] {
            let mut places = Vec::new();
            let all = simulations(100);
            for seed in 0..all {
                let mut values = series(seed, rho);
                values[1000..2000].iter_mut().for_each(|value| *value += 1.0);
                let found = changes(&values);
                places.extend(
                    found
                        .iter()
                        .map(|change| change.at.abs_diff(1000).min(change.at.abs_diff(2000)) as f64)
                        .reduce(f64::min),
                );
            }
            let (told, off) = (places.len() as u64, median(&mut places));
            assert!(told * 100 >= all * 95, "rho {rho}: {told} of {all}");
            assert!(off <= 25.0, "rho {rho}: {off} packets off");
        }
    }

    #[test]
    fn levels_are_told_from_one_change_to_the_next() {
        let noise = series(1, 0.0);
        let mut values: Vec<f64> = noise.iter().map(|value| 1200.0 + value).collect();
        values[1500..].iter_mut().for_each(|value| *value += 700.0);
        let found = changes(&values);
        assert_eq!(found.len(), 1, "{found:?}");
        let change = found[0];
        assert!(change.at.abs_diff(1500) <= 1 && change.chance < 1e-6, "{change:?}");
        assert!((change.from - 1200.0).abs() < 1.0 && (change.to - 1900.0).abs() < 1.0);
        assert!(changes(&[]).is_empty() && changes(&vec![1.0; 5000]).is_empty());
    }
}
