//! Test packets of TWAMP (RFC 5357, section 4) in unauthenticated mode. STAMP's
//! (RFC 8762) have the same fields at the same places.

use super::cursor::{Reader, Writer};
use super::ntp::{ErrorEstimate, Timestamp};

/// Bytes of a sender's packet without its padding.
pub const SENDER: usize = 14;
/// Bytes of a reflector's packet without its padding.
pub const REFLECTOR: usize = 41;
/// Some reflectors send no more than this: all up to the sender's error
/// estimate.
const SHORTEST_REPLY: usize = 28;
/// The largest UDP payload over IPv4, which no packet exceeds.
pub const LARGEST: usize = 65_507;

/// The fields that the sender writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderPacket {
    /// Counts from 0.
    pub sequence: u32,
    /// T1.
    pub sent: Timestamp,
    /// Of the sender's clock.
    pub error: ErrorEstimate,
}

impl SenderPacket {
    /// Its bytes, to which padding is added.
    #[inline]
    pub fn emit(&self) -> [u8; SENDER] {
        Writer::new().u32(self.sequence).u64(self.sent.0).u16(self.error.0).finish()
    }

    /// Reads one; `None` if it is too short.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            sequence: reader.u32()?,
            sent: Timestamp(reader.u64()?),
            error: ErrorEstimate(reader.u16()?),
        })
    }
}

/// The fields that the reflector writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReflectorPacket {
    /// The reflector's own count, from 0.
    pub sequence: u32,
    /// T3.
    pub sent: Timestamp,
    /// Of the reflector's clock.
    pub error: ErrorEstimate,
    /// STAMP's session identifier (RFC 8972); zero in TWAMP.
    pub ssid: u16,
    /// T2.
    pub received: Timestamp,
    /// What the sender sent.
    pub sender: SenderPacket,
    /// The time to live that the sender's packet came with.
    pub ttl: u8,
}

impl ReflectorPacket {
    /// Where T3 stands, which is written last.
    pub const SENT: std::ops::Range<usize> = 4..12;

    /// Its bytes, to which padding is added.
    #[inline]
    pub fn emit(&self) -> [u8; REFLECTOR] {
        Writer::new()
            .u32(self.sequence)
            .u64(self.sent.0)
            .u16(self.error.0)
            .u16(self.ssid)
            .u64(self.received.0)
            .bytes(&self.sender.emit())
            .zeros(2)
            .u8(self.ttl)
            .finish()
    }

    /// Reads one. Fields that a short one lacks are read as zero, a time to
    /// live as 255.
    #[inline]
    pub fn read(bytes: &[u8]) -> Option<Self> {
        if bytes.len() < SHORTEST_REPLY {
            return None;
        }
        let mut reader = Reader::new(bytes);
        let (sequence, sent) = (reader.u32()?, Timestamp(reader.u64()?));
        let (error, ssid) = (ErrorEstimate(reader.u16()?), reader.u16()?);
        let received = Timestamp(reader.u64()?);
        let sender = SenderPacket {
            sequence: reader.u32()?,
            sent: Timestamp(reader.u64().unwrap_or(0)),
            error: ErrorEstimate(reader.u16().unwrap_or(0)),
        };
        let ttl = reader.skip(2).and_then(|()| reader.u8()).unwrap_or(u8::MAX);
        Some(Self { sequence, sent, error, ssid, received, sender, ttl })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet() -> ReflectorPacket {
        ReflectorPacket {
            sequence: 0x0102_0304,
            sent: Timestamp(0x0506_0708_090a_0b0c),
            error: ErrorEstimate(0x0d0e),
            ssid: 0,
            received: Timestamp(0x1112_1314_1516_1718),
            sender: SenderPacket {
                sequence: 0x191a_1b1c,
                sent: Timestamp(0x1d1e_1f20_2122_2324),
                error: ErrorEstimate(0x2526),
            },
            ttl: 0x29,
        }
    }

    #[test]
    fn every_field_stands_where_the_standard_puts_it() {
        let bytes = packet().emit();
        let expected: Vec<u8> =
            (1..=14).chain([0, 0]).chain(0x11..=0x26).chain([0, 0, 0x29]).collect();
        assert_eq!(bytes.to_vec(), expected);
        assert_eq!(ReflectorPacket::read(&bytes), Some(packet()));
        assert_eq!(SenderPacket::read(&bytes[24..]), Some(packet().sender));
        assert_eq!(bytes[ReflectorPacket::SENT], packet().sent.0.to_be_bytes());
    }

    #[test]
    fn short_replies_are_read_as_far_as_they_go() {
        let bytes = packet().emit();
        for length in 0..SHORTEST_REPLY {
            assert_eq!(ReflectorPacket::read(&bytes[..length]), None, "{length}");
        }
        let short = ReflectorPacket::read(&bytes[..38]).unwrap();
        assert_eq!((short.sender, short.ttl), (packet().sender, 255));
        for length in 0..SENDER {
            assert_eq!(SenderPacket::read(&bytes[..length]), None, "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_input_makes_a_parser_panic(bytes: Vec<u8>) {
            let _ = ReflectorPacket::read(&bytes);
            let _ = SenderPacket::read(&bytes);
        }

        #[test]
        fn reading_what_was_written_is_the_identity(sequence: u32, sent: u64, error: u16) {
            let packet = SenderPacket { sequence, sent: Timestamp(sent), error: ErrorEstimate(error) };
            prop_assert_eq!(SenderPacket::read(&packet.emit()), Some(packet));
        }
    }
}
