//! The measurement protocol's client: set-up before, probes through the timed
//! loop, termination after.

use std::fmt;
use std::io;

use super::codec::{Codec, Decoded};
use super::message::ask;
use crate::clock::Mono;
use crate::net::Stream;
use crate::wire::measurement::{Reply, Setup};

/// The longest text of a server's that is read and shown.
const MAX_REPLY: usize = 256;

/// Why a session did not come about.
#[derive(Debug)]
pub enum SetupError {
    /// The server answered something else than that it is ready.
    Refused {
        /// What had been sent.
        sent: String,
        /// What the server said.
        said: String,
    },
    /// The server closed, or said nothing in time.
    Silent,
    /// What the system said.
    Io(io::Error),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { sent, said } => {
                write!(f, "the server answered {said:?} to {:?}", sent.trim_end())
            }
            Self::Silent => f.write_str("the server did not answer the connection setup"),
            Self::Io(_) => f.write_str("connection setup failed"),
        }
    }
}

impl std::error::Error for SetupError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Refused { .. } | Self::Silent => None,
        }
    }
}

/// Whether a reply is whole: it is known, or its line has ended.
fn whole(received: &[u8]) -> bool {
    received.contains(&b'\n') || received.len() >= MAX_REPLY || Reply::read(received).is_some()
}

/// The connection setup phase.
///
/// # Errors
///
/// Why the server is not ready.
pub fn set_up(stream: &Stream, setup: &Setup, until: Mono) -> Result<(), SetupError> {
    let sent = setup.line();
    let said = ask(stream, sent.as_bytes(), until, whole).map_err(SetupError::Io)?;
    match Reply::read(&said) {
        Some(Reply::Ready) => Ok(()),
        _ if said.is_empty() => Err(SetupError::Silent),
        _ => Err(SetupError::Refused { sent, said: text(&said) }),
    }
}

/// The connection termination phase: what the server said.
///
/// # Errors
///
/// What the system says of reading or writing.
pub fn terminate(stream: &Stream, until: Mono) -> io::Result<String> {
    Ok(text(&ask(stream, b"t\n", until, whole)?))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// Probes of one size: `m PAYLOAD NUMBER`, each echoed unchanged.
#[derive(Debug)]
pub struct MeasurementCodec {
    size: usize,
    /// The message in hand.
    message: Vec<u8>,
    /// Its probe.
    number: u64,
    expected: u64,
    /// Bytes of the expected echo that have come.
    offset: usize,
    /// What came instead of an echo.
    said: Vec<u8>,
}

impl MeasurementCodec {
    /// Probes with payloads of `size` bytes.
    pub fn new(size: usize) -> Self {
        let mut codec = Self {
            size,
            message: Vec::with_capacity(size + MAX_REPLY),
            number: 0,
            expected: 1,
            offset: 0,
            said: Vec::new(),
        };
        codec.write(1);
        codec
    }

    /// Puts probe `number` in hand.
    fn write(&mut self, number: u64) {
        const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
        if self.number == number {
            return;
        }
        if self.message.is_empty() {
            self.message.extend_from_slice(b"m ");
            self.message.extend(LETTERS.iter().cycle().take(self.size));
        }
        self.message.truncate(2 + self.size);
        self.message.extend_from_slice(format!(" {number}\n").as_bytes());
        self.number = number;
    }

    /// An error text is gathered until its line ends.
    fn refusal(&mut self, bytes: &[u8]) -> (usize, Decoded) {
        let end = bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
        let used = end.unwrap_or(bytes.len()).min(MAX_REPLY);
        self.said.extend_from_slice(&bytes[..used]);
        if end.is_some() || self.said.len() >= MAX_REPLY {
            (used, Decoded::Refused(text(&self.said)))
        } else {
            (used, Decoded::More)
        }
    }
}

impl Codec for MeasurementCodec {
    fn encode(&mut self, number: u64) -> &[u8] {
        self.write(number);
        &self.message
    }

    fn decode(&mut self, bytes: &[u8], sent: u64) -> (usize, Decoded) {
        // What still belongs to the setup's reply: a newline on its own.
        let at_start = self.offset == 0 && self.said.is_empty();
        if at_start && self.expected == 1 && bytes[0].is_ascii_whitespace() {
            return (1, Decoded::More);
        }
        if !self.said.is_empty() || (at_start && bytes[0] == b'4') {
            return self.refusal(bytes);
        }
        if self.expected > sent {
            return (bytes.len(), Decoded::Unasked);
        }
        self.write(self.expected);
        let used = bytes.len().min(self.message.len() - self.offset);
        if bytes[..used] != self.message[self.offset..self.offset + used] {
            return (bytes.len(), Decoded::Corrupt);
        }
        self.offset += used;
        if self.offset < self.message.len() {
            return (used, Decoded::More);
        }
        self.offset = 0;
        self.expected += 1;
        (used, Decoded::Reply)
    }

    fn reset(&mut self, next: u64) {
        self.expected = next;
        self.offset = 0;
        self.said.clear();
    }

    fn at_end(&mut self) -> Option<String> {
        (!self.said.is_empty()).then(|| text(&self.said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds bytes in pieces and gives what was decoded besides "more".
    fn feed(codec: &mut MeasurementCodec, bytes: &[u8], piece: usize) -> Vec<Decoded> {
        let mut all = Vec::new();
        for mut part in bytes.chunks(piece) {
            while !part.is_empty() {
                let (used, decoded) = codec.decode(part, 2);
                part = &part[used..];
                if decoded != Decoded::More {
                    all.push(decoded);
                }
            }
        }
        all
    }

    #[test]
    fn echoes_are_known_in_any_pieces_and_after_a_straggling_newline() {
        for piece in 1..20 {
            let mut codec = MeasurementCodec::new(3);
            assert_eq!(codec.encode(1), b"m abc 1\n");
            let replies = feed(&mut codec, b"\nm abc 1\nm abc 2\n", piece);
            assert_eq!(replies, [Decoded::Reply, Decoded::Reply], "in pieces of {piece}");
        }
    }

    #[test]
    fn the_servers_error_is_kept_in_its_own_words() {
        const ERROR: &[u8] = b"404 ERROR: Invalid Measurement Message";
        for piece in 1..50 {
            let mut codec = MeasurementCodec::new(3);
            let said = String::from_utf8(ERROR.to_vec()).unwrap();
            let with_newline = [ERROR, b"\n"].concat();
            assert_eq!(feed(&mut codec, &with_newline, piece), [Decoded::Refused(said.clone())]);
            codec.reset(1);
            assert_eq!(feed(&mut codec, ERROR, piece), []);
            assert_eq!(codec.at_end(), Some(said));
        }
    }

    #[test]
    fn an_altered_echo_is_corrupt() {
        let mut codec = MeasurementCodec::new(3);
        assert_eq!(feed(&mut codec, b"m abd 1\n", 99), [Decoded::Corrupt]);
    }
}
