//! The loop's memory for probes that stand alone: each has a connection or a
//! datagram of its own, replies come in any order, and none is waited for
//! longer than its time-out. A pure machine like [`super::tracker`].

use std::collections::VecDeque;

use super::detail::Detail;
use super::link::{Arrival, Ended, Single, What};
use super::outlet::Output;
use super::run::Machine;
use super::sample::{Notice, Outcome, Sample};
use super::schedule::Plan;
use super::tracker::{Step, standstill};
use crate::clock::Mono;

/// Probes between the oldest without a row and the latest, about 130 bytes
/// each: 10 kHz with a time-out of five seconds.
const MAX_WINDOW: usize = 1 << 16;

/// Probes with a row whose outcome is remembered, to tell a second reply from a
/// late one.
const MAX_PAST: usize = 4096;

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
            window: VecDeque::new(),
            settled: 0,
            past: VecDeque::new(),
            under_way: 0,
            free_since: start,
            latest: 0,
            look_first: false,
            stopping: false,
            over: false,
            outputs: Vec::with_capacity(4),
        }
    }

    /// The oldest probe without a row.
    fn oldest(&self) -> u64 {
        self.next - self.window.len() as u64
    }

    fn sending_is_over(&self) -> bool {
        let all_sent = self.plan.count > 0 && self.next > self.plan.count;
        let next = if self.plan.is_ping_pong() { self.now } else { self.due() };
        self.stopping || all_sent || next >= self.plan.end(self.start)
    }

    /// When the next probe is due; never, while it has to wait for another.
    fn due(&self) -> Mono {
        if !self.plan.is_ping_pong() {
            self.plan.due(self.start, self.next)
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
        let sample =
            Sample { number: self.oldest(), due, sent, went_out: true, outcome: outcome?, detail };
        self.window.pop_front();
        if self.past.len() == MAX_PAST {
            self.past.pop_front();
        }
        self.past.push_back(sample.rtt().is_some());
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
            return self.on_surplus(at, number, detail);
        }
        if ended == Ended::Received {
            if number < self.latest {
                self.tell(Notice::Reordered { at, number });
            }
            self.latest = self.latest.max(number);
        }
    }

    /// A reply that nobody waits for.
    fn on_surplus(&mut self, at: Mono, number: u64, detail: Detail) {
        match self.was_received(number) {
            Some(true) => {
                let sequence = match detail {
                    Detail::Twamp(detail) => Some(detail.sequence),
                    _ => None,
                };
                self.tell(Notice::Duplicate { at, number, sequence });
            }
            Some(false) => self.tell(Notice::TooLate { at, number }),
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
            return Step::Finish;
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
        if let Some(notice) = standstill(self.now, began, until) {
            self.tell(notice);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const MS: u64 = 1_000_000;

    fn machine(count: u64, most: usize) -> Independent {
        let plan = Plan {
            frequency: Duration::from_millis(10),
            count,
            duration: None,
            timeout: Duration::from_millis(100),
            reconnect: true,
        };
        Independent::new(plan, Mono(0), most, true)
    }

    fn reply(machine: &mut Independent, at: u64, number: u64) {
        let single = Single { number, sent: None, ended: Ended::Received, detail: Detail::None };
        machine.on_arrival(Arrival { at: Mono(at * MS), what: What::Single(single) });
    }

    /// Steps until something is to be waited for, and sends what is to be sent.
    fn play(machine: &mut Independent) -> (Vec<Output>, Option<Mono>) {
        let mut outputs = Vec::new();
        loop {
            let step = machine.step();
            outputs.append(machine.outputs());
            match step {
                Step::Report => {}
                Step::Send(_) => {
                    let now = machine.now();
                    machine.on_sent(now);
                }
                Step::Receive(until) => {
                    // Right after a send the wait is a look.
                    if until > machine.now() {
                        return (outputs, Some(until));
                    }
                }
                Step::Finish => return (outputs, None),
                other => panic!("{other:?}"),
            }
        }
    }

    fn numbers(outputs: &[Output]) -> Vec<(u64, bool)> {
        let row = |event: &Output| match event {
            Output::Sample(sample) => Some((sample.number, sample.rtt().is_some())),
            _ => None,
        };
        outputs.iter().filter_map(row).collect()
    }

    #[test]
    fn rows_keep_probe_order_whatever_order_replies_come_in() {
        let mut machine = machine(3, 9);
        for now in [0, 10, 20] {
            machine.on_time(Mono(now * MS));
            play(&mut machine);
        }
        reply(&mut machine, 21, 3);
        reply(&mut machine, 22, 2);
        let (outputs, _) = play(&mut machine);
        assert_eq!(numbers(&outputs), []);
        assert!(
            outputs.contains(&Output::Notice(Notice::Reordered { at: Mono(22 * MS), number: 2 }))
        );
        reply(&mut machine, 23, 1);
        let (outputs, wait) = play(&mut machine);
        assert_eq!(numbers(&outputs), [(1, true), (2, true), (3, true)]);
        assert_eq!(wait, None, "all sent, all answered");
    }

    #[test]
    fn a_probe_is_given_up_at_its_own_time_out_and_the_schedule_does_not_wait() {
        let mut machine = machine(20, 99);
        let mut outputs = Vec::new();
        for now in 0..200 {
            machine.on_time(Mono(now * MS));
            outputs.extend(play(&mut machine).0);
            if now % 10 == 5 && now > 10 {
                reply(&mut machine, now, now / 10 + 1);
            }
        }
        machine.on_time(Mono(400 * MS));
        outputs.extend(play(&mut machine).0);
        let rows = numbers(&outputs);
        assert_eq!(rows.len(), 20);
        assert_eq!(rows.iter().filter(|(_, received)| !received).count(), 1, "{rows:?}");
        assert_eq!(rows[0], (1, false));
        let late: Vec<_> = outputs
            .iter()
            .filter_map(|event| match event {
                Output::Sample(sample) => Some(sample.sent.0 - sample.due.0),
                _ => None,
            })
            .collect();
        assert!(late.iter().all(|&late| late == 0), "{late:?}");
    }

    #[test]
    fn second_and_late_replies_are_told_and_change_no_row() {
        let mut machine = machine(4, 9);
        play(&mut machine);
        reply(&mut machine, 1, 1);
        machine.on_time(Mono(10 * MS));
        play(&mut machine);
        reply(&mut machine, 11, 2);
        reply(&mut machine, 12, 2);
        let (outputs, _) = play(&mut machine);
        assert!(outputs.contains(&Output::Notice(Notice::Duplicate {
            at: Mono(12 * MS),
            number: 2,
            sequence: None
        })));
        machine.on_time(Mono(20 * MS));
        play(&mut machine);
        machine.on_time(Mono(30 * MS));
        play(&mut machine);
        machine.on_time(Mono(121 * MS));
        play(&mut machine);
        reply(&mut machine, 122, 3);
        let (outputs, _) = play(&mut machine);
        assert!(
            outputs.contains(&Output::Notice(Notice::TooLate { at: Mono(122 * MS), number: 3 }))
        );
        reply(&mut machine, 123, 77);
        assert_eq!(play(&mut machine).0, [], "a number never sent is nothing");
    }

    #[test]
    fn no_more_are_under_way_than_allowed() {
        let mut machine = machine(0, 2);
        machine.on_time(Mono(50 * MS));
        play(&mut machine);
        assert_eq!(machine.outstanding(), 2);
        reply(&mut machine, 51, 1);
        play(&mut machine);
        assert_eq!(machine.outstanding(), 2);
        machine.leave();
        let (outputs, wait) = play(&mut machine);
        assert_eq!((numbers(&outputs).len(), wait), (2, None));
    }
}
