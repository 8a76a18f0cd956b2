//! The kernel's own view of a TCP connection (`TCP_INFO`).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

/// What the kernel knows of a connection: about 0.5 us to ask for. A field is
/// `None` where the kernel is too old to tell it or has not measured it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpInfo {
    /// Smoothed round-trip time in microseconds (RFC 6298).
    pub rtt_us: Option<u32>,
    /// Mean deviation of the round-trip time in microseconds (RFC 6298).
    pub rttvar_us: Option<u32>,
    /// Smallest round-trip time lately seen, in microseconds.
    pub min_rtt_us: Option<u32>,
    /// Segments sent again since the connection began.
    pub retransmits: Option<u32>,
    /// Congestion window in segments.
    pub cwnd: Option<u32>,
    /// Largest segment that is sent, in bytes.
    pub mss: Option<u32>,
    /// The options that both ends agreed on, a bit each: 1 time stamps, 2 SACK,
    /// 4 window scaling, 8 ECN.
    pub options: Option<u8>,
}

/// Bytes of `struct tcp_info` that are read: up to and with `tcpi_min_rtt`.
const LENGTH: usize = 152;

/// Where the fields lie in `struct tcp_info` (`linux/tcp.h`). The structure
/// only ever grows at its end.
mod field {
    pub(super) const OPTIONS: usize = 5;
    pub(super) const SND_MSS: usize = 16;
    pub(super) const RTT: usize = 68;
    pub(super) const RTTVAR: usize = 72;
    pub(super) const SND_CWND: usize = 80;
    pub(super) const TOTAL_RETRANS: usize = 100;
    pub(super) const MIN_RTT: usize = 148;
}

/// Asks the kernel about the connection behind `socket`.
///
/// # Errors
///
/// What `getsockopt` says, for example that `socket` is no TCP socket.
pub fn read(socket: BorrowedFd<'_>) -> io::Result<TcpInfo> {
    let mut bytes = [0_u8; LENGTH];
    let mut length = libc::socklen_t::try_from(LENGTH).unwrap_or(0);
    // SAFETY: `bytes` has room for `length` bytes, and the kernel writes no
    // more than that and says how many it wrote.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            bytes.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    let filled = bytes.get(..usize::try_from(length).unwrap_or(0)).unwrap_or(&bytes);
    Ok(parse(filled))
}

/// Bytes of a congestion control's name, its end included
/// (`TCP_CA_NAME_MAX`).
const NAME_LENGTH: usize = 16;

/// The name of the connection's congestion control, for example `cubic`.
///
/// # Errors
///
/// What `getsockopt` says.
pub fn congestion_control(socket: BorrowedFd<'_>) -> io::Result<String> {
    let mut bytes = [0_u8; NAME_LENGTH];
    let mut length = libc::socklen_t::try_from(NAME_LENGTH).unwrap_or(0);
    // SAFETY: `bytes` has room for `length` bytes, and the kernel writes no
    // more than that.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_CONGESTION,
            bytes.as_mut_ptr().cast(),
            &raw mut length,
        )
    })?;
    let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}

fn parse(filled: &[u8]) -> TcpInfo {
    let number = |at: usize| {
        let bytes = filled.get(at..at + 4)?;
        bytes.try_into().ok().map(u32::from_ne_bytes)
    };
    TcpInfo {
        rtt_us: number(field::RTT).filter(|&rtt| rtt > 0),
        rttvar_us: number(field::RTTVAR),
        min_rtt_us: number(field::MIN_RTT).filter(|&rtt| rtt != u32::MAX),
        retransmits: number(field::TOTAL_RETRANS),
        cwnd: number(field::SND_CWND),
        mss: number(field::SND_MSS),
        options: filled.get(field::OPTIONS).copied(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_kernels_shorter_answer_leaves_the_rest_unknown() {
        let mut bytes = [0_u8; 104];
        bytes[field::TOTAL_RETRANS..].copy_from_slice(&7_u32.to_ne_bytes());
        bytes[field::RTT..field::RTT + 4].copy_from_slice(&250_u32.to_ne_bytes());
        let info = parse(&bytes);
        assert_eq!(info.retransmits, Some(7));
        assert_eq!(info.rtt_us, Some(250));
        assert_eq!(info.min_rtt_us, None);
        assert_eq!(parse(&[]), TcpInfo::default());
    }
}
