//! What STAMP adds to test packets (RFC 8762, RFC 8972): a session identifier,
//! and extensions of type, length and value after the 44 bytes of the base.

use std::time::Duration;

use super::cursor::{Reader, Writer};

/// Bytes of a packet of either direction without extensions.
pub const BASE: usize = 44;
/// Bytes of an extension before its value.
const HEADER: usize = 4;
/// The extension that holds nothing but bytes to send.
const EXTRA_PADDING: u8 = 1;
/// The extension with a run's result: of a type for private use.
const RESULT: u8 = 253;

/// Flags at the head of an extension.
mod flag {
    pub(super) const UNRECOGNIZED: u8 = 0x80;
    pub(super) const MALFORMED: u8 = 0x40;
}

/// Where the session identifier stands in a sender's packet.
const SSID: std::ops::Range<usize> = 14..16;
/// What must be zero in a sender's packet of STAMP.
const ZEROS: std::ops::Range<usize> = 16..BASE;

/// The session identifier of a sender's packet, if it is one of STAMP: TWAMP's
/// padding may be anything there.
pub fn ssid(packet: &[u8]) -> Option<u16> {
    let zeros = packet.get(ZEROS)?.iter().all(|&byte| byte == 0);
    let ssid = u16::from_be_bytes(*packet.get(SSID)?.first_chunk()?);
    zeros.then_some(ssid)
}

/// What a sender found out about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TestResult {
    /// Packets sent.
    pub sent: u32,
    /// Packets that came back.
    pub received: u32,
    /// Round-trip times: smallest, mean, largest. Zero if none came back.
    pub round_trips: [Duration; 3],
}

/// Bytes of a result's value, and of the whole extension.
const RESULT_VALUE: usize = 32;
/// Bytes of the extension with a result.
pub const RESULT_EXTENSION: usize = HEADER + RESULT_VALUE;

impl TestResult {
    /// The extension that tells it.
    pub fn emit(&self) -> [u8; RESULT_EXTENSION] {
        let [min, mean, max] =
            self.round_trips.map(|span| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        Writer::new()
            .u8(flag::UNRECOGNIZED)
            .u8(RESULT)
            .bytes(&[0, 32])
            .u32(self.sent)
            .u32(self.received)
            .u64(min)
            .u64(mean)
            .u64(max)
            .finish()
    }

    fn read(value: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(value);
        let (sent, received) = (reader.u32()?, reader.u32()?);
        let mut span = || reader.u64().map(Duration::from_nanos);
        Some(Self { sent, received, round_trips: [span()?, span()?, span()?] })
    }
}

/// Answers the extensions of a STAMP packet in place, as a reflector must: each
/// is marked as known or not, and what cannot be read as malformed. Tells a
/// result among them.
pub fn answer_extensions(packet: &mut [u8]) -> Option<TestResult> {
    let mut rest = packet.get_mut(BASE..)?;
    let mut result = None;
    while let Some(([flags, kind, a, b], after)) = rest.split_first_chunk_mut::<HEADER>() {
        let length = usize::from(u16::from_be_bytes([*a, *b]));
        // Reserved: TWAMP's padding of zeros, not an extension.
        if *kind == 0 {
            break;
        }
        let Some((value, next)) = after.split_at_mut_checked(length) else {
            *flags |= flag::MALFORMED;
            break;
        };
        *flags &= !(flag::UNRECOGNIZED | flag::MALFORMED);
        match *kind {
            EXTRA_PADDING => {}
            RESULT => match TestResult::read(value) {
                Some(read) => result = Some(read),
                None => *flags |= flag::MALFORMED,
            },
            _ => *flags |= flag::UNRECOGNIZED,
        }
        rest = next;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RESULT_TOLD: TestResult = TestResult {
        sent: 10,
        received: 9,
        round_trips: [
            Duration::from_micros(101),
            Duration::from_micros(120),
            Duration::from_micros(200),
        ],
    };

    fn packet(extensions: &[&[u8]]) -> Vec<u8> {
        [&[0; BASE][..], &extensions.concat()].concat()
    }

    #[test]
    fn a_result_is_read_among_other_extensions() {
        let unknown = [0x80, 200, 0, 2, 1, 2];
        let padding = [0x80, 1, 0, 1, 9];
        let mut packet = packet(&[&padding, &unknown, &RESULT_TOLD.emit()]);
        assert_eq!(answer_extensions(&mut packet), Some(RESULT_TOLD));
        assert_eq!(packet[BASE], 0, "padding is known");
        assert_eq!(packet[BASE + 5], 0x80, "type 200 is not");
        assert_eq!(packet[BASE + 11], 0, "a result is known");
    }

    #[test]
    fn what_cannot_be_read_is_marked() {
        let whole = RESULT_TOLD.emit();
        for length in HEADER..whole.len() {
            let mut packet = packet(&[&whole[..length]]);
            assert_eq!(answer_extensions(&mut packet), None, "{length}");
            assert_eq!(packet[BASE] & 0x40, 0x40, "{length}");
        }
        let mut zeros = packet(&[&[0; 100]]);
        assert_eq!(answer_extensions(&mut zeros), None);
        assert!(zeros.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn only_stamp_has_an_identifier() {
        let mut packet = packet(&[]);
        packet[14..16].copy_from_slice(&[0x12, 0x34]);
        assert_eq!(ssid(&packet), Some(0x1234));
        packet[40] = 1;
        assert_eq!(ssid(&packet), None);
        assert_eq!(ssid(&[0; 43]), None);
    }

    proptest! {
        #[test]
        fn no_input_makes_a_parser_panic(mut bytes: Vec<u8>) {
            let length = bytes.len();
            let _ = (ssid(&bytes), answer_extensions(&mut bytes));
            prop_assert_eq!(bytes.len(), length);
        }
    }
}
