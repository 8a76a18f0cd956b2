//! The thread that records while another measures.

use std::io;
use std::thread;
use std::time::Duration;

use super::{Run, journal, text};
use crate::clock::Anchor;
use crate::os::{clock, thread::step_back};
use crate::probe::{Delivery, Inlet, Outlet, Recorder, Sink, Standing, Tally, outlet};

/// The recorder looks at its sinks' chores at least this often.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Has `measure` fill the outlet in this thread, and records in another what
/// comes out of it. Gives the run's figures.
///
/// # Errors
///
/// The kernel gives no thread.
pub fn record(
    run: Option<&Run>,
    tally: Tally,
    anchor: Anchor,
    sinks: &mut [Box<dyn Sink>],
    measure: impl FnOnce(&mut Outlet) -> Standing,
) -> io::Result<Tally> {
    let (mut outlet, inlet) = outlet();
    let recorder = Recorder::new(tally, anchor, sinks);
    thread::scope(|scope| {
        let recording = thread::Builder::new().name("recorder".to_owned());
        let recording = recording.spawn_scoped(scope, move || keep(recorder, &inlet, run))?;
        let standing = measure(&mut outlet);
        outlet.end(standing);
        recording.join().map_err(|_| io::Error::other("the recorder ended before its time"))
    })
}

/// Records until the measuring side has ended.
fn keep(mut recorder: Recorder<'_>, inlet: &Inlet, run: Option<&Run>) -> Tally {
    step_back();
    loop {
        let now = clock::now();
        if recorder.deadline() <= now {
            recorder.tick(now);
        }
        if recorder.is_gone() {
            inlet.tell_gone();
        }
        match inlet.receive(recorder.deadline().since(clock::now()).min(LONGEST_WAIT)) {
            Delivery::Batch(batch) => {
                for output in &batch {
                    if let (Some((tally, outstanding)), Some(run)) = (recorder.take(output), run) {
                        journal::show(&text::summary(run, tally, outstanding));
                    }
                }
                inlet.recycle(batch);
            }
            Delivery::Nothing => {}
            Delivery::Ended => return recorder.finish(),
        }
    }
}
