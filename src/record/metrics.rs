//! A run's figures in Prometheus' text format, for the textfile collector of
//! `node_exporter`: a file that is replaced as a whole every few seconds, so
//! that no reader sees half of it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::files::FilesError;
use super::outflow::{Drain, Outflow};
use super::{Run, flows, held};
use crate::clock::{Anchor, Mono};
use crate::os::file::open_in_place;
use crate::probe::{Cause, EventKind, Gone, Sample, Sink, Tally};
use crate::stats::Histogram;
use crate::text::format::exact_seconds;

/// The labels that we write: no other may have one of these names.
pub const LABELS: [&str; 16] = [
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
    "target",
    "flow",
    "local_port",
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

/// Writes one target's share of the file.
pub struct MetricsSink {
    all: Arc<Mutex<All>>,
    labels: String,
    renew_at: Mono,
    /// Round trips of the last whole minute, and of the present one.
    recent: [Histogram; 2],
    renewals: u32,
}

/// The file, and its next version until each target has put its figures in.
struct All {
    file: Outflow,
    families: Families,
    targets: usize,
    told: usize,
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
    /// One for each target; writes a first version, all zero. `more` are further
    /// labels, `NAME=VALUE`.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn of_targets(
        path: &Path,
        runs: &[Run],
        more: &[String],
        start: Mono,
    ) -> Result<Vec<Self>, FilesError> {
        let labels: Vec<String> = runs.iter().map(|run| labels(run, more)).collect();
        let mut families = Families::default();
        for labels in &labels {
            families.take(labels, &Tally::default(), &Histogram::default());
        }
        let place = Place::new(path);
        let started = place
            .put(families.text().as_bytes())
            .and_then(|()| Outflow::start("metrics", usize::MAX, place));
        let file = started.map_err(|source| FilesError::of_option(path.to_owned(), source))?;
        let all = All { file, families: Families::default(), targets: runs.len(), told: 0 };
        let all = Arc::new(Mutex::new(all));
        let sink = |labels| Self {
            all: Arc::clone(&all),
            labels,
            renew_at: start + RENEW,
            recent: Default::default(),
            renewals: 0,
        };
        Ok(labels.into_iter().map(sink).collect())
    }

    /// All targets are asked at the same moments: the last one has the file written.
    fn renew(&mut self, tally: &Tally) {
        let mut all = held(&self.all);
        all.families.take(&self.labels, tally, &Histogram::sum(&self.recent));
        all.told += 1;
        if all.told == all.targets {
            all.told = 0;
            let families = std::mem::take(&mut all.families);
            all.file.replace(families.text().as_bytes());
        }
    }
}

fn labels(run: &Run, more: &[String]) -> String {
    let own = [
        ("protocol", run.protocol.to_owned()),
        ("host", run.host.clone()),
        ("address", run.address.ip().to_string()),
        ("port", run.port.to_string()),
        // What two runs to one target at one time differ in.
        ("size", run.size.to_string()),
        ("interval", exact_seconds(run.frequency).into()),
        ("dscp", run.dscp.unwrap_or(0).to_string()),
    ];
    let own = own.iter().map(|(name, value)| (*name, value.as_str()));
    let more = more.iter().filter_map(|label| label.split_once('='));
    let mut labels: Vec<String> =
        own.chain(more).map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    labels.extend(run.target.map(|target| format!("target=\"{target}\"")));
    labels.join(",")
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
        held(&self.all).file.close(PATIENCE);
        0
    }
}

/// A label's value as the format holds it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// All metrics: name and head of each, and what it holds, of all targets together.
#[derive(Debug, Default)]
struct Families(Vec<(String, String)>);

impl Families {
    /// What a metric holds so far; its head is written with the first of it.
    fn of(&mut self, name: &str, kind: &str, help: &str) -> &mut String {
        let head = format!("# HELP echotest_{name} {help}\n# TYPE echotest_{name} {kind}\n");
        let known = self.0.iter().position(|(known, _)| *known == head);
        let place = known.unwrap_or_else(|| {
            self.0.push((head, String::new()));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }

    /// The whole file.
    fn text(self) -> String {
        self.0.into_iter().flat_map(|(head, samples)| [head, samples]).collect()
    }

    /// Takes in a target's figures.
    fn take(&mut self, labels: &str, tally: &Tally, recent: &Histogram) {
        let counters = [
            ("packets_sent", "Packets sent, or due during an outage.", tally.sent),
            ("packets_received", "Packets whose reply came.", tally.received),
            ("packets_lost", "Packets whose reply never came.", tally.lost),
            ("packets_late", "Replies that came after the timeout.", tally.late),
            ("packets_corrupt", "Replies that were not what was sent.", tally.corrupt),
            ("connections", "Connections made.", tally.established),
            ("drops", "Connections that ended before their time.", tally.drops),
        ];
        for (name, help, value) in counters {
            self.count(name, help, labels, value);
        }
        let outage = "outage_seconds_total";
        let text = self.of(outage, "counter", "Time without a working connection.");
        put!(*text, "echotest_{outage}{{{labels}}} {}\n", exact_seconds(tally.outage));
        self.round_trips(labels, tally);
        let all = |percent| tally.rtt.percentile(percent);
        self.percentiles("rtt_percentile", "Round-trip times since the run began.", labels, &all);
        let last = |percent| recent.percentile(percent);
        let help = "Round-trip times of the last minute, up to two.";
        self.percentiles("rtt_recent", help, labels, &last);
        self.reasons(labels, tally);
        for (place, flow) in tally.flows.iter().enumerate() {
            self.flow(labels, place + 1, flow);
        }
    }

    /// Beside its target's sums, and so that these stay sums, under names of its own.
    fn flow(&mut self, labels: &str, number: usize, flow: &Tally) {
        let port = flow.local.map_or(0, |local| local.port());
        let labels = format!("{labels},flow=\"{number}\",local_port=\"{port}\"");
        let outages = flow.events.of(EventKind::Outage).count;
        for (name, help, value) in [
            ("flow_packets_sent", "Packets sent on a flow.", flow.sent),
            ("flow_packets_lost", "Those whose reply never came.", flow.lost),
            ("flow_outages", "Outages of a flow.", outages),
        ] {
            self.count(name, help, &labels, value);
        }
        let help = "Round-trip times of a flow.";
        let all = |percent| flow.rtt.percentile(percent);
        self.percentiles("flow_rtt_percentile", help, &labels, &all);
    }

    fn count(&mut self, name: &str, help: &str, labels: &str, value: u64) {
        let text = self.of(&format!("{name}_total"), "counter", help);
        put!(*text, "echotest_{name}_total{{{labels}}} {value}\n");
    }

    /// Finer than the buckets: a path that is constant has one value.
    #[allow(clippy::cast_precision_loss, reason = "nanoseconds of a round trip")]
    fn percentiles(
        &mut self,
        name: &str,
        help: &str,
        labels: &str,
        of: &dyn Fn(f64) -> Option<u64>,
    ) {
        let name = format!("{name}_seconds");
        let text = self.of(&name, "gauge", help);
        for (label, percent) in [("50", 50.0), ("90", 90.0), ("99", 99.0), ("99.9", 99.9)] {
            if let Some(nanos) = of(percent) {
                let seconds = nanos as f64 / 1e9;
                put!(*text, "echotest_{name}{{{labels},percentile=\"{label}\"}} {seconds:.9}\n");
            }
        }
    }

    /// Events by kind, slow packets by cause, drops by who.
    fn reasons(&mut self, labels: &str, tally: &Tally) {
        let drops = &tally.drops_by;
        let by = [
            ("peer", drops.peer),
            ("path", drops.path),
            ("kernel", drops.kernel),
            ("us", drops.us),
        ];
        let events = EventKind::ALL.map(|kind| (kind.name(), tally.events.of(kind).count));
        let causes = Cause::ALL.map(|cause| (cause.name(), tally.slow.count(cause)));
        for (name, help, label, counts) in [
            ("events", "Stalls, outages and whatever else happened.", "kind", &events[..]),
            ("slow_packets", "Slow packets by their cause.", "cause", &causes[..]),
            ("drops_by", "Drops by who ended the connection.", "by", &by[..]),
        ] {
            for (value, count) in counts {
                self.count(name, help, &format!("{labels},{label}=\"{value}\""), *count);
            }
        }
        let help = "Flows whose losses or level set them apart.";
        let text = self.of("flows_unlike", "gauge", help);
        put!(*text, "echotest_flows_unlike{{{labels}}} {}\n", flows::unlike(tally));
    }

    #[allow(clippy::cast_precision_loss, reason = "a sum of times, exact to 15 digits")]
    fn round_trips(&mut self, labels: &str, tally: &Tally) {
        let text = self.of("rtt_seconds", "histogram", "Round-trip times.");
        let rtt = &tally.rtt;
        let (mut below, mut from) = (0, 0);
        for (edge, name) in EDGES {
            below += rtt.count_between(from, edge);
            from = edge;
            put!(*text, "echotest_rtt_seconds_bucket{{{labels},le=\"{name}\"}} {below}\n");
        }
        let count = rtt.count();
        let sum = rtt.mean().unwrap_or(0.0) * count as f64 / 1e9;
        put!(
            *text,
            "echotest_rtt_seconds_bucket{{{labels},le=\"+Inf\"}} {count}\n\
             echotest_rtt_seconds_sum{{{labels}}} {sum:.9}\n\
             echotest_rtt_seconds_count{{{labels}}} {count}\n"
        );
    }
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
        let mut families = Families::default();
        families.take("host=\"h\"", &tally, &Histogram::default());
        let text = families.text();
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
    fn a_metric_of_several_targets_and_flows_has_one_head() {
        let flow = |lost| Tally { lost, ..Tally::default() };
        let tally = Tally { lost: 3, flows: vec![flow(1), flow(2)], ..Tally::default() };
        let mut families = Families::default();
        for target in 1..=2 {
            families.take(&format!("target=\"{target}\""), &tally, &Histogram::default());
        }
        let text = families.text();
        let lost = "# TYPE echotest_packets_lost_total counter\n\
                    echotest_packets_lost_total{target=\"1\"} 3\n\
                    echotest_packets_lost_total{target=\"2\"} 3\n# HELP";
        assert!(text.contains(lost), "{text}");
        let flow = "echotest_flow_packets_lost_total{target=\"2\",flow=\"2\",local_port=\"0\"} 2\n";
        assert!(text.contains(flow), "{text}");
        let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
        let distinct: std::collections::BTreeSet<&&str> = heads.iter().collect();
        assert_eq!(heads.len(), distinct.len(), "{heads:?}");
    }

    #[test]
    fn the_last_minute_is_of_the_last_minute() {
        let file = Outflow::start("test", 1 << 20, |_: &[u8]| Ok(())).unwrap();
        let all = All { file, families: Families::default(), targets: 1, told: 0 };
        let mut sink = MetricsSink {
            all: Arc::new(Mutex::new(all)),
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
