//! Names to addresses.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

/// Which addresses of a name will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// Both families, in the order that the resolver prefers.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl Family {
    /// Whether `address` belongs to it.
    pub fn admits(self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
        }
    }
}

/// A name that leads to no usable address.
#[derive(Debug)]
pub enum ResolveError {
    /// The resolver knows no such name, or did not answer.
    Failed {
        /// The name as it was given.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The name has addresses, but none of the family asked for.
    NoneOfFamily {
        /// The name as it was given.
        host: String,
        /// What was asked for: `IPv4` or `IPv6`.
        family: &'static str,
    },
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { host, .. } => write!(f, "cannot resolve {host:?}"),
            Self::NoneOfFamily { host, family } => write!(f, "{host:?} has no {family} address"),
        }
    }
}

impl std::error::Error for ResolveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed { source, .. } => Some(source),
            Self::NoneOfFamily { .. } => None,
        }
    }
}

/// All addresses of `host`, each once, in the resolver's order. A numeric IPv6
/// address may stand in brackets.
///
/// # Errors
///
/// When the name is unknown or has no address of the family.
pub fn resolve(host: &str, port: u16, family: Family) -> Result<Vec<SocketAddr>, ResolveError> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let found = (bare, port)
        .to_socket_addrs()
        .map_err(|source| ResolveError::Failed { host: host.to_owned(), source })?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.filter(|address| family.admits(address.ip())) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        let family = if family == Family::V6 { "IPv6" } else { "IPv4" };
        return Err(ResolveError::NoneOfFamily { host: host.to_owned(), family });
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_addresses_need_no_resolver() {
        let addresses = resolve("127.0.0.1", 7, Family::Any).unwrap();
        assert_eq!(addresses, ["127.0.0.1:7".parse().unwrap()]);
        for bracketed in ["::1", "[::1]"] {
            let addresses = resolve(bracketed, 7, Family::V6).unwrap();
            assert_eq!(addresses, ["[::1]:7".parse().unwrap()]);
        }
    }

    #[test]
    fn a_family_without_an_address_says_which() {
        let error = resolve("127.0.0.1", 7, Family::V6).unwrap_err();
        assert_eq!(error.to_string(), "\"127.0.0.1\" has no IPv6 address");
    }
}
