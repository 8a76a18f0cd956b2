//! Differences, times and spans in words.

use super::compare::{Difference, Estimate, FEWEST_MEDIAN, FEWEST_P99};
use super::run::Run;
use crate::clock::Wall;
use crate::text::timestamp::rfc3339;

/// `B is 312 us slower at the median (95 %: 305 to 320)`, and the same for the
/// p99.
pub fn sentences(difference: &Difference, runs: &[Run]) -> [String; 2] {
    let (base, other) = (&runs[difference.base].label, &runs[difference.other].label);
    [
        sentence(base, other, "median", difference.median, FEWEST_MEDIAN),
        sentence(base, other, "p99", difference.p99, FEWEST_P99),
    ]
}

fn sentence(
    base: &str,
    other: &str,
    place: &str,
    estimate: Option<Estimate>,
    fewest: usize,
) -> String {
    let Some(Estimate { nanos, low, high }) = estimate else {
        return format!("{other}: too few replies to compare at the {place} ({fewest} needed)");
    };
    let faster = nanos < 0;
    let way = if faster { "faster" } else { "slower" };
    let (low, high) = if faster { (-high, -low) } else { (low, high) };
    let largest = low.unsigned_abs().max(high.unsigned_abs());
    let (unit, divisor, decimals) = scale(largest);
    #[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
    let number = |nanos: i64| {
        let text = format!("{:.decimals$}", nanos as f64 / divisor);
        if text.trim_start_matches('-').bytes().all(|byte| b"0.".contains(&byte)) {
            "0".to_owned()
        } else {
            text
        }
    };
    let size = number(nanos.abs());
    let interval = format!("(95 %: {} to {})", number(low), number(high));
    if estimate.is_some_and(|estimate| estimate.within_noise()) {
        format!(
            "{other} and {base} do not differ beyond noise at the {place}: \
             {size} {unit} {way} {interval}"
        )
    } else {
        format!("{other} is {size} {unit} {way} at the {place} {interval}")
    }
}

/// A unit, its nanoseconds, and decimals for three digits or four.
fn scale(nanos: u64) -> (&'static str, f64, usize) {
    match nanos {
        0..1_000 => ("us", 1e3, 3),
        1_000..10_000 => ("us", 1e3, 2),
        10_000..100_000 => ("us", 1e3, 1),
        100_000..10_000_000 => ("us", 1e3, 0),
        10_000_000..100_000_000 => ("ms", 1e6, 2),
        100_000_000..1_000_000_000 => ("ms", 1e6, 1),
        _ => ("s", 1e9, 3),
    }
}

/// A span of time as short as three or four digits tell it.
#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
pub fn span(nanos: u64) -> String {
    const MINUTE: u64 = 60_000_000_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = nanos as f64 / 1e9;
    match nanos {
        0..10_000_000 => {
            let (unit, divisor, decimals) = scale(nanos);
            format!("{:.decimals$} {unit}", nanos as f64 / divisor)
        }
        10_000_000..1_000_000_000 => format!("{:.0} ms", seconds * 1e3),
        1_000_000_000..MINUTE => format!("{seconds:.2} s"),
        MINUTE..HOUR => format!("{:.1} min", seconds / 60.0),
        HOUR..DAY => format!("{:.1} h", seconds / 3600.0),
        DAY.. => format!("{:.1} days", seconds / 86_400.0),
    }
}

/// A time of day, from nanoseconds since 1970.
pub fn time(nanos: u64) -> String {
    rfc3339(Wall(i64::try_from(nanos).unwrap_or(i64::MAX)))
}

/// The same to the second.
pub fn time_to_the_second(nanos: u64) -> String {
    format!("{}Z", &time(nanos)[..19])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(nanos: i64, low: i64, high: i64) -> String {
        sentence("A", "B", "median", Some(Estimate { nanos, low, high }), 20)
    }

    #[test]
    fn a_difference_is_a_plain_sentence() {
        assert_eq!(
            say(312_000, 305_000, 320_000),
            "B is 312 us slower at the median (95 %: 305 to 320)"
        );
        assert_eq!(
            say(-1_500, -2_000, -1_000),
            "B is 1.50 us faster at the median (95 %: 1.00 to 2.00)"
        );
        assert_eq!(
            say(25_000_000, 20_000_000, 30_500_000),
            "B is 25.00 ms slower at the median (95 %: 20.00 to 30.50)"
        );
        assert_eq!(
            say(-300, -2_100, 1_000),
            "B and A do not differ beyond noise at the median: 0.30 us faster (95 %: -1.00 to 2.10)"
        );
        assert!(say(0, 0, 0).ends_with("median: 0 us slower (95 %: 0 to 0)"));
        let few = sentence("A", "B", "p99", None, 500);
        assert_eq!(few, "B: too few replies to compare at the p99 (500 needed)");
    }

    #[test]
    fn spans_are_short() {
        for (nanos, text) in [
            (1_024, "1.02 us"),
            (16_777_216, "17 ms"),
            (1_073_741_824, "1.07 s"),
            (99_001_000_000, "1.7 min"),
            (7_200_000_000_000, "2.0 h"),
            (172_800_000_000_000, "2.0 days"),
        ] {
            assert_eq!(span(nanos), text);
        }
    }
}
