//! Error messages of ICMP (RFC 792) and its IPv6 kin (RFC 4443): what each says in
//! words, and which TCP connection it quotes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::bytes::{be16, be32};

/// Bytes of an ICMP message before the packet that it quotes.
const HEADER: usize = 8;
/// The shortest IPv4 header, and the IPv6 header.
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
/// The TCP protocol's number in both.
const TCP: u8 = 6;

/// What a router or a host reported of a packet that it did not deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IcmpError {
    /// Whether it came over IPv6.
    pub version6: bool,
    /// The message's type.
    pub kind: u8,
    /// The message's code.
    pub code: u8,
    /// Where a packet was too big, what fits, in bytes.
    pub mtu: Option<u16>,
    /// Who said it, where that is known.
    pub from: Option<IpAddr>,
}

impl IcmpError {
    /// Whether a router says that a packet had passed as many as it might.
    pub fn is_passed_out(&self) -> bool {
        (self.kind, self.code) == (if self.version6 { 3 } else { 11 }, 0)
    }

    /// What it says, in the words that other tools use too.
    pub fn text(&self) -> &'static str {
        if self.version6 { self.text6() } else { self.text4() }
    }

    fn text4(&self) -> &'static str {
        match (self.kind, self.code) {
            (3, 0) => "Destination Network Unreachable",
            (3, 1) => "Destination Host Unreachable",
            (3, 2) => "Destination Protocol Unreachable",
            (3, 3) => "Destination Port Unreachable",
            (3, 4) => "fragmentation needed",
            (3, 5) => "source route failed",
            (3, 6) => "Destination Network Unknown",
            (3, 7) => "Destination Host Unknown",
            (3, 8) => "source host isolated",
            (3, 9) => "destination network administratively prohibited",
            (3, 10) => "destination host administratively prohibited",
            (3, 11) => "Destination Network Unreachable for this type of service",
            (3, 12) => "Destination Host Unreachable for this type of service",
            (3, 13) => "communication administratively prohibited",
            (3, 14) => "host precedence violation",
            (3, 15) => "precedence cutoff in effect",
            (3, _) => "Destination Unreachable",
            (11, 0) => "TTL exceeded",
            (11, _) => "fragment reassembly time exceeded",
            (12, _) => "parameter problem",
            _ => "another ICMP error",
        }
    }

    fn text6(&self) -> &'static str {
        match (self.kind, self.code) {
            (1, 0) => "Destination Network Unreachable (no route)",
            (1, 1) => "communication administratively prohibited",
            (1, 2) => "beyond the scope of the source address",
            (1, 3) => "Destination Host Unreachable (address unreachable)",
            (1, 4) => "Destination Port Unreachable",
            (1, 5) => "administratively prohibited (source address failed a policy)",
            (1, 6) => "Destination Network Unreachable (reject route)",
            (1, _) => "Destination Unreachable",
            (2, _) => "fragmentation needed (packet too big)",
            (3, 0) => "TTL exceeded (hop limit)",
            (3, _) => "fragment reassembly time exceeded",
            (4, _) => "parameter problem",
            _ => "another ICMPv6 error",
        }
    }
}

impl fmt::Display for IcmpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())?;
        if let Some(mtu) = self.mtu {
            write!(f, ", MTU {mtu}")?;
        }
        if let Some(from) = self.from {
            write!(f, ", from {from}")?;
        }
        let name = if self.version6 { "ICMPv6" } else { "ICMP" };
        write!(f, " ({name} type {} code {})", self.kind, self.code)
    }
}

/// The TCP connection that an error is about, as its packet went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    /// Where the packet came from.
    pub source: SocketAddr,
    /// Where it was to go.
    pub destination: SocketAddr,
    /// Its sequence number, where so much is quoted.
    pub sequence: Option<u32>,
}

/// Reads what a raw ICMP socket brings: the IP header and then the message.
/// `None` for anything but an error that quotes a TCP packet.
pub fn read_v4(packet: &[u8]) -> Option<(IcmpError, Quoted)> {
    let (header, message) = split_ipv4(packet)?;
    let (kind, code, info, quoted) = split_message(message)?;
    if !matches!(kind, 3 | 11 | 12) {
        return None;
    }
    let mtu = if (kind, code) == (3, 4) { info.last_chunk().copied() } else { None };
    let (inner, segment) = split_ipv4(quoted)?;
    let quoted = quote(*inner.get(9)?, segment, ipv4(inner, 12)?, ipv4(inner, 16)?)?;
    let error = IcmpError {
        version6: false,
        kind,
        code,
        mtu: mtu.map(u16::from_be_bytes).filter(|&mtu| mtu > 0),
        from: Some(ipv4(header, 12)?),
    };
    Some((error, quoted))
}

/// The same for a raw socket of IPv6, which brings the message alone; `from` is
/// the address that the kernel tells with it.
pub fn read_v6(message: &[u8], from: IpAddr) -> Option<(IcmpError, Quoted)> {
    let (kind, code, info, quoted) = split_message(message)?;
    if !matches!(kind, 1..=4) {
        return None;
    }
    let mtu = (kind == 2).then(|| u16::try_from(u32::from_be_bytes(info)).unwrap_or(u16::MAX));
    let (inner, mut rest) = quoted.split_at_checked(IPV6_HEADER)?;
    let mut next = *inner.get(6)?;
    // Hop-by-hop, routing, destination options: length in units of 8 bytes
    // without the first.
    while matches!(next, 0 | 43 | 60) {
        let length = usize::from(*rest.get(1)?).checked_add(1)?.checked_mul(8)?;
        next = *rest.first()?;
        rest = rest.get(length..)?;
    }
    let quoted = quote(next, rest, ipv6(inner, 8)?, ipv6(inner, 24)?)?;
    let error = IcmpError { version6: true, kind, code, mtu, from: Some(from) };
    Some((error, quoted))
}

/// An IPv4 packet's header and the rest.
fn split_ipv4(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = usize::from(packet.first()? & 0x0f).checked_mul(4)?;
    if length < IPV4_HEADER || packet.first()? >> 4 != 4 {
        return None;
    }
    packet.split_at_checked(length)
}

/// Type, code, the four bytes that depend on them, and the quoted packet.
fn split_message(message: &[u8]) -> Option<(u8, u8, [u8; 4], &[u8])> {
    let (header, quoted) = message.split_at_checked(HEADER)?;
    Some((*header.first()?, *header.get(1)?, *header.last_chunk()?, quoted))
}

/// The connection of a segment, of which often no more than eight bytes are quoted.
fn quote(protocol: u8, segment: &[u8], from: IpAddr, to: IpAddr) -> Option<Quoted> {
    let port = |at| be16(segment, at);
    (protocol == TCP).then_some(Quoted {
        source: SocketAddr::new(from, port(0)?),
        destination: SocketAddr::new(to, port(2)?),
        sequence: be32(segment, 4),
    })
}

fn ipv4(header: &[u8], at: usize) -> Option<IpAddr> {
    let bytes: [u8; 4] = *header.get(at..)?.first_chunk()?;
    Some(IpAddr::from(Ipv4Addr::from(bytes)))
}

fn ipv6(header: &[u8], at: usize) -> Option<IpAddr> {
    let bytes: [u8; 16] = *header.get(at..)?.first_chunk()?;
    Some(IpAddr::from(Ipv6Addr::from(bytes)))
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a panic fails the test"
)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ipv4_header(protocol: u8, from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
        let mut header = vec![0; IPV4_HEADER];
        header[0] = 0x45;
        header[9] = protocol;
        header[12..16].copy_from_slice(&from);
        header[16..20].copy_from_slice(&to);
        header
    }

    fn too_big_for_a_router() -> Vec<u8> {
        let mut packet = ipv4_header(1, [10, 0, 0, 254], [10, 0, 0, 1]);
        packet.extend([3, 4, 0, 0, 0, 0, 0x05, 0x78]);
        packet.extend(ipv4_header(6, [10, 0, 0, 1], [192, 0, 2, 9]));
        packet.extend([0xd4, 0x31, 0x2e, 0xe1, 1, 2, 3, 4]);
        packet
    }

    #[test]
    fn an_error_names_its_sender_and_quotes_its_connection() {
        let (error, quoted) = read_v4(&too_big_for_a_router()).unwrap();
        assert_eq!(
            error.to_string(),
            "fragmentation needed, MTU 1400, from 10.0.0.254 (ICMP type 3 code 4)"
        );
        assert_eq!(quoted.source, "10.0.0.1:54321".parse().unwrap());
        assert_eq!(quoted.destination, "192.0.2.9:12001".parse().unwrap());
        assert_eq!(quoted.sequence, Some(0x0102_0304));
    }

    #[test]
    fn an_icmpv6_error_is_read_past_extension_headers() {
        let mut message = vec![1, 1, 0, 0, 0, 0, 0, 0];
        let mut inner = vec![0; IPV6_HEADER];
        inner[0] = 0x60;
        inner[6] = 60;
        inner[23] = 1;
        inner[39] = 2;
        message.extend(inner);
        message.extend([6, 0, 0, 0, 0, 0, 0, 0]);
        message.extend([0, 80, 0, 81, 0, 0, 0, 0]);
        let (error, quoted) = read_v6(&message, "fe80::1".parse().unwrap()).unwrap();
        assert_eq!(error.text(), "communication administratively prohibited");
        assert_eq!(quoted.source, "[::1]:80".parse().unwrap());
        assert_eq!(quoted.destination, "[::2]:81".parse().unwrap());
    }

    #[test]
    fn what_is_cut_or_no_error_or_not_of_tcp_is_nothing() {
        let whole = too_big_for_a_router();
        // The quoted packet's ports are enough.
        for length in 0..whole.len() - 4 {
            assert_eq!(read_v4(&whole[..length]), None, "{length} bytes");
        }
        let mut echo_reply = whole.clone();
        echo_reply[20] = 0;
        assert_eq!(read_v4(&echo_reply), None);
        let mut udp = whole;
        udp[37] = 17;
        assert_eq!(read_v4(&udp), None);
    }

    proptest! {
        #[test]
        fn no_input_makes_a_parser_panic(bytes: Vec<u8>) {
            let _ = read_v4(&bytes);
            let _ = read_v6(&bytes, IpAddr::from([0; 4]));
        }
    }
}
