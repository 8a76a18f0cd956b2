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
    /// Which moment was stamped.
    pub(super) const INFO: usize = 8;
    /// Which byte, counted from when stamps were asked for.
    pub(super) const DATA: usize = 12;
}

/// A moment that the kernel stamps (`SCM_TSTAMP_SND`, `SCM_TSTAMP_ACK`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Bytes left for the network card; again where they are sent again.
    Departed,
    /// The peer's kernel has acknowledged them.
    Acknowledged,
}

/// What the kernel has stamped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// Which moment.
    pub moment: Moment,
    /// The last byte of a write among all bytes, modulo 2^32.
    pub byte: u32,
    /// When.
    pub at: Wall,
}

/// Asks for stamps of what is sent and received from now on, in software, and of
/// its acknowledgements where `acknowledged`.
///
/// # Errors
///
/// The kernel gives none.
pub fn ask(socket: BorrowedFd<'_>, acknowledged: bool) -> io::Result<()> {
    let basic = libc::SOF_TIMESTAMPING_TX_SOFTWARE
        | libc::SOF_TIMESTAMPING_RX_SOFTWARE
        | libc::SOF_TIMESTAMPING_SOFTWARE
        | libc::SOF_TIMESTAMPING_OPT_ID
        | libc::SOF_TIMESTAMPING_OPT_TSONLY;
    let more = if acknowledged { libc::SOF_TIMESTAMPING_TX_ACK } else { 0 };
    // Older kernels do not know OPT_ID_TCP; their counts begin a little elsewhere
    // where bytes are in flight, and here none are. Still older ones know no ACK.
    let wishes = [basic | more | libc::SOF_TIMESTAMPING_OPT_ID_TCP, basic | more, basic];
    let ask = |flags| set_option(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPING, flags);
    let [all, without_id, plain] = &wishes;
    ask(all).or_else(|_| ask(without_id)).or_else(|_| ask(plain))
}

/// The next moment that the kernel has stamped, if there is one.
pub fn next(socket: BorrowedFd<'_>) -> Option<Report> {
    loop {
        let report = receive(socket, &mut [], true).ok()?;
        let error = report
            .control(libc::IPPROTO_IP, libc::IP_RECVERR)
            .or_else(|| report.control(libc::IPPROTO_IPV6, libc::IPV6_RECVERR));
        let word = |at: usize| Some(u32::from_ne_bytes(*error?.get(at..)?.first_chunk()?));
        let is_stamp =
            error.and_then(|error| error.get(field::ORIGIN)) == Some(&ORIGIN_TIMESTAMPING);
        let moment = match word(field::INFO) {
            Some(0) => Moment::Departed,
            Some(2) => Moment::Acknowledged,
            _ => continue,
        };
        if is_stamp && let (Some(byte), Some(at)) = (word(field::DATA), report.software_stamp()) {
            return Some(Report { moment, byte, at });
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
