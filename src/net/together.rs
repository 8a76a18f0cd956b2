//! Many connections waited for at once.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use crate::clock::Mono;
use crate::os::clock;
use crate::os::epoll::{Epoll, Found, Wanted};

/// Everything that is waited for in one call.
pub struct Together {
    set: Rc<Epoll>,
    found: Found,
}

/// The share of one of those who wait together: descriptors added here are told
/// of by its number. What is closed is waited for no more.
#[derive(Debug, Clone)]
pub struct Share {
    set: Rc<Epoll>,
    number: u64,
}

impl fmt::Debug for Together {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together").field("set", &self.set).finish_non_exhaustive()
    }
}

impl Together {
    /// Nobody yet.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn new() -> io::Result<Self> {
        Ok(Self { set: Rc::new(Epoll::new()?), found: Found::new() })
    }

    /// The share of number `number`.
    pub fn share(&self, number: usize) -> Share {
        Share { set: Rc::clone(&self.set), number: u64::try_from(number).unwrap_or(u64::MAX) }
    }

    /// Waits until there is something for somebody, until `until`, or until a
    /// signal arrives. `ready` gets their numbers; one may stand there twice.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn wait(&mut self, until: Mono, ready: &mut Vec<usize>) -> io::Result<Mono> {
        self.set.wait(until, &mut self.found)?;
        let at = clock::now();
        ready.extend(self.found.keys().filter_map(|key| usize::try_from(key).ok()));
        Ok(at)
    }
}

impl Share {
    /// Waits for bytes of `socket`, for its end, and where `for_room` for room to
    /// write or the end of its handshake.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn watch(&self, socket: BorrowedFd<'_>, for_room: bool) -> io::Result<()> {
        let wanted = Wanted { readable: true, writable: for_room };
        match self.set.change(socket, self.number, wanted) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.set.add(socket, self.number, wanted)
            }
            done => done,
        }
    }
}
