//! Decimal numbers from their digits, exactly and without floating point: `12`,
//! `12.5`, `1.25e3`.

/// The value of `text` in units of 10^-`places`, the last digit rounded half up.
/// `None` for anything but digits with at most one point and perhaps an exponent,
/// and for what does not fit.
pub fn scaled(text: &[u8], places: i32) -> Option<u64> {
    let (number, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (text.get(..at)?, exponent(text.get(at + 1..)?)?),
        None => (text, 0),
    };
    let mut value: u64 = 0;
    // Powers of ten that the value is to be multiplied by.
    let mut power = exponent.checked_add(places)?;
    let (mut digits, mut point) = (false, false);
    for byte in number {
        match byte {
            b'.' if !point => point = true,
            b'0'..=b'9' => {
                digits = true;
                if value < u64::MAX / 10 - 1 {
                    value = value * 10 + u64::from(byte - b'0');
                    power -= i32::from(point);
                } else {
                    // Beyond 18 digits nothing is told apart.
                    power += i32::from(!point);
                }
            }
            _ => return None,
        }
    }
    if !digits {
        return None;
    }
    while power > 0 && value > 0 {
        value = value.checked_mul(10)?;
        power -= 1;
    }
    if power < 0 {
        let divisor = 10_u64.checked_pow(power.unsigned_abs());
        value = divisor
            .map_or(0, |divisor| value / divisor + u64::from(value % divisor * 2 >= divisor));
    }
    Some(value)
}

fn exponent(text: &[u8]) -> Option<i32> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] | rest => (false, rest),
    };
    // No number of interest has an exponent of four digits.
    if digits.is_empty() || digits.len() > 3 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0, |value, digit| value * 10 + i32::from(digit - b'0'));
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_exact() {
        for (text, places, value) in [
            ("12", 3, 12_000),
            ("12.5", 3, 12_500),
            (".5", 9, 500_000_000),
            ("5.", 0, 5),
            ("1.2345678", 3, 1_235),
            ("0.0005", 3, 1),
            ("0.0004999", 3, 0),
            ("1.25e3", 3, 1_250_000),
            ("1.7000000000001503e+18", 0, 1_700_000_000_000_150_300),
            ("5e-324", 3, 0),
            ("0e999", 0, 0),
            ("1795202401120000999", 0, 1_795_202_401_120_000_999),
        ] {
            assert_eq!(scaled(text.as_bytes(), places), Some(value), "{text}");
        }
        for bad in
            ["", ".", "e5", "1e", "1e+", "1.2.3", "-1", "+1", "1 2", "nan", "1e300", "1e9999"]
        {
            assert_eq!(scaled(bad.as_bytes(), 0), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn they_agree_with_floating_point(value in 0.0..1e9_f64, places in 0..4_i32) {
            let exact = scaled(format!("{value}").as_bytes(), places).unwrap();
            let float = value * 10_f64.powi(places);
            #[allow(clippy::cast_precision_loss, reason = "below 2^53")]
            let difference = (exact as f64 - float).abs();
            prop_assert!(difference <= 0.5 + 1e-3, "{difference}");
        }

        #[test]
        fn any_bytes_are_read_or_refused(text: Vec<u8>, places in -20..20_i32) {
            let _ = scaled(&text, places);
        }
    }
}
