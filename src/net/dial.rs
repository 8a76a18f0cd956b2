//! Making a connection without standing still meanwhile.

use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::Stream;
use crate::clock::Mono;
use crate::os::poll::{self, Interest};
use crate::os::socket::{self, ConnectOptions};
use crate::os::{clock, icmp, signals};
use crate::wire::icmp::IcmpError;

/// Where to connect to, and how.
#[derive(Debug, Clone)]
pub struct Dialer {
    /// The addresses to try in turn.
    pub addresses: Vec<SocketAddr>,
    /// Source address and DSCP.
    pub options: ConnectOptions,
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// A connection that stands.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub stream: Stream,
    /// The address that answered.
    pub address: SocketAddr,
    /// From just before `connect` to the end of the handshake.
    pub took: Duration,
    /// When the handshake had ended.
    pub at: Mono,
}

/// A connection attempt that an ICMP error ended, as the inner error of an
/// [`io::Error`].
#[derive(Debug)]
pub struct Reported {
    /// What was reported, and by whom.
    pub icmp: IcmpError,
}

impl fmt::Display for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.icmp.fmt(f)
    }
}

impl std::error::Error for Reported {}

impl Reported {
    /// The ICMP error behind `error`, if there is one.
    pub fn behind(error: &io::Error) -> Option<IcmpError> {
        error.get_ref()?.downcast_ref::<Self>().map(|reported| reported.icmp)
    }

    fn error((number, icmp): (i32, IcmpError)) -> io::Error {
        io::Error::new(io::Error::from_raw_os_error(number).kind(), Self { icmp })
    }
}

/// A connection attempt under way.
#[derive(Debug)]
pub struct Dial {
    socket: TcpStream,
    address: SocketAddr,
    began: Mono,
    deadline: Mono,
    ended: Option<Mono>,
}

impl Dial {
    /// Sends the first SYN to `address`.
    ///
    /// # Errors
    ///
    /// What the kernel says at once, for example that there is no route.
    pub fn start(dialer: &Dialer, address: SocketAddr) -> io::Result<Self> {
        let socket = socket::unconnected(&address, &dialer.options)?;
        // Without it a failure has a number and no sender, no more.
        let _ = icmp::keep_errors(socket.as_fd(), address.is_ipv4(), true);
        let began = clock::now();
        let done = socket::start_connect(&socket, &address)?;
        let ended = done.then(clock::now);
        Ok(Self { socket, address, began, deadline: began + dialer.timeout, ended })
    }

    /// Its socket.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// What to wait for: it is writable when the handshake has ended.
    pub fn interest(&self) -> Interest<'_> {
        Interest::write(self.socket.as_fd())
    }

    /// Just before `connect`.
    pub fn began(&self) -> Mono {
        self.began
    }

    /// Where to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address and port on this side.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Whether the handshake ended before anybody could wait for it.
    pub fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// The outcome of a handshake that was seen to have ended at `at`.
    ///
    /// # Errors
    ///
    /// Why no connection was made, [`Reported`] where an ICMP error said it.
    pub fn finish(self, at: Mono) -> io::Result<Connected> {
        let at = self.ended.unwrap_or(at);
        let failed = self.socket.take_error()?;
        // A report may be in before the kernel has given the attempt up: it
        // waits for its next SYN where the first was still being sent.
        if (failed.is_some() || self.socket.peer_addr().is_err())
            && let Some(kept) = icmp::kept_error(self.socket.as_fd())
        {
            return Err(Reported::error(kept));
        }
        if let Some(error) = failed {
            return Err(error);
        }
        // On a connection that stands an ICMP error is no reason to end it.
        let _ = icmp::keep_errors(self.socket.as_fd(), self.address.is_ipv4(), false);
        let took = at.since(self.began);
        let stream = Stream::new(self.socket)?;
        Ok(Connected { stream, address: self.address, took, at })
    }
}

impl Dialer {
    /// Tries every address, the next a quarter of a second after the one before
    /// (RFC 8305), each for the whole time-out. On success the address that
    /// answered comes first from now on, and those that it passed over are named.
    ///
    /// # Errors
    ///
    /// The address that failed last and why. `Interrupted` when Ctrl-C or a
    /// request to end came meanwhile.
    pub fn connect(&mut self) -> Result<Connected, (SocketAddr, io::Error)> {
        let mut race = Race::default();
        let began = clock::now();
        loop {
            race.start_next(self);
            if race.under_way.is_empty() && race.started == self.addresses.len() {
                let none = SocketAddr::from(([0, 0, 0, 0], 0));
                let unknown = || (none, io::ErrorKind::AddrNotAvailable.into());
                return Err(race.failed.pop().unwrap_or_else(unknown));
            }
            if let Some(connected) = race.wait() {
                race.tell_passed_over(&self.addresses, &connected, began);
                let place = self.addresses.iter().position(|one| *one == connected.address);
                self.addresses.rotate_left(place.unwrap_or(0));
                return Ok(connected);
            }
            if signals::stop_requests() > 0 {
                let address = race.under_way.first().map(Dial::address);
                let address = address.or(self.addresses.first().copied());
                let none = SocketAddr::from(([0, 0, 0, 0], 0));
                return Err((address.unwrap_or(none), io::ErrorKind::Interrupted.into()));
            }
        }
    }
}

/// Head start of an address before the next (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// A name's addresses, tried one after another and side by side.
#[derive(Default)]
struct Race {
    under_way: Vec<Dial>,
    failed: Vec<(SocketAddr, io::Error)>,
    started: usize,
    next_at: Mono,
}

impl Race {
    /// Starts the next address where it is its turn, or nothing else is under way.
    fn start_next(&mut self, dialer: &Dialer) {
        while let Some(&address) = dialer.addresses.get(self.started) {
            let now = clock::now();
            if now < self.next_at && !self.under_way.is_empty() {
                return;
            }
            self.started += 1;
            self.next_at = now + HEAD_START;
            match Dial::start(dialer, address) {
                Ok(dial) => self.under_way.push(dial),
                Err(error) => self.failed.push((address, error)),
            }
        }
        self.next_at = Mono::NEVER;
    }

    /// Waits for the first of them, at most until the next is to start.
    fn wait(&mut self) -> Option<Connected> {
        let deadline = self.under_way.iter().map(|dial| dial.deadline).min()?;
        let longest = clock::now() + super::stream::LONGEST_WAIT;
        let until = deadline.min(self.next_at).min(longest);
        if !self.under_way.iter().any(Dial::has_ended) {
            let mut interests: Vec<Interest<'_>> =
                self.under_way.iter().map(Dial::interest).collect();
            // What cannot be waited for is seen at its deadline.
            let _ = poll::wait(&mut interests, until);
            let now = clock::now();
            let ready: Vec<bool> = interests.iter().map(|found| found.writable).collect();
            for (dial, _) in self.under_way.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
                dial.ended = Some(now);
            }
        }
        let now = clock::now();
        for dial in std::mem::take(&mut self.under_way) {
            let address = dial.address;
            if let Some(at) = dial.ended {
                match dial.finish(at) {
                    Ok(connected) => return Some(connected),
                    Err(error) => self.failed.push((address, error)),
                }
            } else if now >= dial.deadline {
                let late = io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
                self.failed.push((address, late));
            } else {
                self.under_way.push(dial);
            }
        }
        None
    }

    /// Says what is not measured: who compares paths must know.
    fn tell_passed_over(&self, addresses: &[SocketAddr], connected: &Connected, began: Mono) {
        let winner = connected.address;
        for address in addresses.iter().take_while(|address| **address != winner) {
            let span = clock::now().since(began).as_millis();
            let failed = self.failed.iter().find(|(failed, _)| failed == address);
            let why = failed.map_or_else(
                || format!("no answer within {span} ms"),
                |(_, error)| error.to_string(),
            );
            log::warn!("{address}: {why}; connected to {winner} instead, which is measured alone");
        }
    }
}
