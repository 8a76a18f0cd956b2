//! `echotest ping`: a connection for every ping.

use super::Status;
use super::error::Failure;
use super::matches::Matches;
use super::measuring::{self, Orders};
use super::target::{Target, dialer, family};
use crate::client::lookup::LookUp;
use crate::client::ping::{MAX_UNDER_WAY, PingLink, PingOptions};
use crate::os::clock;
use crate::probe::{Independent, Plan, Tally, run as run_loop};
use crate::record::recording::record;

/// The ping server's port.
const PING_PORT: u16 = 12001;

/// Pings the host that the arguments name. No failure of a ping ends it.
pub(super) fn run(matches: &Matches) -> Result<Status, Failure> {
    let mut target = Target::of(matches, PING_PORT)?;
    let plan = Plan { reconnect: true, ..measuring::plan(matches) };
    let dialer = dialer(matches, &mut target, plan.timeout)?;
    measuring::watch_signals()?;
    let files = measuring::files(matches, "echo_ping")?;
    clock::tighten_timers();
    let anchor = clock::anchor();
    let handshake_only = matches.flag("connect");
    let address = dialer.addresses[0];
    let start = anchor.wall;
    let run = measuring::describe(&target, "ping", address, &plan, start, files.as_ref());
    let metrics = measuring::metrics(matches, &run, files.as_ref())?;
    let mut sinks = measuring::sinks(matches, &run, files, metrics);
    let look_up = match matches.whole("re-resolve") {
        Some(after) => Some(LookUp::new(target.host, target.port, family(matches)?, after)),
        None => None,
    };
    let options = PingOptions { handshake_only, all_addresses: matches.flag("all-addresses") };
    let mut link = PingLink::new(dialer, options, look_up, anchor);
    let start = clock::now();
    let mut machine = Independent::new(plan, start, MAX_UNDER_WAY, false);
    let tally = Tally { start, end: start, ..Tally::default() };
    let measure =
        |outlet: &mut _| run_loop(&mut link, &mut machine, outlet, &mut Orders::default());
    let tally = record(Some(&run), tally, anchor, &mut sinks, measure)?;
    Ok(measuring::status(matches, &tally))
}
