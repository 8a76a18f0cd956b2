//! Time as plain numbers: monotonic for what is measured, wall clock for what
//! is written down.
//!
//! Nothing here reads a clock; [`crate::os::clock`] does.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A reading of `CLOCK_MONOTONIC` in nanoseconds. A plain number, so that a
/// test can write down a whole run's times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mono(pub u64);

impl Mono {
    /// A moment that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// Time since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }

    /// The same in nanoseconds: making a `Duration` takes a division.
    #[inline]
    pub fn nanos_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Mono {
    type Output = Self;

    /// Saturates at [`Mono::NEVER`].
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

impl Sub<Duration> for Mono {
    type Output = Self;

    /// Saturates at zero.
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }
}

/// A span in whole nanoseconds, saturating after 584 years.
#[inline]
pub fn nanos(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(span.subsec_nanos()))
}

/// A time of day: nanoseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Wall(pub i64);

/// One pair of readings that ties the wall clock to the monotonic clock.
///
/// All times of day of a run are computed from its anchor, so that two stamps
/// of one packet differ by exactly its monotonic round-trip time, whatever
/// happens to the wall clock between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The monotonic half of the pair.
    pub mono: Mono,
    /// The wall-clock half of the pair.
    pub wall: Wall,
}

impl Anchor {
    /// A disagreement below this is the clocks' slow drift apart and reading
    /// noise; above it somebody set the clock.
    pub const STEP: Duration = Duration::from_millis(10);

    /// The time of day at a monotonic moment.
    pub fn wall(&self, at: Mono) -> Wall {
        let span = i128::from(at.0) - i128::from(self.mono.0);
        let wall = i128::from(self.wall.0).saturating_add(span);
        Wall(i64::try_from(wall).unwrap_or(if wall < 0 { i64::MIN } else { i64::MAX }))
    }

    /// How far `fresh` says that the wall clock has moved against this anchor,
    /// in nanoseconds (positive: set forward).
    pub fn moved(&self, fresh: &Self) -> i64 {
        fresh.wall.0.saturating_sub(self.wall(fresh.mono).0)
    }

    /// The wall clock's step since this anchor was taken, if it was set by
    /// more than [`Anchor::STEP`].
    pub fn step(&self, fresh: &Self) -> Option<i64> {
        let moved = self.moved(fresh);
        (moved.unsigned_abs() > nanos(Self::STEP)).then_some(moved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    #[test]
    fn a_stepped_wall_clock_changes_no_difference() {
        let anchor = Anchor { mono: Mono(1_000), wall: Wall(5_000_000) };
        let sent = anchor.wall(Mono(2_000)).0;
        let received = anchor.wall(Mono(52_000)).0;
        assert_eq!(received - sent, 50_000);
        let fresh = Anchor { mono: Mono(60_000), wall: Wall(5_059_000 - HOUR) };
        assert_eq!(anchor.step(&fresh), Some(-HOUR));
        assert_eq!(fresh.wall(Mono(70_000)).0 - fresh.wall(Mono(60_000)).0, 10_000);
    }

    #[test]
    fn slow_drift_is_no_step() {
        let anchor = Anchor { mono: Mono(0), wall: Wall(0) };
        let fresh = Anchor { mono: Mono(1_000_000_000), wall: Wall(1_009_999_999) };
        assert_eq!(anchor.step(&fresh), None);
    }

    #[test]
    fn extremes_saturate() {
        assert_eq!(Mono::NEVER + Duration::from_secs(1), Mono::NEVER);
        assert_eq!(Mono(5) - Duration::from_secs(1), Mono(0));
        let anchor = Anchor { mono: Mono(0), wall: Wall(i64::MAX) };
        assert_eq!(anchor.wall(Mono::NEVER), Wall(i64::MAX));
    }
}
