//! The classic capture file (draft-ietf-opsawg-pcap): a header, then a record
//! a packet, in the byte order of the machine that wrote it.

use super::bytes::Order;
use super::capture::{CaptureError, Captured, Item, MAGIC_LENGTH, MAX_CAPTURED};

/// Bytes of the file's header.
pub const HEADER_LENGTH: usize = 24;
/// Bytes of a record's header.
const RECORD_LENGTH: usize = 16;
const MICROSECONDS: u32 = 0xa1b2_c3d4;
const NANOSECONDS: u32 = 0xa1b2_3c4d;
/// The link type's bits; those above hold the length of a checksum.
const LINK_BITS: u32 = 0x0fff_ffff;

/// The file's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Of every number in the file.
    pub order: Order,
    /// Nanoseconds of one unit of a record's fraction: 1 or 1000.
    pub unit: i64,
    /// The `LINKTYPE_` number of every packet.
    pub link: u32,
}

impl Header {
    /// Reads it; `None` while it is not all there.
    ///
    /// # Errors
    ///
    /// The file is of another kind, or of an unknown version.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, CaptureError> {
        let Some(&magic) = bytes.first_chunk::<MAGIC_LENGTH>() else { return Ok(None) };
        let (order, unit) = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
            (MICROSECONDS, _) => (Order::Little, 1_000),
            (NANOSECONDS, _) => (Order::Little, 1),
            (_, MICROSECONDS) => (Order::Big, 1_000),
            (_, NANOSECONDS) => (Order::Big, 1),
            _ => return Err(CaptureError::NotACapture(magic)),
        };
        let (Some(major), Some(minor), Some(link)) =
            (order.u16(bytes, 4), order.u16(bytes, 6), order.u32(bytes, 20))
        else {
            return Ok(None);
        };
        if major != 2 {
            return Err(CaptureError::Version(major, minor));
        }
        Ok(Some(Self { order, unit, link: link & LINK_BITS }))
    }

    /// The record that `bytes` begin with.
    ///
    /// # Errors
    ///
    /// It is longer than [`MAX_CAPTURED`].
    #[inline]
    pub fn item(&self, bytes: &[u8]) -> Result<Item, CaptureError> {
        let Some(head) = bytes.first_chunk::<RECORD_LENGTH>() else { return Ok(Item::More) };
        let field = |at| self.order.u32(head, at).unwrap_or(0);
        let (kept, original) = (field(8), field(12));
        if kept > MAX_CAPTURED {
            return Err(CaptureError::PacketTooLong(kept));
        }
        let end = RECORD_LENGTH.saturating_add(usize::try_from(kept).unwrap_or(usize::MAX));
        if bytes.len() < end {
            return Ok(Item::More);
        }
        let fraction = i64::from(field(4)).saturating_mul(self.unit);
        let at = i64::from(field(0)).saturating_mul(1_000_000_000).saturating_add(fraction);
        let captured =
            Captured { at: Some(at), link: self.link, original, data: RECORD_LENGTH..end };
        Ok(Item::Packet(captured, end))
    }

    /// What the file is called.
    pub fn name(&self) -> &'static str {
        match (self.order, self.unit) {
            (Order::Little, 1) => "pcap, nanoseconds",
            (Order::Little, _) => "pcap, microseconds",
            (Order::Big, 1) => "pcap, nanoseconds, big-endian",
            (Order::Big, _) => "pcap, microseconds, big-endian",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LITTLE: [u8; 24] =
        [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    const BIG_NANO: [u8; 24] =
        [0xa1, 0xb2, 0x3c, 0x4d, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 1, 20];
    const RECORD: [u8; 19] = [0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 60, 0xaa, 0xbb, 0xcc];

    #[test]
    fn the_header_says_order_unit_and_link_type() {
        let little = Header { order: Order::Little, unit: 1_000, link: 1 };
        assert_eq!(Header::parse(&LITTLE), Ok(Some(little)));
        let big = Header { order: Order::Big, unit: 1, link: 276 };
        assert_eq!(Header::parse(&BIG_NANO), Ok(Some(big)));
        for length in 0..HEADER_LENGTH {
            assert_eq!(Header::parse(LITTLE.get(..length).unwrap()), Ok(None), "{length}");
        }
        let old = [&[0xd4, 0xc3, 0xb2, 0xa1, 1, 0][..], &[0; 18]].concat();
        assert_eq!(Header::parse(&old), Err(CaptureError::Version(1, 0)));
    }

    #[test]
    fn a_record_is_whole_or_waited_for() {
        let header = Header { order: Order::Big, unit: 1, link: 1 };
        let captured = Captured { at: Some(1_000_000_007), link: 1, original: 60, data: 16..19 };
        assert_eq!(header.item(&RECORD), Ok(Item::Packet(captured, 19)));
        for length in 0..RECORD.len() {
            assert_eq!(header.item(RECORD.get(..length).unwrap()), Ok(Item::More), "{length}");
        }
    }

    #[test]
    fn a_record_has_a_longest_length() {
        let header = Header { order: Order::Big, unit: 1, link: 1 };
        let record = [0, 0, 0, 1, 0, 0, 0, 7, 0, 4, 0, 1, 0, 4, 0, 1];
        assert_eq!(header.item(&record), Err(CaptureError::PacketTooLong(MAX_CAPTURED + 1)));
    }
}
