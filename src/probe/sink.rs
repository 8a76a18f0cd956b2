//! Where samples and notices go.

use super::event::Event;
use super::sample::{Notice, Sample};
use super::tally::Tally;
use crate::clock::{Anchor, Mono};

/// Nobody reads this destination any more (a closed pipe): the run may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// A destination of a run's results. Its own troubles (a full disk) are its
/// own to report; only a reader that has gone ends the run.
pub trait Sink: Send {
    /// A probe is done. `anchor` gives its times of day.
    ///
    /// # Errors
    ///
    /// When nobody reads this destination any more.
    fn sample(&mut self, sample: &Sample, anchor: &Anchor) -> Result<(), Gone>;

    /// Something happened.
    ///
    /// # Errors
    ///
    /// When nobody reads this destination any more.
    fn notice(&mut self, notice: &Notice, anchor: &Anchor) -> Result<(), Gone> {
        let _ = (notice, anchor);
        Ok(())
    }

    /// By when [`Sink::tick`] wants to be called, at the latest.
    fn deadline(&self) -> Mono {
        Mono::NEVER
    }

    /// A moment in which the loop has nothing to do; `tally` is how it stands.
    ///
    /// # Errors
    ///
    /// When nobody reads this destination any more.
    fn tick(&mut self, now: Mono, tally: &Tally) -> Result<(), Gone> {
        let _ = (now, tally);
        Ok(())
    }

    /// Something that this one has found out itself and all are to be told, with the
    /// flow from 0; asked for after each [`Sink::tick`] of any.
    fn found(&mut self) -> Option<(Event, usize)> {
        None
    }

    /// Something else is about to be printed.
    fn aside(&mut self) {}

    /// Whether files were begun anew since this was asked last, the latest sample's
    /// row the first in them.
    fn has_turned(&mut self) -> bool {
        false
    }

    /// These are the figures from one such moment to the next, or to the end of the
    /// run, which is the `last` of them.
    fn stretch(&mut self, figures: &Tally, anchor: &Anchor, last: bool) {
        let _ = (figures, anchor, last);
    }

    /// Nothing more is measured: what was taken is written now, or counted. Gives
    /// how many rows were lost.
    fn settle(&mut self) -> u64 {
        0
    }

    /// The run is over.
    fn finish(&mut self, tally: &Tally, anchor: &Anchor);

    /// After [`Sink::finish`], when every other destination has finished too:
    /// gives how many lines never reached this one.
    fn close(&mut self) -> u64 {
        0
    }
}
