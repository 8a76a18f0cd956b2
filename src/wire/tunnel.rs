//! Packets within packets: what lies between a link and the datagram that an
//! echo session travels in.

use super::bytes::{be16, be32};
use super::ip::Bytes;

/// What a packet was carried in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tunnel {
    /// RFC 7348, and what a cloud's traffic mirror delivers.
    Vxlan,
    /// RFC 8926.
    Geneve,
    /// RFC 2784 and 2890.
    Gre,
    /// A switch's mirror: Ethernet in GRE (draft-foschiano-erspan).
    Erspan,
    /// IPv4 or IPv6 within IPv4 or IPv6 (RFC 2003, RFC 4213, RFC 2473).
    IpInIp,
    /// RFC 3032.
    Mpls,
    /// RFC 2516.
    Pppoe,
}

impl Tunnel {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vxlan => "VXLAN",
            Self::Geneve => "Geneve",
            Self::Gre => "GRE",
            Self::Erspan => "ERSPAN",
            Self::IpInIp => "IP in IP",
            Self::Mpls => "MPLS",
            Self::Pppoe => "PPPoE",
        }
    }
}

/// What a tunnel's header is followed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inner<'a> {
    /// An Ethernet frame.
    Ethernet(Bytes<'a>),
    /// A datagram.
    Ip(Bytes<'a>),
    /// What the Ethernet type says.
    Type(u16, Bytes<'a>),
}

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Ethernet as a type (RFC 1701's "transparent Ethernet bridging").
const ETHERNET: u16 = 0x6558;
const ERSPAN_2: u16 = 0x88be;
const ERSPAN_3: u16 = 0x22eb;

/// What a UDP datagram to `port` carries, if that is a tunnel.
pub fn in_udp(port: u16, bytes: Bytes<'_>) -> Option<(Tunnel, Inner<'_>)> {
    match port {
        // IANA's number, and Linux's before there was one.
        4789 | 8472 => {
            let [flags, _, _, _, ..] = *bytes.kept else { return None };
            // The network's number is there (RFC 7348, 5).
            let inner = bytes.after(8).filter(|_| flags & 0x08 != 0)?;
            Some((Tunnel::Vxlan, Inner::Ethernet(inner)))
        }
        6081 => {
            let [first, _, ..] = *bytes.kept else { return None };
            let options = usize::from(first & 0x3f).saturating_mul(4);
            let kind = be16(bytes.kept, 2).filter(|_| first >> 6 == 0)?;
            let inner = bytes.after(options.saturating_add(8))?;
            Some((Tunnel::Geneve, typed(kind, inner)))
        }
        _ => None,
    }
}

fn typed(kind: u16, bytes: Bytes<'_>) -> Inner<'_> {
    match kind {
        ETHERNET => Inner::Ethernet(bytes),
        IPV4 | IPV6 => Inner::Ip(bytes),
        other => Inner::Type(other, bytes),
    }
}

/// What a GRE header is followed by.
pub fn in_gre(bytes: Bytes<'_>) -> Option<(Tunnel, Inner<'_>)> {
    let flags = be16(bytes.kept, 0)?;
    let kind = be16(bytes.kept, 2)?;
    // Routing, or another version (PPTP).
    if flags & 0x4007 != 0 {
        return None;
    }
    // A checksum, a key and a sequence number are four bytes each.
    let fields = [0x8000, 0x2000, 0x1000].into_iter().filter(|flag| flags & flag != 0).count();
    let inner = bytes.after(fields.saturating_mul(4).saturating_add(4))?;
    let numbered = flags & 0x1000 != 0;
    match kind {
        // The first kind has no header of its own, and no number.
        ERSPAN_2 if numbered => Some((Tunnel::Erspan, Inner::Ethernet(inner.after(8)?))),
        ERSPAN_2 => Some((Tunnel::Erspan, Inner::Ethernet(inner))),
        ERSPAN_3 => {
            let optional = inner.kept.get(11).is_some_and(|byte| byte & 1 != 0);
            let header = if optional { 20 } else { 12 };
            Some((Tunnel::Erspan, Inner::Ethernet(inner.after(header)?)))
        }
        kind => Some((Tunnel::Gre, typed(kind, inner))),
    }
}

/// What an MPLS label stack is followed by: a datagram, or Ethernet behind a
/// control word (RFC 4448), told apart by the first four bits.
pub fn in_mpls(mut bytes: Bytes<'_>) -> Option<Inner<'_>> {
    const MAX_LABELS: usize = 16;
    for _ in 0..MAX_LABELS {
        let label = be32(bytes.kept, 0)?;
        bytes = bytes.after(4)?;
        if label & 0x100 != 0 {
            return match bytes.kept.first()? >> 4 {
                4 | 6 => Some(Inner::Ip(bytes)),
                0 => Some(Inner::Ethernet(bytes.after(4)?)),
                _ => None,
            };
        }
    }
    None
}

/// What a `PPPoE` session's header is followed by.
pub fn in_pppoe(bytes: Bytes<'_>) -> Option<Inner<'_>> {
    in_ppp(bytes.after(6)?)
}

/// What PPP (RFC 1661) carries, with or without its address and control bytes.
pub fn in_ppp(bytes: Bytes<'_>) -> Option<Inner<'_>> {
    let bytes = if bytes.kept.starts_with(&[0xff, 0x03]) { bytes.after(2)? } else { bytes };
    let (protocol, inner) = match bytes.kept.first()? {
        // Compressed to one byte.
        odd if odd & 1 == 1 => (u16::from(*odd), bytes.after(1)?),
        _ => (be16(bytes.kept, 0)?, bytes.after(2)?),
    };
    match protocol {
        0x0021 | 0x0057 => Some(Inner::Ip(inner)),
        0x0281 | 0x0283 => in_mpls(inner),
        _ => None,
    }
}

/// The datagram in a message of Linux's netfilter log (`LINKTYPE_NFLOG`).
pub fn in_nflog(bytes: Bytes<'_>) -> Option<Inner<'_>> {
    const PAYLOAD: u16 = 9;
    let mut rest = bytes.after(4)?;
    loop {
        // In the byte order of the capturing host; lengths are small.
        let [a, b, c, d, ..] = *rest.kept else { return None };
        let little = u16::from_le_bytes([a, b]);
        let (length, kind) = if usize::from(little) <= rest.length {
            (little, u16::from_le_bytes([c, d]))
        } else {
            (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
        };
        if kind & 0x7fff == PAYLOAD {
            let inner = rest.after(4)?;
            return Some(Inner::Ip(inner.up_to(usize::from(length).saturating_sub(4))));
        }
        let padded = usize::from(length).checked_next_multiple_of(4).filter(|&next| next >= 4)?;
        rest = rest.after(padded)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(kept: &[u8]) -> Bytes<'_> {
        Bytes { kept, length: kept.len() }
    }

    #[test]
    fn optional_fields_are_passed_over() {
        let kept = |inner: Option<(Tunnel, Inner<'_>)>| match inner {
            Some((tunnel, Inner::Ip(bytes) | Inner::Ethernet(bytes))) => {
                Some((tunnel, bytes.kept.to_vec()))
            }
            _ => None,
        };
        let gre = [0xb0, 0, 8, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 0x45];
        assert_eq!(kept(in_gre(whole(&gre))), Some((Tunnel::Gre, vec![0x45])));
        let first = [0, 0, 0x88, 0xbe, 7];
        assert_eq!(kept(in_gre(whole(&first))), Some((Tunnel::Erspan, vec![7])));
        let second = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 7];
        assert_eq!(kept(in_gre(whole(&second))), Some((Tunnel::Erspan, vec![7])));
        let geneve = [1, 0, 0x65, 0x58, 0, 0, 1, 0, 9, 9, 9, 9, 7];
        assert_eq!(kept(in_udp(6081, whole(&geneve))), Some((Tunnel::Geneve, vec![7])));
        assert_eq!(in_udp(4789, whole(&[0; 9])), None);
        let labels = [0, 0, 0x10, 0, 0, 0, 0x11, 0, 0x60];
        assert_eq!(in_mpls(whole(&labels)), Some(Inner::Ip(whole(&[0x60]))));
        assert_eq!(in_ppp(whole(&[0xff, 3, 0, 0x21, 0x45])), Some(Inner::Ip(whole(&[0x45]))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            for port in [4789, 6081] {
                let _ = in_udp(port, whole(&bytes));
            }
            let _ = in_gre(whole(&bytes));
            let _ = (in_mpls(whole(&bytes)), in_ppp(whole(&bytes)), in_nflog(whole(&bytes)));
        }
    }
}
