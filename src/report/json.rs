//! A report as one JSON object.

use super::Report;
use super::compare::Difference;
use super::facts::{self, PERCENTILES};
use super::figures::{Figures, Throughput};
use super::outages::{Outage, Together};
use super::run::{Run, Source};
use super::stretches::{Before, Episodes, Of, Shift};
use super::timeline::{SHOWN, Span, Spans};
use super::words;
use crate::stats::paired::Estimate;
use crate::text::clocks::ways_object;
use crate::text::compared;
use crate::text::object::Object;

/// Decimals of microseconds.
const MICROS: usize = 3;

/// The whole text, with a line end.
pub fn text(report: &Report) -> String {
    let runs = &report.runs;
    let sources = report.sources.iter();
    let object = Object::new()
        .text("version", env!("CARGO_PKG_VERSION"))
        .text("command", "report")
        .array("files", sources.enumerate().map(|(place, each)| source(place, each, runs)))
        .array("runs", runs.iter().map(|each| run(each, &report.sources)))
        .array("comparisons", report.differences.iter().map(|each| difference(each, runs)))
        .array("together", report.together.iter().map(|each| together(each, runs)));
    format!("{}\n", object.finish())
}

/// A file, with the figures of its first series.
fn source(place: usize, source: &Source, runs: &[Run]) -> Object {
    let object = Object::new()
        .text("path", source.path.as_str())
        .text("label", source.label.as_str())
        .whole("bytes", source.bytes)
        .whole("rows", source.rows)
        .whole("cut_line", source.cut_line);
    let Some(run) = runs.iter().find(|run| run.file == place) else { return object };
    let figures = &run.figures;
    let object = object
        .object("packets", packets(figures))
        .object("rtt_us", times(figures))
        .array("outages", figures.outages.longest().iter().map(outage));
    found(object, figures).array("flows", flows(figures))
}

/// An entry for each flow, where the file tells them apart.
fn flows(figures: &Figures) -> impl Iterator<Item = Object> {
    let apart = figures.flows.apart();
    figures.flows.0.iter().enumerate().map(move |(place, flow)| {
        let packets = Object::new()
            .whole("sent", flow.sent())
            .whole("received", flow.rtts.count())
            .whole("lost", flow.lost);
        let rtts = &flow.rtts;
        let times = Object::new()
            .number("min", micros(rtts.min()), MICROS)
            .number("mean", rtts.mean().map(|mean| mean / 1e3), MICROS)
            .number("max", micros(rtts.max()), MICROS)
            .number("p50", micros(rtts.percentile(50.0)), MICROS)
            .number("p99", micros(rtts.percentile(99.0)), MICROS);
        Object::new()
            .whole("flow", flow.number)
            .object("packets", packets)
            .object("rtt_us", times)
            .whole("outages", flow.outages)
            .boolean("outlier", apart.why(place).is_some())
            .text("why", apart.why(place))
    })
}

/// bit/s as Mbit/s.
#[allow(clippy::cast_precision_loss, reason = "exact to 15 digits")]
fn throughput(throughput: &Throughput) -> Object {
    let whole = |value: Option<u64>| value.map(|bits| bits as f64 / 1e6);
    let rates = &throughput.per_second;
    Object::new()
        .number("mean", rates.mean().map(|mean| mean / 1e6), 6)
        .number("min", whole(rates.min()), 6)
        .number("max", whole(rates.max()), 6)
        .number("stddev", rates.stddev().map(|stddev| stddev / 1e6), 6)
}

#[allow(clippy::cast_precision_loss, reason = "nanoseconds of a run are below 2^53 for 100 days")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[allow(clippy::cast_precision_loss, reason = "round-trip times are far below 2^53 ns")]
fn micros(nanos: Option<u64>) -> Option<f64> {
    nanos.map(|nanos| nanos as f64 / 1e3)
}

fn packets(figures: &Figures) -> Object {
    let known = figures.sent() > 0;
    Object::new()
        .whole("sent", figures.sent())
        .whole("received", figures.rtts.count())
        .whole("lost", figures.lost)
        .number("loss_percent", known.then(|| figures.loss_percent()), 4)
        .whole("retransmitted", figures.retransmitted)
}

fn times(figures: &Figures) -> Object {
    let rtts = &figures.rtts;
    let mut times = Object::new()
        .number("min", micros(rtts.min()), MICROS)
        .number("mean", rtts.mean().map(|mean| mean / 1e3), MICROS)
        .number("max", micros(rtts.max()), MICROS)
        .number("stddev", rtts.stddev().map(|stddev| stddev / 1e3), MICROS);
    for (name, percent) in PERCENTILES {
        times = times.number(&name.replace('.', "_"), micros(figures.percentile(percent)), MICROS);
    }
    times.number("jitter", figures.jitter.mean().map(|mean| mean / 1e3), MICROS)
}

/// What both a file and a series of it are told by.
fn found(object: Object, figures: &Figures) -> Object {
    object
        .array("changes", figures.shifts.iter().map(shift))
        .array("before_outages", figures.before.found().iter().map(before))
        .object("episodes", figures.episodes.as_ref().map(episodes))
}

fn run(run: &Run, sources: &[Source]) -> Object {
    let figures = &run.figures;
    let known = figures.sent() > 0;
    let start = known.then(|| words::time(figures.first));
    let outages = Object::new()
        .whole("count", figures.outages.count())
        .number("total_s", seconds(figures.outages.nanos()), 6)
        .array("longest", figures.outages.longest().iter().map(outage));
    let object = Object::new()
        .text("label", run.label.as_str())
        .text("path", sources.get(run.file).map(|source| source.path.as_str()))
        .text("series", Some(run.series.as_str()).filter(|series| !series.is_empty()))
        .text("start", start.as_deref())
        .number("duration_s", known.then(|| seconds(figures.nanos())), 6)
        .object("packets", packets(figures))
        .object("rtt_us", times(figures))
        .object("throughput_mbit_s", figures.throughput.as_ref().map(throughput))
        .object("outages", outages);
    let clocks = Some(&figures.clocks).filter(|clocks| clocks.offset().is_some());
    let object = object.object("ways", clocks.map(|clocks| ways_object(Object::new(), clocks)));
    found(object, figures).object("timeline", timeline(&figures.timeline.at_most(SHOWN)))
}

fn outage(outage: &Outage) -> Object {
    Object::new()
        .text("start", words::time(outage.start).as_str())
        .number("duration_s", seconds(outage.nanos()), 6)
        .whole("packets", outage.packets)
        .whole("lost", outage.packets)
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
    let [base, other] = [difference.base, difference.other].map(|place| runs[place].label.as_str());
    let compared = &difference.compared;
    let unit = Some(facts::unit(runs));
    let [median, p99] = compared::sentences([base, other], compared, unit);
    compared::object(base, other, compared)
        .object("p50", estimated(compared.median).text("sentence", median.as_str()))
        .object("p99", estimated(compared.p99).text("sentence", p99.as_str()))
}

fn estimated(estimate: Option<Estimate>) -> Object {
    let noise = estimate.filter(|it| it.interval.is_ok()).map(|it| it.within_noise());
    compared::bounded(Object::new(), ["difference_us", "low_us", "high_us"], estimate)
        .boolean("within_noise", noise)
}

fn shift(shift: &Shift) -> Object {
    let level = |nanos: f64| (shift.of == Of::Level).then_some(nanos / 1e3);
    let loss = |percent: f64| (shift.of == Of::Loss).then_some(percent);
    Object::new()
        .text("at", words::time(shift.at).as_str())
        .whole("packet", shift.packet)
        .number("from_us", level(shift.from), MICROS)
        .number("to_us", level(shift.to), MICROS)
        .number("from_loss_percent", loss(shift.from), 4)
        .number("to_loss_percent", loss(shift.to), 4)
        .number("p", shift.chance, 6)
}

fn before(before: &Before) -> Object {
    Object::new()
        .text("outage", words::time(before.outage).as_str())
        .number("median_us", micros(Some(before.median)), MICROS)
        .number("usual_us", micros(Some(before.usual)), MICROS)
        .number("nearest_us", micros(Some(before.nearest)), MICROS)
}

fn episodes(episodes: &Episodes) -> Object {
    Object::new()
        .whole("count", episodes.count)
        .whole("longest_packets", episodes.longest_packets)
        .number("longest_s", seconds(episodes.longest), 6)
        .number("total_s", seconds(episodes.nanos), 6)
        .whole("lone_spikes", episodes.lone)
}

fn together(together: &Together, runs: &[Run]) -> Object {
    let labels = together.runs.iter().map(|run| runs[*run].label.as_str());
    Object::new()
        .text("at", words::time(together.at).as_str())
        .texts("labels", labels)
        .text("what", "outage")
        .number("within_s", seconds(together.apart), 6)
}
