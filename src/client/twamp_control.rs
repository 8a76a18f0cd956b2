//! The Control-Client of TWAMP (RFC 5357, section 3): opens a test session,
//! starts and stops it. One session, unauthenticated mode.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::clock::Mono;
use crate::net::{Heard, Stream};
use crate::os::{clock, socket};
use crate::wire::twamp_control::{
    Accept, AcceptSession, COMMAND, GREETING, Greeting, Request, SERVER_START, ServerStart,
    UNAUTHENTICATED, emit_set_up, emit_start, emit_stop, read_start_ack,
};

/// Why there is no test session.
#[derive(Debug)]
pub enum ControlError {
    /// The server said nothing, or not all of it, in time.
    Silent(&'static str),
    /// The server closed the connection.
    Closed(&'static str),
    /// The server offers no mode at all: it does not want to talk.
    NoModes,
    /// The server offers modes with keys alone.
    NoOpenMode(u32),
    /// The server refused.
    Refused(&'static str, Accept),
    /// The server gave no port to send to.
    NoPort,
    /// What the system said.
    Io(io::Error),
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent(what) => {
                write!(f, "the server sent no {what} in time; is it a TWAMP server?")
            }
            Self::Closed(what) => write!(f, "the server closed the connection before its {what}"),
            Self::NoModes => f.write_str("the server offers no mode: it refuses this client"),
            Self::NoOpenMode(modes) => write!(
                f,
                "the server offers modes with keys alone ({modes:#x}); only unauthenticated mode \
                 is spoken here"
            ),
            Self::Refused(what, accept) => {
                write!(f, "{what}: {} (code {})", accept.text(), accept.0)
            }
            Self::NoPort => f.write_str("the server accepted the session without naming a port"),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ControlError {}

impl From<io::Error> for ControlError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A control connection with its server's consent.
#[derive(Debug)]
pub struct ControlClient {
    stream: Stream,
    timeout: Duration,
}

impl ControlClient {
    /// Takes up the conversation on a new connection. No wait is longer than
    /// `timeout`.
    ///
    /// # Errors
    ///
    /// Why there will be no session.
    pub fn set_up(stream: Stream, timeout: Duration) -> Result<Self, ControlError> {
        let client = Self { stream, timeout };
        let bytes = client.read::<GREETING>("greeting")?;
        let greeting = Greeting::read(&bytes).ok_or(ControlError::Silent("greeting"))?;
        if greeting.modes == 0 {
            return Err(ControlError::NoModes);
        }
        if greeting.modes & UNAUTHENTICATED == 0 {
            return Err(ControlError::NoOpenMode(greeting.modes));
        }
        let bytes = client.ask::<SERVER_START>(&emit_set_up(UNAUTHENTICATED), "Server-Start")?;
        match ServerStart::read(&bytes).map(|start| start.accept) {
            Some(Accept::OK) => Ok(client),
            accept => {
                let accept = accept.unwrap_or(Accept::FAILURE);
                Err(ControlError::Refused("the server's start", accept))
            }
        }
    }

    /// Asks for a session, and gives the reflector's port.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub fn request(&self, request: &Request) -> Result<u16, ControlError> {
        let bytes = self.ask::<SERVER_START>(&request.emit(), "answer to the session request")?;
        let Some(accepted) = AcceptSession::read(&bytes) else {
            return Err(ControlError::Silent("answer to the session request"));
        };
        match accepted.accept {
            Accept::OK if accepted.port == 0 => Err(ControlError::NoPort),
            Accept::OK => Ok(accepted.port),
            accept => Err(ControlError::Refused("the test session", accept)),
        }
    }

    /// Has the reflector reflect from now on.
    ///
    /// # Errors
    ///
    /// Why it does not.
    pub fn start(&self) -> Result<(), ControlError> {
        let bytes = self.ask::<COMMAND>(&emit_start(), "Start-Ack")?;
        match read_start_ack(&bytes) {
            Some(Accept::OK) => Ok(()),
            accept => {
                let accept = accept.unwrap_or(Accept::FAILURE);
                Err(ControlError::Refused("starting the session", accept))
            }
        }
    }

    /// Whether the server has not closed the connection, and with it the session;
    /// asked without waiting.
    pub fn stands(&self) -> bool {
        match socket::receive_now(self.stream.as_fd(), &mut [0]) {
            Ok(count) => count > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Ends the session.
    ///
    /// # Errors
    ///
    /// The server had closed the connection already.
    pub fn stop(self) -> Result<(), ControlError> {
        self.send(&emit_stop(1))?;
        self.stream.finish_sending();
        Ok(())
    }

    /// Says something and hears the answer.
    fn ask<const N: usize>(
        &self,
        bytes: &[u8],
        what: &'static str,
    ) -> Result<[u8; N], ControlError> {
        let answer = self.send(bytes).map_err(ControlError::Io).and_then(|()| self.read(what));
        answer.map_err(|error| match error {
            // A server that closed over what had come resets the connection.
            ControlError::Io(error) if closed(&error) => ControlError::Closed(what),
            error => error,
        })
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let (_, result) = self.stream.send(bytes);
        match result? {
            // A fresh connection's buffer holds every message of this protocol.
            sent if sent < bytes.len() => Err(io::ErrorKind::WriteZero.into()),
            _ => Ok(()),
        }
    }

    /// A message of `N` bytes, in whatever pieces it comes.
    fn read<const N: usize>(&self, what: &'static str) -> Result<[u8; N], ControlError> {
        let mut message = [0; N];
        let mut filled = 0;
        let mut now = clock::now();
        let until: Mono = now + self.timeout;
        while filled < N {
            let (at, heard) = self.stream.receive(&mut message[filled..], now, until, false);
            now = at;
            match heard? {
                Heard::Bytes(count) => filled += count,
                Heard::End => return Err(ControlError::Closed(what)),
                Heard::Nothing | Heard::Room | Heard::Stamps if now >= until => {
                    return Err(ControlError::Silent(what));
                }
                Heard::Nothing | Heard::Room | Heard::Stamps => {}
            }
        }
        Ok(message)
    }
}

fn closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}
