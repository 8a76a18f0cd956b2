//! When each probe is due.

use std::time::Duration;

use crate::clock::{Mono, nanos};

/// Where in an interval a lane has its turn, of all lanes that share the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Its flow, from 0,
    pub flow: u32,
    /// of so many to each target.
    pub flows: u32,
    /// Its target, from 0,
    pub target: u32,
    /// of so many.
    pub targets: u32,
}

impl Default for Turn {
    fn default() -> Self {
        Self { flow: 0, flows: 1, target: 0, targets: 1 }
    }
}

impl Turn {
    /// How long after the beginning of a round its packet is due: flows are spread
    /// evenly, and in each round another target goes first.
    fn offset(self, interval: u64, round: u64) -> u64 {
        let [flow, flows, target, targets] =
            [self.flow, self.flows, self.target, self.targets].map(u64::from);
        let place = flow * targets + (target + round) % targets.max(1);
        let slots = u128::from((flows * targets).max(1));
        u64::try_from(u128::from(interval) * u128::from(place) / slots).unwrap_or(0)
    }
}

/// What a run is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Time from one send to the next; zero sends when the reply is in.
    pub frequency: Duration,
    /// Probes to send; 0 is without end.
    pub count: u64,
    /// Nothing is sent from this long after the start on.
    pub duration: Option<Duration>,
    /// The age at which an unanswered probe is late, and the longest wait for
    /// stragglers after the last send.
    pub timeout: Duration,
    /// Whether a dropped connection is made again.
    pub reconnect: bool,
    /// Whether other connections are tried while this one is silent.
    pub scouts: bool,
    /// Whether a connection is made again from its own local port.
    pub keep_port: bool,
    /// The age at which an unanswered probe ends the connection, where the
    /// protocol waits no longer.
    pub give_up: Option<Duration>,
    /// How often the name is looked up again, beside at each reconnect.
    pub re_resolve: Option<Duration>,
    /// First probes that are sent and not told of; `count` includes them.
    pub warmup: u64,
    /// Its turn among others on the same schedule.
    pub turn: Turn,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            frequency: Duration::from_secs(1),
            count: 0,
            duration: None,
            timeout: Duration::from_secs(5),
            reconnect: true,
            scouts: true,
            keep_port: false,
            give_up: None,
            re_resolve: None,
            warmup: 0,
            turn: Turn::default(),
        }
    }
}

impl Plan {
    /// Whether each probe waits for the reply to the one before.
    pub fn is_ping_pong(&self) -> bool {
        self.frequency.is_zero()
    }

    /// When a paced probe is due: absolute, so that lateness never adds up.
    pub fn due(&self, start: Mono, number: u64) -> Mono {
        let (interval, steps) = (nanos(self.frequency), number.saturating_sub(1));
        let offset = self.turn.offset(interval, steps);
        Mono(start.0.saturating_add(interval.saturating_mul(steps)).saturating_add(offset))
    }

    /// The last paced probe that is due at `at` or before; 0 if none is.
    pub fn last_due(&self, start: Mono, at: Mono) -> u64 {
        if at < start {
            return 0;
        }
        let round = at.nanos_since(start) / nanos(self.frequency).max(1) + 1;
        // The turn in this round may still come.
        if self.due(start, round) > at { round - 1 } else { round }
    }

    /// How many paced probes from `next` on are not worth sending after this host
    /// stood still until `now`: all but the last that is due, which is late by less
    /// than an interval.
    pub fn missed(&self, start: Mono, next: u64, now: Mono) -> u64 {
        if self.is_ping_pong() {
            return 0;
        }
        let last = self.last_due(start, now.min(Mono(self.end(start).0.saturating_sub(1))));
        let last = if self.count > 0 { last.min(self.count) } else { last };
        last.saturating_sub(next)
    }

    /// From when on nothing is sent: the warm-up's time does not count.
    pub fn end(&self, start: Mono) -> Mono {
        self.duration.map_or(Mono::NEVER, |duration| self.counted(start) + duration)
    }

    /// When the first packet that counts is due.
    pub fn counted(&self, start: Mono) -> Mono {
        start + self.frequency * u32::try_from(self.warmup).unwrap_or(u32::MAX)
    }
}

/// A wait that ends this much too late is no scheduler's delay any more: the
/// host, or the machine below it, stood still.
const PAUSE: Duration = Duration::from_millis(20);

/// How long this host stood still, if it did: of a wait that began at `began`, was
/// to end at `until` and did so `now`.
pub(super) fn standstill(now: Mono, began: Mono, until: Mono) -> Option<Duration> {
    let stood_still = until > began && now >= until + PAUSE;
    stood_still.then(|| now.since(until))
}

/// The pause before the next attempt to connect: doubling, with a ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackOff {
    next: Duration,
}

impl BackOff {
    const FIRST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(5);

    /// The pause to make now; the one after it is longer.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(Self::LONGEST);
        pause
    }
}

impl Default for BackOff {
    fn default() -> Self {
        Self { next: Self::FIRST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_times_are_absolute() {
        let plan = Plan {
            frequency: Duration::from_millis(1),
            count: 0,
            duration: None,
            timeout: Duration::from_secs(5),
            ..Plan::default()
        };
        assert_eq!(plan.due(Mono(7), 1), Mono(7));
        assert_eq!(plan.due(Mono(7), 5000), Mono(4_999_000_007));
        assert_eq!(plan.end(Mono(7)), Mono::NEVER);
    }

    #[test]
    fn all_lanes_have_their_turn_in_each_interval_and_targets_go_first_by_turns() {
        let plan = |flow, target| Plan {
            frequency: Duration::from_millis(60),
            turn: Turn { flow, flows: 3, target, targets: 2 },
            ..Plan::default()
        };
        let ms = |number, flow, target| plan(flow, target).due(Mono(0), number).0 / 1_000_000;
        let round = |number| {
            let lane = |flow, target| ms(number, flow, target);
            [lane(0, 0), lane(0, 1), lane(1, 0), lane(1, 1), lane(2, 0), lane(2, 1)]
        };
        assert_eq!(round(1), [0, 10, 20, 30, 40, 50]);
        assert_eq!(round(2), [70, 60, 90, 80, 110, 100]);
        let last = |at: u64| plan(2, 0).last_due(Mono(0), Mono(at * 1_000_000));
        assert_eq!([0, 39, 40, 109, 110, 159, 160].map(last), [0, 0, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn what_fell_due_in_a_pause_is_missed_but_for_the_last() {
        let plan = Plan {
            frequency: Duration::from_millis(10),
            count: 100,
            duration: Some(Duration::from_millis(305)),
            ..Plan::default()
        };
        let ms = |ms: u64| Mono(7 + ms * 1_000_000);
        assert_eq!(plan.last_due(Mono(7), ms(10)), 2);
        assert_eq!(plan.missed(Mono(7), 3, ms(19)), 0, "the next is not due");
        assert_eq!(plan.missed(Mono(7), 3, ms(20)), 0, "only the next is due");
        assert_eq!(plan.missed(Mono(7), 3, ms(59)), 3);
        assert_eq!(plan.missed(Mono(7), 3, ms(999)), 28, "up to the end alone");
        let plan = Plan { duration: None, count: 5, ..plan };
        assert_eq!(plan.missed(Mono(7), 3, ms(999)), 2);
        assert_eq!(plan.missed(Mono(7), 6, ms(999)), 0);
    }

    #[test]
    fn back_off_doubles_to_five_seconds() {
        let mut back_off = BackOff::default();
        let pauses: Vec<u128> = (0..8).map(|_| back_off.pause().as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    }
}
