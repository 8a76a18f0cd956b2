//! Threads that work beside the one that measures.

use std::io;
use std::mem::MaybeUninit;
use std::thread::{Builder, JoinHandle};

/// How far a thread in the background steps back where there are fewer
/// processors than threads: it gets a third of what the measuring one gets.
const NICE: libc::c_int = 5;

/// Starts a thread of this name, with a stack of so many bytes where that matters.
/// Each kind of work would else bring its own copy of what it takes to start one.
///
/// # Errors
///
/// The kernel gives none.
pub fn start(
    name: &str,
    stack: Option<usize>,
    work: Box<dyn FnOnce() + Send>,
) -> io::Result<JoinHandle<()>> {
    let thread = Builder::new().name(name.to_owned());
    let thread = stack.into_iter().fold(thread, Builder::stack_size);
    thread.spawn(work)
}

/// Has this thread step back for the one that measures: it gets the processor
/// after that, its timers may be late, and signals end the other's waits.
pub fn step_back() {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `all` is valid for the call, which fills it.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: `all` was filled by the call above; a null old mask is allowed.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), std::ptr::null_mut()) };
    // SAFETY: takes numbers only. 0 is this thread, which Linux treats as a
    // process of its own here; lowering one's own priority needs no right.
    unsafe { libc::setpriority(libc::PRIO_PROCESS as _, 0, NICE) };
    // SAFETY: takes numbers only; this is the kernel's usual slack, 50 us.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 50_000_usize, 0_usize, 0_usize, 0_usize) };
}
