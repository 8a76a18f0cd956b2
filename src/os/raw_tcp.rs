//! A raw socket beside a TCP connection: it hears what the peer's host sends, and
//! sends segments of this program's own. It takes `CAP_NET_RAW`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use super::message::{Control, receive, send};
use super::socket::{ConnectOptions, connect, place, raw_socket, set_hop_limit};
use crate::wire::ip::{Bytes, Datagram};
use crate::wire::tcp::Segment;

/// See the module's text.
#[derive(Debug)]
pub struct RawTcp {
    socket: OwnedFd,
    version6: bool,
}

impl RawTcp {
    /// Opens one for the host of `remote`, which leaves as a connection with these
    /// options does.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` without `CAP_NET_RAW`.
    pub fn open(remote: &SocketAddr, options: &ConnectOptions) -> io::Result<Self> {
        let version6 = remote.is_ipv6();
        let socket = raw_socket(version6, libc::IPPROTO_TCP)?;
        place(socket.as_fd(), remote, options)?;
        connect(socket.as_fd(), remote)?;
        Ok(Self { socket, version6 })
    }

    /// The next segment that came from that host, on whatever connection.
    pub fn next_segment(&self) -> Option<Segment> {
        // Headers of any length; the data is of no use here.
        let mut packet = [0; 128];
        loop {
            let length = receive(self.socket.as_fd(), &mut packet, false).ok()?.length;
            let kept = packet.get(..length)?;
            // IPv6 brings no header of its own (RFC 3542, section 3).
            let segment = if self.version6 {
                kept
            } else {
                match Datagram::parse(Bytes { kept, length }) {
                    Ok(datagram) => datagram.payload.kept,
                    Err(_) => continue,
                }
            };
            if let Ok(segment) = Segment::parse(segment, segment.len()) {
                return Some(segment);
            }
        }
    }

    /// Sends a segment that may pass so many routers, by the interface of this
    /// number where one is given.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn send(&self, segment: &[u8], hops: u8, interface: Option<u32>) -> io::Result<()> {
        set_hop_limit(self.socket.as_fd(), !self.version6, hops)?;
        let control = interface.map(|number| self.leave_by(number));
        send(self.socket.as_fd(), segment, None, control.as_ref())?;
        Ok(())
    }

    /// `struct in_pktinfo` begins with the number, `struct in6_pktinfo` ends with it;
    /// the addresses stay open.
    fn leave_by(&self, interface: u32) -> Control {
        let mut bytes = [0; 20];
        let (place, level, kind, length) = if self.version6 {
            (16, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, 20)
        } else {
            (0, libc::IPPROTO_IP, libc::IP_PKTINFO, 12)
        };
        bytes[place..place + 4].copy_from_slice(&interface.to_ne_bytes());
        Control::new(level, kind, &bytes[..length])
    }
}
