//! `echotest measure`: a session of the measurement protocol for each series.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Status;
use super::error::{Failure, UsageError};
use super::matches::Matches;
use super::measuring::{self, Orders};
use super::options::{Files, Format, ROUND_TRIP_SIZES, Series, THROUGHPUT_SIZES};
use super::target::{Target, Way, dialer};
use crate::client::measurement::{MeasurementCodec, SetupError, set_up, terminate};
use crate::client::{Extras, StreamLink};
use crate::net::Dialer;
use crate::net::dial::Connected;
use crate::os::{clock, signals};
use crate::probe::{Plan, Sink, Tally, Tracker, run as run_loop};
use crate::record::csv::CsvSink;
use crate::record::diagnostics::DiagnosticsSink;
use crate::record::files::RunFiles;
use crate::record::log_file::LogFileSink;
use crate::record::measurement::{self, SeriesSink, TABLE_HEAD};
use crate::record::recording::record;
use crate::record::screen;
use crate::record::{Run, held, json};
use crate::text::object::Object;
use crate::wire::measurement::{Kind, Reply, Setup};

/// `echotest measure` with its arguments.
#[derive(Debug)]
pub(super) struct Options {
    target: Target,
    way: Way,
    timeout: Duration,
    /// In the order in which they are measured; all of one delay and number of
    /// probes.
    setups: Vec<Setup>,
    files: Files,
    json: bool,
}

impl super::command::Options for Options {
    fn of(matches: &Matches) -> Result<Self, UsageError> {
        let series = Series::of(matches);
        Ok(Self {
            target: Target::of(matches)?,
            way: Way::of(matches)?,
            timeout: series.timeout,
            setups: setups(&series),
            files: Files::of(matches),
            json: Format::of(matches).json,
        })
    }

    /// Measures every series that is asked for, one after another.
    fn run(mut self) -> Result<Status, Failure> {
        let mut dialer = dialer(&self.way, &mut self.target, self.timeout)?;
        measuring::watch_signals()?;
        let files = self.files.create("echo_measure", None)?;
        clock::tighten_timers();
        let connected = measuring::connect(&self.target, &mut dialer, files.as_ref())?;
        let mut measuring = Measuring::new(&self, &connected, files)?;
        let ended = measuring.all(&self.setups, &mut dialer, connected);
        let error = ended.as_ref().err().map(Failure::to_string);
        let lost = measuring.finish(&self.setups, error.as_deref());
        ended?;
        let received = held(&measuring.total).received;
        Ok(match (lost, received) {
            (1.., _) => Status::Incomplete,
            (0, 1..) => Status::Good,
            (0, 0) => Status::Bad,
        })
    }
}

/// The series asked for, in the order in which they are measured.
fn setups(series: &Series) -> Vec<Setup> {
    let kinds = match series.kind.as_deref() {
        Some("rtt") => vec![Kind::RoundTrip],
        Some("ttput") => vec![Kind::Throughput],
        _ => vec![Kind::RoundTrip, Kind::Throughput],
    };
    let sizes = |kind| match (&series.sizes, kind) {
        (Some(given), _) => given.to_vec(),
        (None, Kind::RoundTrip) => ROUND_TRIP_SIZES.to_vec(),
        (None, Kind::Throughput) => THROUGHPUT_SIZES.to_vec(),
    };
    let (probes, delay) = (series.probes, series.server_delay);
    let of = |kind| sizes(kind).into_iter().map(move |size| Setup { kind, size, probes, delay });
    kinds.into_iter().flat_map(of).collect()
}

/// Everything that outlives a single series.
struct Measuring<'a> {
    target: &'a Target,
    as_json: bool,
    timeout: Duration,
    run: Run,
    csv: Option<Arc<Mutex<CsvSink>>>,
    log: Option<LogFileSink>,
    total: Arc<Mutex<Tally>>,
    series: Vec<measurement::Series>,
}

/// A reply that is not whole after so many time-outs ends the run: a server that
/// drips a byte a second must not hold it for ever.
const TIMEOUTS: u32 = 3;

impl<'a> Measuring<'a> {
    fn new(
        options: &'a Options,
        connected: &Connected,
        files: Option<RunFiles>,
    ) -> io::Result<Self> {
        let Options { target, timeout, json, .. } = options;
        let timeout = *timeout;
        let first = options.setups.first();
        let plan = Plan {
            frequency: Duration::ZERO,
            count: first.map_or(0, |setup| setup.probes),
            duration: None,
            timeout,
            reconnect: false,
            ..Plan::default()
        };
        let start = clock::wall();
        let run = measuring::describe_connection(
            target,
            "measure",
            connected,
            &plan,
            start,
            files.as_ref(),
        );
        let (log, csv) = files.map(|files| (files.log, files.csv)).unzip();
        let columns = ["type", "size"];
        let csv = csv.map(|file| CsvSink::with_series(file, None, &columns)).transpose()?;
        let csv = csv.map(|csv| Arc::new(Mutex::new(csv)));
        let header = format!("measuring {} ({})", target.host, run.address);
        let log = log.map(|log| LogFileSink::new(log, run.clone(), &header, false)).transpose()?;
        let peer_delay = first.map(|setup| setup.delay).unwrap_or_default();
        let start = Tally { start: clock::now(), peer_delay, ..Tally::default() };
        Ok(Self {
            target,
            as_json: *json,
            timeout,
            run,
            csv,
            log,
            total: Arc::new(Mutex::new(start)),
            series: Vec::new(),
        })
    }

    fn all(
        &mut self,
        setups: &[Setup],
        dialer: &mut Dialer,
        first: Connected,
    ) -> Result<(), Failure> {
        self.say(TABLE_HEAD);
        let mut ready = Some(first);
        for setup in setups {
            if signals::stop_requests() > 0 {
                break;
            }
            let connected = match ready.take() {
                Some(connected) => connected,
                None => dialer
                    .connect()
                    .map_err(|(address, error)| self.target.not_connected(address, &error))?,
            };
            self.one(setup, dialer, connected)?;
            if let Some(series) = self.series.last() {
                self.say(&series.row());
            }
        }
        Ok(())
    }

    /// One series: setup, probes, termination.
    fn one(&mut self, setup: &Setup, dialer: &Dialer, connected: Connected) -> Result<(), Failure> {
        held(&self.total).connected(connected.took);
        let until = clock::now() + self.timeout;
        set_up(&connected.stream, setup, until).map_err(|error| match error {
            SetupError::Silent => Failure::NoReply(error.to_string()),
            error => error.into(),
        })?;
        let throughput = Arc::default();
        let mut sinks = self.sinks(setup, &throughput);
        let connect = connected.took;
        let codec = MeasurementCodec::new(setup.size);
        let mut link = StreamLink::new(codec, dialer.clone(), connected, Extras::default());
        let start = clock::now();
        let mut tracker = Tracker::new(self.plan(setup), start);
        let tally = Tally::new(start, connect);
        let mut measure =
            |outlet: &mut _| run_loop(&mut link, &mut tracker, outlet, &mut Orders::default());
        let tally = record(Some(&self.run), tally, clock::anchor(), &mut sinks, &mut measure)?;
        drop(sinks);
        let refused = link.refusal().map(str::to_owned);
        if let (true, Some(stream)) = (tally.drops == 0, link.into_stream()) {
            end_session(&stream, clock::now() + self.timeout);
        }
        let throughput = std::mem::take(&mut *held(&throughput));
        self.series.push(measurement::Series { setup: *setup, tally, throughput });
        match refused {
            Some(said) => {
                let sent = format!("m PAYLOAD({} bytes) NUMBER", setup.size);
                Err(SetupError::Refused { sent, said }.into())
            }
            None => Ok(()),
        }
    }

    /// One probe at a time; the server's own delay is not the path's fault.
    fn plan(&self, setup: &Setup) -> Plan {
        Plan {
            frequency: Duration::ZERO,
            count: setup.probes,
            duration: None,
            timeout: self.timeout + setup.delay,
            reconnect: false,
            give_up: Some((self.timeout + setup.delay) * TIMEOUTS),
            ..Plan::default()
        }
    }

    fn sinks(
        &self,
        setup: &Setup,
        throughput: &Arc<Mutex<crate::stats::Summary>>,
    ) -> Vec<Box<dyn Sink>> {
        let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
        if let Some(csv) = &self.csv {
            let values = [setup.kind.name().to_owned(), setup.size.to_string()];
            held(csv).set_series(&values);
            sinks.push(Box::new(Arc::clone(csv)));
        }
        let (throughput, total) = (Arc::clone(throughput), Arc::clone(&self.total));
        sinks.push(Box::new(SeriesSink::new(setup.size, throughput, total)));
        sinks.push(Box::new(DiagnosticsSink::new(setup.size, true)));
        sinks
    }

    /// Prints a line of the table, and logs it.
    fn say(&mut self, line: &str) {
        if let Some(log) = &mut self.log {
            log.line(clock::wall(), "INFO", line);
        }
        if !self.as_json {
            // A reader that has gone has read enough.
            let _ = screen::say(&format!("{line}\n"));
        }
    }

    /// Gives how many rows and lines of the log were lost.
    fn finish(&mut self, setups: &[Setup], error: Option<&str>) -> u64 {
        held(&self.total).end = clock::now();
        let rows = self.csv.as_ref().map_or(0, |csv| held(csv).settle());
        held(&self.total).not_recorded += rows;
        let lines = self.log.as_mut().map_or(0, LogFileSink::close);
        let lost = held(&self.total).not_recorded + lines;
        if !self.as_json {
            return lost;
        }
        let total = held(&self.total);
        let delay = setups.first().map(|setup| setup.delay.as_secs_f64());
        let object: Object = json::object(&self.run, &total)
            .number("server_delay_s", delay, 9)
            .array("series", self.series.iter().map(measurement::Series::object))
            .text("error", error);
        screen::result(&(object.finish() + "\n"));
        lost
    }
}

fn end_session(stream: &crate::net::Stream, until: crate::clock::Mono) {
    match terminate(stream, until) {
        Ok(said) if Reply::read(said.as_bytes()) == Some(Reply::Closing) => {}
        Ok(said) => log::warn!("the server answered {said:?} to the termination"),
        Err(error) => log::warn!("the termination failed: {error}"),
    }
}
