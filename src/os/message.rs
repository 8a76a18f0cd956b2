//! Bytes together with what the kernel knows of them: where they came from,
//! and control messages (`recvmsg(2)`, `sendmsg(2)`, `cmsg(3)`).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

use super::socket::Address;

/// Bytes of control messages that are taken: more than all that this program
/// asks for.
const CONTROL: usize = 512;
/// A control message's header: its length, level and type.
const CONTROL_HEADER: usize = size_of::<usize>() + 8;

/// Bytes of a socket address of either family.
type RawAddress = [u8; size_of::<libc::sockaddr_in6>()];

/// What came with a message.
#[derive(Debug)]
pub struct Received {
    /// Its bytes, at the start of the buffer.
    pub length: usize,
    /// Where it came from, where the kernel tells.
    pub from: Option<SocketAddr>,
    control: [u8; CONTROL],
    control_length: usize,
}

/// Takes one message, or, where `errors`, one report from the error queue.
/// Never waits.
///
/// # Errors
///
/// What `recvmsg` says; `WouldBlock` where there is none.
#[inline]
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8], errors: bool) -> io::Result<Received> {
    take(socket, buffer, libc::MSG_DONTWAIT | if errors { libc::MSG_ERRQUEUE } else { 0 })
}

/// Takes one message; waits for it as long as the socket's time-out allows.
///
/// # Errors
///
/// What `recvmsg` says; `WouldBlock` where none came in time.
#[inline]
pub fn wait_and_receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<Received> {
    take(socket, buffer, 0)
}

fn take(socket: BorrowedFd<'_>, buffer: &mut [u8], flags: libc::c_int) -> io::Result<Received> {
    let mut address: RawAddress = [0; _];
    let mut control = [0_u8; CONTROL];
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: all of this structure's fields may be zero.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    header.msg_name = address.as_mut_ptr().cast();
    header.msg_namelen = libc::socklen_t::try_from(address.len()).unwrap_or(0);
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = CONTROL as _;
    // SAFETY: every pointer in `header` is to memory that outlives the call and
    // is as large as the length beside it says.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
    let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
    #[allow(clippy::unnecessary_cast, reason = "the field's type differs between C libraries")]
    let control_length = (header.msg_controllen as usize).min(CONTROL);
    Ok(Received { length, from: socket_address(&address), control, control_length })
}

impl Received {
    /// The control message of this level and type, if it came.
    pub fn control(&self, level: i32, kind: i32) -> Option<&[u8]> {
        let mut rest = self.control.get(..self.control_length)?;
        loop {
            let (length, found) = control_header(rest)?;
            if found == (level, kind) {
                return rest.get(CONTROL_HEADER..length);
            }
            rest = rest.get(length.next_multiple_of(size_of::<usize>())..)?;
        }
    }
}

/// A control message's length with its header, and its level and type.
fn control_header(bytes: &[u8]) -> Option<(usize, (i32, i32))> {
    let length = usize::from_ne_bytes(*bytes.first_chunk()?);
    let level = i32::from_ne_bytes(*bytes.get(size_of::<usize>()..)?.first_chunk()?);
    let kind = i32::from_ne_bytes(*bytes.get(size_of::<usize>() + 4..)?.first_chunk()?);
    (length >= CONTROL_HEADER).then_some((length, (level, kind)))
}

/// A control message to send, in the kernel's form.
#[derive(Debug, Clone, Copy)]
pub struct Control {
    bytes: [u8; 64],
    length: usize,
}

impl Control {
    /// A message of this level and type; `data` is at most 32 bytes.
    pub fn new(level: i32, kind: i32, data: &[u8]) -> Self {
        let mut bytes = [0; 64];
        let length = CONTROL_HEADER + data.len();
        bytes[..size_of::<usize>()].copy_from_slice(&length.to_ne_bytes());
        bytes[size_of::<usize>()..][..4].copy_from_slice(&level.to_ne_bytes());
        bytes[size_of::<usize>() + 4..][..4].copy_from_slice(&kind.to_ne_bytes());
        bytes[CONTROL_HEADER..length].copy_from_slice(data);
        Self { bytes, length: length.next_multiple_of(size_of::<usize>()) }
    }
}

/// Sends one datagram without waiting, with a control message if there is one.
///
/// # Errors
///
/// What `sendmsg` says; `WouldBlock` where there is no room.
#[inline]
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    to: Option<&SocketAddr>,
    control: Option<&Control>,
) -> io::Result<usize> {
    let address = to.map(Address::new);
    let mut part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: all of this structure's fields may be zero.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    if let Some(address) = &address {
        let (pointer, length) = address.pointer();
        header.msg_name = pointer.cast_mut().cast();
        header.msg_namelen = length;
    }
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    if let Some(control) = control {
        header.msg_control = control.bytes.as_ptr().cast_mut().cast();
        header.msg_controllen = control.length as _;
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: every pointer in `header` is to memory that outlives the call and
    // is as large as the length beside it says; sending only reads it.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// A socket address in the kernel's form, if it is of IPv4 or IPv6.
pub(super) fn socket_address(bytes: &[u8]) -> Option<SocketAddr> {
    let family = i32::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    let port = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    match family {
        libc::AF_INET => {
            let address: [u8; 4] = *bytes.get(4..)?.first_chunk()?;
            Some(SocketAddr::new(IpAddr::from(Ipv4Addr::from(address)), port))
        }
        libc::AF_INET6 => {
            let address: [u8; 16] = *bytes.get(8..)?.first_chunk()?;
            let scope = u32::from_ne_bytes(*bytes.get(24..)?.first_chunk()?);
            Some(SocketAddrV6::new(Ipv6Addr::from(address), port, 0, scope).into())
        }
        _ => None,
    }
}
