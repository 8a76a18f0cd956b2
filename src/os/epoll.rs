//! Waiting for many descriptors at a cost that grows with those that are ready.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use super::poll::{self, Interest};
use super::{check, clock};
use crate::clock::Mono;

/// What to wait for on a descriptor. An end, an error or something in its error
/// queue always ends a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Bytes, a connection or an end.
    pub(crate) readable: bool,
    /// Room to write, or the end of a connect.
    pub(crate) writable: bool,
}

/// A set of descriptors, each known by a number of the caller's.
#[derive(Debug)]
pub(crate) struct Epoll {
    fd: OwnedFd,
}

/// Descriptors that one wait can tell of; others are told of by the next.
pub(crate) const MOST_TOLD: usize = 256;

/// What a wait found.
pub(crate) struct Found {
    events: [libc::epoll_event; MOST_TOLD],
    count: usize,
}

impl Found {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self { events: [libc::epoll_event { events: 0, u64: 0 }; MOST_TOLD], count: 0 }
    }

    /// The numbers of the descriptors that are ready.
    pub(crate) fn keys(&self) -> impl Iterator<Item = u64> {
        self.events.iter().take(self.count).map(|event| event.u64)
    }
}

/// A kernel before 5.11 has no wait to the nanosecond on such a set.
static WITHOUT_PWAIT2: AtomicBool = AtomicBool::new(false);

/// The kernel's 64-bit `struct __kernel_timespec`, on every target.
#[repr(C)]
struct Span {
    seconds: i64,
    nanos: i64,
}

impl Epoll {
    /// An empty set.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes a number only.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: `fd` is new and nobody else's.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Waits for `fd` too, until it is closed.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, key: u64, wanted: Wanted) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, key, wanted)
    }

    /// Waits for something else of it.
    pub(crate) fn change(&self, fd: BorrowedFd<'_>, key: u64, wanted: Wanted) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, key, wanted)
    }

    fn control(
        &self,
        what: libc::c_int,
        fd: BorrowedFd<'_>,
        key: u64,
        wanted: Wanted,
    ) -> io::Result<()> {
        let read = if wanted.readable { libc::EPOLLIN } else { 0 };
        let write = if wanted.writable { libc::EPOLLOUT } else { 0 };
        let mut event = libc::epoll_event { events: (read | write).cast_unsigned(), u64: key };
        // SAFETY: both descriptors live, and `event` outlives the call.
        check(unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), what, fd.as_raw_fd(), &raw mut event)
        })?;
        Ok(())
    }

    /// Waits until something is ready, until `until`, or until a signal arrives.
    pub(crate) fn wait(&self, until: Mono, found: &mut Found) -> io::Result<()> {
        found.count = 0;
        loop {
            let (part, last) = poll::part(until);
            let result = if WITHOUT_PWAIT2.load(Ordering::Relaxed) {
                self.poll_and_look(clock::now(), part, found)
            } else {
                self.pwait2(part, found)
            };
            match result {
                Ok(0) if !last => {}
                Ok(count) => {
                    found.count = count;
                    return Ok(());
                }
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => return Ok(()),
                    // A sandbox may forbid what it does not know.
                    Some(libc::ENOSYS | libc::EPERM) => {
                        if WITHOUT_PWAIT2.swap(true, Ordering::Relaxed) {
                            return Err(error);
                        }
                    }
                    _ => return Err(error),
                },
            }
        }
    }

    fn pwait2(&self, nanos: u64, found: &mut Found) -> io::Result<usize> {
        const SECOND: u64 = 1_000_000_000;
        let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let span = Span { seconds: whole(nanos / SECOND), nanos: whole(nanos % SECOND) };
        // SAFETY: `events` has room for as many events as are asked for, `span`
        // is the kernel's own structure, and no signal mask is given.
        let count = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.fd.as_raw_fd(),
                found.events.as_mut_ptr(),
                libc::c_int::try_from(MOST_TOLD).unwrap_or(1),
                &raw const span,
                std::ptr::null::<libc::sigset_t>(),
                0_usize,
            )
        };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// The set is a descriptor too: `ppoll` waits for it to the nanosecond.
    fn poll_and_look(&self, now: Mono, nanos: u64, found: &mut Found) -> io::Result<usize> {
        let until = Mono(now.0.saturating_add(nanos));
        poll::wait(&mut [Interest::read(self.fd.as_fd())], until)?;
        // SAFETY: `events` has room for as many events as are asked for.
        let count = check(unsafe {
            libc::epoll_wait(
                self.fd.as_raw_fd(),
                found.events.as_mut_ptr(),
                libc::c_int::try_from(MOST_TOLD).unwrap_or(1),
                0,
            )
        })?;
        Ok(usize::try_from(count).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    const READ: Wanted = Wanted { readable: true, writable: false };

    fn keys(found: &Found) -> Vec<u64> {
        found.keys().collect()
    }

    #[test]
    fn both_ways_of_waiting_tell_who_is_ready_and_when_time_is_up() {
        let pairs = [UnixStream::pair().unwrap(), UnixStream::pair().unwrap()];
        let set = Epoll::new().unwrap();
        for (key, (_, far)) in pairs.iter().enumerate() {
            set.add(far.as_fd(), 40 + key as u64, READ).unwrap();
        }
        let mut found = Found::new();
        let until = clock::now() + Duration::from_millis(3);
        set.wait(until, &mut found).unwrap();
        assert!(keys(&found).is_empty() && clock::now() >= until);
        assert_eq!(set.poll_and_look(clock::now(), 1, &mut found).unwrap(), 0);

        (&pairs[1].0).write_all(b"x").unwrap();
        set.wait(Mono::NEVER, &mut found).unwrap();
        assert_eq!(keys(&found), [41]);
        assert_eq!(set.poll_and_look(clock::now(), u64::MAX, &mut found).unwrap(), 1);

        let both = Wanted { readable: true, writable: true };
        set.change(pairs[0].1.as_fd(), 7, both).unwrap();
        set.wait(Mono::NEVER, &mut found).unwrap();
        assert!(keys(&found).contains(&7));
    }
}
