//! A report as one JSON object.

use super::Report;
use super::compare::{Difference, Estimate};
use super::facts::PERCENTILES;
use super::outages::Outage;
use super::run::{Run, Source};
use super::timeline::{SHOWN, Span, Spans};
use super::words;
use crate::text::object::Object;

/// Decimals of microseconds.
const MICROS: usize = 3;

/// The whole text, with a line end.
pub fn text(report: &Report) -> String {
    let runs = &report.runs;
    let object = Object::new()
        .text("version", env!("CARGO_PKG_VERSION"))
        .text("command", "report")
        .array("files", report.sources.iter().map(source))
        .array("runs", runs.iter().map(|each| run(each, &report.sources)))
        .array("comparisons", report.differences.iter().map(|each| difference(each, runs)));
    format!("{}\n", object.finish())
}

fn source(source: &Source) -> Object {
    Object::new()
        .text("path", source.path.as_str())
        .text("label", source.label.as_str())
        .whole("bytes", source.bytes)
        .whole("rows", source.rows)
        .whole("cut_line", source.cut_line)
}

#[allow(clippy::cast_precision_loss, reason = "nanoseconds of a run are below 2^53 for 100 days")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[allow(clippy::cast_precision_loss, reason = "round-trip times are far below 2^53 ns")]
fn micros(nanos: Option<u64>) -> Option<f64> {
    nanos.map(|nanos| nanos as f64 / 1e3)
}

fn run(run: &Run, sources: &[Source]) -> Object {
    let figures = &run.figures;
    let rtts = &figures.rtts;
    let known = figures.sent() > 0;
    let start = known.then(|| words::time(figures.first));
    let packets = Object::new()
        .whole("sent", figures.sent())
        .whole("received", rtts.count())
        .whole("lost", figures.lost)
        .number("loss_percent", known.then(|| figures.loss_percent()), 4)
        .whole("retransmitted", figures.retransmitted);
    let mut times = Object::new()
        .number("min", micros(rtts.min()), MICROS)
        .number("mean", rtts.mean().map(|mean| mean / 1e3), MICROS)
        .number("max", micros(rtts.max()), MICROS)
        .number("stddev", rtts.stddev().map(|stddev| stddev / 1e3), MICROS);
    for (name, percent) in PERCENTILES {
        times = times.number(&name.replace('.', "_"), micros(rtts.percentile(percent)), MICROS);
    }
    times = times.number("jitter", figures.jitter.mean().map(|mean| mean / 1e3), MICROS);
    let outages = Object::new()
        .whole("count", figures.outages.count())
        .number("total_s", seconds(figures.outages.nanos()), 6)
        .array("longest", figures.outages.longest().iter().map(outage));
    Object::new()
        .text("label", run.label.as_str())
        .text("path", sources.get(run.file).map(|source| source.path.as_str()))
        .text("series", Some(run.series.as_str()).filter(|series| !series.is_empty()))
        .text("start", start.as_deref())
        .number("duration_s", known.then(|| seconds(figures.nanos())), 6)
        .object("packets", packets)
        .object("rtt_us", times)
        .object("outages", outages)
        .object("timeline", timeline(&figures.timeline.at_most(SHOWN)))
}

fn outage(outage: &Outage) -> Object {
    Object::new()
        .text("start", words::time(outage.start).as_str())
        .number("duration_s", seconds(outage.nanos()), 6)
        .whole("packets", outage.packets)
}

/// Spans of time without any packet are left out.
fn timeline(timeline: &Spans) -> Object {
    let shown = |(place, span): (usize, &Span)| {
        Object::new()
            .number("at_s", seconds(timeline.width * place as u64), 6)
            .whole("received", span.received)
            .whole("lost", span.lost)
            .raw("outage", if span.outage { "true" } else { "false" })
            .number("p50", micros(span.p50), MICROS)
            .number("p99", micros(span.p99), MICROS)
            .number("max", micros(span.max), MICROS)
    };
    let used = timeline.spans.iter().enumerate();
    let used = used.filter(|(_, span)| span.received + span.lost > 0 || span.outage);
    Object::new().number("bucket_s", seconds(timeline.width), 9).array("buckets", used.map(shown))
}

fn difference(difference: &Difference, runs: &[Run]) -> Object {
    let [median, p99] = words::sentences(difference, runs);
    let part = |object: Object, name: &str, estimate: Option<Estimate>, sentence: &str| {
        object.object(name, estimated(estimate).text("sentence", sentence))
    };
    let object = Object::new()
        .text("base", runs[difference.base].label.as_str())
        .text("other", runs[difference.other].label.as_str());
    let object = part(object, "p50", difference.median, &median);
    part(object, "p99", difference.p99, &p99)
}

#[allow(clippy::cast_precision_loss, reason = "differences of round-trip times")]
fn estimated(estimate: Option<Estimate>) -> Object {
    let micros = |nanos: fn(&Estimate) -> i64| {
        estimate.as_ref().map(|estimate| nanos(estimate) as f64 / 1e3)
    };
    let noise = estimate.map_or("null", |e| if e.within_noise() { "true" } else { "false" });
    Object::new()
        .number("difference_us", micros(|estimate| estimate.nanos), MICROS)
        .number("low_us", micros(|estimate| estimate.low), MICROS)
        .number("high_us", micros(|estimate| estimate.high), MICROS)
        .raw("within_noise", noise)
}
