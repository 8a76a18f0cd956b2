//! Many lanes in one thread: flows, targets, and whatever else has a schedule
//! of its own.
//!
//! A lane is a [`Link`] with the [`Machine`] that decides for it. One lane alone
//! is driven by [`super::run()`], whose link blocks in its read. Several are
//! driven by [`run_lanes`]: it waits once, at its [`Gate`], until the earliest of
//! all their deadlines, and then serves in turn whatever is ready or due, one
//! step each, so that no lane's burst keeps another's packet or reply waiting.
//! What a turn costs grows with the lanes that are ready, not with their number.
//!
//! What is asked of a link here:
//!
//! - [`Link::receive`] is only called with a moment that has passed: it looks,
//!   and never waits. A look that finds nothing leaves nothing behind that would
//!   end the next wait at once: stamps in the error queue are fetched in it.
//! - Its descriptors are known to the gate under the lane's place in the slice
//!   (over sockets: [`crate::net::together::Share`]).
//! - [`Link::pending`] tells of bytes that were read and are not handed over yet;
//!   no gate could know of them.
//!
//! Nothing here reads a clock: the gate's wait, each send and each look bring
//! the time. All outputs go to one [`Outlet`]; an [`Output::Lane`] stands before
//! those of another lane than the last. A lane that has finished is left alone,
//! and the run ends with the last of them.

use super::link::Link;
use super::outlet::{Outlet, Output, Standing};
use super::run::{CLOCK_CHECK, Control, Machine, Order, standing};
use super::tracker::Step;
use crate::clock::Mono;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Where all lanes are waited for at once.
pub trait Gate {
    /// Waits until there is something for one of the lanes, at most until
    /// `until`, and gives the moment after. It may come back early. The places of
    /// lanes that have something are put into `ready`.
    fn wait(&mut self, until: Mono, ready: &mut Vec<usize>) -> Mono;
}

/// A link with its machine, and where it stands.
#[derive(Debug)]
pub struct Lane<L, M> {
    /// What it sends and hears by.
    pub link: L,
    /// What decides.
    pub machine: M,
    /// Its wait, while it waits: since when, and until when.
    waits: Option<(Mono, Mono)>,
    /// The earliest of its timers in the heap; never, if it has none.
    timer: Mono,
    /// It stands in the queue of those to be served.
    queued: bool,
    /// There may be something to be had from its link.
    look: bool,
    over: bool,
    /// Probes without an outcome when it was served last.
    outstanding: usize,
}

impl<L: Link, M: Machine> Lane<L, M> {
    /// A lane that has not begun.
    pub fn new(link: L, machine: M) -> Self {
        Self {
            link,
            machine,
            waits: None,
            timer: Mono::NEVER,
            queued: false,
            look: false,
            over: false,
            outstanding: 0,
        }
    }

    /// Ends its wait at `now`.
    fn wake(&mut self, now: Mono) {
        if let Some((began, until)) = self.waits.take() {
            self.machine.on_time(now);
            self.machine.on_wait_over(began, until);
        }
    }

    /// Does one thing. `false`: it waits, or is over.
    fn serve(&mut self) -> bool {
        let now = self.machine.now();
        match self.machine.step() {
            Step::Send(number) => {
                let at = self.link.send(number);
                self.machine.on_sent(at);
            }
            Step::Receive(until) if self.look || until <= now => {
                let arrival = self.link.receive(Mono(0));
                self.look = self.link.pending();
                self.machine.on_arrival(arrival);
            }
            Step::Act(act) => {
                let done = self.link.act(act);
                self.look |= self.link.pending();
                self.machine.on_done(act, done);
            }
            Step::Receive(until) => {
                self.waits = Some((now, until));
                return false;
            }
            Step::Report => {}
            Step::Finish => {
                self.over = true;
                return false;
            }
        }
        true
    }
}

/// Who is to be served, and who is to be woken when.
struct Roster {
    queue: VecDeque<usize>,
    /// Deadlines, the earliest first. A lane's entry may be earlier than its
    /// deadline, never later: it is put right when it comes up, so that a reply
    /// that moves a deadline costs no search.
    timers: BinaryHeap<Reverse<(Mono, usize)>>,
    ready: Vec<usize>,
    /// Whose outputs went into the outlet last.
    told: Option<usize>,
    /// Lanes that have not finished.
    open: usize,
    /// Probes without an outcome, over all lanes.
    outstanding: usize,
}

impl Roster {
    /// All wait for their own beginning.
    fn new<L, M: Machine>(lanes: &mut [Lane<L, M>]) -> Self {
        let mut roster = Self {
            told: None,
            open: lanes.len(),
            outstanding: 0,
            queue: VecDeque::with_capacity(lanes.len()),
            timers: BinaryHeap::with_capacity(2 * lanes.len()),
            ready: Vec::with_capacity(2 * lanes.len()),
        };
        for (place, lane) in lanes.iter_mut().enumerate() {
            let begins = lane.machine.now();
            lane.waits = Some((begins, begins));
            roster.set_timer(lane, place);
        }
        roster
    }

    fn enqueue<L, M>(&mut self, lanes: &mut [Lane<L, M>], place: usize) {
        if let Some(lane) = lanes.get_mut(place)
            && !lane.over
            && !std::mem::replace(&mut lane.queued, true)
        {
            self.queue.push_back(place);
        }
    }

    /// The lane waits; its timer is set unless an earlier one is.
    fn set_timer<L, M>(&mut self, lane: &mut Lane<L, M>, place: usize) {
        let until = lane.waits.map_or(Mono::NEVER, |(_, until)| until);
        if until < lane.timer {
            lane.timer = until;
            self.timers.push(Reverse((until, place)));
        }
    }

    /// Serves all in turn until each of them waits or is over, and gives the
    /// latest time.
    fn serve<L: Link, M: Machine>(
        &mut self,
        lanes: &mut [Lane<L, M>],
        outlet: &mut Outlet,
    ) -> Mono {
        let mut now = Mono(0);
        while let Some(place) = self.queue.pop_front() {
            let Some(lane) = lanes.get_mut(place) else { continue };
            lane.queued = false;
            let more = lane.serve();
            let before = std::mem::replace(&mut lane.outstanding, lane.machine.outstanding());
            self.outstanding = self.outstanding + lane.outstanding - before;
            now = now.max(lane.machine.now());
            self.tell(place, lane.machine.outputs(), outlet, now);
            if lane.over {
                lane.link.finish();
                self.open -= 1;
            } else if more {
                self.enqueue(lanes, place);
            } else {
                self.set_timer(lane, place);
            }
        }
        now
    }

    fn tell(&mut self, place: usize, outputs: &mut Vec<Output>, outlet: &mut Outlet, now: Mono) {
        if outputs.is_empty() {
            return;
        }
        if self.told.replace(place) != Some(place) {
            outlet.push(Output::Lane(place), now);
        }
        outlet.take(outputs, now);
    }

    /// When the next lane is to be woken.
    fn next(&self) -> Mono {
        self.timers.peek().map_or(Mono::NEVER, |Reverse((at, _))| *at)
    }

    /// Wakes those that are ready, then those whose time has come.
    fn wake<L: Link, M: Machine>(&mut self, lanes: &mut [Lane<L, M>], now: Mono) {
        let mut ready = std::mem::take(&mut self.ready);
        for place in ready.drain(..) {
            if let Some(lane) = lanes.get_mut(place) {
                lane.look = true;
                lane.wake(now);
            }
            self.enqueue(lanes, place);
        }
        self.ready = ready;
        while self.next() <= now {
            let Some(Reverse((at, place))) = self.timers.pop() else { break };
            let Some(lane) = lanes.get_mut(place) else { continue };
            // Another entry of the same lane has taken its place.
            if lane.timer != at {
                continue;
            }
            lane.timer = Mono::NEVER;
            if lane.waits.is_some_and(|(_, until)| until <= now) {
                lane.wake(now);
                self.enqueue(lanes, place);
            } else if let Some(lane) = lanes.get_mut(place) {
                self.set_timer(lane, place);
            }
        }
    }
}

/// Runs all lanes to their end, and tells how each of them stands then.
pub fn run_lanes<L: Link, M: Machine>(
    lanes: &mut [Lane<L, M>],
    gate: &mut impl Gate,
    outlet: &mut Outlet,
    control: &mut dyn Control,
) -> Vec<Standing> {
    let mut roster = Roster::new(lanes);
    let mut now = roster.next();
    let mut clock_check = now + CLOCK_CHECK;
    loop {
        now = now.max(roster.serve(lanes, outlet));
        if roster.open == 0 {
            break;
        }
        let until = roster.next();
        outlet.before_wait(now, until, roster.outstanding);
        let until = until.min(outlet.due(roster.outstanding));
        now = now.max(gate.wait(until, &mut roster.ready));
        roster.wake(lanes, now);
        if now >= clock_check
            && let Some(lane) = lanes.first_mut()
        {
            clock_check = now + CLOCK_CHECK;
            outlet.push(Output::Clocks(lane.link.anchor()), now);
        }
        obey(lanes, &mut roster, outlet, control);
    }
    lanes.iter().map(|lane| standing(&lane.link, &lane.machine)).collect()
}

/// Does what the user asks for.
fn obey<L: Link, M: Machine>(
    lanes: &mut [Lane<L, M>],
    roster: &mut Roster,
    outlet: &mut Outlet,
    control: &mut dyn Control,
) {
    let order = if outlet.is_gone() { Some(Order::Leave) } else { control.order() };
    let end: fn(&mut M) = match order {
        None => return,
        Some(Order::Show) => return show(lanes, roster, outlet),
        Some(Order::Stop) => M::stop,
        Some(Order::Leave) => M::leave,
    };
    for place in 0..lanes.len() {
        if let Some(lane) = lanes.get_mut(place) {
            end(&mut lane.machine);
            lane.waits = None;
        }
        roster.enqueue(lanes, place);
    }
}

/// Shows how all of them stand together.
fn show<L: Link, M: Machine>(lanes: &[Lane<L, M>], roster: &Roster, outlet: &mut Outlet) {
    let standings = lanes.iter().map(|lane| standing(&lane.link, &lane.machine));
    let latest = standings.max_by_key(|standing| standing.at);
    if let Some(latest) = latest {
        outlet.show(Standing { outstanding: roster.outstanding, ..latest });
    }
}

#[cfg(test)]
#[path = "lanes_tests.rs"]
mod tests;
