//! One TCP connection for measuring: every read and write gives its time.

use std::cell::Cell;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::clock::{Mono, Wall};
use crate::os::poll::{self, Interest};
use crate::os::tcp_info;
use crate::os::{clock, icmp, message, socket, stamps};
use crate::wire::tcp_info::TcpInfo;

/// No single wait is longer: a signal that lands between the look at its
/// counter and the wait is then seen within this time.
pub const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// A plain blocking read is the fastest way to wait for a reply (an added
/// `ppoll` costs 6 % of the rate), but the kernel ends it only on a timer tick.
/// So reads block while the deadline is more than two of these away, and the
/// rest is waited for exactly.
pub(super) const BLOCKING_SLICE: Duration = Duration::from_millis(250);

/// How waits are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Waiting {
    /// The thread sleeps until the kernel wakes it.
    #[default]
    Sleep,
    /// It sleeps until shortly before its deadline, and looks at the clock from
    /// then on.
    Precise,
    /// It never sleeps: it looks for bytes until they are there.
    Spin,
}

/// A sleep may end so much too late; from then on a precise wait looks.
const LOOK_FROM: Duration = Duration::from_micros(100);

impl Waiting {
    /// Waits until `until` and listens to nothing.
    pub fn pause(self, until: Mono) -> Mono {
        let sleep_until = match self {
            Self::Sleep => return clock::sleep_until(until),
            Self::Precise => until - LOOK_FROM,
            Self::Spin => Mono(0),
        };
        let mut now = clock::now();
        if now < sleep_until {
            now = clock::sleep_until(sleep_until);
            if now < sleep_until {
                // A signal.
                return now;
            }
        }
        while now < until {
            std::hint::spin_loop();
            now = clock::now();
        }
        now
    }
}

/// What a wait for the peer brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// This many bytes, at the start of the buffer.
    Bytes(usize),
    /// Nothing yet: time is up, a signal came, or the wait was cut in slices.
    Nothing,
    /// There is room to write again.
    Room,
    /// The peer has closed its side.
    End,
    /// Nothing but stamps of departures, to be fetched.
    Stamps,
}

/// A connected TCP socket without Nagle's delay.
#[derive(Debug)]
pub struct Stream {
    socket: TcpStream,
    waiting: Waiting,
    /// Whether the kernel stamps bytes, and when it had those read last.
    stamped: bool,
    arrived: Cell<Option<Wall>>,
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
        let arrived = Cell::new(None);
        Ok(Self { socket, waiting: Waiting::default(), stamped: false, arrived })
    }

    /// The address and port on this side.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The same with waits made another way.
    #[must_use]
    pub fn waiting(self, waiting: Waiting) -> Self {
        Self { waiting, ..self }
    }

    /// Has the kernel stamp what is sent and received from now on, and what is
    /// `acknowledged`.
    ///
    /// # Errors
    ///
    /// It does not.
    pub fn ask_for_stamps(&mut self, acknowledged: bool) -> io::Result<()> {
        stamps::ask(self.socket.as_fd(), acknowledged)?;
        self.stamped = true;
        Ok(())
    }

    /// The next moment that was stamped.
    pub fn stamp(&self) -> Option<stamps::Report> {
        stamps::next(self.socket.as_fd())
    }

    /// When the kernel had the bytes that were read last, if it stamps them.
    pub fn arrived(&self) -> Option<Wall> {
        self.arrived.get()
    }

    /// Writes what fits without waiting. The time is the last moment before
    /// the system call.
    #[inline]
    pub fn send(&self, bytes: &[u8]) -> (Mono, io::Result<usize>) {
        let at = clock::now();
        (at, socket::send_now(self.socket.as_fd(), bytes))
    }

    /// Waits for bytes until `until`, or for room to write where `for_room`.
    /// `now` is the caller's latest time. The time given back is the first
    /// moment after the system call that brought the bytes.
    #[inline]
    pub fn receive(
        &self,
        buffer: &mut [u8],
        now: Mono,
        until: Mono,
        for_room: bool,
    ) -> (Mono, io::Result<Heard>) {
        if until <= now && !for_room {
            return self.look_once(buffer);
        }
        if self.waiting == Waiting::Spin && !for_room {
            return self.look(buffer, until.min(now + LONGEST_WAIT));
        }
        if !for_room && until > now + BLOCKING_SLICE * 2 {
            return self.read(buffer);
        }
        let precise = self.waiting == Waiting::Precise && !for_room;
        let sleep_until = if precise { until - LOOK_FROM } else { until };
        let mut interests = [Interest::read(self.socket.as_fd())];
        if for_room {
            interests = [Interest::both(self.socket.as_fd())];
        }
        match poll::wait(&mut interests, sleep_until.min(now + LONGEST_WAIT)) {
            Err(error) => (clock::now(), Err(error)),
            Ok(()) if interests.iter().any(|found| found.reported) && self.stamped => {
                (clock::now(), Ok(Heard::Stamps))
            }
            Ok(()) if interests.iter().any(|found| found.readable) => self.read(buffer),
            Ok(()) if interests.iter().any(|found| found.writable) => {
                (clock::now(), Ok(Heard::Room))
            }
            Ok(()) if precise => self.look(buffer, until),
            Ok(()) => (clock::now(), Ok(Heard::Nothing)),
        }
    }

    /// Looks for bytes. Where there are none there may be stamps, which would end
    /// the next wait before it began.
    #[inline]
    fn look_once(&self, buffer: &mut [u8]) -> (Mono, io::Result<Heard>) {
        match self.look(buffer, Mono(0)) {
            (at, Ok(Heard::Nothing)) if self.stamped => (at, Ok(Heard::Stamps)),
            found => found,
        }
    }

    /// Looks for bytes until they are there, or until `until`.
    #[inline]
    fn look(&self, buffer: &mut [u8], until: Mono) -> (Mono, io::Result<Heard>) {
        loop {
            let result = if self.stamped {
                self.read_stamped(buffer, false)
            } else {
                socket::receive_now(self.socket.as_fd(), buffer)
            };
            let at = clock::now();
            match heard(result) {
                Ok(Heard::Nothing) if at < until => std::hint::spin_loop(),
                heard => return (at, heard),
            }
        }
    }

    /// Reads bytes together with the kernel's stamp of the last of them.
    fn read_stamped(&self, buffer: &mut [u8], wait: bool) -> io::Result<usize> {
        let socket = self.socket.as_fd();
        let received = if wait {
            message::wait_and_receive(socket, buffer)
        } else {
            message::receive(socket, buffer, false)
        };
        let received = received?;
        self.arrived.set(received.software_stamp());
        Ok(received.length)
    }

    /// Reads what is there; waits for a quarter of a second at most where
    /// nothing is. The time is the first moment after the system call.
    #[inline]
    pub fn read(&self, buffer: &mut [u8]) -> (Mono, io::Result<Heard>) {
        let result = if self.stamped {
            self.read_stamped(buffer, true)
        } else {
            (&self.socket).read(buffer)
        };
        (clock::now(), heard(result))
    }

    /// What the kernel was told of the path while it went on trying, by the
    /// system's error number.
    pub fn trouble(&self) -> Option<i32> {
        self.socket.take_error().ok().flatten().and_then(|error| error.raw_os_error())
    }

    /// Its socket.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// For waiting for bytes together with other sockets.
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

/// What a read brought.
#[inline]
fn heard(result: io::Result<usize>) -> io::Result<Heard> {
    match result {
        Ok(0) => Ok(Heard::End),
        Ok(count) => Ok(Heard::Bytes(count)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(Heard::Nothing),
            _ => Err(error),
        },
    }
}
