//! How two series differ, in words and as JSON: the same of a run that has just ended
//! and of files that it left.

use super::format::Unit;
use super::object::Object;
use crate::stats::paired::{Compared, Estimate, WhyNot};

/// Decimals of microseconds.
const MICROS: usize = 3;

/// `B is 312.0 us (0.31 %) slower at the median (95 %: 305.0 to 320.0)`, and the same
/// for the p99.
/// In the table's unit, where there is a table.
pub fn sentences(names: [&str; 2], compared: &Compared, unit: Option<Unit>) -> [String; 2] {
    [("median", compared.median), ("p99", compared.p99)]
        .map(|(place, estimate)| sentence(names, place, estimate, compared.paired.is_some(), unit))
}

/// How the comparison was made, where that is more than the percentiles of each.
pub fn how(compared: &Compared) -> Option<String> {
    let (rounds, faster) = compared.paired?;
    Some(format!(
        "compared round by round, as both measured at the same time: {rounds} rounds, the second \
         faster in {:.0} % of them",
        100.0 * faster
    ))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "nanoseconds, rounded for people"
)]
fn sentence(
    [base, other]: [&str; 2],
    place: &str,
    estimate: Option<Estimate>,
    paired: bool,
    unit: Option<Unit>,
) -> String {
    let Some(Estimate { nanos, interval, percent }) = estimate else {
        return format!("{other} and {base}: no replies to compare at the {place}");
    };
    let faster = nanos < 0.0;
    let way = if faster { "faster" } else { "slower" };
    let percent =
        percent.map_or(String::new(), |percent| format!(" ({} %)", significant(percent.abs())));
    let largest = interval.map_or(0.0, |(low, high)| low.abs().max(high.abs())).max(nanos.abs());
    let unit = unit.unwrap_or_else(|| Unit::for_largest(largest as u64));
    let size = format!("{} {}{percent} {way}", unit.number(nanos.abs()), unit.name());
    match interval {
        Err(WhyNot::TooFew(fewest)) => {
            format!("{other}: too few replies to compare at the {place} ({fewest} needed)")
        }
        Err(WhyNot::Wanders) => {
            let why = if paired {
                "their difference wanders too slowly for one"
            } else {
                "these runs wander too slowly for one; measure both at once with --against"
            };
            format!("{other} is {size} at the {place}, without an interval: {why}")
        }
        Ok((low, high)) => {
            let (from, to) = if faster { (-high, -low) } else { (low, high) };
            let interval = format!("(95 %: {} to {})", unit.number(from), unit.number(to));
            if low <= 0.0 && high >= 0.0 {
                format!(
                    "{other} and {base} do not differ beyond noise at the {place}: {size} {interval}"
                )
            } else {
                format!("{other} is {size} at the {place} {interval}")
            }
        }
    }
}

/// Two digits or three.
pub fn significant(value: f64) -> String {
    match value {
        0.0..1.0 => format!("{value:.2}"),
        1.0..10.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// The contract's object of a comparison, in microseconds.
pub fn object(base: &str, other: &str, compared: &Compared) -> Object {
    let clear = compared.median.is_some_and(|median| median.is_clear());
    let why_not = match compared.median.map(|median| median.interval) {
        None => Some("no replies"),
        Some(Err(WhyNot::TooFew(_))) => Some("too few replies"),
        Some(Err(WhyNot::Wanders)) => Some("these runs wander too slowly for an interval"),
        Some(Ok(_)) => (!clear).then_some("the difference may be chance"),
    };
    let object = Object::new()
        .text("base", base)
        .text("other", other)
        .boolean("paired", compared.paired.is_some())
        .whole("rounds", compared.paired.map(|(rounds, _)| rounds));
    let names = ["median_difference_us", "low_us", "high_us"];
    let object = bounded(object, names, compared.median)
        .number("percent", compared.median.and_then(|median| median.percent), 3)
        .number("faster_share", compared.paired.map(|(_, faster)| faster), 4);
    let names = ["p99_difference_us", "p99_low_us", "p99_high_us"];
    bounded(object, names, compared.p99).boolean("conclusive", clear).text("why_not", why_not)
}

/// A difference and the ends of its interval under these names.
pub fn bounded(object: Object, names: [&str; 3], estimate: Option<Estimate>) -> Object {
    let interval = estimate.and_then(|estimate| estimate.interval.ok());
    object
        .number(names[0], estimate.map(|estimate| estimate.nanos / 1e3), MICROS)
        .number(names[1], interval.map(|(low, _)| low / 1e3), MICROS)
        .number(names[2], interval.map(|(_, high)| high / 1e3), MICROS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(nanos: f64, interval: Result<(f64, f64), WhyNot>) -> String {
        let estimate = Estimate { nanos, interval, percent: Some(nanos / 1e6) };
        sentence(["A", "B"], "median", Some(estimate), false, None)
    }

    #[test]
    fn a_difference_is_a_plain_sentence() {
        assert_eq!(
            say(312_000.0, Ok((305_000.0, 320_000.0))),
            "B is 312.0 us (0.31 %) slower at the median (95 %: 305.0 to 320.0)"
        );
        assert_eq!(
            say(-1_500_000.0, Ok((-2_000_000.0, -1_000_000.0))),
            "B is 1500.0 us (1.5 %) faster at the median (95 %: 1000.0 to 2000.0)"
        );
        assert_eq!(
            say(-300.0, Ok((-2_100.0, 1_000.0))),
            "B and A do not differ beyond noise at the median: 0.3 us (0.00 %) faster \
             (95 %: -1.0 to 2.1)"
        );
        let few = say(1.0, Err(WhyNot::TooFew(500)));
        assert_eq!(few, "B: too few replies to compare at the median (500 needed)");
        assert!(say(1e4, Err(WhyNot::Wanders)).ends_with("measure both at once with --against"));
    }
}
