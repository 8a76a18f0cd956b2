//! Names to addresses of one family: `std` always asks for both, and a name
//! server that mistreats the question for one family then costs the other.

use std::ffi::{CStr, CString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::ptr;

use super::socket::Address;

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

/// The longest name in the text form (RFC 1035, section 2.3.4), with C's end.
const NAME: usize = 256;

/// The name that the resolver has for an address; `None` where it has none. Whoever has
/// the address chooses the name: what is no part of a host's name is left out.
///
/// # Errors
///
/// The resolver did not answer.
pub fn name(address: IpAddr) -> io::Result<Option<String>> {
    let address = Address::new(&SocketAddr::new(address, 0));
    let (pointer, length) = address.pointer();
    let mut name = [0_u8; NAME];
    let (start, room) = (name.as_mut_ptr().cast(), libc::socklen_t::try_from(NAME).unwrap_or(0));
    let (no_service, need) = (ptr::null_mut(), libc::NI_NAMEREQD);
    // SAFETY: the address is of `length` bytes, there is room for `room` bytes at
    // `start`, and none for a service.
    let status = unsafe { libc::getnameinfo(pointer, length, start, room, no_service, 0, need) };
    if status == libc::EAI_AGAIN {
        return Err(failure(status));
    }
    let letters = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte);
    let end = name.iter().position(|byte| *byte == 0).unwrap_or(0);
    let name: String = name[..end].iter().copied().filter(letters).map(char::from).collect();
    Ok((status == 0 && !name.is_empty()).then_some(name))
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
    fn an_address_has_a_name_or_none() {
        let found = name(IpAddr::from([127, 0, 0, 1])).unwrap();
        assert!(found.is_some_and(|name| name.starts_with("localhost")));
    }

    #[test]
    fn each_family_is_asked_for_alone() {
        let found = look_up("127.0.0.1", 7, Question::V4).unwrap();
        assert_eq!(found, [SocketAddr::from(([127, 0, 0, 1], 7))]);
        assert_eq!(look_up("::1", 7, Question::V6).unwrap(), ["[::1]:7".parse().unwrap()]);
        assert!(look_up("::1", 7, Question::V4).is_err());
        assert!(look_up("a\0b", 7, Question::Both).is_err());
    }
}
