//! Whom a client measures and how it connects, from its arguments.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::error::{Failure, UsageError};
use super::habits;
use super::matches::Matches;
use super::options::Address;
use super::value::{Kind, Value};
use crate::net::Dialer;
use crate::net::resolve::{Family, resolve};
use crate::os::clock;
use crate::os::socket::{ConnectOptions, Interface};

/// Whom to measure.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The command that asks.
    pub(super) command: &'static str,
    /// The host as the user gave it.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// How long looking the name up took; `None` for a numeric address.
    pub(super) look_up: Option<Duration>,
    /// How its packets are marked.
    pub(super) dscp: Option<u8>,
}

impl Target {
    /// The host and port that the arguments name.
    ///
    /// # Errors
    ///
    /// PORT is none.
    pub(super) fn of(matches: &Matches) -> Result<Self, UsageError> {
        let command = matches.command();
        let host = matches.positional_at(0).unwrap_or_default().to_owned();
        if let Some(problem) = habits::host(command, &host) {
            return Err(matches.usage(problem));
        }
        let port = match matches.positional_at(1) {
            Some(text) if habits::swapped(&host, text) => {
                let right = format!("echotest {} {text} {host}", command.name);
                return Err(matches.usage(format!("HOST comes before PORT: {right}")));
            }
            Some(text) => port(matches, text)?,
            None => command.port.unwrap_or_default(),
        };
        Ok(Self { command: command.name, host, port, look_up: None, dscp: None })
    }

    /// A further target: `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`; without a port it is
    /// `port`.
    pub(super) fn further(matches: &Matches, text: &str, port: u16) -> Result<Self, UsageError> {
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once("]:"));
        let bare = is_numeric(text) || text.matches(':').count() > 1;
        let (host, given) = match (bracketed, text.rsplit_once(':')) {
            (Some((host, given)), _) => (host, Some(given)),
            (None, Some((host, given))) if !bare => (host, Some(given)),
            _ => (text, None),
        };
        let port = given.map_or(Ok(port), |given| self::port(matches, given))?;
        let host = host.to_owned();
        Ok(Self { command: matches.command().name, host, port, look_up: None, dscp: None })
    }

    /// Why no connection was made, in one line.
    pub(super) fn not_connected(&self, address: SocketAddr, error: &io::Error) -> Failure {
        Failure::NoReply(format!("cannot connect to {} ({address}): {}", self.host, reason(error)))
    }
}

fn port(matches: &Matches, text: &str) -> Result<u16, UsageError> {
    let kind = Kind::Number { least: 1, most: 65535 };
    let port = kind.read(text).and_then(|value| match value {
        Value::Whole(port) => u16::try_from(port).ok(),
        _ => None,
    });
    port.ok_or_else(|| matches.usage(format!("PORT {text:?}: accepted is {}", kind.accepts())))
}

/// From where and how to connect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) family: Family,
    source: Option<IpAddr>,
    interface: Option<Interface>,
    dscp: Option<u8>,
}

impl Way {
    /// # Errors
    ///
    /// Options that exclude each other.
    pub(super) fn of(matches: &Matches) -> Result<Self, UsageError> {
        let Address { ipv4, ipv6, bind, interface, dscp } = Address::of(matches);
        let family = match (ipv4, ipv6) {
            (false, false) => Family::Any,
            (true, false) => Family::V4,
            (false, true) => Family::V6,
            (true, true) => return Err(matches.usage("-4 and -6 exclude each other".to_owned())),
        };
        let interface = interface.map(|name| {
            let known = Interface::named(&name);
            known.ok_or_else(|| {
                matches.usage(format!("--interface {name}: this host has none such"))
            })
        });
        Ok(Self { family, source: bind, interface: interface.transpose()?, dscp })
    }
}

fn is_numeric(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    // A link-local address has its interface behind it.
    let (address, _) = bare.split_once('%').unwrap_or((bare, ""));
    address.parse::<IpAddr>().is_ok()
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            "connection refused: the host is up, nothing listens on this port".to_owned()
        }
        io::ErrorKind::TimedOut => {
            "timed out: a firewall may drop it, or the host is down".to_owned()
        }
        io::ErrorKind::Interrupted => "interrupted".to_owned(),
        _ => error.to_string(),
    }
}

/// An address of this host that cannot reach any address of the target.
#[derive(Debug)]
struct OtherFamily(IpAddr);

impl fmt::Display for OtherFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--bind {}: the host has no address of that family", self.0)
    }
}

impl std::error::Error for OtherFamily {}

/// An address to connect from that is another host's.
#[derive(Debug)]
struct Foreign {
    address: IpAddr,
    source: io::Error,
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--bind {} is no address of this host", self.address)
    }
}

impl std::error::Error for Foreign {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Where `--bind` named an address that this host does not have.
pub(super) fn foreign(dialer: &Dialer, error: &io::Error) -> Option<Failure> {
    let address = dialer.options.source?.ip();
    let kind = error.kind();
    let source = io::Error::new(kind, error.to_string());
    (kind == io::ErrorKind::AddrNotAvailable).then(|| Foreign { address, source }.into())
}

/// Where to connect to, and how.
pub(super) fn dialer(way: &Way, target: &mut Target, timeout: Duration) -> Result<Dialer, Failure> {
    target.dscp = way.dscp;
    let began = clock::now();
    let mut addresses = resolve(&target.host, target.port, way.family)?;
    if !is_numeric(&target.host) {
        target.look_up = Some(clock::now().since(began));
    }
    if let Some(source) = way.source {
        addresses.retain(|address| address.is_ipv4() == source.is_ipv4());
        if addresses.is_empty() {
            return Err(OtherFamily(source).into());
        }
    }
    let source = way.source.map(|ip| (ip, 0).into());
    Ok(Dialer {
        addresses,
        options: ConnectOptions {
            source,
            interface: way.interface,
            dscp: way.dscp,
            ..ConnectOptions::default()
        },
        timeout,
    })
}
