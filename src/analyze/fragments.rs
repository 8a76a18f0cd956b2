//! Fragments of datagrams (RFC 791, RFC 8200) put together again. Those that
//! contradict each other are refused, as hosts do (RFC 5722): which of two that
//! overlap is true, the capture does not say.

use crate::wire::ip::{Bytes, Datagram, Part};

/// Datagrams that wait for fragments; for a further one the oldest is given up.
const MAX_WAITING: usize = 64;
/// The longest that a datagram can be, in bytes; so much at most is kept of each.
const LONGEST: usize = 65_535;
/// Fragments of one datagram: those of the longest through the smallest MTU that IPv4
/// knows.
const MAX_PARTS: usize = 1400;
/// Fragments leave together: one that comes so much later, in nanoseconds, is of
/// another datagram with the same number.
const TOGETHER: i64 = 2_000_000_000;

/// What a fragment covers: from, to, and up to where it was captured.
type Piece = (usize, usize, usize);

/// A datagram that is not whole yet.
#[derive(Debug)]
struct Waiting {
    /// As its first part has it, without its payload.
    like: Datagram<'static>,
    identification: u32,
    began: i64,
    /// In order.
    pieces: Vec<Piece>,
    /// Where it ends, once that is known.
    end: Option<usize>,
    /// What was captured of it, with zeros where nothing was.
    bytes: Vec<u8>,
    /// Its fragments contradict each other: nothing of it is believed.
    refused: bool,
}

/// A datagram whose last fragment has come.
#[derive(Debug)]
pub(super) struct Whole {
    like: Datagram<'static>,
    bytes: Vec<u8>,
    length: usize,
    /// How many fragments it came in.
    pub(super) parts: u64,
}

impl Whole {
    /// The datagram.
    pub(super) fn datagram(&self) -> Datagram<'_> {
        Datagram { payload: Bytes { kept: &self.bytes, length: self.length }, ..self.like }
    }
}

/// Datagrams that wait for their fragments.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    waiting: Vec<Waiting>,
    /// Fragments that belong to nothing whole.
    left_over: u64,
}

impl Fragments {
    /// Takes in the `part` of a datagram, seen at `at`.
    pub(super) fn take(&mut self, datagram: &Datagram<'_>, part: Part, at: i64) -> Option<Whole> {
        let of_it = |one: &Waiting| {
            (one.identification, one.like.source, one.like.destination)
                == (part.identification, datagram.source, datagram.destination)
        };
        let known = self.waiting.iter().position(of_it);
        let known = known.filter(|&place| {
            let fresh = (0..TOGETHER).contains(&at.saturating_sub(self.waiting[place].began));
            if !fresh {
                self.give_up(place);
            }
            fresh
        });
        let place = known.unwrap_or_else(|| {
            if self.waiting.len() == MAX_WAITING {
                self.give_up(0);
            }
            self.waiting.push(Waiting {
                like: Datagram { payload: Bytes { kept: &[], length: 0 }, part: None, ..*datagram },
                identification: part.identification,
                began: at,
                pieces: Vec::new(),
                end: None,
                bytes: Vec::new(),
                refused: false,
            });
            self.waiting.len() - 1
        });
        let one = &mut self.waiting[place];
        one.put(datagram.payload, part);
        if !one.is_whole() {
            return None;
        }
        Some(self.waiting.remove(place).whole())
    }

    fn give_up(&mut self, place: usize) {
        self.left_over += self.waiting.remove(place).pieces.len() as u64;
    }

    /// Nothing more will come: how many fragments belong to nothing whole.
    pub(super) fn end(&mut self) -> u64 {
        while !self.waiting.is_empty() {
            self.give_up(0);
        }
        std::mem::take(&mut self.left_over)
    }
}

impl Waiting {
    fn put(&mut self, payload: Bytes<'_>, part: Part) {
        let (from, to) = (part.offset, part.offset.saturating_add(payload.length));
        let kept = payload.kept.get(..payload.length).unwrap_or(payload.kept);
        let piece = (from, to, from + kept.len());
        let there = self.bytes.get(from..piece.2);
        // Captured twice.
        if self.pieces.contains(&piece) && there == Some(kept) {
            return;
        }
        let overlaps = |&(low, high, _): &Piece| from < high && low < to;
        let beyond = self.end.is_some_and(|end| to > end || !part.more);
        let short = !part.more && self.pieces.iter().any(|piece| piece.1 > to);
        self.refused |= from >= to
            || to > LONGEST
            || part.more && to % 8 != 0
            || beyond
            || short
            || self.pieces.len() == MAX_PARTS
            || self.pieces.iter().any(overlaps);
        if self.pieces.len() < MAX_PARTS {
            let place = self.pieces.partition_point(|piece| piece.0 < from);
            self.pieces.insert(place, piece);
        }
        if self.refused {
            self.bytes = Vec::new();
            return;
        }
        if !part.more {
            self.end = Some(to);
        }
        if self.bytes.len() < piece.2 {
            self.bytes.resize(piece.2, 0);
        }
        self.bytes[from..piece.2].copy_from_slice(kept);
    }

    fn is_whole(&self) -> bool {
        let mut reached = 0;
        for &(from, to, _) in &self.pieces {
            if from == reached {
                reached = to;
            }
        }
        !self.refused && self.end == Some(reached)
    }

    /// Of what was captured up to the first place that was not.
    fn whole(mut self) -> Whole {
        let cut = self.pieces.iter().find(|(_, to, kept)| kept < to);
        if let Some(&(_, _, kept)) = cut {
            self.bytes.truncate(kept);
        }
        Whole {
            like: self.like,
            bytes: self.bytes,
            length: self.end.unwrap_or(0),
            parts: self.pieces.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::Random;

    const DATA: &[u8] = b"Every fragment but the last holds a multiple of eight.";

    fn fragment(kept: &[u8], offset: usize, length: usize, more: bool) -> (Datagram<'_>, Part) {
        let part = Part { identification: 7, offset, more };
        let datagram = Datagram {
            source: "10.0.0.1".parse().unwrap(),
            destination: "10.0.0.2".parse().unwrap(),
            protocol: 6,
            payload: Bytes { kept, length },
            part: Some(part),
            identification: 7,
            hops: 64,
            class: 0,
        };
        (datagram, part)
    }

    /// From, to, bytes kept and whether more follow, one after another.
    fn put(pieces: &[(usize, usize, usize)]) -> (Vec<(Vec<u8>, usize)>, u64) {
        let mut fragments = Fragments::default();
        let mut whole = Vec::new();
        for &(from, to, kept) in pieces {
            let data = &DATA[from..(from + kept).min(to)];
            let (datagram, part) = fragment(data, from, to - from, to < DATA.len());
            if let Some(one) = fragments.take(&datagram, part, 0) {
                whole.push((one.datagram().payload.kept.to_vec(), one.length));
            }
        }
        (whole, fragments.end())
    }

    #[test]
    fn fragments_in_any_order_are_one_datagram() {
        let mut random = Random::new(5);
        for _ in 0..200 {
            let mut cuts: Vec<usize> = (1..7).map(|at| at * 8).collect();
            cuts.retain(|_| random.below(2) == 0);
            let ends = cuts.iter().copied().chain([DATA.len()]);
            let begins = std::iter::once(0).chain(cuts.iter().copied());
            let mut pieces: Vec<_> = begins.zip(ends).map(|(from, to)| (from, to, 99)).collect();
            for place in 1..pieces.len() {
                let other = random.below(place as u64 + 1);
                pieces.swap(place, usize::try_from(other).unwrap());
            }
            assert_eq!(put(&pieces), (vec![(DATA.to_vec(), DATA.len())], 0), "{pieces:?}");
        }
        let twice = [(0, 16, 99), (0, 16, 99), (16, DATA.len(), 99)];
        assert_eq!(put(&twice), (vec![(DATA.to_vec(), DATA.len())], 0), "captured twice");
    }

    #[test]
    fn what_was_cut_off_by_the_capture_is_missing_and_not_guessed() {
        let (whole, _) = put(&[(16, DATA.len(), 99), (0, 16, 12)]);
        assert_eq!(whole, [(DATA[..12].to_vec(), DATA.len())]);
        let (whole, _) = put(&[(0, 16, 16), (16, 40, 3), (40, DATA.len(), 0)]);
        assert_eq!(whole, [(DATA[..19].to_vec(), DATA.len())]);
    }

    #[test]
    fn what_overlaps_or_is_missing_makes_no_datagram() {
        let end = DATA.len();
        assert_eq!(put(&[(0, 24, 99), (16, end, 99)]), (vec![], 2), "overlapping");
        assert_eq!(put(&[(0, 24, 99), (16, 24, 99), (24, end, 99)]), (vec![], 3), "within");
        assert_eq!(put(&[(16, end, 99), (0, 8, 99)]), (vec![], 2), "one is missing");
        assert_eq!(put(&[(0, 12, 99), (12, end, 99)]), (vec![], 2), "no multiple of eight");
        let mut fragments = Fragments::default();
        let far = [0; 1000];
        for number in 0..10_000_u32 {
            let (datagram, part) = fragment(&far, 65_000, far.len(), true);
            let part = Part { identification: number, ..part };
            assert!(fragments.take(&datagram, part, 0).is_none());
        }
        assert_eq!(fragments.waiting.len(), MAX_WAITING);
        assert!(fragments.waiting.iter().all(|one| one.bytes.len() <= LONGEST));
        assert_eq!(fragments.end(), 10_000);
    }
}
