//! The loop's only seam to the world.

use std::net::SocketAddr;
use std::time::Duration;

use super::detail::Detail;
use super::sample::DropCause;
use crate::clock::{Anchor, Mono};
use crate::wire::stamp::Answer;

/// How a probe ended that stands alone: its fate is not its neighbours'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Single {
    /// The probe.
    pub number: u64,
    /// Last moment before the system call that sent it, where that was not
    /// what [`Link::send`] told.
    pub sent: Option<Mono>,
    /// What became of it.
    pub ended: Ended,
    /// What else is known of it.
    pub detail: Detail,
}

/// What became of a probe that stands alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Its reply came.
    Received,
    /// It will have none.
    Lost,
    /// What came is no reply to it.
    Corrupt,
}

/// What a wait brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The whole reply to the oldest unanswered probe.
    Reply(Detail),
    /// The end of a probe that stands alone.
    Single(Single),
    /// A reply to the oldest unanswered probe that is not what was sent.
    Corrupt,
    /// Part of a reply, or of what is still to be sent, got through.
    Progress,
    /// Nothing: time is up, or a signal came.
    Nothing,
    /// The connection has ended.
    Down(DropCause),
    /// News of an attempt that an [`Act`] began.
    Attempt(Box<Attempted>),
    /// The name leads elsewhere now.
    Addresses(Box<[SocketAddr]>),
}

/// What a wait brought, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// First moment after the system call that brought it.
    pub at: Mono,
    /// What came.
    pub what: What,
}

/// Something to be done with connections beside the probes themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Begin a new connection with one packet that must be answered.
    Attempt {
        /// What it is called from now on.
        id: u32,
        /// The local address and port to come from; any port where there is none.
        from: Option<SocketAddr>,
        /// To another address of the name than the connection's.
        elsewhere: bool,
        /// With a packet so small that any path passes it; nowhere to go where the
        /// connection's own are no larger.
        small: bool,
    },
    /// End an attempt at once.
    Abandon(u32),
    /// End the connection at once, with a reset.
    Abort,
    /// An attempt that was answered becomes the connection.
    Adopt(u32),
    /// Ask the kernel how the connection stands, and the attempts beside it.
    Look,
    /// Look the name up again, in the background.
    Resolve,
}

/// What came of an [`Act`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It is done, or the link has no such thing.
    Done,
    /// An attempt could not begin because there is nowhere to go.
    Nowhere,
    /// How the connection stands.
    Looked(Look),
    /// The new connection.
    Up(Connection),
}

/// What the kernel tells of a connection that is silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Segments sent again so far.
    pub copies: Option<u32>,
    /// Time since the peer's kernel acknowledged anything.
    pub acknowledged_before: Option<Duration>,
    /// It misses nothing that was sent: no segment is being sent again.
    pub nothing_missing: bool,
}

/// A connection that stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// When its handshake had ended.
    pub at: Mono,
    /// This side's address and port.
    pub local: Option<SocketAddr>,
    /// The other side's.
    pub remote: SocketAddr,
    /// How long its handshake took.
    pub connect: Duration,
}

/// How an attempt fares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Its handshake has ended.
    Connected,
    /// Part of its packet got through, or came back.
    Partly,
    /// Its packet came back.
    Answered,
    /// The local port cannot be used, by this host's own fault.
    PortTaken(String),
    /// It has ended without an answer.
    Failed(String),
}

/// News of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempted {
    /// Which.
    pub id: u32,
    /// This side's address and port.
    pub local: Option<SocketAddr>,
    /// Where to.
    pub remote: SocketAddr,
    /// How it fares.
    pub progress: Progress,
}

/// What the kernel knows over all connections of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TcpTotals {
    /// Segments sent again, over all connections.
    pub retransmits: Option<u64>,
    /// The last connection's smoothed round-trip time in microseconds.
    pub rtt_us: Option<u32>,
    /// The smallest round-trip time of any connection, in microseconds.
    pub min_rtt_us: Option<u32>,
    /// The last connection's congestion window in segments.
    pub cwnd: Option<u32>,
    /// The last connection's largest segment to send, in bytes.
    pub mss: Option<u32>,
    /// The congestion control in use, for example `bbr`.
    pub congestion_control: Option<String>,
}

/// A way to send probes and get their replies: in order, or each alone.
pub trait Link {
    /// Sends probe `number` and gives the last moment before the system call.
    /// A failure is reported by the next [`Link::receive`].
    fn send(&mut self, number: u64) -> Mono;

    /// Waits for something to come, at most until `until`, and only looks where
    /// that has passed. It may come back early with [`What::Nothing`].
    fn receive(&mut self, until: Mono) -> Arrival;

    /// Whether something came that the next [`Link::receive`] will give without
    /// asking the kernel.
    fn pending(&self) -> bool {
        false
    }

    /// The run over this link has ended: nothing of it is waited for any more.
    fn finish(&mut self) {}

    /// Does something with connections. A link without a connection that all
    /// probes share does nothing.
    fn act(&mut self, act: Act) -> Done {
        let _ = act;
        Done::Done
    }

    /// Both clocks, read together.
    fn anchor(&mut self) -> Anchor;

    /// What the kernel has counted so far, where there is a kernel connection.
    fn tcp(&self) -> Option<TcpTotals>;

    /// What came back so far of extensions that probes ask for.
    fn answers(&self) -> Vec<Answer> {
        Vec::new()
    }
}
