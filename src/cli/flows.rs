//! `echotest client` with several flows or several targets: one timed loop over all
//! of their connections.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use super::client::Measurement;
use super::error::{Failure, UsageError};
use super::matches::Matches;
use super::measuring::{self, Orders};
use super::options::{Accuracy, Message, Pace, Parallel};
use super::target::{Target, dialer};
use super::{Status, floor};
use crate::client::lookup::LookUp;
use crate::client::{EchoCodec, StreamLink};
use crate::clock::{Mono, Wall};
use crate::net::Dialer;
use crate::net::dial::Connected;
use crate::net::many::{Refused, connect_all};
use crate::net::together::Together;
use crate::os::clock;
use crate::os::signals;
use crate::probe::lanes::{Lane, run_lanes};
use crate::probe::{Addresses, Outlet, Plan, Sink, Slow, Tally, Track, Tracker, Turn};
use crate::record::Run;
use crate::record::diagnostics::DiagnosticsSink;
use crate::record::files::RunFiles;
use crate::record::joint::{Joint, Missing};
use crate::record::recording::record_all;
use crate::server::service::ECHO;

/// How many flows, from which ports, and to whom else.
#[derive(Debug)]
pub(super) struct Shape {
    flows: usize,
    ports: Option<Vec<u16>>,
    against: Vec<Target>,
}

impl Shape {
    pub(super) fn of(matches: &Matches) -> Result<Self, UsageError> {
        let Parallel { flows, source_ports, against } = Parallel::of(matches);
        let ports = source_ports.map(|ports| listed(matches, &ports, flows)).transpose()?;
        let port = matches.positional_at(1).and_then(|text| text.parse().ok());
        let port = port.or(matches.command().port).unwrap_or(ECHO.port);
        let further = |text: &String| Target::further(matches, text, port);
        let against: Vec<Target> = against.iter().map(further).collect::<Result<_, _>>()?;
        let shape = Self { flows, ports, against };
        if let Some(problem) = shape.problem(matches) {
            return Err(matches.usage(problem.to_owned()));
        }
        Ok(shape)
    }

    /// What does not go together with several flows or targets.
    fn problem(&self, matches: &Matches) -> Option<&'static str> {
        let accuracy = Accuracy::of(matches);
        if self.is_single() {
            None
        } else if Message::of(matches).message.is_some() {
            Some("--message goes to one target over one flow")
        } else if accuracy.busy_poll || accuracy.precise {
            Some("--busy-poll and --precise are for one flow to one target")
        } else if self.against.is_empty() {
            None
        } else if Pace::of(matches).frequency.is_zero() {
            Some("--against needs a --frequency above 0: without it there are no rounds")
        } else {
            None
        }
    }

    /// One connection, as ever.
    pub(super) fn is_single(&self) -> bool {
        self.flows == 1 && self.against.is_empty()
    }

    /// Whether the user chose the local ports, or many are to be told apart by them.
    pub(super) fn has_ports(&self) -> bool {
        self.ports.is_some() || !self.is_single()
    }

    pub(super) fn first_port(&self) -> Option<u16> {
        self.ports.as_ref().and_then(|ports| ports.first().copied())
    }
}

/// As many ports as there are flows.
pub(super) fn listed(
    matches: &Matches,
    ports: &RangeInclusive<u16>,
    flows: usize,
) -> Result<Vec<u16>, UsageError> {
    let (low, high) = (*ports.start(), *ports.end());
    let high = if low == high { u16::MAX } else { high };
    let ports: Vec<u16> = (low..=high).take(flows).collect();
    if ports.len() < flows {
        let problem = format!(
            "--source-ports: {} ports from {low} on are too few for --flows {flows}",
            ports.len()
        );
        return Err(matches.usage(problem));
    }
    Ok(ports)
}

/// A target of which at least one flow is connected.
struct Reached {
    /// Its place among all, from 1.
    number: usize,
    target: Target,
    flows: Vec<Flow>,
}

struct Flow {
    dialer: Dialer,
    port: Option<u16>,
    connected: Result<Connected, Refused>,
}

impl Flow {
    fn addresses(&self) -> Addresses {
        Addresses::from(match &self.connected {
            Ok(connected) => connected.address,
            Err((remote, _)) => *remote,
        })
    }

    fn local(&self) -> Option<SocketAddr> {
        match &self.connected {
            Ok(connected) => connected.stream.local_address().ok(),
            Err((remote, _)) => {
                let any: IpAddr = match remote {
                    SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                };
                let source = self.dialer.options.source.map_or(any, |source| source.ip());
                self.port.map(|port| (source, port).into())
            }
        }
    }
}

/// Connects to all targets and runs the plan over all flows.
pub(super) fn run(measurement: &Measurement, first: &Target) -> Result<Status, Failure> {
    let files = measurement.output.create_files("echo_client")?;
    let remove = |failure| {
        files.iter().for_each(RunFiles::remove);
        failure
    };
    let extras = measurement.accuracy.extras(measurement.plan.frequency);
    let floor = if measurement.accuracy.floor {
        floor::measure(&measurement.plan, measurement.size, extras)?
    } else {
        None
    };
    let (reached, missing) = reach(measurement, first).map_err(remove)?;
    let all_reached = missing.is_empty();
    let further = |reached: &Reached| match (&files, reached.number) {
        (Some(files), 2..) => files.further(reached.number).map(Some),
        _ => Ok(None),
    };
    let mut pairs: Vec<Option<RunFiles>> = reached.iter().map(further).collect::<Result<_, _>>()?;
    // The first target that is measured has the first pair.
    if let Some(pair) = pairs.first_mut() {
        *pair = files;
    }
    let tallies = probe(measurement, reached, missing, pairs, floor)?;
    let each = tallies.iter().map(|tally| measuring::status(&measurement.output.results, tally));
    let status = each.max().unwrap_or(Status::Bad);
    Ok(if all_reached { status } else { status.max(Status::Bad) })
}

/// Those that could be connected to, and the others. All of them together fail only
/// where none is reached, or where this host withholds a port.
fn reach(
    measurement: &Measurement,
    first: &Target,
) -> Result<(Vec<Reached>, Vec<Missing>), Failure> {
    let shape = &measurement.shape;
    let mut ports: Option<Vec<Option<u16>>> =
        shape.ports.as_ref().map(|ports| ports.iter().copied().map(Some).collect());
    let (mut reached, mut missing, mut failed) = (Vec::new(), Vec::new(), None);
    for (place, target) in std::iter::once(first).chain(&shape.against).enumerate() {
        let mut target = target.clone();
        let mut connected = connect(measurement, &mut target, ports.as_deref());
        // Nobody asked for just these: two names may lead to one address.
        if shape.ports.is_none() && connected.as_ref().is_err_and(|it| !is_about_target(it)) {
            connected = connect(measurement, &mut target, None);
        }
        match connected {
            Ok(flows) => {
                let known = || flows.iter().map(|flow| flow.local().map(|it| it.port())).collect();
                ports.get_or_insert_with(known);
                reached.push(Reached { number: place + 1, target, flows });
            }
            Err(failure @ (Failure::Setup(_) | Failure::Told)) if !is_about_target(&failure) => {
                return Err(failure);
            }
            Err(failure) => {
                let host = format!("{}:{}", target.host, target.port);
                let why = failure.to_string();
                if shape.against.is_empty() {
                    return Err(failure);
                }
                log::error!("{why}; the other targets are measured without it");
                missing.push(Missing { host, why });
                failed.get_or_insert(failure);
            }
        }
        if signals::stop_requests() > 0 {
            return Err(Failure::NoReply("interrupted".to_owned()));
        }
    }
    match (reached.is_empty(), failed) {
        (true, Some(failure)) => Err(failure),
        _ => Ok((reached, missing)),
    }
}

/// Whether another target may fare better.
fn is_about_target(failure: &Failure) -> bool {
    match failure {
        Failure::Setup(error) => error.downcast_ref::<Withheld>().is_none(),
        Failure::NoReply(_) => true,
        Failure::Told => false,
    }
}

/// A local port that cannot be used.
#[derive(Debug)]
struct Withheld {
    port: u16,
    source: io::Error,
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { port, source } = self;
        let advice = match source.kind() {
            io::ErrorKind::PermissionDenied => {
                "; ports below 1024 need root or CAP_NET_BIND_SERVICE"
            }
            _ => "; choose other --source-ports (one target twice needs none)",
        };
        write!(f, "source port {port} cannot be used{advice}")
    }
}

impl Error for Withheld {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// Where it is this host that withholds the port that the user chose.
pub(super) fn withheld(port: Option<u16>, error: &io::Error) -> Option<Failure> {
    let ours = matches!(
        error.kind(),
        io::ErrorKind::AddrInUse
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::AddrNotAvailable
    );
    let port = port.filter(|_| ours)?;
    let source = io::Error::new(error.kind(), error.to_string());
    Some(Withheld { port, source }.into())
}

/// All flows to one target; at least one of them is connected.
fn connect(
    measurement: &Measurement,
    target: &mut Target,
    ports: Option<&[Option<u16>]>,
) -> Result<Vec<Flow>, Failure> {
    let shape = &measurement.shape;
    let mut dialer = dialer(&measurement.way, target, measurement.plan.timeout)?;
    dialer.options.reuse_address = true;
    let port = |flow: usize| ports.and_then(|ports| ports.get(flow).copied().flatten());
    dialer.options.source_port = port(0);
    // Its addresses race once; the other flows go to the one that answered.
    let first = dialer.connect();
    let of_flow = |flow: usize| {
        let mut dialer = dialer.clone();
        dialer.options.source_port = port(flow);
        dialer
    };
    let dialers: Vec<Dialer> = (1..shape.flows).map(of_flow).collect();
    let others = if signals::stop_requests() > 0 { Vec::new() } else { connect_all(&dialers) };
    let all = std::iter::once(first).chain(others).enumerate();
    let flows: Vec<Flow> = all
        .map(|(flow, connected)| Flow { dialer: of_flow(flow), port: port(flow), connected })
        .collect();
    for flow in &flows {
        if let Err((_, error)) = &flow.connected
            && let Some(failure) = withheld(flow.port, error)
        {
            return Err(failure);
        }
    }
    if flows.iter().any(|flow| flow.connected.is_ok()) {
        return Ok(flows);
    }
    match flows.into_iter().next().map(|flow| flow.connected) {
        Some(Err((address, error))) => Err(target.not_connected(address, &error)),
        _ => Err(Failure::NoReply("no connection".to_owned())),
    }
}

/// Flows that look the name up themselves during an outage: each does so in a process
/// of its own.
const LOOK_UPS: usize = 8;

type EchoLane = Lane<StreamLink<EchoCodec>, Tracker>;

/// Runs the plan over all flows to all targets that were reached.
fn probe(
    measurement: &Measurement,
    reached: Vec<Reached>,
    missing: Vec<Missing>,
    files: Vec<Option<RunFiles>>,
    floor: Option<(u64, u64)>,
) -> Result<Vec<Tally>, Failure> {
    clock::tighten_timers();
    let anchor = clock::anchor();
    let several = reached.len() + missing.len() > 1;
    let extras = measurement.accuracy.extras(measurement.plan.frequency);
    let runs: Vec<Run> = reached
        .iter()
        .zip(&files)
        .map(|(reached, files)| describe(measurement, reached, files.as_ref(), anchor.wall, floor))
        .collect();
    let metrics = measuring::metrics(&measurement.output.results, &runs, &files)?;
    let mut sinks: Vec<Vec<Box<dyn Sink>>> = Vec::new();
    if several {
        let (json, quiet) = (measurement.output.json, measurement.output.quiet);
        let joint = Joint::sinks(runs.clone(), missing, json, quiet > 0);
        let mut metrics = metrics.into_iter();
        for ((run, files), joint) in runs.iter().zip(files).zip(joint) {
            let mut each = measuring::file_sinks(&measurement.output, extras, run, files)?;
            each.extend(metrics.next().map(|metrics| Box::new(metrics) as Box<dyn Sink>));
            if json || quiet < 2 {
                each.push(Box::new(joint));
            }
            let line = format!("{}:{}", run.host, run.port);
            each.push(Box::new(DiagnosticsSink::new(run.size, false).of_target(&line)));
            sinks.push(each);
        }
    } else if let Some((run, files)) = runs.iter().zip(files).next() {
        sinks.push(measuring::sinks(&measurement.output, extras, run, files, metrics)?);
    }
    if measurement.trace {
        for (reached, sinks) in reached.iter().zip(&mut sinks) {
            let connection = |flow: &Flow| Some(flow.connected.as_ref().ok()?.connection());
            let connections: Vec<_> = reached.flows.iter().map(connection).collect();
            let dialer = reached.flows.first().map(|flow| &flow.dialer);
            sinks.extend(dialer.and_then(|dialer| measuring::watch(dialer, &connections)));
        }
    }
    let mut together = Together::new()?;
    let start = clock::now();
    let tracks = reached.iter().zip(&mut sinks);
    let tracks: Vec<Track<'_>> = tracks
        .map(|(reached, sinks)| Track {
            tally: tally(measurement, reached, measurement.plan.counted(start)),
            sinks,
            dealt: false,
            stretch: None,
        })
        .collect();
    let mut lanes = lanes(measurement, reached, start, &together)?;
    let runs: Vec<&Run> = runs.iter().collect();
    let mut measure =
        |outlet: &mut Outlet| run_lanes(&mut lanes, &mut together, outlet, &mut Orders::default());
    Ok(record_all(&runs, tracks, anchor, &mut measure)?)
}

fn describe(
    measurement: &Measurement,
    reached: &Reached,
    files: Option<&RunFiles>,
    start: Wall,
    floor: Option<(u64, u64)>,
) -> Run {
    let (target, plan) = (&reached.target, &measurement.plan);
    let connected = reached.flows.iter().find_map(|flow| flow.connected.as_ref().ok());
    let none = SocketAddr::from(([0, 0, 0, 0], target.port));
    let run = connected.map_or_else(
        || measuring::describe(target, "echo", none, plan, start, files),
        |it| measuring::describe_connection(target, "echo", it, plan, start, files),
    );
    let tcp_info = measurement.accuracy.tcp_info;
    let shape = &measurement.shape;
    let target = (!shape.against.is_empty()).then_some(reached.number);
    Run { size: measurement.size, tcp_info, floor, target, flows: shape.flows, ..run }
}

/// A target's figures before the first packet, with those of each flow if there are
/// several.
fn tally(measurement: &Measurement, reached: &Reached, start: Mono) -> Tally {
    let parts = measurement.accuracy.timestamps.is_some();
    let empty = || Tally {
        kernel: parts.then(Box::default),
        slow: Slow::new(measurement.accuracy.slow),
        start,
        end: start,
        ..Tally::default()
    };
    let connected = |tally: &mut Tally, flow: &Flow| {
        if let Ok(connected) = &flow.connected {
            tally.connected(connected.took);
        }
    };
    let mut all = empty();
    reached.flows.iter().for_each(|flow| connected(&mut all, flow));
    if let [only] = &reached.flows[..] {
        all.local = only.local();
        all.addresses = only.addresses();
        return all;
    }
    all.flows = reached
        .flows
        .iter()
        .map(|flow| {
            let (local, addresses) = (flow.local(), flow.addresses());
            let mut tally = Tally { local, addresses, ..empty() };
            connected(&mut tally, flow);
            tally
        })
        .collect();
    all
}

/// A lane for each flow to each target, those to one target side by side.
fn lanes(
    measurement: &Measurement,
    reached: Vec<Reached>,
    start: Mono,
    together: &Together,
) -> io::Result<Vec<EchoLane>> {
    let extras = measurement.accuracy.extras(measurement.plan.frequency);
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let (targets, flows) = (small(reached.len()), small(measurement.shape.flows));
    let mut lanes: Vec<EchoLane> = Vec::new();
    for (target, Reached { target: host, flows: each, .. }) in reached.into_iter().enumerate() {
        for (flow, Flow { dialer, port, connected }) in each.into_iter().enumerate() {
            let turn = Turn { flow: small(flow), flows, target: small(target), targets };
            let plan = Plan { turn, ..measurement.plan };
            let codec = EchoCodec::new(measurement.size);
            let local = Flow { dialer: dialer.clone(), port, connected };
            let (local, connected) = (local.local(), local.connected);
            let (link, tracker) = match connected {
                Ok(connected) => {
                    let connection = connected.connection();
                    let link = StreamLink::new(codec, dialer, connected, extras);
                    (link, Tracker::over(plan, start, Some(connection)))
                }
                Err((remote, error)) => {
                    log::warn!("flow {} to {remote}: {error}; trying on", flow + 1);
                    let link = StreamLink::without(codec, dialer, remote, extras);
                    (link, Tracker::without(plan, start, local, remote))
                }
            };
            let look_up = host.look_up.filter(|_| flow < LOOK_UPS);
            let family = measurement.way.family;
            let look_up = look_up.map(|_| LookUp::new(host.host.clone(), host.port, family, 1));
            let mut link = link.with_look_up(look_up);
            link.join(together.share(lanes.len()))?;
            lanes.push(Lane::new(link, tracker));
        }
    }
    Ok(lanes)
}
