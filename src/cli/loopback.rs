//! `echotest loopback`: this host alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use super::Status;
use super::client::Measurement;
use super::error::{Failure, UsageError};
use super::logging::Destination;
use super::matches::Matches;
use super::target::Target;
use crate::net::notify::Notifier;
use crate::net::resolve::Family;
use crate::net::{Waiting, listen};
use crate::os::thread;
use crate::server::service::ECHO;
use crate::server::{Limits, Settings, serve};

/// One client with as many flows as it may have, and the connections that it makes
/// again.
const LIMITS: Limits = Limits { max_clients: 264, max_per_host: 264 };

/// What the client does; whom it measures is known only when the server listens.
#[derive(Debug)]
pub(super) struct Options(Measurement);

impl super::command::Options for Options {
    fn of(matches: &Matches) -> Result<Self, UsageError> {
        Measurement::of(matches).map(Self)
    }

    fn log(&self) -> Destination {
        Destination { quiet_server: true, ..Destination::default() }
    }

    /// Serves on a free port of the loopback interface and measures that. The
    /// server ends with the process.
    fn run(self) -> Result<Status, Failure> {
        let Self(measurement) = self;
        let ip = match measurement.way.family {
            Family::V6 => IpAddr::from(Ipv6Addr::LOCALHOST),
            Family::Any | Family::V4 => IpAddr::from(Ipv4Addr::LOCALHOST),
        };
        let port = serve_here(ip, measurement.accuracy.waiting())?.port();
        let host = ip.to_string();
        measurement.run(&mut Target { command: "loopback", host, port, look_up: None, dscp: None })
    }
}

/// An echo server on a free port of this host, as long as the process lives.
pub(super) fn serve_here(ip: IpAddr, waiting: Waiting) -> Result<SocketAddr, Failure> {
    let listeners = listen::tcp(&[ip], 0)?;
    let address = listeners.first().map_or_else(|| Ok((ip, 0).into()), TcpListener::local_addr)?;
    let settings = Settings { busy_poll: waiting == Waiting::Spin, ..Settings::default() };
    let serving = move || {
        if let Err(error) = serve(listeners, &ECHO, &LIMITS, settings, Notifier::default()) {
            log::error!("the loopback server ended: {error}");
        }
    };
    thread::start("loopback", None, Box::new(serving))?;
    Ok(address)
}
