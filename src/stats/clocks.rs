//! Two clocks that nobody has set to each other, over a run of any length: [`Line`]
//! tells how they stand, from packets of the last hour; so each packet's delay is known
//! above the smallest of its way.

use super::Summary;
use super::line::{Line, Point, corners};

/// A packet there and back: the difference out, at the time when it left, and the
/// difference back, at the time when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoundTrip(pub [Point; 2]);

impl RoundTrip {
    /// Of a packet that left at one time and came back at another, and was there, by
    /// the other clock, from one time to another; none where that cannot be true.
    pub fn new(left: i64, came: i64, there: [i64; 2]) -> Option<Self> {
        let held = there[1].checked_sub(there[0])?;
        let gross = came.checked_sub(left).filter(|_| left >= 0)?;
        let ways = [(left, there[0].saturating_sub(left)), (came, came.saturating_sub(there[1]))];
        (0..=gross).contains(&held).then_some(Self(ways))
    }

    /// How long both ways took together: the clocks' distance falls out.
    fn span(&self) -> i64 {
        self.0[0].1.saturating_add(self.0[1].1)
    }
}

/// By how much chance alone makes the shortest round trip longer than the smallest
/// delays of both ways, in nanoseconds: a program's wake-ups.
const CHANCE: i64 = 100_000;
/// Packets that wait for the line that they help to find: 128 KiB.
const MOST_WAITING: usize = 4096;
/// Or for so long, in nanoseconds.
const LONGEST: i64 = 60_000_000_000;

/// What the packets of a run tell of two clocks and of both ways, as it goes on.
#[derive(Debug, Clone, Default)]
pub struct Clocks {
    waiting: Vec<RoundTrip>,
    /// What is remembered of those before.
    known: [Vec<Point>; 2],
    /// The shortest round trip of these, in nanoseconds.
    shortest: Option<i64>,
    /// By how much packets took longer than the fastest of the last hour, out and back,
    /// in nanoseconds.
    pub above: [Summary; 2],
    /// How often the clocks' distance changed as no line does: one of them was set.
    pub breaks: u64,
    /// How they stand, of what has not waited.
    pub line: Option<Line>,
    /// The last packet's return.
    last: i64,
}

impl Clocks {
    /// Takes in a packet.
    pub fn record(&mut self, packet: RoundTrip) {
        let first = *self.waiting.first().unwrap_or(&packet);
        if self.waiting.len() == MOST_WAITING || packet.0[0].0 - first.0[0].0 >= LONGEST {
            self.settle();
        }
        self.last = packet.0[1].0;
        self.waiting.push(packet);
    }

    /// Nothing waits any more.
    pub fn settle(&mut self) {
        let packets = std::mem::take(&mut self.waiting);
        self.take(&packets);
    }

    /// How far the other clock is ahead at last, and by how much that may be wrong:
    /// half of the shortest round trip, and what the drift adds to it.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a bound")]
    pub fn offset(&self) -> Option<(i64, i64)> {
        let (line, shortest) = (self.line?, self.shortest?);
        let drifted = (self.last - line.middle()) as f64 * line.drift_error;
        Some((line.offset(self.last), (shortest / 2).saturating_add(drifted as i64)))
    }

    /// How far apart the smallest delays of both ways are at the least, where the clocks
    /// go in a line: the shortest round trip is hardly longer than both together, or one
    /// of the clocks was set or steered meanwhile.
    fn least_room(&self, packets: &[RoundTrip]) -> i64 {
        let mut spans: Vec<i64> = packets.iter().map(RoundTrip::span).collect();
        spans.sort_unstable();
        let (Some(&first), Some(&median)) = (spans.first(), spans.get(spans.len() / 2)) else {
            return 0;
        };
        let shortest = self.shortest.map_or(first, |shortest| shortest.min(first));
        let usual = 2 * median.saturating_sub(shortest);
        (shortest - usual.max(shortest / 20).max(CHANCE)).max(0)
    }

    fn take(&mut self, packets: &[RoundTrip]) {
        let least = self.least_room(packets);
        let mut known = std::mem::take(&mut self.known);
        let add = |known: &mut [Vec<Point>; 2]| {
            for RoundTrip(ways) in packets {
                known.iter_mut().zip(ways).for_each(|(known, way)| known.push(*way));
            }
            Line::between(known).filter(|line| line.room() >= least)
        };
        let before = known.each_ref().map(Vec::len);
        let mut line = add(&mut known);
        if line.is_none() && packets.len() > 1 {
            known.iter_mut().zip(before).for_each(|(known, count)| known.truncate(count));
            self.known = known;
            let (earlier, later) = packets.split_at(packets.len() / 2);
            self.take(earlier);
            return self.take(later);
        }
        // A single packet does not contradict itself.
        if line.is_none() && !packets.is_empty() {
            known = [Vec::new(), Vec::new()];
            line = add(&mut known);
            self.breaks += 1;
            self.shortest = None;
        }
        let shortest = packets.iter().map(RoundTrip::span);
        self.shortest = shortest.chain(self.shortest).min();
        if let Some(line) = line {
            for packet in packets {
                let [out, back] = line.above(packet.0);
                self.above[0].record(out);
                self.above[1].record(back);
            }
            self.line = Some(line);
        }
        self.known = known.map(corners);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Random;

    const MS: i64 = 1_000_000;
    const SECOND: i64 = 1_000 * MS;

    /// A path of 10 ms out and 6 ms back with queues, to a clock that is 3 s ahead and
    /// gains `ppm`; the true queueing beside.
    fn played(packets: i64, interval: i64, ppm: f64) -> (Clocks, [Vec<u64>; 2]) {
        let mut random = Random::new(7);
        let mut clocks = Clocks::default();
        let mut queued = [Vec::new(), Vec::new()];
        for number in 0..packets {
            // Out, two thirds of packets queue for up to 8 ms, and all for a while; back one
            // in ten for up to 30 ms.
            let [often, long, seldom] = [3, 8_000_000, 10].map(|most| random.below(most));
            let busy = (packets / 4..packets / 3).contains(&number);
            let out = if often == 0 && !busy { long / 4000 } else { long };
            let back = if seldom == 0 { random.below(30_000_000) } else { random.below(2000) };
            let left = number * interval;
            let there = left + 10 * MS + i64::try_from(out).unwrap();
            let came = there + 6 * MS + i64::try_from(back).unwrap();
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                reason = "exact"
            )]
            let clock = |at: i64| at + 3 * SECOND + (at as f64 * ppm / 1e6) as i64;
            clocks.record(RoundTrip([(left, clock(there) - left), (came, came - clock(there))]));
            queued[0].push(out);
            queued[1].push(back);
        }
        clocks.settle();
        for way in &mut queued {
            way.sort_unstable();
        }
        (clocks, queued)
    }

    #[test]
    fn queueing_is_exact_beside_a_clock_that_drifts_and_is_off() {
        for (packets, interval) in [(600, 100 * MS), (20_000, MS), (8_000, SECOND)] {
            for ppm in [50.0, -50.0] {
                let (clocks, queued) = played(packets, interval, ppm);
                for (way, queued) in clocks.above.iter().zip(&queued) {
                    assert_eq!(way.count(), queued.len() as u64);
                    for percent in [50.0, 90.0, 99.0] {
                        let told = way.percentile(percent).unwrap();
                        let rank = crate::stats::nearest_rank(percent, way.count());
                        let queued = queued[usize::try_from(rank).unwrap() - 1];
                        let off = told.abs_diff(queued);
                        assert!(off < 50_000, "{packets} {ppm} p{percent}: {told} {queued}");
                    }
                }
                let (drift, error) = clocks.line.unwrap().drift_ppm().unwrap();
                assert!((drift - ppm).abs() <= error.max(0.1), "{ppm}: {drift} ± {error}");
                let (offset, bound) = clocks.offset().unwrap();
                #[allow(clippy::cast_possible_truncation, reason = "whole")]
                let truth = 3 * SECOND + packets * interval / 1_000_000 * ppm as i64;
                assert!((offset - truth).abs() <= bound, "{offset} {truth} ± {bound}");
                assert!((8 * MS..10 * MS).contains(&bound), "{bound}");
                assert_eq!(clocks.breaks, 0);
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_is_noticed_and_the_ways_stay_exact() {
        let mut clocks = Clocks::default();
        for number in 0..1_000 {
            let (left, queue) = (number * 10 * MS, number % 5 * MS);
            // Set back by an hour in the middle, and forward by a second later.
            let clock = match number {
                0..500 => 3 * SECOND,
                500..777 => -3_597 * SECOND,
                _ => -3_596 * SECOND,
            };
            let (out, back) = ((left, 10 * MS + queue + clock), (left + 16 * MS, 6 * MS - clock));
            clocks.record(RoundTrip([out, back]));
        }
        clocks.settle();
        assert_eq!(clocks.breaks, 2);
        let [out, back] = &clocks.above;
        assert!(out.max().unwrap().abs_diff(4_000_000) < 50_000, "{:?}", out.max());
        assert!(back.max().unwrap() < 50_000, "{:?}", back.max());
        let (offset, bound) = clocks.offset().unwrap();
        assert!((offset + 3_596 * SECOND).abs() <= bound && bound < 9 * MS, "{offset} {bound}");
    }

    #[test]
    fn what_a_few_packets_cannot_tell_is_not_told() {
        let one = RoundTrip([(0, 7 * MS), (10 * MS, 3 * MS)]);
        let mut clocks = Clocks::default();
        assert_eq!((clocks.offset(), clocks.line), (None, None));
        clocks.record(one);
        clocks.settle();
        assert_eq!(clocks.line.unwrap().drift_ppm(), None);
        let (offset, bound) = clocks.offset().unwrap();
        assert!(offset.abs_diff(2 * MS) < 200_000 && bound.abs_diff(5 * MS) < 200_000);
        assert_eq!(clocks.above[0].max(), Some(0));
    }

    #[test]
    fn no_stamps_make_it_panic_or_grow() {
        let mut random = Random::new(1);
        let mut clocks = Clocks::default();
        for number in 0..20_000_i64 {
            let left = number * SECOND;
            let wild = [i64::MIN, i64::MAX, number * number, 0];
            let there = wild[usize::try_from(random.below(4)).unwrap()];
            let out = (left, there.saturating_sub(left));
            clocks.record(RoundTrip([out, (left + 1, left.saturating_sub(there))]));
        }
        clocks.settle();
        // 33 pieces of an hour, the last of them cut.
        let most = 33 * crate::stats::line::MOST_CORNERS;
        assert!(clocks.known.iter().all(|known| known.len() <= most));
    }

    #[test]
    fn a_clock_that_is_set_by_less_than_the_path_is_long_is_seen() {
        let mut random = Random::new(3);
        let mut clocks = Clocks::default();
        for number in 0..400 {
            let [out, back] = [(), ()].map(|()| i64::try_from(random.below(500_000)).unwrap());
            let step = if number >= 200 { 3 * MS } else { 0 };
            let left = number * 100 * MS;
            let there = left + 10 * MS + out + step;
            let came = left + 20 * MS + out + back;
            clocks.record(RoundTrip([(left, there - left), (came, came - there)]));
        }
        clocks.settle();
        assert_eq!(clocks.breaks, 1);
        let worst = clocks.above.each_ref().map(|above| above.percentile(90.0).unwrap());
        assert!(worst.iter().all(|nanos| *nanos < 700_000), "{worst:?}");
        let (offset, bound) = clocks.offset().unwrap();
        assert!((offset - 3 * MS).abs() <= bound, "{offset} ± {bound}");
    }
}
