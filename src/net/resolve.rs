//! Names to addresses.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::time::Duration;

use crate::os::resolver::{self, Question};
use crate::os::thread;

/// A resolver that has not answered for both families by then is asked for IPv4
/// alone as well: some name servers drop the question for IPv6.
const PATIENCE: Duration = Duration::from_secs(2);

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
    let found = match bare.parse::<IpAddr>() {
        Ok(address) => Ok(vec![SocketAddr::new(address, port)]),
        Err(_) => look_up(bare, port, family),
    };
    let found = found.map_err(|source| ResolveError::Failed { host: host.to_owned(), source })?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.into_iter().filter(|address| family.admits(address.ip())) {
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

fn look_up(name: &str, port: u16, family: Family) -> io::Result<Vec<SocketAddr>> {
    match family {
        Family::V4 => resolver::look_up(name, port, Question::V4),
        Family::V6 => resolver::look_up(name, port, Question::V6),
        Family::Any => look_up_both(name, port),
    }
}

/// Both families; IPv4 alone where that fails or takes long. What is still under
/// way then ends by itself, in a thread that nobody waits for.
fn look_up_both(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let (answers, answered) = mpsc::channel();
    let ask = |question| {
        let (answers, name) = (answers.clone(), name.to_owned());
        let look_up = move || {
            // The receiver has what it wants when it is gone.
            let _ = answers.send(resolver::look_up(&name, port, question));
        };
        thread::start("look-up", None, Box::new(look_up))
    };
    ask(Question::Both)?;
    if let Ok(answer) = answered.recv_timeout(PATIENCE) {
        return answer
            .or_else(|error| resolver::look_up(name, port, Question::V4).map_err(|_| error));
    }
    log::debug!("no addresses of {name} within {} s: IPv4 is asked for alone", PATIENCE.as_secs());
    ask(Question::V4)?;
    let first = answered.recv().map_err(io::Error::other)?;
    first.or_else(|_| answered.recv().map_err(io::Error::other)?)
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
