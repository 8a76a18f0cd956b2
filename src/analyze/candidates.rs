//! The client's own file beside several connections of a capture: each is tried
//! against all rows, and those that fit best are the client's, one after another
//! where it had to connect again. Of a file with flows each connection is tried
//! against the rows of one: the flow whose rows its first requests fit best.

use std::collections::BTreeMap;

use super::join::{Join, Pairing, Timed};
use super::requests::Answered;

/// Connections that are tried; those of further ones are not the client's. Each
/// reads the file in several ways.
const MAX_TRIED: usize = 64;
/// The same of a file with more flows than that; each reads it in one way.
const MAX_TRIED_FLOWS: usize = 256;
/// Requests and rows by which a connection's flow is found.
const TELL: usize = 64;

/// The rows of the client's file, from its first on.
pub type Rows = Box<dyn FnMut() -> Option<Timed>>;

/// The ways in which one connection may be joined.
struct Candidate {
    /// Requests that came before its flow was known.
    early: Vec<Answered>,
    flow: Option<u64>,
    joins: Vec<Join<'static>>,
    /// From the first request to the last reply, in nanoseconds since 1970.
    during: (i64, i64),
}

/// Which of the capture's connections are the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Chosen {
    /// Its place among the connections.
    pub place: usize,
    /// The flow that it is, where the file tells flows apart.
    pub flow: Option<u64>,
}

/// See the module's text.
pub struct Candidates<'open, E> {
    open: Box<dyn FnMut() -> Result<Rows, E> + 'open>,
    /// How many rows each flow has; none where the file does not tell them apart.
    flows: BTreeMap<u64, u64>,
    slowest: usize,
    keep: bool,
    tried: Vec<(usize, Candidate)>,
    trouble: Option<E>,
}

impl<'open, E> Candidates<'open, E> {
    /// `open` opens the file anew; the `slowest` pairs are kept, and where `keep`
    /// all of them.
    ///
    /// # Errors
    ///
    /// Why the file could not be opened.
    pub fn new(
        mut open: impl FnMut() -> Result<Rows, E> + 'open,
        slowest: usize,
        keep: bool,
    ) -> Result<Self, E> {
        let mut rows = open()?;
        let mut flows: BTreeMap<u64, u64> = BTreeMap::new();
        while let Some(row) = rows()
            && let Some(flow) = row.flow
        {
            if flows.len() == MAX_TRIED_FLOWS && !flows.contains_key(&flow) {
                continue;
            }
            *flows.entry(flow).or_default() += 1;
        }
        Ok(Self { open: Box::new(open), flows, slowest, keep, tried: Vec::new(), trouble: None })
    }

    /// A request of the connection with this number was seen with its reply.
    pub fn take(&mut self, connection: usize, answered: Answered) {
        let known = self.tried.iter().rposition(|(number, _)| *number == connection);
        let most = MAX_TRIED.max(self.flows.len());
        let place = known.unwrap_or(self.tried.len());
        if place == most || self.trouble.is_some() {
            return;
        }
        if known.is_none() {
            let during = (answered.begun, answered.replied);
            let (early, joins) = (Vec::new(), Vec::new());
            self.tried.push((connection, Candidate { early, flow: None, joins, during }));
        }
        let candidate = &mut self.tried[place].1;
        candidate.during.1 = candidate.during.1.max(answered.replied);
        if candidate.joins.is_empty() {
            candidate.early.push(answered);
            if self.flows.is_empty() || candidate.early.len() == TELL {
                self.begin(place);
            }
        } else {
            candidate.joins.iter_mut().for_each(|join| join.take(answered));
        }
    }

    /// Tries a connection of which enough was seen.
    fn begin(&mut self, place: usize) {
        let early = std::mem::take(&mut self.tried[place].1.early);
        let flow = match self.flow_of(&early) {
            Ok(flow) => flow,
            Err(error) => return self.trouble = Some(error),
        };
        let pairings = match self.flows.len() {
            ..=MAX_TRIED => &Pairing::ALL[..],
            _ => &Pairing::ALL[..1],
        };
        let mut joins = Vec::new();
        for pairing in pairings {
            match (self.open)() {
                Ok(rows) => {
                    let join = Join::new(of_flow(rows, flow), *pairing, self.slowest);
                    joins.push(join.keeping_pairs(self.keep));
                }
                Err(error) => self.trouble = Some(error),
            }
        }
        for answered in early {
            for join in &mut joins {
                join.take(answered);
            }
        }
        let candidate = &mut self.tried[place].1;
        (candidate.flow, candidate.joins) = (flow, joins);
    }

    /// The flow whose rows from then on these requests fit best.
    fn flow_of(&mut self, requests: &[Answered]) -> Result<Option<u64>, E> {
        let Some(since) = requests.first().map(|first| first.begun) else { return Ok(None) };
        let mut near: BTreeMap<u64, Vec<Timed>> = BTreeMap::new();
        if !self.flows.is_empty() {
            let mut rows = (self.open)()?;
            while let Some(row) = rows() {
                let flow = row.flow.filter(|flow| self.flows.contains_key(flow));
                if let Some(flow) = flow.filter(|_| row.received() >= since) {
                    let near = near.entry(flow).or_default();
                    if near.len() < TELL {
                        near.push(row);
                    }
                }
            }
        }
        let merit = |near: &[Timed]| {
            let mut rows = near.iter().copied();
            let mut join = Join::new(move || rows.next(), Pairing::Nearest, 0);
            for answered in requests {
                join.take(*answered);
            }
            join.end();
            join.merit()
        };
        Ok(near.iter().max_by_key(|(_, near)| merit(near)).map(|(flow, _)| *flow))
    }

    /// Nothing more will come: the client's connections, joined, and which they
    /// are. Without any the file's rows stand alone.
    ///
    /// # Errors
    ///
    /// Why the file could not be opened.
    pub fn end(mut self) -> Result<(Join<'static>, Vec<Chosen>), E> {
        for place in 0..self.tried.len() {
            if self.tried[place].1.joins.is_empty() {
                self.begin(place);
            }
        }
        if let Some(trouble) = self.trouble {
            return Err(trouble);
        }
        let best = |candidate: Candidate| {
            let ended = candidate.joins.into_iter().map(|mut join| {
                join.end();
                join
            });
            ended.max_by_key(Join::merit).map(|join| (join, candidate.flow, candidate.during))
        };
        let mut joined: Vec<_> = Vec::new();
        for (place, candidate) in self.tried {
            joined.extend(
                best(candidate).map(|(join, flow, during)| (Chosen { place, flow }, join, during)),
            );
        }
        joined.sort_by_key(|(_, join, _)| std::cmp::Reverse(join.merit()));
        let mut chosen: Vec<(Chosen, (i64, i64))> = Vec::new();
        // All rows are alone, at first.
        let mut whole = Join::new(|| None, Pairing::InOrder, self.slowest);
        whole = whole.keeping_pairs(self.keep);
        whole.rows_alone = self.flows.values().sum();
        for (one, join, during) in joined {
            let apart = |(other, theirs): &(Chosen, (i64, i64))| {
                other.flow != one.flow || during.0 > theirs.1 || during.1 < theirs.0
            };
            if self.flows.is_empty() && chosen.is_empty() {
                whole = join;
            } else if join.merit().0 == 0 || !chosen.iter().all(apart) {
                continue;
            } else {
                whole.absorb(&join);
            }
            chosen.push((one, during));
        }
        let mut numbers: Vec<Chosen> = chosen.into_iter().map(|(one, _)| one).collect();
        numbers.sort_unstable();
        if numbers.is_empty() && self.flows.is_empty() {
            whole = Join::new((self.open)()?, Pairing::InOrder, self.slowest);
            whole.end();
        }
        Ok((whole, numbers))
    }
}

/// The rows of one flow; all of them where there are none.
fn of_flow(mut rows: Rows, flow: Option<u64>) -> Rows {
    if flow.is_none() {
        return rows;
    }
    Box::new(move || {
        loop {
            let row = rows()?;
            if row.flow == flow {
                return Some(row);
            }
        }
    })
}
