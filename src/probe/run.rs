//! The loop itself: ask the tracker, do it, tell the tracker.

use super::link::{Arrival, Link, Reopened};
use super::sample::{Notice, Sample};
use super::sink::{Gone, Sink};
use super::tally::Tally;
use super::tracker::{Output, Step};
use crate::clock::{Anchor, Mono};
use std::time::Duration;

/// While replies are outstanding, chores may wait this much longer: what is
/// done between a send and its reply could end up in the round-trip time.
const GRACE: Duration = Duration::from_millis(500);

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

    /// An attempt to connect again stands so.
    fn on_reopened(&mut self, reopened: Reopened) {
        let _ = reopened;
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

    /// Shows how the run stands; `outstanding` probes are not in the tally yet.
    fn show(&mut self, tally: &Tally, outstanding: usize);
}

/// How often the wall clock is compared with the monotonic clock, at most.
const CLOCK_CHECK: Duration = Duration::from_secs(1);

/// Where a run's results go, and how they stand.
struct Outlet<'sinks> {
    tally: Tally,
    sinks: &'sinks mut [Box<dyn Sink>],
    anchor: Anchor,
    clock_check: Mono,
    /// The earliest of the sinks' deadlines, kept because it is looked at in
    /// every turn of the loop and changes only when a sink was called.
    deadline: Mono,
    gone: bool,
}

impl Outlet<'_> {
    #[inline]
    fn emit(&mut self, outputs: &mut Vec<Output>) {
        for event in outputs.iter() {
            match event {
                Output::Sample(sample) => self.sample(sample),
                Output::Notice(notice) => self.notice(notice),
            }
        }
        outputs.clear();
    }

    fn sample(&mut self, sample: &Sample) {
        self.tally.sample(sample);
        let anchor = self.anchor;
        self.each(|sink| sink.sample(sample, &anchor));
    }

    fn notice(&mut self, notice: &Notice) {
        self.tally.notice(notice);
        let anchor = self.anchor;
        self.each(|sink| sink.notice(notice, &anchor));
    }

    fn each(&mut self, mut act: impl FnMut(&mut dyn Sink) -> Result<(), Gone>) {
        self.deadline = Mono::NEVER;
        for sink in self.sinks.iter_mut() {
            self.gone |= act(sink.as_mut()).is_err();
            self.deadline = self.deadline.min(sink.deadline());
        }
    }

    /// By when the chores must be done.
    fn chores_due(&self, outstanding: usize) -> Mono {
        if outstanding == 0 { self.deadline } else { self.deadline + GRACE }
    }

    /// A look at the clocks, and the sinks' own chores, where they are due.
    fn chores(&mut self, tracker: &impl Machine, link: &mut impl Link) {
        let now = tracker.now();
        if now >= self.clock_check {
            self.clock_check = now + CLOCK_CHECK;
            let fresh = link.anchor();
            if let Some(by) = self.anchor.step(&fresh) {
                self.notice(&Notice::ClockStep { at: fresh.mono, by });
                self.anchor = fresh;
            }
        }
        if self.chores_due(tracker.outstanding()) <= now {
            self.tally.end = now;
            let tally = std::mem::take(&mut self.tally);
            self.each(|sink| if sink.deadline() <= now { sink.tick(now, &tally) } else { Ok(()) });
            self.tally = tally;
        }
    }
}

/// Runs a plan to its end over `link`, and gives its figures.
pub fn run(
    link: &mut impl Link,
    tracker: &mut impl Machine,
    tally: Tally,
    anchor: Anchor,
    sinks: &mut [Box<dyn Sink>],
    control: &mut dyn Control,
) -> Tally {
    let clock_check = tally.start + CLOCK_CHECK;
    let deadline = sinks.iter().map(|sink| sink.deadline()).min().unwrap_or(Mono::NEVER);
    let mut outlet = Outlet { tally, sinks, anchor, clock_check, deadline, gone: false };
    loop {
        match control.order() {
            None => {}
            Some(Order::Stop) => tracker.stop(),
            Some(Order::Leave) => tracker.leave(),
            Some(Order::Show) => {
                outlet.tally.end = tracker.now();
                outlet.tally.tcp = link.tcp();
                control.show(&outlet.tally, tracker.outstanding());
            }
        }
        let step = tracker.step();
        let until_chores = outlet.chores_due(tracker.outstanding());
        match step {
            Step::Send(number) => tracker.on_sent(link.send(number)),
            Step::Receive(until) => {
                let (began, until) = (tracker.now(), until.min(until_chores));
                tracker.on_arrival(link.receive(until));
                tracker.on_wait_over(began, until);
            }
            Step::Pause(until) => {
                let (began, until) = (tracker.now(), until.min(until_chores));
                tracker.on_time(link.pause(until));
                tracker.on_wait_over(began, until);
            }
            Step::Reopen(until) => {
                tracker.on_reopened(link.reopen(until.min(until_chores)));
            }
            Step::Report => {}
            Step::Finish => break,
        }
        outlet.emit(tracker.outputs());
        outlet.chores(tracker, link);
        if outlet.gone {
            tracker.leave();
        }
    }
    outlet.emit(tracker.outputs());
    outlet.tally.end = tracker.now();
    outlet.tally.tcp = link.tcp();
    for sink in outlet.sinks.iter_mut() {
        sink.finish(&outlet.tally, &outlet.anchor);
    }
    outlet.tally
}
