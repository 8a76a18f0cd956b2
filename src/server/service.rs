//! The protocols that the server speaks.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::Account;
use super::budget::Budget;
use super::ping::Losses;
use super::throttle::News;
use super::twamp::TwampHost;
use super::{echo, measurement, ping, twamp};
use crate::net::network::Allowed;

/// What a session runs over: a socket, or bytes in a test.
pub trait Connection: Read + Write {
    /// How long the reads from now on wait; `None` is for ever. What never
    /// waits has nothing to set.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    fn wait_at_most(&mut self, span: Option<Duration>) -> io::Result<()> {
        let _ = span;
        Ok(())
    }
}

impl Connection for &TcpStream {
    fn wait_at_most(&mut self, span: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(span)
    }
}

/// What the user chose for all sessions.
#[derive(Debug)]
pub struct Settings {
    /// Silence after which a client is closed.
    pub idle_timeout: Option<Duration>,
    /// Look for bytes instead of sleeping, while they keep coming.
    pub busy_poll: bool,
    /// Which pings are answered `LOST`.
    pub losses: Losses,
    /// Whom it serves.
    pub allowed: Arc<Allowed>,
    /// What TWAMP's control connections share.
    pub twamp: TwampHost,
    /// Sessions that end, in the log.
    pub endings: News,
    /// Messages that clients send, in the log.
    pub messages: News,
    /// Memory for messages that are not complete.
    pub budget: Budget,
}

/// Sessions whose end is told in a second: a monitor that connects every second from
/// each of a hundred hosts has all of its lines.
const MOST_ENDINGS: u32 = 100;
/// Messages that are told in a second, each in two lines of some hundred bytes.
const MOST_MESSAGES: u32 = 30;

impl Default for Settings {
    fn default() -> Self {
        Self {
            idle_timeout: None,
            busy_poll: false,
            losses: Losses::new(0.0, None),
            allowed: Arc::default(),
            twamp: TwampHost::default(),
            endings: News::new(MOST_ENDINGS),
            messages: News::new(MOST_MESSAGES),
            budget: Budget::default(),
        }
    }
}

/// What a session is told besides its connection.
#[derive(Clone, Copy)]
pub struct Context<'server> {
    /// The client's address, IPv4 as such even on an IPv6 socket.
    pub peer: SocketAddr,
    /// The server's own address on this connection, likewise.
    pub local: SocketAddr,
    /// Whether the server is ending its sessions.
    pub stopping: &'server dyn Fn() -> bool,
    /// What the user chose.
    pub settings: &'server Settings,
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
    /// Whether it reflects datagrams on the same port of UDP too.
    pub has_light: bool,
    /// Serves one client to its end.
    pub serve: fn(&mut dyn Connection, &Context<'_>) -> Account,
}

/// RFC 862.
pub const ECHO: Service = Service {
    name: "echo",
    port: 7,
    idle_timeout: Duration::ZERO,
    has_light: false,
    serve: echo::serve,
};

/// The s/m/t protocol.
pub const MEASURE: Service = Service {
    name: "measure",
    port: 9900,
    idle_timeout: Duration::from_mins(1),
    has_light: false,
    serve: measurement::serve,
};

/// TCP ping.
pub const PING: Service = Service {
    name: "ping",
    port: 12001,
    idle_timeout: Duration::from_mins(1),
    has_light: false,
    serve: ping::serve,
};

/// RFC 5357; control on TCP, light reflectors on the same port of UDP (RFC 8545).
pub const TWAMP: Service = Service {
    name: "twamp",
    port: 862,
    // SERVWAIT (RFC 5357, section 3.1).
    idle_timeout: Duration::from_mins(15),
    has_light: true,
    serve: twamp::serve,
};

/// Every protocol; the first is the default.
pub const SERVICES: [Service; 4] = [ECHO, MEASURE, PING, TWAMP];
