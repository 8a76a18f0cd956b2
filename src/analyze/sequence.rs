//! What a segment's numbers say: retransmissions, duplicate acknowledgements,
//! gaps, windows. The rules are those of Wireshark's TCP dissector
//! (<https://www.wireshark.org/docs/wsug_html_chunked/ChAdvTCPAnalysis.html>),
//! so that one file gives one answer. Where the capture itself refutes them, what it
//! shows is said instead: see `again` and `wait_for`.

use std::collections::VecDeque;

use super::coverage::{Coverage, Growth, after};
use crate::wire::tcp::{ACK, FIN, RST, SYN, Segment};

/// A reordered segment comes this soon after the one that overtook it, in
/// nanoseconds, where the path's own round trip is not known.
const OUT_OF_ORDER: i64 = 3_000_000;
/// A fast retransmission follows this soon on the acknowledgement that asked for
/// it.
const FAST: i64 = 20_000_000;
/// Segments sent again whose first copies may still come, for each direction.
const REMEMBERED: usize = 64;
/// Unacknowledged segments kept for each direction.
const MAX_UNACKED: usize = 10_000;

/// What was found about a segment. Several may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks(u16);

impl Marks {
    /// Data that was sent before, after its time-out.
    pub const RETRANSMISSION: Self = Self(1);
    /// Data that was sent before, asked for by duplicate acknowledgements.
    pub const FAST_RETRANSMISSION: Self = Self(1 << 1);
    /// Data that was sent before and had been acknowledged.
    pub const SPURIOUS: Self = Self(1 << 2);
    /// Data that was overtaken.
    pub const OUT_OF_ORDER: Self = Self(1 << 3);
    /// Data before it was not seen.
    pub const LOST: Self = Self(1 << 4);
    /// An acknowledgement of data that was not seen.
    pub const ACKED_UNSEEN: Self = Self(1 << 5);
    /// The same acknowledgement again.
    pub const DUPLICATE_ACK: Self = Self(1 << 6);
    /// No room at the receiver.
    pub const ZERO_WINDOW: Self = Self(1 << 7);
    /// Nothing but another window.
    pub const WINDOW_UPDATE: Self = Self(1 << 8);
    /// One byte into a window without room.
    pub const ZERO_WINDOW_PROBE: Self = Self(1 << 9);
    /// The answer to that.
    pub const ZERO_WINDOW_PROBE_ACK: Self = Self(1 << 10);
    /// A question whether the peer is there.
    pub const KEEP_ALIVE: Self = Self(1 << 11);
    /// The answer to that.
    pub const KEEP_ALIVE_ACK: Self = Self(1 << 12);

    /// Whether any of `others` is among them.
    pub fn any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Both together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Sent again, for whatever reason.
pub const SENT_AGAIN: Marks =
    Marks::RETRANSMISSION.and(Marks::FAST_RETRANSMISSION).and(Marks::SPURIOUS);

#[derive(Debug, Clone, Copy)]
struct Unacked {
    next: u32,
    /// When it was first sent, if that is known.
    at: Option<i64>,
}

/// In what order a side's packets left it, by what it writes into them.
#[derive(Debug, Clone, Default)]
struct Order {
    /// Of the packet that has reached furthest.
    furthest: Stamp,
    /// How often the next packet's identification was a little larger, and how
    /// often not.
    rises: u32,
    others: u32,
    /// Of what was sent again and seen first then: where it begins.
    again: VecDeque<(u32, Stamp)>,
}

impl Order {
    /// A packet has reached further than any before.
    fn advance(&mut self, stamp: Stamp) {
        let step = stamp.identification.wrapping_sub(self.furthest.identification);
        let rises = (1..=64).contains(&step);
        *(if rises { &mut self.rises } else { &mut self.others }) += 1;
        self.furthest = stamp;
    }

    /// Whether a packet left before another, if what they carry tells.
    fn left_before(&self, stamp: Stamp, other: Stamp) -> Option<bool> {
        if let (Some(own), Some(theirs)) = (stamp.timestamp, other.timestamp)
            && own != theirs
        {
            return Some(after(theirs, own));
        }
        let counts = self.rises >= 3 && self.others * 8 <= self.rises;
        let step = stamp.identification.wrapping_sub(other.identification);
        (counts && stamp.identification != 0 && step != 0).then_some(step >= 1 << 15)
    }

    /// Whether what was sent again from `sequence` on was seen before this, which it
    /// stands for.
    fn is_late(&self, sequence: u32, stamp: Stamp) -> bool {
        let of_it = self.again.iter().filter(|(from, _)| *from == sequence);
        of_it.map(|(_, again)| self.left_before(stamp, *again)).any(|late| late == Some(true))
    }

    fn remember(&mut self, sequence: u32, stamp: Stamp) {
        if self.again.len() == REMEMBERED {
            self.again.pop_front();
        }
        self.again.push_back((sequence, stamp));
    }
}

/// What a sender writes into its packets in the order in which they leave.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stamp {
    /// Of the datagram; 0 says nothing.
    pub identification: u16,
    /// TCP's own (RFC 7323).
    pub timestamp: Option<u32>,
}

/// One direction's numbers so far.
#[derive(Debug, Clone, Default)]
pub struct Direction {
    /// What comes next if nothing is lost.
    next: Option<u32>,
    /// When that was reached.
    next_at: i64,
    /// The end of what was seen without a gap.
    to_be_acked: Option<u32>,
    window: u32,
    last_ack: Option<u32>,
    last_ack_at: i64,
    /// That acknowledgement had blocks beyond a gap (SACK).
    last_sacks: bool,
    duplicates: u32,
    last: Marks,
    /// In the order of their ends.
    unacked: VecDeque<Unacked>,
    order: Order,
    coverage: Coverage,
    /// Where its data ended, once its FIN was seen.
    fin: Option<u32>,
}

/// What a segment turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// What was found.
    pub marks: Marks,
    /// If it acknowledges a segment to its end: how long after that was sent.
    pub ack_rtt: Option<u64>,
    /// What its data adds to this side's stream.
    pub data: Growth,
    /// Bytes of the other side's stream that were never seen and are there, as
    /// it acknowledges them.
    pub unseen: u32,
}

fn at_or_before(one: u32, other: u32) -> bool {
    !after(one, other)
}

impl Direction {
    /// The number that comes next, if anything was seen.
    pub fn next(&self) -> Option<u32> {
        self.next
    }

    /// What it acknowledged last.
    pub fn acknowledged(&self) -> Option<u32> {
        self.last_ack
    }

    /// The end of the bytes that are there without a gap.
    pub fn end(&self) -> Option<u32> {
        self.coverage.end()
    }

    /// The clock of the capture was set: times before say nothing any more.
    pub fn forget_times(&mut self) {
        self.unacked.iter_mut().for_each(|unacked| unacked.at = None);
        self.next_at = i64::MIN;
        self.last_ack_at = i64::MIN;
    }
}

/// Judges a segment from `own`'s side against the `other` side. `at` is its time
/// and `initial_rtt` the handshake's, if it was seen, in nanoseconds.
pub fn judge(
    own: &mut Direction,
    other: &mut Direction,
    (segment, stamp): (&Segment, Stamp),
    at: i64,
    initial_rtt: Option<i64>,
) -> Verdict {
    let mut marks = plain_marks(own, other, segment);
    let answers = Marks::KEEP_ALIVE_ACK.and(Marks::ZERO_WINDOW_PROBE_ACK);
    if !marks.any(Marks::ZERO_WINDOW_PROBE.and(answers)) && repeats(own, segment) {
        own.duplicates += 1;
        marks = marks.and(Marks::DUPLICATE_ACK);
    }
    if own.last_ack != Some(segment.acknowledgement) {
        own.duplicates = 0;
    }
    if segment.any(ACK)
        && other.to_be_acked.is_some_and(|seen| after(segment.acknowledgement, seen))
    {
        marks = marks.and(Marks::ACKED_UNSEEN);
        other.to_be_acked = other.next;
    }
    let data = cover(own, segment);
    if segment.length > 0 || segment.any(SYN | FIN) {
        let seen = Seen { at, known: segment.length > 0 && data.fresh == 0, stamp };
        let behind = again(own, other, segment, seen, initial_rtt, marks);
        if !seen.known && behind.any(SENT_AGAIN) {
            own.order.remember(segment.sequence, stamp);
        }
        marks = marks.and(behind);
    }
    advance(own, segment, stamp, at, marks);
    let unseen = if segment.any(ACK) { take_for_seen(other, segment.acknowledgement) } else { 0 };
    own.window = u32::from(segment.window);
    own.last_ack = Some(segment.acknowledgement);
    own.last_ack_at = at;
    own.last_sacks = segment.options.sack_blocks > 0;
    own.last = marks;
    let ack_rtt =
        segment.any(ACK).then(|| acknowledge(other, segment.acknowledgement, at)).flatten();
    Verdict { marks, ack_rtt, data, unseen }
}

/// Marks that need no history but the last segment each way.
fn plain_marks(own: &Direction, other: &mut Direction, segment: &Segment) -> Marks {
    let Segment { sequence, length, window, .. } = *segment;
    let control = segment.any(SYN | FIN | RST);
    let in_order = own.next == Some(sequence);
    if length == 1 && in_order && other.window == 0 && other.last_ack.is_some() {
        return Marks::ZERO_WINDOW_PROBE;
    }
    let mut marks = Marks::default();
    if window == 0 && !control {
        marks = marks.and(Marks::ZERO_WINDOW);
    }
    if own.next.is_some_and(|next| after(sequence, next)) && !segment.any(RST) {
        marks = marks.and(Marks::LOST);
    }
    // A byte that nobody has acknowledged is that byte again.
    let asks = length == 0 || length == 1 && other.last_ack == own.next;
    if asks && own.next.is_some_and(|next| sequence == next.wrapping_sub(1)) && !control {
        marks = marks.and(Marks::KEEP_ALIVE);
    }
    let same_ack = own.last_ack == Some(segment.acknowledgement);
    let pure = length == 0 && in_order && !control;
    let same_window = own.window == u32::from(window);
    if pure && same_ack && window != 0 && !same_window {
        marks = marks.and(Marks::WINDOW_UPDATE);
    }
    if pure && same_ack && window != 0 && same_window && other.last.any(Marks::KEEP_ALIVE) {
        return marks.and(Marks::KEEP_ALIVE_ACK);
    }
    let one_more = own.last_ack.map(|ack| ack.wrapping_add(1)) == Some(segment.acknowledgement);
    if pure
        && (same_ack || one_more)
        && window == 0
        && same_window
        && other.last.any(Marks::ZERO_WINDOW_PROBE)
    {
        marks = marks.and(Marks::ZERO_WINDOW_PROBE_ACK);
        if one_more {
            // The byte of the probe was taken after all.
            other.next = Some(segment.acknowledgement);
            other.to_be_acked = other.next;
        }
    }
    marks
}

/// The same acknowledgement, window and place as before, and no data.
fn repeats(own: &Direction, segment: &Segment) -> bool {
    segment.length == 0
        && segment.window != 0
        && own.window == u32::from(segment.window)
        && own.next == Some(segment.sequence)
        && own.last_ack == Some(segment.acknowledgement)
        && !segment.any(SYN | FIN | RST)
}

/// What the capture tells of a segment beside its numbers.
#[derive(Debug, Clone, Copy)]
struct Seen {
    at: i64,
    /// All its bytes were in the capture before.
    known: bool,
    stamp: Stamp,
}

/// What kind of repetition a segment with data, SYN or FIN is, if it is one.
///
/// Wireshark tells a segment that was overtaken by its time alone. Where the
/// capture knows better it is followed: bytes that it holds already were sent
/// again, and a sender's marks tell what left later.
fn again(
    own: &Direction,
    other: &Direction,
    segment: &Segment,
    seen: Seen,
    initial_rtt: Option<i64>,
    marks: Marks,
) -> Marks {
    let Segment { sequence, length, .. } = *segment;
    if marks.any(Marks::KEEP_ALIVE) {
        return Marks::default();
    }
    let Some(next) = own.next else { return Marks::default() };
    let end = sequence.wrapping_add(length);
    let takes = length.wrapping_add(u32::from(segment.any(SYN | FIN)));
    // One byte before what is next, and more than that: the byte of a probe
    // and new data behind it.
    let probe_and_more = length > 1 && next.wrapping_sub(1) == sequence;
    let behind = after(next, sequence) && !probe_and_more;
    if behind && seen.known && own.order.is_late(sequence, seen.stamp) {
        return Marks::OUT_OF_ORDER;
    }
    if length > 0 && other.last_ack.is_some_and(|ack| ack != 0 && at_or_before(end, ack)) {
        return Marks::SPURIOUS;
    }
    if !behind {
        return Marks::default();
    }
    let soon = initial_rtt.filter(|&rtt| rtt > 0).unwrap_or(OUT_OF_ORDER);
    let soon = seen.at.saturating_sub(own.next_at) < soon && next != sequence.wrapping_add(takes);
    let left_before = if seen.known {
        Some(false)
    } else {
        own.order.left_before(seen.stamp, own.order.furthest)
    };
    let asked = other.last_ack.is_some_and(|ack| {
        let thrice = other.duplicates >= 2 && ack == sequence;
        // Blocks beyond a gap ask for what is in it, the first time already.
        let sacked = other.last_sacks && at_or_before(ack, sequence);
        thrice || sacked && left_before == Some(false)
    });
    if asked && left_before != Some(true) && seen.at.saturating_sub(other.last_ack_at) < FAST {
        return Marks::FAST_RETRANSMISSION;
    }
    if left_before.unwrap_or(soon) { Marks::OUT_OF_ORDER } else { Marks::RETRANSMISSION }
}

/// What the data of a segment adds to its stream.
fn cover(own: &mut Direction, segment: &Segment) -> Growth {
    if segment.any(RST) {
        return Growth::default();
    }
    let from = segment.sequence.wrapping_add(u32::from(segment.any(SYN)));
    let to = from.wrapping_add(segment.length);
    if segment.any(FIN) {
        own.fin = Some(to);
    }
    own.coverage.seen(from, to)
}

/// What is acknowledged was there. A FIN is no byte of the stream.
fn take_for_seen(other: &mut Direction, acknowledgement: u32) -> u32 {
    let is_fin = other.fin.is_some_and(|fin| acknowledgement == fin.wrapping_add(1));
    other.coverage.acknowledged(acknowledgement.wrapping_sub(u32::from(is_fin)))
}

/// Moves a direction's numbers on.
fn advance(own: &mut Direction, segment: &Segment, stamp: Stamp, at: i64, marks: Marks) {
    let mut end = segment.sequence.wrapping_add(segment.length);
    if segment.length > 0 || segment.any(SYN | FIN) {
        if segment.any(SYN | FIN) {
            end = end.wrapping_add(1);
        }
        // Which of two an acknowledgement is for, nobody knows (Karn).
        let at = Some(at).filter(|_| !marks.any(SENT_AGAIN));
        wait_for(&mut own.unacked, Unacked { next: end, at });
    }
    let probe = marks.any(Marks::ZERO_WINDOW_PROBE);
    if !probe && own.next.is_none_or(|next| after(end, next)) {
        own.next = Some(end);
        own.next_at = at;
        own.order.advance(stamp);
    }
    if !probe && own.to_be_acked.is_none_or(|seen| seen == segment.sequence) {
        own.to_be_acked = own.next;
    }
}

/// Puts a segment among those that are not acknowledged. One that was sent again has
/// no time.
fn wait_for(unacked: &mut VecDeque<Unacked>, segment: Unacked) {
    if unacked.len() >= MAX_UNACKED {
        return;
    }
    match unacked.back() {
        Some(last) if at_or_before(segment.next, last.next) => {
            let place = unacked.partition_point(|other| after(segment.next, other.next));
            match unacked.get_mut(place) {
                Some(other) if other.next == segment.next => other.at = other.at.and(segment.at),
                _ => unacked.insert(place, segment),
            }
        }
        _ => unacked.push_back(segment),
    }
}

/// Takes away what `ack` acknowledges, and gives the age of the segment that ends
/// there.
fn acknowledge(sender: &mut Direction, ack: u32, at: i64) -> Option<u64> {
    let mut age = None;
    while let Some(first) = sender.unacked.front().copied()
        && at_or_before(first.next, ack)
    {
        sender.unacked.pop_front();
        if first.next == ack {
            age = first.at.and_then(|sent| u64::try_from(at.saturating_sub(sent)).ok());
        }
    }
    age
}
