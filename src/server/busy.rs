//! A connection whose reads look for bytes instead of sleeping.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::Duration;

use super::service::Connection;
use crate::os::{clock, socket};

/// Silence after which a read sleeps until the next byte: an idle client is not
/// to cost a core for ever.
const GIVE_UP: Duration = Duration::from_secs(1);
/// Looks between two looks at the clock.
const LOOKS: u32 = 64;

/// See the module's text.
#[derive(Debug)]
pub struct Busy<'stream> {
    stream: &'stream TcpStream,
    give_up: Duration,
}

impl<'stream> Busy<'stream> {
    /// Reads from `stream`.
    pub fn new(stream: &'stream TcpStream) -> Self {
        Self { stream, give_up: GIVE_UP }
    }
}

impl Read for Busy<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let until = clock::now() + self.give_up;
        loop {
            for _ in 0..LOOKS {
                match socket::receive_now(self.stream.as_fd(), buffer) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => std::hint::spin_loop(),
                    result => return result,
                }
            }
            if clock::now() >= until {
                return self.stream.read(buffer);
            }
        }
    }
}

impl Write for Busy<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection for Busy<'_> {
    fn wait_at_most(&mut self, span: Option<Duration>) -> io::Result<()> {
        self.give_up = span.map_or(GIVE_UP, |span| span.min(GIVE_UP));
        self.stream.set_read_timeout(span)
    }
}
