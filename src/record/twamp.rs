//! What a reflector adds to a run: columns of the CSV, lines of the summary, a
//! part of the JSON.

use std::time::Duration;

use super::csv::Extra;
use crate::clock::nanos;
use crate::probe::{Detail, Direction, Directions, Losses, Sample, Tally, TwampDetail};
use crate::stats::Few;
use crate::stats::clocks::Clocks;
use crate::text::clocks::{above_smallest, estimate, ways_object};
use crate::text::format::{Brief, Unit, duration, seconds};
use crate::text::object::Object;
use crate::text::row::Row;
use crate::text::series::{PERCENTILES, micros, percentiles_of};
use crate::wire::stamp::Answer;

/// TWAMP's columns of the CSV. The reflector's times are by its own clock.
pub struct TwampColumns;

impl Extra for TwampColumns {
    fn header(&self) -> Vec<&'static str> {
        vec![
            "reflector_receive_ns",
            "reflector_send_ns",
            "reflector_sequence",
            "ttl",
            "reply_ttl",
            "reply_dscp",
            "reply_ecn",
        ]
    }

    fn write(&self, row: &mut Row, sample: &Sample) {
        let detail = match &sample.detail {
            Detail::Twamp(detail) => Some(detail),
            _ => None,
        };
        let class = detail.and_then(|detail| detail.class);
        let columns = [
            class.map(|class| u64::from(class & ECN)),
            class.map(|class| u64::from(class >> 2)),
            detail.and_then(|detail| detail.reply_ttl).map(u64::from),
            detail.map(|detail| u64::from(detail.ttl)),
            detail.map(|detail| u64::from(detail.sequence)),
            detail.map(|detail| u64::try_from(detail.sent.0).unwrap_or(0)),
            detail.map(|detail| u64::try_from(detail.received.0).unwrap_or(0)),
        ];
        for value in columns {
            row.number(value);
            row.comma();
        }
    }
}

/// What is said of one packet besides its round-trip time.
#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
pub fn packet(sample: &Sample, detail: &TwampDetail) -> String {
    let gross = sample.received().map(|at| at.since(sample.sent)).unwrap_or_default();
    let Some(held) = detail.processing(gross) else {
        return ", the reflector's times cannot be true".to_owned();
    };
    let (out, back) = detail.one_way(gross);
    let unit = Unit::for_largest(out.unsigned_abs().max(back.unsigned_abs()));
    format!(
        ", outbound/inbound {} {}, reflector {}, ttl {}",
        unit.numbers(&[Some(out as f64), Some(back as f64)]),
        unit.name(),
        duration(nanos(held)),
        detail.ttl
    )
}

/// The summary's lines on both directions.
pub fn summary(directions: &Directions, tally: &Tally) -> String {
    let Losses { outbound, inbound, unknown } = directions.lost();
    let clocks = &directions.clocks;
    let mut text = String::new();
    for (name, direction, above) in [
        ("outbound", &directions.outbound, &clocks.above[0]),
        ("inbound", &directions.inbound, &clocks.above[1]),
    ] {
        text += &if directions.valid() {
            line(name, direction)
        } else {
            // One that exceeds all delays is that of a clock which was set.
            let most = as_float(above.max()).unwrap_or(0.0);
            above_smallest(name, above, direction.jitter.mean().filter(|jitter| *jitter <= most))
        };
    }
    if let Some(max) = directions.processing.max() {
        let unit = Unit::for_largest(max);
        let percentile = |percent| as_float(directions.processing.percentile(percent));
        let figures = [50.0, 90.0, 99.0].map(percentile);
        put!(
            text,
            "reflector held packets for p50/p90/p99/max = {}/{} {}\n",
            unit.numbers(&figures),
            unit.numbers(&[as_float(Some(max))]),
            unit.name()
        );
    }
    put!(
        text,
        "lost outbound {outbound}, inbound {inbound}, direction unknown {unknown}; \
         {} duplicate, {} reordered\n",
        tally.duplicates,
        tally.reordered
    );
    for answer in &directions.answers {
        text += &answered(answer, directions.received);
    }
    if directions.received > 0 {
        text += &way(directions);
        put!(text, "{}\n", worth(directions, clocks));
    }
    text
}

/// What the flags of an extension mean that comes back.
const FLAGS: [&str; 3] = ["unrecognized", "malformed", "integrity_failed"];

/// What came back of an extension.
fn answered(answer: &Answer, received: u64) -> String {
    let mut text =
        format!("STAMP {}: in {} of {received} replies", answer.extension.name, answer.came);
    for (name, count) in FLAGS.iter().zip(answer.flagged).filter(|(_, count)| *count > 0) {
        put!(text, ", {} in {count}", name.replace('_', " "));
    }
    for (name, number) in answer.fields() {
        put!(text, ", {} {number}", name.replace('_', " "));
    }
    for (name, address) in answer.addresses() {
        put!(text, ", {name} {address}");
    }
    text + "\n"
}

fn answer(answer: &Answer) -> Object {
    let object = Object::new().text("type", answer.extension.name).whole("replies", answer.came);
    let object = FLAGS
        .iter()
        .zip(answer.flagged)
        .fold(object, |object, (name, count)| object.whole(name, count));
    let value = answer
        .fields()
        .into_iter()
        .fold(Object::new(), |object, (name, number)| object.whole(name, number));
    let value = answer
        .addresses()
        .iter()
        .fold(value, |object, (name, address)| object.text(name, address.to_string().as_str()));
    object.object("value", value)
}

/// The bits of a traffic class that are ECN's.
const ECN: u8 = 0b11;
/// What packets leave with, and replies of reflectors that keep to RFC 5357.
const TIME_TO_LIVE: u8 = 255;
/// Of a time to live below this nobody knows what it began with.
const LEAST_KNOWN: u8 = 129;

/// How many routers packets passed, and how replies were marked as they came; each
/// with how many, most of all packets first.
fn way(directions: &Directions) -> String {
    let hops = |counts: &Few<u8, u64>| {
        let hops = |ttl: u8| match ttl {
            LEAST_KNOWN.. => (TIME_TO_LIVE - ttl).to_string(),
            _ => "unknown".to_owned(),
        };
        listed(counts, hops)
    };
    let marks = listed(&directions.classes, |class| {
        let (dscp, ecn) = (class >> 2, class & ECN);
        if ecn == 0 { format!("DSCP {dscp}") } else { format!("DSCP {dscp} ECN {ecn}") }
    });
    format!(
        "hops outbound {}, inbound {}; replies came with {marks}\n",
        hops(&directions.ttl_out),
        hops(&directions.ttl_back)
    )
}

fn listed(counts: &Few<u8, u64>, name: impl Fn(u8) -> String) -> String {
    let mut known: Vec<(u64, u8)> = counts.iter().map(|(value, count)| (*count, *value)).collect();
    known.sort_unstable_by_key(|(count, _)| std::cmp::Reverse(*count));
    match known.as_slice() {
        [] => "-".to_owned(),
        [(_, value)] => name(*value),
        several => {
            let texts = several.iter().map(|(count, value)| format!("{} ({count})", name(*value)));
            texts.collect::<Vec<_>>().join(" ")
        }
    }
}

/// The only hop count that packets had.
fn hops(counts: &Few<u8, u64>) -> Option<u64> {
    let mut values = counts.iter().map(|(ttl, _)| *ttl);
    let ttl = values.next().filter(|_| values.next().is_none())?;
    (ttl >= LEAST_KNOWN).then(|| u64::from(TIME_TO_LIVE - ttl))
}

fn ttls(counts: &Few<u8, u64>) -> impl Iterator<Item = Object> {
    counts
        .iter()
        .map(|(ttl, count)| Object::new().whole("ttl", u64::from(*ttl)).whole("packets", *count))
}

#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
fn as_float(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a magnitude of nanoseconds, for choosing a unit"
)]
fn line(name: &str, direction: &Direction) -> String {
    let (Some(min), Some(max)) = (direction.min(), direction.max()) else {
        return String::new();
    };
    let unit = Unit::for_largest(min.abs().max(max.abs()) as u64);
    let figures = [
        Some(min),
        direction.percentile(50.0),
        direction.percentile(99.0),
        Some(max),
        direction.jitter.mean(),
    ];
    format!("{name} min/p50/p99/max/jitter = {} {}\n", unit.numbers(&figures), unit.name())
}

/// A span as people read it, in seconds from one on.
fn seconds_or_less(span: Duration) -> Brief {
    if span < Duration::from_secs(1) { duration(nanos(span)) } else { seconds(span) }
}

/// What one-way delays are worth.
fn worth(directions: &Directions, clocks: &Clocks) -> String {
    let word = |synchronised| if synchronised { "is" } else { "is not" };
    let said = format!(
        "this host's clock {} synchronised, the reflector's {}; together they may be off by {}",
        word(directions.here_synchronised),
        word(directions.synchronised == directions.received),
        seconds_or_less(directions.error)
    );
    if directions.valid() {
        return format!("one-way delays hold within the clocks' error: {said}");
    }
    let mut text = format!("one-way delays hold the clocks' difference, not only the path: {said}");
    if directions.claimed() {
        text += ", they claim, and their delays contradict them";
    }
    if let Some(told) = estimate(clocks) {
        put!(text, "\n{told}");
    }
    text
}

fn direction(direction: &Direction) -> Object {
    let object = micros(Object::new(), "min", direction.min());
    let object = micros(object, "mean", direction.mean());
    let object = micros(object, "max", direction.max());
    let object = PERCENTILES
        .iter()
        .fold(object, |object, (key, percent)| micros(object, key, direction.percentile(*percent)));
    micros(object, "jitter", direction.jitter.mean())
}

/// TWAMP's part of the JSON.
#[allow(clippy::cast_precision_loss, reason = "exact to 15 digits")]
pub(super) fn object(directions: &Directions, tally: &Tally) -> Object {
    let Losses { outbound, inbound, unknown } = directions.lost();
    let lost = Object::new()
        .whole("outbound", outbound)
        .whole("inbound", inbound)
        .whole("unknown", unknown);
    // Without a reply nothing is known of the reflector.
    let known = directions.received > 0;
    let synchronised = known.then_some(directions.synchronised == directions.received);
    let object = Object::new()
        .boolean("here_synchronised", directions.here_synchronised)
        .boolean("reflector_synchronised", synchronised);
    let object = micros(object, "error_us", known.then(|| nanos(directions.error) as f64));
    let clocks = &directions.clocks;
    let way = Object::new()
        .whole("outbound", hops(&directions.ttl_out))
        .whole("inbound", hops(&directions.ttl_back));
    let marks = directions.classes.iter().map(|(class, count)| {
        Object::new()
            .whole("dscp", u64::from(class >> 2))
            .whole("ecn", u64::from(class & ECN))
            .whole("packets", *count)
    });
    let object = Object::new()
        .object("outbound_us", direction(&directions.outbound))
        .object("inbound_us", direction(&directions.inbound))
        .object("reflector_us", percentiles_of(&directions.processing))
        .object("lost", lost)
        .whole("duplicates", tally.duplicates)
        .whole("reordered", tally.reordered)
        .whole("untrue_times", directions.untrue_times)
        .object("hops", way)
        .array("ttl_outbound", ttls(&directions.ttl_out))
        .array("ttl_inbound", ttls(&directions.ttl_back))
        .array("reply_marks", marks)
        .array("extensions", directions.answers.iter().map(answer))
        .boolean("one_way_valid", directions.valid())
        .object("clocks", object);
    ways_object(object, clocks)
}
