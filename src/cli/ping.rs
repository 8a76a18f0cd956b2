//! `echotest ping`: a connection for every ping.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::slice::from_ref;

use super::Status;
use super::error::{Failure, UsageError};
use super::flows::listed;
use super::matches::Matches;
use super::measuring::{self, Orders, Output};
use super::options::{Pace, Pings};
use super::target::{Target, Way, dialer};
use crate::client::Extras;
use crate::client::lookup::LookUp;
use crate::client::ping::{MAX_UNDER_WAY, PingLink, PingOptions};
use crate::os::clock;
use crate::probe::{Independent, Plan, Tally, run as run_loop};
use crate::record::Run;
use crate::record::recording::record;

/// `echotest ping` with its arguments.
#[derive(Debug)]
pub(super) struct Options {
    target: Target,
    plan: Plan,
    pings: Pings,
    way: Way,
    output: Output,
    /// The flows' local ports; empty where any will do.
    ports: Vec<u16>,
}

impl super::command::Options for Options {
    fn of(matches: &Matches) -> Result<Self, UsageError> {
        let pings = Pings::of(matches);
        if (pings.flows > 1 || pings.source_ports.is_some()) && !pings.connect {
            let problem = "--flows and --source-ports go with --connect";
            return Err(matches.usage(problem.to_owned()));
        }
        let ports = pings.source_ports.as_ref();
        let ports = ports.map(|ports| listed(matches, ports, pings.flows)).transpose()?;
        Ok(Self {
            target: Target::of(matches)?,
            // No failure of a ping ends the run.
            plan: Pace::of(matches).plan(pings.timeout, true),
            pings,
            way: Way::of(matches)?,
            output: Output::of(matches)?,
            ports: ports.unwrap_or_default(),
        })
    }

    fn run(self) -> Result<Status, Failure> {
        let Self { mut target, plan, pings, way, output, ports } = self;
        let dialer = dialer(&way, &mut target, plan.timeout)?;
        measuring::watch_signals()?;
        let files = output.create_files("echo_ping")?;
        clock::tighten_timers();
        let anchor = clock::anchor();
        let address = dialer.addresses[0];
        let start = anchor.wall;
        let run = measuring::describe(&target, "ping", address, &plan, start, files.as_ref());
        let run = Run { flows: pings.flows, ..run };
        let metrics = measuring::metrics(&output.results, from_ref(&run), from_ref(&files))?;
        let mut sinks = measuring::sinks(&output, Extras::default(), &run, files, metrics)?;
        let look_up =
            pings.re_resolve.map(|after| LookUp::new(target.host, target.port, way.family, after));
        let own = flow_tallies(pings.flows, &ports, address);
        let options = PingOptions {
            handshake_only: pings.connect,
            all_addresses: pings.all_addresses,
            ports,
        };
        let mut link = PingLink::new(dialer, options, look_up, anchor);
        let start = clock::now();
        // One schedule for all flows, which take turns.
        let flows = u32::try_from(pings.flows).unwrap_or(1);
        let plan = Plan {
            frequency: plan.frequency / flows,
            count: plan.count.saturating_mul(u64::from(flows)),
            ..plan
        };
        let mut machine = Independent::new(plan, start, MAX_UNDER_WAY, false);
        let tally = Tally { start, end: start, flows: own, ..Tally::default() };
        let mut measure =
            |outlet: &mut _| run_loop(&mut link, &mut machine, outlet, &mut Orders::default());
        let tally = record(Some(&run), tally, anchor, &mut sinks, &mut measure)?;
        Ok(measuring::status(&output.results, &tally))
    }
}

/// A tally for each of several flows, with its local port where it has one.
fn flow_tallies(flows: usize, ports: &[u16], address: SocketAddr) -> Vec<Tally> {
    if flows < 2 {
        return Vec::new();
    }
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let local = |flow: usize| ports.get(flow).map(|port| (any, *port).into());
    (0..flows).map(|flow| Tally { local: local(flow), ..Tally::default() }).collect()
}
