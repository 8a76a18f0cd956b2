//! What `std` lacks, over `libc`: exact waiting, signals, socket options, the
//! kernel's view of a connection. The only room with `unsafe`; it knows no
//! protocol.
#![allow(unsafe_code, reason = "this room is where the system's C interface is called")]

use std::io;

pub mod clock;
pub mod datagram;
pub mod detach;
pub mod icmp;
pub mod inherit;
pub mod limits;
pub mod message;
pub mod poll;
pub mod signals;
pub mod socket;
pub mod tcp_info;
pub mod terminal;

/// The result of a system call that reports failure as -1 and `errno`.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
