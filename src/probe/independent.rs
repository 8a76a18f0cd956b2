//! The loop's memory for probes that stand alone: each has a connection or a
//! datagram of its own, replies come in any order, and none is waited for
//! longer than its time-out. A pure machine like [`super::tracker`].

use std::collections::VecDeque;
use std::time::Duration;

use super::detail::Detail;
use super::link::{Arrival, Ended, Single, What};
use super::outlet::Output;
use super::run::Machine;
use super::sample::{Notice, Outcome, Sample};
use super::schedule::{Plan, standstill};
use super::tracker::Step;
use crate::clock::Mono;

/// Probes between the oldest without a row and the latest, about 130 bytes
/// each: 10 kHz with a time-out of five seconds.
const MAX_WINDOW: usize = 1 << 16;

/// Probes with a row whose outcome is remembered, to tell a second reply from a
/// late one.
const MAX_PAST: usize = 4096;

/// Copies of the last probe that may go unanswered at the end of a run, and
/// answers that are enough: from one a copied number and a counted one can look
/// alike.
const CLOSING_TRIES: u8 = 2;
/// How long each is waited for at most.
const CLOSING_WAIT: Duration = Duration::from_millis(500);

/// Copies of the last probe, sent when all else is over and something was lost: their
/// answers tell how far the reflector has counted, and whether it counts.
#[derive(Debug, Clone, Copy, Default)]
struct Closing {
    answered: u8,
    silent: u8,
    /// When the one under way is given up.
    until: Option<Mono>,
}

/// A probe that has been sent and has no row yet.
#[derive(Debug, Clone, Copy)]
struct Slot {
    due: Mono,
    sent: Mono,
    outcome: Option<Outcome>,
    detail: Detail,
}

/// The state of one run. See the module's text.
#[allow(clippy::struct_excessive_bools, reason = "four facts, independent of each other")]
#[derive(Debug)]
pub struct Independent {
    plan: Plan,
    /// Probes that may be under way at once; a further one waits.
    most: usize,
    /// Whether a probe is given up here at its time-out; else its link does it.
    gives_up: bool,
    start: Mono,
    now: Mono,
    /// The probe to be sent next.
    next: u64,
    /// Probes that this host was late for and did not send. Their numbers are left
    /// out in what is told, and not on the wire.
    skipped: u64,
    /// Rows come in probe order: what is done early waits for what is not.
    window: VecDeque<Slot>,
    /// How many at the window's head have an outcome.
    settled: usize,
    /// Whether the latest probes with a row were received.
    past: VecDeque<bool>,
    under_way: usize,
    free_since: Mono,
    /// The latest probe whose reply came.
    latest: u64,
    look_first: bool,
    stopping: bool,
    over: bool,
    /// `None`: nothing was lost, or nobody counts.
    closing: Option<Closing>,
    /// Probes go to a reflector, which may count them.
    reflected: bool,
    outputs: Vec<Output>,
}

impl Independent {
    /// A run that begins at `start`, with at most `most` probes under way.
    pub fn new(plan: Plan, start: Mono, most: usize, gives_up: bool) -> Self {
        Self {
            plan,
            most,
            gives_up,
            start,
            now: start,
            next: 1,
            skipped: 0,
            window: VecDeque::new(),
            settled: 0,
            past: VecDeque::new(),
            under_way: 0,
            free_since: start,
            latest: 0,
            look_first: false,
            stopping: false,
            over: false,
            closing: None,
            reflected: false,
            outputs: Vec::with_capacity(4),
        }
    }

    /// Probes go to a reflector: where some are lost, its count is asked for at
    /// the end.
    #[must_use]
    pub fn reflected(self) -> Self {
        Self { reflected: true, ..self }
    }

    /// The first probe is due so much later.
    #[must_use]
    pub fn delayed(self, by: Duration) -> Self {
        let start = self.start + by;
        Self { start, free_since: start, ..self }
    }

    /// The oldest probe without a row.
    fn oldest(&self) -> u64 {
        self.next - self.window.len() as u64
    }

    fn sending_is_over(&self) -> bool {
        let all_sent = self.plan.count > 0 && self.next + self.skipped > self.plan.count;
        let end = self.plan.end(self.start);
        let next = if self.plan.is_ping_pong() { self.now } else { self.due() };
        self.stopping || all_sent || next >= end || self.now >= end
    }

    /// When the next probe is due; never, while it has to wait for another.
    fn due(&self) -> Mono {
        if !self.plan.is_ping_pong() {
            self.plan.due(self.start, self.next + self.skipped)
        } else if self.under_way == 0 {
            self.free_since
        } else {
            Mono::NEVER
        }
    }

    fn has_room(&self) -> bool {
        self.under_way < self.most && self.window.len() < MAX_WINDOW
    }

    /// The head of the window as a sample, if its outcome is known.
    fn row(&mut self) -> Option<Sample> {
        let Slot { due, sent, outcome, detail } = *self.window.front()?;
        let number = match self.skipped {
            0 => self.oldest(),
            // The one that was due then.
            _ => self.plan.last_due(self.start, due),
        };
        let sample = Sample {
            number,
            due,
            sent,
            went_out: true,
            outcome: outcome?,
            detail,
            explained: None,
            flow: 1,
        };
        self.window.pop_front();
        if self.past.len() == MAX_PAST {
            self.past.pop_front();
        }
        let received = sample.rtt().is_some();
        self.past.push_back(received);
        if !received && self.reflected && self.closing.is_none() {
            self.closing = Some(Closing::default());
        }
        self.settled = self.settled.saturating_sub(1);
        Some(sample)
    }

    fn settle(
        &mut self,
        number: u64,
        sent: Option<Mono>,
        outcome: Outcome,
        detail: Detail,
    ) -> bool {
        let Some(slot) = self.slot(number).filter(|slot| slot.outcome.is_none()) else {
            return false;
        };
        slot.outcome = Some(outcome);
        slot.detail = detail;
        slot.sent = sent.unwrap_or(slot.sent);
        self.under_way -= 1;
        self.free_since = self.now;
        while self.window.get(self.settled).is_some_and(|slot| slot.outcome.is_some()) {
            self.settled += 1;
        }
        true
    }

    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        let place = usize::try_from(number.checked_sub(self.oldest())?).ok()?;
        self.window.get_mut(place)
    }

    /// When the oldest probe under way is given up.
    fn give_up_at(&self) -> Mono {
        let oldest = self.window.get(self.settled).filter(|_| self.gives_up);
        oldest.map_or(Mono::NEVER, |slot| slot.sent + self.plan.timeout)
    }

    fn on_single(&mut self, at: Mono, single: Single) {
        let Single { number, sent, ended, detail } = single;
        let outcome = match ended {
            Ended::Received => Outcome::Received { at, late: false },
            Ended::Lost => Outcome::Lost,
            Ended::Corrupt => Outcome::Corrupt,
        };
        if !self.settle(number, sent, outcome, detail) {
            if number + 1 == self.next && self.is_closing() {
                return self.on_counted(at, counted(&detail));
            }
            return self.on_surplus(at, number, detail);
        }
        if ended == Ended::Received {
            if number < self.latest {
                self.tell(Notice::Reordered { at, number });
            }
            self.latest = self.latest.max(number);
        }
    }

    fn is_closing(&self) -> bool {
        self.closing.is_some_and(|closing| closing.until.is_some())
    }

    /// A copy of the last probe has its answer, or will have none.
    fn on_counted(&mut self, at: Mono, sequence: Option<u32>) {
        if let Some(closing) = &mut self.closing {
            closing.until = None;
            let outcome =
                if sequence.is_some() { &mut closing.answered } else { &mut closing.silent };
            *outcome += 1;
        }
        self.tell(Notice::Counted { at, sequence });
    }

    /// What is still to be done when all probes have their rows.
    fn close(&mut self) -> Step {
        let wanted =
            |closing: &Closing| closing.answered < CLOSING_TRIES && closing.silent < CLOSING_TRIES;
        let (true, Some(closing)) = (self.latest > 0, self.closing.filter(wanted)) else {
            return Step::Finish;
        };
        match closing.until {
            None => Step::Send(self.next - 1),
            Some(until) if until > self.now => Step::Receive(until),
            Some(_) => {
                self.on_counted(self.now, None);
                Step::Report
            }
        }
    }

    /// A reply that nobody waits for.
    fn on_surplus(&mut self, at: Mono, number: u64, detail: Detail) {
        let sequence = counted(&detail);
        match self.was_received(number) {
            Some(true) => {
                let first = self.slot(number).and_then(|slot| counted(&slot.detail));
                let sequence = sequence.filter(|_| first != sequence);
                self.tell(Notice::Duplicate { at, number, sequence });
            }
            Some(false) => self.tell(Notice::TooLate { at, number, sequence }),
            None => {}
        }
    }

    /// Whether a probe that is done was received; `None` if it was never sent,
    /// or too long ago.
    fn was_received(&mut self, number: u64) -> Option<bool> {
        if let Some(slot) = self.slot(number) {
            return slot.outcome.map(|outcome| matches!(outcome, Outcome::Received { .. }));
        }
        let back = usize::try_from(self.oldest().checked_sub(number)?).ok()?;
        self.past.get(self.past.len().checked_sub(back)?).copied()
    }

    fn tell(&mut self, notice: Notice) {
        self.outputs.push(Output::Notice(notice));
    }
}

impl Machine for Independent {
    fn now(&self) -> Mono {
        self.now
    }

    fn outstanding(&self) -> usize {
        self.under_way
    }

    fn outputs(&mut self) -> &mut Vec<Output> {
        &mut self.outputs
    }

    fn stop(&mut self) {
        self.stopping = true;
    }

    fn leave(&mut self) {
        self.over = true;
        self.reflected = false;
    }

    fn step(&mut self) -> Step {
        if let Some(sample) = self.row() {
            self.outputs.push(Output::Sample(sample));
            return Step::Report;
        }
        let done = self.sending_is_over();
        self.over |= done && self.under_way == 0;
        if self.over || self.now >= self.give_up_at() {
            let oldest = self.oldest();
            if self.settle(oldest, None, Outcome::Lost, Detail::None) {
                return self.step();
            }
            return if self.reflected { self.close() } else { Step::Finish };
        }
        let due = if done || !self.has_room() { Mono::NEVER } else { self.due() };
        if due <= self.now && !self.look_first {
            self.look_first = true;
            return Step::Send(self.next);
        }
        self.look_first = false;
        let end = self.plan.end(self.start);
        let end = if end > self.now { end } else { Mono::NEVER };
        Step::Receive(due.min(end).min(self.give_up_at()))
    }

    fn on_sent(&mut self, at: Mono) {
        if let (true, Some(closing)) = (self.over, &mut self.closing) {
            closing.until = Some(at + CLOSING_WAIT.min(self.plan.timeout));
            return self.on_time(at);
        }
        let due = if self.plan.is_ping_pong() { self.free_since } else { self.due() };
        self.window.push_back(Slot {
            due: due.min(at),
            sent: at,
            outcome: None,
            detail: Detail::None,
        });
        self.next += 1;
        self.under_way += 1;
        self.on_time(at);
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        self.on_time(arrival.at);
        if let What::Single(single) = arrival.what {
            self.on_single(arrival.at, single);
        }
    }

    fn on_time(&mut self, at: Mono) {
        self.now = self.now.max(at);
    }

    fn on_wait_over(&mut self, began: Mono, until: Mono) {
        if let Some(span) = standstill(self.now, began, until) {
            let at = self.now;
            let skipped = self.plan.missed(self.start, self.next + self.skipped, at);
            self.skipped += skipped;
            self.tell(Notice::Pause { at, span, skipped });
        }
    }
}

/// The reflector's own number of a reply.
fn counted(detail: &Detail) -> Option<u32> {
    match detail {
        Detail::Twamp(detail) => Some(detail.sequence),
        _ => None,
    }
}

#[cfg(test)]
#[path = "independent_tests.rs"]
mod tests;
