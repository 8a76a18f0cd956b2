//! Names to addresses of one family: `std` always asks for both, and a name
//! server that mistreats the question for one family then costs the other.

use std::ffi::{CStr, CString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ptr;

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Both families, in the order that the system prefers (RFC 6724).
    Both,
    /// `A` alone.
    V4,
    /// `AAAA` alone.
    V6,
}

/// All addresses of `host`, with `port`, in the resolver's order.
///
/// # Errors
///
/// What the resolver says, in its own words.
pub fn look_up(host: &str, port: u16, question: Question) -> io::Result<Vec<SocketAddr>> {
    let name = CString::new(host)?;
    // SAFETY: all zeros is a valid `addrinfo`: numbers and null pointers.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_socktype = libc::SOCK_STREAM;
    hints.ai_family = match question {
        Question::Both => libc::AF_UNSPEC,
        Question::V4 => libc::AF_INET,
        Question::V6 => libc::AF_INET6,
    };
    let mut list = ptr::null_mut();
    // SAFETY: the name and the hints live through the call; `list` is written.
    let status =
        unsafe { libc::getaddrinfo(name.as_ptr(), ptr::null(), &raw const hints, &raw mut list) };
    if status != 0 {
        return Err(failure(status));
    }
    let mut addresses = Vec::new();
    let mut entry = list;
    while !entry.is_null() {
        // SAFETY: not null, and of the list that the call made.
        let info = unsafe { &*entry };
        addresses.extend(address(info, port));
        entry = info.ai_next;
    }
    // SAFETY: made by `getaddrinfo` above, and not used after this.
    unsafe { libc::freeaddrinfo(list) };
    Ok(addresses)
}

fn address(info: &libc::addrinfo, port: u16) -> Option<SocketAddr> {
    if info.ai_addr.is_null() {
        return None;
    }
    match info.ai_family {
        libc::AF_INET => {
            // SAFETY: not null, and of this family a whole `sockaddr_in`.
            let found = unsafe {
                ptr::read_unaligned(info.ai_addr.cast_const().cast::<libc::sockaddr_in>())
            };
            let ip = Ipv4Addr::from(u32::from_be(found.sin_addr.s_addr));
            Some(SocketAddr::new(IpAddr::V4(ip), port))
        }
        libc::AF_INET6 => {
            // SAFETY: not null, and of this family a whole `sockaddr_in6`.
            let found = unsafe {
                ptr::read_unaligned(info.ai_addr.cast_const().cast::<libc::sockaddr_in6>())
            };
            let ip = Ipv6Addr::from(found.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, port, 0, found.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn failure(status: libc::c_int) -> io::Error {
    if status == libc::EAI_SYSTEM {
        return io::Error::last_os_error();
    }
    // SAFETY: it takes any number.
    let text = unsafe { libc::gai_strerror(status) };
    // SAFETY: the text is the C library's own and stays.
    let text = unsafe { CStr::from_ptr(text) };
    io::Error::other(text.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_family_is_asked_for_alone() {
        let found = look_up("127.0.0.1", 7, Question::V4).unwrap();
        assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], 7))]);
        assert_eq!(look_up("::1", 7, Question::V6).unwrap(), ["[::1]:7".parse().unwrap()]);
        assert!(look_up("::1", 7, Question::V4).is_err());
        assert!(look_up("a\0b", 7, Question::Both).is_err());
    }
}
