//! Threads that work beside the one that measures.

use std::mem::MaybeUninit;

/// How far a thread in the background steps back where there are fewer
/// processors than threads: it gets a third of what the measuring one gets.
const NICE: libc::c_int = 5;

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
