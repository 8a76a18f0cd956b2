//! Times of day as text: UTC, RFC 3339, microseconds.

use time::OffsetDateTime;

use super::format::Brief;
use super::row::eight_digits;
use crate::clock::Wall;

/// `2026-11-20T19:20:01.123456Z`.
pub const LENGTH: usize = 27;
/// What stands before the fraction: all that changes once a second.
const PREFIX: usize = 20;

/// Digits of a time in nanoseconds since 1970, from 2001 to 2286.
const DIGITS: usize = 19;
/// How many of them are its seconds.
const SECONDS: usize = 10;

/// Formats times of day. Successive ones mostly lie in the same second, so
/// what changes once a second is kept: 20 ns a stamp instead of 360.
#[derive(Debug)]
pub struct Stamper {
    second: i64,
    text: [u8; LENGTH],
    nanos: [u8; DIGITS],
}

impl Stamper {
    /// A formatter with nothing kept yet.
    pub fn new() -> Self {
        let text = *b"1970-01-01T00:00:00.000000Z";
        let mut stamper = Self { second: 0, text, nanos: [b'0'; DIGITS] };
        stamper.set_second(0);
        stamper
    }

    /// The text of the time set last, in ASCII.
    #[inline]
    pub fn text(&self) -> &[u8; LENGTH] {
        &self.text
    }

    /// The nanoseconds from 1970 to the time set last, if they have 19 digits.
    #[inline]
    pub fn nanos(&self) -> Option<&[u8; DIGITS]> {
        (1_000_000_000..10_000_000_000).contains(&self.second).then_some(&self.nanos)
    }

    /// Formats `wall`.
    pub fn set(&mut self, wall: Wall) {
        let second = wall.0.div_euclid(1_000_000_000);
        if second != self.second {
            self.set_second(second);
        }
        let fraction = u32::try_from(wall.0 - second * 1_000_000_000).unwrap_or(0);
        let digits = eight_digits(fraction / 10);
        self.text[PREFIX..PREFIX + 6].copy_from_slice(&digits[..6]);
        self.nanos[SECONDS..DIGITS - 1].copy_from_slice(&digits);
        self.nanos[DIGITS - 1] = eight_digits(fraction)[7];
    }

    /// The text of `wall`, valid until the next call.
    pub fn stamp(&mut self, wall: Wall) -> &str {
        self.set(wall);
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    fn set_second(&mut self, second: i64) {
        let date =
            OffsetDateTime::from_unix_timestamp(second).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        self.second = second;
        digits(&mut self.text[0..4], i64::from(date.year()));
        digits(&mut self.text[5..7], i64::from(u8::from(date.month())));
        digits(&mut self.text[8..10], i64::from(date.day()));
        digits(&mut self.text[11..13], i64::from(date.hour()));
        digits(&mut self.text[14..16], i64::from(date.minute()));
        digits(&mut self.text[17..19], i64::from(date.second()));
        digits(&mut self.nanos[..SECONDS], second);
    }
}

impl Default for Stamper {
    fn default() -> Self {
        Self::new()
    }
}

/// Fills `text` with the last digits of `value`.
fn digits(text: &mut [u8], mut value: i64) {
    for place in text.iter_mut().rev() {
        *place = b'0' + u8::try_from(value.rem_euclid(10)).unwrap_or(0);
        value /= 10;
    }
}

/// One time of day, for where speed does not matter.
pub fn rfc3339(wall: Wall) -> Brief {
    Stamper::new().stamp(wall).into()
}

/// `20261120_192001`, as the files' names hold it.
pub fn file_stamp(wall: Wall) -> String {
    rfc3339(wall)[..PREFIX - 1].replace(['-', ':'], "").replace('T', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn microseconds_keep_their_trailing_zeros() {
        assert_eq!(rfc3339(Wall(1_795_202_401_120_000_999)), "2026-11-20T19:20:01.120000Z");
        assert_eq!(file_stamp(Wall(1_795_202_401_120_000_999)), "20261120_192001");
    }

    #[test]
    fn nanoseconds_are_given_where_they_have_nineteen_digits() {
        let mut stamper = Stamper::new();
        for nanos in [1_795_202_401_120_000_999, 1_795_202_402_000_000_010, i64::MAX] {
            stamper.set(Wall(nanos));
            let digits = stamper.nanos().map(|digits| digits.to_vec());
            assert_eq!(digits, Some(nanos.to_string().into_bytes()));
        }
        for nanos in [999_999_999_999_999_999, -1] {
            stamper.set(Wall(nanos));
            assert_eq!(stamper.nanos(), None);
        }
    }

    #[test]
    fn a_kept_second_is_renewed_when_it_passes() {
        let mut stamper = Stamper::new();
        assert_eq!(stamper.stamp(Wall(999_999_999)), "1970-01-01T00:00:00.999999Z");
        assert_eq!(stamper.stamp(Wall(1_000_000_000)), "1970-01-01T00:00:01.000000Z");
        assert_eq!(stamper.stamp(Wall(951_782_400_000_001_000)), "2000-02-29T00:00:00.000001Z");
        assert_eq!(stamper.stamp(Wall(-1_000)), "1969-12-31T23:59:59.999999Z");
    }
}
