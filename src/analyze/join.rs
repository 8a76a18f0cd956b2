//! A client's own file beside the capture: what it measured, what was on the
//! wire, and the difference, which is this host's own share.

use super::requests::Answered;
use super::slowest::Slowest;
use crate::stats::Summary;

/// How far the client's times of day and the capture's may lie apart: a run's
/// times come from one look at the clock, which is renewed when it is 10 ms off.
const SLACK: i64 = 15_000_000;

/// Pairs that are kept of one connection joined in one way, 72 bytes each.
pub const MAX_PAIRS: usize = 1 << 20;

/// A row of the client's file whose reply came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timed {
    /// Its packet's number.
    pub number: u64,
    /// Its flow, where the file tells.
    pub flow: Option<u64>,
    /// When it was sent, in nanoseconds since 1970.
    pub sent: i64,
    /// Its round-trip time in nanoseconds.
    pub rtt: u64,
}

impl Timed {
    /// When its reply was received.
    pub fn received(&self) -> i64 {
        self.sent.saturating_add(i64::try_from(self.rtt).unwrap_or(i64::MAX))
    }
}

/// What decides which of two neighbours belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pairing {
    /// Their order and nothing else: right where both sides have every packet,
    /// however long the kernel kept one back.
    Whole,
    /// Their order, where their times allow it.
    InOrder,
    /// Their times: right where one side has more, and packets are further apart
    /// than this host ever held one up.
    Nearest,
}

impl Pairing {
    /// All of them, the most plausible last.
    pub const ALL: [Self; 3] = [Self::Nearest, Self::InOrder, Self::Whole];
}

/// A packet that was found on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The client's row.
    pub row: Timed,
    /// The request on the wire.
    pub request: Answered,
}

impl Pair {
    /// How long it was on its way, as seen in the capture, in nanoseconds: from
    /// the request's first byte on, as a sender that waits for its congestion
    /// window waits for the path.
    pub fn on_the_wire(&self) -> u64 {
        u64::try_from(self.request.replied.saturating_sub(self.request.begun)).unwrap_or(0)
    }
}

/// The two joined, packet by packet.
pub struct Join<'rows> {
    /// The rows of received packets, in order.
    rows: Box<dyn FnMut() -> Option<Timed> + 'rows>,
    next: Option<Timed>,
    /// The row after it.
    later: Option<Timed>,
    /// The last request, until the one after it is known.
    held: Option<Answered>,
    pairing: Pairing,
    /// How much later than the client the capture saw requests, so far.
    offset: i64,
    /// How badly pairs fit, in nanoseconds over all.
    strain: u64,
    /// Packets that were found in both.
    pub matched: u64,
    /// Rows that are not in the capture.
    pub rows_alone: u64,
    /// Requests in the capture that are in no row.
    pub requests_alone: u64,
    /// Packets that took longer on the wire than the client says.
    pub impossible: u64,
    /// The client's round-trip times, in nanoseconds.
    pub client: Summary,
    /// Those on the wire.
    pub wire: Summary,
    /// What this host added.
    pub host: Summary,
    /// The slowest pairs.
    pub slowest: Slowest<Pair>,
    /// All pairs in order, where they are asked for; [`MAX_PAIRS`] at most.
    pub pairs: Option<Vec<Pair>>,
}

impl<'rows> Join<'rows> {
    /// Takes rows from `rows`, which gives one after another.
    /// The `slowest` pairs are kept.
    pub fn new(
        mut rows: impl FnMut() -> Option<Timed> + 'rows,
        pairing: Pairing,
        slowest: usize,
    ) -> Self {
        let (next, later) = (rows(), rows());
        Self {
            rows: Box::new(rows),
            next,
            later,
            held: None,
            pairing,
            offset: 0,
            strain: 0,
            matched: 0,
            rows_alone: 0,
            requests_alone: 0,
            impossible: 0,
            client: Summary::new(),
            wire: Summary::new(),
            host: Summary::new(),
            slowest: Slowest::new(slowest),
            pairs: None,
        }
    }

    /// Keeps every pair.
    #[must_use]
    pub fn keeping_pairs(self, keep: bool) -> Self {
        Self { pairs: keep.then(Vec::new), ..self }
    }

    /// A request that was seen with its reply. Rows and requests come in the same
    /// order; where one side has more, the times say which to leave out.
    pub fn take(&mut self, answered: Answered) {
        if let Some(request) = self.held.replace(answered) {
            self.place(request, Some(answered));
        }
    }

    /// Finds the row of `request`, which `following` comes after.
    fn place(&mut self, request: Answered, following: Option<Answered>) {
        while let Some(row) = self.next {
            let whole = self.pairing == Pairing::Whole;
            let distance = self.distance(request, row);
            let closer = following.is_some_and(|other| self.distance(other, row) < distance);
            // Nothing is on the wire before it was sent,
            if !whole && (request.begun < row.sent - SLACK || closer) {
                break;
            }
            let closer = self.later.is_some_and(|other| self.distance(request, other) < distance);
            self.turn();
            // or received before that.
            if !whole && (request.replied > row.received() + SLACK || closer) {
                self.rows_alone += 1;
                continue;
            }
            return self.pair(Pair { row, request });
        }
        self.requests_alone += 1;
    }

    fn turn(&mut self) {
        let after = if self.later.is_some() { (self.rows)() } else { None };
        self.next = std::mem::replace(&mut self.later, after);
    }

    /// How badly the two fit; in order, all do alike.
    fn distance(&self, request: Answered, row: Timed) -> u64 {
        match self.pairing {
            Pairing::Whole | Pairing::InOrder => 0,
            Pairing::Nearest => (request.begun - row.sent).abs_diff(self.offset),
        }
    }

    /// Orders the same two sides joined in different ways: by how many pairs can
    /// be true, then by how well they fit.
    pub fn merit(&self) -> (u64, std::cmp::Reverse<u64>) {
        let alone = self.rows_alone + self.requests_alone;
        let usable = self.pairing != Pairing::Whole || alone == 0;
        let possible = self.matched.saturating_sub(self.impossible);
        (if usable { possible } else { 0 }, std::cmp::Reverse(self.strain))
    }

    fn pair(&mut self, pair: Pair) {
        let Pair { row, request } = pair;
        let strain = (request.begun - row.sent).abs_diff(self.offset);
        self.strain = self.strain.saturating_add(strain);
        // Slowly, as a single request may have been late for reasons of its own.
        self.offset += (request.begun - row.sent - self.offset) / 8;
        let wire = pair.on_the_wire();
        self.matched += 1;
        self.impossible += u64::from(wire > row.rtt);
        self.client.record(row.rtt);
        self.wire.record(wire);
        self.host.record(row.rtt.saturating_sub(wire));
        self.slowest.take(row.rtt, pair);
        if let Some(pairs) = self.pairs.as_mut().filter(|pairs| pairs.len() < MAX_PAIRS) {
            pairs.push(pair);
        }
    }

    /// Takes in another connection of the same client, whose rows were alone here.
    pub fn absorb(&mut self, other: &Self) {
        self.matched += other.matched;
        self.impossible += other.impossible;
        self.rows_alone = self.rows_alone.saturating_sub(other.matched);
        self.requests_alone += other.requests_alone;
        self.client.absorb(&other.client);
        self.wire.absorb(&other.wire);
        self.host.absorb(&other.host);
        for (rtt, pair) in other.slowest.sorted() {
            self.slowest.take(rtt, pair);
        }
        if let (Some(pairs), Some(more)) = (&mut self.pairs, &other.pairs) {
            pairs.extend_from_slice(more);
            pairs.sort_unstable_by_key(|pair| pair.row.sent);
        }
    }

    /// Nothing more will come.
    pub fn end(&mut self) {
        if let Some(request) = self.held.take() {
            self.place(request, None);
        }
        while self.next.is_some() {
            self.rows_alone += 1;
            self.turn();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn answered(sent: i64, replied: i64) -> Answered {
        Answered { number: 1, begun: sent, sent, replied, sent_again: 0 }
    }

    fn joined(rows: &[i64], requests: &[i64]) -> (u64, u64, u64) {
        let mut rows =
            rows.iter().map(|at| Timed { number: 1, flow: None, sent: at * MS, rtt: 900_000 });
        let mut join = Join::new(move || rows.next(), Pairing::Nearest, 0);
        for at in requests {
            join.take(answered(at * MS + 50_000, at * MS + 800_000));
        }
        join.end();
        assert_eq!(join.host.max().unwrap_or(0), if join.matched > 0 { 150_000 } else { 0 });
        (join.matched, join.rows_alone, join.requests_alone)
    }

    #[test]
    fn in_order_is_better_where_this_host_held_packets_up() {
        // 10 us apart, and one held up for 5 ms before it reached the wire.
        let joined = |pairing| {
            let mut at = 0;
            let mut rows = (0..100).map(|number| {
                let held = if number == 50 { 5_000_000 } else { 2_000 };
                at += 10_000 + held;
                let rtt = u64::try_from(held + 8_000).unwrap();
                (Timed { number, flow: None, sent: at - held, rtt }, at)
            });
            let all: Vec<_> = rows.by_ref().collect();
            let mut timed = all.clone().into_iter().map(|(row, _)| row);
            let mut join = Join::new(move || timed.next(), pairing, 0);
            for (_, wire) in all {
                join.take(answered(wire, wire + 7_000));
            }
            join.end();
            join
        };
        let (order, nearest) = (joined(Pairing::InOrder), joined(Pairing::Nearest));
        assert_eq!((order.matched, order.impossible), (100, 0));
        assert!(order.merit() >= nearest.merit());
    }

    #[test]
    fn rows_and_requests_find_each_other() {
        assert_eq!(joined(&[0, 100, 200], &[0, 100, 200]), (3, 0, 0));
        assert_eq!(joined(&[0, 100, 200, 300], &[100, 300]), (2, 2, 0));
        assert_eq!(joined(&[100, 300], &[0, 100, 200, 300, 400]), (2, 0, 3));
        assert_eq!(joined(&[0, 4, 8, 12], &[4, 8]), (2, 2, 0), "captured in the middle");
        assert_eq!(joined(&[0, 4, 8, 12], &[0, 8, 12]), (3, 1, 0), "one not captured");
        assert_eq!(joined(&[4, 14, 24], &[0, 4, 10, 14, 20, 24]), (3, 0, 3), "another client");
        assert_eq!(joined(&[], &[1]), (0, 0, 1));
        assert_eq!(joined(&[1], &[]), (0, 1, 0));
    }
}
