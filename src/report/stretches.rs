//! Stretches of a run that stand out: levels that moved, the last packets before an
//! outage, and slow packets in a row against lone ones.

use super::kept::{Kept, Series};
use super::outages::Outage;
use super::timeline::{Losses, Timeline};
use crate::stats::change::{Change, changes};
use crate::stats::{percentile, rate};

/// What a shift is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The level of round-trip times, in nanoseconds.
    Level,
    /// The share of packets that are lost, in per cent.
    Loss,
}

/// A level of round-trip times or a loss rate that moved, for good or for a while.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// What moved.
    pub of: Of,
    /// When the first packet of the new level was sent, in nanoseconds since 1970.
    pub at: u64,
    /// Its place, from 1: among the packets that came back for a level, among all
    /// for a loss rate.
    pub packet: u64,
    /// The median or the rate before it.
    pub from: f64,
    /// The same from it on.
    pub to: f64,
    /// About how likely chance does as much.
    pub chance: f64,
}

/// The changes of level of a series.
#[allow(clippy::cast_precision_loss, reason = "round-trip times are far below 2^53 ns")]
pub fn shifts(series: &Series) -> Vec<Shift> {
    let (kept, per) = series.kept();
    let values: Vec<f64> = kept.iter().map(|kept| kept.rtt as f64).collect();
    let shift = |change: &Change| {
        let Kept { sent, .. } = kept[change.at];
        Shift {
            of: Of::Level,
            at: sent,
            packet: change.at as u64 * per + 1,
            from: change.from,
            to: change.to,
            chance: change.chance,
        }
    };
    changes(&values).iter().map(shift).collect()
}

/// The changes of the loss rate. Told is how many packets were lost, but only where
/// how often losses began moved the same way: one long outage is no rate.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub fn loss_shifts(timeline: &Timeline) -> Vec<Shift> {
    let spans = timeline.losses();
    // A packet after a lost one begins no loss.
    let room = |span: &Losses| (span.packets + span.begun - span.lost) as f64;
    let usual = spans.iter().map(room).sum::<f64>() / spans.len().max(1) as f64;
    let begun = |span: &Losses| span.begun as f64 / room(span).max(1.0) * usual;
    let events: Vec<f64> = spans.iter().map(begun).collect();
    let found = rate::changes(&events);
    let edges: Vec<usize> =
        [0].into_iter().chain(found.iter().map(|(at, _)| *at)).chain([spans.len()]).collect();
    let shift = |(place, (at, chance)): (usize, &(usize, f64))| {
        let (before, after) = (edges[place]..*at, *at..edges[place + 2]);
        let percent = |span: &[Losses]| {
            let lost: u64 = span.iter().map(|span| span.lost).sum();
            100.0 * lost as f64 / packets(span).max(1) as f64
        };
        let often = |events: &[f64]| events.iter().sum::<f64>() / events.len() as f64;
        let rose = often(&events[after.clone()]) > often(&events[before.clone()]);
        let (from, to) = (percent(&spans[before]), percent(&spans[after]));
        let (span, packet) = (spans[*at], packets(&spans[..*at]) + 1);
        let shift = Shift { of: Of::Loss, at: span.start, packet, from, to, chance: *chance };
        ((to > from) == rose).then_some(shift)
    };
    found.iter().enumerate().filter_map(shift).collect()
}

fn packets(spans: &[Losses]) -> u64 {
    spans.iter().map(|span| span.packets).sum()
}

/// Packets before an outage that are looked at as one.
pub const BEFORE: usize = 100;
/// Earlier stretches of that length that there must be: then chance alone makes the
/// last one the lowest or highest of all in 1 run of 20.
const EARLIER: u64 = 39;

/// The packets before an outage had another level than any stretch before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Before {
    /// When the outage began, in nanoseconds since 1970.
    pub outage: u64,
    /// The median of the last [`BEFORE`] packets, in nanoseconds.
    pub median: u64,
    /// The median of the stretches before that.
    pub usual: u64,
    /// The nearest median that any of them had.
    pub nearest: u64,
}

/// Follows stretches of [`BEFORE`] packets, in constant memory.
#[derive(Debug, Clone, Default)]
pub struct BeforeOutages {
    last: Vec<u64>,
    /// The stretch before the last one, whose packets may be its own still.
    previous: Option<u64>,
    lowest: Option<u64>,
    highest: u64,
    earlier: u64,
    usual: u64,
    found: Vec<Before>,
}

/// Outages of which that is told.
const MOST_TOLD: usize = 10;

impl BeforeOutages {
    /// A packet came back.
    #[inline]
    pub fn record(&mut self, rtt: u64) {
        self.last.push(rtt);
        if self.last.len() == 2 * BEFORE {
            let median = middle(&self.last[..BEFORE]);
            self.last.drain(..BEFORE);
            if let Some(median) = self.previous.replace(median) {
                self.earlier += 1;
                self.lowest = Some(self.lowest.map_or(median, |lowest| lowest.min(median)));
                self.highest = self.highest.max(median);
                // Follows the median of medians by steps of a sixteenth.
                let apart = median.abs_diff(self.usual) / 16;
                self.usual = match self.usual {
                    0 => median,
                    usual if median > usual => usual.saturating_add(apart),
                    usual => usual - apart,
                };
            }
        }
    }

    /// An outage began.
    pub fn outage(&mut self, outage: &Outage) {
        let Some(lowest) = self.lowest.filter(|_| self.earlier >= EARLIER) else { return };
        let lowest = self.previous.map_or(lowest, |previous| previous.min(lowest));
        let highest = self.previous.map_or(self.highest, |previous| previous.max(self.highest));
        if self.last.len() < BEFORE || self.found.len() == MOST_TOLD {
            return;
        }
        let median = middle(&self.last[self.last.len() - BEFORE..]);
        let nearest = if median < lowest {
            lowest
        } else if median > highest {
            highest
        } else {
            return;
        };
        self.found.push(Before { outage: outage.start, median, usual: self.usual, nearest });
    }

    /// What was found.
    pub fn found(&self) -> &[Before] {
        &self.found
    }
}

fn middle(values: &[u64]) -> u64 {
    percentile(&mut values.to_vec(), 50.0).unwrap_or(0)
}

/// Slow packets of a run: those above its median by a quarter, and by a
/// millisecond at the least.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Episodes {
    /// Runs of two and more slow packets, one after another.
    pub count: u64,
    /// Packets in the longest of them.
    pub longest_packets: u64,
    /// How long that lasted, in nanoseconds.
    pub longest: u64,
    /// How long all lasted together.
    pub nanos: u64,
    /// Slow packets whose neighbours were not.
    pub lone: u64,
}

/// Slow is what lies above this, in nanoseconds.
pub fn threshold(median: u64) -> u64 {
    median.saturating_add((median / 4).max(1_000_000))
}

impl Episodes {
    /// Those of a series whose packets are all kept.
    pub fn of(kept: &[Kept], threshold: u64) -> Self {
        let mut episodes = Self::default();
        let mut rest = kept;
        while let Some(begin) = rest.iter().position(|one| one.rtt > threshold) {
            let slow = &rest[begin..];
            let long = slow.iter().position(|one| one.rtt <= threshold).unwrap_or(slow.len());
            rest = &slow[long..];
            if long == 1 {
                episodes.lone += 1;
                continue;
            }
            let last = slow[long - 1];
            let nanos = last.sent.saturating_add(last.rtt).saturating_sub(slow[0].sent);
            episodes.count += 1;
            episodes.nanos = episodes.nanos.saturating_add(nanos);
            if long as u64 > episodes.longest_packets {
                episodes.longest_packets = long as u64;
                episodes.longest = nanos;
            }
        }
        episodes
    }
}

#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "simulations")]
mod tests {
    use super::*;
    use crate::stats::random::tests::{Walk, simulations};

    fn told(seed: u64, rho: f64, lower: f64) -> bool {
        let mut before = BeforeOutages::default();
        for (place, value) in Walk::new(seed, rho).take(6000).enumerate() {
            let value = if place >= 5900 { value - lower } else { value };
            before.record((1e6 + 1e4 * value) as u64);
        }
        before.outage(&Outage { start: 1, end: 2, packets: 2 });
        !before.found().is_empty()
    }

    #[test]
    fn a_level_before_an_outage_is_told_where_no_earlier_one_was_like_it() {
        let all = simulations(200);
        let found = (0..all).filter(|seed| told(*seed, 0.0, 2.0)).count() as u64;
        assert!(found * 100 >= all * 90, "{found} of {all}");
        for rho in [0.0, 0.9, 0.99] {
            let falsely = (0..all).filter(|seed| told(*seed, rho, 0.0)).count() as u64;
            assert!(falsely * 100 <= all * 9, "rho {rho}: {falsely} of {all}");
        }
    }

    #[test]
    fn a_loss_rate_that_moved_is_told_in_packets_and_an_outage_is_none() {
        let told = |lost: &dyn Fn(u64) -> bool| {
            let mut timeline = Timeline::new(0);
            for packet in 0..6_000 {
                timeline.record(packet * 1_000_000, (!lost(packet)).then_some(5));
            }
            loss_shifts(&timeline)
        };
        // Pairs that are lost together; sparsely at first.
        let pair = |packet: u64| packet / 2 * 7919 % 3001;
        let often = |packet: u64| pair(packet).is_multiple_of(25);
        let seldom = |packet: u64| pair(packet).is_multiple_of(250);
        let found = told(&|packet| if packet < 3_000 { seldom(packet) } else { often(packet) });
        let [shift] = found[..] else { panic!("{found:?}") };
        assert!(shift.packet.abs_diff(3_000) < 100 && shift.chance < 0.001, "{shift:?}");
        assert!((0.2..0.6).contains(&shift.from) && (3.5..4.5).contains(&shift.to), "{shift:?}");
        assert!((shift.at / 1_000_000 + 1).abs_diff(shift.packet) <= 1, "{shift:?}");
        let outage = |packet: u64| seldom(packet) || (4_000..5_000).contains(&packet);
        assert_eq!(told(&outage), []);
    }

    #[test]
    fn slow_packets_in_a_row_are_an_episode_and_others_are_not() {
        let slow = [5, 9, 9, 1, 9, 1, 9, 9, 9];
        let kept: Vec<Kept> =
            (0..).zip(slow).map(|(place, rtt)| Kept { sent: 100 * place, rtt }).collect();
        let found = Episodes::of(&kept, 8);
        assert_eq!((found.count, found.lone, found.longest_packets), (2, 1, 3));
        assert_eq!((found.longest, found.nanos), (209, 109 + 209));
        assert_eq!(threshold(100), 1_000_100);
        assert_eq!(threshold(8_000_000), 10_000_000);
    }
}
