//! `echotest twamp`: TWAMP with a control connection, or light.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::slice::from_ref;
use std::sync::Arc;
use std::time::Duration;

use super::Status;
use super::error::{Failure, UsageError};
use super::matches::Matches;
use super::measuring::{self, Orders, Output};
use super::options::{Pace, TestPackets};
use super::target::{Target, Way, dialer};
use crate::client::Extras;
use crate::client::twamp::{Keeper, MAX_UNDER_WAY, Rest, TwampLink, answers};
use crate::client::twamp_control::ControlClient;
use crate::net::{DatagramSocket, Dialer};
use crate::os::clock;
use crate::probe::{Directions, Independent, Plan, Tally, run as run_loop};
use crate::record::Run;
use crate::record::files::RunFiles;
use crate::record::recording::record;
use crate::wire::ntp::{ErrorEstimate, Timestamp};
use crate::wire::stamp::{self, Extension, TestResult};
use crate::wire::twamp_control::{Request, TEST_PORTS};
use crate::wire::twamp_test::SENDER;

/// What STAMP's packets have after TWAMP's own fields.
const STAMP_PADDING: usize = stamp::BASE - SENDER;
/// How long one address of several has to answer before the next is tried.
const LONGEST_TRIAL: Duration = Duration::from_secs(1);

/// A session that is ready to be measured.
struct Ready {
    socket: DatagramSocket,
    /// `None` in light mode.
    keeper: Option<Keeper>,
    address: SocketAddr,
    /// How long the control connection's handshake took.
    connect: Option<Duration>,
    rest: Rest,
}

/// `echotest twamp` with its arguments.
#[derive(Debug)]
pub(super) struct Options {
    target: Target,
    plan: Plan,
    packets: TestPackets,
    way: Way,
    output: Output,
}

impl super::command::Options for Options {
    fn of(matches: &Matches) -> Result<Self, UsageError> {
        let mut packets = TestPackets::of(matches);
        if packets.light {
            packets.padding = packets.padding.max(STAMP_PADDING);
        } else if !packets.stamp_tlv.is_empty() {
            return Err(matches.usage("--stamp-tlv needs --light".to_owned()));
        }
        Ok(Self {
            target: Target::of(matches)?,
            plan: Pace::of(matches).plan(packets.timeout, false),
            packets,
            way: Way::of(matches)?,
            output: Output::of(matches)?,
        })
    }

    /// Measures the path to the reflector that the arguments name.
    fn run(mut self) -> Result<Status, Failure> {
        let dialer = dialer(&self.way, &mut self.target, self.plan.timeout)?;
        measuring::watch_signals()?;
        let files = self.output.create_files("echo_twamp")?;
        clock::tighten_timers();
        let ready = if self.packets.light {
            ready_light(&self.packets, &dialer)
        } else {
            negotiate(&self.packets, &self.target, dialer)
        };
        let ready = ready.inspect_err(|_| {
            if let Some(files) = &files {
                files.remove();
            }
        })?;
        measure(&self, ready, files)
    }
}

/// A socket on this side, of the user's ports if there are any.
fn bind(packets: &TestPackets, mut local: SocketAddr) -> Result<DatagramSocket, Failure> {
    let Some(ports) = packets.test_ports.clone() else {
        local.set_port(0);
        return Ok(DatagramSocket::bind(&local)?);
    };
    let mut last = None;
    for port in ports {
        local.set_port(port);
        match DatagramSocket::bind(&local) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into());
    Err(error.into())
}

/// The first address that answers; where none does, or there is but one, the first
/// to which there is a way.
fn ready_light(packets: &TestPackets, dialer: &Dialer) -> Result<Ready, Failure> {
    let rest = light_rest(packets, dialer.options.dscp);
    let ready = |address| {
        let socket = light_socket(packets, dialer, address)?;
        Ok(Ready { socket, keeper: None, address, connect: None, rest: rest.clone() })
    };
    if dialer.addresses.len() > 1 {
        for &address in &dialer.addresses {
            // Closed again: a late answer to the trial is nothing of the run's.
            let trial = light_socket(packets, dialer, address);
            if trial.is_ok_and(|socket| answers(&socket, &rest, dialer.timeout.min(LONGEST_TRIAL)))
            {
                return ready(address);
            }
        }
    }
    let mut tries = dialer.addresses.iter().map(|&address| ready(address));
    let none = || Err(std::io::Error::from(std::io::ErrorKind::AddrNotAvailable).into());
    let first = tries.next().unwrap_or_else(none);
    first.or_else(|error| tries.find(Result::is_ok).unwrap_or(Err(error)))
}

/// What packets of light mode hold: zeros, and extensions where any is asked for; then
/// padding travels in one of its own.
fn light_rest(packets: &TestPackets, dscp: Option<u8>) -> Rest {
    let TestPackets { padding, stamp_tlv, .. } = packets;
    let more = padding - STAMP_PADDING;
    let wanted = |one: &&Extension| {
        let named = stamp_tlv.iter().any(|name| name == one.name || name == "all");
        named || one.name == "padding" && more > 0
    };
    if stamp_tlv.is_empty() {
        return Rest { bytes: vec![0; *padding], ..Rest::default() };
    }
    let asked: Vec<&Extension> = stamp::EXTENSIONS.iter().filter(wanted).collect();
    let (bytes, counter) = stamp::ask(asked.iter().copied(), dscp.unwrap_or(0), more);
    Rest { bytes, counter, asked }
}

/// A socket for the light reflector at `address`.
fn light_socket(
    packets: &TestPackets,
    dialer: &Dialer,
    address: SocketAddr,
) -> Result<DatagramSocket, Failure> {
    let unspecified = match address {
        SocketAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::from(Ipv6Addr::UNSPECIFIED),
    };
    let socket = bind(packets, dialer.options.source.unwrap_or((unspecified, 0).into()))?;
    mark(&socket, dialer)?;
    let unreachable = |error| Failure::NoReply(format!("cannot reach {address}: {error}"));
    socket.connect(address).map_err(unreachable)?;
    Ok(socket)
}

/// What the user wants of its packets.
fn mark(socket: &DatagramSocket, dialer: &Dialer) -> Result<(), Failure> {
    if let Some(interface) = dialer.options.interface {
        socket.hold_to(interface)?;
    }
    if let Some(dscp) = dialer.options.dscp {
        socket.mark(dscp)?;
    }
    Ok(())
}

/// A session, which is opened anew if the server ends it.
fn negotiate(packets: &TestPackets, target: &Target, dialer: Dialer) -> Result<Ready, Failure> {
    let (opened, dialer) = open(packets, target, dialer)?;
    let again = {
        let (packets, target) = (packets.clone(), target.clone());
        move || {
            let (opened, _) =
                open(&packets, &target, dialer.clone()).map_err(|error| error.to_string())?;
            Ok((opened.control, opened.socket))
        }
    };
    Ok(Ready {
        socket: opened.socket,
        keeper: Some(Keeper::new(opened.control, Arc::new(again))),
        address: opened.address,
        connect: Some(opened.took),
        rest: Rest { bytes: vec![0; packets.padding], ..Rest::default() },
    })
}

/// A session that the server has started.
struct Opened {
    control: ControlClient,
    socket: DatagramSocket,
    /// The reflector's.
    address: SocketAddr,
    /// How long the control connection's handshake took.
    took: Duration,
}

/// The whole control dialogue up to Start-Sessions.
fn open(
    packets: &TestPackets,
    target: &Target,
    mut dialer: Dialer,
) -> Result<(Opened, Dialer), Failure> {
    let connected =
        dialer.connect().map_err(|(address, error)| target.not_connected(address, &error))?;
    let refused =
        |error| Failure::NoReply(format!("{} ({}): {error}", target.host, connected.address));
    let local = connected.stream.local_address()?;
    // With its scope: a link-local address is nothing without.
    let socket = bind(packets, local)?;
    mark(&socket, &dialer)?;
    let sender_port = socket.local_address()?.port();
    let request = Request {
        ip_version: if local.is_ipv4() { 4 } else { 6 },
        sender_port,
        receiver_port: wished_port(packets, sender_port),
        // The control connection's own: behind a translator, only the other
        // side knows them.
        sender: None,
        receiver: None,
        padding: u32::try_from(packets.padding).unwrap_or(u32::MAX),
        start: Timestamp::default(),
        timeout: dialer.timeout,
        dscp: dialer.options.dscp,
    };
    let control = ControlClient::set_up(connected.stream, dialer.timeout).map_err(refused)?;
    let port = control.request(&request).map_err(refused)?;
    let mut address = connected.address;
    address.set_port(port);
    socket.connect(address)?;
    control.start().map_err(refused)?;
    Ok((Opened { control, socket, address, took: connected.took }, dialer))
}

/// The reflector's port to ask for, different from run to run.
fn wished_port(packets: &TestPackets, sender_port: u16) -> u16 {
    let ports = packets.test_ports.as_ref().unwrap_or(&TEST_PORTS);
    let count = ports.end().saturating_sub(*ports.start()).saturating_add(1);
    ports.start() + sender_port % count
}

fn measure(options: &Options, ready: Ready, files: Option<RunFiles>) -> Result<Status, Failure> {
    let Options { target, plan, packets, output, .. } = options;
    let plan = *plan;
    let anchor = clock::anchor();
    let (address, start) = (ready.address, anchor.wall);
    let run = Run {
        local: ready.socket.local_address().ok(),
        size: SENDER + ready.rest.bytes.len(),
        ..measuring::describe(target, "twamp", address, &plan, start, files.as_ref())
    };
    let metrics = measuring::metrics(&output.results, from_ref(&run), from_ref(&files))?;
    let mut sinks = measuring::sinks(output, Extras::default(), &run, files, metrics)?;
    let mut link = TwampLink::new(ready.socket, ready.rest, anchor, ready.keeper);
    let (now, wait) = (clock::now(), packets.start_delay);
    let mut machine = Independent::new(plan, now, MAX_UNDER_WAY, true).reflected().delayed(wait);
    let tally = empty_tally(now + wait, ready.connect);
    let mut measure =
        |outlet: &mut _| run_loop(&mut link, &mut machine, outlet, &mut Orders::default());
    let tally = record(Some(&run), tally, anchor, &mut sinks, &mut measure)?;
    if packets.send_result
        && let Err(error) = link.send_result(&result(&tally))
    {
        log::warn!("the result could not be sent: {error}");
    }
    match link.into_control() {
        Some(control) if !control.stands() => log::error!(
            "the server closed the control connection before the end: from then on it need not \
             have reflected, and what was lost is not the path's alone"
        ),
        Some(control) => {
            if let Err(error) = control.stop() {
                log::warn!("the session could not be ended: {error}");
            }
        }
        None => {}
    }
    if tally.received == 0 {
        // From cron, with -q, nothing else would say it.
        log::error!("no reply from {address}");
    }
    Ok(measuring::status(&output.results, &tally))
}

fn empty_tally(start: crate::clock::Mono, connect: Option<Duration>) -> Tally {
    let trust = clock::trust();
    // As it goes over the wire, so that both sides' estimates are alike.
    let error = ErrorEstimate::new(trust.synchronised, trust.error).error();
    let directions = Directions::new(trust.synchronised, error);
    let tally = match connect {
        Some(took) => Tally::new(start, took),
        None => Tally { start, end: start, ..Tally::default() },
    };
    Tally { directions: Some(Box::new(directions)), ..tally }
}

fn result(tally: &Tally) -> TestResult {
    let count = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    let span = |value: Option<u64>| Duration::from_nanos(value.unwrap_or(0));
    let mean = Duration::from_secs_f64(tally.rtt.mean().unwrap_or(0.0).max(0.0) / 1e9);
    TestResult {
        sent: count(tally.sent),
        received: count(tally.received),
        round_trips: [span(tally.rtt.min()), mean, span(tally.rtt.max())],
    }
}
