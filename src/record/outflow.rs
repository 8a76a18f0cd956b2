//! Bytes on their way to a destination that may stand still: a terminal that
//! nobody reads, a disk that is full or slow, a system's log that hangs. A thread
//! of its own writes them, so that whoever has something to say never waits.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Mono;
use crate::os::clock;
use crate::os::thread::{self, step_back};

/// Where the bytes end up. Called in the outflow's own thread; may wait as long
/// as it likes.
pub trait Drain: Send {
    /// Takes everything that waited.
    ///
    /// # Errors
    ///
    /// It is lost; the reader has gone where it is a broken pipe.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Nothing has come for as long as [`Drain::rest`] says.
    fn idle(&mut self) {}

    /// How long to wait before [`Drain::idle`]; without end if not given.
    fn rest(&self) -> Option<Duration> {
        None
    }

    /// Nothing more comes: gives how many lines were lost on the way.
    fn close(&mut self) -> u64 {
        0
    }
}

impl<F: FnMut(&[u8]) -> io::Result<()> + Send> Drain for F {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self(bytes)
    }
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Taken by the thread and not written yet, and how many lines those are.
    writing: bool,
    lines_in_hand: u64,
    closed: bool,
    /// The thread has ended.
    ended: bool,
    /// Lines that found no room.
    refused: u64,
    /// Lines that the destination lost, known at its end.
    lost: u64,
    /// The first failure; a broken pipe says that the reader has gone.
    failed: Option<io::Error>,
    /// Pieces that were written, so that progress can be seen.
    pieces: u64,
}

impl State {
    fn is_gone(&self) -> bool {
        self.failed.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// See the module's text.
#[derive(Debug)]
pub struct Outflow {
    shared: Arc<Shared>,
    most: usize,
}

/// What became of everything that was said.
#[derive(Debug, Default)]
pub struct Account {
    /// Lines that found no room, because the destination stood still.
    pub refused: u64,
    /// Lines that the destination lost, or that still wait for it.
    pub lost: u64,
    /// Why the destination failed first, if it did.
    pub failed: Option<io::Error>,
    /// The reader has gone and has read enough.
    pub gone: bool,
}

impl Outflow {
    /// Starts the thread. At most `most` bytes wait for it.
    ///
    /// # Errors
    ///
    /// The kernel gives no thread.
    pub fn start(name: &str, most: usize, drain: impl Drain + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let drain: Box<dyn Drain> = Box::new(drain);
        thread::start(name, None, Box::new(move || run(&seen, drain)))?;
        Ok(Self { shared, most })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes whole lines, or counts them as refused where too much waits
    /// already. False: the reader has gone.
    pub fn push(&self, lines: &[u8]) -> bool {
        let mut state = self.state();
        if state.waiting.len() + lines.len() > self.most {
            state.refused += count(lines);
        } else {
            state.waiting.extend_from_slice(lines);
            self.shared.changed.notify_all();
        }
        !state.is_gone()
    }

    /// Takes last words, however much waits: they are short, and come once.
    pub fn force(&self, lines: &[u8]) {
        self.state().waiting.extend_from_slice(lines);
        self.shared.changed.notify_all();
    }

    /// Whether the reader has gone.
    pub fn is_gone(&self) -> bool {
        self.state().is_gone()
    }

    /// Whether half of the room is free.
    pub fn has_room(&self) -> bool {
        self.state().waiting.len() < self.most / 2
    }

    /// What is to be shown now takes the place of what still waits.
    pub fn replace(&self, bytes: &[u8]) {
        let mut state = self.state();
        state.waiting.clear();
        state.waiting.extend_from_slice(bytes);
        self.shared.changed.notify_all();
    }

    /// Lines that were refused so far.
    pub fn refused(&self) -> u64 {
        self.state().refused
    }

    /// Waits until everything is written, as long as there is progress at least
    /// this often. False where the destination stands still.
    pub fn settle(&self, patience: Duration) -> bool {
        let mut state = self.state();
        let mut pieces = state.pieces;
        let mut until = clock::now() + patience;
        while (state.writing || !state.waiting.is_empty()) && !state.ended {
            if state.pieces != pieces {
                (pieces, until) = (state.pieces, clock::now() + patience);
            }
            let left = until.since(clock::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Nothing more comes: waits as [`Outflow::settle`] does, and gives what
    /// became of it all.
    pub fn close(&self, patience: Duration) -> Account {
        self.state().closed = true;
        self.shared.changed.notify_all();
        let settled = self.settle(patience);
        let mut state = self.state();
        let until = clock::now() + patience;
        while settled && !state.ended && clock::now() < until {
            let waited = self.shared.changed.wait_timeout(state, until.since(clock::now()));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let unwritten = count(&state.waiting) + state.lines_in_hand;
        // Where the thread has not ended, at least its last word is open.
        let stuck = if state.ended { 0 } else { unwritten.max(1) };
        Account {
            refused: state.refused,
            lost: state.lost + stuck,
            gone: state.is_gone(),
            failed: state.failed.take(),
        }
    }
}

fn run(shared: &Shared, mut drain: Box<dyn Drain>) {
    step_back();
    let lock = || shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    let mut taken = Vec::new();
    let mut state = lock();
    let mut idle_at = Mono::NEVER;
    loop {
        if state.waiting.is_empty() {
            if state.closed {
                break;
            }
            let now = clock::now();
            if now >= idle_at {
                idle_at = Mono::NEVER;
                drop(state);
                drain.idle();
                state = lock();
                continue;
            }
            state = if idle_at == Mono::NEVER {
                shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
            } else {
                let waited = shared.changed.wait_timeout(state, idle_at.since(now));
                waited.unwrap_or_else(PoisonError::into_inner).0
            };
            continue;
        }
        std::mem::swap(&mut taken, &mut state.waiting);
        state.lines_in_hand = count(&taken);
        state.writing = true;
        drop(state);
        let result = drain.write(&taken);
        idle_at = drain.rest().map_or(Mono::NEVER, |rest| clock::now() + rest);
        let size = taken.len();
        taken.clear();
        if size > LARGE {
            taken = Vec::new();
        }
        state = lock();
        state.writing = false;
        state.lines_in_hand = 0;
        state.pieces += 1;
        if let Err(error) = result {
            state.failed.get_or_insert(error);
        }
        shared.changed.notify_all();
    }
    drop(state);
    let lost = drain.close();
    let mut state = lock();
    state.lost = lost;
    state.ended = true;
    shared.changed.notify_all();
}

/// A buffer that grew beyond this while the destination stood still is given back.
const LARGE: usize = 256 * 1024;

fn count(lines: &[u8]) -> u64 {
    lines.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const SHORT: Duration = Duration::from_millis(50);

    #[test]
    fn a_destination_that_stands_still_costs_lines_and_no_time() {
        let (release, held) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        let outflow = Outflow::start("test", 100, move |bytes: &[u8]| {
            // The end of the channel lets everything through.
            let _ = held.recv();
            let _ = tell.send(bytes.to_vec());
            Ok(())
        });
        let outflow = outflow.unwrap();
        let began = clock::now();
        assert!(outflow.push(b"first\n"));
        for _ in 0..100 {
            assert!(outflow.push(b"ten bytes\n"));
        }
        assert!(clock::now().since(began) < Duration::from_secs(5));
        assert!(outflow.refused() >= 89, "{}", outflow.refused());
        assert!(!outflow.settle(SHORT));
        drop(release);
        let account = outflow.close(Duration::from_secs(5));
        assert_eq!((account.lost, account.gone), (0, false));
        let heard: usize = told.iter().map(|bytes| bytes.len()).sum();
        assert_eq!(heard as u64, 6 + 10 * (100 - account.refused));
    }

    #[test]
    fn what_never_got_through_is_lost_and_said() {
        let (release, held) = mpsc::channel::<()>();
        let outflow = Outflow::start("test", 100, move |_: &[u8]| {
            let _ = held.recv();
            Ok(())
        });
        let outflow = outflow.unwrap();
        outflow.push(b"1\n");
        while !outflow.state().writing {
            clock::sleep_until(clock::now() + Duration::from_millis(1));
        }
        outflow.force(b"2\n3\n");
        assert_eq!(outflow.close(SHORT).lost, 3, "also the one in hand");
        drop(release);
    }

    #[test]
    fn a_reader_that_goes_is_seen_at_the_next_line() {
        let outflow = Outflow::start("test", 100, |_: &[u8]| Err(io::ErrorKind::BrokenPipe.into()));
        let outflow = outflow.unwrap();
        outflow.push(b"1\n");
        assert!(outflow.settle(Duration::from_secs(5)));
        assert!(!outflow.push(b"2\n"));
        assert!(outflow.close(Duration::from_secs(5)).gone);
    }
}
