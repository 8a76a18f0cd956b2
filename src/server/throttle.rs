//! Log lines that a hostile crowd could cause, at a bounded rate.

use std::time::Duration;

use crate::clock::Mono;

/// At most one line in this time.
const QUIET: Duration = Duration::from_secs(1);

/// Lets one event a second through and counts the others.
#[derive(Debug, Default)]
pub struct Throttle {
    quiet_until: Mono,
    held_back: u64,
}

impl Throttle {
    /// Whether an event at `now` may be logged, and how many were not since
    /// the last one that was.
    pub fn admit(&mut self, now: Mono) -> Option<u64> {
        if now < self.quiet_until {
            self.held_back += 1;
            return None;
        }
        self.quiet_until = now + QUIET;
        Some(std::mem::take(&mut self.held_back))
    }

    /// How many were held back, once the quiet time is over.
    pub fn overdue(&mut self, now: Mono) -> Option<u64> {
        if self.held_back == 0 || now < self.quiet_until {
            return None;
        }
        self.admit(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_and_none_forgotten() {
        let mut throttle = Throttle::default();
        let at = |millis: u64| Mono(millis * 1_000_000);
        assert_eq!(throttle.admit(at(1)), Some(0));
        assert_eq!(throttle.admit(at(2)), None);
        assert_eq!(throttle.admit(at(900)), None);
        assert_eq!(throttle.overdue(at(950)), None);
        assert_eq!(throttle.overdue(at(1001)), Some(2));
        assert_eq!(throttle.overdue(at(2002)), None);
        assert_eq!(throttle.admit(at(2003)), Some(0));
    }
}
