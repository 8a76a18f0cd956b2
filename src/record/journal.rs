//! What this process has to say of itself: lines on their way to standard error, a
//! file or the system's log. No thread that measures, accepts, serves or stops
//! waits for them.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::outflow::Outflow;

/// Bytes of lines that wait for a log that stands still: some 600 lines.
const MAX_WAITING: usize = 64 * 1024;
/// A log that takes nothing for so long at the end is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// What is written long before anybody looks.
const MOMENT: Duration = Duration::from_millis(50);

/// What takes the lines in the end.
pub type Destined = Box<dyn FnMut(&[u8]) -> io::Result<()> + Send>;

/// Makes the writing sides.
type Open = Box<dyn Fn() -> io::Result<Vec<Destined>> + Send>;

struct Journal {
    /// Called in the process that logs: a daemon forks first.
    open: Open,
    /// Whose process the outflows belong to.
    process: u32,
    /// One a destination, so that none holds up another.
    outflows: Vec<Destination>,
}

struct Destination {
    outflow: Outflow,
    /// Lines that were dropped and told of.
    told: u64,
}

type Shared = Mutex<Option<Journal>>;

/// Where the log goes,
static JOURNAL: Shared = Mutex::new(None);
/// and what is for whoever started this process, wherever the log goes.
static SHOWN: Shared = Mutex::new(None);

fn held(journal: &'static Shared) -> MutexGuard<'static, Option<Journal>> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal {
    fn to(open: impl Fn() -> io::Result<Vec<Destined>> + Send + 'static) -> Self {
        Self { open: Box::new(open), process: 0, outflows: Vec::new() }
    }

    fn take(&mut self, line: &[u8]) {
        let here = std::process::id();
        if self.process != here {
            self.process = here;
            let destined = (self.open)().unwrap_or_default();
            let started = destined.into_iter().filter_map(Destination::start);
            self.outflows = started.collect();
        }
        for destination in &mut self.outflows {
            destination.take(line);
        }
    }
}

impl Destination {
    fn start(destined: Destined) -> Option<Self> {
        let outflow = Outflow::start("log", MAX_WAITING, destined).ok()?;
        Some(Self { outflow, told: 0 })
    }

    fn take(&mut self, line: &[u8]) {
        self.outflow.push(line);
        let refused = self.outflow.refused();
        if refused > self.told && self.outflow.has_room() {
            let dropped = refused - self.told;
            let text = format!("{dropped} lines of the log were dropped: nobody took them\n");
            self.outflow.push(text.as_bytes());
            self.told = refused;
        }
    }
}

/// From now on lines go to what `open` makes. It is called with the first line:
/// a daemon forks before that, and threads do not survive it.
pub fn open(open: impl Fn() -> io::Result<Vec<Destined>> + Send + 'static) {
    *held(&JOURNAL) = Some(Journal::to(open));
}

/// Where a logger puts its lines.
#[derive(Debug)]
pub struct Lines;

impl Write for Lines {
    /// One formatted line. Never fails: a log that cannot be written is no
    /// reason to serve nobody.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(journal) = held(&JOURNAL).as_mut() {
            journal.take(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shows something on standard error, a moment after the lines of the log, without
/// waiting for who reads it.
pub fn show(text: &str) {
    for destination in held(&JOURNAL).iter().flat_map(|journal| &journal.outflows) {
        destination.outflow.settle(MOMENT);
    }
    let mut shown = held(&SHOWN);
    shown.get_or_insert_with(|| Journal::to(standard_error)).take(text.as_bytes());
}

/// Nothing more is said: gives each destination a moment to take what waits.
pub fn close() {
    for journal in [held(&JOURNAL).take(), held(&SHOWN).take()].iter().flatten() {
        for destination in &journal.outflows {
            destination.outflow.close(PATIENCE);
        }
    }
}

/// Standard error alone.
///
/// # Errors
///
/// None.
pub fn standard_error() -> io::Result<Vec<Destined>> {
    Ok(vec![to_standard_error()])
}

/// Standard error as it is at each line: a daemon lets go of it, and no copy of its
/// descriptor may keep a caller's pipe open.
pub fn to_standard_error() -> Destined {
    Box::new(|lines| io::stderr().write_all(lines))
}
