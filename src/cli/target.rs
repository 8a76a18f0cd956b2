//! Whom a client measures and how it connects, from its arguments.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::error::Failure;
use super::matches::Matches;
use super::value::{Kind, Value};
use crate::net::Dialer;
use crate::net::resolve::{Family, resolve};
use crate::os::clock;
use crate::os::socket::ConnectOptions;

/// Whom to measure.
pub(super) struct Target {
    /// The command that asks.
    pub(super) command: &'static str,
    /// The host as the user gave it.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// How long looking the name up took; `None` for a numeric address.
    pub(super) look_up: Option<Duration>,
}

impl Target {
    /// The host and port that the arguments name.
    pub(super) fn of(matches: &Matches, usual_port: u16) -> Result<Self, Failure> {
        let host = matches.positional_at(0).unwrap_or_default().to_owned();
        let port = port(matches, usual_port)?;
        Ok(Self { command: matches.command_name(), host, port, look_up: None })
    }

    /// Why no connection was made, in one line.
    pub(super) fn not_connected(&self, address: SocketAddr, error: &io::Error) -> Failure {
        Failure::NoReply(format!("cannot connect to {} ({address}): {}", self.host, reason(error)))
    }
}

fn port(matches: &Matches, usual: u16) -> Result<u16, Failure> {
    let Some(text) = matches.positional_at(1) else {
        return Ok(usual);
    };
    let kind = Kind::Number { least: 1, most: 65535 };
    let port = kind.read(text).and_then(|value| match value {
        Value::Whole(port) => u16::try_from(port).ok(),
        _ => None,
    });
    port.ok_or_else(|| {
        matches.usage(format!("PORT {text:?}: accepted is {}", kind.accepts())).into()
    })
}

/// The address family asked for.
pub(super) fn family(matches: &Matches) -> Result<Family, Failure> {
    match (matches.flag("ipv4"), matches.flag("ipv6")) {
        (false, false) => Ok(Family::Any),
        (true, false) => Ok(Family::V4),
        (false, true) => Ok(Family::V6),
        (true, true) => Err(matches.usage("-4 and -6 exclude each other".to_owned()).into()),
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

/// Where to connect to, and how.
pub(super) fn dialer(
    matches: &Matches,
    target: &mut Target,
    timeout: Duration,
) -> Result<Dialer, Failure> {
    let began = clock::now();
    let mut addresses = resolve(&target.host, target.port, family(matches)?)?;
    if !is_numeric(&target.host) {
        target.look_up = Some(clock::now().since(began));
    }
    let source = matches.addresses("bind").first().copied();
    if let Some(source) = source {
        addresses.retain(|address| address.is_ipv4() == source.is_ipv4());
        if addresses.is_empty() {
            return Err(OtherFamily(source).into());
        }
    }
    let options = ConnectOptions {
        source: source.map(|ip| (ip, 0).into()),
        dscp: matches.whole("dscp").and_then(|dscp| u8::try_from(dscp).ok()),
    };
    Ok(Dialer { addresses, options, timeout })
}
