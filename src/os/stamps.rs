//! The kernel's own time stamps of a TCP socket's bytes, as they leave and as
//! they arrive (`Documentation/networking/timestamping.rst`). They are of the
//! wall clock, and taken next to the network card's driver.

use std::io;
use std::os::fd::BorrowedFd;

use super::message::{Received, receive};
use super::socket::set_option;
use crate::clock::Wall;

const NANOS: i64 = 1_000_000_000;
/// The origin of a report in the error queue that is a time stamp.
const ORIGIN_TIMESTAMPING: u8 = 4;

/// Where the fields of `struct sock_extended_err` lie (`linux/errqueue.h`).
mod field {
    pub(super) const ORIGIN: usize = 4;
    /// Which moment was stamped; 0 is the departure.
    pub(super) const INFO: usize = 8;
    /// Which byte, counted from when stamps were asked for.
    pub(super) const DATA: usize = 12;
}

/// Asks for stamps of what is sent and received from now on, in software.
///
/// # Errors
///
/// The kernel gives none.
pub fn ask(socket: BorrowedFd<'_>) -> io::Result<()> {
    let flags = libc::SOF_TIMESTAMPING_TX_SOFTWARE
        | libc::SOF_TIMESTAMPING_RX_SOFTWARE
        | libc::SOF_TIMESTAMPING_SOFTWARE
        | libc::SOF_TIMESTAMPING_OPT_ID
        | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    // Older kernels do not know the last; their counts begin a little elsewhere
    // where bytes are in flight, and here none are.
    set_option(
        socket,
        libc::SOL_SOCKET,
        libc::SO_TIMESTAMPING,
        &(flags | libc::SOF_TIMESTAMPING_OPT_ID_TCP),
    )
    .or_else(|_| set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, &flags))
}

/// The next departure that the kernel has stamped: the place of the last byte
/// of a write among all bytes, modulo 2^32, and when it left.
pub fn departure(socket: BorrowedFd<'_>) -> Option<(u32, Wall)> {
    loop {
        let report = receive(socket, &mut [], true).ok()?;
        let error = report
            .control(libc::IPPROTO_IP, libc::IP_RECVERR)
            .or_else(|| report.control(libc::IPPROTO_IPV6, libc::IPV6_RECVERR));
        let word = |at: usize| Some(u32::from_ne_bytes(*error?.get(at..)?.first_chunk()?));
        let is_stamp =
            error.and_then(|error| error.get(field::ORIGIN)) == Some(&ORIGIN_TIMESTAMPING);
        if is_stamp
            && word(field::INFO) == Some(0)
            && let (Some(byte), Some(at)) = (word(field::DATA), report.software_stamp())
        {
            return Some((byte, at));
        }
    }
}

impl Received {
    /// When the kernel had it, if it was asked for stamps.
    pub fn software_stamp(&self) -> Option<Wall> {
        let bytes = self.control(libc::SOL_SOCKET, libc::SO_TIMESTAMPING)?;
        let seconds = i64::from_ne_bytes(*bytes.first_chunk()?);
        let nanos = i64::from_ne_bytes(*bytes.get(8..)?.first_chunk()?);
        let at = seconds.checked_mul(NANOS)?.checked_add(nanos)?;
        (at > 0).then_some(Wall(at))
    }
}
