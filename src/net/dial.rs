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

    /// Waits for the handshake's end, at most until `until`. `Ok(Err(dial))`:
    /// still under way (or a signal came).
    ///
    /// # Errors
    ///
    /// Why no connection was made, [`Reported`] where an ICMP error said it;
    /// `TimedOut` at the attempt's own deadline.
    pub fn wait(mut self, until: Mono) -> io::Result<Result<Connected, Self>> {
        if self.ended.is_none() {
            let mut interests = [self.interest()];
            poll::wait(&mut interests, until.min(self.deadline))?;
            let now = clock::now();
            if interests.iter().any(|found| found.writable) {
                self.ended = Some(now);
            } else if now >= self.deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
            }
        }
        match self.ended {
            Some(at) => self.finish(at).map(Ok),
            None => Ok(Err(self)),
        }
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
    /// As for [`Dial::wait`].
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
    /// Tries every address in turn, each for the whole time-out. On success the
    /// address that answered comes first from now on.
    ///
    /// # Errors
    ///
    /// The address tried last and why it failed. `Interrupted` when Ctrl-C or a
    /// request to end came meanwhile.
    pub fn connect(&mut self) -> Result<Connected, (SocketAddr, io::Error)> {
        let mut last = None;
        for (index, &address) in self.addresses.iter().enumerate() {
            match self.connect_to(address) {
                Ok(connected) => {
                    self.addresses.rotate_left(index);
                    return Ok(connected);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    return Err((address, error));
                }
                Err(error) => last = Some((address, error)),
            }
        }
        Err(last.unwrap_or_else(|| {
            (SocketAddr::from(([0, 0, 0, 0], 0)), io::ErrorKind::AddrNotAvailable.into())
        }))
    }

    fn connect_to(&self, address: SocketAddr) -> io::Result<Connected> {
        let mut dial = Dial::start(self, address)?;
        loop {
            dial = match dial.wait(clock::now() + super::stream::LONGEST_WAIT)? {
                Ok(connected) => return Ok(connected),
                Err(dial) => dial,
            };
            if signals::stop_requests() > 0 {
                return Err(io::ErrorKind::Interrupted.into());
            }
        }
    }
}
