//! The search for the longest silence that a connection survives: what is known.
//! It waits for nothing and asks nobody.
//!
//! A gap that a connection lived through is proof for that connection alone: its
//! ports choose one of several equal paths, or one of a pool of NATs. A death
//! counts where a fresh connection was answered just then. One death far below a
//! gap that was lived through is tried again, and is an accident if it does not
//! come again; several are a mixture of paths, and then the lowest counts. A proof
//! in which every connection died may have met one event of the path, so that it
//! is made once more.

use std::time::Duration;

pub use super::answer::{Answer, Mixture, Verified, keep_alive};
use super::connection::{Manner, Trial};
use super::next::rounded;
use super::outcome::{Outcome, Proof, Speech, Tried};

/// Rounds after which the search ends, whatever it knows: a path that answers
/// differently every time has no limit to find.
const MAX_ROUNDS: u32 = 24;
/// Deaths so close together have one reason, such as a server that restarts.
const ONE_MOMENT: Duration = Duration::from_millis(500);
/// An end that was seen is this late at the most.
pub(super) const SEEN_LATE: Duration = Duration::from_millis(100);
/// How far above the lowest death another one may lie to be its repetition: the
/// first round's step.
const REPEATED_WITHIN: u32 = 2;

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
    pub(super) range: Range,
    pub(super) round: u32,
    pub(super) tried: Vec<Tried>,
    /// The interval under proof, or proven, and how long it is to hold.
    pub(super) proof: Option<(Duration, Duration)>,
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

    pub(super) fn in_round(&self, round: u32) -> impl Iterator<Item = &Tried> {
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
    pub(super) fn searched(&self) -> impl Iterator<Item = &Tried> {
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

    pub(super) fn lives(&self) -> impl Iterator<Item = Duration> {
        self.searched().filter(|tried| tried.outcome.is_alive()).map(Tried::silence)
    }

    fn proven_deaths(&self) -> impl Iterator<Item = &Tried> {
        self.searched().filter(|tried| tried.is_proven_death() && !self.is_one_event(tried.round))
    }

    /// Deaths clearly below a gap that was lived through.
    pub(super) fn contradicted(&self) -> impl Iterator<Item = &Tried> {
        let top = self.lives().max().unwrap_or_default();
        let margin = |tried: &Tried| {
            if tried.outcome.is_seen() { SEEN_LATE } else { self.precision(tried.silence()) }
        };
        self.proven_deaths().filter(move |tried| rounded(tried.silence() + margin(tried)) <= top)
    }

    /// Whether deaths and lives lie among each other for more than one reason: at
    /// several moments, or at one gap in several rounds.
    pub(super) fn is_mixed(&self) -> bool {
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

    pub(super) fn deaths(&self) -> Vec<&Tried> {
        let accidents = self.accidents();
        let counts = |tried: &&Tried| !accidents.iter().any(|other| std::ptr::eq(*other, *tried));
        let mut deaths: Vec<&Tried> = self.proven_deaths().filter(counts).collect();
        deaths.sort_by_key(|tried| tried.silence());
        deaths
    }

    /// In a mixture the lowest death that came again or that the proof met, else
    /// the lowest.
    pub(super) fn lowest_death(&self) -> Option<&Tried> {
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

    pub(super) fn lived_below_deaths(&self) -> Option<Duration> {
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
    pub(super) fn peer_speaks(&self) -> Option<Duration> {
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
}

fn is_untested(tried: &Tried) -> bool {
    matches!(tried.outcome, Outcome::Untested(_))
}

#[cfg(test)]
#[path = "search_tests.rs"]
mod tests;
