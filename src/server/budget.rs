//! Memory that sessions may take for what their clients have not finished sending,
//! in all and from one host: connections are cheap, and 64 MiB each are not.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::seats::site;

/// What one host's sessions hold at most: one message of the longest kind.
const MOST_PER_HOST: usize = 65 << 20;
/// What all of them hold: three such hosts. The shipped unit gives the service
/// twice as much.
const MOST: usize = 195 << 20;
/// A session is counted in pieces of this size; below it costs less than its thread.
const PIECE: usize = 64 << 10;

#[derive(Debug, Default)]
struct Held {
    total: usize,
    per_host: HashMap<IpAddr, usize>,
}

/// The budget of a server.
#[derive(Debug, Clone, Default)]
pub struct Budget {
    held: Arc<Mutex<Held>>,
}

/// What one session holds; given back when this is dropped.
#[derive(Debug)]
pub struct Share {
    host: IpAddr,
    bytes: usize,
    held: Arc<Mutex<Held>>,
}

impl Budget {
    /// The share of a session of `host`, empty at first.
    pub fn share(&self, host: IpAddr) -> Share {
        Share { host: site(host), bytes: 0, held: Arc::clone(&self.held) }
    }
}

impl Share {
    /// Takes or gives back until the session may hold `bytes`. `false`: there are
    /// not so many left, and nothing has changed.
    pub fn set(&mut self, bytes: usize) -> bool {
        let wanted = bytes / PIECE * PIECE;
        if wanted == self.bytes {
            return true;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let of_host = held.per_host.get(&self.host).copied().unwrap_or(0);
        let (all, own) = (held.total - self.bytes + wanted, of_host - self.bytes + wanted);
        if wanted > self.bytes && (all > MOST || own > MOST_PER_HOST) {
            return false;
        }
        held.total = all;
        if own == 0 {
            held.per_host.remove(&self.host);
        } else {
            held.per_host.insert(self.host, own);
        }
        self.bytes = wanted;
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_has_its_share_and_all_have_theirs() {
        let budget = Budget::default();
        let share = |text: &str| budget.share(text.parse().unwrap());
        let mut one = share("10.0.0.1");
        assert!(one.set(64 << 20));
        let mut again = share("10.0.0.1");
        assert!(again.set(PIECE - 1), "little is free");
        assert!(!again.set(2 << 20), "the host has its share");
        assert!(one.set(PIECE) && again.set(2 << 20), "given back");
        let others: Vec<Share> = (0..3)
            .map(|number| {
                let mut share = share(&format!("10.0.1.{number}"));
                assert!(share.set(64 << 20));
                share
            })
            .collect();
        assert!(!share("10.0.2.1").set(64 << 20), "all have theirs");
        drop((one, again, others));
        let held = budget.held.lock().unwrap();
        assert_eq!((held.total, held.per_host.len()), (0, 0));
    }
}
