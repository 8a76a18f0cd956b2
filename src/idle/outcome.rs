//! What became of a connection that was left alone.

use std::time::Duration;

use super::connection::Manner;
use crate::wire::icmp::IcmpError;

/// What became of a connection that was left alone for a gap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The probe after the gap came back after this time.
    Alive(Duration),
    /// As above, but the gap was no silence: the peer's kernel spoke in it.
    Disturbed(Speech),
    /// A reset answered the probe.
    Reset {
        /// How long after the probe.
        after: Duration,
        /// The smallest round-trip time of this connection: no answer of the
        /// peer's can come sooner.
        smallest: Duration,
    },
    /// The peer answered the probe by closing.
    Closed,
    /// Nothing answered the probe, or what the server said never came.
    Silent,
    /// The probe was acknowledged, and not answered.
    Unanswered,
    /// The network said that the peer cannot be reached.
    Unreachable(Option<IcmpError>),
    /// The peer closed during the gap.
    ClosedIdle,
    /// A reset came during the gap.
    ResetIdle,
    /// Something else, so that nothing is known: why.
    Untested(String),
}

/// What came in a gap in which nobody was to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speech {
    /// How long after the beginning of the gap it came first.
    pub first: Duration,
    /// And last.
    pub last: Duration,
    /// How often.
    pub times: u32,
}

impl Speech {
    /// The time from one to the next, where there was more than one.
    pub fn every(&self) -> Duration {
        match self.times {
            0 | 1 => self.first,
            times => self.last.saturating_sub(self.first) / (times - 1),
        }
    }
}

impl Outcome {
    /// Its name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Alive(_) => "alive",
            Self::Disturbed(_) => "disturbed",
            Self::Reset { .. } => "reset",
            Self::Closed => "closed",
            Self::Silent => "silent",
            Self::Unanswered => "unanswered",
            Self::Unreachable(_) => "unreachable",
            Self::ClosedIdle => "closed_idle",
            Self::ResetIdle => "reset_idle",
            Self::Untested(_) => "untested",
        }
    }

    /// Whether the connection lived through a silence.
    pub fn is_alive(&self) -> bool {
        matches!(self, Self::Alive(_))
    }

    /// Whether the connection was found dead.
    pub fn is_death(&self) -> bool {
        !matches!(self, Self::Alive(_) | Self::Disturbed(_) | Self::Untested(_))
    }

    /// Whether the moment of death is known: it was seen.
    pub fn is_seen(&self) -> bool {
        matches!(self, Self::ClosedIdle | Self::ResetIdle)
    }
}

/// What a fresh connection showed beside a death.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Proof {
    /// It was answered twice within this time: the service is there, and only the
    /// silent connection is dead.
    Answered(Duration),
    /// It was answered once and no more, without any silence.
    Mute,
    /// Nothing answered any more, however often it was tried: why.
    Gone(String),
}

/// A connection that was left alone, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// Counted from 1.
    pub round: u32,
    /// How it was left alone.
    pub manner: Manner,
    /// The silence; shorter than planned where the end was seen, longer where
    /// this host woke late.
    pub gap: Duration,
    /// What came of it.
    pub outcome: Outcome,
    /// Since the search began.
    pub moment: Duration,
    /// Of a death: what a fresh connection showed just then.
    pub proof: Option<Proof>,
}

impl Tried {
    /// The longest time in which nobody spoke.
    pub fn silence(&self) -> Duration {
        match self.manner {
            Manner::Speaking(every) => every.min(self.gap),
            Manner::Silent | Manner::KeepAlive(_) => self.gap,
        }
    }

    /// Data every so often did not keep the connection alive. Where TCP's
    /// keep-alive does not, the path may not count what carries no data.
    pub fn refutes_its_interval(&self) -> bool {
        matches!(self.manner, Manner::Speaking(_)) && self.is_proven_death()
    }

    /// A death of the connection alone: the service answered just then.
    pub fn is_proven_death(&self) -> bool {
        self.outcome.is_death() && matches!(self.proof, Some(Proof::Answered(_)))
    }
}
