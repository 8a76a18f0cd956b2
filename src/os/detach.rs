//! Leaving the terminal (`daemon(7)`), with word to the parent when ready.

use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd, OwnedFd};

use super::{check, inherit};

/// Which of the two processes this is after [`detach`].
#[derive(Debug)]
pub enum Detached {
    /// The one that was started: whether the other is ready.
    Parent {
        /// The child said so; else it has ended and printed why.
        ready: bool,
    },
    /// The one that stays.
    Child(Readiness),
}

/// The child's word to its parent.
#[derive(Debug)]
pub struct Readiness {
    pipe: File,
}

impl Readiness {
    /// Lets the parent end with success, and the terminal go.
    ///
    /// # Errors
    ///
    /// What silencing the standard streams says.
    pub fn ready(mut self) -> io::Result<()> {
        inherit::silence_standard_streams()?;
        // A parent that was killed meanwhile is no reason to end.
        let _ = self.pipe.write_all(b"ready");
        Ok(())
    }
}

fn pipe() -> io::Result<(File, File)> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors that are written.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: both are new and nobody else's.
    let owned = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    let [read, write] = owned.map(File::from);
    Ok((read, write))
}

/// Forks; true in the child.
fn fork() -> io::Result<bool> {
    // SAFETY: the callers are single-threaded: this is done before the first
    // thread is started, so that no lock is held by a thread that is not there.
    Ok(check(unsafe { libc::fork() })? == 0)
}

/// Lets go of what a caller may have left open, blocked or allowed: a lock of its
/// stays held as long as a descriptor is open, and a blocked request to end is never
/// heard. To be called before anything is opened and any thread is started.
///
/// # Errors
///
/// What the kernel says.
pub fn leave_caller() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    // SAFETY: takes numbers only. Nothing of this process has a descriptor yet.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, 0) };
    if closed != 0 {
        close_each()?;
    }
    // SAFETY: takes a number and gives another.
    unsafe { libc::umask(0o022) };
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `none` is valid for the call, which fills it.
    unsafe { libc::sigemptyset(none.as_mut_ptr()) };
    // SAFETY: `none` was filled by the call above; a null old mask is allowed.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut()) };
    Ok(())
}

/// Before Linux 5.9 there is no other way.
fn close_each() -> io::Result<()> {
    let open = std::fs::read_dir("/proc/self/fd")?.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        name.to_str()?.parse::<libc::c_int>().ok()
    });
    let open: Vec<libc::c_int> = open.filter(|fd| *fd > 2).collect();
    for fd in open {
        // SAFETY: takes a number. Nothing of this process has a descriptor yet, but
        // for the directory that was listed, which is closed by now.
        unsafe { libc::close(fd) };
    }
    Ok(())
}

/// Goes on in a child without a terminal, in a session of its own and unable
/// to get a terminal again. The parent waits until the child is ready or ends.
/// To be called before any thread is started.
///
/// # Errors
///
/// What `pipe`, `fork` or `setsid` says.
pub fn detach() -> io::Result<Detached> {
    let (mut read, write) = pipe()?;
    if !fork()? {
        drop(write);
        let mut word = String::new();
        read.read_to_string(&mut word)?;
        return Ok(Detached::Parent { ready: word == "ready" });
    }
    drop(read);
    // SAFETY: takes nothing and touches no memory.
    check(unsafe { libc::setsid() })?;
    // The session's leader goes, so that what stays can never get a terminal.
    if !fork()? {
        // SAFETY: ends this process at once without running what belongs to
        // the one that stays.
        unsafe { libc::_exit(0) };
    }
    std::env::set_current_dir("/")?;
    Ok(Detached::Child(Readiness { pipe: write }))
}
