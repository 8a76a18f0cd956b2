//! Two clocks that nobody has set to each other, seen through the packets that go
//! between them.
//!
//! A difference of times by two clocks is the way's own time and how far the clocks
//! are apart; on the way back that counts with its sign turned. No packet arrives
//! before it has left, so the clocks' distance, a line where one of them runs faster,
//! lies below all differences out and above all those back, turned. Of these lines
//! the one is taken that has the most room on both sides: what Moon, Skelly and
//! Towsley (1999) do for one way, with both convex hulls. How much queued on each way
//! is exact then; how the smallest round trip divides into its ways nobody can know.

use super::Summary;

/// When something left or came, by this side's clock, and by how much the other clock
/// differed, in nanoseconds.
pub type Point = (i64, i64);

/// No clock runs faster or slower by more.
const MOST_DRIFT: f64 = 0.01;
/// Clocks of computers drift by up to this: an estimate no better than that says
/// nothing.
const TELLING: f64 = 100e-6;
/// A reading of a clock is no better than this, in nanoseconds.
const RESOLUTION: f64 = 1_000.0;
/// Parts of the time in which the noise is looked at.
const PARTS: u8 = 6;
/// Halvings of the range of drifts: a millionth of a millionth is left.
const HALVINGS: u32 = 34;
/// Pieces of what comes at once: each has a hull of its own, so that noise shows.
const PIECES: usize = 8;
/// Corners of a hull that are kept: of honest delays it has about twenty.
const MOST_CORNERS: usize = 128;

/// The points that no line below all of them passes without touching one of these:
/// the lower convex hull.
fn lower_hull(mut points: Vec<Point>) -> Vec<Point> {
    points.sort_unstable();
    let mut kept = 0;
    for place in 0..points.len() {
        let point = points[place];
        while kept > 1 && !turns_up(points[kept - 2], points[kept - 1], point) {
            kept -= 1;
        }
        points[kept] = point;
        kept += 1;
    }
    points.truncate(kept);
    while points.len() > MOST_CORNERS {
        let mut place = 0;
        points.retain(|_| {
            place += 1;
            place % 2 == 1
        });
    }
    points
}

/// The lower hulls of parts of the time, which say no less than all points.
pub fn corners(points: &[Point]) -> Vec<Point> {
    let hulls = pieces(points).map(|points| lower_hull(points.to_vec()));
    hulls.collect::<Vec<_>>().concat()
}

fn pieces<T>(all: &[T]) -> std::slice::Chunks<'_, T> {
    all.chunks(all.len().div_ceil(PIECES).max(1))
}

#[allow(clippy::cast_precision_loss, reason = "small differences are exact")]
fn turns_up(a: Point, b: Point, c: Point) -> bool {
    let slope = |from: Point, to: Point| (to.0 - from.0, to.1.saturating_sub(from.1));
    let ((run, rise), (run_on, rise_on)) = (slope(a, b), slope(b, c));
    (rise as f64) * (run_on as f64) < (rise_on as f64) * (run as f64)
}

/// How far two clocks are apart, as a line over the time.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Line {
    /// By how much the other clock runs faster, as a share.
    pub drift: f64,
    /// By how much that may be wrong, as long as the ways themselves stay as they are.
    pub drift_error: f64,
    /// The time in the middle of all that is known, and what differences are counted
    /// from.
    middle: Point,
    /// The smallest differences in the middle, out and back.
    least: [f64; 2],
}

/// Points of one way as they lie around a middle.
struct Way(Vec<(f64, f64)>);

impl Way {
    #[allow(clippy::cast_precision_loss, reason = "small differences are exact")]
    fn new<'a>(points: impl Iterator<Item = &'a Point>, (time, difference): Point) -> Self {
        let around =
            |point: &Point| ((point.0 - time) as f64, point.1.saturating_sub(difference) as f64);
        Self(points.map(around).collect())
    }

    /// How far above a line of this slope through the middle points lie at least,
    /// and the first time when one does; of those in a part of the time.
    fn least(&self, slope: f64, from: f64, to: f64) -> (f64, f64) {
        let mut least = (f64::INFINITY, 0.0);
        for (at, difference) in &self.0 {
            let above = difference - slope * at;
            if above < least.0 && (from..=to).contains(at) {
                least = (above, *at);
            }
        }
        least
    }
}

/// The number between `bad` and `good` from which on it is good.
fn edge(mut bad: f64, mut good: f64, is_good: &dyn Fn(f64) -> bool) -> f64 {
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(bad, good);
        *(if is_good(middle) { &mut good } else { &mut bad }) = middle;
    }
    good
}

impl Line {
    /// The line between the differences out and back. Of both the lower hulls are
    /// enough, or several of parts of the time; `None` where a way has none.
    #[allow(clippy::cast_precision_loss, reason = "half of a time")]
    pub fn between<'a>(
        out: impl Iterator<Item = &'a Point> + Clone,
        back: impl Iterator<Item = &'a Point> + Clone,
    ) -> Option<Self> {
        let times = || out.clone().chain(back.clone()).map(|point| point.0);
        let (begin, end) = (times().min()?, times().max()?);
        let middle = (begin + (end - begin) / 2, out.clone().next()?.1);
        let half = (end - begin) as f64 / 2.0;
        let out = Way::new(out, middle);
        let back = Way::new(back, (middle.0, middle.1.saturating_neg()));
        if back.0.is_empty() {
            return None;
        }
        let least = |slope: f64| [out.least(slope, -half, half), back.least(-slope, -half, half)];
        let room = |slope: f64| least(slope).iter().map(|(least, _)| least).sum::<f64>();
        // The room is a concave function of the slope, and grows with it while the way
        // back touches later than the way out.
        let full = |slope: f64| {
            let [out, back] = least(slope);
            back.1 <= out.1
        };
        let best = edge(-MOST_DRIFT, MOST_DRIFT, &full);
        // How far the line misses what came closest in each part of the time is how much
        // noise there is; one part may be congested. A line that leaves only so much less
        // room may be the right one.
        let [touch_out, touch_back] = least(best).map(|(least, _)| least);
        let length = 2.0 * half / f64::from(PARTS);
        let missed = |place: u8| {
            let (from, to) = (f64::from(place), f64::from(place + 1));
            let [from, to] = [from, to].map(|edge| edge * length - half);
            out.least(best, from, to).0 - touch_out + back.least(-best, from, to).0 - touch_back
        };
        let mut missed: Vec<f64> = (0..PARTS).map(missed).filter(|far| far.is_finite()).collect();
        missed.sort_unstable_by(f64::total_cmp);
        let noise = match missed.len() {
            0..3 => None,
            few @ 3..5 => Some(missed[few - 1]),
            many => Some(missed[many - 2]),
        };
        let enough = touch_out + touch_back - noise.unwrap_or(0.0).max(RESOLUTION);
        let fits = |slope: f64| room(slope) >= enough;
        let [low, high] = [-MOST_DRIFT, MOST_DRIFT].map(|most| edge(most, best, &fits));
        let error = (high - low) / 2.0;
        // Of drifts that may all be, the smallest is the likeliest.
        let (drift, drift_error) = match noise {
            Some(_) if error < TELLING => (f64::midpoint(low, high), error),
            Some(_) => (low.max(0.0).min(high), error),
            None => (0.0, MOST_DRIFT),
        };
        let least = least(drift).map(|(least, _)| least);
        Some(Self { drift, drift_error, middle, least })
    }

    /// The drift and its error, in millionths, where they say anything.
    pub fn drift_ppm(&self) -> Option<(f64, f64)> {
        (self.drift_error < TELLING).then_some((self.drift * 1e6, self.drift_error * 1e6))
    }

    /// The smallest round trip that the line leaves room for, in nanoseconds; below
    /// zero where no line does.
    #[allow(clippy::cast_possible_truncation, reason = "it saturates")]
    pub fn room(&self) -> i64 {
        self.least.iter().sum::<f64>() as i64
    }

    /// In the middle of all that is known.
    pub fn middle(&self) -> i64 {
        self.middle.0
    }

    #[allow(clippy::cast_precision_loss, reason = "a share of a time")]
    fn grown(&self, at: i64) -> f64 {
        (at - self.middle.0) as f64 * self.drift
    }

    /// How far the other clock is ahead, in nanoseconds, if the smallest round trip is
    /// halved; nobody knows how it divides.
    #[allow(clippy::cast_possible_truncation, reason = "it saturates")]
    pub fn offset(&self, at: i64) -> i64 {
        let [out, back] = self.least;
        self.middle.1.saturating_add(((out - back) / 2.0 + self.grown(at)) as i64)
    }

    /// How far a difference out lies above the smallest, in nanoseconds.
    pub fn above_out(&self, (at, difference): Point) -> u64 {
        above(difference.saturating_sub(self.middle.1), self.least[0] + self.grown(at))
    }

    /// The same of one back.
    pub fn above_back(&self, (at, difference): Point) -> u64 {
        above(difference.saturating_add(self.middle.1), self.least[1] - self.grown(at))
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "nothing lies below the line but by rounding"
)]
fn above(difference: i64, least: f64) -> u64 {
    (difference as f64 - least).max(0.0) as u64
}

/// A packet there and back.
#[derive(Debug, Clone, Copy)]
pub struct RoundTrip {
    /// The difference out, at the time when it left.
    pub out: Point,
    /// The difference back, at the time when it came.
    pub back: Point,
}

/// Packets that wait for the line that they help to find: 128 KiB.
const MOST_WAITING: usize = 4096;
/// Or for so long, in nanoseconds; nor are parts that are remembered longer.
const LONGEST: i64 = 60_000_000_000;
/// Parts that are remembered, an hour at most: over more clocks do not keep to a line,
/// and congestion pauses.
const REMEMBERED: usize = 64;

/// What is remembered of some time.
#[derive(Debug, Clone)]
struct Part {
    begin: i64,
    out: Vec<Point>,
    back: Vec<Point>,
    shortest: i64,
}

impl Part {
    fn of(packets: &[RoundTrip]) -> Self {
        Self {
            begin: packets.first().map_or(0, |packet| packet.out.0),
            out: lower_hull(packets.iter().map(|packet| packet.out).collect()),
            back: lower_hull(packets.iter().map(|packet| packet.back).collect()),
            shortest: packets.iter().map(RoundTrip::span).min().unwrap_or(i64::MAX),
        }
    }

    /// Takes in the next part, unless the two are long together.
    fn absorb(&mut self, next: &Self) -> bool {
        let short = next.begin - self.begin < LONGEST;
        if short {
            self.out = lower_hull([&self.out[..], &next.out].concat());
            self.back = lower_hull([&self.back[..], &next.back].concat());
            self.shortest = self.shortest.min(next.shortest);
        }
        short
    }
}

impl RoundTrip {
    /// How long both ways took together: the clocks' distance falls out.
    fn span(&self) -> i64 {
        self.out.1.saturating_add(self.back.1)
    }
}

/// What the packets of a run tell of two clocks and of both ways, as it goes on.
#[derive(Debug, Clone, Default)]
pub struct Clocks {
    waiting: Vec<RoundTrip>,
    parts: Vec<Part>,
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
        if self.waiting.len() == MOST_WAITING || packet.out.0 - first.out.0 >= LONGEST {
            self.settle();
        }
        self.last = packet.back.0;
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
        let line = self.line?;
        let shortest = self.parts.iter().map(|part| part.shortest).min()?;
        let drifted = (self.last - line.middle()) as f64 * line.drift_error;
        Some((line.offset(self.last), (shortest / 2).saturating_add(drifted as i64)))
    }

    fn take(&mut self, packets: &[RoundTrip]) {
        if packets.is_empty() {
            return;
        }
        let parts: Vec<Part> = pieces(packets).map(Part::of).collect();
        let line = |before: &[Part]| {
            let out = before.iter().chain(&parts).flat_map(|part| &part.out);
            let back = before.iter().chain(&parts).flat_map(|part| &part.back);
            Line::between(out, back).filter(|line| line.room() >= 0)
        };
        let mut found = line(&self.parts);
        if found.is_none() && packets.len() > 1 {
            let (earlier, later) = packets.split_at(packets.len() / 2);
            self.take(earlier);
            return self.take(later);
        }
        // A single packet does not contradict itself.
        if found.is_none() {
            found = line(&[]);
            self.parts.clear();
            self.breaks += 1;
        }
        if let Some(line) = found {
            for packet in packets {
                self.above[0].record(line.above_out(packet.out));
                self.above[1].record(line.above_back(packet.back));
            }
        }
        self.line = found;
        self.parts.extend(parts);
        self.forget();
    }

    /// Puts neighbours together where there are too many, and forgets the oldest.
    fn forget(&mut self) {
        if self.parts.len() <= REMEMBERED {
            return;
        }
        let mut joined: Vec<Part> = Vec::new();
        for (place, part) in std::mem::take(&mut self.parts).into_iter().enumerate() {
            let last = joined.last_mut().filter(|_| place % 2 == 1);
            if !last.is_some_and(|last| last.absorb(&part)) {
                joined.push(part);
            }
        }
        let more = joined.len().saturating_sub(REMEMBERED);
        self.parts = joined.split_off(more);
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
            clocks.record(RoundTrip {
                out: (left, clock(there) - left),
                back: (came, came - clock(there)),
            });
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
            clocks.record(RoundTrip { out, back });
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
        let one = RoundTrip { out: (0, 7 * MS), back: (10 * MS, 3 * MS) };
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
            clocks.record(RoundTrip { out, back: (left + 1, left.saturating_sub(there)) });
        }
        clocks.settle();
        assert!(clocks.parts.len() <= REMEMBERED);
        let corners = |part: &Part| part.out.len().max(part.back.len());
        assert!(clocks.parts.iter().all(|part| corners(part) <= MOST_CORNERS));
    }
}
