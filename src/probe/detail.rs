//! What is known of a probe beyond its times, protocol by protocol.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::time::Duration;

use super::verdict::Evidence;
use crate::clock::{Mono, Wall, nanos};
use crate::wire::icmp::IcmpError;
use crate::wire::tcp_info::TcpInfo;

/// What else is known of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Detail {
    /// Nothing.
    #[default]
    None,
    /// The kernel's view of the connection when the reply was in.
    Tcp {
        /// Its figures, where they were asked for.
        info: Option<Figures>,
        /// Whether this host sent a segment again while the probe was
        /// outstanding: its round-trip time holds the wait for that.
        retransmitted: bool,
        /// The parts of the round trip by the kernel's stamps, where they were
        /// asked for and given.
        kernel: Option<KernelTimes>,
        /// What speaks for a cause, where the round trip was long.
        evidence: Option<Evidence>,
        /// Which connection of the run it is, counted from 1.
        connection: u32,
        /// Whether the kernel was asked for what speaks for causes.
        watched: bool,
    },
    /// A TCP ping's own connection.
    Ping(PingDetail),
    /// The reflector's side of a TWAMP or STAMP test packet.
    Twamp(TwampDetail),
}

/// A connection's figures as the kernel has them (see [`TcpInfo`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: Option<u32>,
    /// Its mean deviation.
    pub rttvar_us: Option<u32>,
    /// The smallest.
    pub min_rtt_us: Option<u32>,
    /// Segments sent again so far.
    pub retransmits: Option<u32>,
    /// Congestion window in segments.
    pub cwnd: Option<u32>,
}

impl From<TcpInfo> for Figures {
    fn from(info: TcpInfo) -> Self {
        let TcpInfo { rtt_us, rttvar_us, min_rtt_us, retransmits, cwnd, .. } = info;
        Self { rtt_us, rttvar_us, min_rtt_us, retransmits, cwnd }
    }
}

/// A round trip in three parts, in nanoseconds: their sum is what the program
/// saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelTimes {
    /// From the program's send to the kernel's: this host.
    pub send: u64,
    /// From the kernel's send to the kernel's receipt: network and peer.
    pub round_trip: u64,
    /// From the kernel's receipt to the program's: this host.
    pub receive: u64,
}

/// What became of a TCP ping's own connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PingDetail {
    /// The port of this host that was chosen for it, where ports are.
    pub local_port: Option<u16>,
    /// Where it went.
    pub address: IpAddr,
    /// Whether the name has other addresses too.
    pub one_of_many: bool,
    /// When connecting began.
    pub began: Mono,
    /// How long the handshake took, if it was completed.
    pub connect: Option<Duration>,
    /// From the beginning until the outcome was known.
    pub known_after: Duration,
    /// The time of day in its message; none if only the handshake is timed.
    pub stamped: Option<Wall>,
    /// Why there is no reply, if there is none.
    pub failure: Option<Failure>,
}

/// Why a ping has no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The server answered `LOST`.
    Declared,
    /// Nothing came in time. What routers said meanwhile, if anything.
    TimedOut(Option<IcmpError>),
    /// Nothing came in time, and meanwhile the kernel was told of a trouble on
    /// the path, by the system's error number: without the right to a raw socket
    /// nobody says who told it.
    Told(i32),
    /// The host refused the connection with a reset.
    Refused,
    /// The connection was reset after it stood.
    Reset,
    /// The peer closed without an answer.
    Closed,
    /// An ICMP error ended it.
    Icmp(IcmpError),
    /// This host could not send, by the system's error number.
    Local(i32),
    /// Something else, by the system's error number.
    Other(i32),
    /// The run ended first.
    Stopped,
}

impl Failure {
    /// A short name for files and programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Declared => "lost",
            Self::TimedOut(_) | Self::Told(_) => "timeout",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Icmp(_) => "icmp",
            Self::Local(_) => "local",
            Self::Other(_) => "error",
            Self::Stopped => "stopped",
        }
    }

    /// What the network said, if it did.
    pub fn icmp(&self) -> Option<IcmpError> {
        match self {
            Self::Icmp(error) => Some(*error),
            Self::TimedOut(error) => *error,
            _ => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system = |number: i32| io::Error::from_raw_os_error(number);
        match self {
            Self::Declared => f.write_str("the server answered LOST"),
            Self::TimedOut(None) => f.write_str("timed out"),
            Self::TimedOut(Some(icmp)) => write!(f, "timed out; meanwhile: {icmp}"),
            Self::Told(number) => write!(f, "timed out; meanwhile: {}", system(*number)),
            Self::Refused => {
                f.write_str("connection refused: the host answers, nothing listens on this port")
            }
            Self::Reset => f.write_str("connection reset by the peer or something on the path"),
            Self::Closed => f.write_str("closed by the peer without an answer"),
            Self::Icmp(icmp) => icmp.fmt(f),
            Self::Local(number) => {
                let error = system(*number);
                let hint = match error.kind() {
                    ErrorKind::PermissionDenied => ", a route or rule of its own prohibits it",
                    ErrorKind::InvalidInput => {
                        ", by a blackhole route or a source address that does not fit"
                    }
                    _ => "",
                };
                write!(f, "this host could not send: {error}{hint}")
            }
            Self::Other(number) => write!(f, "{}", system(*number)),
            Self::Stopped => f.write_str("the run ended first"),
        }
    }
}

/// What a reflector told of a test packet (RFC 5357, section 4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwampDetail {
    /// T2: when the packet reached the reflector, by its clock; zero if it does
    /// not say.
    pub received: Wall,
    /// T3: when its reply left, by the same clock; zero likewise.
    pub sent: Wall,
    /// T4: when the reply was in, by this host's clock at that time.
    pub arrived: Wall,
    /// The session that it belongs to: how many came before it in this run.
    pub session: u32,
    /// The reflector's own sequence number, from 0.
    pub sequence: u32,
    /// The time to live that the packet reached the reflector with.
    pub ttl: u8,
    /// The time to live that the reply came with, where the kernel tells.
    pub reply_ttl: Option<u8>,
    /// DSCP and, in the last two bits, ECN that the reply came with.
    pub class: Option<u8>,
    /// The reflector's error estimate: how far its clock may be off.
    pub error: Duration,
    /// Whether the reflector says that its clock is synchronised to UTC.
    pub synchronised: bool,
}

impl TwampDetail {
    /// The delays out and back in nanoseconds, each with the difference of the
    /// two hosts' clocks in it: T2 - T1 and T4 - T3. T1 is reckoned back from T4
    /// over the round trip of `gross`, which no clock step can touch.
    pub fn one_way(&self, gross: Duration) -> (i64, i64) {
        let gross = i64::try_from(nanos(gross)).unwrap_or(i64::MAX);
        let left = self.arrived.0.saturating_sub(gross);
        (self.received.0.saturating_sub(left), self.arrived.0.saturating_sub(self.sent.0))
    }

    /// How long the reflector held the packet; `None` where its two times
    /// cannot be true, because they are missing, run backwards or span more than
    /// the whole round trip of `gross`.
    pub fn processing(&self, gross: Duration) -> Option<Duration> {
        if self.received == Wall(0) || self.sent == Wall(0) {
            return None;
        }
        let nanos = u64::try_from(self.sent.0.checked_sub(self.received.0)?).ok()?;
        Some(Duration::from_nanos(nanos)).filter(|held| *held <= gross)
    }
}
