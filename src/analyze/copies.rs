//! The same packet captured more than once: on every interface that it passes
//! (`-i any`, a bridge, both ends of a pair), or by a mirror of both directions.

use crate::wire::packet::TcpPacket;
use crate::wire::tcp::{FIN, SYN};

/// Packets of one direction that are remembered.
const REMEMBERED: usize = 64;
/// A copy with the sender's own mark on it comes within this time, in
/// nanoseconds: the mark comes again after 65,536 packets.
const MARKED: i64 = 1_000_000_000;
/// A copy without a mark comes within this time: no timer sends again so soon.
const UNMARKED: i64 = 1_000_000;

/// What was captured last in one direction.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    /// Fingerprints and times, and where the next goes: the latest in a ring.
    prints: Vec<u64>,
    times: Vec<i64>,
    next: usize,
    /// Packets that take numbers, which tell copies: those that were, and others.
    copies: u32,
    others: u32,
}

impl Recent {
    /// Whether `packet`, seen at `at`, has been seen just before.
    pub(super) fn is_copy(&mut self, packet: &TcpPacket<'_>, at: i64) -> bool {
        let print = fingerprint(packet);
        let before = self.prints.iter().position(|other| *other == print);
        let age = before.map_or(-1, |place| at.saturating_sub(self.times[place]));
        if self.prints.len() < REMEMBERED {
            self.prints.push(print);
            self.times.push(at);
        } else {
            self.prints[self.next] = print;
            self.times[self.next] = at;
            self.next = (self.next + 1) % REMEMBERED;
        }
        let segment = &packet.segment;
        let occupies = segment.length > 0 || segment.any(SYN | FIN);
        let within = match packet.identification {
            // The same acknowledgement twice is a signal of its own, unless the
            // capture is known to hold all twice.
            0 if !occupies && self.copies <= self.others / 2 => 0,
            0 => UNMARKED,
            _ => MARKED,
        };
        let copy = (0..within).contains(&age);
        if occupies {
            let count = if copy { &mut self.copies } else { &mut self.others };
            *count = count.saturating_add(1);
        }
        copy
    }
}

/// What a packet sent again does not have in common with the first.
fn fingerprint(packet: &TcpPacket<'_>) -> u64 {
    let segment = &packet.segment;
    let parts = [
        u64::from(packet.identification) << 32 | u64::from(segment.sequence),
        u64::from(segment.acknowledgement) << 32 | u64::from(segment.length),
        u64::from(segment.flags) << 16 | u64::from(segment.window),
        segment.options.timestamps.map_or(0, |(own, echoed)| u64::from(own ^ echoed))
            ^ u64::from(segment.options.sack_edge) << 32,
    ];
    // Fowler, Noll and Vo's mixing, eight bytes at a time.
    parts.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, part| {
        let mixed = (hash ^ part).wrapping_mul(0x0000_0100_0000_01b3);
        mixed ^ mixed >> 29
    })
}
