//! The sessions under way, so that a stopping server can end them.

use std::collections::HashMap;
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Every open session's socket.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<Open>,
    one_ended: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    sockets: HashMap<u64, Arc<TcpStream>>,
    stopping: bool,
}

/// A session under way; it is out of the list when this is dropped.
#[derive(Debug)]
pub struct Entry {
    id: u64,
    sessions: Arc<Sessions>,
}

impl Sessions {
    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a session into the list.
    pub fn enter(self: &Arc<Self>, socket: Arc<TcpStream>) -> Entry {
        let mut open = self.lock();
        let id = open.next;
        open.next += 1;
        open.sockets.insert(id, socket);
        Entry { id, sessions: Arc::clone(self) }
    }

    /// Gives all sessions `grace` to end by themselves, ends what is left, and
    /// waits a moment for them to say goodbye. Tells how many were ended.
    pub fn drain(&self, grace: Duration, goodbye: Duration) -> usize {
        let mut open = self.wait_until_empty(self.lock(), grace);
        open.stopping = true;
        let left = open.sockets.len();
        for socket in open.sockets.values() {
            // An error means that it has ended meanwhile.
            let _ = socket.shutdown(Shutdown::Both);
        }
        drop(self.wait_until_empty(open, goodbye));
        left
    }

    fn wait_until_empty<'open>(
        &self,
        open: std::sync::MutexGuard<'open, Open>,
        most: Duration,
    ) -> std::sync::MutexGuard<'open, Open> {
        self.one_ended
            .wait_timeout_while(open, most, |open| !open.sockets.is_empty())
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}

impl Entry {
    /// Whether it was ended by this server.
    pub fn stopping(&self) -> bool {
        self.sessions.lock().stopping
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.sessions.lock().sockets.remove(&self.id);
        self.sessions.one_ended.notify_all();
    }
}
