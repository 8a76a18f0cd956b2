//! A client's own file beside the capture: what it measured, what was on the
//! wire, and the difference, which is this host's own share.

use super::requests::Answered;
use crate::stats::Summary;

/// How far the client's times of day and the capture's may lie apart: a run's
/// times come from one look at the clock, which is renewed when it is 10 ms off.
const SLACK: i64 = 15_000_000;

/// A row of the client's file whose reply came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timed {
    /// When it was sent, in nanoseconds since 1970.
    pub sent: i64,
    /// Its round-trip time in nanoseconds.
    pub rtt: u64,
}

/// The two joined, packet by packet.
pub struct Join<'rows> {
    /// The rows of received packets, in order.
    rows: Box<dyn FnMut() -> Option<Timed> + 'rows>,
    next: Option<Timed>,
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
}

impl<'rows> Join<'rows> {
    /// Takes rows from `rows`, which gives one after another.
    pub fn new(mut rows: impl FnMut() -> Option<Timed> + 'rows) -> Self {
        let next = rows();
        Self {
            rows: Box::new(rows),
            next,
            matched: 0,
            rows_alone: 0,
            requests_alone: 0,
            impossible: 0,
            client: Summary::new(),
            wire: Summary::new(),
            host: Summary::new(),
        }
    }

    /// A request that was seen with its reply. Rows and requests come in the same
    /// order; where one side has more, the times say which to leave out.
    pub fn take(&mut self, answered: Answered) {
        while let Some(row) = self.next {
            if answered.sent < row.sent - SLACK {
                break;
            }
            self.next = (self.rows)();
            // A later row fits only if this one lies clearly before.
            if answered.sent > row.sent + SLACK {
                self.rows_alone += 1;
                continue;
            }
            return self.pair(row, answered);
        }
        self.requests_alone += 1;
    }

    fn pair(&mut self, row: Timed, answered: Answered) {
        let wire = u64::try_from(answered.replied - answered.sent).unwrap_or(0);
        self.matched += 1;
        self.impossible += u64::from(wire > row.rtt);
        self.client.record(row.rtt);
        self.wire.record(wire);
        self.host.record(row.rtt.saturating_sub(wire));
    }

    /// Nothing more will come.
    pub fn end(&mut self) {
        while self.next.is_some() {
            self.rows_alone += 1;
            self.next = (self.rows)();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn joined(rows: &[i64], requests: &[i64]) -> (u64, u64, u64) {
        let mut rows = rows.iter().map(|at| Timed { sent: at * MS, rtt: 900_000 });
        let mut join = Join::new(move || rows.next());
        for at in requests {
            join.take(Answered { sent: at * MS + 50_000, replied: at * MS + 800_000 });
        }
        join.end();
        assert_eq!(join.host.max().unwrap_or(0), if join.matched > 0 { 150_000 } else { 0 });
        (join.matched, join.rows_alone, join.requests_alone)
    }

    #[test]
    fn rows_and_requests_find_each_other() {
        assert_eq!(joined(&[0, 100, 200], &[0, 100, 200]), (3, 0, 0));
        assert_eq!(joined(&[0, 100, 200, 300], &[100, 300]), (2, 2, 0));
        assert_eq!(joined(&[100, 300], &[0, 100, 200, 300, 400]), (2, 0, 3));
        assert_eq!(joined(&[], &[1]), (0, 0, 1));
        assert_eq!(joined(&[1], &[]), (0, 1, 0));
    }
}
