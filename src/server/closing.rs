//! The end of the threads that reflect datagrams: no connection ends with them,
//! and still the log is to tell each session's end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::seats::Seats;
use crate::net::DatagramSocket;
use crate::os::clock;

/// How long the threads are waited for: each looks up once in a slice.
const PATIENCE: Duration = DatagramSocket::SLICE.saturating_mul(4);
/// How often they are counted meanwhile.
const LOOK: Duration = Duration::from_millis(10);

/// Whether reflecting is to end; shared by all threads that do it.
#[derive(Debug, Clone, Default)]
pub struct Closing(Arc<AtomicBool>);

impl Closing {
    /// Whether it is.
    #[inline]
    pub fn begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// All that reflects in a server.
#[derive(Debug)]
pub struct Reflectors {
    /// What the threads look at.
    pub closing: Closing,
    /// Those of sessions hold a seat each.
    pub sessions: Seats,
    /// Those without a control connection.
    pub light: Vec<JoinHandle<()>>,
}

impl Reflectors {
    /// Ends them all, and waits until they have said so in the log.
    pub fn close(self) {
        self.closing.0.store(true, Ordering::Relaxed);
        for thread in self.light {
            // One that has panicked has said so.
            let _ = thread.join();
        }
        let until = clock::now() + PATIENCE;
        while self.sessions.taken() > 0 && clock::now() < until {
            clock::sleep_until(clock::now() + LOOK);
        }
    }
}
