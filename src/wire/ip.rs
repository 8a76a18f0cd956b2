//! The headers of IPv4 (RFC 791) and IPv6 (RFC 8200), as far as the way to the
//! protocol within.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::bytes::{be16, be32};

/// The number of TCP.
pub const TCP: u8 = 6;
/// The most extension headers that are followed.
const MAX_EXTENSIONS: usize = 16;
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET_BITS: u16 = 0x1fff;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;
const MOBILITY: u8 = 135;
const HOST_IDENTITY: u8 = 139;
const SHIM6: u8 = 140;

/// Bytes as captured, and how many of them there were on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes<'a> {
    /// Those that were captured.
    pub kept: &'a [u8],
    /// How many there were.
    pub length: usize,
}

impl Bytes<'_> {
    /// Without the first `count`; `None` if the capture does not reach there.
    #[inline]
    pub fn after(self, count: usize) -> Option<Self> {
        let kept = self.kept.get(count..)?;
        Some(Self { kept, length: self.length.saturating_sub(count) })
    }

    /// The first `length` alone, such as without an Ethernet frame's padding.
    #[inline]
    pub(super) fn up_to(self, length: usize) -> Self {
        Self { kept: self.kept.get(..length).unwrap_or(self.kept), length }
    }
}

/// Which part of a datagram a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// What the fragments of one datagram have in common.
    pub identification: u32,
    /// Where it begins, in bytes.
    pub offset: usize,
    /// Whether others follow.
    pub more: bool,
}

/// A datagram without its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The sender.
    pub source: IpAddr,
    /// The receiver.
    pub destination: IpAddr,
    /// What it carries: [`TCP`] or another.
    pub protocol: u8,
    /// What it carries, in bytes.
    pub payload: Bytes<'a>,
    /// Which part it is, if it is not the whole.
    pub part: Option<Part>,
    /// The mark that the sender gave it, of IPv4 alone; 0 says nothing.
    pub identification: u16,
    /// How many more routers it may pass (time to live, hop limit).
    pub hops: u8,
    /// DSCP and, in the last two bits, ECN.
    pub class: u8,
}

/// Why there is no datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpError {
    /// The capture ends within the headers.
    Cut,
    /// The headers contradict themselves.
    Malformed,
    /// Neither version 4 nor 6.
    Version,
}

impl<'a> Datagram<'a> {
    /// Reads a datagram of either version.
    ///
    /// # Errors
    ///
    /// Its headers are not all there, or cannot be.
    #[inline]
    pub fn parse(bytes: Bytes<'a>) -> Result<Self, IpError> {
        match bytes.kept.first().ok_or(IpError::Cut)? >> 4 {
            4 => Self::v4(bytes),
            6 => Self::v6(bytes),
            _ => Err(IpError::Version),
        }
    }

    #[inline]
    fn v4(bytes: Bytes<'a>) -> Result<Self, IpError> {
        let head = bytes.kept.first_chunk::<V4_HEADER>().ok_or(IpError::Cut)?;
        let [first, class, _, _, _, _, _, _, hops, protocol, ..] = *head;
        let header = usize::from(first & 15).saturating_mul(4);
        // The sender's own capture of what its network card will cut up says 0.
        let total = match usize::from(be16(head, 2).unwrap_or(0)) {
            0 => bytes.length,
            total => total,
        };
        if header < V4_HEADER || total < header {
            return Err(IpError::Malformed);
        }
        let fragment = be16(head, 6).unwrap_or(0);
        let (offset, more) = (fragment & OFFSET_BITS, fragment & MORE_FRAGMENTS != 0);
        let part = (offset > 0 || more).then(|| Part {
            identification: u32::from(be16(head, 4).unwrap_or(0)),
            offset: usize::from(offset).saturating_mul(8),
            more,
        });
        let address = |at| IpAddr::from(Ipv4Addr::from_bits(be32(head, at).unwrap_or(0)));
        Ok(Self {
            source: address(12),
            destination: address(16),
            protocol,
            payload: bytes.up_to(total).after(header).ok_or(IpError::Cut)?,
            part,
            identification: be16(head, 4).unwrap_or(0),
            hops,
            class,
        })
    }

    fn v6(bytes: Bytes<'a>) -> Result<Self, IpError> {
        let head = bytes.kept.first_chunk::<V6_HEADER>().ok_or(IpError::Cut)?;
        let address = |at: usize| {
            let bytes = head.get(at..).and_then(|rest| rest.first_chunk::<16>());
            IpAddr::from(Ipv6Addr::from(bytes.copied().unwrap_or_default()))
        };
        let whole = match usize::from(be16(head, 4).unwrap_or(0)) {
            // More than fits into the field (RFC 2675).
            0 => bytes.length,
            length => length.saturating_add(V6_HEADER),
        };
        let payload = bytes.up_to(whole).after(V6_HEADER).ok_or(IpError::Cut)?;
        let [first, second, _, _, _, _, next, hops, ..] = *head;
        let (protocol, payload, part) = extensions(next, payload)?;
        Ok(Self {
            source: address(8),
            destination: address(24),
            protocol,
            payload,
            part,
            identification: 0,
            hops,
            class: first << 4 | second >> 4,
        })
    }
}

/// Follows the extension headers to the protocol that they lead to.
fn extensions(
    mut next: u8,
    mut payload: Bytes<'_>,
) -> Result<(u8, Bytes<'_>, Option<Part>), IpError> {
    let mut part = None;
    for _ in 0..MAX_EXTENSIONS {
        let units = match next {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | MOBILITY | HOST_IDENTITY | SHIM6 => 8,
            FRAGMENT => 0,
            AUTHENTICATION => 4,
            _ => return Ok((next, payload, part)),
        };
        let &[following, size, ..] = payload.kept else { return Err(IpError::Cut) };
        if next == FRAGMENT {
            let place = be16(payload.kept, 2).ok_or(IpError::Cut)?;
            let identification = be32(payload.kept, 4).ok_or(IpError::Cut)?;
            let (offset, more) = (usize::from(place & !7), place & 1 != 0);
            if offset > 0 || more {
                part = Some(Part { identification, offset, more });
            }
        }
        // Counted in units beyond the first eight bytes; in units of four, two less.
        let length = usize::from(size).saturating_mul(units).saturating_add(8);
        payload = payload.after(length).ok_or(IpError::Cut)?;
        next = following;
        if part.is_some_and(|part: Part| part.offset > 0) {
            // What follows is the middle of a datagram, no header.
            return Ok((next, payload, part));
        }
    }
    Err(IpError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const V4: [u8; 26] = [
        0x46, 0, 0, 26, 0x12, 0x34, 0x20, 2, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 1, 1, 1, 0,
        0xaa, 0xbb,
    ];
    const V6: [u8; 66] = {
        let mut bytes = [0; 66];
        bytes[0] = 0x60;
        bytes[5] = 26;
        bytes[6] = HOP_BY_HOP;
        bytes[23] = 1;
        bytes[39] = 2;
        bytes[40] = AUTHENTICATION;
        bytes[48] = FRAGMENT;
        bytes[56] = TCP;
        bytes[59] = 1;
        bytes[63] = 7;
        bytes[64] = 0xaa;
        bytes[65] = 0xbb;
        bytes
    };

    fn whole(kept: &[u8]) -> Bytes<'_> {
        Bytes { kept, length: kept.len() }
    }

    #[test]
    fn version_4_with_options_and_a_fragment() {
        let padded = [&V4[..], &[0; 20]].concat();
        let part = Part { identification: 0x1234, offset: 16, more: true };
        let expected = Datagram {
            source: "10.0.0.1".parse().unwrap(),
            destination: "10.0.0.2".parse().unwrap(),
            protocol: TCP,
            payload: Bytes { kept: &[0xaa, 0xbb], length: 2 },
            part: Some(part),
            identification: 0x1234,
            hops: 64,
            class: 0,
        };
        assert_eq!(Datagram::parse(whole(&padded)), Ok(expected));
        for length in 0..24 {
            let cut = Bytes { kept: V4.get(..length).unwrap(), length: 26 };
            assert_eq!(Datagram::parse(cut), Err(IpError::Cut), "{length}");
        }
        let short = Bytes { kept: V4.get(..25).unwrap(), length: 26 };
        assert_eq!(Datagram::parse(short).unwrap().payload.length, 2);
    }

    #[test]
    fn version_6_with_a_chain_of_headers() {
        let part = Part { identification: 7, offset: 0, more: true };
        let expected = Datagram {
            source: "::1".parse().unwrap(),
            destination: "::2".parse().unwrap(),
            protocol: TCP,
            payload: Bytes { kept: &[0xaa, 0xbb], length: 2 },
            part: Some(part),
            identification: 0,
            hops: 0,
            class: 0,
        };
        assert_eq!(Datagram::parse(whole(&V6)), Ok(expected));
        for length in 0..64 {
            let cut = Bytes { kept: V6.get(..length).unwrap(), length: 66 };
            assert_eq!(Datagram::parse(cut), Err(IpError::Cut), "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            version in 0_u8..16,
            mut bytes in prop::collection::vec(any::<u8>(), 1..120),
            length in 0_usize..200,
        ) {
            if let Some(first) = bytes.first_mut() {
                *first = *first & 15 | version << 4;
            }
            let _ = Datagram::parse(Bytes { kept: &bytes, length });
        }
    }
}
