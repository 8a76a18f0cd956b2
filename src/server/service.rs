//! The protocols that the server speaks.

use std::io::{Read, Write};
use std::net::SocketAddr;

use super::Account;
use super::echo;

/// What a session runs over: a socket, or octets in a test.
pub trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

/// What a session is told besides its connection.
#[derive(Debug, Clone, Copy)]
pub struct Context {
    /// The client's address, IPv4 as such even on an IPv6 socket.
    pub peer: SocketAddr,
}

/// One protocol of the server.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Its name on the command line and in the log.
    pub name: &'static str,
    /// Its usual TCP port.
    pub port: u16,
    /// Serves one client to its end.
    pub serve: fn(&mut dyn Connection, &Context) -> Account,
}

/// Every protocol; the first is the default.
pub const SERVICES: [Service; 1] = [Service { name: "echo", port: 7, serve: echo::serve }];
