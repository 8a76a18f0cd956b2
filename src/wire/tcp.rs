//! The TCP header (RFC 9293) and its options (RFC 7323, RFC 2018).

use std::net::{IpAddr, SocketAddr};

use super::bytes::{be16, be32};

/// No more data from the sender.
pub const FIN: u8 = 1;
/// Synchronise sequence numbers.
pub const SYN: u8 = 2;
/// Reset the connection.
pub const RST: u8 = 4;
/// Push: hand the data on.
pub const PSH: u8 = 8;
/// The acknowledgement number counts.
pub const ACK: u8 = 16;
/// The urgent pointer counts.
pub const URG: u8 = 32;
/// Congestion was experienced (RFC 3168).
pub const ECE: u8 = 64;
/// The congestion window was reduced (RFC 3168).
pub const CWR: u8 = 128;

/// Bytes of a header without options.
const SHORTEST: usize = 20;
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const MAXIMUM_SEGMENT_SIZE: u8 = 2;
const WINDOW_SCALE: u8 = 3;
const SACK_PERMITTED: u8 = 4;
const SACK: u8 = 5;
const TIMESTAMPS: u8 = 8;

/// One segment: its header, and how much data it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The sender's port.
    pub source: u16,
    /// The receiver's port.
    pub destination: u16,
    /// Sequence number of its first byte.
    pub sequence: u32,
    /// The next sequence number expected from the receiver.
    pub acknowledgement: u32,
    /// [`SYN`] and the others.
    pub flags: u8,
    /// The window as it stands there, not scaled.
    pub window: u16,
    /// Bytes of data on the wire, whether captured or not.
    pub length: u32,
    /// Bytes of its header.
    pub header: usize,
    /// Its options, as far as they were captured.
    pub options: Options,
}

/// What the options say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// The largest segment that the sender takes, in bytes.
    pub maximum_segment: Option<u16>,
    /// By how many bits the sender's windows are to be shifted.
    pub window_scale: Option<u8>,
    /// The sender understands selective acknowledgements.
    pub sack_permitted: bool,
    /// Blocks acknowledged selectively.
    pub sack_blocks: u8,
    /// The end of the first of them, which tells what came last; 0 without any.
    pub sack_edge: u32,
    /// The sender's time stamp and the one it echoes.
    pub timestamps: Option<(u32, u32)>,
}

/// The protocol's number.
const PROTOCOL: u16 = 6;
/// The window in a segment that is not to change any: a common one.
const WINDOW: u16 = 512;

/// An empty segment from `source` to `destination` with nothing but an
/// acknowledgement, as a keep-alive is where `sequence` was acknowledged before.
pub fn empty(
    source: SocketAddr,
    destination: SocketAddr,
    sequence: u32,
    acknowledgement: u32,
) -> [u8; SHORTEST] {
    let [from, to] = [source, destination].map(|end| end.port().to_be_bytes());
    let [s0, s1, s2, s3] = sequence.to_be_bytes();
    let [a0, a1, a2, a3] = acknowledgement.to_be_bytes();
    let [w0, w1] = WINDOW.to_be_bytes();
    let with = |[c0, c1]: [u8; 2]| {
        let [[f0, f1], [t0, t1]] = [from, to];
        [f0, f1, t0, t1, s0, s1, s2, s3, a0, a1, a2, a3, 0x50, ACK, w0, w1, c0, c1, 0, 0]
    };
    with(checksum(source.ip(), destination.ip(), &with([0; 2])).to_be_bytes())
}

/// The checksum of a segment whose own is still 0, with the addresses that it goes
/// between (RFC 9293, section 3.1; RFC 8200, section 8.1).
fn checksum(source: IpAddr, destination: IpAddr, segment: &[u8; SHORTEST]) -> u16 {
    let mut sum = u32::from(PROTOCOL).wrapping_add(20);
    let mut add = |bytes: &[u8]| {
        for pair in bytes.chunks_exact(2) {
            sum = sum.wrapping_add(u32::from(be16(pair, 0).unwrap_or(0)));
        }
    };
    for address in [source, destination] {
        match address {
            IpAddr::V4(address) => add(&address.octets()),
            IpAddr::V6(address) => add(&address.octets()),
        }
    }
    add(segment);
    // 26 words carry into five more bits; what that adds may carry once more.
    let folded = (sum & 0xffff).wrapping_add(sum >> 16);
    let [.., high, low] = folded.wrapping_add(folded >> 16).to_be_bytes();
    !u16::from_be_bytes([high, low])
}

/// Why there is no segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpError {
    /// The capture ends within the header.
    Cut,
    /// The header does not fit into its datagram.
    Malformed,
}

impl Segment {
    /// Reads the segment in `bytes`, of which `length` were on the wire.
    ///
    /// # Errors
    ///
    /// Its header is not all there.
    #[inline]
    pub fn parse(bytes: &[u8], length: usize) -> Result<Self, TcpError> {
        if length < SHORTEST {
            return Err(TcpError::Malformed);
        }
        let Some(head) = bytes.first_chunk::<SHORTEST>() else { return Err(TcpError::Cut) };
        let [_, _, _, _, _, _, _, _, _, _, _, _, offset, flags, ..] = *head;
        let header = usize::from(offset >> 4).saturating_mul(4);
        if header < SHORTEST || header > length {
            return Err(TcpError::Malformed);
        }
        let options = bytes.get(SHORTEST..header.min(bytes.len())).unwrap_or_default();
        Ok(Self {
            source: be16(head, 0).unwrap_or(0),
            destination: be16(head, 2).unwrap_or(0),
            sequence: be32(head, 4).unwrap_or(0),
            acknowledgement: be32(head, 8).unwrap_or(0),
            flags,
            window: be16(head, 14).unwrap_or(0),
            length: u32::try_from(length.saturating_sub(header)).unwrap_or(u32::MAX),
            header,
            options: Options::parse(options),
        })
    }

    /// Whether any of these flags is set.
    pub fn any(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// The flags as tcpdump writes them: `S`, `S.`, `P.`, `.`.
    pub fn flag_text(flags: u8) -> String {
        const LETTERS: [(u8, char); 6] =
            [(FIN, 'F'), (SYN, 'S'), (RST, 'R'), (PSH, 'P'), (ACK, '.'), (URG, 'U')];
        let set = LETTERS.iter().filter(|(flag, _)| flags & flag != 0);
        let text: String = set.map(|(_, letter)| letter).collect();
        if text.is_empty() { "none".to_owned() } else { text }
    }
}

impl Options {
    /// Reads options until their end, or until one that cannot be.
    pub fn parse(mut bytes: &[u8]) -> Self {
        let mut options = Self::default();
        while let Some((&kind, rest)) = bytes.split_first() {
            if kind == NO_OPERATION {
                bytes = rest;
                continue;
            }
            let length = usize::from(rest.first().copied().unwrap_or(0));
            let Some(option) = bytes.get(..length).filter(|_| kind != END && length >= 2) else {
                break;
            };
            match (kind, length) {
                (MAXIMUM_SEGMENT_SIZE, 4) => options.maximum_segment = be16(option, 2),
                (WINDOW_SCALE, 3) => options.window_scale = option.get(2).copied(),
                (SACK_PERMITTED, 2) => options.sack_permitted = true,
                (SACK, _) => {
                    let blocks = length.saturating_sub(2).checked_div(8).unwrap_or(0);
                    options.sack_blocks = u8::try_from(blocks).unwrap_or(u8::MAX);
                    options.sack_edge = be32(option, 6).unwrap_or(0);
                }
                (TIMESTAMPS, 10) => options.timestamps = be32(option, 2).zip(be32(option, 6)),
                _ => {}
            }
            bytes = bytes.get(length..).unwrap_or_default();
        }
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEGMENT: [u8; 40] = [
        0xee, 0x3e, 0x19, 0x8e, 1, 2, 3, 4, 5, 6, 7, 8, 0xa0, 2, 0xff, 0xd7, 0, 0, 0, 0, 2, 4,
        0xff, 0xd7, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8, 1, 3, 3, 7,
    ];

    #[test]
    fn header_and_options() {
        let segment = Segment::parse(&SEGMENT, 52).unwrap();
        let expected = Segment {
            source: 60990,
            destination: 6542,
            sequence: 0x0102_0304,
            acknowledgement: 0x0506_0708,
            flags: SYN,
            window: 65495,
            length: 12,
            header: 40,
            options: Options {
                maximum_segment: Some(65495),
                window_scale: Some(7),
                sack_permitted: true,
                sack_blocks: 0,
                sack_edge: 0,
                timestamps: Some((9, 8)),
            },
        };
        assert_eq!(segment, expected);
        for length in 0..SEGMENT.len() {
            let parsed = Segment::parse(SEGMENT.get(..length).unwrap(), 52);
            assert_eq!(parsed.is_ok(), length >= SHORTEST, "{length}");
            let parsed = Segment::parse(&SEGMENT, length);
            assert_eq!(parsed, Err(TcpError::Malformed), "{length}");
        }
    }

    /// As tcpdump -v calls it "correct".
    #[test]
    fn an_empty_segment_has_a_checksum_over_itself_and_its_addresses() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        for (from, to) in [("10.0.0.1:40001", "10.0.0.2:7"), ("[fd00::1]:65535", "[fd00::2]:7")] {
            let segment = empty(address(from), address(to), 0xffff_fffe, 0x0506_0708);
            let read = Segment::parse(&segment, 20).unwrap();
            assert_eq!((read.sequence, read.acknowledgement), (0xffff_fffe, 0x0506_0708));
            assert_eq!((read.source, read.destination), (address(from).port(), 7));
            assert_eq!((read.flags, read.length), (ACK, 0));
            // Over all of it, its own checksum included, the sum is all ones.
            assert_eq!(checksum(address(from).ip(), address(to).ip(), &segment), 0);
        }
        let known = empty(address("10.0.0.1:40001"), address("10.0.0.2:7"), 1, 2);
        assert_eq!(known[16..18], [0xfd, 0x86]);
    }

    #[test]
    fn selective_acknowledgements_are_counted() {
        let sack = [1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
        let options = Options::parse(&sack);
        assert_eq!((options.sack_blocks, options.sack_edge), (2, 2));
        assert_eq!(Options::parse(&[2, 1, 0, 0]), Options::default());
    }

    #[test]
    fn flags_read_as_in_tcpdump() {
        let texts = [SYN, SYN | ACK, PSH | ACK, FIN | ACK, RST, 0].map(Segment::flag_text);
        assert_eq!(texts, ["S", "S.", "P.", "F.", "R", "none"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in prop::collection::vec(any::<u8>(), 0..80),
            length in 0_usize..90,
        ) {
            let _ = Segment::parse(&bytes, length);
            let _ = Options::parse(&bytes);
        }
    }
}
