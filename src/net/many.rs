//! Many connections made at once.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::dial::Connected;
use super::{Dial, Dialer};
use crate::clock::Mono;
use crate::os::poll::{self, Interest, MAX_WATCHED};
use crate::os::{clock, signals};

/// Why a connection was not made.
pub type Refused = (SocketAddr, io::Error);

/// Connects each dialer to its first address, as many at once as one wait watches,
/// and gives what came of each in their order. After Ctrl-C the rest is
/// `Interrupted`.
pub fn connect_all(dialers: &[Dialer]) -> Vec<Result<Connected, Refused>> {
    dialers.chunks(MAX_WATCHED).flat_map(connect_some).map(|attempt| attempt.result).collect()
}

/// An attempt that is over, and how long it took from just before `connect`.
#[derive(Debug)]
pub struct Attempt {
    /// What came of it.
    pub result: Result<Connected, Refused>,
    /// Until then.
    pub took: Duration,
}

/// The same with the time that each took, be it in vain.
pub fn attempt_all(dialers: &[Dialer]) -> Vec<Attempt> {
    // The first is not looked at before the last has been begun.
    dialers.chunks(FEW).flat_map(connect_some).collect()
}

/// Attempts at once of which each is to be timed.
const FEW: usize = 16;

/// A connection under way, until when, or what came of it.
enum Stage {
    UnderWay(Dial, Mono),
    Over(Attempt),
}

impl Stage {
    fn over(result: Result<Connected, Refused>, took: Duration) -> Self {
        Self::Over(Attempt { result, took })
    }
}

fn connect_some(dialers: &[Dialer]) -> Vec<Attempt> {
    let mut stages: Vec<Stage> = dialers.iter().map(start).collect();
    loop {
        let under_way = stages.iter().filter_map(|stage| match stage {
            Stage::UnderWay(dial, deadline) => Some((dial, *deadline)),
            Stage::Over(_) => None,
        });
        let (dials, deadlines): (Vec<&Dial>, Vec<Mono>) = under_way.unzip();
        let Some(until) = deadlines.into_iter().min() else { break };
        let mut interests: Vec<Interest<'_>> = dials.iter().map(|dial| dial.interest()).collect();
        let until = if dials.iter().any(|dial| dial.has_ended()) { Mono(0) } else { until };
        let until = until.min(clock::now() + super::stream::LONGEST_WAIT);
        // What cannot be waited for is seen at its deadline.
        let _ = poll::wait(&mut interests, until);
        let now = clock::now();
        let ready: Vec<bool> = interests.iter().map(|found| found.writable).collect();
        drop(interests);
        let mut ready = ready.into_iter();
        let stopped = signals::stop_requests() > 0;
        stages = stages.into_iter().map(|stage| go_on(stage, &mut ready, now, stopped)).collect();
    }
    let over = |stage| match stage {
        Stage::Over(attempt) => Some(attempt),
        Stage::UnderWay(..) => None,
    };
    stages.into_iter().filter_map(over).collect()
}

fn start(dialer: &Dialer) -> Stage {
    let Some(&address) = dialer.addresses.first() else {
        let none = SocketAddr::from(([0, 0, 0, 0], 0));
        let error = io::ErrorKind::AddrNotAvailable.into();
        return Stage::over(Err((none, error)), Duration::ZERO);
    };
    match Dial::start(dialer, address) {
        Ok(dial) => {
            let deadline = dial.began() + dialer.timeout;
            Stage::UnderWay(dial, deadline)
        }
        Err(error) => Stage::over(Err((address, error)), Duration::ZERO),
    }
}

/// One step on, where something has come of it.
fn go_on(stage: Stage, ready: &mut impl Iterator<Item = bool>, now: Mono, stopped: bool) -> Stage {
    let Stage::UnderWay(dial, deadline) = stage else { return stage };
    let (address, took) = (dial.address(), now.since(dial.began()));
    let is_ready = ready.next() == Some(true);
    if is_ready || dial.has_ended() {
        return Stage::over(dial.finish(now).map_err(|error| (address, error)), took);
    }
    if stopped {
        return Stage::over(Err((address, io::ErrorKind::Interrupted.into())), took);
    }
    if now >= deadline {
        let late = io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
        return Stage::over(Err((address, late)), took);
    }
    Stage::UnderWay(dial, deadline)
}
