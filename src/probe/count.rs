//! The reflector's own sequence numbers, and what they tell of where packets were
//! lost (RFC 5357, section 4.2.1; RFC 8762, section 4.3).
//!
//! A reflector that counts gives each packet that reaches it the next number, and
//! so has counted those whose replies were lost on their way back: its highest
//! number plus one, less the distinct numbers that came. That holds in whatever
//! order replies come, and however often. Where one of its assumptions is seen
//! broken (the reflector copies our numbers, its count did not start at zero,
//! copies may have been lost) the account gives a range, and what lies within it
//! is unknown.

use crate::clock::Wall;

/// Numbers below the highest whose arrival is remembered, 8 KiB: replies that
/// are overtaken by more others count as a restart.
const WINDOW: u64 = 1 << 16;
const WORDS: u64 = WINDOW / 64;
/// Two receive stamps closer than that say nothing about which packet came first:
/// the kernel takes them on several processors.
const STAMPS_APART: i64 = 200_000;
/// Where packets were doubled, one of two replies may have been lost, which looks
/// like a lost packet. Up to this many expected ones, none is assumed.
const COPIES_ALLOWED: f64 = 0.01;

/// Lost packets by direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// Never reached the reflector.
    pub outbound: u64,
    /// Reached it; the reply never came.
    pub inbound: u64,
    /// One of the two.
    pub unknown: u64,
}

/// Which numbers have come.
#[derive(Debug, Clone, Default)]
struct Seen {
    highest: u64,
    distinct: u64,
    bits: Vec<u64>,
}

impl Seen {
    fn new(first: u64) -> Self {
        let mut seen = Self { highest: first, distinct: 0, bits: vec![0; usize_of(WORDS)] };
        seen.mark(first);
        seen
    }

    /// The whole number of which `sequence` is the lower half, nearest to the
    /// highest; `None` if it would lie below zero.
    fn whole(&self, sequence: u32) -> Option<u64> {
        #[allow(clippy::cast_possible_truncation, reason = "the lower half")]
        let low = self.highest as u32;
        #[allow(clippy::cast_possible_wrap, reason = "the nearer way round is meant")]
        let step = i64::from(sequence.wrapping_sub(low) as i32);
        self.highest.checked_add_signed(step)
    }

    fn word(&mut self, number: u64) -> (&mut u64, u64) {
        let place = usize_of(number / 64 % WORDS);
        (&mut self.bits[place], 1 << (number % 64))
    }

    /// Whether `number` comes for the first time.
    fn is_new(&mut self, number: u64) -> bool {
        if number > self.highest {
            return true;
        }
        let (word, bit) = self.word(number);
        let unseen = *word & bit == 0;
        self.highest - number < WINDOW - 64 && unseen
    }

    fn mark(&mut self, number: u64) {
        // Words are used again: what they held lies below the window.
        let from = self.highest / 64 + 1;
        for word in (from..=number / 64).take(usize_of(WORDS)) {
            self.bits[usize_of(word % WORDS)] = 0;
        }
        self.highest = self.highest.max(number);
        let (word, bit) = self.word(number);
        *word |= bit;
        self.distinct += 1;
    }
}

#[allow(clippy::cast_possible_truncation, reason = "below the window's size")]
fn usize_of(value: u64) -> usize {
    value as usize
}

/// One count of the reflector's, from its start to its restart or the end.
#[derive(Debug, Clone, Default)]
struct Epoch {
    /// The session that it belongs to.
    session: u32,
    /// `None` before the first reply.
    seen: Option<Seen>,
    /// Lost between the last reply of the count before this one and the first of
    /// this: either may have counted them, or none.
    gap: u64,
    /// The number of the first reply.
    first: u64,
    /// Numbers below that which came.
    below_first: u64,
    /// T2 of the packet with the highest number.
    highest_at: Wall,
    /// Lost before the first reply.
    lost_first: u64,
    /// Lost before the last reply.
    lost: u64,
    /// Lost after it.
    tail: u64,
    /// Of the lost, those whose reply came when they had been given up.
    late: u64,
    /// Second replies with numbers of their own.
    doubled: u64,
    /// Losses booked on a neighbouring count of which this one may have counted
    /// some, or the other way round: packets overtook each other as it began.
    shared: u64,
    /// T2 of the first reply.
    began_at: Wall,
    /// Copies of the last packet at the end of the run: answered, and not.
    closing: (u64, u64),
}

impl Epoch {
    /// Marks `sequence`; whether it is new.
    fn mark(&mut self, sequence: u32) -> bool {
        let Some(seen) = &mut self.seen else { return false };
        let Some(number) = seen.whole(sequence).filter(|number| seen.is_new(*number)) else {
            return false;
        };
        seen.mark(number);
        self.below_first += u64::from(number < self.first);
        true
    }

    /// Lost in all; of them inbound at least and at most.
    fn range(&self) -> (u64, u64, u64) {
        let all = (self.gap + self.lost + self.tail).saturating_sub(self.late);
        let Some(seen) = &self.seen else { return (all, 0, all) };
        let missing = (seen.highest + 1).saturating_sub(seen.distinct);
        let below = self.first.saturating_sub(self.below_first).min(missing);
        // A count that did not start at zero, as far as it can be seen.
        let base = if below > self.gap + self.lost_first { below } else { 0 };
        // After the last reply, it takes a further one to tell.
        let tail = if self.closing.0 > 0 { 0 } else { self.tail };
        let open = (tail + self.gap.saturating_sub(below)).min(all);
        if missing - base > all - open + self.shared {
            // It has counted what this run did not send, or not once.
            return (all, 0, all);
        }
        let sure = (missing - base).saturating_sub(self.shared);
        let copies = if self.copies(missing) && sure != all - open { sure } else { 0 };
        let least = sure.saturating_sub(copies + self.closing.1);
        (all, least, (missing + open + self.shared).min(all))
    }

    /// Whether second replies may have been lost whose first ones came.
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    fn copies(&self, missing: u64) -> bool {
        let came = self.seen.as_ref().map_or(0, |seen| seen.distinct).max(1);
        2.0 * self.doubled as f64 * missing as f64 / came as f64 > COPIES_ALLOWED
    }
}

/// The account of a whole run. See the module's text.
#[derive(Debug, Clone, Default)]
pub struct ReflectorCount {
    epoch: Epoch,
    /// The count before this one in the same session: some of its packets may come
    /// yet.
    earlier: Option<Epoch>,
    /// Of counts before these: lost in all, inbound at least and at most.
    before: (u64, u64, u64),
    /// Replies given up on that came after all.
    late: u64,
    /// How far numbers have run backwards: by how many packets one was overtaken.
    displaced: u64,
    /// Times that the count began anew within a session.
    pub restarts: u64,
    /// Packets that reached the reflector twice.
    pub doubled: u64,
    /// Some number was not our own.
    counts: bool,
    /// The latest probe with a row.
    last: u64,
}

impl ReflectorCount {
    /// Takes in a reply: to probe `number`, in `session`, with the reflector's
    /// `sequence`, received by it at `at`. Probes come in the order of their numbers.
    pub fn received(&mut self, number: u64, session: u32, sequence: u32, at: Wall) {
        self.last = number;
        self.counts |= own(number) != sequence;
        if self.epoch.session != session {
            self.begin(session);
        } else if self.is_straggler(sequence, at) {
            return self.take_straggler(sequence);
        } else if self.restarted(sequence, at) {
            self.restarts += 1;
            self.epoch.shared += 2 * self.displaced;
            self.begin(session);
            self.epoch.shared += 2 * self.displaced;
        }
        let epoch = &mut self.epoch;
        epoch.lost += std::mem::take(&mut epoch.tail);
        let Some(seen) = &epoch.seen else {
            epoch.first = u64::from(sequence);
            epoch.lost_first = epoch.lost;
            epoch.seen = Some(Seen::new(epoch.first));
            (epoch.began_at, epoch.highest_at) = (at, at);
            return;
        };
        let whole = seen.whole(sequence).unwrap_or(seen.highest);
        if whole > seen.highest {
            epoch.highest_at = at;
        }
        self.displaced = self.displaced.max(seen.highest.saturating_sub(whole));
        epoch.mark(sequence);
    }

    /// Takes in a probe without a reply.
    pub fn lost_one(&mut self, number: u64) {
        self.last = number;
        self.epoch.tail += 1;
    }

    /// Takes in a second reply. If its number is new, the packet was doubled on
    /// its way out, and the reflector has counted both.
    pub fn doubled(&mut self, sequence: u32) {
        if self.epoch.mark(sequence) {
            self.epoch.doubled += 1;
            self.doubled += 1;
        }
    }

    /// Takes in a reply to a probe that had been given up: it was lost neither way.
    pub fn late(&mut self, sequence: u32) {
        self.late += 1;
        self.epoch.late += 1;
        self.epoch.mark(sequence);
    }

    /// Takes in the answer to a copy of the last probe, sent at the end; `None`:
    /// none came.
    pub fn closing(&mut self, sequence: Option<u32>) {
        let Some(sequence) = sequence else {
            self.epoch.closing.1 += 1;
            return;
        };
        self.counts |= own(self.last) != sequence;
        self.epoch.closing.0 += 1;
        self.epoch.mark(sequence);
    }

    /// Whether the reflector has shown a count of its own: a number that is not a
    /// copy of ours.
    pub fn counts(&self) -> bool {
        self.counts
    }

    /// Whether `sequence` cannot be of the present count: another packet has had
    /// it, or it is lower than that of a packet that came before.
    fn restarted(&mut self, sequence: u32, at: Wall) -> bool {
        let highest_at = self.epoch.highest_at;
        let Some(seen) = &mut self.epoch.seen else { return false };
        let Some(number) = seen.whole(sequence) else { return true };
        let later = at.0.saturating_sub(highest_at.0) > STAMPS_APART;
        let stamped = at != Wall(0) && highest_at != Wall(0);
        !seen.is_new(number) || number < seen.highest && stamped && later
    }

    /// Whether `sequence` is of the count before this one: received before this
    /// one's first, and nearer to that one's numbers.
    fn is_straggler(&self, sequence: u32, at: Wall) -> bool {
        let apart = |epoch: &Epoch| {
            let seen = epoch.seen.as_ref()?;
            Some(seen.whole(sequence)?.abs_diff(seen.highest))
        };
        let here = apart(&self.epoch).unwrap_or(u64::MAX);
        let there = self.earlier.as_ref().and_then(apart);
        at < self.epoch.began_at && there.is_some_and(|there| there < here)
    }

    /// What was lost since this count's beginning may be of either, then.
    fn take_straggler(&mut self, sequence: u32) {
        let epoch = &mut self.epoch;
        epoch.gap += std::mem::take(&mut epoch.lost) + std::mem::take(&mut epoch.tail);
        epoch.lost_first = 0;
        if let Some(seen) = &epoch.seen {
            (epoch.first, epoch.below_first) = (seen.highest + 1, seen.distinct);
        }
        if let Some(earlier) = &mut self.earlier {
            earlier.mark(sequence);
            earlier.shared += epoch.gap;
        }
    }

    /// The reflector's count begins anew.
    fn begin(&mut self, session: u32) {
        let gap = std::mem::take(&mut self.epoch.tail);
        let next = Epoch { session, gap, ..Epoch::default() };
        let ended = std::mem::replace(&mut self.epoch, next);
        if let Some(earlier) = self.earlier.replace(ended) {
            self.before = sum(self.before, earlier.range());
        }
    }

    fn together(&self) -> (u64, u64, u64) {
        let earlier = self.earlier.as_ref().map_or((0, 0, 0), Epoch::range);
        sum(sum(self.before, earlier), self.epoch.range())
    }

    /// Losses by direction.
    pub fn losses(&self) -> Losses {
        let (all, least, most) = self.together();
        if !self.counts {
            // It may be a reflector that copies our numbers.
            return Losses { unknown: all + self.late, ..Losses::default() };
        }
        let unknown = most - least + self.late;
        Losses { outbound: all - most, inbound: least, unknown }
    }
}

fn sum(one: (u64, u64, u64), other: (u64, u64, u64)) -> (u64, u64, u64) {
    (one.0 + other.0, one.1 + other.1, one.2 + other.2)
}

/// The number that probe `number` has on the wire.
#[allow(clippy::cast_possible_truncation, reason = "it begins again after 2^32")]
fn own(number: u64) -> u32 {
    number.wrapping_sub(1) as u32
}

#[cfg(test)]
#[path = "count_tests.rs"]
mod tests;
