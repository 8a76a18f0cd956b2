//! What a reflector answers to STAMP's extensions (RFC 8972, section 4).

use std::net::{IpAddr, SocketAddr};

use super::cursor::Writer;
use super::ntp::Timestamp;
use super::stamp::{
    BASE, CLASS_OF_SERVICE, DESTINATION, DIRECT_MEASUREMENT, EXTRA_PADDING, HEADER, LOCATION,
    RESULT, SOURCE, TELEMETRY, TIMESTAMP, TestResult, flag,
};

/// What keeps a clock right, and how stamps are taken.
const BY_NTP: u8 = 1;
const FREE_RUNNING: u8 = 5;
const BY_SOFTWARE: u8 = 2;

/// What a reflector knows of a packet beside its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Where it came from,
    pub from: SocketAddr,
    /// and where to, as far as the kernel tells.
    pub to: (Option<IpAddr>, u16),
    /// DSCP and, in the last two bits, ECN that it came with.
    pub class: Option<u8>,
    /// The DSCP that its reply leaves with.
    pub reply_dscp: u8,
    /// Whether this host's clock is synchronised.
    pub synchronised: bool,
    /// Of its session, with this one: packets that came, and replies that left.
    /// `None` where no count is kept.
    pub counts: Option<[u32; 2]>,
    /// The reply before: its number, and when it had left. Zero where there is none.
    pub before: (u32, Timestamp),
}

/// Writes the answer `answer` over `value`; gives the flags.
fn put(value: &mut [u8], answer: &[u8]) -> u8 {
    if value.len() != answer.len() {
        return flag::MALFORMED;
    }
    value.copy_from_slice(answer);
    0
}

/// Answers the extension of this type in place (RFC 8972, section 4); gives its flags.
/// An access report is for networks of 3GPP, of which this host knows nothing.
fn answer(kind: u8, value: &mut [u8], seen: &Seen) -> u8 {
    match kind {
        EXTRA_PADDING => 0,
        LOCATION => locate(value, seen),
        TIMESTAMP => {
            let source = if seen.synchronised { BY_NTP } else { FREE_RUNNING };
            put(value, &[source, BY_SOFTWARE, source, BY_SOFTWARE])
        }
        CLASS_OF_SERVICE => match (value.first(), seen.class) {
            (Some(first), Some(class)) => {
                let refused = u8::from(first >> 2 != seen.reply_dscp);
                let asked = first & 0xfc;
                put(value, &[asked | class >> 6, class << 2 | refused, 0, 0])
            }
            _ => flag::UNRECOGNIZED,
        },
        DIRECT_MEASUREMENT => match (seen.counts, value.first_chunk::<4>()) {
            (Some([came, left]), Some(own)) => {
                put(value, [*own, came.to_be_bytes(), left.to_be_bytes()].as_flattened())
            }
            _ => flag::UNRECOGNIZED,
        },
        TELEMETRY if seen.counts.is_some() => {
            let (number, Timestamp(at)) = seen.before;
            let method = if at == 0 { 0 } else { BY_SOFTWARE };
            put(value, &Writer::<16>::new().u32(number).u64(at).u8(method).finish())
        }
        _ => flag::UNRECOGNIZED,
    }
}

/// Answers a location: the ports, and each part that asks for an address.
fn locate(value: &mut [u8], seen: &Seen) -> u8 {
    let Some((ports, mut rest)) = value.split_first_chunk_mut::<4>() else {
        return flag::MALFORMED;
    };
    let [a, b] = seen.to.1.to_be_bytes();
    let [c, d] = seen.from.port().to_be_bytes();
    *ports = [a, b, c, d];
    while let Some(([flags, kind, a, b], after)) = rest.split_first_chunk_mut::<HEADER>() {
        let length = usize::from(u16::from_be_bytes([*a, *b]));
        let Some((part, next)) = after.split_at_mut_checked(length) else {
            *flags = flag::MALFORMED;
            break;
        };
        let address = match *kind {
            DESTINATION => seen.to.0,
            SOURCE => Some(seen.from.ip()),
            _ => None,
        };
        // Which of the two it is says the type of the answer.
        let (version, octets) = match address {
            Some(IpAddr::V4(ip)) => (1, u128::from(ip.to_bits()) << 96),
            Some(IpAddr::V6(ip)) => (2, ip.to_bits()),
            None => (0, 0),
        };
        *flags = flag::UNRECOGNIZED;
        if version > 0 {
            *flags = put(part, &octets.to_be_bytes());
            *kind = kind.wrapping_add(version);
        }
        rest = next;
    }
    0
}

/// Answers the extensions of a STAMP packet in place, as a reflector must: each
/// is answered or marked as not known, and what cannot be read as malformed. Tells a
/// result among them.
pub fn answer_extensions(packet: &mut [u8], seen: &Seen) -> Option<TestResult> {
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
        *flags |= match (*kind, TestResult::read(value)) {
            (RESULT, Some(read)) => {
                result = Some(read);
                0
            }
            (RESULT, None) => flag::MALFORMED,
            (kind, _) => answer(kind, value, seen),
        };
        rest = next;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::super::stamp::{Answer, EXTENSIONS, ask};
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv6Addr;
    use std::time::Duration;

    const RESULT_TOLD: TestResult = TestResult {
        sent: 10,
        received: 9,
        round_trips: [
            Duration::from_micros(101),
            Duration::from_micros(120),
            Duration::from_micros(200),
        ],
    };

    fn seen() -> Seen {
        Seen {
            from: ([192, 0, 2, 1], 40_000).into(),
            to: (Some([192, 0, 2, 2].into()), 862),
            class: Some(10 << 2 | 3),
            reply_dscp: 0,
            synchronised: true,
            counts: Some([5, 4]),
            before: (3, Timestamp(7 << 32)),
        }
    }

    fn packet(extensions: &[&[u8]]) -> Vec<u8> {
        [&[0; BASE][..], &extensions.concat()].concat()
    }

    #[test]
    fn a_result_is_read_among_other_extensions() {
        let unknown = [0x80, 200, 0, 2, 1, 2];
        let padding = [0x80, 1, 0, 1, 9];
        let mut packet = packet(&[&padding, &unknown, &RESULT_TOLD.emit()]);
        assert_eq!(answer_extensions(&mut packet, &seen()), Some(RESULT_TOLD));
        assert_eq!(packet[BASE], 0, "padding is known");
        assert_eq!(packet[BASE + 5], 0x80, "type 200 is not");
        assert_eq!(packet[BASE + 11], 0, "a result is known");
    }

    #[test]
    fn what_cannot_be_read_is_marked() {
        let whole = RESULT_TOLD.emit();
        for length in HEADER..whole.len() {
            let mut packet = packet(&[&whole[..length]]);
            assert_eq!(answer_extensions(&mut packet, &seen()), None, "{length}");
            assert_eq!(packet[BASE] & 0x40, 0x40, "{length}");
        }
        let mut zeros = packet(&[&[0; 100]]);
        assert_eq!(answer_extensions(&mut zeros, &seen()), None);
        assert!(zeros.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn our_own_reflector_answers_what_our_sender_asks_for() {
        let (rest, counter) = ask(EXTENSIONS.iter(), 46, 3);
        let mut packet = [&[0; 14][..], &rest].concat();
        packet[14 + counter.unwrap()..][..4].copy_from_slice(&6_u32.to_be_bytes());
        let mut answers: Vec<Answer> = EXTENSIONS.iter().map(Answer::new).collect();
        assert_eq!(answer_extensions(&mut packet, &seen()), None);
        Answer::take(&mut answers, &packet);
        let flagged: Vec<_> = answers.iter().map(|one| one.flagged).collect();
        let [known, unknown] = [[0, 0, 0], [1, 0, 0]];
        assert_eq!(flagged, [known, known, known, known, known, unknown, known]);
        assert_eq!(answers[1].fields(), [("destination_port", 862), ("source_port", 40_000)]);
        let [source, destination] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        assert_eq!(answers[1].addresses(), [("source", source), ("destination", destination)]);
        assert_eq!(answers[2].fields().iter().map(|(_, value)| *value).sum::<u64>(), 1 + 2 + 1 + 2);
        let class = [("asked_dscp", 46), ("arrived_dscp", 10), ("arrived_ecn", 3), ("refused", 1)];
        assert_eq!(answers[3].fields(), class);
        let counts = [("sender_sent", 6), ("reflector_received", 5), ("reflector_sent", 4)];
        assert_eq!(answers[4].fields(), counts);
        let before = [("sequence", 3), ("seconds", 7), ("fraction", 0), ("method", 2)];
        assert_eq!(answers[6].fields(), before);
        // Over IPv6, and where the kernel tells nothing.
        let (rest, _) = ask(EXTENSIONS.iter(), 0, 0);
        let mut packet = [&[0; 14][..], &rest].concat();
        let from = IpAddr::from(Ipv6Addr::LOCALHOST);
        let less = Seen { from: (from, 9).into(), to: (None, 862), class: None, ..seen() };
        answer_extensions(&mut packet, &Seen { counts: None, ..less });
        Answer::take(&mut answers, &packet);
        assert_eq!(answers[1].addresses(), [("source", from)]);
        assert_eq!([3, 4, 6].map(|place| answers[place].flagged[0]), [1, 1, 1]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered_in_place(mut bytes: Vec<u8>) {
            let length = bytes.len();
            let _ = answer_extensions(&mut bytes, &seen());
            prop_assert_eq!(bytes.len(), length);
        }
    }
}
