//! The timed loop: when to send, what a reply means, what is lost. It reads no
//! clock and opens no socket; time and replies come in through a [`Link`].

mod addresses;
mod count;
pub mod detail;
pub mod directions;
pub mod event;
pub mod finding;
pub mod independent;
pub mod lanes;
pub mod link;
pub mod outlet;
pub mod recorder;
mod rescue;
pub mod run;
pub mod sample;
pub mod schedule;
pub mod sink;
pub mod slow;
pub mod tally;
pub mod tracker;
pub mod verdict;

pub use addresses::{Addresses, AtAddress};
pub use count::Losses;
pub use detail::{Detail, Failure, Figures, KernelTimes, PingDetail, TwampDetail};
pub use directions::{Direction, Directions};
pub use event::{DropsBy, Event, EventKind, Events, Fate};
pub use finding::{Finding, findings};
pub use independent::Independent;
pub use link::{
    Act, Arrival, Attempted, Connection, Done, Ended, Link, Look, Progress, Single, What,
};
pub use outlet::{Delivery, Inlet, Outlet, Output, Standing, outlet};
pub use recorder::{Recorder, Track};
pub use run::{Control, Machine, Order, run};
pub use sample::{DropCause, Notice, Outcome, Sample};
pub use schedule::{Plan, Turn};
pub use sink::{Gone, Sink};
pub use slow::{Explained, Slow};
pub use tally::{KernelTally, Tally};
pub use tracker::{Step, Tracker};
pub use verdict::{Cause, Evidence, Window};
