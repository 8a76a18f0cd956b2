//! Reading the clocks, and waiting to the microsecond.

use std::time::Duration;

use crate::clock::{Anchor, Mono, Wall};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

#[inline]
fn read(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec for the whole call, which writes
    // nothing else. It cannot fail for the two clocks asked for here.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    #[allow(clippy::unnecessary_cast, reason = "the fields' widths differ between targets")]
    let (seconds, nanos) = (time.tv_sec as i64, time.tv_nsec as i64);
    seconds * NANOS_PER_SECOND + nanos
}

/// Now, on `CLOCK_MONOTONIC`: about 23 ns through the vDSO.
#[inline]
pub fn now() -> Mono {
    Mono(read(libc::CLOCK_MONOTONIC).unsigned_abs())
}

/// Now, as a time of day.
pub fn wall() -> Wall {
    Wall(read(libc::CLOCK_REALTIME))
}

/// Both clocks at one moment: the narrowest of three readings, so that being
/// put aside by the scheduler between the two does not look like a clock step.
pub fn anchor() -> Anchor {
    (0..3)
        .map(|_| {
            let before = now();
            let wall = wall();
            let after = now();
            let width = after.0 - before.0;
            (width, Anchor { mono: Mono(before.0 + width / 2), wall })
        })
        .min_by_key(|(width, _)| *width)
        .map_or(Anchor { mono: Mono(0), wall: Wall(0) }, |(_, anchor)| anchor)
}

/// Sleeps until `until`, or until a signal arrives; tells the time afterwards.
pub fn sleep_until(until: Mono) -> Mono {
    let deadline = timespec(until);
    // SAFETY: `deadline` is a valid timespec; a null remainder is allowed for
    // an absolute sleep. An early return (EINTR) is part of the promise.
    unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &raw const deadline,
            std::ptr::null_mut(),
        )
    };
    now()
}

/// The error of a clock of which nothing is known: the kernel's own limit.
const UNKNOWN_ERROR: Duration = Duration::from_secs(16);

/// How far the wall clock can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trust {
    /// Whether a time service keeps it in step with UTC.
    pub synchronised: bool,
    /// How far it may be off at most, as far as the kernel knows.
    pub error: Duration,
}

/// What the kernel says of the wall clock (`adjtimex(2)`).
pub fn trust() -> Trust {
    // SAFETY: all of this structure's fields may be zero; modes of zero change
    // nothing.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `state` is valid for the whole call, which writes nothing else.
    let result = unsafe { libc::adjtimex(&raw mut state) };
    let synchronised = result != -1 && result != libc::TIME_ERROR;
    #[allow(clippy::unnecessary_cast, reason = "the field's width differs between targets")]
    let micros = (state.maxerror as i64).unsigned_abs();
    // What may not be asked for is as bad as the kernel ever says it is.
    let error = if result == -1 { UNKNOWN_ERROR } else { Duration::from_micros(micros) };
    Trust { synchronised, error }
}

/// A monotonic moment as the kernel takes it; "never" becomes centuries.
#[allow(clippy::cast_possible_wrap, reason = "both parts are below 2^63 by the division")]
pub(super) fn timespec(at: Mono) -> libc::timespec {
    libc::timespec {
        tv_sec: (at.0 / NANOS_PER_SECOND.unsigned_abs()) as _,
        tv_nsec: (at.0 % NANOS_PER_SECOND.unsigned_abs()) as _,
    }
}

/// Has the kernel end this thread's waits exactly when they are due. Its
/// default is to round them up by as much as 50 us to save wake-ups.
pub fn tighten_timers() {
    // SAFETY: PR_SET_TIMERSLACK takes one number and touches no memory; a
    // kernel without it answers with an error, and timers stay as they were.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1_usize, 0_usize, 0_usize, 0_usize) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_sleep_ends_at_its_deadline_and_not_before() {
        let until = now() + Duration::from_millis(5);
        assert!(sleep_until(until) >= until);
        assert!(sleep_until(Mono(0)) > until, "a past deadline returns at once");
    }

    #[test]
    fn an_anchor_agrees_with_both_clocks() {
        let anchor = anchor();
        assert!(anchor.moved(&super::anchor()).abs() < 10_000_000);
    }
}
