//! The protocols that the server speaks.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use super::Account;
use super::{echo, measurement};

/// What a session runs over: a socket, or octets in a test.
pub trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

/// What a session is told besides its connection.
#[derive(Clone, Copy)]
pub struct Context<'server> {
    /// The client's address, IPv4 as such even on an IPv6 socket.
    pub peer: SocketAddr,
    /// Whether the server is ending its sessions.
    pub stopping: &'server dyn Fn() -> bool,
}

/// One protocol of the server.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Its name on the command line and in the log.
    pub name: &'static str,
    /// Its usual TCP port.
    pub port: u16,
    /// Silence after which a client is closed, unless the user chose; zero is
    /// never.
    pub idle_timeout: Duration,
    /// Serves one client to its end.
    pub serve: fn(&mut dyn Connection, &Context<'_>) -> Account,
}

/// Every protocol; the first is the default.
pub const SERVICES: [Service; 2] = [
    Service { name: "echo", port: 7, idle_timeout: Duration::ZERO, serve: echo::serve },
    Service {
        name: "measure",
        port: 9900,
        idle_timeout: Duration::from_mins(1),
        serve: measurement::serve,
    },
];
