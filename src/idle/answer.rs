//! What a search for the longest silence has found out.

use std::time::Duration;

use super::outcome::Tried;

/// Deaths among lives: the paths differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mixture {
    /// Gaps of at least the lowest death and at most the longest life that died,
    pub died: usize,
    /// of so many.
    pub of: usize,
    /// The shortest of them,
    pub from: Duration,
    /// and the longest.
    pub to: Duration,
}

/// What the proof of an interval showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// The interval.
    pub interval: Duration,
    /// How long it was to hold.
    pub held_for: Duration,
    /// Whether TCP keep-alive held every connection; `None` if that is unknown.
    pub keep_alive: Option<bool>,
    /// The same for an application that speaks.
    pub speaking: Option<bool>,
}

/// What is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<'tried> {
    /// The longest gap below every death that counts that was lived through.
    pub lived: Option<Duration>,
    /// The lowest death that counts.
    pub died: Option<&'tried Tried>,
    /// Connections that lived and died at the same gaps.
    pub mixture: Option<Mixture>,
    /// Deaths that did not come again.
    pub accidents: Vec<&'tried Tried>,
    /// The peer speaks by itself this long after the last word: longer silences
    /// cannot be had.
    pub peer_speaks: Option<Duration>,
    /// The death beside which no fresh connection was answered as it should be.
    pub gone: Option<&'tried Tried>,
    /// What the proof of the interval showed.
    pub verified: Option<Verified>,
    /// Nothing is left to try.
    pub complete: bool,
}

/// The keep-alive interval that stands on what is known, in whole seconds: half
/// of what was lived through, or of an end that was seen, which is as exact as a
/// limit can be. `None` where none is needed or known, where it would be below a
/// second, or where it was tried and TCP keep-alive did not hold a connection.
pub fn keep_alive(answer: &Answer<'_>) -> Option<u64> {
    let refuted = answer.verified.is_some_and(|proof| proof.keep_alive == Some(false));
    interval(answer).filter(|_| !refuted)
}

/// The same, before anybody has tried it.
pub(super) fn interval(answer: &Answer<'_>) -> Option<u64> {
    let died = answer.died?;
    if answer.gone.is_some() {
        return None;
    }
    let limit = if died.outcome.is_seen() { died.silence() } else { answer.lived? };
    Some((limit / 2).as_secs()).filter(|seconds| *seconds > 0)
}
