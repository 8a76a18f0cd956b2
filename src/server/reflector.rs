//! The Session-Reflector of TWAMP and STAMP as a pure function: a test packet
//! and what is known of its arrival give the reply (RFC 5357, section 4.2;
//! RFC 8762, section 4.3).

use crate::clock::Wall;
use crate::wire::ntp::{ErrorEstimate, Timestamp};
use crate::wire::stamp::{self, TestResult};
use crate::wire::stamp_answer::{Seen, answer_extensions};
use crate::wire::twamp_test::{REFLECTOR, ReflectorPacket, SenderPacket};

/// What a reflector holds a packet for at most, in units of 2^-32 s: 10 ms.
/// Senders that leave old replies in their padding are slower than that.
const USUAL_HOLD: u64 = (1 << 32) / 100;

/// Bytes that a buffer for packets needs: the largest UDP payload.
pub const BUFFER: usize = 64 * 1024;

/// What is known of a packet's arrival.
#[derive(Debug, Clone, Copy)]
pub struct Arrived {
    /// T2.
    pub at: Wall,
    /// The time to live that it came with; 255 where that is not known.
    pub ttl: u8,
    /// The number of its reply; `None` copies the sender's.
    pub sequence: Option<u32>,
    /// Of this host's clock.
    pub error: ErrorEstimate,
    /// What extensions ask for.
    pub seen: Seen,
}

/// A reply, ready but for T3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply {
    /// Its bytes, at the start of the buffer.
    pub length: usize,
    /// What the sender says it has found out, if it does.
    pub result: Option<TestResult>,
}

/// Whether a datagram is a reflector's own: it says that it was received a
/// moment before it was sent. Two reflectors that answered each other's replies
/// would do so for ever.
pub fn is_reply(packet: &[u8]) -> bool {
    let held = |reply: ReflectorPacket| reply.sent.0.abs_diff(reply.received.0);
    packet.len() >= REFLECTOR
        && ReflectorPacket::read(packet)
            .filter(|reply| reply.received != Timestamp::default())
            .is_some_and(|reply| held(reply) < USUAL_HOLD)
}

/// A test packet's own fields; `None` if it is too short, or a reply.
pub fn read(packet: &[u8]) -> Option<SenderPacket> {
    SenderPacket::read(packet).filter(|_| !is_reply(packet))
}

/// Turns the test packet in the first `length` bytes of `buffer` into its
/// reply: as long as the packet, but never shorter than a reply can be. `None`:
/// it is no test packet, or `buffer` is too short for its reply. Whether it may be
/// answered is the caller's to know: see [`is_reply`].
pub fn reflect(buffer: &mut [u8], length: usize, arrived: &Arrived) -> Option<Reply> {
    let packet = buffer.get_mut(..length)?;
    let sender = SenderPacket::read(packet)?;
    let ssid = stamp::ssid(packet);
    let result = ssid.and_then(|_| answer_extensions(packet, &arrived.seen));
    let reply = ReflectorPacket {
        sequence: arrived.sequence.unwrap_or(sender.sequence),
        sent: Timestamp::default(),
        error: arrived.error,
        ssid: ssid.unwrap_or(0),
        received: Timestamp::from_unix_nanos(arrived.at.0),
        sender,
        ttl: arrived.ttl,
    };
    *buffer.first_chunk_mut::<REFLECTOR>()? = reply.emit();
    Some(Reply { length: length.max(REFLECTOR), result })
}

/// Writes T3: the last thing before the reply leaves.
#[inline]
pub fn stamp_departure(reply: &mut [u8], at: Wall) {
    if let Some(place) = reply.get_mut(ReflectorPacket::SENT) {
        place.copy_from_slice(&Timestamp::from_unix_nanos(at.0).0.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::time::Duration;

    const ARRIVED: Arrived = Arrived {
        at: Wall(1_795_202_401_000_000_000),
        ttl: 64,
        sequence: Some(7),
        error: ErrorEstimate(1),
        seen: Seen {
            from: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9),
            to: (None, 862),
            class: None,
            reply_dscp: 0,
            synchronised: false,
            counts: None,
            before: (0, Timestamp(0)),
        },
    };

    fn packet(length: usize) -> Vec<u8> {
        let sender = SenderPacket { sequence: 3, sent: Timestamp(9), error: ErrorEstimate(0x8001) };
        let mut bytes = sender.emit().to_vec();
        bytes.resize(length, 0xee);
        bytes
    }

    fn reflected(packet: &[u8]) -> Option<(Vec<u8>, Option<TestResult>)> {
        let mut buffer = packet.to_vec();
        buffer.resize(packet.len().max(REFLECTOR), 0xa5);
        let reply = reflect(&mut buffer, packet.len(), &ARRIVED)?;
        buffer.truncate(reply.length);
        Some((buffer, reply.result))
    }

    #[test]
    fn a_reply_is_as_long_as_its_packet_and_never_shorter_than_it_must() {
        for (length, expected) in [(14, 41), (40, 41), (41, 41), (100, 100), (1472, 1472)] {
            assert_eq!(reflected(&packet(length)).unwrap().0.len(), expected, "{length}");
        }
        for length in 0..14 {
            assert_eq!(reflected(&packet(length)), None, "{length}");
        }
    }

    #[test]
    fn what_was_sent_comes_back_beside_what_was_seen() {
        let (mut bytes, _) = reflected(&packet(60)).unwrap();
        let departure = Wall(ARRIVED.at.0 + 5_000);
        stamp_departure(&mut bytes, departure);
        let reply = ReflectorPacket::read(&bytes).unwrap();
        assert_eq!((reply.sequence, reply.ttl, reply.ssid), (7, 64, 0));
        assert_eq!(reply.received.to_unix_nanos(), ARRIVED.at.0);
        assert_eq!(reply.sent.to_unix_nanos(), departure.0);
        assert_eq!(Some(reply.sender), SenderPacket::read(&packet(14)));
        assert_eq!(bytes[41..], [0xee; 19], "padding comes back");
    }

    #[test]
    fn no_reply_is_answered_so_that_two_reflectors_fall_silent() {
        let (mut bytes, _) = reflected(&packet(41)).unwrap();
        stamp_departure(&mut bytes, Wall(ARRIVED.at.0 + 50_000));
        assert_eq!(read(&bytes), None);
        stamp_departure(&mut bytes, Wall(ARRIVED.at.0 + 20_000_000));
        assert!(read(&bytes).is_some(), "a sender may reuse a reply's bytes");
    }

    #[test]
    fn stamp_keeps_its_identifier_and_tells_its_result() {
        let told = TestResult { sent: 3, received: 2, round_trips: [Duration::from_millis(1); 3] };
        let mut packet = packet(16);
        packet[14..16].copy_from_slice(&[0xbe, 0xef]);
        packet.resize(stamp::BASE, 0);
        packet.extend(told.emit());
        let (bytes, result) = reflected(&packet).unwrap();
        assert_eq!(result, Some(told));
        assert_eq!(ReflectorPacket::read(&bytes).unwrap().ssid, 0xbeef);
        assert_eq!(bytes.len(), packet.len());
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_panic_or_grow(bytes: Vec<u8>) {
            let length = bytes.len();
            if let Some((reply, _)) = reflected(&bytes) {
                prop_assert_eq!(reply.len(), length.max(REFLECTOR));
            }
        }
    }
}
