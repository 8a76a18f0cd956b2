//! Requests and their replies on the wire. Where the server sends back what it
//! got, a reply is complete when as much has come back; else when the client
//! speaks again.
//!
//! Where a request ends, the wire does not say. A write of the sender mostly ends
//! with a pushed segment, but a large one is pushed in between as well, and what had
//! to wait leaves in segments with several writes or parts of them. So the first
//! turn (up to where the client speaks again, all being echoed) is held until its
//! end, which shows how long requests are; and as long as turns end at multiples of
//! that, they are counted by it. A turn that ends with a segment as long as segments
//! can be says nothing: the sender may have had to wait for its congestion window.

use std::collections::VecDeque;

use super::series::Series;

/// A delayed acknowledgement of Linux, in nanoseconds.
const DELAYED_ACK: std::ops::Range<i64> = 38_000_000..56_000_000;
/// Requests that may wait for their reply.
const MAX_PENDING: usize = 1 << 16;
/// Segments of the first turn that are held back until its end.
const MAX_HELD: usize = 192;

/// A request that has its reply, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// Its number among the client's requests, from 1.
    pub number: u64,
    /// The request's first byte.
    pub begun: i64,
    /// The request's end.
    pub sent: i64,
    /// The reply's end.
    pub replied: i64,
    /// Segments of either end that were sent again from its beginning on.
    pub sent_again: u64,
}

impl Answered {
    /// From the request's end to the reply's, in nanoseconds; `None` where the
    /// packets were written in another order.
    pub fn on_the_wire(&self) -> Option<u64> {
        u64::try_from(self.replied.saturating_sub(self.sent)).ok()
    }
}

/// How long requests are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Unit {
    /// The first turn will show it.
    #[default]
    Unknown,
    /// So many bytes.
    Bytes(u64),
    /// Each ends where it is pushed.
    Pushed,
}

/// A request that waits for its reply.
#[derive(Debug, Clone, Copy)]
struct Pending {
    number: u64,
    /// Where it ends in the client's bytes.
    end: u64,
    /// When its first byte was seen and its last, if they were.
    seen: Option<(i64, i64)>,
    /// Segments that had been sent again by then.
    sent_again: u64,
}

/// What the client sent in one segment.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// Bytes by which its stream has grown.
    pub bytes: u32,
    /// They are to be handed on; of several segments nobody knows which of them.
    pub pushed: Option<bool>,
    /// The segment is as long as segments are here: more of the same request may
    /// follow.
    pub full: bool,
    /// Nothing of either end was under way to the other when it left.
    pub alone: bool,
    /// When it was seen, if it was.
    pub at: Option<i64>,
}

/// What one end sent in the first turn, and what had been sent again by then.
#[derive(Debug, Clone, Copy)]
struct Held {
    by_client: bool,
    sent: Sent,
    sent_again: u64,
}

/// The requests of one connection.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    /// Bytes of the client, and of the server.
    sent: u64,
    returned: u64,
    unit: Unit,
    pending: VecDeque<Pending>,
    /// Segments of either end that were sent again, as whoever counts them says.
    pub sent_again: u64,
    /// Requests so far.
    count: u64,
    /// When the first byte of the request that has not ended was seen.
    begun: Option<i64>,
    /// A part of it was not seen, or before the clock was set: it has no time.
    unseen: bool,
    /// The last segment was as long as segments are here.
    full: bool,
    /// What the first turn has brought.
    held: Vec<Held>,
    /// Where pushed segments ended in it, also those beyond a gap, and whether they
    /// were full.
    ends: Vec<(u64, bool)>,
    /// The server has sent more than it got: it is no echo.
    exceeded: bool,
    echoes: Series,
    /// The end of the client's last words, until the server has spoken.
    asked: Option<i64>,
    /// The end of the server's last words since.
    told: Option<i64>,
    /// Replies whose parts were a delayed acknowledgement apart.
    in_two_parts: u64,
    turns: Series,
}

impl Requests {
    /// What the client has sent in one segment; what is known to be answered by now
    /// goes to `done`.
    pub fn on_client(&mut self, sent: Sent, done: &mut dyn FnMut(Answered)) {
        if sent.bytes == 0 {
            return;
        }
        if self.returned == self.sent && self.sent > 0 && !self.full {
            self.learn(true, done);
        }
        self.full = sent.full;
        if self.unit == Unit::Unknown {
            self.sent += u64::from(sent.bytes);
            self.hold(true, sent, done);
        } else {
            self.client(sent);
        }
    }

    /// A segment of the client was seen, which ends so many bytes behind what its
    /// stream has grown to.
    pub fn on_segment(&mut self, ahead: u32, pushed: bool, full: bool) {
        if pushed && self.unit == Unit::Unknown && self.ends.len() < MAX_HELD {
            self.ends.push((self.sent + u64::from(ahead), full));
        }
    }

    /// The client's stream has grown.
    fn client(&mut self, sent: Sent) {
        let Sent { bytes, pushed, alone, at, .. } = sent;
        let before = self.sent;
        self.sent += u64::from(bytes);
        // After a reply the next request goes alone: one as long as several units
        // is a longer one.
        if let Unit::Bytes(unit) = self.unit
            && self.returned == before
            && alone
            && pushed == Some(true)
            && u64::from(bytes) > unit
            && u64::from(bytes).is_multiple_of(unit)
        {
            self.unit = Unit::Pushed;
        }
        self.begun = self.begun.or(at);
        self.unseen |= at.is_none();
        if let Unit::Bytes(unit) = self.unit {
            let mut end = (before / unit + 1) * unit;
            while end <= self.sent {
                self.wait_for(end, at);
                self.begun = at.filter(|_| end < self.sent);
                self.unseen = at.is_none() && end < self.sent;
                end += unit;
            }
        } else if pushed != Some(false) {
            // Which requests are in several segments, nobody knows.
            self.wait_for(self.sent, at.filter(|_| pushed.is_some()));
            self.begun = None;
            self.unseen = false;
        }
        self.end_turn();
        self.asked = at;
    }

    fn wait_for(&mut self, end: u64, at: Option<i64>) {
        self.count += 1;
        // What nobody saw has a reply without a time too.
        let at = at.filter(|_| !self.unseen);
        let seen = at.map(|at| (self.begun.unwrap_or(at), at));
        let counted = self.unit == Unit::Pushed || seen.is_some();
        if counted && self.pending.len() < MAX_PENDING {
            let sent_again = self.sent_again;
            self.pending.push_back(Pending { number: self.count, end, seen, sent_again });
        }
    }

    /// The clock of the capture was set: times before say nothing any more.
    pub fn forget_times(&mut self) {
        self.pending.iter_mut().for_each(|pending| pending.seen = None);
        self.held.iter_mut().for_each(|held| held.sent.at = None);
        self.unseen |= self.begun.take().is_some();
        self.asked = None;
        self.told = None;
    }

    /// A segment of the first turn.
    fn hold(&mut self, by_client: bool, sent: Sent, done: &mut dyn FnMut(Answered)) {
        self.held.push(Held { by_client, sent, sent_again: self.sent_again });
        if self.held.len() == MAX_HELD {
            self.learn(false, done);
        }
    }

    /// A turn has ended, or is too long: all that was sent has come back if it is
    /// `whole`.
    fn learn(&mut self, whole: bool, done: &mut dyn FnMut(Answered)) {
        match self.unit {
            Unit::Unknown => {
                self.unit = self.unit_of_held(whole);
                let sent_again = self.sent_again;
                (self.sent, self.returned) = (0, 0);
                for held in std::mem::take(&mut self.held) {
                    self.sent_again = held.sent_again;
                    match held.sent {
                        sent if held.by_client => self.client(sent),
                        Sent { bytes, at, .. } => self.server(bytes, at, done),
                    }
                }
                self.sent_again = sent_again;
            }
            Unit::Bytes(unit) if !self.sent.is_multiple_of(unit) => self.unit = Unit::Pushed,
            Unit::Bytes(_) | Unit::Pushed => {}
        }
    }

    /// How long requests are, by what the first turn has brought: up to the first
    /// end of a write, if all others are at multiples of that; else all of it was
    /// one, if it is a whole turn. A full segment ends a write only where all are
    /// full.
    fn unit_of_held(&mut self, whole: bool) -> Unit {
        let mut ends = std::mem::take(&mut self.ends);
        if ends.iter().any(|(_, full)| !full) {
            ends.retain(|(end, full)| !full && (!whole || *end <= self.sent));
        }
        if whole {
            ends.push((self.sent, true));
        }
        let first = ends.iter().map(|(end, _)| *end).min();
        let fits = |unit: u64| unit > 0 && ends.iter().all(|(end, _)| end.is_multiple_of(unit));
        match first {
            Some(first) if fits(first) => Unit::Bytes(first),
            _ if whole => Unit::Bytes(self.sent.max(1)),
            _ => Unit::Pushed,
        }
    }

    /// The server has sent `fresh` bytes at `at`, or at a time that nobody saw;
    /// what is answered by that goes to `done`.
    pub fn on_server(&mut self, fresh: u32, at: Option<i64>, done: &mut dyn FnMut(Answered)) {
        if fresh == 0 {
        } else if self.unit == Unit::Unknown {
            self.returned += u64::from(fresh);
            let sent = Sent { bytes: fresh, pushed: None, full: false, alone: false, at };
            self.hold(false, sent, done);
        } else {
            self.server(fresh, at, done);
        }
    }

    /// The server's stream has grown.
    fn server(&mut self, fresh: u32, at: Option<i64>, done: &mut dyn FnMut(Answered)) {
        self.returned += u64::from(fresh);
        // What was not seen may be a FIN.
        self.exceeded |= at.is_some() && self.returned > self.sent;
        if let (Some(before), Some(at)) = (self.told, at)
            && DELAYED_ACK.contains(&at.saturating_sub(before))
        {
            self.in_two_parts += 1;
        }
        self.told = at;
        while let Some(&Pending { number, end, seen, sent_again }) = self.pending.front()
            && end <= self.returned
        {
            self.pending.pop_front();
            let sent_again = self.sent_again - sent_again;
            if let Some(((begun, sent), replied)) = seen.zip(at) {
                self.give(Answered { number, begun, sent, replied, sent_again }, done);
            }
        }
    }

    fn give(&mut self, answered: Answered, done: &mut dyn FnMut(Answered)) {
        record(&mut self.echoes, answered.sent, answered.replied);
        done(answered);
    }

    fn end_turn(&mut self) {
        if let (Some(asked), Some(told)) = (self.asked, self.told.take()) {
            record(&mut self.turns, asked, told);
        }
    }

    /// Nothing more will come.
    pub fn end(&mut self, done: &mut dyn FnMut(Answered)) {
        if self.unit == Unit::Unknown && self.sent > 0 {
            self.learn(self.returned == self.sent && !self.full, done);
        }
        self.end_turn();
        self.asked = None;
    }

    /// Round trips of requests in nanoseconds.
    pub fn round_trips(&self) -> &Series {
        if self.is_echo() { &self.echoes } else { &self.turns }
    }

    /// Whether the server sends back what it gets, as far as numbers tell.
    pub fn is_echo(&self) -> bool {
        !self.exceeded && self.echoes.count() > 0
    }

    /// Replies whose parts were a delayed acknowledgement (40 ms on Linux) apart.
    pub fn in_two_parts(&self) -> u64 {
        self.in_two_parts
    }

    /// Requests without a reply.
    pub fn unanswered(&self) -> usize {
        if self.is_echo() { self.pending.len() } else { 0 }
    }
}

/// A time that would be negative was none: packets may be written in another
/// order than they came in.
fn record(series: &mut Series, from: i64, to: i64) {
    if let Ok(span) = u64::try_from(to.saturating_sub(from)) {
        series.record(span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: u32 = 1448;

    fn pushes(requests: &mut Requests, bytes: u32, pushed: Option<bool>, full: bool) {
        requests.on_segment(bytes, pushed == Some(true), full);
    }

    /// Segments: who, bytes, pushed, when.
    fn played(segments: &[(char, u32, bool, i64)]) -> (Vec<(i64, i64)>, Requests) {
        let mut requests = Requests::default();
        let mut done = Vec::new();
        for &(who, bytes, pushed, at) in segments {
            if who == 'c' {
                let full = bytes == FULL;
                let pushed = Some(pushed);
                pushes(&mut requests, bytes, pushed, full);
                let sent = Sent { bytes, pushed, full, alone: true, at: Some(at) };
                requests.on_client(sent, &mut |answered| done.push(answered));
            } else {
                requests.on_server(bytes, Some(at), &mut |answered| done.push(answered));
            }
        }
        requests.end(&mut |answered| done.push(answered));
        (done.iter().map(|answered| (answered.sent, answered.replied)).collect(), requests)
    }

    #[test]
    fn a_large_request_is_one_however_it_is_pushed() {
        let (done, requests) = played(&[
            ('c', 60, true, 0),
            ('c', 40, true, 10),
            ('s', 70, false, 20),
            ('s', 30, false, 30),
            ('c', 100, false, 40),
            ('s', 100, false, 50),
            ('c', 150, true, 60),
            ('c', 50, true, 70),
            ('s', 200, false, 80),
        ]);
        assert_eq!(done, [(10, 30), (40, 50), (60, 80), (70, 80)]);
        assert!(requests.is_echo());
    }

    #[test]
    fn small_requests_may_overlap_from_the_first_on() {
        let (done, _) = played(&[
            ('c', 10, true, 0),
            ('c', 10, true, 1),
            ('s', 10, false, 2),
            ('s', 10, false, 3),
            ('c', 10, true, 4),
            ('s', 10, false, 5),
        ]);
        assert_eq!(done, [(0, 2), (1, 3), (4, 5)]);
    }

    #[test]
    fn requests_of_different_length_end_where_they_are_pushed() {
        let (done, _) = played(&[
            ('c', 10, true, 0),
            ('s', 10, false, 1),
            ('c', 25, true, 2),
            ('s', 25, false, 3),
            ('c', 7, true, 4),
            ('s', 7, false, 5),
            ('c', 8, true, 6),
            ('s', 8, false, 7),
        ]);
        assert_eq!(done.last(), Some(&(6, 7)), "{done:?}");
        assert!(done.len() >= 4, "{done:?}");
    }

    #[test]
    fn a_longer_request_is_not_several_short_ones() {
        let (done, _) = played(&[
            ('c', 2, true, 0),
            ('s', 2, false, 1),
            ('c', 12, true, 2),
            ('s', 12, false, 3),
            ('c', 100, true, 4),
            ('s', 100, false, 5),
        ]);
        assert_eq!(done, [(0, 1), (2, 3), (4, 5)]);
    }

    #[test]
    fn a_request_beyond_the_congestion_window_is_one() {
        let mut segments = Vec::new();
        for number in 0..5 {
            let at = 1000 * number;
            let first = (0..10).map(|nth| ('c', FULL, nth % 2 == 1, at + nth));
            let back = [('s', 10 * FULL, false, at + 100), ('c', FULL, true, at + 101)];
            segments.extend(first.chain(back));
            segments.extend([('c', 500, true, at + 102), ('s', FULL + 500, false, at + 200)]);
        }
        let mut requests = Requests::default();
        let mut done = Vec::new();
        for (who, bytes, pushed, at) in segments {
            let at = Some(at);
            if who == 'c' {
                let full = bytes == FULL;
                let pushed = Some(pushed);
                pushes(&mut requests, bytes, pushed, full);
                let sent = Sent { bytes, pushed, full, alone: true, at };
                requests.on_client(sent, &mut |answered| done.push(answered));
            } else {
                requests.on_server(bytes, at, &mut |answered| done.push(answered));
            }
        }
        requests.end(&mut |answered| done.push(answered));
        let begun: Vec<_> = done.iter().map(|one| (one.number, one.begun, one.replied)).collect();
        assert_eq!(begun.len(), 5, "{done:?}");
        assert_eq!(begun[4], (5, 4000, 4200));
        assert_eq!(begun[0], (1, 0, 200));
    }

    #[test]
    fn what_nobody_saw_counts_and_has_no_time() {
        let mut requests = Requests::default();
        let mut done = Vec::new();
        for number in 0..4 {
            let (sent, replied) = (Some(10 * number), Some(10 * number + 3));
            // The second request and the third reply are not in the capture.
            let (sent, replied) = (sent.filter(|_| number != 1), replied.filter(|_| number != 2));
            let pushed = Some(true);
            pushes(&mut requests, 64, pushed, false);
            let sent = Sent { bytes: 64, pushed, full: false, alone: true, at: sent };
            requests.on_client(sent, &mut |answered| done.push(answered.sent));
            requests.on_server(64, replied, &mut |answered: Answered| done.push(answered.sent));
        }
        requests.end(&mut |answered| done.push(answered.sent));
        assert_eq!(done, [0, 30]);
        assert_eq!((requests.unanswered(), requests.is_echo()), (0, true));
    }

    #[test]
    fn other_protocols_take_turns() {
        let (_, requests) = played(&[
            ('c', 5, true, 0),
            ('s', 50, false, 7),
            ('s', 50, false, 9),
            ('c', 5, true, 20),
            ('s', 5, false, 21),
        ]);
        assert!(!requests.is_echo());
        let turns = requests.round_trips().summary();
        assert_eq!((turns.count(), turns.min(), turns.max()), (2, Some(1), Some(9)));
    }
}
