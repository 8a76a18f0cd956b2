//! By which interface this host sends the packets of a connection (`rtnetlink(7)`):
//! among several routes it may choose by ports, which a raw socket does not have.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use super::message::{receive, send};
use super::socket::{family_of, socket};

/// `struct nlmsghdr` and `struct rtmsg` before the attributes.
const HEADERS: usize = 28;
/// An attribute's own header: its length, and its type (`linux/rtnetlink.h`).
const ATTRIBUTE: usize = 4;
const GET_ROUTE: u16 = 26;
const REQUEST: u16 = 1;
const TO: u16 = 1;
const FROM: u16 = 2;
const INTERFACE: u16 = 4;
/// These are known since Linux 4.19; an older one chooses without ports.
const PROTOCOL: u16 = 27;
const FROM_PORT: u16 = 28;
const TO_PORT: u16 = 29;

/// The interface's number; `None` where the kernel does not say.
pub fn interface(local: &SocketAddr, remote: &SocketAddr) -> Option<u32> {
    let socket = socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE).ok()?;
    send(socket.as_fd(), &request(local, remote), None, None).ok()?;
    let mut answer = [0; 512];
    let length = receive(socket.as_fd(), &mut answer, false).ok()?.length;
    read(answer.get(..length)?)
}

fn request(local: &SocketAddr, remote: &SocketAddr) -> Vec<u8> {
    let family = u8::try_from(family_of(remote.is_ipv6())).unwrap_or(0);
    let bits = if remote.is_ipv6() { 128 } else { 32 };
    let mut bytes = vec![0; HEADERS];
    bytes[4..6].copy_from_slice(&GET_ROUTE.to_ne_bytes());
    bytes[6..8].copy_from_slice(&REQUEST.to_ne_bytes());
    bytes[16..19].copy_from_slice(&[family, bits, bits]);
    for (kind, end) in [(TO, remote), (FROM, local)] {
        match end.ip() {
            IpAddr::V4(address) => add(&mut bytes, kind, &address.octets()),
            IpAddr::V6(address) => add(&mut bytes, kind, &address.octets()),
        }
    }
    add(&mut bytes, PROTOCOL, &[6]);
    add(&mut bytes, FROM_PORT, &local.port().to_be_bytes());
    add(&mut bytes, TO_PORT, &remote.port().to_be_bytes());
    let length = u32::try_from(bytes.len()).unwrap_or(0);
    bytes[..4].copy_from_slice(&length.to_ne_bytes());
    bytes
}

fn add(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(ATTRIBUTE + value.len()).unwrap_or(0);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(ATTRIBUTE), 0);
}

/// The interface in an answer.
fn read(answer: &[u8]) -> Option<u32> {
    let mut rest = answer.get(HEADERS..)?;
    loop {
        let length = usize::from(u16::from_ne_bytes(*rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*rest.get(2..)?.first_chunk()?);
        if kind == INTERFACE {
            return Some(u32::from_ne_bytes(*rest.get(ATTRIBUTE..)?.first_chunk()?));
        }
        rest = rest.get(length.max(ATTRIBUTE).next_multiple_of(ATTRIBUTE)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_this_host_leaves_by_its_loopback() {
        for host in ["127.0.0.1:40001", "[::1]:40001"] {
            let end: SocketAddr = host.parse().unwrap();
            // 1 wherever there are network namespaces.
            let found = interface(&end, &end);
            assert!(found == Some(1) || end.is_ipv6() && found.is_none(), "{host}: {found:?}");
        }
        assert_eq!(read(&[0; HEADERS + 3]), None);
        assert_eq!(read(&[0; 64]), None);
    }
}
