//! UDP for measuring: every datagram that is sent or comes tells its time.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use super::listen::BindError;
use super::stream::{BLOCKING_SLICE, LONGEST_WAIT};
use crate::clock::{Mono, Wall};
use crate::os::message::{self, Control, Received};
use crate::os::poll::{self, Interest};
use crate::os::socket::Interface;
use crate::os::{clock, datagram};

/// A datagram that came.
#[derive(Debug, Clone, Copy)]
pub struct Datagram {
    /// Its bytes, at the start of the buffer.
    pub length: usize,
    /// Where it came from, IPv4 as such even on an IPv6 socket.
    pub from: Option<SocketAddr>,
    /// The address that it was sent to, where the kernel tells.
    pub to: Option<IpAddr>,
    /// First moment after the system call that brought it.
    pub at: Mono,
    /// When the kernel had it, by the wall clock, where it tells.
    pub stamp: Option<Wall>,
    /// The time to live that it came with.
    pub ttl: Option<u8>,
    /// DSCP and, in the last two bits, ECN that it came with.
    pub class: Option<u8>,
    /// It was sent to this host alone.
    pub is_unicast: bool,
    /// Makes a reply leave from where it was sent to.
    pub reply_from: Option<Control>,
    /// Where it came from, as the socket names it.
    origin: Option<SocketAddr>,
}

impl Datagram {
    fn new(received: &Received, at: Mono) -> Self {
        let canonical =
            |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
        Self {
            length: received.length,
            from: received.from.map(canonical),
            to: received.sent_to(),
            at,
            stamp: received.kernel_stamp(),
            ttl: received.time_to_live(),
            class: received.class(),
            is_unicast: received.is_unicast(),
            reply_from: received.reply_from(),
            origin: received.from,
        }
    }
}

/// A UDP socket whose every read and write tells its time.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: UdpSocket,
}

impl DatagramSocket {
    /// Takes over a socket that is bound as [`datagram::bind`] binds it.
    ///
    /// # Errors
    ///
    /// What the kernel says of its options.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        socket.set_read_timeout(Some(BLOCKING_SLICE))?;
        Ok(Self { socket })
    }

    /// Binds `address`, IPv6 without IPv4.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn bind(address: &SocketAddr) -> io::Result<Self> {
        Self::new(datagram::bind(address, true)?)
    }

    /// Sends to `peer` and hears from it alone from now on.
    ///
    /// # Errors
    ///
    /// What `connect` says, for example that there is no route.
    pub fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        self.socket.connect(peer)
    }

    /// Marks what leaves with a differentiated services code point.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn mark(&self, dscp: u8) -> io::Result<()> {
        datagram::mark(self.socket.as_fd(), self.local_address()?.is_ipv4(), dscp)
    }

    /// Marks what leaves as `datagram` was, from now on; `marked` is how it is marked
    /// now, if by this.
    pub fn mark_like(&self, datagram: &Datagram, marked: &mut Option<u8>) {
        let dscp = datagram.class.map(|class| class >> 2);
        if let Some(wanted) = dscp.filter(|_| dscp != *marked)
            && self.mark(wanted).is_ok()
        {
            *marked = dscp;
        }
    }

    /// Sends and receives by this interface alone from now on.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn hold_to(&self, interface: Interface) -> io::Result<()> {
        interface.hold(self.socket.as_fd())
    }

    /// The address and port on this side.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sends to the connected peer without waiting.
    ///
    /// # Errors
    ///
    /// What the kernel says, an ICMP error about an earlier one included.
    #[inline]
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        message::send(self.socket.as_fd(), bytes, None, None).map(|_| ())
    }

    /// Answers a datagram without waiting.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    #[inline]
    pub fn answer(&self, datagram: &Datagram, bytes: &[u8]) -> io::Result<()> {
        let from = datagram.reply_from.as_ref();
        message::send(self.socket.as_fd(), bytes, datagram.origin.as_ref(), from).map(|_| ())
    }

    /// Waits for a datagram until `until`. `now` is the caller's latest time.
    /// `None`: time is up, a signal came, or the wait was cut in slices.
    ///
    /// # Errors
    ///
    /// What the kernel says, an ICMP error about what was sent included.
    #[inline]
    pub fn receive(
        &self,
        buffer: &mut [u8],
        now: Mono,
        until: Mono,
    ) -> io::Result<Option<Datagram>> {
        if until <= now + BLOCKING_SLICE * 2 {
            let mut interests = [Interest::read(self.socket.as_fd())];
            poll::wait(&mut interests, until.min(now + LONGEST_WAIT))?;
            if !interests.iter().any(|found| found.readable) {
                return Ok(None);
            }
        }
        self.wait(buffer)
    }

    /// Waits for a datagram for a quarter of a second at most.
    ///
    /// # Errors
    ///
    /// As for [`DatagramSocket::receive`].
    #[inline]
    pub fn wait(&self, buffer: &mut [u8]) -> io::Result<Option<Datagram>> {
        let result = message::wait_and_receive(self.socket.as_fd(), buffer);
        let at = clock::now();
        match result {
            Ok(received) => Ok(Some(Datagram::new(&received, at))),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// How long [`DatagramSocket::wait`] waits at most.
    pub const SLICE: Duration = BLOCKING_SLICE;
}

/// Binds UDP at the address and port of each listener.
///
/// # Errors
///
/// The first address that could not be had; none stays bound then.
pub fn beside(listeners: &[TcpListener]) -> Result<Vec<UdpSocket>, BindError> {
    let addresses: Vec<_> = listeners.iter().filter_map(|one| one.local_addr().ok()).collect();
    // As the listeners do: a wildcard is for both families where it stands alone.
    let ipv6_only = addresses.iter().any(SocketAddr::is_ipv4);
    let bind = |&address: &SocketAddr| {
        datagram::bind(&address, ipv6_only).map_err(|source| BindError {
            address,
            is_udp: true,
            source,
        })
    };
    addresses.iter().map(bind).collect()
}
