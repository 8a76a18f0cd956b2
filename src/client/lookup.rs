//! Looking a name up again in the background, so that a slow resolver costs
//! the schedule nothing.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};

use crate::net::resolve::{Family, ResolveError, resolve};
use crate::os::thread;

/// Looks a name up again after so many failures in a row.
#[derive(Debug)]
pub struct LookUp {
    host: String,
    port: u16,
    family: Family,
    after: u64,
    failures: u64,
    under_way: Option<Receiver<Result<Vec<SocketAddr>, ResolveError>>>,
}

impl LookUp {
    /// For this name, after `after` failures in a row.
    pub fn new(host: String, port: u16, family: Family, after: u64) -> Self {
        Self { host, port, family, after, failures: 0, under_way: None }
    }

    /// Something was reached.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Nothing was reached; the last of so many failures begins a look-up.
    pub fn failed(&mut self) {
        self.failures += 1;
        if self.failures < self.after || self.under_way.is_some() {
            return;
        }
        self.failures = 0;
        self.begin();
    }

    /// Looks the name up now, unless that is under way.
    pub fn begin(&mut self) {
        if self.under_way.is_some() {
            return;
        }
        match self.start() {
            Ok(under_way) => self.under_way = Some(under_way),
            Err(error) => log::warn!("cannot look {} up again: {error}", self.host),
        }
    }

    fn start(&self) -> io::Result<Receiver<Result<Vec<SocketAddr>, ResolveError>>> {
        let (host, port, family) = (self.host.clone(), self.port, self.family);
        let (found, under_way) = sync_channel(1);
        let look_up = move || {
            // Nobody waits for it when the run has ended.
            let _ = found.send(resolve(&host, port, family));
        };
        thread::start("look-up", None, Box::new(look_up))?;
        Ok(under_way)
    }

    /// Whether a look-up has begun whose result was not taken.
    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// What a look-up has brought since the last time it was asked for.
    pub fn fresh(&mut self) -> Option<Vec<SocketAddr>> {
        let found = match self.under_way.as_ref()?.try_recv() {
            Err(TryRecvError::Empty) => return None,
            found => found.ok(),
        };
        self.under_way = None;
        found?.inspect_err(|error| log::warn!("{error}")).ok()
    }
}
