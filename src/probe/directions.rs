//! What a reflector's time stamps and sequence numbers add to round trips:
//! each direction's delay, jitter and losses (RFC 5357, RFC 8762).

use std::time::Duration;

use super::count::{Losses, ReflectorCount};
use super::detail::{Detail, TwampDetail};
use super::sample::Sample;
use crate::clock::{Mono, Wall, nanos};
use crate::stats::clocks::{Clocks, RoundTrip};
use crate::stats::{Few, Jitter, Summary, nearest_rank};
use crate::wire::stamp::Answer;

/// The figures of one direction. Delays hold the difference of the two hosts'
/// clocks, so they may be negative, and of any size: they are kept by how far they
/// lie from the first, which is where they are told apart best.
#[derive(Debug, Clone, Default)]
pub struct Direction {
    /// The first delay, in nanoseconds.
    first: i64,
    /// How far delays lie above it, or at it, in nanoseconds.
    above: Summary,
    /// How far the others lie below it.
    below: Summary,
    /// Delay variation of neighbouring packets, in nanoseconds. The clocks'
    /// difference falls out of it.
    pub jitter: Jitter,
}

#[allow(clippy::cast_precision_loss, reason = "figures for people and JSON")]
impl Direction {
    fn record(&mut self, delay: i64) {
        if self.count() == 0 {
            self.first = delay;
        }
        let side = if delay < self.first { &mut self.below } else { &mut self.above };
        side.record(delay.abs_diff(self.first));
        // In the same order, and without a sign.
        self.jitter.record(delay.abs_diff(i64::MIN));
    }

    fn count(&self) -> u64 {
        self.above.count() + self.below.count()
    }

    fn up(&self, distance: u64) -> f64 {
        self.first as f64 + distance as f64
    }

    fn down(&self, distance: u64) -> f64 {
        self.first as f64 - distance as f64
    }

    /// The smallest delay in nanoseconds.
    pub fn min(&self) -> Option<f64> {
        let lowest = self.below.max().map(|distance| self.down(distance));
        lowest.or_else(|| self.above.min().map(|distance| self.up(distance)))
    }

    /// The mean delay in nanoseconds.
    pub fn mean(&self) -> Option<f64> {
        let sum = |side: &Summary| side.mean().unwrap_or(0.0) * side.count() as f64;
        let distances = sum(&self.above) - sum(&self.below);
        (self.count() > 0).then(|| self.first as f64 + distances / self.count() as f64)
    }

    /// The largest delay in nanoseconds.
    pub fn max(&self) -> Option<f64> {
        // The first lies above, or at, itself.
        self.above.max().map(|distance| self.up(distance))
    }

    /// The nearest-rank percentile of the delays in nanoseconds.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let rank = nearest_rank(percent, self.count());
        match rank.checked_sub(self.below.count()) {
            // The largest distance below is the smallest delay.
            None | Some(0) => {
                let distance = self.below.ranked(self.below.count() + 1 - rank);
                distance.map(|distance| self.down(distance))
            }
            Some(rank) => self.above.ranked(rank).map(|distance| self.up(distance)),
        }
    }
}

/// Where in their seconds packets came, in nanoseconds: here, and by the
/// reflector's clock.
#[derive(Debug, Clone, Copy, Default)]
struct Fractions {
    /// The earliest and the latest here.
    here: Option<(i64, i64)>,
    /// The latest there.
    there: i64,
}

impl Fractions {
    /// 10^9 units of 2^-32 s.
    const NANOSECONDS: i64 = 232_830_644;
    /// A clock that runs cannot stay below that while ours goes so far.
    const SPREAD: i64 = 500_000_000;

    fn take(&mut self, detail: &TwampDetail) {
        let within = |nanos: i64| nanos.rem_euclid(1_000_000_000);
        let here = within(detail.arrived.0);
        let (low, high) = self.here.unwrap_or((here, here));
        self.here = Some((low.min(here), high.max(here)));
        self.there = self.there.max(within(detail.received.0));
    }

    fn are_nanoseconds(&self) -> bool {
        let spread = self.here.map_or(0, |(low, high)| high - low);
        spread >= Self::SPREAD && self.there <= Self::NANOSECONDS
    }
}

/// Both directions of a run, and the reflector between them.
#[derive(Debug, Clone, Default)]
pub struct Directions {
    /// From this host to the reflector: T2 - T1.
    pub outbound: Direction,
    /// From the reflector to this host: T4 - T3.
    pub inbound: Direction,
    /// How long the reflector held packets, in nanoseconds: T3 - T2.
    pub processing: Summary,
    /// Packets whose two reflector times cannot be true.
    pub untrue_times: u64,
    /// The largest error that both clocks' estimates allow.
    pub error: Duration,
    /// Packets with the reflector's word that its clock is synchronised.
    pub synchronised: u64,
    /// Packets that came back.
    pub received: u64,
    /// What packets reached the reflector with of their time to live, and how many;
    /// they leave with 255.
    pub ttl_out: Few<u8, u64>,
    /// The same of its replies here, of what it sent them with.
    pub ttl_back: Few<u8, u64>,
    /// DSCP and ECN of replies as they came.
    pub classes: Few<u8, u64>,
    fractions: Fractions,
    /// How the two clocks stand to each other, and how much longer than the fastest
    /// packets took on each way.
    pub clocks: Clocks,
    /// This host's time of day less its monotonic time, once and for all: its clock
    /// may be set.
    base: Option<i64>,
    /// Whether this host's clock is synchronised, as its kernel says.
    pub here_synchronised: bool,
    /// This host's own error estimate.
    pub here_error: Duration,
    /// The reflector's sequence numbers, and the losses that they tell.
    pub count: ReflectorCount,
    /// What came back of the extensions that packets asked for.
    pub answers: Vec<Answer>,
}

impl Directions {
    /// None yet. This host's clock is synchronised or not, with an error of at
    /// most `error`.
    pub fn new(synchronised: bool, error: Duration) -> Self {
        Self { here_synchronised: synchronised, here_error: error, ..Self::default() }
    }

    /// Takes in a probe.
    pub fn sample(&mut self, sample: &Sample) {
        if let (Some(at), Detail::Twamp(detail)) = (sample.received(), &sample.detail) {
            self.delays(sample.sent, at, detail);
            let TwampDetail { session, sequence, received, .. } = *detail;
            self.count.received(sample.number, session, sequence, received);
        } else {
            self.count.lost_one(sample.number);
            self.outbound.jitter.gap();
            self.inbound.jitter.gap();
        }
    }

    fn delays(&mut self, left: Mono, at: Mono, detail: &TwampDetail) {
        let gross = at.since(left);
        self.received += 1;
        *self.ttl_out.of(detail.ttl) += 1;
        if let Some(ttl) = detail.reply_ttl {
            *self.ttl_back.of(ttl) += 1;
        }
        if let Some(class) = detail.class {
            *self.classes.of(class) += 1;
        }
        if detail.received != Wall(0) {
            self.fractions.take(detail);
        }
        self.synchronised += u64::from(detail.synchronised);
        self.error = self.error.max(detail.error + self.here_error);
        let Some(held) = detail.processing(gross) else {
            self.untrue_times += 1;
            return;
        };
        let (out, back) = detail.one_way(gross);
        self.processing.record(nanos(held));
        self.outbound.record(out);
        self.inbound.record(back);
        let [left, came] = [left, at].map(|at| at.0.cast_signed());
        let base = *self.base.get_or_insert(detail.arrived.0.saturating_sub(came));
        let there = |at: Wall| at.0.saturating_sub(base);
        let there = [detail.received, detail.sent].map(there);
        if let Some(packet) = RoundTrip::new(left, came, there) {
            self.clocks.record(packet);
        }
    }

    /// No packet waits for its figures any more. A reflector whose times are no times
    /// has none.
    pub fn settle(&mut self) {
        self.clocks.settle();
        if self.counts_nanoseconds() {
            self.clocks = Clocks::default();
        }
    }

    /// Losses by direction.
    pub fn lost(&self) -> Losses {
        self.count.losses()
    }

    /// Whether the reflector seems to write nanoseconds where the NTP fraction
    /// of a second belongs, as some do: its times then run 4.3 times too slow
    /// within each second.
    pub fn counts_nanoseconds(&self) -> bool {
        self.fractions.are_nanoseconds()
    }

    /// Whether both hosts claim that their clocks are synchronised.
    pub fn claimed(&self) -> bool {
        self.here_synchronised && self.received > 0 && self.synchronised == self.received
    }

    /// Whether one-way delays mean what they say: both claim it, and what packets
    /// tell does not contradict them.
    pub fn valid(&self) -> bool {
        let apart = |(offset, bound): (i64, i64)| {
            offset.unsigned_abs().saturating_sub(bound.unsigned_abs())
        };
        self.claimed() && self.clocks.offset().is_none_or(|found| apart(found) <= nanos(self.error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Anchor, Mono};
    use crate::probe::Outcome;

    const ANCHOR: Anchor = Anchor { mono: Mono(0), wall: Wall(1_000_000_000_000) };

    /// A packet that took 3 ms out, was held for 1 ms, and took 2 ms back, as
    /// seen by a reflector whose clock is `off` ahead.
    fn received(number: u64, sequence: u32, off: i64) -> Sample {
        let sent = Mono(number * 10_000_000);
        let detail = TwampDetail {
            received: Wall(ANCHOR.wall(sent).0 + 3_000_000 + off),
            sent: Wall(ANCHOR.wall(sent).0 + 4_000_000 + off),
            arrived: ANCHOR.wall(Mono(sent.0 + 6_000_000)),
            session: 0,
            sequence,
            ttl: 255,
            reply_ttl: Some(250),
            class: Some(46 << 2 | 1),
            error: Duration::from_millis(1),
            synchronised: false,
        };
        let at = Mono(sent.0 + 6_000_000);
        let outcome = Outcome::Received { at, late: false };
        Sample {
            number,
            due: sent,
            sent,
            went_out: true,
            outcome,
            detail: Detail::Twamp(detail),
            explained: None,
            flow: 1,
        }
    }

    #[test]
    fn the_round_trip_is_without_the_reflectors_time_and_the_ways_are_apart() {
        assert_eq!(received(1, 0, 0).rtt(), Some(Duration::from_millis(5)));
        for off in [0, 7_000_000_000_000, -7_000_000_000] {
            let mut directions = Directions::default();
            directions.sample(&received(1, 0, off));
            #[allow(clippy::cast_precision_loss, reason = "small enough")]
            let off = off as f64;
            let off_by = |value: Option<f64>, wanted: f64| (value.unwrap() - wanted).abs();
            assert!(off_by(directions.outbound.mean(), 3e6 + off) < 1e3, "{off}");
            assert!(off_by(directions.inbound.mean(), 2e6 - off) < 1e3, "{off}");
            assert_eq!(directions.processing.min(), Some(1_000_000));
        }
    }

    #[test]
    fn between_clocks_that_nobody_set_queueing_is_exact_and_the_split_has_its_bound() {
        let mut directions = Directions::new(true, Duration::from_millis(1));
        for number in 1..=600 {
            // The reflector's clock is 3 s ahead and gains 50 ppm; this host's is set
            // forward by an hour in mid-run.
            let ahead = 3_000_000_000 + i64::try_from(number).unwrap() * 500;
            let mut sample = received(number, 0, ahead);
            if let Detail::Twamp(detail) = &mut sample.detail {
                detail.synchronised = true;
                if number > 300 {
                    detail.arrived.0 += 3_600_000_000_000;
                }
            }
            directions.sample(&sample);
        }
        directions.settle();
        let clocks = &directions.clocks;
        assert_eq!((clocks.above[0].count(), clocks.breaks), (600, 0));
        assert!(clocks.above.iter().all(|way| way.max().unwrap() < 50_000), "{clocks:?}");
        let (offset, bound) = clocks.offset().unwrap();
        assert!(offset.abs_diff(3_000_300_000) < 600_000, "{offset}");
        assert!(bound.abs_diff(2_500_000) < 50_000, "{bound}");
        assert!(directions.claimed() && !directions.valid());
    }

    #[test]
    fn nanoseconds_in_place_of_fractions_are_noticed() {
        let play = |shrink: i64| {
            let mut directions = Directions::default();
            for number in 1..=70 {
                let mut sample = received(number, 0, 0);
                if let Detail::Twamp(detail) = &mut sample.detail {
                    let nanos = detail.received.0 % 1_000_000_000;
                    detail.received.0 += nanos / shrink - nanos;
                }
                directions.sample(&sample);
            }
            directions.counts_nanoseconds()
        };
        assert!(play(5));
        assert!(!play(1));
    }

    #[test]
    fn delays_on_both_sides_of_the_first_and_of_zero_keep_their_order() {
        let mut direction = Direction::default();
        let delays = [77_000, -300_000, -310_000, 40_000, -2_000_000_000, 500_000, 0];
        for delay in delays {
            direction.record(delay);
        }
        let mut sorted = delays;
        sorted.sort_unstable();
        let near = |value: Option<f64>, wanted: i64| {
            #[allow(clippy::cast_precision_loss, reason = "small enough")]
            let (value, wanted) = (value.unwrap(), wanted as f64);
            assert!((value - wanted).abs() <= 1e-3 * (wanted.abs() + 77e3), "{value} {wanted}");
        };
        for (delay, rank) in sorted.into_iter().zip(1..) {
            near(direction.percentile(100.0 * (f64::from(rank) - 0.5) / 7.0), delay);
        }
        near(direction.percentile(0.0), sorted[0]);
        near(direction.min(), sorted[0]);
        near(direction.max(), sorted[6]);
        near(direction.mean(), sorted.iter().sum::<i64>() / 7);
        let steps: u64 = delays.windows(2).map(|pair| pair[0].abs_diff(pair[1])).sum();
        near(direction.jitter.mean(), i64::try_from(steps / 6).unwrap());
        assert_eq!(Direction::default().percentile(50.0), None);
        assert_eq!(Direction::default().mean(), None);
    }

    #[test]
    fn a_reflector_that_writes_no_times_gives_the_plain_round_trip() {
        let mut sample = received(1, 0, 0);
        if let Detail::Twamp(detail) = &mut sample.detail {
            (detail.received, detail.sent) = (Wall(0), Wall(0));
        }
        assert_eq!(sample.rtt(), Some(Duration::from_millis(6)));
        let mut directions = Directions::default();
        directions.sample(&sample);
        assert_eq!((directions.untrue_times, directions.outbound.mean()), (1, None));
    }

    #[test]
    fn times_that_cannot_be_true_leave_the_plain_round_trip() {
        let mut sample = received(1, 0, 0);
        if let Detail::Twamp(detail) = &mut sample.detail {
            detail.sent = Wall(detail.received.0 - 1);
        }
        assert_eq!(sample.rtt(), Some(Duration::from_millis(6)));
        let mut directions = Directions::default();
        directions.sample(&sample);
        assert_eq!((directions.untrue_times, directions.outbound.mean()), (1, None));
    }
}
