//! Log lines that a hostile crowd could cause, at a bounded rate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Mono;
use crate::os::clock;

/// The time in which lines are counted.
const WINDOW: Duration = Duration::from_secs(1);

/// Lets so many events a second through and counts the others.
#[derive(Debug)]
pub struct Throttle {
    most: u32,
    /// Let through since the present second began.
    let_through: u32,
    window_ends: Mono,
    held_back: u64,
}

impl Default for Throttle {
    /// One a second.
    fn default() -> Self {
        Self::new(1)
    }
}

impl Throttle {
    /// At most `most` a second.
    pub fn new(most: u32) -> Self {
        Self { most, let_through: 0, window_ends: Mono(0), held_back: 0 }
    }

    /// Whether an event at `now` may be logged, and how many were not since
    /// the last one that was.
    pub fn admit(&mut self, now: Mono) -> Option<u64> {
        if now >= self.window_ends {
            self.window_ends = now + WINDOW;
            self.let_through = 0;
        }
        if self.let_through >= self.most {
            self.held_back += 1;
            return None;
        }
        self.let_through += 1;
        Some(std::mem::take(&mut self.held_back))
    }

    /// How many were held back, once their second is over.
    pub fn overdue(&mut self, now: Mono) -> Option<u64> {
        if self.held_back == 0 || now < self.window_ends {
            return None;
        }
        self.admit(now)
    }
}

/// Lines about what clients do, of all sessions together.
#[derive(Debug)]
pub struct News(Mutex<Throttle>);

impl News {
    /// At most so many events a second are told, each in some lines.
    pub fn new(most: u32) -> Self {
        Self(Mutex::new(Throttle::new(most)))
    }

    /// Has `log` tell of an event, if it may, and says how many were left out.
    pub fn tell(&self, log: impl FnOnce()) {
        let admitted = self.0.lock().unwrap_or_else(PoisonError::into_inner).admit(clock::now());
        match admitted {
            None => {}
            Some(0) => log(),
            Some(others) => {
                log::info!("{others} more events were not logged");
                log();
            }
        }
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

    #[test]
    fn a_few_a_second_where_a_few_are_wanted() {
        let mut throttle = Throttle::new(3);
        let admitted = |throttle: &mut Throttle, at: u64| {
            (0..10).filter(|_| throttle.admit(Mono(at * 1_000_000)).is_some()).count()
        };
        assert_eq!(admitted(&mut throttle, 1), 3);
        assert_eq!(admitted(&mut throttle, 999), 0);
        assert_eq!(throttle.admit(Mono(1_001_000_000)), Some(17));
        assert_eq!(admitted(&mut throttle, 1_002), 2);
    }
}
