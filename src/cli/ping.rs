//! `echotest ping`: a connection for every ping.

use super::Status;
use super::error::{Failure, UsageError};
use super::matches::Matches;
use super::measuring::{self, Orders, Output};
use super::options::{Pace, Pings};
use super::target::{Target, Way, dialer};
use crate::client::Extras;
use crate::client::lookup::LookUp;
use crate::client::ping::{MAX_UNDER_WAY, PingLink, PingOptions};
use crate::os::clock;
use crate::probe::{Independent, Plan, Tally, run as run_loop};
use crate::record::recording::record;

/// `echotest ping` with its arguments.
#[derive(Debug)]
pub(super) struct Options {
    target: Target,
    plan: Plan,
    pings: Pings,
    way: Way,
    output: Output,
}

impl super::command::Options for Options {
    fn of(matches: &Matches) -> Result<Self, UsageError> {
        let pings = Pings::of(matches);
        Ok(Self {
            target: Target::of(matches)?,
            // No failure of a ping ends the run.
            plan: Pace::of(matches).plan(pings.timeout, true),
            pings,
            way: Way::of(matches)?,
            output: Output::of(matches)?,
        })
    }

    fn run(self) -> Result<Status, Failure> {
        let Self { mut target, plan, pings, way, output } = self;
        let dialer = dialer(&way, &mut target, plan.timeout)?;
        measuring::watch_signals()?;
        let files = output.create_files("echo_ping")?;
        clock::tighten_timers();
        let anchor = clock::anchor();
        let address = dialer.addresses[0];
        let start = anchor.wall;
        let run = measuring::describe(&target, "ping", address, &plan, start, files.as_ref());
        let metrics = measuring::metrics(&output.results, &run, files.as_ref())?;
        let mut sinks = measuring::sinks(&output, Extras::default(), &run, files, metrics)?;
        let look_up =
            pings.re_resolve.map(|after| LookUp::new(target.host, target.port, way.family, after));
        let options =
            PingOptions { handshake_only: pings.connect, all_addresses: pings.all_addresses };
        let mut link = PingLink::new(dialer, options, look_up, anchor);
        let start = clock::now();
        let mut machine = Independent::new(plan, start, MAX_UNDER_WAY, false);
        let tally = Tally { start, end: start, ..Tally::default() };
        let mut measure =
            |outlet: &mut _| run_loop(&mut link, &mut machine, outlet, &mut Orders::default());
        let tally = record(Some(&run), tally, anchor, &mut sinks, &mut measure)?;
        Ok(measuring::status(&output.results, &tally))
    }
}
