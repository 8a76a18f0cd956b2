//! What this process has to say of itself: lines on their way to standard error, a
//! file or the system's log. No thread that measures, accepts, serves or stops
//! waits for them.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::outflow::Outflow;

/// Bytes of lines that wait for a log that stands still: some 600 lines.
const MAX_WAITING: usize = 64 * 1024;
/// A log that takes nothing for so long at the end is not waited for.
const PATIENCE: Duration = Duration::from_secs(1);

/// What takes the lines in the end.
pub type Destined = Box<dyn FnMut(&[u8]) -> io::Result<()> + Send>;

struct Journal {
    /// Makes the writing side, in the process that logs: a daemon forks first.
    open: Box<dyn Fn() -> io::Result<Destined> + Send>,
    /// The thread that writes, and whose process it belongs to.
    outflow: Option<(u32, Outflow)>,
    /// Lines that were dropped and told of.
    told: u64,
}

static JOURNAL: Mutex<Option<Journal>> = Mutex::new(None);

fn journal() -> MutexGuard<'static, Option<Journal>> {
    JOURNAL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal {
    fn to(open: impl Fn() -> io::Result<Destined> + Send + 'static) -> Self {
        Self { open: Box::new(open), outflow: None, told: 0 }
    }

    fn take(&mut self, line: &[u8]) {
        let here = std::process::id();
        if self.outflow.as_ref().is_none_or(|(process, _)| *process != here) {
            let outflow =
                (self.open)().and_then(|destined| Outflow::start("log", MAX_WAITING, destined));
            self.outflow = outflow.ok().map(|outflow| (here, outflow));
        }
        let Some((_, outflow)) = &self.outflow else { return };
        outflow.push(line);
        let refused = outflow.refused();
        if refused > self.told && outflow.has_room() {
            let text = format!(
                "{} lines of the log were dropped: nobody took them\n",
                refused - self.told
            );
            outflow.push(text.as_bytes());
            self.told = refused;
        }
    }
}

/// From now on lines go to what `open` makes. It is called with the first line:
/// a daemon forks before that, and threads do not survive it.
pub fn open(open: impl Fn() -> io::Result<Destined> + Send + 'static) {
    *journal() = Some(Journal::to(open));
}

/// Where a logger puts its lines.
#[derive(Debug)]
pub struct Lines;

impl Write for Lines {
    /// One formatted line. Never fails: a log that cannot be written is no
    /// reason to serve nobody.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(journal) = journal().as_mut() {
            journal.take(line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Shows something on standard error, after the lines of the log, without waiting
/// for who reads it.
pub fn show(text: &str) {
    let mut journal = journal();
    journal.get_or_insert_with(|| Journal::to(standard_error)).take(text.as_bytes());
}

/// Nothing more is said: gives the log a moment to take it.
pub fn close() {
    let journal = journal().take();
    if let Some(Journal { outflow: Some((_, outflow)), .. }) = journal {
        outflow.close(PATIENCE);
    }
}

/// Standard error.
///
/// # Errors
///
/// No descriptor is left.
pub fn standard_error() -> io::Result<Destined> {
    let mut stderr = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    Ok(Box::new(move |lines| stderr.write_all(lines)))
}
