//! The same packet captured more than once: on every interface that it passes
//! (`-i any`, a bridge, both ends of a pair), or by a mirror of both directions.

use crate::wire::packet::TcpPacket;
use crate::wire::tcp::{FIN, SYN};

/// Packets of one direction that are remembered.
const REMEMBERED: usize = 32;
/// A copy with the sender's own mark on it comes within this time, in
/// nanoseconds: the mark comes again after 65,536 packets.
const MARKED: i64 = 1_000_000_000;
/// A copy without a mark comes within this time: no timer sends again so soon.
const UNMARKED: i64 = 1_000_000;

/// What was captured last in one direction.
#[derive(Debug, Clone, Default)]
pub(super) struct Recent {
    /// Fingerprint and time, each in the place that its fingerprint says.
    packets: Vec<(u64, i64)>,
    copies: u32,
}

impl Recent {
    /// Whether `packet`, seen at `at`, has been seen just before.
    pub(super) fn is_copy(&mut self, packet: &TcpPacket<'_>, at: i64) -> bool {
        if self.packets.is_empty() {
            self.packets = vec![(0, i64::MIN); REMEMBERED];
        }
        let print = fingerprint(packet);
        let place = usize::try_from(print).unwrap_or(usize::MAX) % REMEMBERED;
        let (before, seen) = std::mem::replace(&mut self.packets[place], (print, at));
        let age = at.saturating_sub(seen);
        let segment = &packet.segment;
        let occupies = segment.length > 0 || segment.any(SYN | FIN);
        let within = match packet.identification {
            // The same acknowledgement twice is a signal of its own, unless the
            // capture is known to hold all twice.
            0 if !occupies && self.copies == 0 => 0,
            0 => UNMARKED,
            _ => MARKED,
        };
        let copy = before == print && (0..within).contains(&age);
        self.copies = self.copies.saturating_add(u32::from(copy));
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
        segment.options.timestamps.map_or(0, |(own, echoed)| u64::from(own ^ echoed)),
    ];
    // Fowler, Noll and Vo's mixing, eight bytes at a time.
    parts.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, part| {
        let mixed = (hash ^ part).wrapping_mul(0x0000_0100_0000_01b3);
        mixed ^ mixed >> 29
    })
}
