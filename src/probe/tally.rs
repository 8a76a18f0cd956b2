//! A run's figures, kept up as it goes.

use std::net::SocketAddr;
use std::time::Duration;

use super::addresses::Addresses;
use super::detail::{Detail, KernelTimes};
use super::directions::Directions;
use super::event::{DropsBy, Event, EventKind, Events};
use super::link::TcpTotals;
use super::sample::{Notice, Outcome, Sample};
use super::slow::{Explained, Slow};
use super::verdict::Cause;
use crate::clock::{Mono, nanos};
use crate::stats::{Few, Jitter, Summary};
use crate::wire::icmp::IcmpError;

/// Kinds of ICMP errors that are counted: more than a path has routers. Each ping
/// keeps its own in its row.
pub const MAX_REPORTS: usize = 64;

/// Everything that a run's summary says.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Probes sent, or due during an outage.
    pub sent: u64,
    /// Probes whose reply came.
    pub received: u64,
    /// Probes whose reply never came,
    pub lost: u64,
    /// and runs of them that followed one another.
    pub losses: u64,
    /// Whether the last probe was lost.
    pub losing: bool,
    /// Replies that came after the time-out. On one connection they count as
    /// received; probes that stand alone had been given up as lost by then.
    pub late: u64,
    /// Replies that came a second time.
    pub duplicates: u64,
    /// Replies that came after that to a later probe (RFC 4737).
    pub reordered: u64,
    /// Pings without a reply, by [`super::Failure::name`].
    pub failures: Few<&'static str, u64>,
    /// What routers said of pings, and how often; [`MAX_REPORTS`] kinds at most.
    pub reports: Few<IcmpError, u64>,
    /// The parts of round trips by the kernel's stamps, where they are asked for.
    pub kernel: Option<Box<KernelTally>>,
    /// Each direction's own figures, where a reflector tells them.
    pub directions: Option<Box<Directions>>,
    /// Probes whose reply was not what had been sent.
    pub corrupt: u64,
    /// What the peer was asked to wait before each reply; part of every round
    /// trip.
    pub peer_delay: Duration,
    /// Round-trip times in nanoseconds.
    pub rtt: Summary,
    /// Delay variation of neighbouring round-trip times, in nanoseconds.
    pub jitter: Jitter,
    /// Response times in nanoseconds, counted from when each probe was due: what
    /// a user who wanted it sent then would have waited. Where this host sends
    /// late they exceed the round-trip times, which would hide it.
    pub response: Summary,
    /// Probes during whose flight this host sent a segment again.
    pub retransmitted: u64,
    /// How long after its due time each probe was sent, in nanoseconds.
    pub lateness: Summary,
    /// Connections made.
    pub established: u64,
    /// Connections that ended before their time.
    pub drops: u64,
    /// Time without a working connection.
    pub outage: Duration,
    /// How long connecting took, in nanoseconds.
    pub connect: Summary,
    /// Stalls, outages and whatever else happened.
    pub events: Events,
    /// Drops by who ended the connection.
    pub drops_by: DropsBy,
    /// Standstills of this host: how many, how long in all, and the longest.
    pub pauses: Pauses,
    /// Packets that fell due while this host stood still, and were not sent.
    pub skipped: u64,
    /// Packets that are in no figure or in no row: this host did not keep up.
    pub not_recorded: u64,
    /// Lines that the log did not take.
    pub not_logged: u64,
    /// Slow packets and their causes.
    pub slow: Slow,
    /// What the kernel counted.
    pub tcp: Option<TcpTotals>,
    /// Each flow's own figures, where there are several; without flows of their own.
    pub flows: Vec<Self>,
    /// This side's address and port, where one connection is meant.
    pub local: Option<SocketAddr>,
    /// The other side's, and what was measured at each.
    pub addresses: Addresses,
    /// When the first probe was due.
    pub start: Mono,
    /// When the run ended, or how far it is.
    pub end: Mono,
}

/// Round trips in parts, by the kernel's stamps, in nanoseconds.
#[derive(Debug, Clone, Default)]
pub struct KernelTally {
    /// From the program's send to the kernel's.
    pub send: Summary,
    /// From the kernel's send to the kernel's receipt.
    pub round_trip: Summary,
    /// From the kernel's receipt to the program's.
    pub receive: Summary,
    /// Replies without all stamps.
    pub missing: u64,
}

impl KernelTally {
    fn record(&mut self, times: Option<&KernelTimes>) {
        let Some(times) = times else {
            self.missing += 1;
            return;
        };
        self.send.record(times.send);
        self.round_trip.record(times.round_trip);
        self.receive.record(times.receive);
    }
}

/// How often and how long this host stood still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pauses {
    /// How often.
    pub count: u64,
    /// How long in all.
    pub total: Duration,
    /// The longest.
    pub longest: Duration,
    /// When the last was over.
    until: Mono,
}

impl Pauses {
    /// Whether a standstill that ended at `at` is one that another lane has told.
    pub(super) fn has(&self, at: Mono, span: Duration) -> bool {
        self.count > 0 && at - span < self.until
    }

    fn add(&mut self, at: Mono, span: Duration) {
        self.count += 1;
        self.total += span;
        self.longest = self.longest.max(span);
        self.until = self.until.max(at);
    }
}

impl Tally {
    /// The figures of a run that begins now, its first connection made.
    pub fn new(start: Mono, connect: Duration) -> Self {
        let mut tally = Self { start, end: start, established: 1, ..Self::default() };
        tally.connect.record(nanos(connect));
        tally
    }

    /// Figures of the same kind that begin at `at`. What a reflector told is not
    /// among them: its sequence numbers mean something for a whole session alone.
    pub(super) fn anew(&self, at: Mono) -> Self {
        Self {
            kernel: self.kernel.as_ref().map(|_| Box::default()),
            peer_delay: self.peer_delay,
            losing: self.losing,
            slow: self.slow.anew(),
            flows: self.flows.iter().map(|flow| flow.anew(at)).collect(),
            local: self.local,
            addresses: self.addresses.anew(),
            start: at,
            end: at,
            ..Self::default()
        }
    }

    /// Takes in a probe of a flow (from 0) that others have explained, as slow above
    /// that bound.
    pub(super) fn add_told(&mut self, sample: &Sample, flow: usize, above: Option<u64>) {
        if let Some(own) = self.flows.get_mut(flow) {
            own.add_told(sample, usize::MAX, above);
        }
        self.slow.add(sample.explained, sample, above);
        self.sample(sample);
    }

    /// Why a probe was slow, if it was; before it is taken in.
    pub fn explain(&mut self, sample: &Sample) -> Option<Explained> {
        self.slow.sample(sample, &self.rtt)
    }

    /// Takes in a probe.
    pub fn sample(&mut self, sample: &Sample) {
        self.sent += 1;
        if sample.went_out {
            self.lateness.record(sample.began().nanos_since(sample.due));
        }
        match sample.outcome {
            Outcome::Received { late, .. } => {
                let rtt = sample.rtt_nanos().unwrap_or(0);
                self.received += 1;
                self.losing = false;
                self.late += u64::from(late);
                self.rtt.record(rtt);
                self.jitter.record(rtt);
                self.response.record(rtt + sample.sent.nanos_since(sample.due));
            }
            Outcome::Lost => {
                self.lost += 1;
                self.losses += u64::from(!std::mem::replace(&mut self.losing, true));
                self.jitter.gap();
            }
            Outcome::Corrupt => {
                self.corrupt += 1;
                self.jitter.gap();
            }
        }
        self.addresses.sample(sample);
        self.detail(sample);
        if let Some(directions) = &mut self.directions {
            directions.sample(sample);
        }
    }

    #[inline]
    fn detail(&mut self, sample: &Sample) {
        match &sample.detail {
            Detail::Tcp { retransmitted, kernel, evidence, .. } => {
                self.retransmitted += u64::from(*retransmitted);
                if let Some(evidence) = evidence {
                    self.slow.parts(evidence);
                }
                if let Some(tally) = &mut self.kernel {
                    tally.record(kernel.as_ref());
                }
            }
            Detail::Ping(ping) => {
                if let Some(connect) = ping.connect {
                    self.established += 1;
                    self.connect.record(nanos(connect));
                }
                if let Some(failure) = ping.failure {
                    *self.failures.of(failure.name()) += 1;
                    failure.icmp().into_iter().for_each(|report| self.report(report));
                }
            }
            Detail::None | Detail::Twamp(_) => {}
        }
    }

    fn report(&mut self, report: IcmpError) {
        if self.reports.len() < MAX_REPORTS || self.reports.get(&report).is_some() {
            *self.reports.of(report) += 1;
        }
    }

    /// Takes in what happened.
    pub fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Down { cause, .. } => {
                self.drops += 1;
                self.drops_by.add(cause);
            }
            Notice::Up { connection, .. } => {
                self.established += 1;
                self.connect.record(nanos(connection.connect));
                self.jitter.gap();
                if self.addresses.moves(connection.remote) {
                    let so_far = self.at_one_address();
                    self.addresses.move_to(connection.remote, so_far);
                }
            }
            Notice::Event(event) => {
                if event.kind == EventKind::Outage {
                    self.outage += event.span();
                }
                self.events.add(event);
            }
            Notice::Pause { at, span, skipped } => {
                self.skipped += skipped;
                if self.pauses.has(*at, *span) {
                    return;
                }
                self.pauses.add(*at, *span);
                let event = Event::new(EventKind::Pause, *at - *span, *at);
                self.events.add(&event);
            }
            Notice::ClockStep { at, by } => {
                let mut event = Event::new(EventKind::ClockStep, *at, *at);
                event.clock_step = *by;
                self.events.add(&event);
            }
            Notice::Duplicate { sequence, .. } => {
                self.duplicates += 1;
                if let (Some(directions), Some(sequence)) = (&mut self.directions, sequence) {
                    directions.count.doubled(*sequence);
                }
            }
            Notice::Reordered { .. } => self.reordered += 1,
            Notice::TooLate { sequence, .. } => {
                self.late += 1;
                if let (Some(directions), Some(sequence)) = (&mut self.directions, sequence) {
                    directions.count.late(*sequence);
                }
            }
            Notice::Counted { sequence, .. } => {
                if let Some(directions) = &mut self.directions {
                    directions.count.closing(*sequence);
                }
            }
            Notice::NotRecorded { count, .. } => self.not_recorded += count,
            Notice::Overdue { .. }
            | Notice::Attempt { .. }
            | Notice::Begun(_)
            | Notice::PathBack { .. }
            | Notice::PortTaken { .. }
            | Notice::TooManyOutstanding { .. } => {}
        }
    }

    /// Takes in what the kernel counted of one more flow.
    pub(super) fn add_tcp(&mut self, flow: Option<&TcpTotals>) {
        let Some(flow) = flow else { return };
        let sum = self.tcp.get_or_insert_with(TcpTotals::default);
        sum.retransmits = match (sum.retransmits, flow.retransmits) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or(0) + other.unwrap_or(0)),
        };
        sum.min_rtt_us = sum.min_rtt_us.into_iter().chain(flow.min_rtt_us).min();
        sum.congestion_control.clone_from(&flow.congestion_control);
    }

    /// Troubles for which a packet was late or lost: times that something was lost,
    /// what it held up counted once.
    pub fn troubles(&self) -> u64 {
        let causes = [Cause::OutboundLoss, Cause::InboundLoss];
        self.losses + causes.iter().map(|cause| self.slow.count(*cause)).sum::<u64>()
    }

    /// Takes in the connection that a further run of the same command began with.
    pub fn connected(&mut self, took: Duration) {
        self.established += 1;
        self.connect.record(nanos(took));
        self.jitter.gap();
    }

    /// Probes that did not come back as they were sent, in percent of all.
    #[allow(clippy::cast_precision_loss, reason = "a percentage")]
    pub fn loss_percent(&self) -> Option<f64> {
        let missing = self.lost + self.corrupt;
        (self.sent > 0).then(|| 100.0 * missing as f64 / self.sent as f64)
    }

    /// From the first probe's due time to the end.
    pub fn elapsed(&self) -> Duration {
        self.end.since(self.start)
    }
}
