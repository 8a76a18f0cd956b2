//! NTP time stamps (RFC 5905, section 6), PTP ones as STAMP may carry them
//! (RFC 8762, section 4.2.1), and OWAMP's error estimate (RFC 4656, section
//! 4.1.2).

use std::time::Duration;

/// Seconds from 1900 to 1970.
const EPOCHS_APART: i64 = 2_208_988_800;
/// The era of 32 bits of seconds that began in 1900 ends in 2036. Seconds below
/// this bit are taken for the next one (RFC 4330, section 3).
const ERA_BIT: i64 = 1 << 31;
const ERA: i64 = 1 << 32;
const NANOS: i64 = 1_000_000_000;

/// A time of day: seconds since 1900 in the upper 32 bits, and their fraction
/// in units of 2^-32 s in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// From nanoseconds since 1970.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "seconds wrap at the era's end; the fraction is below 2^32"
    )]
    pub fn from_unix_nanos(nanos: i64) -> Self {
        let seconds = nanos.div_euclid(NANOS).saturating_add(EPOCHS_APART) as u32;
        // Rounded up, so that reading it gives the same nanosecond again.
        let rest = (nanos.rem_euclid(NANOS) as u64) << 32;
        let fraction = rest.div_ceil(NANOS as u64) as u32;
        Self(u64::from(seconds) << 32 | u64::from(fraction))
    }

    /// Nanoseconds since 1970.
    #[allow(
        clippy::cast_possible_wrap,
        clippy::arithmetic_side_effects,
        reason = "32 bits each; products below 2^62"
    )]
    pub fn to_unix_nanos(self) -> i64 {
        let seconds = (self.0 >> 32) as i64;
        let seconds = if seconds < ERA_BIT { seconds + ERA } else { seconds };
        let fraction = (self.0 & 0xffff_ffff) as i64;
        (seconds - EPOCHS_APART) * NANOS + ((fraction * NANOS) >> 32)
    }

    /// Nanoseconds since 1970 where the stamp is one of PTP: seconds since then
    /// and nanoseconds.
    #[allow(
        clippy::cast_possible_wrap,
        clippy::arithmetic_side_effects,
        reason = "32 bits each; products below 2^62"
    )]
    pub fn ptp_to_unix_nanos(self) -> i64 {
        (self.0 >> 32) as i64 * NANOS + (self.0 & 0xffff_ffff) as i64
    }
}

/// How far a clock may be off, as its host says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorEstimate(pub u16);

impl ErrorEstimate {
    const SYNCHRONISED: u16 = 1 << 15;
    const PTP: u16 = 1 << 14;
    const SCALE_BITS: u32 = 6;

    /// An estimate of `error` (rounded up), of a clock that is synchronised to
    /// UTC or not.
    pub fn new(synchronised: bool, error: Duration) -> Self {
        // error = multiplier * 2^(scale - 32) s, the multiplier from 1 to 255.
        let nanos = u64::try_from(error.as_nanos()).unwrap_or(u64::MAX);
        let units = u128::from(nanos) << 32;
        let mut multiplier = units.div_ceil(1_000_000_000).max(1);
        let mut scale = 0_u16;
        while multiplier > 255 && scale < (1 << Self::SCALE_BITS) - 1 {
            multiplier = multiplier.div_ceil(2);
            scale = scale.saturating_add(1);
        }
        let flag = if synchronised { Self::SYNCHRONISED } else { 0 };
        Self(flag | scale << 8 | u16::try_from(multiplier.min(255)).unwrap_or(255))
    }

    /// Whether the clock is synchronised to UTC.
    pub fn synchronised(self) -> bool {
        self.0 & Self::SYNCHRONISED != 0
    }

    /// Whether the time stamps beside it are PTP's.
    pub fn is_ptp(self) -> bool {
        self.0 & Self::PTP != 0
    }

    /// The error; a multiplier of zero, which must not be, is no error.
    pub fn error(self) -> Duration {
        let scale = u32::from(self.0 >> 8) & ((1 << Self::SCALE_BITS) - 1);
        let units = u128::from(self.0 & 0xff) << scale;
        let nanos = units.saturating_mul(1_000_000_000) >> 32;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_moments() {
        assert_eq!(Timestamp::from_unix_nanos(0).0, 2_208_988_800 << 32);
        assert_eq!(Timestamp::from_unix_nanos(500_000_000).0, 2_208_988_800 << 32 | 1 << 31);
        // The last second of the first era, and the first of the next.
        assert_eq!(Timestamp(u64::MAX).to_unix_nanos(), 2_085_978_495_999_999_999);
        assert_eq!(Timestamp(0).to_unix_nanos(), 2_085_978_496_000_000_000);
        assert_eq!(Timestamp(5 << 32 | 7).ptp_to_unix_nanos(), 5_000_000_007);
    }

    #[test]
    fn estimates_are_never_below_what_they_stand_for() {
        assert_eq!(ErrorEstimate::new(false, Duration::ZERO).0, 1);
        let second = ErrorEstimate::new(true, Duration::from_secs(1));
        assert_eq!(second.error(), Duration::from_secs(1));
        assert!(second.synchronised() && !second.is_ptp());
        assert_eq!(ErrorEstimate(0).error(), Duration::ZERO);
        assert!(ErrorEstimate(0x3fff).error() > Duration::from_hours(24 * 365));
    }

    proptest! {
        #[test]
        fn a_moment_survives_the_way_there_and_back(nanos in 0_i64..3_000_000_000_000_000_000) {
            prop_assert_eq!(Timestamp::from_unix_nanos(nanos).to_unix_nanos(), nanos);
        }

        #[test]
        fn any_bytes_are_some_moment(raw: u64, estimate: u16) {
            let _ = (Timestamp(raw).to_unix_nanos(), Timestamp(raw).ptp_to_unix_nanos());
            let _ = ErrorEstimate(estimate).error();
        }

        #[test]
        fn an_estimate_is_at_most_a_hundredth_above(nanos in 100_u64..100_000_000_000) {
            let error = Duration::from_nanos(nanos);
            let told = ErrorEstimate::new(false, error).error();
            prop_assert!(told + Duration::from_nanos(1) >= error, "{:?}", told);
            prop_assert!(told <= error + error / 50 + Duration::from_nanos(1), "{:?}", told);
        }
    }
}
