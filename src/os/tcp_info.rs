//! Asking the kernel about a TCP connection.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::socket_option;
use crate::wire::tcp_info::{LENGTH, TcpInfo};

/// What the kernel knows of the connection behind `socket`: about 0.5 us.
///
/// # Errors
///
/// What `getsockopt` says, for example that `socket` is no TCP socket.
pub fn read(socket: BorrowedFd<'_>) -> io::Result<TcpInfo> {
    let mut bytes = [0_u8; LENGTH];
    let filled = socket_option(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_INFO, &mut bytes)?;
    Ok(TcpInfo::parse(filled))
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
    let filled =
        socket_option(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_CONGESTION, &mut bytes)?;
    let name = filled.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}
