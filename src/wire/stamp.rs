//! What STAMP adds to test packets (RFC 8762, RFC 8972): a session identifier,
//! and extensions of type, length and value after the 44 bytes of the base.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::cursor::{Reader, Writer};

/// Bytes of a packet of either direction without extensions.
pub const BASE: usize = 44;
/// Bytes of an extension before its value.
pub(super) const HEADER: usize = 4;
/// The extension that holds nothing but bytes to send.
pub(super) const EXTRA_PADDING: u8 = 1;
/// The extension with a run's result: of a type for private use.
pub(super) const RESULT: u8 = 253;

/// Flags at the head of an extension.
pub(super) mod flag {
    pub(in crate::wire) const UNRECOGNIZED: u8 = 0x80;
    pub(in crate::wire) const MALFORMED: u8 = 0x40;
    pub(in crate::wire) const INTEGRITY: u8 = 0x20;
}

/// An extension that a sender can ask for (RFC 8972, section 4).
#[derive(Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its short name.
    pub name: &'static str,
    kind: u8,
    /// What its value begins with: names and bits; what is reserved has no name.
    fields: &'static [(&'static str, usize)],
}

pub(super) const LOCATION: u8 = 2;
pub(super) const TIMESTAMP: u8 = 3;
pub(super) const CLASS_OF_SERVICE: u8 = 4;
pub(super) const DIRECT_MEASUREMENT: u8 = 5;
const ACCESS_REPORT: u8 = 6;
pub(super) const TELEMETRY: u8 = 7;

/// In the order of their types.
pub const EXTENSIONS: [Extension; 7] = [
    Extension { name: "padding", kind: EXTRA_PADDING, fields: &[] },
    Extension {
        name: "location",
        kind: LOCATION,
        fields: &[("destination_port", 16), ("source_port", 16)],
    },
    Extension {
        name: "timestamp",
        kind: TIMESTAMP,
        fields: &[("in_source", 8), ("in_method", 8), ("out_source", 8), ("out_method", 8)],
    },
    Extension {
        name: "cos",
        kind: CLASS_OF_SERVICE,
        fields: &[
            ("asked_dscp", 6),
            ("arrived_dscp", 6),
            ("arrived_ecn", 2),
            ("refused", 2),
            ("", 16),
        ],
    },
    Extension {
        name: "direct",
        kind: DIRECT_MEASUREMENT,
        fields: &[("sender_sent", 32), ("reflector_received", 32), ("reflector_sent", 32)],
    },
    Extension {
        name: "access",
        kind: ACCESS_REPORT,
        fields: &[("id", 4), ("", 4), ("code", 8), ("", 16)],
    },
    Extension {
        name: "telemetry",
        kind: TELEMETRY,
        fields: &[("sequence", 32), ("seconds", 32), ("fraction", 32), ("method", 8), ("", 24)],
    },
];

/// What an access report says of this host: its access is none of 3GPP's, and works.
const ACCESS: [u8; 2] = [2 << 4, 1];
/// Parts of a location that are asked for, each an address of 16 bytes: the source and
/// the destination that packets have at the reflector.
const ADDRESSES: [u8; 2] = [SOURCE, DESTINATION];
pub(super) const SOURCE: u8 = 7;
pub(super) const DESTINATION: u8 = 4;
pub(super) const ADDRESS: usize = 16;

/// An extension as a sender writes it: not recognized, until the reflector says so.
fn extension(kind: u8, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    [&[flag::UNRECOGNIZED, kind][..], &length.to_be_bytes(), value].concat()
}

/// What follows TWAMP's own fields in a packet that asks for `wanted`: replies are to
/// have this DSCP, padding this many bytes. Also where in it the sender's count stands.
pub fn ask<'a>(
    wanted: impl Iterator<Item = &'a Extension>,
    dscp: u8,
    padding: usize,
) -> (Vec<u8>, Option<usize>) {
    let mut bytes = vec![0; BASE.saturating_sub(super::twamp_test::SENDER)];
    let mut counter = None;
    for Extension { kind, fields, .. } in wanted {
        let bits: usize = fields.iter().map(|(_, bits)| bits).sum();
        let mut value = vec![0; if *kind == EXTRA_PADDING { padding } else { bits / 8 }];
        match *kind {
            LOCATION => value.extend(ADDRESSES.map(|kind| extension(kind, &[0; ADDRESS])).concat()),
            DIRECT_MEASUREMENT => counter = Some(bytes.len().saturating_add(HEADER)),
            _ => {}
        }
        let begin: &[u8] = match *kind {
            CLASS_OF_SERVICE => &[dscp << 2],
            ACCESS_REPORT => &ACCESS,
            _ => &[],
        };
        for (byte, wanted) in value.iter_mut().zip(begin) {
            *byte = *wanted;
        }
        bytes.extend(extension(*kind, &value));
    }
    (bytes, counter)
}

/// Extensions one after the other: flags, type and value.
fn extensions(bytes: &[u8]) -> impl Iterator<Item = (u8, u8, &[u8])> {
    let mut reader = Reader::new(bytes);
    std::iter::from_fn(move || {
        let (flags, kind, length) = (reader.u8()?, reader.u8()?, reader.u16()?);
        Some((flags, kind, reader.take(usize::from(length))?))
    })
}

/// The longest value that is kept: a location with both addresses.
const LONGEST: usize = 64;

/// What came back of an extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Which.
    pub extension: &'static Extension,
    /// Replies with it.
    pub came: u64,
    /// Of these, those that flag it as not recognized, malformed, and of failed
    /// integrity.
    pub flagged: [u64; 3],
    /// Its latest value.
    value: Vec<u8>,
}

impl Answer {
    /// None yet.
    pub fn new(extension: &'static Extension) -> Self {
        Self { extension, came: 0, flagged: [0; 3], value: Vec::with_capacity(LONGEST) }
    }

    /// Takes in a reply to a packet that asked for all of `answers`.
    pub fn take(answers: &mut [Self], reply: &[u8]) {
        let most = answers.len();
        for (flags, kind, value) in extensions(reply.get(BASE..).unwrap_or_default()).take(most) {
            let Some(answer) = answers.iter_mut().find(|answer| answer.extension.kind == kind)
            else {
                continue;
            };
            answer.came = answer.came.saturating_add(1);
            let meanings = [flag::UNRECOGNIZED, flag::MALFORMED, flag::INTEGRITY];
            for (count, meaning) in answer.flagged.iter_mut().zip(meanings) {
                *count = count.saturating_add(u64::from(flags & meaning != 0));
            }
            answer.value.clear();
            if flags & (flag::UNRECOGNIZED | flag::MALFORMED) == 0 && value.len() <= LONGEST {
                answer.value.extend_from_slice(value);
            }
        }
    }

    /// What the latest said: names and numbers.
    pub fn fields(&self) -> Vec<(&'static str, u64)> {
        let mut bits = self.value.iter().flat_map(|byte| {
            (0..8_u32).rev().map(move |place| u64::from(byte.unbounded_shr(place) & 1))
        });
        let mut fields = Vec::new();
        for (name, count) in self.extension.fields {
            let taken: Vec<u64> = bits.by_ref().take(*count).collect();
            if taken.len() == *count && !name.is_empty() {
                fields.push((*name, taken.iter().fold(0, |number, bit| number << 1 | bit)));
            }
        }
        fields
    }

    /// The addresses of a location, as the reflector saw them.
    pub fn addresses(&self) -> Vec<(&'static str, IpAddr)> {
        let parts = extensions(self.value.get(4..).unwrap_or_default());
        let address = |(_, kind, value): (u8, u8, &[u8])| {
            let name = if kind < 7 { "destination" } else { "source" };
            let address = match kind {
                5 | 8 => IpAddr::from(Ipv4Addr::from(*value.first_chunk::<4>()?)),
                6 | 9 => IpAddr::from(Ipv6Addr::from(*value.first_chunk::<ADDRESS>()?)),
                _ => return None,
            };
            Some((name, address))
        };
        let is_location = self.extension.kind == LOCATION;
        parts.take(ADDRESSES.len()).filter(|_| is_location).filter_map(address).collect()
    }
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

    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(value);
        let (sent, received) = (reader.u32()?, reader.u32()?);
        let mut span = || reader.u64().map(Duration::from_nanos);
        Some(Self { sent, received, round_trips: [span()?, span()?, span()?] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(extensions: &[&[u8]]) -> Vec<u8> {
        [&[0; BASE][..], &extensions.concat()].concat()
    }

    #[test]
    fn what_is_asked_for_stands_at_its_place_and_answers_are_read() {
        let (mut rest, counter) = ask(EXTENSIONS.iter(), 46, 3);
        assert_eq!(rest.len(), 30 + 7 * HEADER + 3 + 44 + 4 + 4 + 12 + 4 + 16);
        let counter = counter.unwrap();
        rest[counter..counter + 4].copy_from_slice(&7_u32.to_be_bytes());
        let mut reply = [&[0; 14][..], &rest].concat();
        let mut answers: Vec<Answer> = EXTENSIONS.iter().map(Answer::new).collect();
        Answer::take(&mut answers, &reply);
        assert!(answers.iter().all(|one| (one.came, one.flagged) == (1, [1, 0, 0])), "{answers:?}");
        assert!(answers.iter().all(|one| one.fields().is_empty()));
        // The reflector recognizes all and answers.
        let mut place = BASE;
        while place < reply.len() {
            let length = usize::from(u16::from_be_bytes([reply[place + 2], reply[place + 3]]));
            reply[place] = if reply[place + 1] == ACCESS_REPORT { 0x60 } else { 0 };
            if reply[place + 1] == CLASS_OF_SERVICE {
                // DSCP 10 and ECN 3 arrived; 46 is refused.
                reply[place + 4..][..2].copy_from_slice(&[46 << 2, 10 << 4 | 3 << 2 | 1]);
            }
            if reply[place + 1] == LOCATION {
                reply[place + 4..][..4].copy_from_slice(&[3, 0x5e, 0x9c, 0x40]);
                reply[place + 8..][..4].copy_from_slice(&[0, 8, 0, 16]);
                reply[place + 12..][..4].copy_from_slice(&[192, 0, 2, 1]);
            }
            place += HEADER + length;
        }
        Answer::take(&mut answers, &reply);
        let fields = |place: usize| answers[place].fields();
        assert_eq!(fields(1), [("destination_port", 862), ("source_port", 40_000)]);
        let source = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(answers[1].addresses(), [("source", source)]);
        let class = [("asked_dscp", 46), ("arrived_dscp", 10), ("arrived_ecn", 3), ("refused", 1)];
        assert_eq!(fields(3), class);
        assert_eq!(fields(4)[0], ("sender_sent", 7));
        assert_eq!((answers[5].flagged, fields(5)), ([1, 1, 1], Vec::new()));
        assert_eq!(fields(6).len(), 4);
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
        fn no_input_makes_a_parser_panic(bytes: Vec<u8>) {
            let mut answers: Vec<Answer> = EXTENSIONS.iter().map(Answer::new).collect();
            Answer::take(&mut answers, &bytes);
            for answer in &answers {
                let _ = (answer.fields(), answer.addresses());
            }
            let _ = ssid(&bytes);
        }
    }
}
