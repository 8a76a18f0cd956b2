//! Making a connection without standing still meanwhile.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use super::Stream;
use crate::clock::Mono;
use crate::os::poll::{self, Interest};
use crate::os::socket::{self, ConnectOptions};
use crate::os::{clock, signals};

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
    /// Why no connection was made; `TimedOut` at the attempt's own deadline.
    pub fn wait(mut self, until: Mono) -> io::Result<Result<Connected, Self>> {
        if self.ended.is_none() {
            let mut interests = [Interest::write(self.socket.as_fd())];
            poll::wait(&mut interests, until.min(self.deadline))?;
            let now = clock::now();
            if interests.iter().any(|found| found.writable) {
                self.ended = Some(now);
            } else if now >= self.deadline {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time"));
            }
        }
        let Some(at) = self.ended else {
            return Ok(Err(self));
        };
        if let Some(error) = self.socket.take_error()? {
            return Err(error);
        }
        let took = at.since(self.began);
        let stream = Stream::new(self.socket)?;
        Ok(Ok(Connected { stream, address: self.address, took, at }))
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
