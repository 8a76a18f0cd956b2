//! The thread that records while another measures.

use std::io;
use std::thread;
use std::time::Duration;

use super::{Run, journal, text};
use crate::clock::Anchor;
use crate::os::{clock, thread::step_back};
use crate::probe::{Delivery, Inlet, Outlet, Recorder, Sink, Standing, Tally, Track, outlet};

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
    measure: &mut dyn FnMut(&mut Outlet) -> Standing,
) -> io::Result<Tally> {
    let runs: Vec<&Run> = run.into_iter().collect();
    // A link for each probe has no lane for each flow.
    let dealt = tally.flows.len() > 1;
    let tracks = vec![Track { tally, sinks, dealt, stretch: None }];
    let mut alone = |outlet: &mut Outlet| vec![measure(outlet)];
    let mut tallies = record_all(&runs, tracks, anchor, &mut alone)?;
    tallies.pop().ok_or_else(|| io::Error::other("nothing was recorded"))
}

/// The same for several targets at once, each with its run and its track; how each
/// lane stands is told in the end. Gives the figures of each target.
///
/// # Errors
///
/// The kernel gives no thread.
pub fn record_all(
    runs: &[&Run],
    tracks: Vec<Track<'_>>,
    anchor: Anchor,
    measure: &mut dyn FnMut(&mut Outlet) -> Vec<Standing>,
) -> io::Result<Vec<Tally>> {
    let (mut outlet, inlet) = outlet();
    let recorder = Recorder::new(tracks, anchor);
    thread::scope(|scope| {
        let recording = thread::Builder::new().name("recorder".to_owned());
        let recording = recording.spawn_scoped(scope, move || keep(recorder, &inlet, runs))?;
        let standings = measure(&mut outlet);
        outlet.end(standings);
        recording.join().map_err(|_| io::Error::other("the recorder ended before its time"))
    })
}

/// Records until the measuring side has ended.
fn keep(mut recorder: Recorder<'_>, inlet: &Inlet, runs: &[&Run]) -> Vec<Tally> {
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
                    if let Some((tallies, outstanding)) = recorder.take(output) {
                        for (run, tally) in runs.iter().zip(tallies) {
                            journal::show(&text::summary(run, tally, outstanding));
                        }
                    }
                }
                inlet.recycle(batch);
            }
            Delivery::Nothing => {}
            Delivery::Ended => return recorder.finish(),
        }
    }
}
