//! One TCP connection for measuring: every read and write gives its time.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::time::Duration;

use crate::clock::Mono;
use crate::os::poll::{self, Interest};
use crate::os::tcp_info::{self, TcpInfo};
use crate::os::{clock, icmp, socket};

/// No single wait is longer: a signal that lands between the look at its
/// counter and the wait is then seen within this time.
pub const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A plain blocking read is the fastest way to wait for a reply (an added
/// `ppoll` costs 6 % of the rate), but the kernel ends it only on a timer tick.
/// So reads block while the deadline is more than two of these away, and the
/// rest is waited for exactly.
pub(super) const BLOCKING_SLICE: Duration = Duration::from_millis(250);

/// What a wait for the peer brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// This many octets, at the start of the buffer.
    Octets(usize),
    /// Nothing yet: time is up, a signal came, or the wait was cut in slices.
    Nothing,
    /// There is room to write again.
    Room,
    /// The peer has closed its side.
    End,
}

/// A connected TCP socket without Nagle's delay.
#[derive(Debug)]
pub struct Stream {
    socket: TcpStream,
}

impl Stream {
    /// Takes over a connected socket.
    ///
    /// # Errors
    ///
    /// What the kernel says of its options.
    pub fn new(socket: TcpStream) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(BLOCKING_SLICE))?;
        Ok(Self { socket })
    }

    /// The address and port on this side.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Writes what fits without waiting. The time is the last moment before
    /// the system call.
    #[inline]
    pub fn send(&self, octets: &[u8]) -> (Mono, io::Result<usize>) {
        let at = clock::now();
        (at, socket::send_now(self.socket.as_fd(), octets))
    }

    /// Waits for octets until `until`, or for room to write where `for_room`.
    /// `now` is the caller's latest time. The time given back is the first
    /// moment after the system call that brought the octets.
    #[inline]
    pub fn receive(
        &self,
        buffer: &mut [u8],
        now: Mono,
        until: Mono,
        for_room: bool,
    ) -> (Mono, io::Result<Heard>) {
        if !for_room && until > now + BLOCKING_SLICE * 2 {
            return self.read(buffer);
        }
        let mut interests = [Interest::read(self.socket.as_fd())];
        if for_room {
            interests = [Interest::both(self.socket.as_fd())];
        }
        match poll::wait(&mut interests, until.min(now + LONGEST_WAIT)) {
            Err(error) => (clock::now(), Err(error)),
            Ok(()) if interests.iter().any(|found| found.readable) => self.read(buffer),
            Ok(()) if interests.iter().any(|found| found.writable) => {
                (clock::now(), Ok(Heard::Room))
            }
            Ok(()) => (clock::now(), Ok(Heard::Nothing)),
        }
    }

    /// Reads what is there; waits for a quarter of a second at most where
    /// nothing is. The time is the first moment after the system call.
    #[inline]
    pub fn read(&self, buffer: &mut [u8]) -> (Mono, io::Result<Heard>) {
        let result = (&self.socket).read(buffer);
        let at = clock::now();
        let heard = match result {
            Ok(0) => Ok(Heard::End),
            Ok(count) => Ok(Heard::Octets(count)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Heard::Nothing),
                _ => Err(error),
            },
        };
        (at, heard)
    }

    /// What the kernel was told of the path while it went on trying, by the
    /// system's error number.
    pub fn trouble(&self) -> Option<i32> {
        self.socket.take_error().ok().flatten().and_then(|error| error.raw_os_error())
    }

    /// For waiting for octets together with other sockets.
    pub fn interest(&self) -> Interest<'_> {
        Interest::read(self.socket.as_fd())
    }

    /// From now on a read also ends with what the network reports of this
    /// connection, such as that the peer cannot be reached.
    pub fn hear_reports(&self) {
        let ipv4 = self.socket.local_addr().is_ok_and(|address| address.is_ipv4());
        // Without it a report shows only when the kernel gives up.
        let _ = icmp::keep_errors(self.socket.as_fd(), ipv4, true);
    }

    /// The kernel's view of this connection, where it gives one.
    pub fn tcp_info(&self) -> Option<TcpInfo> {
        tcp_info::read(self.socket.as_fd()).ok()
    }

    /// The congestion control in use, where the kernel tells.
    pub fn congestion_control(&self) -> Option<String> {
        tcp_info::congestion_control(self.socket.as_fd()).ok()
    }

    /// Tells the peer that nothing more will come.
    pub fn finish_sending(&self) {
        // An error means that the connection is gone, which is seen on reading.
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
    }
}
