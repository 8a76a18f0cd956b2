//! Word to the service manager (`sd_notify(3)`).

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::clock::Mono;

/// Where the service manager wants to hear from this process, if there is one.
#[derive(Debug, Default)]
pub struct Notifier {
    target: Option<(UnixDatagram, SocketAddr)>,
    /// How often it wants a sign of life.
    watchdog: Option<Duration>,
    next_sign: Mono,
    status: String,
}

impl Notifier {
    /// As the environment says.
    pub fn from_env() -> Self {
        let target = env::var_os("NOTIFY_SOCKET").and_then(|path| {
            let address = match path.as_bytes() {
                [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
                name => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name)),
            };
            let (socket, address) = (UnixDatagram::unbound().ok()?, address.ok()?);
            // While this process may: the server gives up its rights soon.
            let _ = socket.connect_addr(&address);
            Some((socket, address))
        });
        Self { target, watchdog: watchdog(), ..Self::default() }
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.target {
            // A manager that does not listen is no reason not to serve; one that
            // was started anew has another socket of that name.
            if socket.send(text.as_bytes()).is_err() {
                let _ = socket.send_to_addr(text.as_bytes(), address);
            }
        }
    }

    /// The sockets listen.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={status}"));
    }

    /// This process is about to end.
    pub fn stopping(&self) {
        self.send("STOPPING=1\nSTATUS=stopping");
    }

    /// What it is doing, told when it has changed.
    pub fn status(&mut self, status: String) {
        if self.target.is_some() && status != self.status {
            self.send(&format!("STATUS={status}"));
            self.status = status;
        }
    }

    /// A sign of life when one is due; the time by which to call again.
    pub fn sign_of_life(&mut self, now: Mono) -> Mono {
        let Some(period) = self.watchdog else { return Mono::NEVER };
        if now >= self.next_sign {
            self.send("WATCHDOG=1");
            // Twice as often as asked for, as the manual advises.
            self.next_sign = now + period / 2;
        }
        self.next_sign
    }
}

fn watchdog() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    let for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let period = number("WATCHDOG_USEC").filter(|&period| for_us && period > 0)?;
    Some(Duration::from_micros(period))
}
