//! What every measuring command shares: its plan, its destinations, the
//! user's signals, and what the exit status says.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::Status;
use super::error::Failure;
use super::matches::Matches;
use super::target::Target;
use crate::client::Extras;
use crate::clock::Wall;
use crate::net::dial::Connected;
use crate::net::{Dialer, Waiting};
use crate::os::clock;
use crate::os::signals::{self, Signal};
use crate::probe::{Control, Order, Plan, Sink, Tally};
use crate::record::csv::{CsvSink, Extra, StreamColumns};
use crate::record::diagnostics::DiagnosticsSink;
use crate::record::files::RunFiles;
use crate::record::json::JsonSink;
use crate::record::log_file::LogFileSink;
use crate::record::manifest::Manifest;
use crate::record::metrics::MetricsSink;
use crate::record::ping::{PingColumns, PingTerminal};
use crate::record::terminal::TerminalSink;
use crate::record::twamp::TwampColumns;
use crate::record::{Run, text};

/// Above this rate an overdue packet is no line of its own.
const LINES_FROM: Duration = Duration::from_millis(100);

/// What the schedule options ask for.
pub(super) fn plan(matches: &Matches) -> Plan {
    // A command's usual count does not cut short a time that was asked for.
    let time_alone = matches.flag("duration") && !matches.flag("count");
    Plan {
        frequency: matches.seconds("frequency").unwrap_or_default(),
        count: matches.whole("count").filter(|_| !time_alone).unwrap_or(0),
        duration: matches.seconds("duration"),
        timeout: matches.seconds("timeout").unwrap_or_default(),
        reconnect: !matches.flag("no-reconnect"),
    }
}

/// How the options ask for waits to be made.
pub(super) fn waiting(matches: &Matches) -> Waiting {
    match (matches.flag("busy-poll"), matches.flag("precise")) {
        (true, _) => Waiting::Spin,
        (false, true) => Waiting::Precise,
        (false, false) => Waiting::Sleep,
    }
}

/// What the options ask of a link.
pub(super) fn extras(matches: &Matches) -> Extras {
    Extras {
        tcp_info: matches.flag("tcp-info"),
        kernel_stamps: matches.text("timestamps").is_some(),
        waiting: waiting(matches),
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
        count: plan.count,
        timeout: plan.timeout,
        tcp_info: false,
        floor: None,
        manifest: Manifest::gather(None, None),
        look_up: target.look_up,
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

/// The run's two files, unless `--no-files`.
pub(super) fn files(matches: &Matches, program: &str) -> Result<Option<RunFiles>, Failure> {
    if matches.flag("no-files") {
        return Ok(None);
    }
    let directory = matches.text("log-dir").unwrap_or_default();
    Ok(Some(RunFiles::create(Path::new(&directory), program, clock::wall())?))
}

/// The metrics file, if there is to be one; without it the run's files go again.
pub(super) fn metrics(
    matches: &Matches,
    run: &Run,
    files: Option<&RunFiles>,
) -> Result<Option<MetricsSink>, Failure> {
    let path = matches.text("metrics");
    let start = |path| MetricsSink::new(Path::new(path), run, clock::now());
    let metrics = path.as_deref().map(start).transpose().inspect_err(|_| {
        if let Some(files) = files {
            files.remove();
        }
    });
    Ok(metrics?)
}

/// Connects; without a connection the run's files go again.
pub(super) fn connect(
    target: &Target,
    dialer: &mut Dialer,
    files: Option<&RunFiles>,
) -> Result<Connected, Failure> {
    dialer.connect().map_err(|(address, error)| {
        if let Some(files) = files {
            files.remove();
        }
        target.not_connected(address, &error)
    })
}

/// From now on signals end a run with its summary instead of the process.
pub(super) fn watch_signals() -> io::Result<()> {
    [Signal::Interrupt, Signal::Terminate, Signal::HangUp, Signal::Quit]
        .into_iter()
        .try_for_each(signals::watch)
}

/// The destinations: files first, so that nothing that happens on a terminal
/// can cost a row.
pub(super) fn sinks(
    matches: &Matches,
    run: &Run,
    files: Option<RunFiles>,
    metrics: Option<MetricsSink>,
) -> Vec<Box<dyn Sink>> {
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    if let Some(RunFiles { log, csv, .. }) = files {
        sinks.push(Box::new(CsvSink::new(csv, extra_columns(matches, run))));
        sinks.push(Box::new(LogFileSink::new(
            log,
            run.clone(),
            &text::header(run),
            matches.flag("verbose"),
        )));
    }
    if let Some(metrics) = metrics {
        sinks.push(Box::new(metrics));
    }
    if matches.flag("json") {
        sinks.push(Box::new(JsonSink::new(run.clone())));
    } else if run.protocol == "twamp" && matches.flag("quiet") {
        // From cron: nothing is said unless something is wrong.
    } else if run.protocol == "ping" {
        sinks.push(Box::new(PingTerminal::new(run.clone())));
    } else {
        sinks.push(Box::new(TerminalSink::new(run.clone())));
    }
    sinks.push(Box::new(DiagnosticsSink::new(run.size, run.frequency >= LINES_FROM)));
    sinks
}

/// What the CSV holds beyond the columns of every run.
fn extra_columns(matches: &Matches, run: &Run) -> Option<Box<dyn Extra>> {
    match run.protocol {
        "ping" => Some(Box::new(PingColumns)),
        "twamp" => Some(Box::new(TwampColumns)),
        _ => {
            let Extras { tcp_info, kernel_stamps, .. } = extras(matches);
            let columns = StreamColumns { tcp_info, kernel_stamps };
            (tcp_info || kernel_stamps).then(|| Box::new(columns) as Box<dyn Extra>)
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

/// Good if a reply came and no threshold is exceeded.
#[allow(clippy::cast_precision_loss, reason = "thresholds are no finer than a double")]
pub(super) fn status(matches: &Matches, tally: &Tally) -> Status {
    let mut status = if tally.received > 0 { Status::Good } else { Status::Bad };
    if let (Some(most), Some(loss)) = (matches.percent("max-loss"), tally.loss_percent())
        && loss > most
    {
        log::error!("loss of {loss:.3} % is above --max-loss {most}");
        status = Status::Bad;
    }
    if let (Some(most), Some(p99)) = (matches.seconds("max-rtt"), tally.rtt.percentile(99.0))
        && p99 as f64 > most.as_secs_f64() * 1e9
    {
        log::error!("p99 round-trip time of {} us is above --max-rtt", p99 as f64 / 1e3);
        status = Status::Bad;
    }
    status
}
