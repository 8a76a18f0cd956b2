//! How far a byte stream has got: bytes count when everything before them is
//! there too, whether it was seen or only acknowledged.

/// Pieces kept that lie beyond a gap. More are seen when the gap closes.
const MAX_PIECES: usize = 64;

/// An acknowledgement further ahead is a stray, of an earlier connection of the same
/// ports perhaps: no peer has so much under way unseen.
const MOST_UNSEEN: u32 = 1 << 24;

/// One direction of a connection, by its sequence numbers.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// The end of what is there without a gap, once anything was seen.
    end: Option<u32>,
    /// What was seen beyond it, from and to, in order.
    pieces: Vec<(u32, u32)>,
}

/// What bytes did to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Growth {
    /// Bytes that were not seen before.
    pub fresh: u32,
    /// Bytes by which the stream grew that is there without a gap.
    pub grown: u32,
}

/// Whether `one` comes after `other` on the circle of sequence numbers.
pub(super) fn after(one: u32, other: u32) -> bool {
    one != other && one.wrapping_sub(other) < 1 << 31
}

impl Coverage {
    /// The end of what is there without a gap, once anything was seen.
    pub fn end(&self) -> Option<u32> {
        self.end
    }

    /// Bytes from `from` on were seen, up to but without `to`. The first that
    /// are tell where the stream begins.
    pub fn seen(&mut self, from: u32, to: u32) -> Growth {
        let end = *self.end.get_or_insert(from);
        if from == to {
            return Growth::default();
        }
        let mut fresh = if after(to, from) { to.wrapping_sub(from) } else { 0 };
        let overlap = |low: u32, high: u32| {
            let low = if after(low, from) { low } else { from };
            let high = if after(high, to) { to } else { high };
            if after(high, low) { high.wrapping_sub(low) } else { 0 }
        };
        fresh -= if after(end, from) { overlap(from, end) } else { 0 };
        fresh -= self.pieces.iter().map(|&(low, high)| overlap(low, high)).sum::<u32>().min(fresh);
        if !after(to, end) {
            return Growth { fresh, grown: 0 };
        }
        if after(from, end) {
            self.put_by(from, to);
            return Growth { fresh, grown: 0 };
        }
        Growth { fresh, grown: self.grow(to) }
    }

    /// The other side acknowledges everything up to `to`: it is there, though it
    /// may not have been seen. Gives by how much the stream grew.
    pub fn acknowledged(&mut self, to: u32) -> u32 {
        match self.end {
            Some(end) if after(to, end) && to.wrapping_sub(end) <= MOST_UNSEEN => self.grow(to),
            _ => 0,
        }
    }

    /// Moves the end to `to`, and over the pieces that follow.
    fn grow(&mut self, to: u32) -> u32 {
        let before = self.end.unwrap_or(to);
        let mut end = to;
        self.pieces.retain(|&(low, high)| {
            let reached = !after(low, end);
            if reached && after(high, end) {
                end = high;
            }
            !reached
        });
        self.end = Some(end);
        end.wrapping_sub(before)
    }

    fn put_by(&mut self, from: u32, to: u32) {
        let (mut from, mut to) = (from, to);
        self.pieces.retain(|&(low, high)| {
            let apart = after(low, to) || after(from, high);
            if !apart {
                from = if after(from, low) { low } else { from };
                to = if after(high, to) { high } else { to };
            }
            apart
        });
        if self.pieces.len() < MAX_PIECES {
            let place = self.pieces.partition_point(|&(low, _)| after(from, low));
            self.pieces.insert(place, (from, to));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn growth(fresh: u32, grown: u32) -> Growth {
        Growth { fresh, grown }
    }

    #[test]
    fn what_was_overtaken_counts_when_the_gap_closes() {
        let mut stream = Coverage::default();
        let base = u32::MAX - 15;
        let at = |byte: u32| base.wrapping_add(byte);
        assert_eq!(stream.seen(at(0), at(10)), growth(10, 10));
        assert_eq!(stream.seen(at(20), at(30)), growth(10, 0));
        assert_eq!(stream.seen(at(20), at(30)), growth(0, 0), "again");
        assert_eq!(stream.seen(at(40), at(50)), growth(10, 0));
        assert_eq!(stream.seen(at(10), at(25)), growth(10, 20));
        assert_eq!(stream.seen(at(5), at(12)), growth(0, 0), "all of it again");
        assert_eq!(stream.seen(at(30), at(40)), growth(10, 20));
    }

    #[test]
    fn what_is_acknowledged_is_there() {
        let mut stream = Coverage::default();
        assert_eq!(stream.acknowledged(77), 0, "nobody knows where it began");
        stream.seen(100, 110);
        stream.seen(130, 140);
        assert_eq!(stream.acknowledged(110), 0);
        assert_eq!(stream.acknowledged(130), 30);
        assert_eq!(stream.seen(110, 130), growth(0, 0));
        assert_eq!(stream.acknowledged(140 + (1 << 30)), 0, "a stray");
        assert_eq!(stream.seen(140, 150), growth(10, 10));
    }

    proptest! {
        #[test]
        fn every_byte_counts_once_in_whatever_order(
            pieces in prop::collection::vec((0_u32..500, 1_u32..60), 1..40),
            base: u32,
        ) {
            let mut stream = Coverage::default();
            stream.seen(base, base);
            let mut there = [false; 600];
            let (mut end, mut fresh) = (0, 0);
            for (from, length) in pieces {
                let growth = stream.seen(
                    base.wrapping_add(from),
                    base.wrapping_add(from + length),
                );
                there[from as usize..(from + length) as usize].fill(true);
                fresh += growth.fresh;
                end += growth.grown;
                let first_gap = there.iter().position(|there| !there).unwrap();
                prop_assert_eq!(end as usize, first_gap);
            }
            prop_assert_eq!(fresh as usize, there.iter().filter(|there| **there).count());
        }
    }
}
