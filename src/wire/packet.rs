//! From a captured packet to what it carries: the link types that echo sessions
//! are captured on.

use std::net::SocketAddr;

use super::bytes::be16;
use super::capture::Order;
use super::icmp::{self, IcmpError, Quoted};
use super::ip::{Bytes, Datagram, IpError, Part, TCP};
use super::tcp::{Segment, TcpError};
use super::tunnel::{self, Inner, Tunnel};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const MPLS: u16 = 0x8847;
const MPLS_UPSTREAM: u16 = 0x8848;
const PPPOE_SESSION: u16 = 0x8864;
/// Below it the type field is a length (IEEE 802.3).
const FIRST_TYPE: u16 = 0x0600;
const ICMP: u8 = 1;
const IP_IN_IP: u8 = 4;
const UDP: u8 = 17;
const IPV6_IN_IP: u8 = 41;
const GRE: u8 = 47;
const ICMP6: u8 = 58;
/// The most headers around the innermost datagram that are followed.
const MAX_NESTED: usize = 8;
/// VLAN tags: IEEE 802.1Q, 802.1ad, and what was used before it.
const VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// The most VLAN tags that are followed.
const MAX_TAGS: usize = 8;
/// `AF_INET` everywhere; `AF_INET6` on Linux, the BSDs and macOS.
const FAMILIES: [u32; 5] = [2, 10, 24, 28, 30];

/// A TCP segment and between whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpPacket<'a> {
    /// The sender.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    /// The segment's header.
    pub segment: Segment,
    /// Its data as far as it was captured.
    pub data: &'a [u8],
    /// The mark that the sender gave the datagram, of IPv4 alone; 0 says nothing.
    pub identification: u16,
    /// How many more routers the datagram may pass.
    pub hops: u8,
    /// Its DSCP and, in the last two bits, ECN.
    pub class: u8,
}

/// What a captured packet turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A TCP segment.
    Tcp(TcpPacket<'a>),
    /// A part of one.
    Part(Datagram<'a>, Part),
    /// The report that a segment was not delivered.
    Icmp(IcmpError, Quoted),
    /// Nothing to look at.
    Skipped(Skip),
}

/// A packet and what it was carried in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen<'a> {
    /// The innermost packet.
    pub packet: Packet<'a>,
    /// The innermost tunnel around it, if there is one.
    pub tunnel: Option<Tunnel>,
}

/// Why a packet is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Skip {
    /// This link type is not known.
    LinkType(u32),
    /// It carries no IP but this Ethernet type; 0 where there is none.
    NotIp(u16),
    /// It carries no TCP but this protocol.
    NotTcp(u8),
    /// The capture ends within its headers.
    Cut,
    /// Its headers contradict themselves.
    Malformed,
    /// It is a part of a datagram of which others are missing, or contradict it.
    Fragment,
}

impl Skip {
    /// What all reasons are called.
    pub const NAMES: [&'static str; 6] =
        ["unknown link type", "not IP", "not TCP", "cut short", "malformed", "fragments"];

    /// The reason in words, one of [`Skip::NAMES`].
    pub fn name(self) -> &'static str {
        match self {
            Self::LinkType(_) => "unknown link type",
            Self::NotIp(_) => "not IP",
            Self::NotTcp(_) => "not TCP",
            Self::Cut => "cut short",
            Self::Malformed => "malformed",
            Self::Fragment => "fragments",
        }
    }

    /// The same without its number, for where there are too many kinds.
    #[must_use]
    pub fn unnamed(self) -> Self {
        match self {
            Self::LinkType(_) => Self::LinkType(u32::MAX),
            Self::NotIp(_) => Self::NotIp(0),
            other => other,
        }
    }

    /// An ICMP message about nothing that is looked at.
    pub fn report(error: &IcmpError) -> Self {
        Self::NotTcp(if error.version6 { ICMP6 } else { ICMP })
    }

    /// What it carries instead, by name or number.
    pub fn instead(self) -> Option<String> {
        Some(match self {
            Self::LinkType(u32::MAX) => return None,
            Self::LinkType(number) => format!("LINKTYPE {number}"),
            Self::NotIp(0x0806) => "ARP".to_owned(),
            Self::NotIp(0x88cc) => "LLDP".to_owned(),
            Self::NotIp(kind) if kind >= FIRST_TYPE => format!("EtherType 0x{kind:04x}"),
            Self::NotTcp(ICMP) => "ICMP".to_owned(),
            Self::NotTcp(ICMP6) => "ICMPv6".to_owned(),
            Self::NotTcp(UDP) => "UDP".to_owned(),
            Self::NotTcp(protocol) => format!("protocol {protocol}"),
            Self::NotIp(_) | Self::Cut | Self::Malformed | Self::Fragment => return None,
        })
    }
}

impl From<IpError> for Skip {
    fn from(error: IpError) -> Self {
        match error {
            IpError::Cut => Self::Cut,
            IpError::Malformed => Self::Malformed,
            IpError::Version => Self::NotIp(0),
        }
    }
}

impl From<TcpError> for Skip {
    fn from(error: TcpError) -> Self {
        match error {
            TcpError::Cut => Self::Cut,
            TcpError::Malformed => Self::Malformed,
        }
    }
}

impl<'a> Seen<'a> {
    /// Reads the packet in `bytes`, which begins as the `LINKTYPE_` number
    /// `link` says.
    #[inline]
    pub fn parse(link: u32, bytes: Bytes<'a>) -> Self {
        let mut tunnel = None;
        let inner = network(link, bytes).and_then(|inner| unwrapped(inner, &mut tunnel));
        Self { packet: inner.unwrap_or_else(Packet::Skipped), tunnel }
    }
}

/// Follows the headers inwards, and notes the innermost tunnel.
#[inline]
fn unwrapped<'a>(mut inner: Inner<'a>, tunnel: &mut Option<Tunnel>) -> Result<Packet<'a>, Skip> {
    for _ in 0..MAX_NESTED {
        inner = match inner {
            Inner::Ethernet(frame) => tagged(frame, 12)?,
            Inner::Type(IPV4 | IPV6, bytes) => Inner::Ip(bytes),
            Inner::Type(kind, bytes) => {
                let (name, within) = match kind {
                    MPLS | MPLS_UPSTREAM => (Tunnel::Mpls, tunnel::in_mpls(bytes)),
                    PPPOE_SESSION => (Tunnel::Pppoe, tunnel::in_pppoe(bytes)),
                    _ => return Err(Skip::NotIp(kind)),
                };
                *tunnel = Some(name);
                within.ok_or(or_cut(bytes, Skip::NotIp(kind)))?
            }
            Inner::Ip(bytes) => {
                let datagram = Datagram::parse(bytes)?;
                if datagram.protocol == TCP {
                    return Ok(match datagram.part {
                        None => Packet::Tcp(TcpPacket::of(&datagram)?),
                        Some(part) => Packet::Part(datagram, part),
                    });
                }
                if let Some((error, quoted)) = report(&datagram, bytes) {
                    return Ok(Packet::Icmp(error, quoted));
                }
                let (name, within) = carried(&datagram)?;
                *tunnel = Some(name);
                within
            }
        };
    }
    Err(Skip::Malformed)
}

/// An ICMP error in a datagram, which `bytes` begin with.
fn report(datagram: &Datagram<'_>, bytes: Bytes<'_>) -> Option<(IcmpError, Quoted)> {
    match datagram.protocol {
        ICMP => icmp::read_v4(bytes.kept),
        ICMP6 => icmp::read_v6(datagram.payload.kept, datagram.source),
        _ => None,
    }
}

/// What a datagram carries, if that is a tunnel.
fn carried<'a>(datagram: &Datagram<'a>) -> Result<(Tunnel, Inner<'a>), Skip> {
    let other = Skip::NotTcp(datagram.protocol);
    if datagram.part.is_some() {
        return Err(other);
    }
    let payload = datagram.payload;
    let found = match datagram.protocol {
        IP_IN_IP | IPV6_IN_IP => Some((Tunnel::IpInIp, Inner::Ip(payload))),
        GRE => tunnel::in_gre(payload),
        UDP => be16(payload.kept, 2)
            .zip(payload.after(8))
            .and_then(|(port, inner)| tunnel::in_udp(port, inner)),
        _ => None,
    };
    found.ok_or(other)
}

impl<'a> TcpPacket<'a> {
    /// The segment in a whole datagram.
    ///
    /// # Errors
    ///
    /// The segment's header is not all there.
    #[inline]
    pub fn of(datagram: &Datagram<'a>) -> Result<Self, TcpError> {
        let Bytes { kept, length } = datagram.payload;
        let segment = Segment::parse(kept, length)?;
        Ok(Self {
            source: SocketAddr::new(datagram.source, segment.source),
            destination: SocketAddr::new(datagram.destination, segment.destination),
            segment,
            data: kept.get(segment.header..).unwrap_or_default(),
            identification: datagram.identification,
            hops: datagram.hops,
            class: datagram.class,
        })
    }
}

/// What could not be read because the capture ends within it, or else `other`.
fn or_cut(bytes: Bytes<'_>, other: Skip) -> Skip {
    if bytes.kept.len() < bytes.length { Skip::Cut } else { other }
}

/// What follows the link's header.
#[inline]
fn network(link: u32, bytes: Bytes<'_>) -> Result<Inner<'_>, Skip> {
    let behind = |count| bytes.after(count).ok_or(Skip::Cut);
    match link {
        // Ethernet (IEEE 802.3): two addresses, then what follows.
        1 => tagged(bytes, 12),
        // Linux cooked capture, version 1 and 2.
        113 => tagged(bytes, 14),
        276 => match be16(bytes.kept, 0).ok_or(Skip::Cut)? {
            tag if VLAN.contains(&tag) => tagged(behind(20)?, 2),
            kind => Ok(Inner::Type(kind, behind(20)?)),
        },
        // BSD loopback: the address family in the capturing or in network order.
        0 | 108 => {
            let families = [Order::Little, Order::Big].map(|order| order.u32(bytes.kept, 0));
            let [Some(little), Some(big)] = families else { return Err(Skip::Cut) };
            if FAMILIES.contains(&little) || FAMILIES.contains(&big) {
                behind(4).map(Inner::Ip)
            } else {
                Err(Skip::NotIp(0))
            }
        }
        // PPP, in its kinds of framing, and an access concentrator's Ethernet.
        9 | 50 => tunnel::in_ppp(bytes).ok_or(or_cut(bytes, Skip::NotIp(0))),
        51 => tunnel::in_pppoe(bytes).ok_or(or_cut(bytes, Skip::NotIp(0))),
        // Linux's netfilter log.
        239 => tunnel::in_nflog(bytes).ok_or(or_cut(bytes, Skip::NotIp(0))),
        // Raw IP, under every number that it has.
        12 | 14 | 101 | 228 | 229 => Ok(Inner::Ip(bytes)),
        _ => Err(Skip::LinkType(link)),
    }
}

/// What follows the type field at `at` and any VLAN tags.
#[inline]
fn tagged(bytes: Bytes<'_>, at: usize) -> Result<Inner<'_>, Skip> {
    let mut at = at;
    for _ in 0..=MAX_TAGS {
        let kind = be16(bytes.kept, at).ok_or(Skip::Cut)?;
        if VLAN.contains(&kind) {
            at = at.saturating_add(4);
            continue;
        }
        let rest = bytes.after(at.saturating_add(2)).ok_or(Skip::Cut)?;
        // A length, then LLC with SNAP (IEEE 802.2; RFC 1042): the type comes last.
        if kind < FIRST_TYPE && rest.kept.len() < 3.min(rest.length) {
            return Err(Skip::Cut);
        }
        if kind < FIRST_TYPE && rest.kept.starts_with(&[0xaa, 0xaa, 3]) {
            at = at.saturating_add(8);
            continue;
        }
        return Ok(Inner::Type(kind, rest));
    }
    Err(Skip::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A datagram with a segment of two bytes.
    const IP: [u8; 42] = [
        0x45, 0, 0, 42, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0xee, 0x3e, 0, 7, 0,
        0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 1, 0, 0, 0, 0, 0, b'h', b'i',
    ];

    fn parse(link: u32, header: &[u8], kept: usize) -> Result<(SocketAddr, u32, usize), Skip> {
        let bytes = [header, &IP].concat();
        let kept = bytes.get(..kept.min(bytes.len())).unwrap();
        match Seen::parse(link, Bytes { kept, length: bytes.len() }).packet {
            Packet::Tcp(tcp) => Ok((tcp.source, tcp.segment.length, tcp.data.len())),
            Packet::Skipped(skip) => Err(skip),
            Packet::Icmp(..) | Packet::Part(..) => panic!("a whole segment"),
        }
    }

    #[test]
    fn every_link_type_leads_to_the_segment() {
        let cooked1 = [&[0; 14][..], &[8, 0]].concat();
        let cooked2 = [&[8, 0][..], &[0; 18]].concat();
        let ethernet = [&[0xff; 12][..], &[8, 0]].concat();
        let vlan = [&[0xff; 12][..], &[0x81, 0, 0, 5, 8, 0]].concat();
        let double = [&[0xff; 12][..], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0]].concat();
        let snap = [&[0xff; 12][..], &[0, 50, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0]].concat();
        let mpls = [&[0xff; 12][..], &[0x88, 0x47, 0, 0, 0x11, 0x40]].concat();
        let pppoe = [&[0xff; 12][..], &[0x88, 0x64, 0x11, 0, 0, 1, 0, 44, 0, 0x21]].concat();
        let links: [(u32, &[u8]); 16] = [
            (1, &ethernet),
            (1, &vlan),
            (1, &double),
            (113, &cooked1),
            (276, &cooked2),
            (0, &[2, 0, 0, 0]),
            (108, &[0, 0, 0, 2]),
            (12, &[]),
            (14, &[]),
            (101, &[]),
            (228, &[]),
            (1, &snap),
            (1, &mpls),
            (1, &pppoe),
            (9, &[0xff, 3, 0, 0x21]),
            (50, &[0, 0x21]),
        ];
        for (link, header) in links {
            let source: SocketAddr = "10.0.0.1:60990".parse().unwrap();
            assert_eq!(parse(link, header, 100), Ok((source, 2, 2)), "{link} {header:?}");
            // Without its data it is still a segment; without more it is cut.
            let whole = header.len().saturating_add(IP.len());
            for kept in 0..whole {
                let expected = if whole.saturating_sub(kept) <= 2 { Ok(2) } else { Err(Skip::Cut) };
                let found = parse(link, header, kept).map(|(_, length, _)| length);
                assert_eq!(found, expected, "{link}, {kept} bytes kept");
            }
        }
        assert_eq!(parse(147, &[], 100), Err(Skip::LinkType(147)));
        assert_eq!(
            parse(1, &[[0xff; 12].as_slice(), &[8, 6]].concat(), 100),
            Err(Skip::NotIp(0x0806))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            link in prop::sample::select(vec![0_u32, 1, 12, 101, 108, 113, 228, 229, 276, 9]),
            bytes in prop::collection::vec(any::<u8>(), 0..120),
            length in 0_usize..200,
        ) {
            let _ = Seen::parse(link, Bytes { kept: &bytes, length });
        }
    }
}
