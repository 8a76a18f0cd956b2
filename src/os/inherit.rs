//! Descriptors that another program opened for this one.

use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::{check, datagram};

/// The first descriptor that systemd passes (`sd_listen_fds(3)`).
const FIRST_PASSED: RawFd = 3;
/// More sockets than anybody passes.
const MOST_PASSED: RawFd = 64;

/// Takes the connected socket away from standard input, output and error, and
/// puts `/dev/null` there: from now on nothing that is printed by whatever part
/// of this process can reach the peer.
///
/// # Errors
///
/// Standard input is no socket (and nothing was changed), or what `dup` says.
pub fn standard_socket() -> io::Result<TcpStream> {
    socket_type(0)?;
    // SAFETY: takes numbers only; the new descriptor is above the standard ones.
    let copy = check(unsafe { libc::fcntl(0, libc::F_DUPFD_CLOEXEC, FIRST_PASSED) })?;
    // SAFETY: `copy` is new and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(copy) };
    silence_standard_streams()?;
    Ok(TcpStream::from(socket))
}

/// Puts `/dev/null` where standard input, output and error were.
///
/// # Errors
///
/// What opening it or `dup2` says.
pub fn silence_standard_streams() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    for standard in 0..=2 {
        // SAFETY: takes numbers only. Replacing 0 to 2 is what this is for;
        // std keeps no state about them that this could break.
        check(unsafe { libc::dup2(null.as_raw_fd(), standard) })?;
    }
    Ok(())
}

fn option(fd: RawFd, name: libc::c_int) -> io::Result<libc::c_int> {
    let mut value = [0; size_of::<libc::c_int>()];
    super::socket_option(fd, libc::SOL_SOCKET, name, &mut value)?;
    Ok(libc::c_int::from_ne_bytes(value))
}

fn socket_type(fd: RawFd) -> io::Result<libc::c_int> {
    option(fd, libc::SO_TYPE)
}

/// Sockets that systemd passed.
#[derive(Debug, Default)]
pub struct Passed {
    /// Those that listen for TCP connections.
    pub listeners: Vec<TcpListener>,
    /// Those of UDP.
    pub datagrams: Vec<UdpSocket>,
}

/// The `count` sockets that systemd passed.
///
/// # Errors
///
/// A descriptor is not open, or neither a listening TCP socket nor one of UDP.
pub fn passed_sockets(count: i32) -> io::Result<Passed> {
    let mut passed = Passed::default();
    for fd in FIRST_PASSED..FIRST_PASSED + count.clamp(0, MOST_PASSED) {
        match socket_type(fd)? {
            libc::SOCK_STREAM if option(fd, libc::SO_ACCEPTCONN)? != 0 => {
                let listener = TcpListener::from(take(fd)?);
                listener.set_nonblocking(true)?;
                passed.listeners.push(listener);
            }
            libc::SOCK_DGRAM => {
                let socket = UdpSocket::from(take(fd)?);
                datagram::prepare(socket.as_fd(), socket.local_addr()?.is_ipv4(), false)?;
                passed.datagrams.push(socket);
            }
            _ => {
                let text = format!(
                    "descriptor {fd} that was passed is no listening TCP socket and none of UDP"
                );
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        }
    }
    Ok(passed)
}

fn take(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: the descriptor is open, was passed for this process to own, and
    // is taken once: the caller reads the environment at its start only.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
