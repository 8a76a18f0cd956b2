//! `echotest loopback`: this host alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::thread;

use super::Status;
use super::client;
use super::error::Failure;
use super::matches::Matches;
use super::measuring;
use super::target::{Target, family};
use crate::net::notify::Notifier;
use crate::net::resolve::Family;
use crate::net::{Waiting, listen};
use crate::server::{Limits, SERVICES, Service, Settings, serve};

/// One client, and the connections that it makes again.
const LIMITS: Limits = Limits { max_clients: 8, max_per_host: 8 };

/// Serves on a free port of the loopback interface and measures that. The
/// server ends with the process.
pub(super) fn run(matches: &Matches) -> Result<Status, Failure> {
    let ip = match family(matches)? {
        Family::V6 => IpAddr::from(Ipv6Addr::LOCALHOST),
        Family::Any | Family::V4 => IpAddr::from(Ipv4Addr::LOCALHOST),
    };
    let port = serve_here(ip, measuring::waiting(matches))?.port();
    let host = ip.to_string();
    client::measure(matches, &mut Target { command: "loopback", host, port, look_up: None })
}

/// An echo server on a free port of this host, as long as the process lives.
pub(super) fn serve_here(ip: IpAddr, waiting: Waiting) -> Result<SocketAddr, Failure> {
    const ECHO: &Service = &SERVICES[0];
    let listeners = listen::tcp(&[ip], 0)?;
    let address = listeners.first().map_or_else(|| Ok((ip, 0).into()), TcpListener::local_addr)?;
    let settings = Settings { busy_poll: waiting == Waiting::Spin, ..Settings::default() };
    thread::Builder::new().spawn(move || {
        if let Err(error) = serve(listeners, ECHO, &LIMITS, settings, Notifier::default()) {
            log::error!("the loopback server ended: {error}");
        }
    })?;
    Ok(address)
}
