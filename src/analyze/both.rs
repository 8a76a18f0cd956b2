//! The same traffic captured at both ends: what was lost on which way, and how long
//! each way took.
//!
//! A packet is known by its ports, numbers and IP identification. How the two clocks
//! stand to each other is told by [`crate::stats::line`].

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::side::Role;
use crate::stats::Summary;
use crate::stats::line::{Line, Point, corners};
use crate::wire::packet::TcpPacket;

/// Packets of one capture that are remembered, 24 bytes each; further ones are not
/// compared.
pub const MOST: usize = 1 << 21;

/// A packet with data, as one end captured it.
#[derive(Debug, Clone, Copy)]
struct Packet {
    key: u64,
    at: i64,
    role: Role,
}

/// The packets of one capture.
#[derive(Debug, Clone, Default)]
pub struct Packets {
    all: Vec<Packet>,
    /// Further ones than there is room for.
    pub beyond: u64,
}

impl Packets {
    /// Takes in a packet of `role`, if it has data.
    pub fn take(&mut self, role: Role, packet: &TcpPacket<'_>, at: i64) {
        if packet.segment.length == 0 {
            return;
        }
        if self.all.len() == MOST {
            self.beyond += 1;
            return;
        }
        self.all.push(Packet { key: key(packet), at, role });
    }

    /// By what they are known by: how often, and when first.
    fn of(&self, role: Role) -> HashMap<u64, (u32, i64)> {
        let mut found: HashMap<u64, (u32, i64)> = HashMap::new();
        for packet in self.all.iter().filter(|packet| packet.role == role) {
            found.entry(packet.key).or_insert((0, packet.at)).0 += 1;
        }
        found
    }
}

/// Addresses may be translated on the way, numbers and marks are not.
fn key(packet: &TcpPacket<'_>) -> u64 {
    let segment = &packet.segment;
    let parts = [
        u64::from(segment.source) << 48
            | u64::from(segment.destination) << 32
            | u64::from(segment.sequence),
        u64::from(segment.length) << 16 | u64::from(packet.identification),
    ];
    parts.iter().fold(0, |hash: u64, part| crate::stats::random::mix(hash ^ part))
}

/// One way, from the end that sent to the other.
#[derive(Debug, Clone, Default)]
pub struct Way {
    /// Packets that left, as captured where they left.
    pub sent: u64,
    /// Of them those that did not arrive.
    pub lost: u64,
    /// Packets that arrived and are not in the sender's capture.
    pub unsent: u64,
    /// Packets that left when the receiver's capture had not begun, or had ended: of
    /// those that it lacks nobody knows.
    pub not_covered: u64,
    /// How long they took, by the clocks put right, in nanoseconds.
    pub delays: Summary,
    /// When each left the client or reached it, and the difference of the two clocks'
    /// times.
    raw: Vec<Point>,
}

impl Way {
    fn new(sender: &Packets, receiver: &Packets, role: Role) -> Self {
        let (left, mut arrived) = (sender.of(role), receiver.of(role));
        let covered = covered(&left, &arrived, receiver);
        let mut way = Self::default();
        for (key, (count, at)) in left {
            way.sent += u64::from(count);
            let (there, then) = arrived.remove(&key).unwrap_or((0, 0));
            let missing = u64::from(count.saturating_sub(there));
            if covered.contains(&at) {
                way.lost += missing;
            } else {
                way.not_covered += missing;
            }
            way.unsent += u64::from(there.saturating_sub(count));
            // Which of several alike is which, nobody knows.
            if (count, there) == (1, 1) {
                way.raw.push((if role == Role::Client { at } else { then }, then - at));
            }
        }
        way.unsent += arrived.values().map(|(count, _)| u64::from(*count)).sum::<u64>();
        way
    }
}

/// When packets left that the receiver's capture would hold, had they arrived: it runs
/// from its first packet to its last.
fn covered(
    left: &HashMap<u64, (u32, i64)>,
    arrived: &HashMap<u64, (u32, i64)>,
    receiver: &Packets,
) -> RangeInclusive<i64> {
    let took = |(key, (_, at)): (&u64, &(u32, i64))| {
        arrived.get(key).map(|(_, then)| then.saturating_sub(*at))
    };
    let took = || left.iter().filter_map(took);
    let times = || receiver.all.iter().map(|packet| packet.at);
    match (times().min().zip(took().min()), times().max().zip(took().max())) {
        (Some((first, quickest)), Some((last, slowest))) => {
            first.saturating_sub(quickest)..=last.saturating_sub(slowest)
        }
        _ => i64::MIN..=i64::MAX,
    }
}

/// What both captures say together.
#[derive(Debug, Clone, Default)]
pub struct Both {
    /// From the client to the server.
    pub out: Way,
    /// And back.
    pub back: Way,
    /// How far the server's clock is ahead of the client's in the middle of the
    /// capture, in nanoseconds, and by how much that may be wrong: half of the
    /// smallest round trip.
    pub offset: Option<(i64, i64)>,
    /// How much faster the server's clock runs, in millionths, and how wrong that may
    /// be.
    pub drift_ppm: Option<(f64, f64)>,
}

impl Both {
    /// Compares the client's capture with the server's.
    pub fn new(client: &Packets, server: &Packets) -> Self {
        let mut both = Self {
            out: Way::new(client, server, Role::Client),
            back: Way::new(server, client, Role::Server),
            ..Self::default()
        };
        let [out, back] = [&both.out, &both.back].map(|way| corners(way.raw.clone()));
        let Some(line) = Line::between(&[out, back]) else { return both };
        let half = line.room().unsigned_abs() / 2;
        both.offset = Some((line.offset(line.middle()), half.cast_signed()));
        both.drift_ppm = line.drift_ppm();
        for out in std::mem::take(&mut both.out.raw) {
            both.out.delays.record(half + line.above([out, out])[0]);
        }
        for back in std::mem::take(&mut both.back.raw) {
            both.back.delays.record(half + line.above([back, back])[1]);
        }
        both
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn packets(role: Role, times: impl Iterator<Item = (u64, i64)>) -> Vec<Packet> {
        times.map(|(key, at)| Packet { key, at, role }).collect()
    }

    #[test]
    fn losses_have_their_way_and_clocks_their_bound() {
        // 10 ms out and 6 ms back; the server's clock is 3 s ahead and runs 50 ppm
        // faster; every tenth packet is lost on the way out, every twentieth back.
        let server_clock = |at: i64| at + 3_000 * MS + at / 20_000;
        let (mut near, mut far) = (Packets::default(), Packets::default());
        for number in 0..600_u64 {
            let at = i64::try_from(number).unwrap() * 100 * MS;
            near.all.extend(packets(Role::Client, [(number, at)].into_iter()));
            if number % 10 == 3 {
                continue;
            }
            let queue = i64::try_from(number % 7).unwrap() * MS;
            let (there, back) = (at + 10 * MS + queue, at + 16 * MS + queue);
            far.all.extend(packets(Role::Client, [(number, server_clock(there))].into_iter()));
            let reply = 1_000 + number;
            far.all.extend(packets(Role::Server, [(reply, server_clock(there))].into_iter()));
            if number % 20 != 5 {
                near.all.extend(packets(Role::Server, [(reply, back)].into_iter()));
            }
        }
        let both = Both::new(&near, &far);
        assert_eq!((both.out.sent, both.out.lost, both.out.unsent), (600, 60, 0));
        assert_eq!((both.back.sent, both.back.lost, both.back.unsent), (540, 30, 0));
        let (offset, bound) = both.offset.unwrap();
        // The clocks differ by 3 s and, in the middle, by 1.5 ms more.
        assert!((offset - 3_001 * MS).abs() <= bound + MS, "{offset} ± {bound}");
        assert!((bound - 8 * MS).abs() < MS / 2, "{bound}");
        let (drift, error) = both.drift_ppm.unwrap();
        assert!((drift - 50.0).abs() <= error && error < 1.0, "{drift} ± {error}");
        let queued = both.out.delays.max().unwrap() - both.out.delays.min().unwrap();
        assert!(queued.abs_diff(6_000_000) < 50_000, "{queued}");
        assert!(both.back.delays.max().unwrap() - both.back.delays.min().unwrap() < 50_000);
    }

    #[test]
    fn what_the_other_capture_did_not_cover_is_not_lost() {
        let (mut near, mut far) = (Packets::default(), Packets::default());
        for number in 0..100_u64 {
            let at = i64::try_from(number).unwrap() * 100 * MS;
            near.all.extend(packets(Role::Client, [(number, at)].into_iter()));
            // The other capture begins late and ends early, and two are lost.
            if (30..80).contains(&number) && number % 20 != 10 {
                far.all.extend(packets(Role::Client, [(number, at + 10 * MS)].into_iter()));
            }
        }
        let both = Both::new(&near, &far);
        assert_eq!((both.out.sent, both.out.lost, both.out.not_covered), (100, 2, 51));
    }

    #[test]
    fn packets_alike_are_counted_and_have_no_time() {
        let (mut near, mut far) = (Packets::default(), Packets::default());
        near.all = packets(Role::Client, [(1, 0), (1, 5), (2, 9)].into_iter());
        far.all = packets(Role::Client, [(1, 7), (3, 8)].into_iter());
        let both = Both::new(&near, &far);
        // The last left when the other capture had ended.
        assert_eq!((both.out.sent, both.out.lost, both.out.not_covered), (3, 1, 1));
        assert_eq!(both.out.unsent, 1);
        assert!(both.out.delays.is_empty() && both.offset.is_none());
    }
}
