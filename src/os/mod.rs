//! What `std` lacks, over `libc`: exact waiting, signals, socket options, the
//! kernel's view of a connection. The only room with `unsafe`; it knows no
//! protocol.
#![allow(unsafe_code, reason = "this room is where the system's C interface is called")]

use std::io;
use std::os::fd::RawFd;

pub mod clock;
pub mod command;
pub mod datagram;
pub mod detach;
pub(crate) mod epoll;
pub mod file;
pub mod icmp;
pub mod inherit;
pub mod limits;
pub mod message;
pub mod poll;
pub mod privilege;
pub mod raw_tcp;
pub mod resolver;
pub mod route;
pub mod signals;
pub mod socket;
pub mod stamps;
pub mod tcp_info;
pub mod terminal;
pub mod thread;

/// The result of a system call that reports failure as -1 and `errno`.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A socket's option, as many of its bytes as the kernel filled in.
fn socket_option(
    fd: RawFd,
    level: libc::c_int,
    name: libc::c_int,
    bytes: &mut [u8],
) -> io::Result<&[u8]> {
    let mut length = libc::socklen_t::try_from(bytes.len()).unwrap_or(0);
    let value = bytes.as_mut_ptr().cast();
    // SAFETY: `bytes` has room for `length` bytes, and the kernel writes no more
    // than that and says how many it wrote. An `fd` that is no socket, or not
    // open, is an error and no harm.
    check(unsafe { libc::getsockopt(fd, level, name, value, &raw mut length) })?;
    Ok(bytes.get(..usize::try_from(length).unwrap_or(0)).unwrap_or_default())
}
