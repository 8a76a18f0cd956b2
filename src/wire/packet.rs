//! From a captured packet to what it carries: the link types that echo sessions
//! are captured on.

use std::net::SocketAddr;

use super::bytes::be16;
use super::capture::Order;
use super::ip::{Bytes, Datagram, IpError, TCP};
use super::tcp::{Segment, TcpError};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
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
}

/// What a captured packet turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A TCP segment.
    Tcp(TcpPacket<'a>),
    /// Part of a datagram that carries TCP.
    Fragment(Datagram<'a>),
    /// Nothing to look at.
    Skipped(Skip),
}

/// Why a packet is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    /// Its link type is not known.
    LinkType,
    /// It carries no IP.
    NotIp,
    /// It carries no TCP.
    NotTcp,
    /// The capture ends within its headers.
    Cut,
    /// Its headers contradict themselves.
    Malformed,
    /// The rest of its datagram was not seen.
    Fragment,
}

impl Skip {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::LinkType, Self::NotIp, Self::NotTcp, Self::Cut, Self::Malformed, Self::Fragment];

    /// The reason in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::LinkType => "unknown link type",
            Self::NotIp => "not IP",
            Self::NotTcp => "not TCP",
            Self::Cut => "cut short",
            Self::Malformed => "malformed",
            Self::Fragment => "incomplete fragments",
        }
    }
}

impl From<IpError> for Skip {
    fn from(error: IpError) -> Self {
        match error {
            IpError::Cut => Self::Cut,
            IpError::Malformed => Self::Malformed,
            IpError::Version => Self::NotIp,
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

impl<'a> Packet<'a> {
    /// Reads the packet in `bytes`, which begins as the `LINKTYPE_` number
    /// `link` says.
    #[inline]
    pub fn parse(link: u32, bytes: Bytes<'a>) -> Self {
        Self::read(link, bytes).unwrap_or_else(Self::Skipped)
    }

    #[inline]
    fn read(link: u32, bytes: Bytes<'a>) -> Result<Self, Skip> {
        let datagram = Datagram::parse(network(link, bytes)?)?;
        if datagram.protocol != TCP {
            return Err(Skip::NotTcp);
        }
        if datagram.part.is_some() {
            return Ok(Self::Fragment(datagram));
        }
        Ok(Self::Tcp(TcpPacket::of(&datagram)?))
    }
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
        })
    }
}

/// The datagram's bytes behind the link's header.
#[inline]
fn network(link: u32, bytes: Bytes<'_>) -> Result<Bytes<'_>, Skip> {
    let behind = |count| bytes.after(count).ok_or(Skip::Cut);
    match link {
        // Ethernet (IEEE 802.3): two addresses, then what follows.
        1 => tagged(bytes, 12),
        // Linux cooked capture, version 1 and 2.
        113 => tagged(bytes, 14),
        276 => match be16(bytes.kept, 0).ok_or(Skip::Cut)? {
            IPV4 | IPV6 => behind(20),
            tag if VLAN.contains(&tag) => tagged(behind(20)?, 2),
            _ => Err(Skip::NotIp),
        },
        // BSD loopback: the address family in the capturing or in network order.
        0 | 108 => {
            let families = [Order::Little, Order::Big].map(|order| order.u32(bytes.kept, 0));
            let [Some(little), Some(big)] = families else { return Err(Skip::Cut) };
            if FAMILIES.contains(&little) || FAMILIES.contains(&big) {
                behind(4)
            } else {
                Err(Skip::NotIp)
            }
        }
        // Raw IP, under every number that it has.
        12 | 14 | 101 | 228 | 229 => Ok(bytes),
        _ => Err(Skip::LinkType),
    }
}

/// What follows the type field at `at` and any VLAN tags.
#[inline]
fn tagged(bytes: Bytes<'_>, at: usize) -> Result<Bytes<'_>, Skip> {
    let mut at = at;
    for _ in 0..=MAX_TAGS {
        match be16(bytes.kept, at).ok_or(Skip::Cut)? {
            IPV4 | IPV6 => return bytes.after(at.saturating_add(2)).ok_or(Skip::Cut),
            tag if VLAN.contains(&tag) => at = at.saturating_add(4),
            _ => return Err(Skip::NotIp),
        }
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
        match Packet::parse(link, Bytes { kept, length: bytes.len() }) {
            Packet::Tcp(tcp) => Ok((tcp.source, tcp.segment.length, tcp.data.len())),
            Packet::Skipped(skip) => Err(skip),
            Packet::Fragment(_) => Err(Skip::Fragment),
        }
    }

    #[test]
    fn every_link_type_leads_to_the_segment() {
        let cooked1 = [&[0; 14][..], &[8, 0]].concat();
        let cooked2 = [&[8, 0][..], &[0; 18]].concat();
        let ethernet = [&[0xff; 12][..], &[8, 0]].concat();
        let vlan = [&[0xff; 12][..], &[0x81, 0, 0, 5, 8, 0]].concat();
        let double = [&[0xff; 12][..], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 8, 0]].concat();
        let links: [(u32, &[u8]); 11] = [
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
        assert_eq!(parse(147, &[], 100), Err(Skip::LinkType));
        assert_eq!(parse(1, &[[0xff; 12].as_slice(), &[8, 6]].concat(), 100), Err(Skip::NotIp));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            link in prop::sample::select(vec![0_u32, 1, 12, 101, 108, 113, 228, 229, 276, 9]),
            bytes in prop::collection::vec(any::<u8>(), 0..120),
            length in 0_usize..200,
        ) {
            let _ = Packet::parse(link, Bytes { kept: &bytes, length });
        }
    }
}
