//! When each probe is due.

use std::time::Duration;

use crate::clock::{Mono, nanos};

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
        let steps = number.saturating_sub(1);
        Mono(start.0.saturating_add(nanos(self.frequency).saturating_mul(steps)))
    }

    /// The last paced probe that is due at `at` or before; 0 if none is.
    pub fn last_due(&self, start: Mono, at: Mono) -> u64 {
        if at < start {
            return 0;
        }
        at.nanos_since(start) / nanos(self.frequency).max(1) + 1
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

    /// From when on nothing is sent.
    pub fn end(&self, start: Mono) -> Mono {
        self.duration.map_or(Mono::NEVER, |duration| start + duration)
    }
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
