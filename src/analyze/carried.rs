//! What a side's packets carry besides their bytes: the options that it offered, and
//! marks that stay as they are unless something on the path changes.

use crate::wire::packet::TcpPacket;
use crate::wire::tcp::{ACK, CWR, ECE, SYN};

/// What a SYN or SYN-ACK offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// The largest segment that is taken, in bytes.
    pub segment: Option<u16>,
    /// By how many doublings windows are told.
    pub scale: Option<u8>,
    /// Selective acknowledgements (RFC 2018).
    pub sack: bool,
    /// Time stamps (RFC 7323).
    pub stamps: bool,
    /// Explicit congestion notification (RFC 3168).
    pub ecn: bool,
}

impl Offer {
    fn of(packet: &TcpPacket<'_>) -> Self {
        let segment = &packet.segment;
        let options = &segment.options;
        // A SYN asks with both flags, a SYN-ACK agrees with one.
        let marks = segment.flags & (ECE | CWR);
        let ecn = marks == if segment.any(ACK) { ECE } else { ECE | CWR };
        Self {
            segment: options.maximum_segment,
            scale: options.window_scale,
            sack: options.sack_permitted,
            stamps: options.timestamps.is_some(),
            ecn,
        }
    }
}

/// A mark of a side's packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    now: Option<u8>,
    /// From what to what it changed first, and when, in nanoseconds since the
    /// connection's first packet.
    pub changed: Option<(u8, u8, i64)>,
    /// How often it changed.
    pub changes: u32,
}

impl Mark {
    fn see(&mut self, value: u8, after: i64) {
        let Some(before) = self.now.replace(value).filter(|before| *before != value) else {
            return;
        };
        self.changes += 1;
        self.changed.get_or_insert((before, value, after));
    }
}

/// All of it of one side.
#[derive(Debug, Clone, Copy, Default)]
pub struct Carried {
    /// What it offered, where its SYN was seen.
    pub offer: Option<Offer>,
    /// The time to live (hop limit) that its packets came with.
    pub hops: Mark,
    /// Their DSCP.
    pub dscp: Mark,
}

impl Carried {
    /// A packet of this side's was seen, so long after the connection's first.
    pub(super) fn see(&mut self, packet: &TcpPacket<'_>, after: i64) {
        if packet.segment.any(SYN) {
            self.offer = Some(Offer::of(packet));
        }
        self.hops.see(packet.hops, after);
        self.dscp.see(packet.class >> 2, after);
    }
}

/// What both agreed on, in words; nothing where an offer was not seen.
pub(super) fn agreed([client, server]: [&Carried; 2]) -> Option<String> {
    let (client, server) = (client.offer?, server.offer?);
    let number = |value: Option<u16>| value.map_or("none".to_owned(), |value| value.to_string());
    let mut text = format!("MSS {} and {}", number(client.segment), number(server.segment));
    match (client.scale, server.scale) {
        (Some(client), Some(server)) => put!(text, ", window scale {client} and {server}"),
        _ => text += ", no window scale",
    }
    for (name, both) in [
        ("SACK", client.sack && server.sack),
        ("time stamps", client.stamps && server.stamps),
        ("ECN", client.ecn && server.ecn),
    ] {
        text += if both { ", " } else { ", no " };
        text += name;
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_counted_and_the_first_is_told() {
        let mut mark = Mark::default();
        for (at, value) in [(0, 61), (1, 61), (2, 60), (3, 61), (4, 61)] {
            mark.see(value, at);
        }
        assert_eq!((mark.changes, mark.changed), (2, Some((61, 60, 2))));
    }

    #[test]
    fn what_both_offer_is_agreed_on() {
        let offer =
            Offer { segment: Some(1460), scale: Some(7), sack: true, stamps: true, ecn: false };
        let side = |offer| Carried { offer, ..Carried::default() };
        let (one, other) =
            (side(Some(offer)), side(Some(Offer { scale: None, ecn: true, ..offer })));
        let text = "MSS 1460 and 1460, no window scale, SACK, time stamps, no ECN";
        assert_eq!(agreed([&one, &other]).as_deref(), Some(text));
        assert_eq!(agreed([&one, &side(None)]), None);
    }
}
