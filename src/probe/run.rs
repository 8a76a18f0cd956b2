//! The loop itself: ask the machine, do it, tell the machine.

use super::link::{Act, Arrival, Done, Link};
use super::outlet::{Outlet, Output, Standing};
use super::tracker::Step;
use crate::clock::Mono;
use std::time::Duration;

/// A run's memory, which decides what is to be done next: a
/// [`super::Tracker`] for probes on one connection, an
/// [`super::Independent`] for probes that stand alone.
pub trait Machine {
    /// The latest time that it was told.
    fn now(&self) -> Mono;

    /// Probes sent whose outcome is still open.
    fn outstanding(&self) -> usize;

    /// What was found out since the loop took it last, the oldest first.
    fn outputs(&mut self) -> &mut Vec<Output>;

    /// Sends no more; outstanding replies are still waited for.
    fn stop(&mut self);

    /// Ends at once; outstanding probes are lost.
    fn leave(&mut self);

    /// What to do next.
    fn step(&mut self) -> Step;

    /// The probe of [`Step::Send`] was sent at `at`.
    fn on_sent(&mut self, at: Mono);

    /// A wait has ended, and this is what it brought.
    fn on_arrival(&mut self, arrival: Arrival);

    /// Time has passed.
    fn on_time(&mut self, at: Mono);

    /// A wait from `began` has ended that was to end at `until`, or before. If
    /// it took much longer, this host stood still.
    fn on_wait_over(&mut self, began: Mono, until: Mono);

    /// What was to be done with connections is done.
    fn on_done(&mut self, act: Act, done: Done) {
        let _ = (act, done);
    }
}

/// What the user asks of a run under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Send no more, wait for stragglers, sum up.
    Stop,
    /// Sum up at once.
    Leave,
    /// Show how it stands and go on.
    Show,
}

/// Where the user's orders come from.
pub trait Control {
    /// The next order, if there is one.
    fn order(&mut self) -> Option<Order>;
}

/// How often the wall clock is compared with the monotonic clock, at most.
pub(super) const CLOCK_CHECK: Duration = Duration::from_secs(1);

/// Runs a plan to its end over `link`; what is found out goes into `outlet`.
pub fn run(
    link: &mut impl Link,
    machine: &mut impl Machine,
    outlet: &mut Outlet,
    control: &mut dyn Control,
) -> Standing {
    let mut clock_check = machine.now() + CLOCK_CHECK;
    loop {
        match control.order() {
            None => {}
            Some(Order::Stop) => machine.stop(),
            Some(Order::Leave) => machine.leave(),
            Some(Order::Show) => outlet.show(standing(link, machine)),
        }
        let step = machine.step();
        let now = machine.now();
        outlet.take(machine.outputs(), now);
        match step {
            Step::Send(number) => machine.on_sent(link.send(number)),
            Step::Receive(until) => {
                let (began, until) = before_wait(machine, outlet, until);
                machine.on_arrival(link.receive(until));
                machine.on_wait_over(began, until);
            }
            Step::Act(act) => machine.on_done(act, link.act(act)),
            Step::Report => {}
            Step::Finish => break,
        }
        let now = machine.now();
        outlet.take(machine.outputs(), now);
        if now >= clock_check {
            clock_check = now + CLOCK_CHECK;
            outlet.push(Output::Clocks(link.anchor()), now);
        }
        if outlet.is_gone() {
            machine.leave();
        }
    }
    standing(link, machine)
}

/// When a wait begins, and when it is to end at the latest.
#[inline]
fn before_wait(machine: &impl Machine, outlet: &mut Outlet, until: Mono) -> (Mono, Mono) {
    let (now, outstanding) = (machine.now(), machine.outstanding());
    outlet.before_wait(now, until, outstanding);
    (now, until.min(outlet.due(outstanding)))
}

/// How a link and its machine stand.
pub(super) fn standing(link: &impl Link, machine: &impl Machine) -> Standing {
    Standing {
        at: machine.now(),
        outstanding: machine.outstanding(),
        tcp: link.tcp(),
        answers: link.answers(),
    }
}
