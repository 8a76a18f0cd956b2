//! A run's figures in Prometheus' text format, for the textfile collector of
//! `node_exporter`: a file that is replaced as a whole every few seconds, so
//! that no reader sees half of it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::files::FilesError;
use super::outflow::{Drain, Outflow};
use super::{Run, flows};
use crate::clock::{Anchor, Mono};
use crate::os::file::open_in_place;
use crate::probe::{Cause, EventKind, Gone, Sample, Sink, Tally};
use crate::stats::Histogram;
use crate::text::format::exact_seconds;

/// The labels that we write: no other may have one of these names.
pub const LABELS: [&str; 13] = [
    "protocol",
    "host",
    "address",
    "port",
    "size",
    "interval",
    "dscp",
    "le",
    "percentile",
    "kind",
    "cause",
    "by",
    "instance",
];

/// Time from one version of the file to the next; collectors read it every 15 s
/// or more seldom.
const RENEW: Duration = Duration::from_secs(5);
/// Versions in a minute.
const MINUTE: u32 = 12;

/// Upper edges of the round-trip times' buckets in nanoseconds, and as they
/// stand in the file, in seconds: from a host of its own to another continent
/// over a retransmission.
const EDGES: [(u64, &str); 18] = [
    (10_000, "0.00001"),
    (25_000, "0.000025"),
    (50_000, "0.00005"),
    (100_000, "0.0001"),
    (250_000, "0.00025"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5"),
];

/// How long the last version may take to reach a disk.
const PATIENCE: Duration = Duration::from_secs(3);

/// Writes the file.
pub struct MetricsSink {
    file: Outflow,
    labels: String,
    renew_at: Mono,
    /// Round trips of the last whole minute, and of the present one.
    recent: [Histogram; 2],
    renewals: u32,
}

/// How a new version gets to its place, in a thread of its own.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    /// Replaced as a whole by renaming; else written to: a device, a pipe or a
    /// link that stands there is somebody's and stays.
    replaced: bool,
    failing: bool,
}

impl Place {
    fn new(path: &Path) -> Self {
        let there = fs::symlink_metadata(path);
        let replaced = there.is_ok_and(|there| there.is_file()) || !exists(path);
        Self { path: path.to_owned(), replaced, failing: false }
    }

    fn put(&self, text: &[u8]) -> io::Result<()> {
        if self.replaced { self.replace(text) } else { write_through(&self.path, text) }
    }

    /// Beside the file, so that renaming replaces it at once; the collector reads
    /// only what ends in `.prom`. A name that is taken is somebody else's and may
    /// lead anywhere: another one is taken.
    fn replace(&self, text: &[u8]) -> io::Result<()> {
        for number in 0..MAX_NAMES {
            let mut fresh = self.path.as_os_str().to_owned();
            fresh.push(format!(".{}.{number}.tmp", std::process::id()));
            let fresh = PathBuf::from(fresh);
            let mut file = match File::options().write(true).create_new(true).open(&fresh) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            };
            let written = file.write_all(text).and_then(|()| fs::rename(&fresh, &self.path));
            return written.inspect_err(|_| {
                // Nothing but this would ever take it away.
                let _ = fs::remove_file(&fresh);
            });
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

/// Names that others may have taken before this program gives up.
const MAX_NAMES: u32 = 100;

fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// A pipe that nobody reads, or that is full, takes nothing.
fn write_through(path: &Path, text: &[u8]) -> io::Result<()> {
    match open_in_place(path)?.map(|mut file| file.write_all(text)) {
        Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

impl Drain for Place {
    /// Trouble is reported once and never ends a run.
    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        match self.put(text) {
            Ok(()) => self.failing = false,
            Err(error) => {
                if !std::mem::replace(&mut self.failing, true) {
                    log::error!("{}: {error}; measuring goes on", self.path.display());
                }
            }
        }
        Ok(())
    }
}

impl MetricsSink {
    /// Writes a first version, all zero; `more` are further labels, `NAME=VALUE`.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn new(path: &Path, run: &Run, more: &[String], start: Mono) -> Result<Self, FilesError> {
        let labels = [
            ("protocol", run.protocol.to_owned()),
            ("host", run.host.clone()),
            ("address", run.address.ip().to_string()),
            ("port", run.port.to_string()),
            // What two runs to one target at one time differ in.
            ("size", run.size.to_string()),
            ("interval", exact_seconds(run.frequency)),
            ("dscp", run.dscp.unwrap_or(0).to_string()),
        ];
        let own = labels.iter().map(|(name, value)| (*name, value.as_str()));
        let more = more.iter().filter_map(|label| label.split_once('='));
        let labels: Vec<String> =
            own.chain(more).map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = labels.join(",");
        let place = Place::new(path);
        let started = place
            .put(text(&labels, &Tally::default(), &Histogram::default()).as_bytes())
            .and_then(|()| Outflow::start("metrics", usize::MAX, place));
        let file = started.map_err(|source| FilesError::of_option(path.to_owned(), source))?;
        let recent = Default::default();
        Ok(Self { file, labels, renew_at: start + RENEW, recent, renewals: 0 })
    }

    fn renew(&mut self, tally: &Tally) {
        let recent = Histogram::sum(&self.recent);
        self.file.replace(text(&self.labels, tally, &recent).as_bytes());
    }
}

impl Sink for MetricsSink {
    fn sample(&mut self, sample: &Sample, _anchor: &Anchor) -> Result<(), Gone> {
        sample.rtt_nanos().into_iter().for_each(|rtt| self.recent[1].record(rtt));
        Ok(())
    }

    fn deadline(&self) -> Mono {
        self.renew_at
    }

    fn tick(&mut self, now: Mono, tally: &Tally) -> Result<(), Gone> {
        self.renew_at = now + RENEW;
        self.renew(tally);
        self.renewals += 1;
        if self.renewals.is_multiple_of(MINUTE) {
            self.recent.swap(0, 1);
            self.recent[1] = Histogram::default();
        }
        Ok(())
    }

    fn finish(&mut self, tally: &Tally, _anchor: &Anchor) {
        self.renew(tally);
    }

    fn close(&mut self) -> u64 {
        self.file.close(PATIENCE);
        0
    }
}

/// A label's value as the format holds it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The whole file.
fn text(labels: &str, tally: &Tally, recent: &Histogram) -> String {
    let counters = [
        ("packets_sent", "Packets sent, or due during an outage.", tally.sent),
        ("packets_received", "Packets whose reply came.", tally.received),
        ("packets_lost", "Packets whose reply never came.", tally.lost),
        ("packets_late", "Replies that came after the timeout.", tally.late),
        ("packets_corrupt", "Replies that were not what was sent.", tally.corrupt),
        ("connections", "Connections made.", tally.established),
        ("drops", "Connections that ended before their time.", tally.drops),
    ];
    let mut text = String::new();
    for (name, help, value) in counters {
        head(&mut text, &format!("{name}_total"), "counter", help);
        put!(text, "echotest_{name}_total{{{labels}}} {value}\n");
    }
    head(&mut text, "outage_seconds_total", "counter", "Time without a working connection.");
    let outage = exact_seconds(tally.outage);
    put!(text, "echotest_outage_seconds_total{{{labels}}} {outage}\n");
    round_trips(&mut text, labels, tally);
    let all = |percent| tally.rtt.percentile(percent);
    percentiles(&mut text, labels, "rtt_percentile", "Round-trip times since the run began.", &all);
    let help = "Round-trip times of the last minute, up to two.";
    percentiles(&mut text, labels, "rtt_recent", help, &|percent| recent.percentile(percent));
    reasons(&mut text, labels, tally);
    text
}

/// Finer than the buckets: a path that is constant has one value.
#[allow(clippy::cast_precision_loss, reason = "nanoseconds of a round trip")]
fn percentiles(
    text: &mut String,
    labels: &str,
    name: &str,
    help: &str,
    of: &dyn Fn(f64) -> Option<u64>,
) {
    head(text, &format!("{name}_seconds"), "gauge", help);
    for (label, percent) in [("50", 50.0), ("90", 90.0), ("99", 99.0), ("99.9", 99.9)] {
        if let Some(nanos) = of(percent) {
            let seconds = nanos as f64 / 1e9;
            put!(
                *text,
                "echotest_{name}_seconds{{{labels},percentile=\"{label}\"}} {seconds:.9}\n"
            );
        }
    }
}

/// Events by kind, slow packets by cause, drops by who.
fn reasons(text: &mut String, labels: &str, tally: &Tally) {
    let drops = &tally.drops_by;
    let by =
        [("peer", drops.peer), ("path", drops.path), ("kernel", drops.kernel), ("us", drops.us)];
    let events = EventKind::ALL.map(|kind| (kind.name(), tally.events.of(kind).count));
    let causes = Cause::ALL.map(|cause| (cause.name(), tally.slow.count(cause)));
    for (name, help, label, counts) in [
        ("events", "Stalls, outages and whatever else happened.", "kind", &events[..]),
        ("slow_packets", "Slow packets by their cause.", "cause", &causes[..]),
        ("drops_by", "Drops by who ended the connection.", "by", &by[..]),
    ] {
        head(text, &format!("{name}_total"), "counter", help);
        for (value, count) in counts {
            put!(*text, "echotest_{name}_total{{{labels},{label}=\"{value}\"}} {count}\n");
        }
    }
    head(text, "flows_unlike", "gauge", "Flows whose losses or level set them apart.");
    put!(*text, "echotest_flows_unlike{{{labels}}} {}\n", flows::unlike(tally));
}

/// Writing to a String cannot fail.
fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = write!(text, "# HELP echotest_{name} {help}\n# TYPE echotest_{name} {kind}\n");
}

#[allow(clippy::cast_precision_loss, reason = "a sum of times, exact to 15 digits")]
fn round_trips(text: &mut String, labels: &str, tally: &Tally) {
    head(text, "rtt_seconds", "histogram", "Round-trip times.");
    let rtt = &tally.rtt;
    let (mut below, mut from) = (0, 0);
    for (edge, name) in EDGES {
        below += rtt.count_between(from, edge);
        from = edge;
        *text += &format!("echotest_rtt_seconds_bucket{{{labels},le=\"{name}\"}} {below}\n");
    }
    let count = rtt.count();
    let sum = rtt.mean().unwrap_or(0.0) * count as f64 / 1e9;
    *text += &format!(
        "echotest_rtt_seconds_bucket{{{labels},le=\"+Inf\"}} {count}\n\
         echotest_rtt_seconds_sum{{{labels}}} {sum:.9}\n\
         echotest_rtt_seconds_count{{{labels}}} {count}\n"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_all_that_is_below_them() {
        let mut tally = Tally::default();
        for rtt in [9_000, 40_000, 90_000, 3_000_000, 9_000_000_000] {
            tally.rtt.record(rtt);
        }
        let text = text("host=\"h\"", &tally, &Histogram::default());
        let bucket = |le: &str| {
            let line = format!("echotest_rtt_seconds_bucket{{host=\"h\",le=\"{le}\"}} ");
            text.lines().find_map(|text| text.strip_prefix(&line)).unwrap().to_owned()
        };
        assert_eq!(
            ["0.00001", "0.0001", "0.005", "5", "+Inf"].map(bucket),
            ["1", "3", "4", "4", "5"]
        );
        assert!(text.contains("echotest_rtt_seconds_sum{host=\"h\"} 9.003139000\n"), "{text}");
    }

    #[test]
    fn the_last_minute_is_of_the_last_minute() {
        let mut sink = MetricsSink {
            file: Outflow::start("test", 1 << 20, |_: &[u8]| Ok(())).unwrap(),
            labels: String::new(),
            renew_at: Mono(0),
            recent: Default::default(),
            renewals: 0,
        };
        let median = |sink: &MetricsSink| Histogram::sum(&sink.recent).percentile(50.0);
        let mut now = Mono(0);
        for rtt in [1_000_u64, 2_000] {
            for _ in 0..2 * MINUTE {
                sink.recent[1].record(rtt);
                now = now + RENEW;
                sink.tick(now, &Tally::default()).unwrap();
            }
            assert_eq!(median(&sink), Some(rtt));
        }
    }

    #[test]
    fn a_label_may_hold_anything() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
