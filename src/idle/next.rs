//! What the search tries next.

use std::time::Duration;

use super::answer::interval;
use super::connection::{Manner, Trial};
use super::outcome::Tried;
use super::search::{SEEN_LATE, Search};

/// Rounds that are spent on the lowest limit of a mixture.
const MIXED_ROUNDS: u32 = 6;
/// Connections for a gap that decides something, where the width allows it.
const COPIES: usize = 4;
/// The same for the longest gap of the first round, which costs no time.
const COPIES_OF_THE_LONGEST: usize = 3;
/// Where no precision is asked for: a hundredth of the limit, and
const USUAL_SHARE: u32 = 100;
/// no finer than this.
const USUAL_PRECISION: Duration = Duration::from_secs(1);
/// A peer that speaks by itself is tried so far below its own interval.
const BEFORE_THE_PEER: Duration = Duration::from_secs(1);
/// Connections of the proof of an interval, for each way of keeping alive.
const PROOFS: usize = 4;
/// The proof lasts so many times the limit.
pub(super) const PERIODS: u32 = 2;

impl Search {
    /// The longest gap that makes sense.
    fn longest(&self) -> Duration {
        let Some(speaks) = self.peer_speaks() else { return self.range.to };
        let before = speaks.saturating_sub(BEFORE_THE_PEER.min(speaks / 10));
        before.min(self.range.to)
    }

    pub(super) fn wanted(&self) -> Vec<Trial> {
        if self.proof.is_some() {
            return Vec::new();
        }
        let gaps = if self.is_mixed() {
            self.below_the_mixture()
        } else if let Some(once) = self.contradicted().next() {
            self.again(once)
        } else {
            match self.lowest_death() {
                None => self.ladder(),
                Some(died) => self.between(died, 1),
            }
        };
        let manner = self.range.manner;
        gaps.into_iter().map(|gap| Trial { gap, manner }).collect()
    }

    /// Doubling, up to the longest.
    fn ladder(&self) -> Vec<Duration> {
        let to = self.longest();
        let lived = self.lives().max();
        if lived.is_some_and(|lived| lived >= to) || to.is_zero() {
            return Vec::new();
        }
        let mut gap = lived.map_or(self.range.from, |lived| lived * 2);
        let mut gaps = Vec::new();
        while gap < to {
            gaps.push(gap);
            gap *= 2;
        }
        let spare = self.range.width.saturating_sub(gaps.len());
        gaps.extend(std::iter::repeat_n(to, spare.clamp(1, COPIES_OF_THE_LONGEST)));
        gaps
    }

    /// A death that longer lives contradict, several times at once; only while
    /// it has not been tried again.
    fn again(&self, once: &Tried) -> Vec<Duration> {
        let near = |gap: Duration| gap.abs_diff(once.silence()) <= self.precision(once.silence());
        let after =
            self.searched().filter(|tried| tried.round > once.round && near(tried.silence()));
        if after.count() > 0 {
            // It did not come again: the search goes on above it.
            return match self.lowest_death() {
                None => self.ladder(),
                Some(died) => self.between(died, 1),
            };
        }
        vec![rounded(once.silence()); COPIES.min(self.range.width)]
    }

    /// Several connections a gap: one life says nothing about the other paths.
    fn below_the_mixture(&self) -> Vec<Duration> {
        let rounds = self.searched().map(|tried| tried.round).max().unwrap_or_default();
        let began = self.contradicted().map(|tried| tried.round).min().unwrap_or_default();
        if rounds.saturating_sub(began) >= MIXED_ROUNDS {
            return Vec::new();
        }
        self.lowest_death().map_or(Vec::new(), |died| self.between(died, COPIES))
    }

    /// As many parts as one round can try, and the death once more, which
    /// costs no further round.
    fn between(&self, died: &Tried, copies: usize) -> Vec<Duration> {
        let lived = self.lived_below_deaths().unwrap_or_default();
        let precision = self.precision(died.silence());
        let open = died.silence().saturating_sub(lived);
        let steps = open.as_nanos().div_ceil(precision.as_nanos().max(1));
        let within = usize::try_from(steps.saturating_sub(1)).unwrap_or(usize::MAX);
        let room = ((self.range.width - 1) / copies).max(1);
        let parts = u32::try_from(within.min(room) + 1).unwrap_or(u32::MAX);
        let mut gaps: Vec<Duration> = if died.outcome.is_seen() {
            // The limit itself: only whether a little less is lived through is open.
            vec![rounded(died.silence().saturating_sub(precision.max(SEEN_LATE)))]
        } else {
            (1..parts).map(|part| rounded(lived + open * part / parts)).collect()
        };
        gaps.retain(|gap| *gap > lived && *gap < died.silence());
        let mut gaps: Vec<Duration> =
            gaps.into_iter().flat_map(|gap| std::iter::repeat_n(gap, copies)).collect();
        if !gaps.is_empty() || !self.is_confirmed(died) {
            // A little later, so that an end which was seen can be seen again.
            gaps.push(rounded(died.silence() + precision));
        }
        gaps
    }

    pub(super) fn precision(&self, limit: Duration) -> Duration {
        self.range.precision.unwrap_or_else(|| USUAL_PRECISION.max(limit / USUAL_SHARE))
    }

    /// Another round agrees.
    fn is_confirmed(&self, died: &Tried) -> bool {
        self.deaths().iter().any(|other| other.round != died.round)
    }

    /// The last round: what is going to be advised, and the longest silence once
    /// more by other connections.
    pub(super) fn proof_of_interval(&mut self) -> Vec<Trial> {
        if !self.range.verify || self.proof.is_some() || self.range.manner != Manner::Silent {
            return Vec::new();
        }
        let Some(seconds) = interval(&self.answer()) else { return Vec::new() };
        let Some(limit) = self.lowest_death().map(Tried::silence) else { return Vec::new() };
        let interval = Duration::from_secs(seconds);
        let hold = Trial { gap: limit * PERIODS, manner: Manner::KeepAlive(interval) };
        self.proof = Some((interval, hold.gap));
        let speak = Trial { manner: Manner::Speaking(interval), ..hold };
        let spare = self.range.width.saturating_sub(2).clamp(1, COPIES);
        let mut trials = Vec::new();
        if let Some(lived) = self.lived_below_deaths() {
            let gap = rounded(lived);
            trials.extend(std::iter::repeat_n(Trial { gap, manner: Manner::Silent }, spare));
        }
        let each = if self.range.width >= spare + 2 * PROOFS { PROOFS } else { 1 };
        trials.extend(std::iter::repeat_n(hold, each));
        trials.extend(std::iter::repeat_n(speak, each));
        trials.truncate(self.range.width.max(2));
        trials
    }
}

/// To whole milliseconds where that loses nothing that matters.
pub(super) fn rounded(gap: Duration) -> Duration {
    if gap < Duration::from_secs(1) {
        return gap;
    }
    Duration::from_millis(u64::try_from(gap.as_millis()).unwrap_or(u64::MAX))
}
