//! Standard output, which belongs to its reader: nobody waits for it. Lines that
//! a reader who stands still did not take are dropped after a bounded buffer, and
//! counted.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::outflow::{Account, Outflow};
use crate::probe::Gone;

/// Bytes that wait for a reader: some 800 lines.
const MAX_WAITING: usize = 64 * 1024;
/// A reader who takes nothing for so long at the end is not waited for.
const PATIENCE: Duration = Duration::from_secs(3);

static SCREEN: OnceLock<Option<Outflow>> = OnceLock::new();
/// Whether a text was printed that its reader was waited for.
static WAITED: AtomicBool = AtomicBool::new(false);

fn screen() -> Option<&'static Outflow> {
    let start = || {
        let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
        let write = move |bytes: &[u8]| stdout.write_all(bytes);
        Outflow::start("screen", MAX_WAITING, write).ok()
    };
    SCREEN.get_or_init(start).as_ref()
}

/// Prints whole lines, unless too much waits already.
///
/// # Errors
///
/// The reader has gone.
pub fn say(lines: &str) -> Result<(), Gone> {
    match screen() {
        Some(screen) if screen.push(lines.as_bytes()) => Ok(()),
        Some(_) => Err(Gone),
        // No thread is to be had: then it has to be this one.
        None => match io::stdout().write_all(lines.as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Gone),
            _ => Ok(()),
        },
    }
}

/// Prints a result, which is never dropped; its bytes as they are.
pub fn result(text: impl AsRef<[u8]>) {
    match screen() {
        Some(screen) => screen.force(text.as_ref()),
        None => {
            let _ = io::stdout().write_all(text.as_ref());
        }
    }
}

/// Prints a text and waits until its reader, a pager perhaps, has taken it.
///
/// # Errors
///
/// What the system says.
pub fn all(text: &str) -> io::Result<()> {
    WAITED.store(true, Ordering::Relaxed);
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Whether anything was printed, or tried to be.
pub fn was_used() -> bool {
    SCREEN.get().is_some() || WAITED.load(Ordering::Relaxed)
}

/// Lines that nobody read in time, so far.
pub fn not_shown() -> u64 {
    SCREEN.get().and_then(Option::as_ref).map_or(0, Outflow::refused)
}

/// Waits a moment for the reader, so that what another descriptor of the same
/// terminal shows next comes after it.
pub fn settle(patience: Duration) {
    if let Some(Some(screen)) = SCREEN.get() {
        screen.settle(patience);
    }
}

/// Nothing more is printed: what became of it. Nothing if nothing was.
pub fn close() -> Account {
    match SCREEN.get() {
        Some(Some(screen)) => screen.close(PATIENCE),
        _ => Account::default(),
    }
}
