//! Sockets that listen.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

pub use crate::os::inherit::Passed;
use crate::os::{inherit, socket};

/// Connections that may wait to be accepted; the kernel lowers it to
/// `net.core.somaxconn`. A burst of clients should find room: `std`'s own 128
/// loses SYNs and costs each loser a second.
const BACKLOG: i32 = 4096;

/// An address that cannot be listened on.
#[derive(Debug)]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Whether it was to be had for UDP, not for TCP.
    pub is_udp: bool,
    /// What the kernel said.
    pub source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (protocol, letter) = if self.is_udp { ("UDP ", 'u') } else { ("", 't') };
        write!(f, "cannot listen on {protocol}{}", self.address)?;
        match self.source.kind() {
            io::ErrorKind::PermissionDenied => write!(
                f,
                ": ports below 1024 need a right: start it through the systemd socket unit, \
                 or run 'setcap cap_net_bind_service=+ep' on the binary, or choose another --port"
            ),
            io::ErrorKind::AddrInUse => write!(
                f,
                ": another server has it (see 'ss -l{letter}np'); stop it or choose another --port"
            ),
            io::ErrorKind::AddrNotAvailable => write!(f, ": no interface of this host has it"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Listens on each address, or, if none is given, on every address of this
/// host, IPv6 and IPv4.
///
/// # Errors
///
/// The first address that could not be had; none stays bound then.
pub fn tcp(addresses: &[IpAddr], port: u16) -> Result<Vec<TcpListener>, BindError> {
    if addresses.is_empty() {
        return everywhere(port);
    }
    let ipv6_only = addresses.iter().any(IpAddr::is_ipv4);
    let bind = |&ip: &IpAddr| one(SocketAddr::new(ip, port), ipv6_only);
    addresses.iter().map(bind).collect()
}

/// The sockets that systemd passed to this process, if it did
/// (`sd_listen_fds(3)`).
///
/// # Errors
///
/// Something that was passed is neither a listening TCP socket nor one of UDP.
pub fn passed() -> io::Result<Option<Passed>> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    match (number("LISTEN_PID"), number("LISTEN_FDS")) {
        (Some(pid), Some(count)) if pid == std::process::id() && count > 0 => {
            let count = i32::try_from(count).unwrap_or(i32::MAX);
            inherit::passed_sockets(count).map(Some)
        }
        _ => Ok(None),
    }
}

fn everywhere(port: u16) -> Result<Vec<TcpListener>, BindError> {
    let ipv6 = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    let ipv4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    match one(ipv6, false) {
        Ok(listener) => Ok(vec![listener]),
        // A kernel without IPv6 knows neither the family nor its wildcard.
        Err(error) if no_ipv6(&error.source) => Ok(vec![one(ipv4, false)?]),
        Err(error) => Err(error),
    }
}

fn no_ipv6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(socket::NO_SUCH_FAMILY)
        || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn one(address: SocketAddr, ipv6_only: bool) -> Result<TcpListener, BindError> {
    socket::listen(&address, ipv6_only, BACKLOG).map_err(|source| BindError {
        address,
        is_udp: false,
        source,
    })
}
