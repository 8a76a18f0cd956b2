//! UDP sockets that tell when and how each datagram came: the kernel's stamp,
//! the time to live, the address that it was sent to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use super::message::{Control, Received};
use super::socket::{self, set_dscp, set_option};
use crate::clock::Wall;

/// The hop count that test packets leave with, so that a receiver can tell how
/// many routers they passed (RFC 5357, section 4.2.1).
const TIME_TO_LIVE: libc::c_int = 255;
const NANOS: i64 = 1_000_000_000;

/// A UDP socket bound to `address`, dual-stacked on the IPv6 wildcard unless
/// `ipv6_only`, and prepared.
///
/// # Errors
///
/// What `socket` or `bind` says.
pub fn bind(address: &SocketAddr, ipv6_only: bool) -> io::Result<UdpSocket> {
    let socket = socket::udp_socket(address)?;
    let fd = socket.as_fd();
    if address.is_ipv6() {
        let only = libc::c_int::from(ipv6_only);
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &only)?;
    }
    prepare(fd, address.is_ipv4(), ipv6_only)?;
    widen(fd);
    socket::bind(fd, address)?;
    Ok(UdpSocket::from(socket))
}

/// What may wait for a thread that does not run just now, in bytes of the kernel's:
/// some ten thousand small packets.
const RECEIVE_BUFFER: libc::c_int = 8 << 20;

/// As much as that, or as this process may ask for.
fn widen(fd: BorrowedFd<'_>) {
    if set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &RECEIVE_BUFFER).is_err() {
        let _ = set_option(fd, libc::SOL_SOCKET, libc::SO_RCVBUF, &RECEIVE_BUFFER);
    }
}

/// What leaves a UDP socket has a time to live of 255 from now on; what comes
/// is told with its own, its kernel stamp, and where it was sent to.
///
/// # Errors
///
/// What `setsockopt` says.
pub fn prepare(fd: BorrowedFd<'_>, ipv4: bool, ipv6_only: bool) -> io::Result<()> {
    let on: libc::c_int = 1;
    if !ipv4 {
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, &TIME_TO_LIVE)?;
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVHOPLIMIT, &on)?;
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, &on)?;
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS, &on)?;
        // Routers that stamp in hardware leave the checksum out (RFC 6936).
        let _ = set_option(fd, libc::SOL_UDP, libc::UDP_NO_CHECK6_RX, &on);
    }
    if ipv4 || !ipv6_only {
        set_option(fd, libc::IPPROTO_IP, libc::IP_TTL, &TIME_TO_LIVE)?;
        set_option(fd, libc::IPPROTO_IP, libc::IP_RECVTTL, &on)?;
        set_option(fd, libc::IPPROTO_IP, libc::IP_RECVTOS, &on)?;
    }
    if ipv4 {
        set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, &on)?;
    }
    // Without it the program's own clock serves, a little later.
    let _ = set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, &on);
    Ok(())
}

/// Marks what leaves with a differentiated services code point (RFC 2474).
///
/// # Errors
///
/// What `setsockopt` says.
pub fn mark(socket: BorrowedFd<'_>, ipv4: bool, dscp: u8) -> io::Result<()> {
    set_dscp(socket, ipv4, dscp)
}

impl Received {
    /// When the kernel took it from the network, where it tells.
    pub fn kernel_stamp(&self) -> Option<Wall> {
        let bytes = self.control(libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)?;
        let seconds = i64::from_ne_bytes(*bytes.first_chunk()?);
        let nanos = i64::from_ne_bytes(*bytes.get(8..)?.first_chunk()?);
        Some(Wall(seconds.checked_mul(NANOS)?.checked_add(nanos)?))
    }

    /// The time to live, or hop limit, that it came with.
    pub fn time_to_live(&self) -> Option<u8> {
        let bytes = self
            .control(libc::IPPROTO_IP, libc::IP_TTL)
            .or_else(|| self.control(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT))?;
        u8::try_from(i32::from_ne_bytes(*bytes.first_chunk()?)).ok()
    }

    /// The traffic class that it came with: DSCP and, in the last two bits, ECN.
    pub fn class(&self) -> Option<u8> {
        // IPv4's is a byte, IPv6's an integer.
        if let Some(bytes) = self.control(libc::IPPROTO_IP, libc::IP_TOS) {
            return bytes.first().copied();
        }
        let bytes = self.control(libc::IPPROTO_IPV6, libc::IPV6_TCLASS)?;
        u8::try_from(i32::from_ne_bytes(*bytes.first_chunk()?)).ok()
    }

    /// The control message that makes a reply leave from the address that this
    /// was sent to: on a host with several, a reply from another is no reply.
    pub fn reply_from(&self) -> Option<Control> {
        if let Some(bytes) = self.control(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) {
            // Address and interface. An interface is only meant for what cannot
            // do without: replies follow the routing table.
            let mut bytes: [u8; 20] = *bytes.first_chunk()?;
            if !link_local(&bytes) {
                bytes[16..].fill(0);
            }
            return Some(Control::new(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &bytes));
        }
        // Interface, the address that the kernel would answer from, and the
        // destination. The reply has the first unset and the second set.
        let bytes = self.control(libc::IPPROTO_IP, libc::IP_PKTINFO)?;
        let mut info = [0; 12];
        info[4..8].copy_from_slice(bytes.get(4..8)?);
        Some(Control::new(libc::IPPROTO_IP, libc::IP_PKTINFO, &info))
    }

    /// Whether it was sent to this host alone, and not to all of a link or group,
    /// as far as the kernel tells.
    pub fn is_unicast(&self) -> bool {
        if let Some(bytes) = self.control(libc::IPPROTO_IP, libc::IP_PKTINFO) {
            // The kernel answers from the address that it was sent to, or, where that
            // is one of many hosts, from another.
            return bytes.get(4..8) == bytes.get(8..12);
        }
        let many = |ip: IpAddr| match ip {
            IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast(),
            IpAddr::V6(ip) => ip.is_multicast(),
        };
        !self.sent_to().is_some_and(many)
    }

    /// The address that it was sent to.
    pub fn sent_to(&self) -> Option<IpAddr> {
        if let Some(bytes) = self.control(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) {
            let address: [u8; 16] = *bytes.first_chunk()?;
            return Some(Ipv6Addr::from(address).to_canonical());
        }
        let bytes = self.control(libc::IPPROTO_IP, libc::IP_PKTINFO)?;
        let address: [u8; 4] = *bytes.get(8..)?.first_chunk()?;
        Some(IpAddr::from(Ipv4Addr::from(address)))
    }
}

fn link_local(address: &[u8; 20]) -> bool {
    address[0] == 0xfe && address[1] & 0xc0 == 0x80
}

#[cfg(test)]
mod tests {
    use super::super::message::{receive, send};
    use super::super::poll::{self, Interest};
    use super::*;
    use crate::clock::Mono;

    fn arrived(socket: &UdpSocket, buffer: &mut [u8]) -> Received {
        poll::wait(&mut [Interest::read(socket.as_fd())], Mono::NEVER).unwrap();
        receive(socket.as_fd(), buffer, false).unwrap()
    }

    #[test]
    fn a_datagram_tells_its_way_and_its_reply_leaves_from_where_it_went() {
        let everywhere = bind(&"[::]:0".parse().unwrap(), false).unwrap();
        let port = everywhere.local_addr().unwrap().port();
        for (near, far) in [("127.0.0.1:0", "127.0.0.77"), ("[::1]:0", "::1")] {
            let near = bind(&near.parse().unwrap(), true).unwrap();
            let far = SocketAddr::new(far.parse().unwrap(), port);
            send(near.as_fd(), b"hello", Some(&far), None).unwrap();
            let mut buffer = [0; 16];
            let there = arrived(&everywhere, &mut buffer);
            assert_eq!((there.length, there.time_to_live()), (5, Some(255)));
            assert_eq!(there.sent_to(), Some(far.ip()));
            assert!(there.kernel_stamp().is_some());
            let control = there.reply_from();
            send(everywhere.as_fd(), b"hi", there.from.as_ref(), control.as_ref()).unwrap();
            let back = arrived(&near, &mut buffer);
            assert_eq!((back.from, back.time_to_live()), (Some(far), Some(255)));
        }
    }
}
