//! `echotest loopback`: this host alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::thread;

use super::Status;
use super::client;
use super::error::Failure;
use super::matches::Matches;
use super::target::{Target, family};
use crate::net::listen;
use crate::net::notify::Notifier;
use crate::net::resolve::Family;
use crate::server::{Limits, SERVICES, Service, Settings, serve};

/// One client, and the connections that it makes again.
const LIMITS: Limits = Limits { max_clients: 8, max_per_host: 8 };

/// Serves on a free port of the loopback interface and measures that. The
/// server ends with the process.
pub(super) fn run(matches: &Matches) -> Result<Status, Failure> {
    const ECHO: &Service = &SERVICES[0];
    let ip = match family(matches)? {
        Family::V6 => IpAddr::from(Ipv6Addr::LOCALHOST),
        Family::Any | Family::V4 => IpAddr::from(Ipv4Addr::LOCALHOST),
    };
    let listeners = listen::tcp(&[ip], 0)?;
    let port = listeners.first().map_or(Ok(0), |listener| Ok(listener.local_addr()?.port()));
    let port = port.map_err(|error: std::io::Error| Failure::Setup(Box::new(error)))?;
    thread::Builder::new().spawn(move || {
        if let Err(error) =
            serve(listeners, ECHO, &LIMITS, Settings::default(), Notifier::default())
        {
            log::error!("the loopback server ended: {error}");
        }
    })?;
    let host = ip.to_string();
    client::measure(matches, &mut Target { command: "loopback", host, port, look_up: None })
}
