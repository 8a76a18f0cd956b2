//! Searching and reading bytes eight at a time, as one number.

/// 1 in each byte.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The highest bit of each byte.
const HIGHS: u64 = ONES << 7;

/// The highest bit of each byte of `word` that is `byte`.
#[inline]
fn matches(word: u64, byte: u8) -> u64 {
    let differing = word ^ (ONES * u64::from(byte));
    // No carry leaves a byte: 0x7f + 0x7f is below 0x100.
    let low = (differing & !HIGHS) + !HIGHS;
    !(low | differing) & HIGHS
}

/// The first place of a byte.
#[inline]
pub fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    let (words, rest) = bytes.as_chunks();
    for (place, word) in words.iter().enumerate() {
        let found = matches(u64::from_le_bytes(*word), wanted);
        if found != 0 {
            return Some(8 * place + found.trailing_zeros() as usize / 8);
        }
    }
    let place = rest.iter().position(|&byte| byte == wanted)?;
    Some(8 * words.len() + place)
}

/// Calls with each place of a byte, in order.
#[inline]
pub fn each(bytes: &[u8], wanted: u8, mut at: impl FnMut(usize)) {
    let (words, rest) = bytes.as_chunks();
    for (place, word) in words.iter().enumerate() {
        let mut found = matches(u64::from_le_bytes(*word), wanted);
        while found != 0 {
            at(8 * place + found.trailing_zeros() as usize / 8);
            found &= found - 1;
        }
    }
    for (place, &byte) in rest.iter().enumerate() {
        if byte == wanted {
            at(8 * words.len() + place);
        }
    }
}

/// Eight digits as a number.
#[inline]
fn eight_digits(word: u64) -> Option<u64> {
    let digits = word ^ (ONES * u64::from(b'0'));
    // Above nine: a high half, or one that 6 more brings there. With all high
    // halves empty no carry leaves a byte.
    if digits & (ONES * 0xf0) != 0 || (digits + ONES * 6) & (ONES * 0xf0) != 0 {
        return None;
    }
    // Neighbours are joined: digits to pairs, to fours, to all eight.
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

/// At most 19 digits, which surely fit, as a number.
#[inline]
pub fn digits(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    let (first, words) = text.as_rchunks();
    let mut value = 0;
    for byte in first {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u64::from(digit);
    }
    for word in words {
        value = value * 100_000_000 + eight_digits(u64::from_le_bytes(*word))?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn digits_are_read_as_the_standard_library_reads_them(value in 0..10_u64.pow(18)) {
            prop_assert_eq!(digits(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn whatever_is_no_digit_is_refused(
            text in prop::collection::vec(any::<u8>(), 1..20),
        ) {
            let expected = text.iter().all(u8::is_ascii_digit);
            prop_assert_eq!(digits(&text).is_some(), expected);
        }

        #[test]
        fn places_are_found_as_one_by_one(
            text in prop::collection::vec(prop::sample::select(vec![0, 43, 44, 45, 172]), 0..40),
        ) {
            let expected: Vec<usize> = (0..text.len()).filter(|&at| text[at] == 44).collect();
            let mut found = Vec::new();
            each(&text, 44, |at| found.push(at));
            prop_assert_eq!(find(&text, 44), expected.first().copied());
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_stranger_at_any_place_is_refused() {
        for place in 0..17 {
            for stranger in [b'/', b':', b' ', b'.', 0, 0xff, 0xb0] {
                let mut text = *b"12345678901234567";
                text[place] = stranger;
                assert_eq!(digits(&text), None, "{place} {stranger}");
            }
        }
        assert_eq!(digits(b"9999999999999999999"), Some(9_999_999_999_999_999_999));
        assert_eq!(digits(b""), None);
    }
}
