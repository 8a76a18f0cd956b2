//! Waiting for sockets until an exact moment.

use std::io;
use std::os::fd::BorrowedFd;

use super::{check, clock};
use crate::clock::Mono;

/// What to wait for on one descriptor, and afterwards what was found.
#[derive(Debug)]
pub struct Interest<'fd> {
    fd: BorrowedFd<'fd>,
    /// Octets, a connection or an end can be taken from it.
    pub readable: bool,
    /// Octets can be put into it, or a connect has ended.
    pub writable: bool,
    /// Afterwards: there is nothing but something in its error queue.
    pub reported: bool,
}

impl<'fd> Interest<'fd> {
    /// Interest in what can be read.
    pub fn read(fd: BorrowedFd<'fd>) -> Self {
        Self { fd, readable: true, writable: false, reported: false }
    }

    /// Interest in room to write.
    pub fn write(fd: BorrowedFd<'fd>) -> Self {
        Self { fd, readable: false, writable: true, reported: false }
    }

    /// Interest in both.
    pub fn both(fd: BorrowedFd<'fd>) -> Self {
        Self { fd, readable: true, writable: true, reported: false }
    }

    fn to_poll(&self) -> libc::pollfd {
        use std::os::fd::AsRawFd;
        let read = if self.readable { libc::POLLIN } else { 0 };
        let write = if self.writable { libc::POLLOUT } else { 0 };
        libc::pollfd { fd: self.fd.as_raw_fd(), events: read | write, revents: 0 }
    }

    fn found(&mut self, events: libc::c_short) {
        self.reported = events == libc::POLLERR;
        let ended = libc::POLLERR | libc::POLLHUP | libc::POLLNVAL;
        self.readable &= events & (libc::POLLIN | ended) != 0;
        self.writable &= events & (libc::POLLOUT | ended) != 0;
    }
}

/// The most descriptors that one wait can watch.
pub const MAX_WATCHED: usize = 64;

/// The kernel may end a `ppoll` late by a thousandth of its span, whatever the
/// timer slack (`fs/select.c`): a packet a second left 1.1 ms late. So of a wait
/// longer than this the last part, a hundredth, is a wait of its own.
const LONG: u64 = 10_000_000;

/// Nanoseconds of the next wait on the way to `until`, and whether it is the last.
pub(super) fn part(until: Mono) -> (u64, bool) {
    let left = until.0.saturating_sub(clock::now().0);
    if left > LONG { (left - left / 100, false) } else { (left, true) }
}

/// Waits until something of what is asked for is there, until `until`, or
/// until a signal arrives. Each interest is left with what was found.
///
/// # Errors
///
/// What `ppoll` says, except `EINTR`: a signal is as if nothing was found.
/// More than [`MAX_WATCHED`] descriptors are `InvalidInput`.
pub fn wait(interests: &mut [Interest<'_>], until: Mono) -> io::Result<()> {
    let mut polled = [libc::pollfd { fd: -1, events: 0, revents: 0 }; MAX_WATCHED];
    let Some(polled) = polled.get_mut(..interests.len()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    for (slot, interest) in polled.iter_mut().zip(interests.iter()) {
        *slot = interest.to_poll();
    }
    let count = libc::nfds_t::try_from(polled.len()).unwrap_or(0);
    loop {
        let (part, last) = part(until);
        let span = clock::timespec(Mono(part));
        // SAFETY: `polled` holds exactly `count` entries and `span` is a valid
        // timespec; both outlive the call. No signal mask is given.
        let result =
            unsafe { libc::ppoll(polled.as_mut_ptr(), count, &raw const span, std::ptr::null()) };
        match check(result) {
            Ok(0) if !last => {}
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => break,
        }
    }
    for (slot, interest) in polled.iter().zip(interests) {
        interest.found(slot.revents);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    #[test]
    fn tells_what_is_ready_and_when_time_is_up() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let until = clock::now() + Duration::from_millis(3);
        let mut interests = [Interest::read(far.as_fd())];
        wait(&mut interests, until).unwrap();
        assert!(!interests[0].readable);
        assert!(clock::now() >= until);

        near.write_all(b"x").unwrap();
        let mut interests = [Interest::both(far.as_fd()), Interest::read(near.as_fd())];
        wait(&mut interests, Mono::NEVER).unwrap();
        assert!(interests[0].readable && interests[0].writable);
        assert!(!interests[1].readable);
    }

    #[test]
    fn an_end_counts_as_readable() {
        let (near, far) = UnixStream::pair().unwrap();
        drop(near);
        let mut interests = [Interest::read(far.as_fd())];
        wait(&mut interests, Mono::NEVER).unwrap();
        assert!(interests[0].readable);
    }
}
