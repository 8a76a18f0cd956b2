//! `echotest client`, from options to exit status.

use std::io::{self, Write};

use super::Status;
use super::error::Failure;
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
    let connected = measuring::connect(target, &mut dialer, files.as_ref())?;
    match message {
        Some(text) => exchange(&connected, &text, &plan),
        None => probe(matches, target, plan, dialer, connected, files),
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
    line.extend_from_slice(&received);
    line.push(b'\n');
    // A reader that has gone has read enough.
    let _ = io::stdout().write_all(&line);
    if received != text.as_bytes() {
        log::warn!("{} of {} bytes came back as sent", same(&received, text), text.len());
    }
    Ok(Status::Good)
}

/// How many octets agree.
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
) -> Result<Status, Failure> {
    let size = matches.whole("size").and_then(|size| usize::try_from(size).ok()).unwrap_or(1);
    clock::tighten_timers();
    let anchor = clock::anchor();
    let run = Run {
        command: target.command,
        protocol: "echo",
        host: target.host.clone(),
        port: target.port,
        address: connected.address,
        local: connected.stream.local_address().ok(),
        start: anchor.wall,
        size,
        frequency: plan.frequency,
        count: plan.count,
        timeout: plan.timeout,
        tcp_info: matches.flag("tcp-info"),
        look_up: target.look_up,
        files: files.as_ref().map(RunFiles::paths),
    };
    let metrics = measuring::metrics(matches, &run, files.as_ref())?;
    let mut sinks = measuring::sinks(matches, &run, files, metrics);
    let connect = connected.took;
    let mut link =
        StreamLink::new(EchoCodec::new(size), dialer, connected, matches.flag("tcp-info"));
    let start = clock::now();
    let mut orders = Orders::new(run);
    let tally = run_loop(
        &mut link,
        &mut Tracker::new(plan, start),
        Tally::new(start, connect),
        anchor,
        &mut sinks,
        &mut orders,
    );
    Ok(measuring::status(matches, &tally))
}
