//! Captures made byte by byte, for what cannot be provoked on a real path.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;
pub(crate) const FIN: u8 = 1;

/// A segment of a made-up connection.
#[derive(Clone, Copy)]
pub(crate) struct Segment {
    /// Microseconds since the first.
    pub(crate) at: u64,
    pub(crate) from_client: bool,
    pub(crate) flags: u8,
    pub(crate) sequence: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
    pub(crate) length: usize,
}

pub(crate) fn client(at: u64, flags: u8, sequence: u32, ack: u32, length: usize) -> Segment {
    Segment { at, from_client: true, flags, sequence, ack, window: 500, length }
}

pub(crate) fn server(at: u64, flags: u8, sequence: u32, ack: u32, length: usize) -> Segment {
    Segment { at, from_client: false, flags, sequence, ack, window: 500, length }
}

/// A handshake of 100 us from 1000 and 5000 on.
pub(crate) fn handshake() -> Vec<Segment> {
    vec![
        client(0, SYN, 1000, 0, 0),
        server(50, SYN | ACK, 5000, 1001, 0),
        client(100, ACK, 1001, 5001, 0),
    ]
}

fn tcp(segment: &Segment) -> Vec<u8> {
    let (source, destination) = if segment.from_client { (40000_u16, 7_u16) } else { (7, 40000) };
    let mut bytes = Vec::new();
    bytes.extend(source.to_be_bytes());
    bytes.extend(destination.to_be_bytes());
    bytes.extend(segment.sequence.to_be_bytes());
    bytes.extend(segment.ack.to_be_bytes());
    bytes.extend([5 << 4, segment.flags]);
    bytes.extend(segment.window.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(std::iter::repeat_n(b'x', segment.length));
    bytes
}

/// The segment in IPv4 with so many bytes of options.
pub(crate) fn ipv4(segment: &Segment, options: usize) -> Vec<u8> {
    let inner = tcp(segment);
    let header = 20 + options;
    let total = u16::try_from(header + inner.len()).expect("small enough");
    let words = u8::try_from(header / 4).expect("small enough");
    let mut bytes = vec![0x40 | words, 0];
    bytes.extend(total.to_be_bytes());
    // Another one for each packet, which says nothing of their order.
    let [_, first, second, ..] = (segment.at + 1).wrapping_mul(2_654_435_761).to_le_bytes();
    bytes.extend([first, second | 1, 0, 0, 64, 6, 0, 0]);
    let (from, to) = if segment.from_client { (1, 2) } else { (2, 1) };
    bytes.extend([10, 0, 0, from, 10, 0, 0, to]);
    bytes.extend(std::iter::repeat_n(1, options));
    bytes.extend(inner);
    bytes
}

/// The segment in IPv6 behind a destination options header.
pub(crate) fn ipv6(segment: &Segment) -> Vec<u8> {
    let inner = tcp(segment);
    let length = u16::try_from(8 + inner.len()).expect("small enough");
    let mut bytes = vec![0x60, 0, 0, 0];
    bytes.extend(length.to_be_bytes());
    bytes.extend([60, 64]);
    let (from, to) = if segment.from_client { (1, 2) } else { (2, 1) };
    for host in [from, to] {
        bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
    }
    bytes.extend([6, 0, 1, 4, 0, 0, 0, 0]);
    bytes.extend(inner);
    bytes
}

/// How a capture file is written.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) big_endian: bool,
    pub(crate) nanoseconds: bool,
    pub(crate) link: u32,
    pub(crate) snap: usize,
}

pub(crate) const PLAIN: Kind =
    Kind { big_endian: false, nanoseconds: false, link: 101, snap: 65535 };

pub(crate) fn pcap(packets: &[(u64, Vec<u8>)], kind: Kind) -> Vec<u8> {
    let word = |value: u32| {
        if kind.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    };
    let half = |value: u16| {
        if kind.big_endian { value.to_be_bytes() } else { value.to_le_bytes() }
    };
    let magic = if kind.nanoseconds { 0xa1b2_3c4d } else { 0xa1b2_c3d4 };
    let mut file = word(magic).to_vec();
    file.extend([half(2), half(4)].concat());
    file.extend([word(0), word(0), word(65535), word(kind.link)].concat());
    for (at, bytes) in packets {
        let kept = bytes.len().min(kind.snap);
        let fraction = at % 1_000_000 * if kind.nanoseconds { 1000 } else { 1 };
        let number = |value: u64| u32::try_from(value).expect("small enough");
        file.extend(word(number(1_700_000_000 + at / 1_000_000)));
        file.extend(word(number(fraction)));
        file.extend(word(u32::try_from(kept).expect("small enough")));
        file.extend(word(u32::try_from(bytes.len()).expect("small enough")));
        file.extend(&bytes[..kept]);
    }
    file
}

/// The segments as raw IPv4 in a plain file.
pub(crate) fn written(directory: &Path, name: &str, segments: &[Segment]) -> PathBuf {
    let packets: Vec<(u64, Vec<u8>)> =
        segments.iter().map(|segment| (segment.at, ipv4(segment, 0))).collect();
    let file = directory.join(name);
    fs::write(&file, pcap(&packets, PLAIN)).expect("a file");
    file
}
