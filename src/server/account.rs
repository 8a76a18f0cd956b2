//! What a session did, for its one line in the log.

use std::fmt;
use std::io;

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// The peer closed its side, and had all that was due to it.
    PeerClosed,
    /// The peer asked for the end, and got its answer.
    Finished,
    /// The peer broke the protocol, and was told so.
    Refused(&'static str),
    /// Nothing came from the peer for longer than allowed.
    Idle,
    /// The peer took nothing for too long.
    NotTaking,
    /// The peer, or something on the path, reset the connection.
    Reset,
    /// The peer has vanished: nothing was acknowledged.
    Vanished,
    /// This server is stopping.
    Stopping,
    /// Something else, in the system's words.
    Failed(String),
}

impl Ending {
    /// Why a read ended the session.
    pub fn of_read(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::Idle,
            _ => Self::of(error),
        }
    }

    /// Why a write ended the session.
    pub fn of_write(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::WouldBlock => Self::NotTaking,
            _ => Self::of(error),
        }
    }

    /// Whether this side closes first, so that its last words may still be on
    /// their way.
    pub fn is_ours(&self) -> bool {
        matches!(self, Self::Finished | Self::Refused(_))
    }

    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Reset,
            io::ErrorKind::TimedOut => Self::Vanished,
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeerClosed => "closed by the peer",
            Self::Finished => "finished",
            Self::Refused(text) => text,
            Self::Idle => "idle for too long",
            Self::NotTaking => "the peer took nothing for too long",
            Self::Reset => "reset by the peer",
            Self::Vanished => "the peer has vanished",
            Self::Stopping => "the server is stopping",
            Self::Failed(text) => text,
        })
    }
}

/// What a session did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// What was served, for people: `6400 bytes`.
    pub served: String,
    /// Why it ended.
    pub ending: Ending,
}
