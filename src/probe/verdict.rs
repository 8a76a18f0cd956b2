//! Why a packet was slow: a pure function from evidence to a cause. A cause is
//! named where something was seen of this very packet, and else it is unknown: a
//! wrong cause sends people to the wrong team.

use std::time::Duration;

use crate::clock::nanos;

/// Where the time of a slow packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// This host was late to hand it to the network, or dropped it in its own
    /// output.
    HereSending,
    /// It waited for a window: the peer's, whose program does not read, or the
    /// path's.
    Window,
    /// It was lost on the way out and sent again.
    OutboundLoss,
    /// Its reply or the acknowledgement was lost on the way back.
    InboundLoss,
    /// The peer's kernel had it, and its program did not answer.
    Peer,
    /// This host had the reply, and this program got it late.
    HereReceiving,
    /// The path took longer, in a direction that cannot be told.
    Path,
    /// The evidence is missing or contradicts itself.
    Unknown,
}

impl Cause {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 8] = [
        Self::HereSending,
        Self::Window,
        Self::OutboundLoss,
        Self::InboundLoss,
        Self::Peer,
        Self::HereReceiving,
        Self::Path,
        Self::Unknown,
    ];

    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::HereSending => "here_sending",
            Self::Window => "window",
            Self::OutboundLoss => "outbound_loss",
            Self::InboundLoss => "inbound_loss",
            Self::Peer => "peer",
            Self::HereReceiving => "here_receiving",
            Self::Path => "path",
            Self::Unknown => "unknown",
        }
    }
}

/// Whose window a packet waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// The peer's: nothing was on the way, and still nothing could be sent.
    Peer,
    /// The congestion window: as much was on the way as the path was trusted with.
    Congestion,
}

/// What is known of one packet over TCP whose reply came. Times are microseconds
/// after the call that sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Evidence {
    /// When its last byte first left this host.
    pub departed: Option<u32>,
    /// When that left the last time, where it left more than once.
    pub copy: Option<u32>,
    /// When the peer's kernel had acknowledged it.
    pub acked: Option<u32>,
    /// When the segment came with which the reply's last bytes were read.
    pub arrived: Option<u32>,
    /// The smallest time from a departure to what answered it on this connection,
    /// before this packet.
    pub smallest: Option<u32>,
    /// Segments that this connection sent again meanwhile; `None` on a kernel that
    /// does not count.
    pub retransmits: Option<u32>,
    /// Whether the peer said meanwhile that it got something twice.
    pub dsack: Option<bool>,
    /// Segments of the peer's that came out of their order meanwhile, behind a hole.
    pub holes: Option<u32>,
    /// Whether the kernel's retransmission timer backed off though nothing left.
    pub backed_off: bool,
    /// The window that it was seen waiting for.
    pub window: Option<Window>,
    /// Whether the kernel was seen to have sent everything right after the call.
    pub not_held: bool,
    /// Whether it was one segment, so that its stamps tell all of it.
    pub one_segment: bool,
    /// From the first part of the reply to its end, where it came in parts.
    pub in_parts: Option<u32>,
}

impl Evidence {
    /// Whether nothing of the connection's was lost or sent again while this packet
    /// was out, and the peer's kernel acknowledged it as soon as ever: whatever else
    /// was under way, what came late is not the path's.
    pub(super) fn is_firm(&self) -> bool {
        let soon = self.smallest.zip(self.acked);
        self.one_segment
            && (self.retransmits, self.holes) == (Some(0), Some(0))
            && soon.is_some_and(|(smallest, acked)| acked < smallest + long(self))
    }
}

/// Times that differ by less than this are the same moment: a program's wake-up, a
/// delayed acknowledgement's granularity.
const MOMENT: u32 = 1_000;

/// Times that differ by this much differ on this path.
fn long(evidence: &Evidence) -> u32 {
    evidence.smallest.map_or(MOMENT, |smallest| MOMENT.max(smallest / 4))
}

/// Whether an answer `after` this long can be one to what left just then: none
/// comes sooner than the smallest round trip, of which the clocks' granularity may
/// take a tenth. What comes a little sooner than that may be the smallest yet.
fn can_answer(evidence: &Evidence, after: u32) -> Option<bool> {
    let smallest = evidence.smallest?;
    if after >= smallest - smallest / 10 {
        Some(true)
    } else if after <= smallest / 10 * 6 {
        Some(false)
    } else {
        None
    }
}

/// The cause of a slow packet with this round-trip time.
pub fn verdict(evidence: &Evidence, rtt: Duration) -> Cause {
    let rtt = u32::try_from(nanos(rtt) / 1_000).unwrap_or(u32::MAX);
    let long = long(evidence);
    let Some(departed) = evidence.departed else {
        return Cause::Unknown;
    };
    // What made it slow holds at least a third of the time that it took beyond others.
    let beyond = rtt.saturating_sub(evidence.smallest.unwrap_or(0));
    let made_it_slow = |span: u32| span >= long && span >= beyond / 3;
    if made_it_slow(departed) {
        return sending(evidence);
    }
    // A hole in what came makes the stamp of the reply that of another segment.
    let held_here = evidence.arrived.map(|arrived| rtt.saturating_sub(arrived));
    if evidence.holes == Some(0) && held_here.is_some_and(made_it_slow) {
        return Cause::HereReceiving;
    }
    if let Some(copy) = evidence.copy {
        return sent_again(evidence, rtt, copy);
    }
    if evidence.retransmits.is_some_and(|count| count > 0) {
        // Another of its segments was: of several only the last is stamped.
        return part_sent_again(evidence, rtt);
    }
    sent_once(evidence, rtt, departed)
}

/// It left late.
fn sending(evidence: &Evidence) -> Cause {
    match (evidence.window, evidence.retransmits) {
        (Some(_), _) => Cause::Window,
        // No copy ever left before: this host dropped the first itself.
        (None, Some(0)) if evidence.backed_off => Cause::HereSending,
        (None, Some(0)) if evidence.not_held => Cause::HereSending,
        _ => Cause::Unknown,
    }
}

/// It left more than once, the last time at `copy`.
fn sent_again(evidence: &Evidence, rtt: u32, copy: u32) -> Cause {
    let long = long(evidence);
    let Some(acked) = evidence.acked else { return Cause::Unknown };
    match can_answer(evidence, acked.saturating_sub(copy)) {
        None => Cause::Unknown,
        // What was acknowledged is the first copy: nothing was lost on the way out.
        Some(false) => match evidence.holes {
            Some(1..) => hole(evidence, rtt),
            Some(0) if rtt.saturating_sub(acked) >= long => Cause::Peer,
            Some(0) => Cause::Path,
            None => Cause::Unknown,
        },
        Some(true) => match (evidence.holes, evidence.dsack) {
            (Some(1..), _) => Cause::InboundLoss,
            // It had arrived: what was lost came from the peer, and the answer to the
            // copy came alone.
            (Some(0), Some(true)) if rtt.saturating_sub(acked) >= long => Cause::InboundLoss,
            // Or nothing was lost, and all of it was slow.
            (Some(0), Some(true)) => Cause::Path,
            (Some(0), Some(false)) => Cause::OutboundLoss,
            _ => Cause::Unknown,
        },
    }
}

/// Some segment was sent again, and it was not the last of this packet.
fn part_sent_again(evidence: &Evidence, rtt: u32) -> Cause {
    if evidence.one_segment {
        // Another packet's. What the peer's kernel had in good time is still told.
        let soon = evidence.acked.is_some_and(|acked| {
            evidence.smallest.is_some_and(|smallest| acked < smallest + long(evidence))
        });
        return match sent_once(evidence, rtt, 0) {
            Cause::Peer if soon => Cause::Peer,
            // The other copy was needless: it had arrived as well, and what answers
            // both came at once. A reply that was lost would have left a hole, or been
            // behind its acknowledgement.
            Cause::Path if evidence.dsack == Some(true) => Cause::Path,
            _ => Cause::Unknown,
        };
    }
    match (evidence.holes, evidence.dsack) {
        (Some(0), Some(false)) => Cause::OutboundLoss,
        _ => Cause::Unknown,
    }
}

/// It left once, and in time.
fn sent_once(evidence: &Evidence, rtt: u32, departed: u32) -> Cause {
    let long = long(evidence);
    let Some(arrived) = evidence.arrived else { return Cause::Unknown };
    match evidence.holes {
        Some(1..) => return hole(evidence, rtt),
        None => return Cause::Unknown,
        Some(0) => {}
    }
    if let Some(acked) = evidence.acked
        && arrived.saturating_sub(acked) >= long
    {
        return Cause::Peer;
    }
    let smallest = evidence.smallest.unwrap_or(0);
    if arrived.saturating_sub(departed) >= smallest + long / 2 && evidence.acked.is_some() {
        return Cause::Path;
    }
    Cause::Unknown
}

/// A later segment of the peer's came first. Filled sooner than the peer could
/// have heard of it, the hole was no loss.
fn hole(evidence: &Evidence, rtt: u32) -> Cause {
    // Of several behind the hole the stamp is the last one's. The first of them
    // acknowledged the request, as the reply that is missing would have.
    let opened = match (evidence.holes, evidence.arrived, evidence.acked) {
        (Some(1), arrived, _) => arrived,
        (_, Some(arrived), Some(acked)) => Some(acked.min(arrived)),
        _ => None,
    };
    let Some(opened) = opened else { return Cause::Unknown };
    match can_answer(evidence, rtt.saturating_sub(opened)) {
        Some(true) => Cause::InboundLoss,
        Some(false) => Cause::Path,
        None => Cause::Unknown,
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
