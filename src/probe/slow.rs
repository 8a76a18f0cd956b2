//! Which packets were slow, and why: verdicts gathered into a table.

use std::time::Duration;

use super::detail::Detail;
use super::sample::{Outcome, Sample};
use super::verdict::{Cause, Evidence, Window, verdict};
use crate::clock::{Mono, nanos};
use crate::stats::Summary;

/// A packet is slow above the running median and this much,
const LEAST_ABOVE: u64 = 1_000_000;
/// or this part of it, whichever is more.
const SHARE_ABOVE: u64 = 4;
/// Round trips after which the running median is looked up again.
const RENEW: u64 = 64;
/// From so many on the median is one.
const ENOUGH: u64 = 5;
/// What a delayed acknowledgement holds back on Linux, and a timer's tick.
const DELAYED_ACK_US: std::ops::Range<u32> = 38_000..56_000;
/// Linux's shortest retransmission time-out, a round trip of a path below 100 ms
/// included.
const MINIMUM_RTO_US: std::ops::Range<u32> = 195_000..310_000;

/// Why a packet was slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explained {
    /// Where its time went.
    pub cause: Cause,
    /// It came with the packet in front of it, whose cause it shares.
    pub held_up: bool,
    /// Whose window it waited for, where it did.
    pub window: Option<Window>,
}

/// The slow packets of one cause.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Their round-trip times in nanoseconds, without those held up behind others.
    pub rtt: Summary,
    /// When the peer's kernel had acknowledged them, in nanoseconds after their send.
    pub acked: Summary,
    /// How many waited for the peer's window, of those that waited for one.
    pub peers_window: u64,
}

/// The packet that was slow last.
#[derive(Debug, Clone, Copy)]
struct Front {
    at: Mono,
    cause: Cause,
}

/// The table of slow packets.
#[derive(Debug, Clone, Default)]
pub struct Slow {
    /// The bound that the user set.
    fixed: Option<u64>,
    /// The running median's, in nanoseconds.
    running: Option<u64>,
    /// The lowest that was.
    least: Option<u64>,
    seen: u64,
    /// By place in [`Cause::ALL`]; made when the first is slow.
    groups: Vec<Group>,
    front: Option<Front>,
    /// Slow packets in all.
    pub packets: u64,
    /// Those that were held up behind others.
    pub held_up: u64,
    /// Replies whose end came a delayed acknowledgement after their beginning.
    pub in_two_parts: u64,
    /// Packets that were lost and sent again after the shortest time-out.
    pub after_minimum_rto: u64,
}

impl Slow {
    /// With a bound that the user set, or else one that follows the median.
    pub fn new(fixed: Option<Duration>) -> Self {
        Self { fixed: fixed.map(nanos), ..Self::default() }
    }

    /// An empty one with the same bound.
    pub(super) fn anew(&self) -> Self {
        Self { fixed: self.fixed, running: self.running, least: self.running, ..Self::default() }
    }

    /// From which round trip on a packet is slow, in nanoseconds, once that can be
    /// said.
    pub fn above(&self) -> Option<u64> {
        self.fixed.or(self.running)
    }

    /// The lowest bound so far: it follows the median.
    pub fn least_above(&self) -> Option<u64> {
        self.fixed.or(self.least)
    }

    /// The slow packets of a cause, if there are any.
    pub fn group(&self, cause: Cause) -> Option<&Group> {
        let place = Cause::ALL.iter().position(|one| *one == cause)?;
        self.groups.get(place).filter(|group| group.rtt.count() > 0)
    }

    /// How many had a cause of their own.
    pub fn count(&self, cause: Cause) -> u64 {
        self.group(cause).map_or(0, |group| group.rtt.count())
    }

    /// The cause of the last slow packet whose reply came at `at` or after.
    pub fn cause_since(&self, at: Mono) -> Option<Cause> {
        let front = self.front.filter(|front| front.at >= at)?;
        Some(front.cause).filter(|cause| *cause != Cause::Unknown)
    }

    /// Takes in a packet; says why where it was slow and something was asked of the
    /// kernel. `rtts` are those of the packets before it.
    pub fn sample(&mut self, sample: &Sample, rtts: &Summary) -> Option<Explained> {
        let Detail::Tcp { evidence, watched: true, .. } = &sample.detail else { return None };
        let rtt = sample.rtt_nanos()?;
        self.renew(rtts);
        let above = self.above()?;
        if rtt <= above {
            return None;
        }
        let Outcome::Received { at, .. } = sample.outcome else { return None };
        let evidence = evidence.unwrap_or_default();
        let explained = self.explain(sample, at, rtt, &evidence, rtts);
        self.count_in(explained, rtt, &evidence);
        self.front = Some(Front { at, cause: explained.cause });
        Some(explained)
    }

    /// Takes in what was told of a flow's packet, slow above that flow's own bound,
    /// where these are the sum of flows: their bound is the lowest.
    pub fn add(&mut self, explained: Option<Explained>, sample: &Sample, above: Option<u64>) {
        let (Some(explained), Some(rtt)) = (explained, sample.rtt_nanos()) else { return };
        self.running = self.running.into_iter().chain(above).min();
        self.least = self.least.into_iter().chain(above).min();
        let evidence = match &sample.detail {
            Detail::Tcp { evidence, .. } => evidence.unwrap_or_default(),
            _ => Evidence::default(),
        };
        self.count_in(explained, rtt, &evidence);
    }

    /// Takes in how a reply came, whether the packet was slow or not: where all of
    /// them are, none is slower than the others.
    pub fn parts(&mut self, evidence: &Evidence) {
        let apart = evidence.in_parts.is_some_and(|apart| DELAYED_ACK_US.contains(&apart));
        let whole = evidence.holes.unwrap_or(0) == 0 && evidence.retransmits.unwrap_or(0) == 0;
        self.in_two_parts += u64::from(apart && whole);
    }

    fn renew(&mut self, rtts: &Summary) {
        self.seen += 1;
        let young = self.running.is_none() && rtts.count() >= ENOUGH;
        if self.fixed.is_none() && (young || self.seen.is_multiple_of(RENEW)) {
            let median = rtts.percentile(50.0);
            self.running = median.map(|p50| p50 + LEAST_ABOVE.max(p50 / SHARE_ABOVE));
            self.least = self.least.into_iter().chain(self.running).min();
        }
    }

    fn explain(
        &self,
        sample: &Sample,
        at: Mono,
        rtt: u64,
        evidence: &Evidence,
        rtts: &Summary,
    ) -> Explained {
        let own = verdict(evidence, Duration::from_nanos(rtt));
        let moment = LEAST_ABOVE.max(rtts.min().unwrap_or(0) / SHARE_ABOVE);
        // Behind one that nothing is known of, a packet whose own case is clear.
        let firm = own == Cause::Peer && evidence.is_firm();
        let clear = self.front.is_some_and(|front| {
            firm && front.cause == Cause::Unknown && at.nanos_since(front.at) <= moment
        });
        let behind = self.front.filter(|front| {
            if clear {
                return false;
            }
            let together = at.nanos_since(front.at) <= moment;
            // After a loss a window opens one round trip at a time.
            let loss = matches!(front.cause, Cause::OutboundLoss | Cause::InboundLoss);
            sample.sent < front.at && (together || (loss && own == Cause::Window))
        });
        let window = if behind.is_none() { evidence.window } else { None };
        let cause = match behind {
            Some(front) => front.cause,
            None if clear => own,
            None => self.beside_trouble(own, sample.sent),
        };
        Explained { cause, held_up: behind.is_some(), window }
    }

    /// What a packet's own evidence says, taken back where it was under way together
    /// with another slow one: the peer's segment that mends an earlier loss carries
    /// the acknowledgement of what was sent later, and the replies behind it wait for
    /// the peer's congestion window. Both look as if its program had not answered.
    fn beside_trouble(&self, own: Cause, sent: Mono) -> Cause {
        let Some(front) = self.front.filter(|front| sent < front.at) else { return own };
        let loss = matches!(front.cause, Cause::OutboundLoss | Cause::InboundLoss);
        match own {
            Cause::Peer if front.cause != Cause::Peer => Cause::Unknown,
            // What nobody could explain may have been a loss.
            Cause::Path if loss || front.cause == Cause::Unknown => Cause::Unknown,
            _ => own,
        }
    }

    fn count_in(&mut self, explained: Explained, rtt: u64, evidence: &Evidence) {
        self.packets += 1;
        if explained.held_up {
            self.held_up += 1;
            return;
        }
        let lost = matches!(explained.cause, Cause::OutboundLoss | Cause::InboundLoss);
        let late = evidence.copy.is_some_and(|copy| MINIMUM_RTO_US.contains(&copy));
        self.after_minimum_rto += u64::from(lost && late);
        if self.groups.is_empty() {
            self.groups.resize_with(Cause::ALL.len(), Group::default);
        }
        let place = Cause::ALL.iter().position(|one| *one == explained.cause);
        if let Some(group) = place.and_then(|place| self.groups.get_mut(place)) {
            group.rtt.record(rtt);
            if let Some(acked) = evidence.acked {
                group.acked.record(u64::from(acked) * 1_000);
            }
            let peers = explained.cause == Cause::Window && explained.window == Some(Window::Peer);
            group.peers_window += u64::from(peers);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn sample(number: u64, sent: u64, received: u64, evidence: Option<Evidence>) -> Sample {
        Sample {
            number,
            due: Mono(sent),
            sent: Mono(sent),
            went_out: true,
            outcome: Outcome::Received { at: Mono(received), late: false },
            detail: Detail::Tcp {
                info: None,
                retransmitted: false,
                kernel: None,
                evidence,
                connection: 1,
                watched: true,
            },
            explained: None,
            flow: 1,
        }
    }

    /// A table that has seen round trips of 20 ms.
    fn calm() -> (Slow, Summary) {
        let (mut slow, mut rtts) = (Slow::new(None), Summary::default());
        for number in 1..=10 {
            let sent = number * 1_000 * MS;
            assert_eq!(slow.sample(&sample(number, sent, sent + 20 * MS, None), &rtts), None);
            rtts.record(20 * MS);
        }
        (slow, rtts)
    }

    #[test]
    fn what_comes_together_shares_its_cause() {
        let (mut slow, rtts) = calm();
        let stopped = Evidence {
            departed: Some(10),
            acked: Some(20_000),
            arrived: Some(300_000),
            smallest: Some(20_000),
            retransmits: Some(0),
            dsack: Some(false),
            holes: Some(0),
            ..Evidence::default()
        };
        let base = 100_000 * MS;
        let first = slow.sample(&sample(11, base, base + 300 * MS, Some(stopped)), &rtts).unwrap();
        assert_eq!((first.cause, first.held_up), (Cause::Peer, false));
        let behind = sample(12, base + 50 * MS, base + 300 * MS + 1, Some(Evidence::default()));
        let behind = slow.sample(&behind, &rtts).unwrap();
        assert_eq!((behind.cause, behind.held_up), (Cause::Peer, true));
        // Sent after that: a slow packet of its own.
        let alone = sample(13, base + 301 * MS, base + 401 * MS, Some(Evidence::default()));
        let alone = slow.sample(&alone, &rtts).unwrap();
        assert_eq!((alone.cause, alone.held_up), (Cause::Unknown, false));
        assert_eq!((slow.packets, slow.held_up, slow.count(Cause::Peer)), (3, 1, 1));
        assert_eq!(slow.cause_since(Mono(base)), None, "the last one is unknown");
    }

    #[test]
    fn an_acknowledgement_that_came_with_another_packets_repair_blames_nobody() {
        let (mut slow, rtts) = calm();
        let lost = Evidence {
            departed: Some(10),
            acked: Some(70_000),
            arrived: Some(70_000),
            smallest: Some(20_000),
            retransmits: Some(0),
            dsack: Some(false),
            holes: Some(1),
            ..Evidence::default()
        };
        let base = 100_000 * MS;
        let first = slow.sample(&sample(11, base, base + 240 * MS, Some(lost)), &rtts).unwrap();
        assert_eq!((first.cause, first.held_up), (Cause::InboundLoss, false));
        // Acknowledged with the segment that filled the hole, answered after that.
        let early =
            Evidence { acked: Some(40_000), arrived: Some(140_000), holes: Some(0), ..lost };
        let second = sample(12, base + 200 * MS, base + 340 * MS, Some(early));
        let second = slow.sample(&second, &rtts).unwrap();
        assert_eq!((second.cause, second.held_up), (Cause::Unknown, false));
        // The same where nothing else was under way.
        let alone = sample(13, base + 400 * MS, base + 540 * MS, Some(early));
        assert_eq!(slow.sample(&alone, &rtts).unwrap().cause, Cause::Peer);
    }

    #[test]
    fn a_clear_case_behind_an_unknown_one_is_told() {
        let (mut slow, rtts) = calm();
        // A tail-loss probe of the second fetched the first's acknowledgement.
        let unclear = Evidence {
            departed: Some(10),
            acked: Some(53_000),
            arrived: Some(167_000),
            smallest: Some(20_000),
            retransmits: Some(1),
            dsack: Some(true),
            holes: Some(0),
            one_segment: true,
            ..Evidence::default()
        };
        let clear = Evidence {
            acked: Some(20_100),
            arrived: Some(107_000),
            retransmits: Some(0),
            dsack: Some(false),
            ..unclear
        };
        let base = 100_000 * MS;
        let end = base + 167 * MS;
        let mut told = |number: u64, sent: u64, at: u64, evidence| {
            let explained = slow.sample(&sample(number, sent, at, Some(evidence)), &rtts).unwrap();
            (explained.cause, explained.held_up)
        };
        assert_eq!(told(11, base, end, unclear), (Cause::Unknown, false));
        assert_eq!(told(12, base + 60 * MS, end + 1, clear), (Cause::Peer, false));
        assert_eq!(told(13, base + 80 * MS, end + 2, clear), (Cause::Peer, true));
        // What comes a while later may wait for the peer's window.
        assert_eq!(
            told(14, base + 1_000 * MS, base + 1_167 * MS, unclear),
            (Cause::Unknown, false)
        );
        let late = base + 1_200 * MS;
        assert_eq!(told(15, base + 1_100 * MS, late, clear), (Cause::Unknown, false));
    }

    #[test]
    fn the_bound_follows_the_median_or_is_the_users() {
        let (slow, _) = calm();
        let above = slow.above().unwrap();
        assert!((24 * MS..26 * MS).contains(&above), "{above}");
        let mut slow = Slow::new(Some(Duration::from_millis(3)));
        let rtts = Summary::default();
        assert!(slow.sample(&sample(1, 0, 3 * MS, None), &rtts).is_none());
        assert!(slow.sample(&sample(2, 9 * MS, 13 * MS, None), &rtts).is_some());
    }
}
