//! Signals, counted where they arrive and acted on where it is safe.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

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
    /// A run's files are to be opened anew (SIGUSR1).
    Reopen,
}

impl Signal {
    fn number(self) -> libc::c_int {
        match self {
            Self::Interrupt => libc::SIGINT,
            Self::Terminate => libc::SIGTERM,
            Self::HangUp => libc::SIGHUP,
            Self::Quit => libc::SIGQUIT,
            Self::Reopen => libc::SIGUSR1,
        }
    }
}

/// One counter a signal number; Linux's classic signals are 1 to 31.
static SEEN: [AtomicU32; 32] = [const { AtomicU32::new(0) }; 32];

/// Whether a second request to end is obeyed on the spot.
static IMPATIENT: AtomicBool = AtomicBool::new(false);
/// The exit status of a run that was cut off: its results are not whole.
const CUT_OFF: libc::c_int = 2;
/// What a second request leaves for the summary, in microseconds: a person calls
/// that at once.
const LAST_MOMENT: libc::suseconds_t = 300_000;

/// Counts. At a second request the process has a last moment, at a third none:
/// atomics, `setitimer` and `_exit` are safe in every context.
extern "C" fn count(number: libc::c_int) {
    let request = number == libc::SIGINT || number == libc::SIGTERM;
    if request && IMPATIENT.load(Ordering::Relaxed) {
        match stop_requests() {
            0 => {}
            1 => leave_soon(),
            _ => leave(number),
        }
    }
    if let Some(seen) = usize::try_from(number).ok().and_then(|number| SEEN.get(number)) {
        seen.fetch_add(1, Ordering::Relaxed);
    }
}

extern "C" fn leave(_: libc::c_int) {
    // SAFETY: ends the process at once; POSIX allows it in a handler.
    unsafe { libc::_exit(CUT_OFF) };
}

fn leave_soon() {
    let handler: extern "C" fn(libc::c_int) = leave;
    // SAFETY: the handler only ends the process.
    unsafe { libc::signal(libc::SIGALRM, handler as libc::sighandler_t) };
    let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let once = libc::timeval { tv_sec: 0, tv_usec: LAST_MOMENT };
    let timer = libc::itimerval { it_interval: never, it_value: once };
    // SAFETY: `timer` is valid, and a null old value is allowed.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
}

/// From now on a second Ctrl-C or request to end ends this process at once,
/// whatever it hangs in.
pub fn leave_at_second_request() {
    IMPATIENT.store(true, Ordering::Relaxed);
}

/// A file that reaches the limit of its size (`ulimit -f`) is an error of that
/// write alone, as on a full disk, instead of this program's death.
pub fn survive_file_size_limit() {
    // SAFETY: ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
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
