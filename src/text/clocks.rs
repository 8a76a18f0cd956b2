//! What packets tell of two clocks that nobody has set to each other, and of both ways
//! between them: the same of a run, of its file and of captures.

use super::format::{Unit, count, duration};
use super::object::Object;
use super::series::{micros, percentiles_of};
use crate::stats::Summary;
use crate::stats::clocks::Clocks;

/// By how many nanoseconds TAI, which PTP counts, has been ahead of UTC since 2017.
const TAI: u64 = 37_000_000_000;
/// A clock that is so far off is off for that reason, or nearly.
const NEARLY: u64 = 100_000_000;

/// How the first clock stands to the other: by how many nanoseconds it is ahead, the
/// bound of that, and by how many millionths it runs faster, with what that may be off.
pub fn clocks_apart(
    [one, other]: [&str; 2],
    offset: i64,
    bound: i64,
    drift_ppm: Option<(f64, f64)>,
) -> String {
    let mut text = format!(
        "{one} clock is {} {} {other}, within {} (half of the smallest round trip, and the \
         drift's own error)",
        duration(offset.unsigned_abs()),
        if offset < 0 { "behind" } else { "ahead of" },
        duration(bound.unsigned_abs()),
    );
    if let Some((drift, error)) = drift_ppm {
        let word = if drift < 0.0 { "slower" } else { "faster" };
        put!(text, " and runs {:.1} ppm {word}, within {:.1}", drift.abs(), error.max(0.1));
    }
    text
}

/// What one way took beyond its fastest packet: all that is known of it between clocks
/// that nobody has set to each other.
#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
pub fn above_smallest(name: &str, above: &Summary, jitter: Option<f64>) -> String {
    let Some(max) = above.max() else { return String::new() };
    let unit = Unit::for_largest(max);
    let percentile = |percent| above.percentile(percent).map(|nanos| nanos as f64);
    let figures = [percentile(50.0), percentile(99.0), Some(max as f64), jitter];
    format!(
        "{name} above its smallest p50/p99/max/jitter = {} {}\n",
        unit.numbers(&figures),
        unit.name()
    )
}

/// How the clocks stand to each other, by the packets alone.
pub fn estimate(clocks: &Clocks) -> Option<String> {
    let (offset, bound) = clocks.offset()?;
    let drift = clocks.line.and_then(|line| line.drift_ppm());
    let mut text = clocks_apart(["the reflector's", "this host's"], offset, bound, drift);
    if offset.unsigned_abs().abs_diff(TAI) < NEARLY {
        text += "; 37 s are between UTC and TAI";
    }
    if clocks.breaks > 0 {
        put!(text, "; one of them was set {}", count(clocks.breaks, "time"));
    }
    Some(text)
}

/// Lines on both ways of packets whose clocks nobody knows more of.
pub fn ways(clocks: &Clocks) -> Vec<String> {
    let Some(told) = estimate(clocks) else { return Vec::new() };
    let [out, back] = &clocks.above;
    let lines = [above_smallest("outbound", out, None), above_smallest("inbound", back, None)];
    lines.iter().map(|line| line.trim_end().to_owned()).chain([told]).collect()
}

/// The same as JSON.
#[allow(clippy::cast_precision_loss, reason = "exact to 15 digits")]
pub fn ways_object(object: Object, clocks: &Clocks) -> Object {
    let [out, back] = &clocks.above;
    let offset = clocks.offset();
    let drift = clocks.line.and_then(|line| line.drift_ppm());
    let object = object
        .object("outbound_above_smallest_us", percentiles_of(out))
        .object("inbound_above_smallest_us", percentiles_of(back));
    let object = micros(object, "offset_us", offset.map(|(offset, _)| offset as f64));
    micros(object, "offset_bound_us", offset.map(|(_, bound)| bound as f64))
        .number("drift_ppm", drift.map(|(drift, _)| drift), 2)
        .number("drift_bound_ppm", drift.map(|(_, error)| error), 2)
        .whole("clock_set", clocks.breaks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_told_with_their_bounds() {
        let told = clocks_apart(["its", "ours"], -3_000_150_000, 152_000, Some((-50.04, 0.01)));
        assert_eq!(
            told,
            "its clock is 3000.150 ms behind ours, within 152.0 us (half of the smallest round \
             trip, and the drift's own error) and runs 50.0 ppm slower, within 0.1"
        );
        assert!(!clocks_apart(["its", "ours"], 5, 1, None).contains("ppm"));
    }
}
