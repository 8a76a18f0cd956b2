//! Events: what happened to a run between its packets, each with a beginning,
//! an end and what is known of why.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::sample::DropCause;
use super::verdict::Cause;
use crate::clock::Mono;
use crate::stats::Few;
use crate::wire::icmp::IcmpError;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventKind {
    /// Packets went unanswered for much longer than a round trip, and at most a
    /// second.
    Stall,
    /// The same for longer, or the connection ended.
    Outage,
    /// This host stood still.
    Pause,
    /// The wall clock was set.
    ClockStep,
    /// The name leads to another address, or the connection was made to one.
    AddressChange,
    /// Large packets are lost and small ones pass.
    MtuBlackHole,
    /// Other local ports are answered, this one is not.
    DeadPort,
    /// The routers on the way were asked because of a stall.
    Trace,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Stall,
        Self::Outage,
        Self::Pause,
        Self::ClockStep,
        Self::AddressChange,
        Self::MtuBlackHole,
        Self::DeadPort,
        Self::Trace,
    ];

    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stall => "stall",
            Self::Outage => "outage",
            Self::Pause => "pause",
            Self::ClockStep => "clock_step",
            Self::AddressChange => "address_change",
            Self::MtuBlackHole => "mtu_black_hole",
            Self::DeadPort => "dead_port",
            Self::Trace => "trace",
        }
    }
}

/// What became of a connection that was silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It went on.
    Survived,
    /// Its own local port was answered when the connection was made anew:
    /// something on the way had lost its state.
    Forgotten,
    /// Its local port stays without an answer while others have one.
    DeadPorts,
    /// It was reset.
    Reset,
    /// The peer closed it.
    Closed,
    /// This host's kernel gave it up.
    TimedOut,
    /// That cannot be told.
    Unknown,
}

impl Fate {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Survived => "survived",
            Self::Forgotten => "forgotten",
            Self::DeadPorts => "dead_ports",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::TimedOut => "timed_out",
            Self::Unknown => "unknown",
        }
    }

    /// How a connection fared that ended so.
    pub(crate) fn of(cause: &DropCause) -> Self {
        match cause {
            DropCause::Closed | DropCause::Refused(_) => Self::Closed,
            DropCause::Reset => Self::Reset,
            DropCause::KernelTimeout => Self::TimedOut,
            _ => Self::Unknown,
        }
    }
}

/// Something that happened, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What it was.
    pub kind: EventKind,
    /// The flow that it happened to, from 1; set where it is recorded.
    pub flow: u16,
    /// When it began.
    pub begin: Mono,
    /// When it ended; the latest time known, where it goes on.
    pub end: Mono,
    /// How far the span may be off.
    pub resolution: Duration,
    /// Its cause, as far as there is evidence.
    pub cause: Option<Cause>,
    /// What became of the connection, once that is known.
    pub fate: Option<Fate>,
    /// How long after the path was back the connection went on, or was made
    /// anew, where that was later.
    pub resumed_after: Option<Duration>,
    /// The connection's own address and port.
    pub local: Option<SocketAddr>,
    /// Where to; of a change of address the new one.
    pub remote: Option<SocketAddr>,
    /// The address before a change.
    pub former: Option<SocketAddr>,
    /// What the wall clock was set by, in nanoseconds.
    pub clock_step: i64,
    /// What routers on the way have said.
    pub trace: Option<Trace>,
}

/// Which routers on the way answered, asked because of a silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// Now.
    pub now: Answered,
    /// When all was well, and how long before.
    pub before: Option<(Duration, Answered)>,
    /// The silence was over.
    pub over: bool,
}

/// Which of them answered at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// The last that answered, and its place from 1.
    pub last: Option<(IpAddr, usize)>,
    /// Whether all did.
    pub all: bool,
    /// How many were asked.
    pub of: usize,
    /// What was said instead of letting the packet pass.
    pub refused: Option<IcmpError>,
}

impl Event {
    /// An event of which nothing more is known yet.
    pub fn new(kind: EventKind, begin: Mono, end: Mono) -> Self {
        Self {
            kind,
            flow: 1,
            begin,
            end,
            resolution: Duration::ZERO,
            cause: None,
            fate: None,
            resumed_after: None,
            local: None,
            remote: None,
            former: None,
            clock_step: 0,
            trace: None,
        }
    }

    /// How long it lasted.
    pub fn span(&self) -> Duration {
        self.end.since(self.begin)
    }
}

/// Events of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spans {
    /// How many.
    pub count: u64,
    /// How long in all.
    pub total: Duration,
    /// The longest.
    pub longest: Duration,
}

impl Spans {
    fn add(&mut self, span: Duration) {
        self.count += 1;
        self.total += span;
        self.longest = self.longest.max(span);
    }
}

/// Events that are kept one by one, about 350 bytes each; of a run of weeks over a
/// bad path the others are in the counts alone.
const MOST_KEPT: usize = 2_000;

/// All events of a run.
#[derive(Debug, Clone, Default)]
pub struct Events {
    /// Those that have ended, in the order of their ends; not more than two
    /// thousand.
    pub kept: Vec<Event>,
    /// All of them by kind.
    pub by_kind: Few<EventKind, Spans>,
    /// Stalls and outages by the connection's fate.
    pub fates: Few<Fate, u64>,
}

impl Events {
    /// Takes in an event that has ended.
    pub fn add(&mut self, event: &Event) {
        self.by_kind.of(event.kind).add(event.span());
        if let Some(fate) = event.fate {
            *self.fates.of(fate) += 1;
        }
        if self.kept.len() < MOST_KEPT {
            self.kept.push(event.clone());
        }
    }

    /// How many of a kind, and how long.
    pub fn of(&self, kind: EventKind) -> Spans {
        self.by_kind.get(&kind).copied().unwrap_or_default()
    }
}

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ender {
    /// It was closed or reset from the other end.
    Peer,
    /// It was given up because the path had lost it.
    Path,
    /// This host's kernel gave it up.
    Kernel,
    /// This program, because what came back was wrong.
    Us,
}

impl Ender {
    /// Who ended a connection that ended so.
    pub fn of(cause: &DropCause) -> Self {
        match cause {
            DropCause::Closed | DropCause::Reset | DropCause::Refused(_) => Self::Peer,
            DropCause::GivenUp { .. } | DropCause::OtherAddress => Self::Path,
            DropCause::KernelTimeout | DropCause::Other(_) => Self::Kernel,
            DropCause::Corrupt { .. } | DropCause::Unasked | DropCause::NoReply { .. } => Self::Us,
        }
    }
}

/// Drops by who ended the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DropsBy {
    /// The peer.
    pub peer: u64,
    /// The path.
    pub path: u64,
    /// This host's kernel.
    pub kernel: u64,
    /// This program.
    pub us: u64,
}

impl DropsBy {
    /// Takes in one more.
    pub fn add(&mut self, cause: &DropCause) {
        *match Ender::of(cause) {
            Ender::Peer => &mut self.peer,
            Ender::Path => &mut self.path,
            Ender::Kernel => &mut self.kernel,
            Ender::Us => &mut self.us,
        } += 1;
    }
}
