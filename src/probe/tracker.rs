//! The loop's memory as a pure machine: asked what to do next, told what
//! happened. Schedule, lateness, losses, back-off and the order of rows are
//! decided here, without a clock or a socket.

use std::collections::VecDeque;
use std::time::Duration;

use super::detail::Detail;
use super::link::{Arrival, Reopened, What};
use super::outlet::Output;
use super::run::Machine;
use super::sample::{DropCause, Notice, Outcome, Sample};
use super::schedule::{BackOff, Plan};
use crate::clock::Mono;

/// Unanswered probes kept in mind, 16 bytes each. 1 kHz over a dead path with
/// the default time-out needs 15,000.
const MAX_OUTSTANDING: usize = 1 << 20;

/// A wait that ends this much too late is no scheduler's delay any more: the
/// host, or the machine below it, stood still.
const PAUSE: Duration = Duration::from_millis(20);

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this probe now.
    Send(u64),
    /// Wait for a reply until then.
    Receive(Mono),
    /// Wait without a connection until then.
    Pause(Mono),
    /// Connect again, or go on with it until then.
    Reopen(Mono),
    /// Look at [`Machine::outputs`] and ask again.
    Report,
    /// The run is over.
    Finish,
}

#[derive(Debug, Clone, Copy)]
struct Outstanding {
    due: Mono,
    sent: Mono,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up { since: Mono },
    Down { since: Mono, retry: Mono },
    Over,
}

/// What is to be said of a wait that began at `began`, was to end at `until` and
/// did so `now`: nothing, unless this host stood still.
pub(super) fn standstill(now: Mono, began: Mono, until: Mono) -> Option<Notice> {
    let stood_still = until > began && now >= until + PAUSE;
    stood_still.then(|| Notice::Pause { at: now, span: now.since(until) })
}

/// The state of one run. See the module's text.
#[derive(Debug)]
pub struct Tracker {
    plan: Plan,
    start: Mono,
    now: Mono,
    state: State,
    /// The probe to be sent next; those before it are outstanding or done.
    next: u64,
    outstanding: VecDeque<Outstanding>,
    /// How many of the oldest outstanding were reported as overdue.
    overdue: usize,
    /// When the last byte came, or the connection.
    heard: Mono,
    last_sent: Mono,
    /// When a ping-pong probe may go: the last reply, or the connection.
    free_since: Mono,
    /// A send is followed by a look for replies, however late the schedule is:
    /// a burst of late sends must not keep a reply waiting for its stamp.
    look_first: bool,
    /// When the last outage ended, if there was one.
    outage_end: Option<Mono>,
    stopping: bool,
    back_off: BackOff,
    attempt: u32,
    dialing: bool,
    /// What was found out and not yet handed on.
    outputs: Vec<Output>,
    /// The plan's own, kept because they are asked for in every turn.
    end: Mono,
    silence: Duration,
}

impl Tracker {
    /// A run that begins at `start`, its connection made.
    pub fn new(plan: Plan, start: Mono) -> Self {
        Self {
            plan,
            start,
            now: start,
            state: State::Up { since: start },
            next: 1,
            outstanding: VecDeque::new(),
            overdue: 0,
            heard: start,
            last_sent: start,
            free_since: start,
            look_first: false,
            outage_end: None,
            stopping: false,
            back_off: BackOff::default(),
            attempt: 0,
            dialing: false,
            outputs: Vec::with_capacity(4),
            end: plan.end(start),
            silence: plan.silence(),
        }
    }

    fn step_up(&mut self) -> Step {
        let over = self.sending_is_over();
        if over && (self.outstanding.is_empty() || self.now >= self.last_sent + self.plan.timeout) {
            self.finish_run();
            return self.step();
        }
        if self.now >= self.silent_at() {
            self.go_down(DropCause::Silent {
                span: self.silence,
                outstanding: self.outstanding.len(),
            });
            return self.step();
        }
        if let Some(overdue) = self.outstanding.get(self.overdue)
            && self.now >= overdue.sent + self.plan.timeout
        {
            let number = self.oldest() + self.overdue as u64;
            let at = self.now;
            let age = at.since(overdue.sent);
            self.overdue += 1;
            self.tell(Notice::Overdue { at, number, age });
            return Step::Report;
        }
        let due = if over { Mono::NEVER } else { self.due() };
        // Also what fell due while the handshake's end was still unnoticed.
        if !self.plan.is_ping_pong() && self.outage_end.is_some_and(|end| due <= end) {
            self.never_sent(due);
            return Step::Report;
        }
        if due <= self.now && !self.look_first {
            self.look_first = true;
            return Step::Send(self.next);
        }
        self.look_first = false;
        Step::Receive(self.wake(due, over))
    }

    fn step_down(&mut self, retry: Mono) -> Step {
        if self.sending_is_over() {
            self.finish_run();
            return self.step();
        }
        let due = if self.plan.is_ping_pong() { Mono::NEVER } else { self.due() };
        if due <= self.now {
            self.never_sent(due);
            return Step::Report;
        }
        let until = due.min(self.end);
        if self.dialing || retry <= self.now {
            self.dialing = true;
            Step::Reopen(until)
        } else {
            Step::Pause(until.min(retry))
        }
    }

    /// The next probe fell due while there was no connection.
    fn never_sent(&mut self, due: Mono) {
        let number = self.next;
        self.next += 1;
        self.outputs.push(Output::Sample(Sample {
            number,
            due,
            sent: due,
            went_out: false,
            outcome: Outcome::Lost,
            detail: Detail::None,
        }));
    }

    /// The end of a wait for replies: whatever has to be decided first.
    fn wake(&self, due: Mono, over: bool) -> Mono {
        let overdue = self.outstanding.get(self.overdue);
        let overdue = overdue.map_or(Mono::NEVER, |probe| probe.sent + self.plan.timeout);
        let last = if over { self.last_sent + self.plan.timeout } else { Mono::NEVER };
        let end = self.end;
        let end = if end > self.now { end } else { Mono::NEVER };
        due.min(overdue).min(self.silent_at()).min(last).min(end)
    }

    /// When the next probe is due; never, while a ping-pong reply is out.
    fn due(&self) -> Mono {
        if !self.plan.is_ping_pong() {
            self.plan.due(self.start, self.next)
        } else if self.outstanding.is_empty() {
            self.free_since
        } else {
            Mono::NEVER
        }
    }

    fn sending_is_over(&self) -> bool {
        let all_sent = self.plan.count > 0 && self.next > self.plan.count;
        let next = if self.plan.is_ping_pong() { self.now } else { self.due() };
        self.stopping || all_sent || next >= self.end
    }

    /// When silence becomes a drop.
    fn silent_at(&self) -> Mono {
        self.outstanding
            .front()
            .map_or(Mono::NEVER, |oldest| oldest.sent.max(self.heard) + self.silence)
    }

    /// The oldest outstanding probe's number.
    fn oldest(&self) -> u64 {
        self.next - self.outstanding.len() as u64
    }

    /// The oldest outstanding probe is done.
    fn conclude(&mut self, outcome: Outcome, detail: Detail) {
        let number = self.oldest();
        let probe = self.outstanding.pop_front();
        let Outstanding { due, sent } =
            probe.unwrap_or(Outstanding { due: self.now, sent: self.now });
        self.overdue = self.overdue.saturating_sub(1);
        let sample = Sample { number, due, sent, went_out: true, outcome, detail };
        self.outputs.push(Output::Sample(sample));
    }

    fn on_reply(&mut self, at: Mono, detail: Detail) {
        self.heard = at;
        let Some(oldest) = self.outstanding.front() else {
            return self.go_down(DropCause::Unasked);
        };
        let late = at.since(oldest.sent) > self.plan.timeout;
        self.conclude(Outcome::Received { at, late }, detail);
        self.free_since = at;
        // Only a reply proves that a connection is worth having: a full server
        // accepts and closes at once.
        self.back_off = BackOff::default();
    }

    fn retry_at(&mut self, at: Mono) {
        self.dialing = false;
        if let State::Down { retry, .. } = &mut self.state {
            *retry = at;
        }
    }

    /// The connection is no more. Nothing has got through since the oldest
    /// unanswered probe was sent, or the last byte came, whichever was later.
    fn go_down(&mut self, cause: DropCause) {
        let State::Up { since: connected } = self.state else {
            return;
        };
        let oldest = self.outstanding.front();
        let since = oldest.map_or(self.now, |oldest| oldest.sent.max(self.heard));
        let at = self.now;
        let lived = at.since(connected);
        self.tell(Notice::Down { at, since, lived, cause });
        self.state = State::Down { since, retry: at + self.back_off.pause() };
        self.stopping |= !self.plan.reconnect;
    }

    fn finish_run(&mut self) {
        if let State::Down { since, .. } = self.state {
            let at = self.now;
            self.tell(Notice::EndedDown { at, outage: at.since(since) });
        }
        self.state = State::Over;
    }

    fn tell(&mut self, notice: Notice) {
        self.outputs.push(Output::Notice(notice));
    }
}

impl Machine for Tracker {
    fn now(&self) -> Mono {
        self.now
    }

    fn outstanding(&self) -> usize {
        self.outstanding.len()
    }

    fn outputs(&mut self) -> &mut Vec<Output> {
        &mut self.outputs
    }

    fn stop(&mut self) {
        self.stopping = true;
    }

    fn leave(&mut self) {
        self.finish_run();
    }

    fn step(&mut self) -> Step {
        match self.state {
            State::Up { .. } => self.step_up(),
            State::Down { .. } | State::Over if !self.outstanding.is_empty() => {
                self.conclude(Outcome::Lost, Detail::None);
                Step::Report
            }
            State::Down { retry, .. } => self.step_down(retry),
            State::Over => Step::Finish,
        }
    }

    fn on_sent(&mut self, at: Mono) {
        let due = if self.plan.is_ping_pong() { self.free_since } else { self.due() };
        self.outstanding.push_back(Outstanding { due: due.min(at), sent: at });
        self.next += 1;
        self.last_sent = at;
        self.on_time(at);
        if self.outstanding.len() >= MAX_OUTSTANDING {
            self.go_down(DropCause::TooManyOutstanding);
        }
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        self.on_time(arrival.at);
        match arrival.what {
            What::Reply(detail) => self.on_reply(arrival.at, detail),
            What::Corrupt => {
                let number = self.oldest();
                self.conclude(Outcome::Corrupt, Detail::None);
                self.go_down(DropCause::Corrupt { number });
            }
            What::Progress => self.heard = arrival.at,
            What::Nothing | What::Single(_) => {}
            What::Down(cause) => self.go_down(cause),
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

    fn on_reopened(&mut self, reopened: Reopened) {
        match reopened {
            Reopened::Pending { at } => self.on_time(at),
            Reopened::Failed { at, address, why } => {
                self.on_time(at);
                self.attempt += 1;
                let next = self.back_off.pause();
                self.retry_at(at + next);
                let number = self.attempt;
                self.tell(Notice::Attempt { at, number, address, why, next });
            }
            Reopened::Up { at, address, connect } => {
                self.on_time(at);
                let State::Down { since, .. } = self.state else {
                    return;
                };
                self.state = State::Up { since: at };
                self.outage_end = Some(at);
                self.heard = at;
                self.free_since = at;
                self.dialing = false;
                self.attempt = 0;
                self.tell(Notice::Up { at, address, outage: at.since(since), connect });
            }
        }
    }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
