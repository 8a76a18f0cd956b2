//! `echotest client`, from options to exit status.

use std::io::{self, IsTerminal};
use std::slice::from_ref;

use super::Status;
use super::error::{Failure, UsageError};
use super::flows::Shape;
use super::matches::Matches;
use super::measuring::{self, Orders, Output};
use super::options::{Accuracy, Message, Pace, Packets, Reconnecting};
use super::target::{Target, Way, dialer};
use super::{floor, flows};
use crate::client::lookup::LookUp;
use crate::client::{EchoCodec, StreamLink, message};
use crate::net::Dialer;
use crate::net::dial::Connected;
use crate::os::clock;
use crate::probe::{Addresses, Plan, Slow, Tally, Tracker, run as run_loop};
use crate::record::files::RunFiles;
use crate::record::recording::record;
use crate::record::{Run, screen};

/// What a run of the echo client is to be, wherever it connects.
#[derive(Debug)]
pub(super) struct Measurement {
    pub(super) plan: Plan,
    pub(super) size: usize,
    pub(super) way: Way,
    pub(super) accuracy: Accuracy,
    pub(super) output: Output,
    pub(super) shape: Shape,
    /// Whether the target is waited for.
    retry: bool,
    /// Whether routers on the way are asked in trouble.
    pub(super) trace: bool,
    message: Option<String>,
}

impl Measurement {
    pub(super) fn of(matches: &Matches) -> Result<Self, UsageError> {
        let Packets { size, warmup, timeout } = Packets::of(matches);
        let Reconnecting { no_reconnect, retry, no_scouts, re_resolve, trace_on_trouble } =
            Reconnecting::of(matches);
        let output = Output::of(matches)?;
        let message = Message::of(matches).message;
        if output.json && message.is_some() {
            return Err(matches.usage("--json and --message exclude each other".to_owned()));
        }
        let shape = Shape::of(matches)?;
        let plan = Pace::of(matches).plan(timeout, !no_reconnect);
        let count = if plan.count > 0 { plan.count.saturating_add(warmup) } else { 0 };
        Ok(Self {
            plan: Plan {
                warmup,
                count,
                scouts: !no_scouts,
                re_resolve,
                keep_port: shape.has_ports(),
                ..plan
            },
            size,
            way: Way::of(matches)?,
            accuracy: Accuracy::of(matches),
            output,
            shape,
            retry,
            trace: trace_on_trouble,
            message,
        })
    }

    /// Connects to the target and runs the plan, or exchanges the one message.
    pub(super) fn run(&self, target: &mut Target) -> Result<Status, Failure> {
        // First: a Ctrl-C from here on takes the files away again.
        measuring::watch_signals()?;
        if self.trace {
            measuring::may_trace()?;
        }
        if self.retry {
            measuring::wait_for(target, &self.way, self.plan.timeout)?;
        }
        if !self.shape.is_single() {
            return flows::run(self, target);
        }
        let mut dialer = dialer(&self.way, target, self.plan.timeout)?;
        dialer.options.source_port = self.shape.first_port();
        if let Some(text) = &self.message {
            let connected = measuring::connect(target, &mut dialer, None)?;
            return exchange(&connected, text, &self.plan);
        }
        let files = self.output.create_files("echo_client")?;
        let floor = if self.accuracy.floor {
            floor::measure(&self.plan, self.size, self.accuracy.extras(self.plan.frequency))?
        } else {
            None
        };
        let connected = measuring::connect(target, &mut dialer, files.as_ref())?;
        self.probe(target, dialer, connected, files, floor)
    }

    fn probe(
        &self,
        target: &Target,
        dialer: Dialer,
        connected: Connected,
        files: Option<RunFiles>,
        floor: Option<(u64, u64)>,
    ) -> Result<Status, Failure> {
        let (size, plan) = (self.size, self.plan);
        clock::tighten_timers();
        let extras = self.accuracy.extras(plan.frequency);
        let anchor = clock::anchor();
        let start = anchor.wall;
        let run = Run {
            size,
            tcp_info: extras.tcp_info,
            floor,
            ..measuring::describe_connection(
                target,
                "echo",
                &connected,
                &plan,
                start,
                files.as_ref(),
            )
        };
        let metrics = measuring::metrics(&self.output.results, from_ref(&run), from_ref(&files))?;
        let mut sinks = measuring::sinks(&self.output, extras, &run, files, metrics)?;
        let connect = connected.took;
        let connection = connected.connection();
        if self.trace {
            sinks.extend(measuring::watch(&dialer, &[Some(connection)]));
        }
        // A numeric address leads to itself.
        let look_up = target
            .look_up
            .map(|_| LookUp::new(target.host.clone(), target.port, self.way.family, 1));
        let link = StreamLink::new(EchoCodec::new(size), dialer, connected, extras);
        let mut link = link.with_look_up(look_up);
        let start = clock::now();
        let kernel = extras.asked.parts.then(Box::default);
        let slow = Slow::new(self.accuracy.slow);
        let addresses = Addresses::from(run.address);
        let tally = Tally { kernel, slow, addresses, ..Tally::new(plan.counted(start), connect) };
        let mut tracker = Tracker::over(plan, start, Some(connection));
        let mut measure =
            |outlet: &mut _| run_loop(&mut link, &mut tracker, outlet, &mut Orders::default());
        let tally = record(Some(&run), tally, anchor, &mut sinks, &mut measure)?;
        Ok(measuring::status(&self.output.results, &tally))
    }
}

/// `echotest client` with its arguments.
#[derive(Debug)]
pub(super) struct Options {
    target: Target,
    measurement: Measurement,
}

impl super::command::Options for Options {
    fn of(matches: &Matches) -> Result<Self, UsageError> {
        Ok(Self { target: Target::of(matches)?, measurement: Measurement::of(matches)? })
    }

    fn run(mut self) -> Result<Status, Failure> {
        self.measurement.run(&mut self.target)
    }
}

fn exchange(connected: &Connected, text: &str, plan: &Plan) -> Result<Status, Failure> {
    let until = clock::now() + plan.timeout;
    let received = message::exchange(&connected.stream, text.as_bytes(), until);
    let received = received.map_err(|error| Failure::NoReply(format!("no reply: {error}")))?;
    if received.is_empty() {
        return Err(Failure::NoReply("no reply came before the time-out".to_owned()));
    }
    let mut line = b"Received: ".to_vec();
    // As it came for a pipe; a stranger's bytes are no orders to a terminal.
    let shown = if io::stdout().is_terminal() { printable(&received) } else { received.clone() };
    line.extend_from_slice(&shown);
    line.push(b'\n');
    screen::result(line);
    if received != text.as_bytes() {
        log::warn!("{} of {} bytes came back as sent", same(&received, text), text.len());
    }
    Ok(Status::Good)
}

/// The text with whatever a terminal would obey written out.
fn printable(received: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(received);
    let shown = text.chars().map(|c| {
        if c.is_control() && c != '\n' && c != '\t' {
            c.escape_default().to_string()
        } else {
            c.into()
        }
    });
    shown.collect::<String>().into_bytes()
}

/// How many bytes agree.
fn same(received: &[u8], text: &str) -> usize {
    received.iter().zip(text.as_bytes()).filter(|(a, b)| a == b).count()
}
