//! Looking a name up again in the background, so that a slow resolver costs
//! the schedule nothing.

use std::io;
use std::net::SocketAddr;
use std::thread::{self, JoinHandle};

use crate::net::resolve::{Family, ResolveError, resolve};

/// Looks a name up again after so many failures in a row.
#[derive(Debug)]
pub struct LookUp {
    host: String,
    port: u16,
    family: Family,
    after: u64,
    failures: u64,
    under_way: Option<JoinHandle<Result<Vec<SocketAddr>, ResolveError>>>,
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

    fn start(&self) -> io::Result<JoinHandle<Result<Vec<SocketAddr>, ResolveError>>> {
        let (host, port, family) = (self.host.clone(), self.port, self.family);
        thread::Builder::new().spawn(move || resolve(&host, port, family))
    }

    /// Whether a look-up has begun whose result was not taken.
    pub fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// What a look-up has brought since the last time it was asked for.
    pub fn fresh(&mut self) -> Option<Vec<SocketAddr>> {
        let under_way = self.under_way.take_if(|under_way| under_way.is_finished())?;
        match under_way.join() {
            Ok(Ok(addresses)) => Some(addresses),
            Ok(Err(error)) => {
                log::warn!("{error}");
                None
            }
            Err(_) => None,
        }
    }
}
