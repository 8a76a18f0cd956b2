//! The loop's memory as a pure machine: asked what to do next, told what
//! happened. Schedule, lateness, losses, back-off and the order of rows are
//! decided here, without a clock or a socket.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::detail::Detail;
use super::event::{Event, EventKind};
use super::link::{Act, Arrival, Connection, Done, What};
use super::outlet::Output;
use super::rescue::{Order, Policy, Rescue};
use super::run::Machine;
use super::sample::{DropCause, Notice, Outcome, Sample};
use super::schedule::{Plan, standstill};
use crate::clock::Mono;

/// Unanswered probes kept in mind, 16 bytes each. 1 kHz over a dead path with
/// the default time-out needs 15,000.
const MAX_OUTSTANDING: usize = 1 << 20;

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Send this probe now.
    Send(u64),
    /// Wait for a reply until then.
    Receive(Mono),
    /// Do this with connections.
    Act(Act),
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
    Down,
    Over,
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
    /// Probes that this host was late for and did not send. Their numbers are left
    /// out in what is told, and not on the wire.
    skipped: u64,
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
    rescue: Rescue,
    /// When this host went on after it stood still: until then silence is its own.
    stood_until: Mono,
    /// When the name is to be looked up again.
    resolve_at: Mono,
    /// The bound on what is outstanding was told.
    full: bool,
    /// What was found out and not yet handed on.
    outputs: Vec<Output>,
    /// The plan's own, kept because they are asked for in every turn.
    end: Mono,
}

/// A blocking read comes back at least this often; a wait that ends sooner is
/// made another way, which costs a system call more.
const BLOCKED: Duration = Duration::from_millis(600);

impl Tracker {
    /// A run that begins at `start`, its connection made.
    pub fn new(plan: Plan, start: Mono) -> Self {
        Self::over(plan, start, None)
    }

    /// The same over this connection.
    pub fn over(plan: Plan, start: Mono, connection: Option<Connection>) -> Self {
        let policy = Policy {
            scouts: plan.scouts,
            keep_port: plan.keep_port,
            timeout: plan.timeout,
            interval: plan.frequency,
        };
        Self {
            plan,
            start,
            now: start,
            state: State::Up { since: start },
            next: 1,
            skipped: 0,
            outstanding: VecDeque::new(),
            overdue: 0,
            heard: start,
            last_sent: start,
            free_since: start,
            look_first: false,
            outage_end: None,
            stopping: false,
            rescue: Rescue::new(policy, connection),
            stood_until: start,
            resolve_at: plan.re_resolve.map_or(Mono::NEVER, |span| start + span),
            full: false,
            outputs: Vec::with_capacity(4),
            end: plan.end(start),
        }
    }

    /// A run without a connection yet: one is made as after a drop, from `local` where
    /// that is given.
    pub fn without(plan: Plan, start: Mono, local: Option<SocketAddr>, remote: SocketAddr) -> Self {
        let mut tracker = Self::over(plan, start, None);
        tracker.state = State::Down;
        tracker.rescue.start_without(start, local, remote);
        tracker.tell_rescue();
        tracker
    }

    fn step_up(&mut self) -> Step {
        let over = self.sending_is_over();
        if over && (self.outstanding.is_empty() || self.now >= self.last_sent + self.plan.timeout) {
            self.finish_run();
            return self.step();
        }
        if self.now >= self.give_up_at() {
            self.go_down(DropCause::NoReply { span: self.plan.give_up.unwrap_or_default() });
            return self.step();
        }
        if let Some(step) = self.step_rescue() {
            return step;
        }
        if let Some(overdue) = self.outstanding.get(self.overdue)
            && self.now >= overdue.sent + self.plan.timeout
        {
            let number = self.number_of(self.oldest() + self.overdue as u64, overdue.due);
            let at = self.now;
            let age = at.since(overdue.sent);
            self.overdue += 1;
            let number = number.saturating_sub(self.plan.warmup);
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

    /// What is to be done about silence, if anything.
    #[inline]
    fn step_rescue(&mut self) -> Option<Step> {
        if self.now >= self.resolve_at {
            self.resolve_at = self.now + self.plan.re_resolve.unwrap_or_default();
            return Some(Step::Act(Act::Resolve));
        }
        if self.rescue.is_idle() && self.now < self.stall_at() {
            return None;
        }
        if let (State::Up { .. }, Some(since)) = (self.state, self.silent_since()) {
            self.rescue.watch(self.now, since, since.max(self.stood_until));
        }
        let order = self.rescue.step(self.now);
        let told = self.tell_rescue();
        match order {
            Some(Order::Act(act)) => Some(Step::Act(act)),
            Some(Order::GiveUp(cause)) => {
                self.go_down(cause);
                Some(self.step())
            }
            None => told.then_some(Step::Report),
        }
    }

    fn tell_rescue(&mut self) -> bool {
        let notices = self.rescue.notices();
        let any = !notices.is_empty();
        self.outputs.extend(notices.drain(..).map(Output::Notice));
        any
    }

    /// Since when nothing came though something is due.
    #[inline]
    fn silent_since(&self) -> Option<Mono> {
        self.outstanding.front().map(|oldest| oldest.sent.max(self.heard))
    }

    /// When silence becomes a stall.
    #[inline]
    fn stall_at(&self) -> Mono {
        let since = self.silent_since().filter(|_| self.rescue.connection().is_some());
        let since = since.map(|since| since.max(self.stood_until));
        since.map_or(Mono::NEVER, |since| since + self.rescue.stall_after())
    }

    fn step_down(&mut self) -> Step {
        if self.sending_is_over() {
            self.finish_run();
            return self.step();
        }
        let due = if self.plan.is_ping_pong() { Mono::NEVER } else { self.due() };
        if due <= self.now {
            self.never_sent(due);
            return Step::Report;
        }
        if let Some(step) = self.step_rescue() {
            return step;
        }
        Step::Receive(due.min(self.end).min(self.rescue.wake()))
    }

    /// The next probe fell due while there was no connection.
    fn never_sent(&mut self, due: Mono) {
        let number = self.next + self.skipped;
        self.next += 1;
        self.tell_sample(Sample {
            number,
            due,
            sent: due,
            went_out: false,
            outcome: Outcome::Lost,
            detail: Detail::None,
            explained: None,
            flow: 1,
        });
    }

    /// Packets of the warm-up are left out of what is told, and of the numbers.
    #[inline]
    fn tell_sample(&mut self, sample: Sample) {
        if let Some(number @ 1..) = sample.number.checked_sub(self.plan.warmup) {
            self.outputs.push(Output::Sample(Sample { number, ..sample }));
        }
    }

    /// The end of a wait for replies: whatever has to be decided first.
    fn wake(&self, due: Mono, over: bool) -> Mono {
        let overdue = self.outstanding.get(self.overdue);
        let overdue = overdue.map_or(Mono::NEVER, |probe| probe.sent + self.plan.timeout);
        let last = if over { self.last_sent + self.plan.timeout } else { Mono::NEVER };
        let end = self.end;
        let end = if end > self.now { end } else { Mono::NEVER };
        // A stall is noticed soon enough when a blocking read comes back.
        let stall = if self.rescue.is_idle() {
            self.stall_at().max(self.now + BLOCKED)
        } else {
            self.rescue.wake()
        };
        let others = last.min(end).min(self.give_up_at()).min(self.resolve_at);
        due.min(overdue).min(stall).min(others)
    }

    /// When the next probe is due; never, while a ping-pong reply is out.
    fn due(&self) -> Mono {
        if self.outstanding.len() >= MAX_OUTSTANDING {
            Mono::NEVER
        } else if !self.plan.is_ping_pong() {
            self.plan.due(self.start, self.next + self.skipped)
        } else if self.outstanding.is_empty() {
            self.free_since
        } else {
            Mono::NEVER
        }
    }

    fn sending_is_over(&self) -> bool {
        let all_sent = self.plan.count > 0 && self.next + self.skipped > self.plan.count;
        let next =
            if self.plan.is_ping_pong() { self.now } else { self.due().max(self.late_end()) };
        self.stopping || all_sent || next >= self.end
    }

    /// Now, where a schedule that cannot be held has not got to its end in time:
    /// the duration is a bound and no number of packets.
    fn late_end(&self) -> Mono {
        if self.now >= self.end { self.now } else { Mono(0) }
    }

    /// A probe's number as it is told: the one that was due then.
    fn number_of(&self, place: u64, due: Mono) -> u64 {
        if self.skipped == 0 { place } else { self.plan.last_due(self.start, due) }
    }

    /// When an unanswered probe ends the connection.
    fn give_up_at(&self) -> Mono {
        match (self.plan.give_up, self.outstanding.front()) {
            (Some(span), Some(oldest)) => oldest.sent + span,
            _ => Mono::NEVER,
        }
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
        let number = self.number_of(number, due);
        self.overdue = self.overdue.saturating_sub(1);
        let sample =
            Sample { number, due, sent, went_out: true, outcome, detail, explained: None, flow: 1 };
        self.tell_sample(sample);
    }

    fn on_reply(&mut self, at: Mono, detail: Detail) {
        let Some(oldest) = self.outstanding.front() else {
            self.heard = at;
            return self.go_down(DropCause::Unasked);
        };
        let rtt = at.since(oldest.sent);
        let since = oldest.sent.max(self.heard);
        if self.rescue.is_idle() && at >= self.stall_at() {
            self.rescue.unnoticed(since, at);
        } else {
            self.rescue.on_reply(at, rtt);
        }
        self.heard = at;
        let late = rtt > self.plan.timeout;
        self.conclude(Outcome::Received { at, late }, detail);
        // After the packet, which tells of the silence that it ended.
        self.tell_rescue();
        self.free_since = at;
    }

    /// The connection is no more. Nothing has got through since the oldest
    /// unanswered probe was sent, or the last byte came, whichever was later.
    fn go_down(&mut self, cause: DropCause) {
        let State::Up { since: connected } = self.state else {
            return;
        };
        let since = self.silent_since().unwrap_or(self.now);
        let at = self.now;
        let lived = at.since(connected);
        let local = self.rescue.connection().and_then(|connection| connection.local);
        self.rescue.on_down(at, since, &cause, self.plan.reconnect);
        self.tell(Notice::Down { at, lived, local, cause });
        self.tell_rescue();
        self.state = State::Down;
        self.stopping |= !self.plan.reconnect;
    }

    /// The name leads elsewhere now.
    fn on_addresses(&mut self, at: Mono, addresses: &[SocketAddr]) {
        let former = self.rescue.connection().map(|connection| connection.remote);
        let mut event = Event::new(EventKind::AddressChange, at, at);
        event.former = former;
        event.remote = addresses.first().copied();
        self.tell(Notice::Event(Box::new(event)));
    }

    fn finish_run(&mut self) {
        self.rescue.finish(self.now);
        self.tell_rescue();
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
            State::Down | State::Over if !self.outstanding.is_empty() => {
                self.conclude(Outcome::Lost, Detail::None);
                Step::Report
            }
            State::Down => self.step_down(),
            State::Over => Step::Finish,
        }
    }

    fn on_sent(&mut self, at: Mono) {
        let due = if self.plan.is_ping_pong() { self.free_since } else { self.due() };
        self.outstanding.push_back(Outstanding { due: due.min(at), sent: at });
        self.next += 1;
        self.last_sent = at;
        self.on_time(at);
        let outstanding = self.outstanding.len();
        if outstanding >= MAX_OUTSTANDING && !std::mem::replace(&mut self.full, true) {
            self.tell(Notice::TooManyOutstanding { at: self.now, outstanding });
        }
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        self.on_time(arrival.at);
        match arrival.what {
            What::Reply(detail) => self.on_reply(arrival.at, detail),
            What::Corrupt => {
                let due = self.outstanding.front().map_or(self.now, |probe| probe.due);
                let number = self.number_of(self.oldest(), due);
                self.conclude(Outcome::Corrupt, Detail::None);
                self.go_down(DropCause::Corrupt { number });
            }
            What::Progress => {
                self.rescue.on_progress(arrival.at);
                self.heard = arrival.at;
            }
            What::Nothing | What::Single(_) => {}
            What::Down(cause) => self.go_down(cause),
            What::Attempt(attempted) => self.rescue.on_attempt(arrival.at, *attempted),
            What::Addresses(addresses) => self.on_addresses(arrival.at, &addresses),
        }
    }

    fn on_time(&mut self, at: Mono) {
        self.now = self.now.max(at);
    }

    fn on_wait_over(&mut self, began: Mono, until: Mono) {
        if let Some(span) = standstill(self.now, began, until) {
            let at = self.now;
            self.stood_until = at;
            let skipped = self.plan.missed(self.start, self.next + self.skipped, at);
            self.skipped += skipped;
            self.tell(Notice::Pause { at, span, skipped });
        }
    }

    fn on_done(&mut self, act: Act, done: Done) {
        let Some(connection) = self.rescue.on_done(self.now, act, done) else { return };
        let at = self.now;
        self.state = State::Up { since: connection.at };
        self.outage_end = Some(at);
        self.heard = at;
        self.free_since = at;
        self.tell_rescue();
    }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
