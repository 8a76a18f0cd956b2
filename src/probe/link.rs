//! The loop's only seam to the world.

use std::net::SocketAddr;
use std::time::Duration;

use super::detail::Detail;
use super::sample::DropCause;
use crate::clock::{Anchor, Mono};

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
}

/// What a wait brought, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// First moment after the system call that brought it.
    pub at: Mono,
    /// What came.
    pub what: What,
}

/// How an attempt to connect again stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reopened {
    /// Connected.
    Up {
        /// When the handshake had ended.
        at: Mono,
        /// Where to.
        address: SocketAddr,
        /// How long the handshake took.
        connect: Duration,
    },
    /// The attempt failed.
    Failed {
        /// When.
        at: Mono,
        /// Where to.
        address: SocketAddr,
        /// Why.
        why: String,
    },
    /// Still under way.
    Pending {
        /// When the wait ended.
        at: Mono,
    },
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

    /// Waits without listening, at most until `until`.
    fn pause(&mut self, until: Mono) -> Mono;

    /// Begins to connect again, or goes on with it, at most until `until`.
    fn reopen(&mut self, until: Mono) -> Reopened;

    /// Both clocks, read together.
    fn anchor(&mut self) -> Anchor;

    /// What the kernel has counted so far, where there is a kernel connection.
    fn tcp(&self) -> Option<TcpTotals>;
}
