//! The search for the longest silence that a connection survives: what to try
//! next, and what is known. It waits for nothing and asks nobody.
//!
//! A gap that a connection lived through is proof for that connection alone: its
//! ports choose one of several equal paths, or one of a pool of NATs. A death
//! counts where a fresh connection was answered just then. One death far below a
//! gap that was lived through is tried again, and is an accident if it does not
//! come again; several are a mixture of paths, and then the lowest counts. A proof
//! in which every connection died may have met one event of the path, so that it
//! is made once more.

use std::time::Duration;

use super::answer::interval;
pub use super::answer::{Answer, Mixture, Verified, keep_alive};
use super::connection::{Manner, Trial};
use super::outcome::{Outcome, Proof, Speech, Tried};

/// Rounds after which the search ends, whatever it knows: a path that answers
/// differently every time has no limit to find.
const MAX_ROUNDS: u32 = 24;
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
/// Deaths so close together have one reason, such as a server that restarts.
const ONE_MOMENT: Duration = Duration::from_millis(500);
/// An end that was seen is this late at the most.
const SEEN_LATE: Duration = Duration::from_millis(100);
/// How far above the lowest death another one may lie to be its repetition: the
/// first round's step.
const REPEATED_WITHIN: u32 = 2;
/// A peer that speaks by itself is tried so far below its own interval.
const BEFORE_THE_PEER: Duration = Duration::from_secs(1);
/// Connections of the proof of an interval, for each way of keeping alive.
const PROOFS: usize = 4;
/// The proof lasts so many times the limit.
pub const PERIODS: u32 = 2;

/// What to search.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// The shortest gap of the first round.
    pub from: Duration,
    /// The longest gap.
    pub to: Duration,
    /// How close the gaps on both sides of the limit shall come.
    pub precision: Option<Duration>,
    /// Connections at once.
    pub width: usize,
    /// How each connection is left alone: silent, or kept alive.
    pub manner: Manner,
    /// Whether the interval is proven before it is advised.
    pub verify: bool,
}

/// See the module's text.
#[derive(Debug)]
pub struct Search {
    range: Range,
    round: u32,
    tried: Vec<Tried>,
    /// The interval under proof, or proven, and how long it is to hold.
    proof: Option<(Duration, Duration)>,
    ended: bool,
}

impl Search {
    /// Nothing is known yet.
    pub fn new(range: Range) -> Self {
        Self { range, round: 0, tried: Vec::new(), proof: None, ended: false }
    }

    /// The round under way, counted from 1.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// Everything that was tried.
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// The interval that this round proves, if it is that one.
    pub fn proves(&self) -> Option<Duration> {
        self.proof.map(|(interval, _)| interval)
    }

    /// Takes what became of a connection of this round, which ended `moment`
    /// after the search began.
    pub fn learn(
        &mut self,
        manner: Manner,
        gap: Duration,
        outcome: Outcome,
        moment: Duration,
        proof: Option<Proof>,
    ) -> &Tried {
        let place = self.tried.len();
        self.tried.push(Tried { round: self.round, manner, gap, outcome, moment, proof });
        &self.tried[place]
    }

    /// Everything that is known by now.
    pub fn answer(&self) -> Answer<'_> {
        Answer {
            lived: self.lived_below_deaths(),
            died: self.lowest_death(),
            mixture: self.mixture(),
            accidents: self.accidents(),
            peer_speaks: self.peer_speaks(),
            gone: self.gone(),
            verified: self.verified(),
            complete: self.ended,
        }
    }

    /// The shortest death of this round: longer gaps need not be waited for, and
    /// tell more if they are asked at once.
    pub fn enough(&self) -> Option<Duration> {
        if self.proof.is_some() {
            return None;
        }
        let this_round = self.proven_deaths().filter(|tried| tried.round == self.round);
        this_round.map(Tried::silence).min()
    }

    /// What the next round tries, by rising gaps; nothing when there is nothing
    /// to find.
    pub fn next_round(&mut self) -> Vec<Trial> {
        if self.round > 0 && self.proof.is_none() {
            self.narrow();
        }
        if self.proof.is_some() && (self.is_refuted() || self.is_one_event(self.round)) {
            self.proof = None;
        }
        if self.range.width == 0 || self.gone().is_some() {
            return Vec::new();
        }
        let mut trials = self.wanted();
        trials.truncate(self.range.width);
        if trials.is_empty() {
            trials = self.proof_of_interval();
        }
        self.ended = trials.is_empty();
        if self.round >= MAX_ROUNDS {
            trials.clear();
        }
        if !trials.is_empty() {
            self.round += 1;
        }
        trials
    }

    /// The interval did not hold, on a path that nobody had met before: its limit
    /// lies below it.
    fn is_refuted(&self) -> bool {
        self.in_round(self.round).any(|tried| self.counts_in_proof(tried))
    }

    fn in_round(&self, round: u32) -> impl Iterator<Item = &Tried> {
        self.tried.iter().filter(move |tried| tried.round == round)
    }

    /// A peer that takes fewer connections is asked for fewer.
    fn narrow(&mut self) {
        let refused = self.in_round(self.round).filter(|tried| is_untested(tried)).count();
        if refused > 0 {
            self.range.width = self.in_round(self.round).count() - refused;
        }
    }

    /// What was tried in the manner that the search is about, and what died of a
    /// shorter silence in the proof of an interval.
    fn searched(&self) -> impl Iterator<Item = &Tried> {
        let silent = self.range.manner == Manner::Silent;
        self.tried.iter().filter(move |tried| {
            tried.manner == self.range.manner || (silent && self.counts_in_proof(tried))
        })
    }

    /// Whether it died in the proof of an interval for want of a word: not where
    /// those that were silent for less time lived and all others died, so that it
    /// was their age that ended them.
    fn counts_in_proof(&self, tried: &Tried) -> bool {
        let mut silent = self.in_round(tried.round).filter(|tried| tried.manner == Manner::Silent);
        let aged = self.none_held(tried.round) && silent.any(|tried| tried.outcome.is_alive());
        tried.refutes_its_interval() && !aged
    }

    fn kept(&self, round: u32) -> impl Iterator<Item = &Tried> {
        self.in_round(round).filter(|tried| tried.manner != Manner::Silent)
    }

    /// Whether every connection died that this round kept alive.
    fn none_held(&self, round: u32) -> bool {
        self.kept(round).next().is_some() && self.kept(round).all(Tried::is_proven_death)
    }

    /// Whether none held, and no other proof of the same interval went so: one
    /// event may have ended them all.
    fn is_one_event(&self, round: u32) -> bool {
        let manner = |round: u32| self.kept(round).map(|tried| tried.manner).next();
        let same = |other: &u32| *other != round && manner(*other) == manner(round);
        let again = || (1..=self.round).filter(same).any(|other| self.none_held(other));
        self.none_held(round) && !again()
    }

    fn lives(&self) -> impl Iterator<Item = Duration> {
        self.searched().filter(|tried| tried.outcome.is_alive()).map(Tried::silence)
    }

    fn proven_deaths(&self) -> impl Iterator<Item = &Tried> {
        self.searched().filter(|tried| tried.is_proven_death() && !self.is_one_event(tried.round))
    }

    /// Deaths clearly below a gap that was lived through.
    fn contradicted(&self) -> impl Iterator<Item = &Tried> {
        let top = self.lives().max().unwrap_or_default();
        let margin = |tried: &Tried| {
            if tried.outcome.is_seen() { SEEN_LATE } else { self.precision(tried.silence()) }
        };
        self.proven_deaths().filter(move |tried| rounded(tried.silence() + margin(tried)) <= top)
    }

    /// Whether deaths and lives lie among each other for more than one reason: at
    /// several moments, or at one gap in several rounds.
    fn is_mixed(&self) -> bool {
        let mut moments: Vec<Duration> =
            self.contradicted().map(|tried| self.moment_of(tried)).collect();
        moments.sort_unstable();
        moments.dedup_by(|later, earlier| *later < *earlier + ONE_MOMENT);
        moments.len() > 1 || self.rounds_of_both() > 1
    }

    /// When something may have happened that killed this one. Where none of its
    /// round that was silent for longer lived, one event may have killed them all,
    /// however long after it each was asked.
    fn moment_of(&self, tried: &Tried) -> Duration {
        let this_round = || self.searched().filter(|other| other.round == tried.round);
        let outlived = this_round().any(|other| other.outcome.is_alive() && other.gap > tried.gap);
        if outlived || tried.outcome.is_seen() {
            return tried.moment;
        }
        let asked = this_round().filter(|other| other.outcome.is_death());
        asked.map(|other| other.moment).min().unwrap_or(tried.moment)
    }

    /// Rounds in which connections died and others lived through as long a silence.
    fn rounds_of_both(&self) -> usize {
        let both = |round: &u32| {
            let lived = self.searched().filter(|tried| tried.outcome.is_alive());
            let lived = lived.filter(|tried| tried.round == *round);
            let longest = lived.map(Tried::silence).max().unwrap_or_default();
            let mut died = self.proven_deaths().filter(|tried| tried.round == *round);
            died.any(|tried| !tried.outcome.is_seen() && tried.silence() <= longest)
        };
        (1..=self.round).filter(both).count()
    }

    /// Contradicted deaths that have not come again, and those of a proof that
    /// another one did not bear out.
    fn accidents(&self) -> Vec<&Tried> {
        let contradicted = self.contradicted().filter(|_| !self.is_mixed());
        let event = |tried: &&Tried| tried.is_proven_death() && self.is_one_event(tried.round);
        contradicted.chain(self.tried.iter().filter(event)).collect()
    }

    fn deaths(&self) -> Vec<&Tried> {
        let accidents = self.accidents();
        let counts = |tried: &&Tried| !accidents.iter().any(|other| std::ptr::eq(*other, *tried));
        let mut deaths: Vec<&Tried> = self.proven_deaths().filter(counts).collect();
        deaths.sort_by_key(|tried| tried.silence());
        deaths
    }

    /// In a mixture the lowest death that came again or that the proof met, else
    /// the lowest.
    fn lowest_death(&self) -> Option<&Tried> {
        let deaths = self.deaths();
        let repeated = |place: &usize| {
            let (death, next) = (deaths[*place], deaths.get(place + 1));
            death.refutes_its_interval()
                || next.is_some_and(|next| next.silence() <= death.silence() * REPEATED_WITHIN)
        };
        let lowest = if self.is_mixed() { (0..deaths.len()).find(repeated) } else { None };
        let lowest = deaths.get(lowest.unwrap_or(0)).copied()?;
        // Of the same moment, one that was seen says more than one that was asked.
        let seen = deaths.into_iter().filter(|tried| tried.outcome.is_seen());
        let mut same = seen.filter(|tried| tried.silence().abs_diff(lowest.silence()) <= SEEN_LATE);
        Some(same.next().unwrap_or(lowest))
    }

    fn lived_below_deaths(&self) -> Option<Duration> {
        let died = self.lowest_death().map_or(Duration::MAX, Tried::silence);
        self.lives().filter(|gap| *gap < died).max()
    }

    fn mixture(&self) -> Option<Mixture> {
        if !self.is_mixed() {
            return None;
        }
        let from = self.lowest_death()?.silence();
        let to = self.lives().max()?;
        let within = |gap: Duration| gap >= from && gap <= to;
        let died = self.proven_deaths().filter(|tried| within(tried.silence())).count();
        let of = died + self.lives().filter(|gap| within(*gap)).count();
        Some(Mixture { died, of, from, to })
    }

    /// What came once may have been sent again for want of an acknowledgement: a
    /// keep-alive comes as late in another gap, or again in the same.
    fn peer_speaks(&self) -> Option<Duration> {
        let heard: Vec<&Speech> = self
            .searched()
            .filter_map(|tried| match &tried.outcome {
                Outcome::Disturbed(speech) => Some(speech),
                _ => None,
            })
            .collect();
        let alike = |one: Duration, other: Duration| one.abs_diff(other) <= one.max(other) / 5;
        let comes_again = |speech: &&&Speech| {
            let regular = speech.times > 1 && alike(speech.first, speech.every());
            let same = heard.iter().filter(|other| alike(speech.first, other.first));
            regular || same.count() > 1
        };
        heard.iter().filter(comes_again).map(|speech| speech.every().min(speech.first)).min()
    }

    fn gone(&self) -> Option<&Tried> {
        let gone = |tried: &&Tried| matches!(tried.proof, Some(Proof::Gone(_) | Proof::Mute));
        self.tried.iter().find(gone)
    }

    /// A connection that was asked before its time, by Ctrl-C, shows nothing.
    fn verified(&self) -> Option<Verified> {
        let (interval, held_for) = self.proof?;
        let last = self.tried.last().map_or(0, |tried| tried.round);
        let all = |manner: Manner| {
            let whole = |tried: &&Tried| tried.outcome.is_death() || tried.gap >= held_for;
            let tried = self.in_round(last).filter(|tried| tried.manner == manner);
            let mut known = tried.filter(whole).filter(|tried| !is_untested(tried)).peekable();
            known.peek()?;
            Some(known.all(|tried| tried.outcome.is_alive()))
        };
        Some(Verified {
            interval,
            held_for,
            keep_alive: all(Manner::KeepAlive(interval)),
            speaking: all(Manner::Speaking(interval)),
        })
    }

    /// The longest gap that makes sense.
    fn longest(&self) -> Duration {
        let Some(speaks) = self.peer_speaks() else { return self.range.to };
        let before = speaks.saturating_sub(BEFORE_THE_PEER.min(speaks / 10));
        before.min(self.range.to)
    }

    fn wanted(&self) -> Vec<Trial> {
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

    fn precision(&self, limit: Duration) -> Duration {
        self.range.precision.unwrap_or_else(|| USUAL_PRECISION.max(limit / USUAL_SHARE))
    }

    /// Another round agrees.
    fn is_confirmed(&self, died: &Tried) -> bool {
        self.deaths().iter().any(|other| other.round != died.round)
    }

    /// The last round: what is going to be advised, and the longest silence once
    /// more by other connections.
    fn proof_of_interval(&mut self) -> Vec<Trial> {
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

fn is_untested(tried: &Tried) -> bool {
    matches!(tried.outcome, Outcome::Untested(_))
}

/// To whole milliseconds where that loses nothing that matters.
fn rounded(gap: Duration) -> Duration {
    if gap < Duration::from_secs(1) {
        return gap;
    }
    Duration::from_millis(u64::try_from(gap.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
