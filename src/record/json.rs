//! A run's figures as one JSON object.

use std::path::Path;

use super::{Run, addresses, events, flows, screen, slow};
use crate::clock::Anchor;
use crate::os::clock;
use crate::probe::{Finding, Gone, Sample, Sink, Tally, findings};
use crate::stats::Summary;
use crate::text::object::Object;
use crate::text::series::{extremes, micros, percentile, percentiles, percentiles_of};
use crate::text::timestamp::rfc3339;

/// Prints the object on standard output when the run is over.
pub struct JsonSink {
    run: Run,
}

impl JsonSink {
    /// For this run.
    pub fn new(run: Run) -> Self {
        Self { run }
    }
}

impl Sink for JsonSink {
    fn sample(&mut self, _sample: &Sample, _anchor: &Anchor) -> Result<(), Gone> {
        Ok(())
    }

    fn finish(&mut self, tally: &Tally, _anchor: &Anchor) {
        screen::result(&(object(&self.run, tally).finish() + "\n"));
    }
}

/// The run as the contract lays it out: every key always there.
pub fn object(run: &Run, tally: &Tally) -> Object {
    with_targets(run, tally, std::iter::empty(), std::iter::empty())
}

/// What stands for a run that did not come about: every key, and why.
pub fn failed(command: &str, host: &str, error: &str) -> Object {
    let none = Tally::default();
    let packets = Object::new()
        .whole("sent", 0)
        .whole("received", 0)
        .whole("lost", 0)
        .whole("late", 0)
        .whole("corrupt", 0)
        .whole("skipped", 0)
        .number("loss_percent", None, 4);
    let object = Object::new()
        .text("version", env!("CARGO_PKG_VERSION"))
        .text("command", command)
        .text("host", host)
        .text("address", None)
        .text("start", rfc3339(clock::wall()).as_str())
        .number("duration_s", 0.0, 6)
        .raw("config", "null")
        .object("packets", packets)
        .object("rtt_us", round_trips(&none))
        .object("send_lateness_us", lateness(&none.lateness))
        .object("connections", connections(&none))
        .object("tcp", tcp(&none))
        .object("slow", slow::object(&none))
        .object("drops_by", events::drops_by(&none));
    let empty = ["events", "addresses", "flows", "targets", "comparisons"];
    let object = empty.iter().fold(object, |object, key| object.raw(key, "[]"));
    let null = ["kernel", "floor_us"];
    let object = null.iter().fold(object, |object, key| object.raw(key, "null"));
    let files = Object::new().text("log", None).text("csv", None);
    object.whole("not_recorded", 0).object("files", files).text("error", error)
}

/// The same with what several targets of one run have, and how they compare.
pub(super) fn with_targets(
    run: &Run,
    tally: &Tally,
    targets: impl Iterator<Item = Object>,
    comparisons: impl Iterator<Item = Object>,
) -> Object {
    let object = Object::new()
        .text("version", env!("CARGO_PKG_VERSION"))
        .text("command", run.command)
        .text("host", run.host.as_str())
        .text("address", run.address.to_string().as_str())
        .text("start", rfc3339(run.start).as_str())
        .number("duration_s", tally.elapsed().as_secs_f64(), 6)
        .object("config", config(run))
        .object("packets", packets(run, tally))
        .object("rtt_us", round_trips(tally))
        .object("response_us", response(tally))
        .object("send_lateness_us", lateness(&tally.lateness))
        .object("connections", connections(tally))
        .object("tcp", tcp(tally))
        .object("slow", slow::object(tally))
        .array("events", tally.events.kept.iter().map(|event| events::object(run, tally, event)))
        .object("drops_by", events::drops_by(tally))
        .raw("kernel", &kernel(tally))
        .raw("floor_us", &floor(run))
        .array("addresses", addresses::objects(tally).into_iter())
        .array("flows", flows::objects(run, tally).into_iter())
        .array("targets", targets)
        .array("comparisons", comparisons)
        .whole("not_recorded", tally.not_recorded)
        .object("files", files(run))
        .object("manifest", run.manifest.object(run))
        .array("findings", findings(tally).iter().map(finding));
    let object = match run.protocol {
        "ping" => object.object("ping", super::ping::object(run, tally)),
        _ => object,
    };
    match &tally.directions {
        Some(directions) => object.object("twamp", super::twamp::object(directions, tally)),
        None => object,
    }
}

fn finding(finding: &Finding) -> Object {
    Object::new().text("name", finding.name()).text("text", finding.to_string().as_str())
}

/// Counted from when each packet was due.
fn response(tally: &Tally) -> Object {
    percentiles(Object::new(), &tally.response)
}

fn config(run: &Run) -> Object {
    Object::new()
        .whole("size", u64::try_from(run.size).ok().filter(|&size| size > 0))
        .number("frequency_s", run.frequency.as_secs_f64(), 9)
        .whole("count", run.count)
        .number("timeout_s", run.timeout.as_secs_f64(), 9)
}

pub(super) fn packets(run: &Run, tally: &Tally) -> Object {
    Object::new()
        .whole("sent", tally.sent)
        .whole("received", tally.received)
        .whole("lost", tally.lost)
        .whole("late", tally.late)
        .whole("corrupt", tally.corrupt)
        .whole("skipped", tally.skipped)
        .number("loss_percent", tally.loss_percent(), 4)
        .whole("retransmitted", run.tcp_info.then_some(tally.retransmitted))
}

pub(super) fn round_trips(tally: &Tally) -> Object {
    micros(percentiles_of(&tally.rtt), "jitter", tally.jitter.mean())
}

#[allow(clippy::cast_precision_loss, reason = "exact to 15 digits")]
fn lateness(series: &Summary) -> Object {
    let object = percentile(Object::new(), "p50", series, 50.0);
    let object = percentile(object, "p99", series, 99.0);
    micros(object, "max", series.max().map(|nanos| nanos as f64))
}

fn connections(tally: &Tally) -> Object {
    Object::new()
        .whole("established", tally.established)
        .whole("drops", tally.drops)
        .number("outage_s", tally.outage.as_secs_f64(), 6)
        .object("connect_us", extremes(&tally.connect))
}

/// Round trips in parts by the kernel's stamps, or `null`.
fn kernel(tally: &Tally) -> String {
    let Some(kernel) = &tally.kernel else { return "null".to_owned() };
    Object::new()
        .object("rtt_us", percentiles_of(&kernel.round_trip))
        .object("host_send_us", percentiles_of(&kernel.send))
        .object("host_receive_us", percentiles_of(&kernel.receive))
        .whole("missing", kernel.missing)
        .finish()
}

#[allow(clippy::cast_precision_loss, reason = "exact to 15 digits")]
fn floor(run: &Run) -> String {
    let Some((p50, p99)) = run.floor else { return "null".to_owned() };
    let object = micros(Object::new(), "p50", Some(p50 as f64));
    micros(object, "p99", Some(p99 as f64)).finish()
}

fn tcp(tally: &Tally) -> Object {
    let totals = tally.tcp.clone().unwrap_or_default();
    Object::new()
        .whole("retransmits", totals.retransmits)
        .whole("rtt_us", totals.rtt_us.map(u64::from))
        .whole("min_rtt_us", totals.min_rtt_us.map(u64::from))
        .whole("cwnd", totals.cwnd.map(u64::from))
        .whole("mss", totals.mss.map(u64::from))
        .text("congestion_control", totals.congestion_control.as_deref())
}

fn files(run: &Run) -> Object {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let (log, csv) = run.files.as_ref().map(|(log, csv)| (path(log), path(csv))).unzip();
    Object::new().text("log", log.as_deref()).text("csv", csv.as_deref())
}
