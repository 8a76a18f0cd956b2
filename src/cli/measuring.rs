//! What every measuring command shares: its plan, its destinations, the
//! user's signals, and what the exit status says.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Status;
use super::error::{Failure, UsageError};
use super::flows::withheld;
use super::matches::Matches;
use super::options::{Accuracy, Files, Format, General, Pace, Results, Rotating};
use super::target::{Target, Way, dialer, foreign};
use crate::client::Extras;
use crate::client::evidence::Asked;
use crate::clock::Wall;
use crate::net::dial::Connected;
use crate::net::{Dialer, Waiting};
use crate::os::clock;
use crate::os::icmp::RawIcmp;
use crate::os::signals::{self, Signal};
use crate::path::watch::Watch;
use crate::probe::{Connection, Control, Order, Plan, Sink, Tally};
use crate::record::compress::Compressor;
use crate::record::csv::{CsvSink, Extra, FlowColumn, StreamColumns};
use crate::record::daily::DailySink;
use crate::record::diagnostics::DiagnosticsSink;
use crate::record::files::RunFiles;
use crate::record::json::JsonSink;
use crate::record::log_file::LogFileSink;
use crate::record::manifest::Manifest;
use crate::record::metrics::{LABELS, MetricsSink};
use crate::record::ping::{PingColumns, PingTerminal};
use crate::record::rotation::Rotation;
use crate::record::terminal::TerminalSink;
use crate::record::twamp::TwampColumns;
use crate::record::{Run, text};

/// Above this rate an overdue packet is no line of its own.
const LINES_FROM: Duration = Duration::from_millis(100);

/// Runs as slow as this are watched for causes without being asked.
const CAUSES_FROM: Duration = Duration::from_millis(1);

impl Pace {
    /// When to send. An answer is late after `timeout`.
    pub(super) fn plan(&self, timeout: Duration, reconnect: bool) -> Plan {
        // A command's usual count does not cut short a time that was asked for.
        let time_alone = self.duration.is_some() && !self.count.by_user;
        Plan {
            frequency: self.frequency,
            count: if time_alone { 0 } else { self.count.value },
            duration: self.duration,
            timeout,
            reconnect,
            ..Plan::default()
        }
    }
}

impl Accuracy {
    /// How waits are to be made.
    pub(super) fn waiting(&self) -> Waiting {
        match (self.busy_poll, self.precise) {
            (true, _) => Waiting::Spin,
            (false, true) => Waiting::Precise,
            (false, false) => Waiting::Sleep,
        }
    }

    /// What is asked of a link.
    pub(super) fn extras(&self, frequency: Duration) -> Extras {
        // At the highest rates the kernel's words would cost more than they are worth.
        let causes = self.explain || frequency >= CAUSES_FROM;
        Extras {
            tcp_info: self.tcp_info,
            asked: Asked {
                parts: self.timestamps.is_some(),
                causes,
                all: self.explain || self.slow.is_some(),
            },
            explain: self.explain,
            waiting: self.waiting(),
        }
    }
}

/// Where a run's results go, and what of them is a failure.
#[derive(Debug)]
pub(super) struct Output {
    files: Files,
    rotating: Rotating,
    pub(super) results: Results,
    pub(super) json: bool,
    pub(super) verbose: bool,
    /// 1: the summary alone; 2: nothing but errors.
    pub(super) quiet: usize,
}

impl Output {
    /// The run's two files, unless `--no-files`.
    pub(super) fn create_files(&self, program: &str) -> Result<Option<RunFiles>, Failure> {
        let Rotating { rotate, keep, compress } = &self.rotating;
        let compressor = compress.clone().map(Compressor::start).transpose()?.map(Arc::new);
        let rotation = rotate.map(|limit| Rotation { limit, keep: *keep, compressor });
        self.files.create(program, rotation)
    }

    /// # Errors
    ///
    /// `--keep` or `--compress` without `--rotate`, or a command that is not there.
    pub(super) fn of(matches: &Matches) -> Result<Self, UsageError> {
        let General { verbose, quiet, .. } = General::of(matches);
        let results = Results::of(matches);
        if let Some(problem) = bad_label(&results.metrics_label) {
            return Err(matches.usage(problem));
        }
        let rotating = Rotating::of(matches);
        if let Some(problem) = bad_rotating(&rotating) {
            return Err(matches.usage(problem));
        }
        Ok(Self {
            files: Files::of(matches),
            rotating,
            results,
            json: Format::of(matches).json,
            verbose: verbose.0 > 0,
            quiet: quiet.0,
        })
    }
}

/// A run over UDP, or over many connections, as its records name it; a command
/// that knows more adds it.
pub(super) fn describe(
    target: &Target,
    protocol: &'static str,
    address: SocketAddr,
    plan: &Plan,
    start: Wall,
    files: Option<&RunFiles>,
) -> Run {
    Run {
        command: target.command,
        protocol,
        host: target.host.clone(),
        port: target.port,
        address,
        local: None,
        start,
        size: 0,
        frequency: plan.frequency,
        count: plan.count.saturating_sub(plan.warmup),
        timeout: plan.timeout,
        tcp_info: false,
        floor: None,
        manifest: Manifest::gather(None, None),
        look_up: target.look_up,
        dscp: target.dscp,
        target: None,
        flows: 1,
        files: files.map(RunFiles::paths),
    }
}

/// The same over one TCP connection.
pub(super) fn describe_connection(
    target: &Target,
    protocol: &'static str,
    connected: &Connected,
    plan: &Plan,
    start: Wall,
    files: Option<&RunFiles>,
) -> Run {
    let stream = &connected.stream;
    Run {
        local: stream.local_address().ok(),
        manifest: Manifest::gather(stream.tcp_info(), stream.congestion_control()),
        ..describe(target, protocol, connected.address, plan, start, files)
    }
}

impl Files {
    /// The run's two files, unless `--no-files`.
    pub(super) fn create(
        &self,
        program: &str,
        rotation: Option<Rotation>,
    ) -> Result<Option<RunFiles>, Failure> {
        if self.no_files {
            return Ok(None);
        }
        Ok(Some(RunFiles::create(&self.log_dir, program, clock::wall(), rotation)?))
    }
}

/// What is wrong with how files are rotated. A day is too late to find that a command
/// is not there.
fn bad_rotating(Rotating { rotate, keep, compress }: &Rotating) -> Option<String> {
    if rotate.is_none() {
        let option = keep.map(|_| "--keep").or(compress.as_ref().map(|_| "--compress"))?;
        return Some(format!("{option}: it goes with --rotate"));
    }
    let command = compress.as_deref()?;
    let name = command.split_whitespace().next().unwrap_or_default();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let mut found = std::env::split_paths(&paths).map(|folder| folder.join(name));
    let there =
        if name.contains('/') { Path::new(name).is_file() } else { found.any(|it| it.is_file()) };
    (!there).then(|| format!("--compress {command:?}: there is no such command"))
}

/// What is wrong with the labels: each is a name that Prometheus takes, which no
/// other has, and a value.
fn bad_label(labels: &[String]) -> Option<String> {
    let name = |label: &String| label.split_once('=').map(|(name, _)| name.to_owned());
    let mut seen: Vec<String> = LABELS.map(str::to_owned).to_vec();
    for label in labels {
        let accepted = name(label).filter(|name| {
            let letters = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            name.bytes().all(letters) && name.starts_with(|first: char| !first.is_ascii_digit())
        });
        let Some(name) = accepted else {
            return Some(format!(
                "--metrics-label {label:?}: accepted is NAME=VALUE, such as path=direct"
            ));
        };
        if seen.contains(&name) {
            return Some(format!("--metrics-label {label:?}: there is a label {name:?} already"));
        }
        seen.push(name);
    }
    None
}

/// The metrics file, if there is to be one: a sink for each of these targets; without
/// it the run's files go again.
pub(super) fn metrics(
    results: &Results,
    runs: &[Run],
    files: &[Option<RunFiles>],
) -> Result<Vec<MetricsSink>, Failure> {
    let Some(path) = &results.metrics else { return Ok(Vec::new()) };
    let metrics = MetricsSink::of_targets(path, runs, &results.metrics_label, clock::now());
    let gone = |_: &_| files.iter().flatten().for_each(RunFiles::remove);
    Ok(metrics.inspect_err(gone)?)
}

/// Connects; without a connection the run's files go again.
pub(super) fn connect(
    target: &Target,
    dialer: &mut Dialer,
    files: Option<&RunFiles>,
) -> Result<Connected, Failure> {
    let connected = dialer.connect();
    connected.map_err(|(address, error)| {
        if let Some(files) = files {
            files.remove();
        }
        withheld(dialer.options.source_port, &error)
            .or_else(|| foreign(dialer, &error))
            .unwrap_or_else(|| target.not_connected(address, &error))
    })
}

/// The first pause between attempts to reach a target that is waited for, and the
/// longest: a service that starts with its host must not be late for it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Tries until the target takes a connection, which is closed again. Says why not,
/// once for each reason.
///
/// # Errors
///
/// A request to end came first.
pub(super) fn wait_for(target: &Target, way: &Way, timeout: Duration) -> Result<(), Failure> {
    let mut told = String::new();
    let mut pause = FIRST_PAUSE;
    loop {
        let mut target = target.clone();
        let why = match dialer(way, &mut target, timeout) {
            Ok(mut dialer) => match connect(&target, &mut dialer, None) {
                Ok(_) => return Ok(()),
                Err(why) => why.to_string(),
            },
            Err(why) => why.to_string(),
        };
        if signals::stop_requests() > 0 {
            return Err(Failure::NoReply(why));
        }
        if why != told {
            log::warn!("{why}; trying on");
            told = why;
        }
        let until = clock::now() + pause;
        pause = (pause * 2).min(LONGEST_PAUSE);
        while clock::now() < until && signals::stop_requests() == 0 {
            clock::sleep_until(until.min(clock::now() + Duration::from_millis(100)));
        }
    }
}

/// Whether this process may ask routers inside a connection.
///
/// # Errors
///
/// It may not.
pub(super) fn may_trace() -> Result<(), Failure> {
    match RawIcmp::open(false) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            let advice = "--trace-on-trouble needs root or CAP_NET_RAW; without it \
                          'echotest path' shows the hops of new connections";
            Err(io::Error::new(error.kind(), advice).into())
        }
        // A host without IPv4 may.
        _ => Ok(()),
    }
}

/// Has routers asked when one of a target's flows is in trouble.
pub(super) fn watch(dialer: &Dialer, flows: &[Option<Connection>]) -> Option<Box<dyn Sink>> {
    match Watch::start(dialer, flows) {
        Ok(watch) => Some(Box::new(watch)),
        Err(error) => {
            log::warn!("--trace-on-trouble: {error}");
            None
        }
    }
}

/// From now on signals end a run with its summary instead of the process; a
/// second one ends that too.
pub(super) fn watch_signals() -> io::Result<()> {
    signals::leave_at_second_request();
    [Signal::Interrupt, Signal::Terminate, Signal::HangUp, Signal::Quit, Signal::Reopen]
        .into_iter()
        .try_for_each(signals::watch)
}

/// The run's own files as destinations.
pub(super) fn file_sinks(
    output: &Output,
    extras: Extras,
    run: &Run,
    files: Option<RunFiles>,
) -> io::Result<Vec<Box<dyn Sink>>> {
    let Some(RunFiles { log, csv, .. }) = files else { return Ok(Vec::new()) };
    let limits = Limits::of(&output.results);
    let exit = Box::new(move |tally: &Tally| limits.judge(tally).0 as u64);
    let daily = DailySink::new(run.clone(), csv.series(), exit);
    let csv = CsvSink::new(csv, extra_columns(extras, run))?;
    let log = LogFileSink::new(log, run.clone(), &text::header(run), output.verbose)?;
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(csv), Box::new(log)];
    if let Some(daily) = daily {
        sinks.push(Box::new(daily));
    }
    Ok(sinks)
}

/// The destinations: files first, so that nothing that happens on a terminal
/// can cost a row.
pub(super) fn sinks(
    output: &Output,
    extras: Extras,
    run: &Run,
    files: Option<RunFiles>,
    metrics: Vec<MetricsSink>,
) -> io::Result<Vec<Box<dyn Sink>>> {
    let mut sinks = file_sinks(output, extras, run, files)?;
    sinks.extend(metrics.into_iter().map(|metrics| Box::new(metrics) as Box<dyn Sink>));
    if output.json {
        sinks.push(Box::new(JsonSink::new(run.clone())));
    } else if output.quiet > 1 {
        // From cron: nothing is said unless something is wrong.
    } else if run.protocol == "ping" {
        sinks.push(Box::new(PingTerminal::new(run.clone(), output.quiet > 0)));
    } else {
        sinks.push(Box::new(TerminalSink::new(run.clone(), output.quiet > 0)));
    }
    sinks.push(Box::new(DiagnosticsSink::new(run.size, run.frequency >= LINES_FROM)));
    Ok(sinks)
}

/// What the CSV holds beyond the columns of every run.
fn extra_columns(extras: Extras, run: &Run) -> Option<Box<dyn Extra>> {
    match run.protocol {
        "ping" if run.flows > 1 => Some(Box::new(FlowColumn(PingColumns))),
        "ping" => Some(Box::new(PingColumns)),
        "twamp" => Some(Box::new(TwampColumns)),
        _ => {
            let Extras { tcp_info, asked, explain, .. } = extras;
            let columns = StreamColumns { tcp_info, kernel_stamps: asked.parts, explain };
            if run.flows > 1 {
                return Some(Box::new(FlowColumn(columns)));
            }
            columns.any().then(|| Box::new(columns) as Box<dyn Extra>)
        }
    }
}

/// What the user's signals ask for.
#[derive(Default)]
pub(super) struct Orders {
    stops: u32,
    shows: u32,
}

impl Control for Orders {
    #[inline]
    fn order(&mut self) -> Option<Order> {
        if signals::stop_requests() > self.stops {
            self.stops += 1;
            return Some(if self.stops == 1 { Order::Stop } else { Order::Leave });
        }
        let shows = signals::seen(Signal::Quit);
        if shows > self.shows {
            self.shows = shows;
            return Some(Order::Show);
        }
        None
    }
}

/// The thresholds that the user set.
#[derive(Debug, Clone, Copy)]
struct Limits {
    loss: Option<f64>,
    rtt: Option<Duration>,
}

impl Limits {
    fn of(results: &Results) -> Self {
        Self { loss: results.max_loss, rtt: results.max_rtt }
    }

    /// Good if a reply came and no threshold is exceeded, and which are.
    #[allow(clippy::cast_precision_loss, reason = "thresholds are no finer than a double")]
    fn judge(self, tally: &Tally) -> (Status, String) {
        let mut exceeded = String::new();
        if let (Some(most), Some(loss)) = (self.loss, tally.loss_percent())
            && loss > most
        {
            put!(exceeded, "loss of {loss:.3} % is above --max-loss {most}\n");
        }
        if let (Some(most), Some(p99)) = (self.rtt, tally.rtt.percentile(99.0))
            && p99 as f64 > most.as_secs_f64() * 1e9
        {
            let p99 = p99 as f64 / 1e3;
            put!(exceeded, "p99 round-trip time of {p99} us is above --max-rtt\n");
        }
        let good = tally.received > 0 && exceeded.is_empty();
        let status = if tally.not_recorded > 0 || tally.not_logged > 0 {
            Status::Incomplete
        } else if good {
            Status::Good
        } else {
            Status::Bad
        };
        (status, exceeded)
    }
}

/// How the run ends; says which thresholds are exceeded.
pub(super) fn status(results: &Results, tally: &Tally) -> Status {
    let (status, exceeded) = Limits::of(results).judge(tally);
    exceeded.lines().for_each(|line| log::error!("{line}"));
    status
}
