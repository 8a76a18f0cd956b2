//! What was found, times and spans in words.

use super::outages::Together;
use super::run::Run;
use super::stretches::{BEFORE, Before, Episodes, Of, Shift, threshold};
use crate::clock::Wall;
use crate::text::compared::significant;
use crate::text::format::{Brief, Unit, count};
use crate::text::timestamp::rfc3339;

/// Levels and loss rates that moved, a sentence each.
pub fn shifts(run: &Run, unit: Unit) -> Vec<String> {
    let sentence = |shift: &Shift| {
        let &Shift { of, at, packet, from, to, chance } = shift;
        let way = if to > from { "rose" } else { "fell" };
        let moved = match of {
            Of::Loss => {
                format!("loss {way} from {} to {} %", significant(from), significant(to))
            }
            Of::Level => {
                let percent = 100.0 * (to - from).abs() / from.max(1.0);
                let (from, to) = (unit.number(from), unit.number(to));
                let percent = significant(percent);
                format!("the level {way} from {from} to {to} {} ({percent} %)", unit.name())
            }
        };
        let chance = match chance {
            0.0..0.001 => "p < 0.001".to_owned(),
            chance => format!("p = {chance:.3}"),
        };
        format!("{moved} at {}, packet {packet} ({chance})", time_to_the_second(at))
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
    let apart = match together.apart {
        0 => String::new(),
        apart => format!(", within {}", span(apart)),
    };
    format!("outages together: {} from {}{apart}", labels.join(" and "), time(together.at))
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
