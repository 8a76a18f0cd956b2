//! Signals, counted where they arrive and acted on where it is safe.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use super::check;

/// A signal that this program has a use for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// A polite request to end.
    Terminate,
    /// The terminal or SSH session has gone, or a log is to be reopened.
    HangUp,
    /// Ctrl-\.
    Quit,
}

impl Signal {
    fn number(self) -> libc::c_int {
        match self {
            Self::Interrupt => libc::SIGINT,
            Self::Terminate => libc::SIGTERM,
            Self::HangUp => libc::SIGHUP,
            Self::Quit => libc::SIGQUIT,
        }
    }
}

/// One counter a signal number; Linux's classic signals are 1 to 31.
static SEEN: [AtomicU32; 32] = [const { AtomicU32::new(0) }; 32];

/// Counts only: an atomic increment is all that is safe in every context.
extern "C" fn count(number: libc::c_int) {
    if let Some(seen) = usize::try_from(number).ok().and_then(|number| SEEN.get(number)) {
        seen.fetch_add(1, Ordering::Relaxed);
    }
}

/// From now on counts this signal instead of dying of it, and lets it
/// interrupt waits. A hang-up that the parent had set aside (`nohup`) stays so.
///
/// # Errors
///
/// What `sigaction` says.
pub fn watch(signal: Signal) -> io::Result<()> {
    if signal == Signal::HangUp && is_ignored(signal)? {
        return Ok(());
    }
    let handler: extern "C" fn(libc::c_int) = count;
    // SAFETY: sigaction is a plain C structure; all zeroes mean an empty mask,
    // no flags (so without SA_RESTART, waits end) and the default action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: `action` is valid and its handler only touches an atomic, which
    // is allowed at any point of the program.
    check(unsafe { libc::sigaction(signal.number(), &raw const action, std::ptr::null_mut()) })?;
    Ok(())
}

fn is_ignored(signal: Signal) -> io::Result<bool> {
    // SAFETY: as above, a plain C structure whose zeroes are valid.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null new action only asks; the old one is written to `action`.
    check(unsafe { libc::sigaction(signal.number(), std::ptr::null(), &raw mut action) })?;
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

/// How often a watched signal has come.
#[inline]
pub fn seen(signal: Signal) -> u32 {
    usize::try_from(signal.number())
        .ok()
        .and_then(|number| SEEN.get(number))
        .map_or(0, |seen| seen.load(Ordering::Relaxed))
}

/// How often the user or the system asked this program to end.
#[inline]
pub fn stop_requests() -> u32 {
    seen(Signal::Interrupt) + seen(Signal::Terminate) + seen(Signal::HangUp)
}
