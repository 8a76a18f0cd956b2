//! Changes of how often something happens, such as that a packet is lost, in a
//! series that has bursts.
//!
//! What is counted are episodes, each a run of losses. The stretch is looked for
//! whose rate lies furthest from that of the rest, as for levels
//! ([`super::change`]), and three things keep a burst from being one. How far chance
//! goes is told by what remains, also over several neighbours at once, where
//! episodes that come in clusters spread more. A stretch is a sixth of the series at
//! least. And of eight parts of the higher stretch seven must themselves lie above
//! the lower rate: a cluster here and there does not.

use super::autocorrelation::{time, variance};
use super::change::{mean, most_different, without_levels};

/// Blocks that a series is looked at in.
const BLOCKS: usize = 120;
/// A stretch is this part of them at least.
const SHORTEST: usize = 6;
/// A series has so many times its memory, or is refused.
const FEWEST_MEMORIES: f64 = 50.0;
/// A change stands out by so many standard errors: simulated series without one,
/// with bursts of up to a thirtieth of their length, do so in 0 to 5 of 100.
const STANDS_OUT: f64 = 4.2;
/// Episodes in the higher stretch, at the least.
const FEWEST: f64 = 8.0;
/// Parts of the higher stretch, and those that must be higher.
const PARTS: usize = 8;
const HIGHER: usize = 7;
/// Blocks that are looked at together, to see how episodes cluster.
const TOGETHER: [usize; 6] = [1, 2, 3, 4, 6, 8];

/// Where the rate changes, and about how likely chance does as much. `events` are
/// counts of episodes in places that could have held as many of them.
pub fn changes(events: &[f64]) -> Vec<(usize, f64)> {
    let mut found = Vec::new();
    split(events, 0, &mut found);
    found.sort_unstable_by_key(|(at, _)| *at);
    found
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn split(events: &[f64], offset: usize, found: &mut Vec<(usize, f64)>) {
    let block = events.len().div_ceil(BLOCKS).max(1);
    let blocks: Vec<f64> = events.chunks_exact(block).map(|part| part.iter().sum()).collect();
    let count = blocks.len();
    let Some((stands_out, inside)) = most_different(&blocks, (count / SHORTEST).max(SHORTEST))
    else {
        return;
    };
    let rest = without_levels(&blocks, &inside, mean);
    let error = spread(&rest).max(mean(&mut blocks.clone())).sqrt();
    let apart = stands_out / error;
    // A piece without any episode has no error: it is refused as well.
    let clear = error > 0.0 && apart >= STANDS_OUT && count as f64 >= FEWEST_MEMORIES * time(&rest);
    if !clear || !is_higher_throughout(&blocks, &inside) {
        return;
    }
    // As for levels.
    let chance = (3.0 * apart * (-apart * apart / 3.2).exp()).min(1.0);
    let mut cuts = vec![0];
    for edge in [inside.start, inside.end].into_iter().filter(|edge| (1..count).contains(edge)) {
        cuts.push(refined(events, edge * block, block));
    }
    for &at in &cuts[1..] {
        found.push((offset + at, chance));
    }
    cuts.push(events.len());
    for piece in cuts.windows(2) {
        split(&events[piece[0]..piece[1]], offset + piece[0], found);
    }
}

/// The variance of one value, as sums of neighbours have it where that is more.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn spread(rest: &[f64]) -> f64 {
    let several = |several: usize| {
        let sums: Vec<f64> = rest.chunks_exact(several).map(|part| part.iter().sum()).collect();
        let count = sums.len() as f64;
        variance(&sums) / several as f64 * count / (count - 2.0).max(1.0)
    };
    TOGETHER.map(several).into_iter().fold(0.0, f64::max)
}

/// Whether the stretch with the higher rate has it in nearly all of its parts.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn is_higher_throughout(blocks: &[f64], inside: &std::ops::Range<usize>) -> bool {
    let of = |within: bool| {
        let places = (0..blocks.len()).filter(move |place| inside.contains(place) == within);
        places.map(|place| blocks[place]).collect::<Vec<f64>>()
    };
    let mut both = [of(true), of(false)];
    let [one, other] = both.each_mut().map(|values| mean(values));
    let (high, low) = if one > other { (&both[0], other) } else { (&both[1], one) };
    let part = |part: usize| part * high.len() / PARTS..(part + 1) * high.len() / PARTS;
    let above = |part: &[f64]| part.iter().sum::<f64>() > low * part.len() as f64;
    let higher = (0..PARTS).filter(|place| above(&high[part(*place)])).count();
    high.iter().sum::<f64>() >= FEWEST && higher >= HIGHER
}

/// Where about `edge` the rates before and after fit best: two blocks to each side.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn refined(events: &[f64], edge: usize, block: usize) -> usize {
    let near = edge.saturating_sub(2 * block)..(edge + 2 * block).min(events.len());
    let wide = SHORTEST * block;
    let before = mean(&mut events[edge.saturating_sub(wide)..edge].to_vec());
    let after = mean(&mut events[edge..(edge + wide).min(events.len())].to_vec());
    let way = (after - before).signum();
    let (mut sum, mut best) = (0.0, (0.0, near.start));
    for place in near {
        sum += way * (events[place] - f64::midpoint(before, after));
        if sum < best.0 {
            best = (sum, place + 1);
        }
    }
    best.1.clamp(1, events.len() - 1)
}

#[cfg(test)]
#[allow(clippy::cast_precision_loss, reason = "simulations")]
mod tests {
    use super::*;
    use crate::stats::Random;
    use crate::stats::random::tests::simulations;

    /// Packets of a path that is good or bad in turn (Gilbert 1960, Elliott 1963).
    #[derive(Clone, Copy)]
    struct Path {
        /// Share of the time that it is bad, and for how many packets at once.
        bad: f64,
        spell: f64,
        /// How many are lost meanwhile.
        lost: f64,
    }

    /// Each packet is lost by itself.
    const fn alone(lost: f64) -> Path {
        Path { bad: 1.0, spell: 1.0, lost }
    }

    fn chance(random: &mut Random, of: f64) -> bool {
        (random.below(1 << 30) as f64) < of * f64::from(1 << 30)
    }

    /// Episodes in 300 places of packets that take these paths, one after another.
    fn events(seed: u64, count: usize, paths: &[Path]) -> Vec<f64> {
        let mut random = Random::new(crate::stats::random::mix(seed));
        let mut events = vec![0.0; 300];
        let (mut losing, mut is_bad) = (false, chance(&mut random, paths[0].bad));
        for packet in 0..count {
            let path = paths[packet * paths.len() / count];
            let good = path.spell * (1.0 - path.bad) / path.bad;
            if path.bad >= 1.0 {
                is_bad = true;
            } else if chance(&mut random, 1.0 / if is_bad { path.spell } else { good }.max(1.0)) {
                is_bad = !is_bad;
            }
            let lost = is_bad && chance(&mut random, path.lost);
            events[packet * 300 / count] += f64::from(u8::from(lost && !losing));
            losing = lost;
        }
        events
    }

    #[test]
    fn no_change_is_seldom_told_of_losses_alone_or_in_bursts() {
        let all = simulations(40);
        let burst = |bad, spell, lost| Path { bad, spell, lost };
        for (count, path) in [
            (3_000, alone(0.003)),
            (3_000, alone(0.01)),
            (3_000, alone(0.2)),
            (12_000, alone(0.002)),
            (3_000, burst(0.05, 10.0, 1.0)),
            (3_000, burst(0.1, 30.0, 1.0)),
            (3_000, burst(0.1, 10.0, 0.5)),
            (3_000, burst(0.1, 30.0, 0.5)),
            (3_000, burst(0.1, 100.0, 0.5)),
            (12_000, burst(0.02, 10.0, 0.5)),
            (12_000, burst(0.3, 100.0, 0.5)),
        ] {
            let told = (0..all).filter(|seed| !changes(&events(*seed, count, &[path])).is_empty());
            let told = told.count() as u64;
            let Path { bad, spell, lost } = path;
            // At a promised 5 %, with what chance adds to so few.
            let most = all * 5 / 100 + all.isqrt() / 2;
            assert!(told <= most, "{count}, {bad}, {spell}, {lost}: {told} of {all}");
        }
    }

    #[test]
    fn a_change_is_found_where_it_is() {
        let all = simulations(40);
        for (count, before, after) in
            [(3_000, 0.0, 0.03), (3_000, 0.002, 0.04), (3_000, 0.01, 0.06), (12_000, 0.002, 0.012)]
        {
            let mut off = Vec::new();
            for seed in 0..all {
                let found = changes(&events(seed, count, &[alone(before), alone(after)]));
                let nearest = found.iter().map(|(at, _)| at.abs_diff(150)).min();
                off.extend(nearest.map(|off| off as f64));
            }
            let found = off.len() as u64;
            assert!(found * 100 >= all * 90, "{before} to {after}: {found} of {all}");
            let off = crate::stats::change::median(&mut off);
            assert!(off <= 9.0, "{before} to {after}: {off} of 300 places off");
        }
    }

    #[test]
    fn a_worse_third_has_two_ends() {
        let events = events(3, 6_000, &[alone(0.005), alone(0.05), alone(0.005)]);
        let found: Vec<usize> = changes(&events).iter().map(|(at, _)| *at).collect();
        let [begin, end] = found[..] else { panic!("{found:?}") };
        assert!(begin.abs_diff(100) < 10 && end.abs_diff(200) < 10, "{found:?}");
        assert!(changes(&[]).is_empty() && changes(&[0.0; 300]).is_empty());
        assert!(changes(&[1.0; 300]).is_empty());
    }
}
