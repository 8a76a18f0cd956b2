//! What the two kinds of capture file have in common.

use std::fmt;
use std::ops::Range;

pub use super::bytes::Order;
use super::{pcap, pcapng};

/// The most bytes of one packet that are read: what tcpdump keeps at most.
pub const MAX_CAPTURED: u32 = 256 * 1024;
/// The longest block with a packet: the packet and some room for options.
pub const MAX_BLOCK: u32 = 2 * MAX_CAPTURED;
/// Bytes that [`Format::recognise`] needs.
pub const MAGIC_LENGTH: usize = 4;

/// A captured packet: where it stands in the bytes given, and what is known
/// about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// When it was seen: nanoseconds since 1970-01-01 UTC, if the file says.
    pub at: Option<i64>,
    /// What its bytes begin with: a `LINKTYPE_` number.
    pub link: u32,
    /// Its length on the wire in bytes.
    pub original: u32,
    /// Its bytes, as far as they were kept.
    pub data: Range<usize>,
}

/// What stands at the beginning of the bytes given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// More bytes are needed to tell.
    More,
    /// A packet; the next item begins after `used` bytes.
    Packet(Captured, usize),
    /// Something else; the next item begins after so many bytes, which may
    /// lie beyond those given.
    Skip(usize),
}

/// Why a capture cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureError {
    /// It is compressed: with what, and the command that unpacks it.
    Compressed(&'static str, &'static str),
    /// It does not begin as a capture does.
    NotACapture([u8; MAGIC_LENGTH]),
    /// A version that is not known: major and minor.
    Version(u16, u16),
    /// A packet of more than [`MAX_CAPTURED`] bytes.
    PacketTooLong(u32),
    /// A block with a packet of more than [`MAX_BLOCK`] bytes.
    BlockTooLong(u32),
    /// A block whose length cannot be.
    BlockLength(u32),
    /// A block whose contents do not fit into it; its type.
    BadBlock(u32),
    /// A packet of an interface that was not described; its number.
    NoInterface(u32),
    /// More interfaces than [`pcapng::MAX_INTERFACES`].
    TooManyInterfaces,
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compressed(with, command) => write!(
                f,
                "compressed with {with}; unpack it on the way: {command} FILE | echotest analyze -"
            ),
            Self::NotACapture(magic) => {
                write!(f, "not a capture: it begins with {magic:02x?}, neither pcap nor pcapng")
            }
            Self::Version(major, minor) => write!(f, "version {major}.{minor} is not known"),
            Self::PacketTooLong(length) => {
                write!(f, "a packet of {length} bytes; {MAX_CAPTURED} is the most")
            }
            Self::BlockTooLong(length) => {
                write!(f, "a packet block of {length} bytes; {MAX_BLOCK} is the most")
            }
            Self::BlockLength(length) => write!(f, "a block of {length} bytes cannot be"),
            Self::BadBlock(kind) => write!(f, "the contents of a block of type {kind} do not fit"),
            Self::NoInterface(number) => {
                write!(f, "a packet of interface {number}, which was not described")
            }
            Self::TooManyInterfaces => {
                write!(f, "more than {} interfaces", pcapng::MAX_INTERFACES)
            }
        }
    }
}

impl std::error::Error for CaptureError {}

/// What compressed files begin with, by what they were compressed with and the
/// command that unpacks them.
const COMPRESSED: [(&[u8], &str, &str); 5] = [
    (&[0x1f, 0x8b], "gzip", "zcat"),
    (&[0x28, 0xb5, 0x2f, 0xfd], "zstd", "zstdcat"),
    (&[0xfd, b'7', b'z', b'X'], "xz", "xzcat"),
    (b"BZh", "bzip2", "bzcat"),
    (&[0x04, 0x22, 0x4d, 0x18], "lz4", "lz4cat"),
];

/// A capture file being read, of either kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Format {
    /// The classic kind, whose header has been read.
    Pcap(pcap::Header),
    /// The newer kind.
    PcapNg(pcapng::Sections),
}

impl Format {
    /// Which kind begins so, and how many bytes of it are thereby read; `None`
    /// while that cannot be told.
    ///
    /// # Errors
    ///
    /// Neither kind begins so.
    pub fn recognise(bytes: &[u8]) -> Result<Option<(Self, usize)>, CaptureError> {
        let Some(&magic) = bytes.first_chunk::<MAGIC_LENGTH>() else { return Ok(None) };
        if magic == pcapng::MAGIC {
            return Ok(Some((Self::PcapNg(pcapng::Sections::default()), 0)));
        }
        for (start, with, command) in COMPRESSED {
            if magic.starts_with(start) {
                return Err(CaptureError::Compressed(with, command));
            }
        }
        let header = pcap::Header::parse(bytes)?;
        Ok(header.map(|header| (Self::Pcap(header), pcap::HEADER_LENGTH)))
    }

    /// What the next bytes are.
    ///
    /// # Errors
    ///
    /// Nothing that can stand there; the file cannot be read on.
    #[inline]
    pub fn item(&mut self, bytes: &[u8]) -> Result<Item, CaptureError> {
        match self {
            Self::Pcap(header) => header.item(bytes),
            Self::PcapNg(sections) => sections.item(bytes),
        }
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Pcap(header) => header.name(),
            Self::PcapNg(_) => "pcapng",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_capture_is_named() {
        assert_eq!(Format::recognise(b"GET"), Ok(None));
        let error = Format::recognise(b"GET / HTTP").unwrap_err();
        assert!(error.to_string().starts_with("not a capture: it begins with [47, 45, 54, 20]"));
    }

    /// Reads whatever there is to its end.
    fn read(mut bytes: &[u8]) -> usize {
        let Ok(Some((mut format, used))) = Format::recognise(bytes) else { return 0 };
        bytes = bytes.get(used..).unwrap_or_default();
        let mut packets = 0_usize;
        loop {
            let used = match format.item(bytes) {
                Ok(Item::Packet(captured, used)) => {
                    assert!(bytes.get(captured.data).is_some());
                    packets = packets.saturating_add(1);
                    used
                }
                Ok(Item::Skip(used)) => used,
                Ok(Item::More) | Err(_) => return packets,
            };
            assert!(used > 0);
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            which in 0_usize..6,
            body in prop::collection::vec(any::<u8>(), 0..300),
            small in any::<bool>(),
        ) {
            let heads: [&[u8]; 6] = [
                &[0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0],
                &[0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4],
                &[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0],
                &[0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 28, 0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0],
                &[0x0a, 0x0d, 0x0d, 0x0a],
                &[],
            ];
            let mut bytes = heads.get(which).copied().unwrap_or_default().to_vec();
            // Small numbers make lengths that fit.
            bytes.extend(body.iter().map(|byte| if small { byte & 31 } else { *byte }));
            read(&bytes);
        }
    }
}
