//! The search for the longest silence that a connection survives: which gaps
//! to try next, and what is known. It waits for nothing and asks nobody.
//!
//! A gap that a connection lived through is proof; a death may be an accident.
//! So deaths below a gap that was lived through do not count, and a limit is
//! believed when deaths of two rounds speak for it.

use std::time::Duration;

use crate::wire::icmp::IcmpError;

/// Rounds after which the search ends, whatever it knows: a path that answers
/// differently every time has no limit to find.
const MAX_ROUNDS: u32 = 24;
/// Where no precision is asked for: a hundredth of the limit, and
const USUAL_SHARE: u32 = 100;
/// no finer than this.
const USUAL_PRECISION: Duration = Duration::from_secs(1);

/// What became of a connection that was left alone for a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// The probe after the gap came back after this time.
    Alive(Duration),
    /// A reset answered the probe.
    Reset {
        /// How long after the probe.
        after: Duration,
        /// The round-trip time of the probe before the gap.
        usual: Duration,
    },
    /// The peer answered the probe by closing.
    Closed,
    /// Nothing answered the probe.
    Silent,
    /// The network said that the peer cannot be reached.
    Unreachable(Option<IcmpError>),
    /// The peer closed during the gap.
    ClosedIdle,
    /// A reset came during the gap.
    ResetIdle,
    /// Something else, so that nothing is known: why.
    Untested(String),
}

impl Fate {
    /// Its name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Alive(_) => "alive",
            Self::Reset { .. } => "reset",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Unreachable(_) => "unreachable",
            Self::ClosedIdle => "closed_idle",
            Self::ResetIdle => "reset_idle",
            Self::Untested(_) => "untested",
        }
    }

    /// Whether the moment of death is known: it was seen.
    pub fn is_seen(&self) -> bool {
        matches!(self, Self::ClosedIdle | Self::ResetIdle)
    }
}

/// A gap that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Counted from 1.
    pub round: u32,
    /// The silence; shorter than planned where the end was seen.
    pub gap: Duration,
    /// What came of it.
    pub fate: Fate,
}

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
}

/// What is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer<'tried> {
    /// The longest gap that a connection lived through.
    pub lived: Option<Duration>,
    /// The shortest above it that none did.
    pub died: Option<&'tried Tried>,
    /// Nothing is left to try.
    pub complete: bool,
}

/// See the module's text.
#[derive(Debug)]
pub struct Search {
    range: Range,
    round: u32,
    tried: Vec<Tried>,
    ended: bool,
}

impl Search {
    /// Nothing is known yet.
    pub fn new(range: Range) -> Self {
        Self { range, round: 0, tried: Vec::new(), ended: false }
    }

    /// The round under way, counted from 1.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// Everything that was tried.
    pub fn tried(&self) -> &[Tried] {
        &self.tried
    }

    /// Takes what became of a connection of this round.
    pub fn learn(&mut self, gap: Duration, fate: Fate) -> &Tried {
        let place = self.tried.len();
        self.tried.push(Tried { round: self.round, gap, fate });
        &self.tried[place]
    }

    /// What is known by now.
    pub fn answer(&self) -> Answer<'_> {
        Answer { lived: self.lived(), died: self.died(), complete: self.ended }
    }

    /// The gaps of the next round, rising; none when there is nothing to find.
    pub fn next_round(&mut self) -> Vec<Duration> {
        if self.round > 0 {
            // A peer that takes fewer connections is asked for fewer.
            let opened = self.of_round().filter(|tried| !is_untested(tried)).count();
            if opened < self.of_round().count() {
                self.range.width = opened;
            }
        }
        if self.range.width == 0 {
            return Vec::new();
        }
        let mut gaps = self.wanted();
        gaps.truncate(self.range.width);
        self.ended = gaps.is_empty();
        if self.round >= MAX_ROUNDS {
            gaps.clear();
        }
        if !gaps.is_empty() {
            self.round += 1;
        }
        gaps
    }

    fn of_round(&self) -> impl Iterator<Item = &Tried> {
        self.tried.iter().filter(|tried| tried.round == self.round)
    }

    fn lived(&self) -> Option<Duration> {
        let alive = self.tried.iter().filter(|tried| matches!(tried.fate, Fate::Alive(_)));
        alive.map(|tried| tried.gap).max()
    }

    /// Deaths that no longer life contradicts.
    fn deaths(&self) -> impl Iterator<Item = &Tried> {
        let lived = self.lived().unwrap_or_default();
        self.tried.iter().filter(move |tried| {
            !matches!(tried.fate, Fate::Alive(_) | Fate::Untested(_)) && tried.gap > lived
        })
    }

    fn died(&self) -> Option<&Tried> {
        self.deaths().min_by_key(|tried| tried.gap)
    }

    fn wanted(&self) -> Vec<Duration> {
        match self.died() {
            None => self.ladder(),
            Some(died) => self.between(died),
        }
    }

    /// Doubling, up to the longest.
    fn ladder(&self) -> Vec<Duration> {
        let Range { from, to, .. } = self.range;
        let mut gap = self.lived().map_or(from, |lived| lived * 2);
        if self.lived().is_some_and(|lived| lived >= to) {
            return Vec::new();
        }
        let mut gaps = Vec::new();
        while gap < to {
            gaps.push(gap);
            gap *= 2;
        }
        gaps.push(to);
        gaps
    }

    /// As many parts as one round can try, and the death once more, which
    /// costs no further round.
    fn between(&self, died: &Tried) -> Vec<Duration> {
        let lived = self.lived().unwrap_or_default();
        let precision = self.precision(died.gap);
        let open = died.gap.saturating_sub(lived);
        let steps = open.as_nanos().div_ceil(precision.as_nanos().max(1));
        let within = usize::try_from(steps.saturating_sub(1)).unwrap_or(usize::MAX);
        let count = if died.fate.is_seen() { 0 } else { within.min((self.range.width - 1).max(1)) };
        let parts = u32::try_from(count + 1).unwrap_or(u32::MAX);
        let mut gaps: Vec<Duration> =
            (1..parts).map(|part| rounded(lived + open * part / parts)).collect();
        gaps.retain(|gap| *gap > lived && *gap < died.gap);
        if !gaps.is_empty() || !self.is_confirmed(died) {
            // A little later, so that an end which was seen can be seen again.
            gaps.push(rounded(died.gap + precision));
        }
        gaps
    }

    fn precision(&self, limit: Duration) -> Duration {
        self.range.precision.unwrap_or_else(|| USUAL_PRECISION.max(limit / USUAL_SHARE))
    }

    fn is_confirmed(&self, died: &Tried) -> bool {
        self.deaths().any(|other| other.round != died.round)
    }
}

fn is_untested(tried: &Tried) -> bool {
    matches!(tried.fate, Fate::Untested(_))
}

/// To whole milliseconds where that loses nothing that matters.
fn rounded(gap: Duration) -> Duration {
    if gap < Duration::from_secs(1) {
        return gap;
    }
    Duration::from_millis(u64::try_from(gap.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RANGE: Range = Range {
        from: Duration::from_secs(10),
        to: Duration::from_hours(1),
        precision: None,
        width: 24,
    };

    fn seconds(gaps: &[Duration]) -> Vec<u64> {
        gaps.iter().map(Duration::as_secs).collect()
    }

    /// Plays rounds against a path; gives what was learnt and the waiting.
    fn play(range: Range, fate: impl Fn(Duration, u32) -> (Duration, Fate)) -> (Search, Duration) {
        let mut search = Search::new(range);
        let mut waited = Duration::ZERO;
        loop {
            let gaps = search.next_round();
            let Some(&last) = gaps.last() else { return (search, waited) };
            assert!(gaps.is_sorted() && gaps.len() <= range.width, "{gaps:?}");
            let mut longest = last;
            for gap in gaps {
                let (at, fate) = fate(gap, search.round());
                let over = !matches!(fate, Fate::Alive(_) | Fate::Untested(_));
                search.learn(at, fate);
                if over {
                    longest = at;
                    break;
                }
            }
            waited += longest;
        }
    }

    fn forgets(limit: Duration) -> impl Fn(Duration, u32) -> (Duration, Fate) {
        move |gap, _| (gap, if gap < limit { Fate::Alive(Duration::ZERO) } else { Fate::Silent })
    }

    #[test]
    fn the_first_round_doubles_up_to_the_longest() {
        let gaps = Search::new(RANGE).next_round();
        assert_eq!(seconds(&gaps), [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600]);
    }

    #[test]
    fn no_limit_takes_one_round() {
        let (search, waited) = play(RANGE, forgets(Duration::MAX));
        assert_eq!(waited, RANGE.to);
        let answer = search.answer();
        assert_eq!((answer.lived, answer.died, answer.complete), (Some(RANGE.to), None, true));
    }

    #[test]
    fn the_350_seconds_of_a_cloud_nat_take_three_rounds() {
        let limit = Duration::from_secs(350);
        let (search, waited) = play(RANGE, forgets(limit));
        assert_eq!(search.round(), 3);
        assert!(waited < Duration::from_mins(24), "{waited:?}");
        let answer = search.answer();
        let (lived, died) = (answer.lived.unwrap(), answer.died.unwrap().gap);
        assert!(lived < limit && limit <= died && died <= lived + died / 100, "{answer:?}");
    }

    #[test]
    fn a_close_that_was_seen_only_wants_to_be_seen_again() {
        let limit = Duration::from_mins(1);
        let (search, _) = play(RANGE, |gap, _| {
            if gap < limit { (gap, Fate::Alive(Duration::ZERO)) } else { (limit, Fate::ClosedIdle) }
        });
        assert_eq!(search.round(), 2);
        assert_eq!(search.answer().died.unwrap().gap, limit);
    }

    #[test]
    fn a_limit_below_the_shortest_gap_is_found() {
        let limit = Duration::from_millis(3500);
        let (search, _) = play(RANGE, forgets(limit));
        let answer = search.answer();
        assert!(answer.lived.unwrap() < limit && answer.died.unwrap().gap >= limit, "{answer:?}");
    }

    #[test]
    fn an_accident_is_no_limit() {
        let (search, _) = play(RANGE, |gap, round| match round {
            1 if gap > Duration::from_mins(1) => (gap, Fate::Unreachable(None)),
            _ => (gap, Fate::Alive(Duration::ZERO)),
        });
        let answer = search.answer();
        assert_eq!((answer.lived, answer.died), (Some(RANGE.to), None));
    }

    #[test]
    fn a_peer_that_takes_few_connections_is_asked_for_few() {
        let mut search = Search::new(RANGE);
        for (place, gap) in search.next_round().into_iter().enumerate() {
            let refused = Fate::Untested("refused".to_owned());
            search.learn(gap, if place < 3 { Fate::Alive(Duration::ZERO) } else { refused });
        }
        assert_eq!(seconds(&search.next_round()), [80, 160, 320]);
    }

    #[test]
    fn a_peer_that_takes_none_ends_the_search() {
        let (search, _) = play(RANGE, |gap, _| (gap, Fate::Untested("refused".to_owned())));
        assert_eq!(search.round(), 1);
        assert!(!search.answer().complete);
    }

    proptest! {
        #[test]
        fn every_limit_is_found_as_precisely_as_asked(
            limit in 1_u64..4_000_000,
            precision in 500_u64..20_000,
            width in 1_usize..32,
        ) {
            let limit = Duration::from_millis(limit);
            let precision = Duration::from_millis(precision);
            let range = Range { precision: Some(precision), width, ..RANGE };
            let (search, _) = play(range, forgets(limit));
            let answer = search.answer();
            let lived = answer.lived.unwrap_or_default();
            prop_assert!(lived < limit);
            match answer.died {
                Some(died) => {
                    prop_assert!(died.gap >= limit);
                    prop_assert!(died.gap <= lived + precision, "{:?}", answer);
                }
                None => prop_assert!(lived >= range.to),
            }
        }
    }
}
