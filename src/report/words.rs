//! Differences, times and spans in words.

use super::compare::{Difference, Estimate, WhyNot};
use super::facts;
use super::outages::Together;
use super::run::Run;
use super::stretches::{BEFORE, Before, Episodes, Shift, threshold};
use crate::clock::Wall;
use crate::text::format::{Brief, Unit, count};
use crate::text::timestamp::rfc3339;

/// `B is 312.0 us (0.3 %) slower at the median (95 %: 305.0 to 320.0)`, and the same
/// for the p99.
pub fn sentences(difference: &Difference, runs: &[Run]) -> [String; 2] {
    let (base, other) = (&runs[difference.base].label, &runs[difference.other].label);
    let unit = facts::unit(runs);
    [
        sentence(base, other, "median", difference.median, unit),
        sentence(base, other, "p99", difference.p99, unit),
    ]
}

/// How the comparison was made, where that is more than the percentiles of each.
pub fn how(difference: &Difference) -> Option<String> {
    let (rounds, faster) = difference.paired?;
    Some(format!(
        "compared round by round, as both measured at the same time: {rounds} rounds, the second \
         faster in {:.0} % of them",
        100.0 * faster
    ))
}

fn sentence(
    base: &str,
    other: &str,
    place: &str,
    estimate: Option<Estimate>,
    unit: Unit,
) -> String {
    let Some(Estimate { nanos, interval, percent }) = estimate else {
        return format!("{other} and {base}: no replies to compare at the {place}");
    };
    let faster = nanos < 0.0;
    let way = if faster { "faster" } else { "slower" };
    let percent =
        percent.map_or(String::new(), |percent| format!(" ({} %)", significant(percent.abs())));
    let size = format!("{} {}{percent} {way}", unit.number(nanos.abs()), unit.name());
    match interval {
        Err(WhyNot::TooFew(fewest)) => {
            format!("{other}: too few replies to compare at the {place} ({fewest} needed)")
        }
        Err(WhyNot::Wanders) => format!(
            "{other} is {size} at the {place}, without an interval: these runs wander too slowly \
             for one; measure both at once with --against"
        ),
        Ok((low, high)) => {
            let (low, high) = if faster { (-high, -low) } else { (low, high) };
            let interval = format!("(95 %: {} to {})", unit.number(low), unit.number(high));
            if estimate.is_some_and(|estimate| estimate.within_noise()) {
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
fn significant(value: f64) -> Brief {
    match value {
        0.0..1.0 => brief!("{value:.2}"),
        1.0..10.0 => brief!("{value:.1}"),
        _ => brief!("{value:.0}"),
    }
}

/// Levels that moved, a sentence each.
pub fn shifts(run: &Run, unit: Unit) -> Vec<String> {
    let sentence = |shift: &Shift| {
        let way = if shift.to > shift.from { "rose" } else { "fell" };
        let percent = if shift.from > 0.0 {
            format!(" ({} %)", significant(100.0 * (shift.to - shift.from).abs() / shift.from))
        } else {
            String::new()
        };
        format!(
            "the level {way} from {} to {} {}{percent} at {}, packet {}",
            unit.number(shift.from),
            unit.number(shift.to),
            unit.name(),
            time_to_the_second(shift.at),
            shift.packet
        )
    };
    run.figures.shifts.iter().map(sentence).collect()
}

/// What was unusual before outages, a sentence each.
#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
pub fn before_outages(run: &Run, unit: Unit) -> Vec<String> {
    let sentence = |before: &Before| {
        let way = if before.median < before.usual { "lower" } else { "higher" };
        format!(
            "before the outage at {} the level had changed: the median of the last {BEFORE} packets \
             was {} {}, {} {way} than usual and beyond that of every {BEFORE} before them",
            time(before.outage),
            unit.number(before.median as f64),
            unit.name(),
            unit.number(before.median.abs_diff(before.usual) as f64),
        )
    };
    run.figures.before.found().iter().map(sentence).collect()
}

/// Slow packets in a row, and lone ones.
pub fn episodes(run: &Run) -> Option<String> {
    let episodes = run.figures.episodes?;
    let slow = span(threshold(run.figures.percentile(50.0)?));
    if episodes == Episodes::default() {
        return None;
    }
    let lone = count(episodes.lone, "lone spike");
    if episodes.count == 0 {
        return Some(format!("slow (above {slow}): {lone}, no two in a row"));
    }
    #[allow(clippy::cast_precision_loss, reason = "a share for people")]
    let share = 100.0 * episodes.nanos as f64 / run.figures.nanos().max(1) as f64;
    Some(format!(
        "slow (above {slow}): {} of packets in a row, the longest {} in {}, {} % of the time; {lone}",
        count(episodes.count, "episode"),
        count(episodes.longest_packets, "packet"),
        span(episodes.longest),
        significant(share.min(100.0)),
    ))
}

/// What happened to several runs at about the same time.
pub fn together(together: &Together, runs: &[Run]) -> String {
    let labels: Vec<&str> = together.runs.iter().map(|run| runs[*run].label.as_str()).collect();
    format!(
        "outages together: {} from {}, within {}",
        labels.join(" and "),
        time(together.at),
        span(together.apart)
    )
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
pub fn span(nanos: u64) -> Brief {
    const MINUTE: u64 = 60_000_000_000;
    const HOUR: u64 = 60 * MINUTE;
    const DAY: u64 = 24 * HOUR;
    let seconds = nanos as f64 / 1e9;
    match nanos {
        0..10_000_000 => {
            let (unit, divisor, decimals) = scale(nanos);
            brief!("{:.decimals$} {unit}", nanos as f64 / divisor)
        }
        10_000_000..1_000_000_000 => brief!("{:.0} ms", seconds * 1e3),
        1_000_000_000..MINUTE => brief!("{seconds:.2} s"),
        MINUTE..HOUR => brief!("{:.1} min", seconds / 60.0),
        HOUR..DAY => brief!("{:.1} h", seconds / 3600.0),
        DAY.. => brief!("{:.1} days", seconds / 86_400.0),
    }
}

/// A time of day, from nanoseconds since 1970.
pub fn time(nanos: u64) -> Brief {
    rfc3339(Wall(i64::try_from(nanos).unwrap_or(i64::MAX)))
}

/// The same to the second.
pub fn time_to_the_second(nanos: u64) -> Brief {
    brief!("{}Z", &time(nanos)[..19])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(nanos: f64, interval: Result<(f64, f64), WhyNot>) -> String {
        let estimate = Estimate { nanos, interval, percent: Some(nanos / 1e6) };
        sentence("A", "B", "median", Some(estimate), Unit::for_largest(900_000))
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
