//! What a run is made of: one sample a probe, and notices of what happened.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::detail::Detail;
use super::event::Event;
use super::link::{Attempted, Connection};
use super::slow::Explained;
use crate::clock::{Mono, nanos};
use crate::text::format::short_seconds;

/// What became of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its reply came, byte for byte.
    Received {
        /// First moment after the system call that brought the reply's end.
        at: Mono,
        /// It came after the time-out.
        late: bool,
    },
    /// The connection or the run ended before its reply came.
    Lost,
    /// A reply came in its place that is not what was sent.
    Corrupt,
}

/// One probe, from due to done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Counts from 1.
    pub number: u64,
    /// The flow that it went by, from 1; set where it is recorded.
    pub flow: u16,
    /// When it was to be sent.
    pub due: Mono,
    /// Last moment before the system call that sent it; the due time if it
    /// fell into an outage and never was.
    pub sent: Mono,
    /// Whether there was a connection to send it on.
    pub went_out: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// What else is known of it.
    pub detail: Detail,
    /// Why it was slow, if it was; found out where it is recorded.
    pub explained: Option<Explained>,
}

impl Sample {
    /// Round-trip time, if the reply came, without the time for which a
    /// reflector says that it held the packet (RFC 5357, section 4.3).
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt_nanos().map(Duration::from_nanos)
    }

    /// The same in nanoseconds.
    #[inline]
    pub fn rtt_nanos(&self) -> Option<u64> {
        let gross = self.received()?.nanos_since(self.sent);
        match &self.detail {
            Detail::Twamp(detail) => {
                let held = detail.processing(Duration::from_nanos(gross)).map_or(0, nanos);
                Some(gross - held)
            }
            _ => Some(gross),
        }
    }

    /// When its reply was in, if it came.
    #[inline]
    pub fn received(&self) -> Option<Mono> {
        match self.outcome {
            Outcome::Received { at, .. } => Some(at),
            Outcome::Lost | Outcome::Corrupt => None,
        }
    }

    /// When work on it began: where it makes a connection first, before that.
    #[inline]
    pub fn began(&self) -> Mono {
        match &self.detail {
            Detail::Ping(detail) => detail.began,
            _ => self.sent,
        }
    }

    /// When it was last heard of: its reply, or else its sending.
    pub fn last_seen(&self) -> Mono {
        self.received().unwrap_or(self.sent)
    }
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DropCause {
    /// The peer closed it.
    Closed,
    /// The peer, or something on the path, reset it.
    Reset,
    /// The kernel gave up sending the same bytes again.
    KernelTimeout,
    /// A reply was not there in time, and this protocol waits no longer.
    NoReply {
        /// How long it was waited for.
        span: Duration,
    },
    /// Other connections were answered, and this one stayed silent.
    GivenUp {
        /// How long it was silent in all.
        silent: Duration,
        /// The kernel had sent again meanwhile, over a path that worked.
        sent_again: bool,
    },
    /// Only connections to another address of the name are answered.
    OtherAddress,
    /// A reply was not what had been sent.
    Corrupt {
        /// The probe in whose place it came.
        number: u64,
    },
    /// Bytes came that no probe had asked for.
    Unasked,
    /// The peer ended the session in its protocol's own words.
    Refused(String),
    /// Something else, in the system's words.
    Other(String),
}

impl From<&std::io::Error> for DropCause {
    fn from(error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        match error.kind() {
            ErrorKind::ConnectionReset => Self::Reset,
            ErrorKind::BrokenPipe => Self::Closed,
            ErrorKind::TimedOut => Self::KernelTimeout,
            _ => Self::Other(error.to_string()),
        }
    }
}

impl fmt::Display for DropCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed by the peer"),
            Self::Reset => f.write_str("reset by the peer or something on the path"),
            Self::KernelTimeout => f.write_str("kernel time-out: nothing was acknowledged"),
            Self::NoReply { span } => {
                write!(f, "no whole reply within {}", short_seconds(*span))
            }
            Self::GivenUp { silent, sent_again } => {
                let silent = silent.as_secs_f64();
                let why = if *sent_again {
                    "what the kernel sent again stayed unanswered"
                } else {
                    "the kernel did not send again for 30 s"
                };
                write!(
                    f,
                    "given up after {silent:.1} s: other connections are answered, on this one {why}"
                )
            }
            Self::OtherAddress => f.write_str("given up: only another address of the name answers"),
            Self::Corrupt { number } => {
                write!(f, "the reply to packet {number} is not what was sent")
            }
            Self::Unasked => f.write_str("bytes came that were never asked for"),
            Self::Refused(text) => write!(f, "the peer answered {text:?}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// Something that happened besides the probes themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A probe is unanswered at the time-out's age. It may still come, late.
    Overdue {
        /// When that was seen.
        at: Mono,
        /// The probe.
        number: u64,
        /// Its age.
        age: Duration,
    },
    /// A reply came a second time.
    Duplicate {
        /// When.
        at: Mono,
        /// To which probe.
        number: u64,
        /// The reflector's own number of it, where there is a reflector and the
        /// first reply is not known to have had the same.
        sequence: Option<u32>,
    },
    /// A copy of the last probe was sent when all else was over, to learn how far
    /// the reflector has counted.
    Counted {
        /// When its answer came, or had not come.
        at: Mono,
        /// The reflector's number of it; `None`: no answer.
        sequence: Option<u32>,
    },
    /// A reply came after that to a later probe (RFC 4737).
    Reordered {
        /// When.
        at: Mono,
        /// To which probe.
        number: u64,
    },
    /// A reply came when its probe had been given up.
    TooLate {
        /// When.
        at: Mono,
        /// To which probe.
        number: u64,
        /// The reflector's own number of it, where there is a reflector.
        sequence: Option<u32>,
    },
    /// The connection has ended before its time.
    Down {
        /// When that was seen.
        at: Mono,
        /// How long the connection had stood.
        lived: Duration,
        /// Its own address and port.
        local: Option<SocketAddr>,
        /// Why.
        cause: DropCause,
    },
    /// News of an attempt to connect: a scout, or a new connection.
    Attempt {
        /// When.
        at: Mono,
        /// What came of it.
        attempted: Attempted,
    },
    /// There is a connection again.
    Up {
        /// When.
        at: Mono,
        /// The connection.
        connection: Connection,
    },
    /// A stall or an outage has begun, or a stall has become an outage.
    Begun(Box<Event>),
    /// Another connection is answered, and this one is silent still.
    PathBack {
        /// When.
        at: Mono,
        /// How long nothing was answered.
        after: Duration,
    },
    /// Something has ended: all of an event is known.
    Event(Box<Event>),
    /// A local port cannot be used again yet, by this host's own fault.
    PortTaken {
        /// When that was seen.
        at: Mono,
        /// Which, and where to.
        attempted: Attempted,
    },
    /// So many packets wait for a reply that no more are sent until some come.
    TooManyOutstanding {
        /// When.
        at: Mono,
        /// How many.
        outstanding: usize,
    },
    /// This host stood still: a wait ended this long after it should have.
    Pause {
        /// When it was over.
        at: Mono,
        /// How long.
        span: Duration,
        /// Packets that fell due in it and are not sent.
        skipped: u64,
    },
    /// Packets whose results found no room on their way to the recorder.
    NotRecorded {
        /// When there was room again.
        at: Mono,
        /// How many.
        count: u64,
    },
    /// Somebody set the wall clock. Round-trip times do not depend on it.
    ClockStep {
        /// When it was seen.
        at: Mono,
        /// By how many nanoseconds; positive is forward.
        by: i64,
    },
}

impl Notice {
    /// When it happened, or was seen.
    pub fn at(&self) -> Mono {
        match self {
            Self::Begun(event) | Self::Event(event) => event.end,
            Self::Overdue { at, .. }
            | Self::Duplicate { at, .. }
            | Self::Reordered { at, .. }
            | Self::TooLate { at, .. }
            | Self::Counted { at, .. }
            | Self::Down { at, .. }
            | Self::Attempt { at, .. }
            | Self::Up { at, .. }
            | Self::PathBack { at, .. }
            | Self::PortTaken { at, .. }
            | Self::TooManyOutstanding { at, .. }
            | Self::Pause { at, .. }
            | Self::NotRecorded { at, .. }
            | Self::ClockStep { at, .. } => *at,
        }
    }
}
