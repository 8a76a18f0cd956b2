//! ICMP errors: the error queue of a socket that is connecting, which needs no
//! right, and raw sockets, which need `CAP_NET_RAW`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::message::{receive, socket_address};
use super::socket::{raw_socket, set_option};
use crate::wire::icmp::{IcmpError, Quoted, read_v4, read_v6};

/// `IP_RECVERR`'s and `IPV6_RECVERR`'s reports: `struct sock_extended_err`
/// (`linux/errqueue.h`), then the address of who sent the error.
mod field {
    pub(super) const ERRNO: usize = 0;
    pub(super) const ORIGIN: usize = 4;
    pub(super) const TYPE: usize = 5;
    pub(super) const CODE: usize = 6;
    pub(super) const INFO: usize = 8;
    pub(super) const OFFENDER: usize = 16;
}
/// Its origins that are ICMP messages.
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

/// `ICMP_FILTER` (`linux/icmp.h`): which types a raw socket does not get.
const ICMP_FILTER: libc::c_int = 1;
/// `ICMPV6_FILTER` (`linux/icmpv6.h`).
const ICMPV6_FILTER: libc::c_int = 1;

/// Has the kernel keep the ICMP errors that end a connection attempt, or not.
///
/// # Errors
///
/// What `setsockopt` says.
pub fn keep_errors(socket: BorrowedFd<'_>, ipv4: bool, keep: bool) -> io::Result<()> {
    let value = libc::c_int::from(keep);
    if ipv4 {
        set_option(socket, libc::IPPROTO_IP, libc::IP_RECVERR, &value)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, &value)
    }
}

/// The next ICMP error that the kernel kept for `socket`, and the error number
/// that it made of it.
pub fn kept_error(socket: BorrowedFd<'_>) -> Option<(i32, IcmpError)> {
    // Reports hold the packet's own bytes too, which are of no use here.
    let mut packet = [0; 64];
    loop {
        let report = receive(socket, &mut packet, true).ok()?;
        let found = report
            .control(libc::IPPROTO_IP, libc::IP_RECVERR)
            .or_else(|| report.control(libc::IPPROTO_IPV6, libc::IPV6_RECVERR));
        if let Some(error) = found.and_then(extended_error) {
            return Some(error);
        }
    }
}

fn extended_error(bytes: &[u8]) -> Option<(i32, IcmpError)> {
    let word = |at: usize| Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    let byte = |at: usize| bytes.get(at).copied();
    let version6 = match byte(field::ORIGIN)? {
        ORIGIN_ICMP => false,
        ORIGIN_ICMP6 => true,
        _ => return None,
    };
    let error = IcmpError {
        version6,
        kind: byte(field::TYPE)?,
        code: byte(field::CODE)?,
        mtu: u16::try_from(word(field::INFO)?).ok().filter(|&mtu| mtu > 0),
        from: bytes.get(field::OFFENDER..).and_then(socket_address).map(|from| from.ip()),
    };
    Some((i32::try_from(word(field::ERRNO)?).ok()?, error))
}

/// A raw socket that gets every ICMP error that reaches this host.
#[derive(Debug)]
pub struct RawIcmp {
    socket: OwnedFd,
    version6: bool,
}

impl RawIcmp {
    /// Opens one, for IPv6 where `version6`.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` without `CAP_NET_RAW`.
    pub fn open(version6: bool) -> io::Result<Self> {
        let protocol = if version6 { libc::IPPROTO_ICMPV6 } else { libc::IPPROTO_ICMP };
        let raw = Self { socket: raw_socket(version6, protocol)?, version6 };
        raw.want_errors_alone()?;
        Ok(raw)
    }

    /// Pings and neighbour discovery of the whole host would fill its queue.
    fn want_errors_alone(&self) -> io::Result<()> {
        let socket = self.socket.as_fd();
        if self.version6 {
            let mut blocked = [u32::MAX; 8];
            blocked[0] &= !0b1_1110;
            set_option(socket, libc::IPPROTO_ICMPV6, ICMPV6_FILTER, &blocked)
        } else {
            let blocked = !(1_u32 << 3 | 1 << 11 | 1 << 12);
            set_option(socket, libc::SOL_RAW, ICMP_FILTER, &blocked)
        }
    }

    /// The next error, and the TCP connection that it is about.
    pub fn next_error(&self) -> Option<(IcmpError, Quoted)> {
        let mut packet = [0; 256];
        loop {
            let received = receive(self.socket.as_fd(), &mut packet, false).ok()?;
            let bytes = packet.get(..received.length)?;
            let read = match received.from {
                Some(from) if self.version6 => read_v6(bytes, from.ip()),
                _ => read_v4(bytes),
            };
            if read.is_some() {
                return read;
            }
        }
    }

    /// For waiting.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
