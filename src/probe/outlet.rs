//! From the thread that measures to the one that records: outputs travel in
//! batches, and the measuring side never waits, allocates or formats.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use super::link::TcpTotals;
use super::sample::{Notice, Sample};
use crate::clock::{Anchor, Mono};
use crate::wire::stamp::Answer;

/// Something that the measuring thread has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// What follows is of the lane at this place, until the next of these.
    Lane(usize),
    /// A probe is done.
    Sample(Sample),
    /// Something happened.
    Notice(Notice),
    /// Both clocks, read together.
    Clocks(Anchor),
    /// The user wants to see how it stands.
    Show(Box<Standing>),
    /// The run is over; each lane stands so.
    End(Box<[Standing]>),
}

/// How a run stands, as far as only the measuring side knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// When.
    pub at: Mono,
    /// Probes sent whose outcome is still open.
    pub outstanding: usize,
    /// What the kernel has counted.
    pub tcp: Option<TcpTotals>,
    /// What came back of extensions.
    pub answers: Vec<Answer>,
}

/// Outputs on their way together.
pub type Batch = Vec<Output>;

/// Outputs in a full batch: at the highest rates one wake-up of the recorder in
/// some milliseconds.
const BATCH: usize = 256;
/// Room in a full batch for what is no sample, so that an outage is still told
/// where samples no longer are.
const SPARE: usize = 16;
/// Batches in all: 16,000 outputs, a quarter of a second at the highest rates. A
/// recorder that gets no processor for longer costs samples.
const BATCHES: usize = 64;
/// A batch goes on its way at this age, or before a wait that is longer.
const OLDEST: Duration = Duration::from_millis(50);
/// The same while replies are outstanding: what is done between a send and its
/// reply could end up in the round-trip time.
const OLDEST_UNANSWERED: Duration = Duration::from_millis(500);

/// The measuring side. Any number of machines may push into one.
#[derive(Debug)]
pub struct Outlet {
    batch: Batch,
    /// When the first output of the batch was pushed; never, if it is empty.
    began: Mono,
    to: SyncSender<Batch>,
    empties: Receiver<Batch>,
    /// Empty ones at hand; the one that came back last is used first, so that as
    /// little memory is touched as the recorder's pace asks for.
    at_hand: Vec<Batch>,
    gone: Arc<AtomicBool>,
    /// Samples that found every batch full, and were not told of yet.
    missed: u64,
}

/// The recording side.
#[derive(Debug)]
pub struct Inlet {
    from: Receiver<Batch>,
    empties: SyncSender<Batch>,
    gone: Arc<AtomicBool>,
}

/// What a wait for a batch brought.
#[derive(Debug)]
pub enum Delivery {
    /// A batch.
    Batch(Batch),
    /// Nothing yet.
    Nothing,
    /// The measuring side has ended; nothing more comes.
    Ended,
}

/// Both sides, with all batches that they will ever use.
pub fn outlet() -> (Outlet, Inlet) {
    let (to, from) = sync_channel(BATCHES);
    let (back, empties) = sync_channel(BATCHES);
    let gone = Arc::new(AtomicBool::new(false));
    let empty = || Batch::with_capacity(BATCH + SPARE);
    let at_hand = (1..BATCHES).map(|_| empty()).collect();
    let inlet = Inlet { from, empties: back, gone: Arc::clone(&gone) };
    (Outlet { batch: empty(), began: Mono::NEVER, to, empties, at_hand, gone, missed: 0 }, inlet)
}

impl Outlet {
    /// Takes what a machine found out.
    #[inline]
    pub fn take(&mut self, outputs: &mut Vec<Output>, now: Mono) {
        for output in outputs.drain(..) {
            self.push(output, now);
        }
    }

    /// Takes one output. Where every batch is full, a sample is counted as not
    /// recorded.
    #[inline]
    pub fn push(&mut self, output: Output, now: Mono) {
        if self.batch.len() >= BATCH {
            self.hand_over(now);
        }
        let is_sample = matches!(output, Output::Sample(_));
        if self.batch.len() < if is_sample { BATCH } else { BATCH + SPARE } {
            // Trouble is told at the next wait: somebody may look at it while it lasts.
            let urgent = !is_sample && matches!(output, Output::Notice(Notice::Begun(_)));
            self.began = if urgent { Mono(0) } else { self.began.min(now) };
            self.batch.push(output);
        } else if is_sample {
            self.missed += 1;
        }
    }

    /// By when a wait is to end, so that the batch gets on its way in time.
    #[inline]
    pub fn due(&self, outstanding: usize) -> Mono {
        self.began + if outstanding == 0 { OLDEST } else { OLDEST_UNANSWERED }
    }

    /// Called before each wait until `until`: sends the batch on its way if it is
    /// old enough, or if the wait is long and no reply is expected in it.
    #[inline]
    pub fn before_wait(&mut self, now: Mono, until: Mono, outstanding: usize) {
        let long = outstanding == 0 && until > now + OLDEST;
        if !self.batch.is_empty() && (long || now >= self.due(outstanding)) {
            self.hand_over(now);
        }
    }

    /// Sends the batch on its way, if there is an empty one to go on with.
    fn hand_over(&mut self, now: Mono) {
        // At most as many as it was made with.
        self.at_hand.extend(self.empties.try_iter());
        let Some(empty) = self.at_hand.pop() else { return };
        // Never full: there are no more batches than it has room for. Without a
        // recorder they are lost, and so are all that follow.
        let _ = self.to.try_send(std::mem::replace(&mut self.batch, empty));
        self.began = Mono::NEVER;
        if self.missed > 0 {
            let count = std::mem::take(&mut self.missed);
            self.push(Output::Notice(Notice::NotRecorded { at: now, count }), now);
        }
    }

    /// The user wants to see how it stands, now.
    pub fn show(&mut self, standing: Standing) {
        let now = standing.at;
        self.push(Output::Show(Box::new(standing)), now);
        self.hand_over(now);
    }

    /// Nobody reads the results any more: the run may end.
    #[inline]
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// The last word. Nothing is measured any more, so this waits for room.
    pub fn end(mut self, standings: Vec<Standing>) {
        let at = standings.iter().map(|standing| standing.at).max().unwrap_or(Mono(0));
        while self.missed > 0 || self.batch.len() >= BATCH {
            // None means that there is no recorder any more.
            let empty = self.at_hand.pop().or_else(|| self.empties.recv().ok());
            let Some(empty) = empty else { return };
            let _ = self.to.send(std::mem::replace(&mut self.batch, empty));
            if self.missed > 0 {
                let count = std::mem::take(&mut self.missed);
                self.batch.push(Output::Notice(Notice::NotRecorded { at, count }));
            }
        }
        self.batch.push(Output::End(standings.into_boxed_slice()));
        let _ = self.to.send(self.batch);
    }
}

impl Inlet {
    /// Waits for a batch, at most this long.
    pub fn receive(&self, most: Duration) -> Delivery {
        match self.from.recv_timeout(most) {
            Ok(batch) => Delivery::Batch(batch),
            Err(RecvTimeoutError::Timeout) => Delivery::Nothing,
            Err(RecvTimeoutError::Disconnected) => Delivery::Ended,
        }
    }

    /// Gives a batch back to be filled again.
    pub fn recycle(&self, mut batch: Batch) {
        batch.clear();
        // The measuring side may have ended.
        let _ = self.empties.try_send(batch);
    }

    /// Has the run end: nobody reads its results any more.
    pub fn tell_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::{Detail, Outcome};

    const MS: u64 = 1_000_000;

    fn sample(number: u64) -> Output {
        let at = Mono(number);
        Output::Sample(Sample {
            number,
            due: at,
            sent: at,
            went_out: true,
            outcome: Outcome::Lost,
            detail: Detail::None,
            explained: None,
            flow: 1,
        })
    }

    fn received(inlet: &Inlet) -> Vec<Output> {
        let mut all = Vec::new();
        while let Delivery::Batch(batch) = inlet.receive(Duration::ZERO) {
            all.extend(batch.iter().cloned());
            inlet.recycle(batch);
        }
        all
    }

    #[test]
    fn a_batch_leaves_when_it_is_full_or_old_or_before_a_long_wait() {
        let (mut outlet, inlet) = outlet();
        for number in 0..=BATCH as u64 {
            outlet.push(sample(number), Mono(0));
        }
        assert_eq!(received(&inlet).len(), BATCH, "a full one");
        outlet.before_wait(Mono(49 * MS), Mono(60 * MS), 0);
        assert_eq!(received(&inlet).len(), 0, "a young one before a short wait");
        assert_eq!(outlet.due(0), Mono(50 * MS));
        outlet.before_wait(Mono(50 * MS), Mono(60 * MS), 0);
        assert_eq!(received(&inlet).len(), 1, "an old one");
        outlet.push(sample(1), Mono(60 * MS));
        outlet.before_wait(Mono(61 * MS), Mono(200 * MS), 1);
        assert_eq!(received(&inlet).len(), 0, "a reply is expected");
        outlet.before_wait(Mono(61 * MS), Mono(200 * MS), 0);
        assert_eq!(received(&inlet).len(), 1, "before a long wait");
        assert_eq!(outlet.due(0), Mono::NEVER, "an empty one is never due");
    }

    #[test]
    fn a_recorder_that_stands_still_costs_samples_and_they_are_counted() {
        let (mut outlet, inlet) = outlet();
        let room = (BATCH * BATCHES) as u64;
        for number in 1..=room + 412 {
            outlet.push(sample(number), Mono(number));
        }
        let heard = received(&inlet);
        assert_eq!(heard.len(), BATCH * (BATCHES - 1));
        let standing = Standing { at: Mono(room), outstanding: 0, tcp: None, answers: Vec::new() };
        outlet.end(vec![standing.clone()]);
        let heard = received(&inlet);
        let missed = Notice::NotRecorded { at: Mono(room), count: 412 };
        assert_eq!(heard.len(), BATCH + 2, "the last batch, what was missed, and the end");
        assert_eq!(heard[BATCH..], [Output::Notice(missed), Output::End(Box::new([standing]))]);
    }
}
