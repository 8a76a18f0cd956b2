//! The client's own file beside several connections of a capture: each is tried
//! against all rows, and those that fit best are the client's, one after another
//! where it had to connect again.

use super::join::{Join, Pairing, Timed};
use super::requests::Answered;

/// Connections that are tried; those of further ones are not the client's.
const MAX_TRIED: usize = 64;

/// The rows of the client's file, from its first on.
pub type Rows = Box<dyn FnMut() -> Option<Timed>>;

/// The ways in which one connection may be joined.
struct Candidate {
    joins: Vec<Join<'static>>,
    /// From the first request to the last reply, in nanoseconds since 1970.
    during: (i64, i64),
}

/// See the module's text.
pub struct Candidates<'open, E> {
    open: Box<dyn FnMut() -> Result<Rows, E> + 'open>,
    slowest: usize,
    keep: bool,
    tried: Vec<(usize, Candidate)>,
    trouble: Option<E>,
}

impl<'open, E> Candidates<'open, E> {
    /// `open` opens the file anew; the `slowest` pairs are kept, and where `keep`
    /// all of them.
    pub fn new(open: impl FnMut() -> Result<Rows, E> + 'open, slowest: usize, keep: bool) -> Self {
        Self { open: Box::new(open), slowest, keep, tried: Vec::new(), trouble: None }
    }

    /// A request of the connection with this number was seen with its reply.
    pub fn take(&mut self, connection: usize, answered: Answered) {
        let known = self.tried.iter().rposition(|(number, _)| *number == connection);
        let place = known.or_else(|| self.begin(connection, answered));
        if let Some((_, candidate)) = place.and_then(|place| self.tried.get_mut(place)) {
            candidate.during.1 = candidate.during.1.max(answered.replied);
            candidate.joins.iter_mut().for_each(|join| join.take(answered));
        }
    }

    /// Tries one more connection, unless there are enough.
    fn begin(&mut self, connection: usize, first: Answered) -> Option<usize> {
        if self.tried.len() >= MAX_TRIED || self.trouble.is_some() {
            return None;
        }
        match self.candidate(first) {
            Ok(candidate) => self.tried.push((connection, candidate)),
            Err(error) => self.trouble = Some(error),
        }
        self.tried.len().checked_sub(1).filter(|_| self.trouble.is_none())
    }

    fn candidate(&mut self, first: Answered) -> Result<Candidate, E> {
        let mut joins = Vec::new();
        for pairing in Pairing::ALL {
            let join = Join::new((self.open)()?, pairing, self.slowest);
            joins.push(join.keeping_pairs(self.keep));
        }
        Ok(Candidate { joins, during: (first.begun, first.replied) })
    }

    /// Nothing more will come: the client's connections, joined, and which they
    /// are. Without any the file's rows stand alone.
    ///
    /// # Errors
    ///
    /// Why the file could not be opened.
    pub fn end(mut self) -> Result<(Join<'static>, Vec<usize>), E> {
        if let Some(trouble) = self.trouble {
            return Err(trouble);
        }
        let best = |candidate: Candidate| {
            let ended = candidate.joins.into_iter().map(|mut join| {
                join.end();
                join
            });
            ended.max_by_key(Join::merit).map(|join| (join, candidate.during))
        };
        let mut joined: Vec<(usize, Join<'static>, (i64, i64))> = Vec::new();
        for (connection, candidate) in self.tried {
            joined.extend(best(candidate).map(|(join, during)| (connection, join, during)));
        }
        joined.sort_by_key(|(_, join, _)| std::cmp::Reverse(join.merit()));
        let mut chosen: Vec<(usize, (i64, i64))> = Vec::new();
        let mut whole: Option<Join<'static>> = None;
        for (connection, join, during) in joined {
            let apart = |(_, other): &(usize, (i64, i64))| during.0 > other.1 || during.1 < other.0;
            if let Some(whole) = &mut whole {
                if join.merit().0 == 0 || !chosen.iter().all(apart) {
                    continue;
                }
                whole.absorb(&join);
            } else {
                whole = Some(join);
            }
            chosen.push((connection, during));
        }
        let mut numbers: Vec<usize> =
            chosen.into_iter().map(|(connection, _)| connection).collect();
        numbers.sort_unstable();
        if let Some(whole) = whole {
            return Ok((whole, numbers));
        }
        let mut alone = Join::new((self.open)()?, Pairing::InOrder, self.slowest);
        alone.end();
        Ok((alone, numbers))
    }
}
