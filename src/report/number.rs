//! Numbers of a CSV as bytes, read without allocating.

use super::bytes::digits;
use crate::text::decimal::scaled;

/// Longest time that is taken for one: a hundred years in nanoseconds.
const LONGEST_NS: u64 = 3_200_000_000_000_000_000;

/// A whole number; `None` if the text is something else.
#[inline]
pub fn whole(text: &[u8]) -> Option<u64> {
    digits(text).or_else(|| {
        // Other writers' floating-point columns: `1795202401120000999.0`.
        let text = std::str::from_utf8(text).ok()?.trim();
        if let Some((before, after)) = text.split_once('.')
            && after.bytes().all(|byte| byte == b'0')
        {
            return digits(before.as_bytes());
        }
        // `1.7000000000001503e+18`: a column in which a value is missing.
        let float = || text.contains(['e', 'E']).then(|| scaled(text.as_bytes(), 0))?;
        text.parse().ok().or_else(float)
    })
}

/// Microseconds with any number of decimals, as nanoseconds.
#[inline]
pub fn micros(text: &[u8]) -> Option<u64> {
    // As this tool writes them: three decimals.
    if let Some((before, [b'.', after @ ..])) = text.split_at_checked(text.len().wrapping_sub(4))
        && let (Some(before), Some(after)) = (digits(before), digits(after))
        && before < u64::MAX / 2000
    {
        return Some(before * 1000 + after);
    }
    other_micros(text)
}

/// Any other way to write them, also `12`, `12.5`, `1.25e3`.
#[cold]
fn other_micros(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    scaled(text.as_bytes(), 3).filter(|nanos| *nanos < LONGEST_NS)
}

/// Whether a value stands for none: empty, or as other writers put it.
#[inline]
pub fn is_none(text: &[u8]) -> bool {
    text.is_empty() || is_word_for_none(text)
}

fn is_word_for_none(text: &[u8]) -> bool {
    !text[0].is_ascii_digit()
        && ["", "nan", "na", "null", "none"]
            .iter()
            .any(|word| text.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_also_as_floating_point_columns_hold_them() {
        assert_eq!(whole(b"0"), Some(0));
        assert_eq!(whole(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(whole(b"1795202401120000999.0"), Some(1_795_202_401_120_000_999));
        for bad in ["", "-1", "1.5", "x", "1 2", "18446744073709551616", "1:2", "1/2"] {
            assert_eq!(whole(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn microseconds_become_nanoseconds() {
        for (text, nanos) in [
            ("108.349", 108_349),
            ("0.001", 1),
            ("12", 12_000),
            ("12.5", 12_500),
            (" 7.25 ", 7_250),
            ("1.2345678", 1_235),
            ("1.25e3", 1_250_000),
        ] {
            assert_eq!(micros(text.as_bytes()), Some(nanos), "{text:?}");
        }
        for bad in ["", "-1.000", "x", "nan", "inf", "1e300", ".", "1.00x", "1.2.3"] {
            assert_eq!(micros(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn what_stands_for_none() {
        for text in ["", " ", "NaN", "null", "None", "NA"] {
            assert!(is_none(text.as_bytes()), "{text:?}");
        }
        assert!(!is_none(b"0") && !is_none(b"-"));
    }
}
