//! `echotest client`, from options to exit status.

use std::io::{self, Write};

use super::Status;
use super::error::Failure;
use super::floor;
use super::matches::Matches;
use super::measuring::{self, Orders};
use super::target::{Target, dialer};
use crate::client::{EchoCodec, StreamLink, message};
use crate::net::Dialer;
use crate::net::dial::Connected;
use crate::os::clock;
use crate::probe::{Plan, Tally, Tracker, run as run_loop};
use crate::record::Run;
use crate::record::files::RunFiles;
use crate::record::recording::record;

/// The echo service's port (RFC 862).
const ECHO_PORT: u16 = 7;

/// Measures the host that the arguments name.
pub(super) fn run(matches: &Matches) -> Result<Status, Failure> {
    measure(matches, &mut Target::of(matches, ECHO_PORT)?)
}

/// Connects to the target and runs the plan, or exchanges the one message.
pub(super) fn measure(matches: &Matches, target: &mut Target) -> Result<Status, Failure> {
    if matches.flag("json") && matches.text("message").is_some() {
        return Err(matches.usage("--json and --message exclude each other".to_owned()).into());
    }
    let plan = measuring::plan(matches);
    let mut dialer = dialer(matches, target, plan.timeout)?;
    let message = matches.text("message");
    // First: a Ctrl-C from here on takes the files away again.
    measuring::watch_signals()?;
    let files = match message {
        Some(_) => None,
        None => measuring::files(matches, "echo_client")?,
    };
    let floor = match (matches.flag("floor"), message.is_some()) {
        (true, false) => floor::measure(&plan, size(matches), measuring::extras(matches))?,
        _ => None,
    };
    let connected = measuring::connect(target, &mut dialer, files.as_ref())?;
    match message {
        Some(text) => exchange(&connected, &text, &plan),
        None => probe(matches, target, plan, dialer, connected, files, floor),
    }
}

fn size(matches: &Matches) -> usize {
    matches.whole("size").and_then(|size| usize::try_from(size).ok()).unwrap_or(1)
}

fn exchange(connected: &Connected, text: &str, plan: &Plan) -> Result<Status, Failure> {
    let until = clock::now() + plan.timeout;
    let received = message::exchange(&connected.stream, text.as_bytes(), until);
    let received = received.map_err(|error| Failure::NoReply(format!("no reply: {error}")))?;
    if received.is_empty() {
        return Err(Failure::NoReply("no reply came before the time-out".to_owned()));
    }
    let mut line = b"Received: ".to_vec();
    line.extend_from_slice(&received);
    line.push(b'\n');
    // A reader that has gone has read enough.
    let _ = io::stdout().write_all(&line);
    if received != text.as_bytes() {
        log::warn!("{} of {} bytes came back as sent", same(&received, text), text.len());
    }
    Ok(Status::Good)
}

/// How many bytes agree.
fn same(received: &[u8], text: &str) -> usize {
    received.iter().zip(text.as_bytes()).filter(|(a, b)| a == b).count()
}

fn probe(
    matches: &Matches,
    target: &Target,
    plan: Plan,
    dialer: Dialer,
    connected: Connected,
    files: Option<RunFiles>,
    floor: Option<(u64, u64)>,
) -> Result<Status, Failure> {
    let size = size(matches);
    clock::tighten_timers();
    let extras = measuring::extras(matches);
    let anchor = clock::anchor();
    let start = anchor.wall;
    let run = Run {
        size,
        tcp_info: extras.tcp_info,
        floor,
        ..measuring::describe_connection(target, "echo", &connected, &plan, start, files.as_ref())
    };
    let metrics = measuring::metrics(matches, &run, files.as_ref())?;
    let mut sinks = measuring::sinks(matches, &run, files, metrics);
    let connect = connected.took;
    let mut link = StreamLink::new(EchoCodec::new(size), dialer, connected, extras);
    let start = clock::now();
    let kernel = extras.kernel_stamps.then(Box::default);
    let tally = Tally { kernel, ..Tally::new(start, connect) };
    let mut tracker = Tracker::new(plan, start);
    let measure =
        |outlet: &mut _| run_loop(&mut link, &mut tracker, outlet, &mut Orders::default());
    let tally = record(Some(&run), tally, anchor, &mut sinks, measure)?;
    Ok(measuring::status(matches, &tally))
}
