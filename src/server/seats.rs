//! How many clients are served at once, in all and from one address.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Why a client gets no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// This many clients are being served.
    Full(usize),
    /// This many clients from the same address are being served.
    HostFull(usize),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(limit) => write!(f, "{limit} clients are connected (--max-clients)"),
            Self::HostFull(limit) => {
                write!(
                    f,
                    "{limit} clients of this address, or IPv6 /64, are connected (--max-per-host)"
                )
            }
        }
    }
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    /// Only addresses with a client: no larger than `total`.
    per_host: HashMap<IpAddr, usize>,
}

/// The addresses that one customer has: of IPv6 a network of 64 bits at least
/// (RFC 6177), of which every address would else be a host of its own.
pub(super) fn site(host: IpAddr) -> IpAddr {
    match host.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) >> 64 << 64).into(),
        ip @ IpAddr::V4(_) => ip,
    }
}

/// The seats of a server.
#[derive(Debug, Clone)]
pub struct Seats {
    most: usize,
    most_per_host: usize,
    taken: Arc<Mutex<Taken>>,
}

/// A taken seat; it is free again when this is dropped.
#[derive(Debug)]
pub struct Seat {
    host: IpAddr,
    taken: Arc<Mutex<Taken>>,
}

impl Seats {
    /// So many seats in all, and for one address.
    pub fn new(most: usize, most_per_host: usize) -> Self {
        Self { most, most_per_host, taken: Arc::default() }
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).total
    }

    /// A seat for a client from `host`.
    ///
    /// # Errors
    ///
    /// Which limit is reached.
    pub fn take(&self, host: IpAddr) -> Result<Seat, Refusal> {
        let host = site(host);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.total >= self.most {
            return Err(Refusal::Full(self.most));
        }
        let of_host = taken.per_host.get(&host).copied().unwrap_or(0);
        if of_host >= self.most_per_host {
            return Err(Refusal::HostFull(self.most_per_host));
        }
        taken.per_host.insert(host, of_host + 1);
        taken.total += 1;
        Ok(Seat { host, taken: Arc::clone(&self.taken) })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        match taken.per_host.get_mut(&self.host) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                taken.per_host.remove(&self.host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_and_seats_come_free() {
        let seats = Seats::new(3, 2);
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|host| host.parse::<IpAddr>().unwrap());
        let first = seats.take(a).unwrap();
        let _second = seats.take(a).unwrap();
        assert_eq!(seats.take(a).unwrap_err(), Refusal::HostFull(2));
        let _third = seats.take(b).unwrap();
        assert_eq!(seats.take(b).unwrap_err(), Refusal::Full(3));
        drop(first);
        drop(seats.take(a).unwrap());
        assert_eq!(seats.taken.lock().unwrap().total, 2);
    }

    #[test]
    fn nothing_is_kept_of_hosts_that_left() {
        let seats = Seats::new(10, 10);
        drop(seats.take("::1".parse().unwrap()).unwrap());
        assert!(seats.taken.lock().unwrap().per_host.is_empty());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_host() {
        let seats = Seats::new(100, 2);
        let take = |text: &str| seats.take(text.parse().unwrap());
        let (one, two) = (take("2001:db8::1").unwrap(), take("2001:db8::2").unwrap());
        assert_eq!(take("2001:db8::ffff:3").err(), Some(Refusal::HostFull(2)));
        let elsewhere = take("2001:db8:0:1::1").unwrap();
        // IPv4 on an IPv6 socket is IPv4.
        let mapped = take("::ffff:10.0.0.1").unwrap();
        let plain = take("10.0.0.1").unwrap();
        assert_eq!(take("10.0.0.1").err(), Some(Refusal::HostFull(2)));
        assert!(take("10.0.0.2").is_ok());
        drop((one, two, elsewhere, mapped, plain));
        assert!(seats.taken.lock().unwrap().per_host.is_empty());
    }
}
