//! This host's own floor: a short run over loopback, as the one that follows.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::error::Failure;
use super::loopback::serve_here;
use crate::client::{EchoCodec, Extras, StreamLink};
use crate::net::Dialer;
use crate::os::clock;
use crate::os::signals;
use crate::os::socket::ConnectOptions;
use crate::probe::{Control, Order, Plan, Tally, Tracker, run as run_loop};
use crate::record::recording::record;

/// How long it takes at most, and how many packets.
const LONGEST: Duration = Duration::from_secs(1);
const PACKETS: u64 = 1000;
/// First packets that are not counted: threads begin with them.
const WARMUP: u64 = 3;
/// Slower runs are measured at this pace: with a packet a second there would be
/// one.
const SLOWEST: Duration = Duration::from_millis(10);
const TIMEOUT: Duration = Duration::from_secs(1);

/// A stop ends it at once; nothing is shown.
pub(super) struct Quiet;

impl Control for Quiet {
    fn order(&mut self) -> Option<Order> {
        (signals::stop_requests() > 0).then_some(Order::Leave)
    }
}

/// Measures packets of `size` bytes at the pace of `plan`, over IPv4 on
/// loopback, and gives p50 and p99 in nanoseconds.
pub(super) fn measure(
    plan: &Plan,
    size: usize,
    extras: Extras,
) -> Result<Option<(u64, u64)>, Failure> {
    let address = serve_here(IpAddr::from(Ipv4Addr::LOCALHOST), extras.waiting)?;
    let options = ConnectOptions::default();
    let mut dialer = Dialer { addresses: vec![address], options, timeout: TIMEOUT };
    let Ok(connected) = dialer.connect() else { return Ok(None) };
    let plan = Plan {
        frequency: plan.frequency.min(SLOWEST),
        count: PACKETS + WARMUP,
        warmup: WARMUP,
        duration: Some(LONGEST),
        timeout: TIMEOUT,
        reconnect: false,
        ..Plan::default()
    };
    let mut link = StreamLink::new(EchoCodec::new(size), dialer, connected, extras);
    let start = clock::now();
    let mut tracker = Tracker::new(plan, start);
    let tally = Tally::new(start, Duration::ZERO);
    let mut measure = |outlet: &mut _| run_loop(&mut link, &mut tracker, outlet, &mut Quiet);
    let tally = record(None, tally, clock::anchor(), &mut [], &mut measure)?;
    Ok(tally.rtt.percentile(50.0).zip(tally.rtt.percentile(99.0)))
}
