//! The newer capture file (draft-ietf-opsawg-pcapng): blocks in sections, each
//! with its own byte order and its own interfaces.

use super::bytes::Order;
use super::capture::{CaptureError, Captured, Item, MAX_BLOCK, MAX_CAPTURED};

/// What every section begins with, in either order.
pub const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
/// The most interfaces of a section that are kept.
pub const MAX_INTERFACES: usize = 4096;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// Type, length, and length again.
const FRAME: u32 = 12;
/// Where a block's contents begin.
const BODY: usize = 8;
const OPTION_RESOLUTION: u16 = 9;
const OPTION_OFFSET: u16 = 14;
const NANOS: i128 = 1_000_000_000;

/// What an interface's packets have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interface {
    link: u32,
    /// The most bytes kept of a packet; 0 is no bound.
    snap: u32,
    /// Units of its time stamps in a second.
    units: u64,
    /// Seconds to add to its time stamps.
    offset: i64,
}

impl Interface {
    fn parse(order: Order, block: &[u8]) -> Option<Self> {
        let link = u32::from(order.u16(block, BODY)?);
        let snap = order.u32(block, 12)?;
        let mut interface = Self { link, snap, units: 1_000_000, offset: 0 };
        let mut options = block.get(16..)?;
        while let (Some(code), Some(length)) = (order.u16(options, 0), order.u16(options, 2)) {
            match (code, length) {
                (0, _) => break,
                (OPTION_RESOLUTION, 1) => interface.units = resolution(*options.get(4)?)?,
                (OPTION_OFFSET, 8) => interface.offset = order.i64(options, 4)?,
                _ => {}
            }
            let padded = usize::from(length).next_multiple_of(4);
            options = options.get(padded.saturating_add(4)..).unwrap_or_default();
        }
        Some(interface)
    }

    /// Nanoseconds since 1970 of a time stamp.
    fn time(&self, high: u32, low: u32) -> i64 {
        let ticks = u64::from(high) << 32 | u64::from(low);
        let nanos = match self.units {
            1_000_000_000 => i64::try_from(ticks).ok(),
            1_000_000 => i64::try_from(ticks).ok().and_then(|ticks| ticks.checked_mul(1_000)),
            units => {
                let nanos = i128::from(ticks).saturating_mul(NANOS);
                nanos.checked_div(i128::from(units)).and_then(|nanos| i64::try_from(nanos).ok())
            }
        };
        let offset = self.offset.saturating_mul(1_000_000_000);
        nanos.unwrap_or(i64::MAX).saturating_add(offset)
    }
}

/// Units in a second: a power of 2 if the highest bit is set, else of 10.
fn resolution(byte: u8) -> Option<u64> {
    let power = u32::from(byte & 0x7f);
    if byte & 0x80 == 0 { 10_u64.checked_pow(power) } else { 1_u64.checked_shl(power) }
}

/// The section being read. The default knows none yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sections {
    order: Option<Order>,
    interfaces: Vec<Interface>,
}

impl Sections {
    /// The block that `bytes` begin with.
    ///
    /// # Errors
    ///
    /// It cannot be a block, or is longer than [`MAX_BLOCK`] and would have to
    /// be read.
    pub fn item(&mut self, bytes: &[u8]) -> Result<Item, CaptureError> {
        let order = if bytes.starts_with(&MAGIC) {
            let Some(order) = byte_order(bytes)? else { return Ok(Item::More) };
            order
        } else {
            match self.order {
                Some(order) => order,
                None => return Ok(Item::More),
            }
        };
        let (Some(kind), Some(length)) = (order.u32(bytes, 0), order.u32(bytes, 4)) else {
            return Ok(Item::More);
        };
        if length < FRAME || !length.is_multiple_of(4) {
            return Err(CaptureError::BlockLength(length));
        }
        let end = usize::try_from(length).map_err(|_| CaptureError::BlockLength(length))?;
        let known =
            [SECTION, INTERFACE, OBSOLETE_PACKET, SIMPLE_PACKET, ENHANCED_PACKET].contains(&kind);
        if !known {
            return Ok(Item::Skip(end));
        }
        if length > MAX_BLOCK {
            return Err(CaptureError::BlockTooLong(length));
        }
        let Some(block) = bytes.get(..end) else { return Ok(Item::More) };
        let contents = block.get(..end.saturating_sub(4)).unwrap_or_default();
        if order.u32(block, end.saturating_sub(4)) != Some(length) {
            return Err(CaptureError::BlockLength(length));
        }
        match kind {
            SECTION => {
                self.section(order, contents)?;
                Ok(Item::Skip(end))
            }
            INTERFACE => {
                let interface = Interface::parse(order, contents);
                self.interfaces.push(interface.ok_or(CaptureError::BadBlock(kind))?);
                if self.interfaces.len() > MAX_INTERFACES {
                    return Err(CaptureError::TooManyInterfaces);
                }
                Ok(Item::Skip(end))
            }
            _ => Ok(Item::Packet(self.packet(kind, order, contents)?, end)),
        }
    }

    fn section(&mut self, order: Order, block: &[u8]) -> Result<(), CaptureError> {
        let version = order.u16(block, 12).zip(order.u16(block, 14));
        let (major, minor) = version.ok_or(CaptureError::BadBlock(SECTION))?;
        if major != 1 {
            return Err(CaptureError::Version(major, minor));
        }
        self.order = Some(order);
        self.interfaces.clear();
        Ok(())
    }

    fn packet(&self, kind: u32, order: Order, block: &[u8]) -> Result<Captured, CaptureError> {
        let bad = CaptureError::BadBlock(kind);
        let field = |at| order.u32(block, at).ok_or(bad);
        let number = match kind {
            SIMPLE_PACKET => 0,
            OBSOLETE_PACKET => u32::from(order.u16(block, BODY).ok_or(bad)?),
            _ => field(BODY)?,
        };
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        let interface = self.interfaces.get(index).ok_or(CaptureError::NoInterface(number))?;
        let (at, kept, original, begin) = if kind == SIMPLE_PACKET {
            let original = field(8)?;
            let room = u32::try_from(block.len().saturating_sub(12)).unwrap_or(0);
            let snap = if interface.snap == 0 { u32::MAX } else { interface.snap };
            (None, original.min(snap).min(room), original, 12_usize)
        } else {
            let at = interface.time(field(12)?, field(16)?);
            (Some(at), field(20)?, field(24)?, 28)
        };
        if kept > MAX_CAPTURED {
            return Err(CaptureError::PacketTooLong(kept));
        }
        let end = begin.saturating_add(usize::try_from(kept).unwrap_or(usize::MAX));
        block.get(begin..end).ok_or(bad)?;
        Ok(Captured { at, link: interface.link, original, data: begin..end })
    }
}

/// The order that a section's header says; `None` while it is not there.
fn byte_order(bytes: &[u8]) -> Result<Option<Order>, CaptureError> {
    let Some(&magic) = bytes.get(BODY..).and_then(|rest| rest.first_chunk::<4>()) else {
        return Ok(None);
    };
    match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
        (BYTE_ORDER, _) => Ok(Some(Order::Little)),
        (_, BYTE_ORDER) => Ok(Some(Order::Big)),
        _ => Err(CaptureError::BadBlock(SECTION)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(kind: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().saturating_add(FRAME).to_be_bytes();
        [&kind.to_be_bytes()[..], &length, body, &length].concat()
    }

    fn section() -> Vec<u8> {
        block(
            SECTION,
            &[0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255],
        )
    }

    fn enhanced() -> Vec<u8> {
        block(
            ENHANCED_PACKET,
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 9, 0xaa, 0xbb, 0, 0],
        )
    }

    /// Reads all items that are no blocks without packets.
    fn packets(bytes: &[u8]) -> Result<Vec<Captured>, CaptureError> {
        let (mut rest, mut sections, mut found) = (bytes, Sections::default(), Vec::new());
        loop {
            let used = match sections.item(rest)? {
                Item::More => return Ok(found),
                Item::Skip(used) => used,
                Item::Packet(captured, used) => {
                    found.push(captured);
                    used
                }
            };
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    #[test]
    fn resolution_and_offset_of_the_interface_make_the_time() {
        let plain = block(INTERFACE, &[0, 1, 0, 0, 0, 0, 0, 0]);
        let tuned = block(
            INTERFACE,
            &[
                1, 20, 0, 0, 0, 0, 0, 0, 0, 9, 0, 1, 0x81, 0, 0, 0, 0, 14, 0, 8, 0, 0, 0, 0, 0, 0,
                0, 3, 0, 0, 0, 0,
            ],
        );
        let captured = Captured { at: Some(5_000), link: 1, original: 9, data: 28..30 };
        let file = [section(), plain, enhanced()].concat();
        assert_eq!(packets(&file), Ok(vec![captured.clone()]));
        // Half seconds, three seconds later.
        let tuned_packet = Captured { at: Some(5_500_000_000), link: 276, ..captured.clone() };
        let again = [&file[..], &section(), &tuned, &enhanced()].concat();
        assert_eq!(packets(&again), Ok(vec![captured, tuned_packet]));
        for length in 0..file.len() {
            assert_eq!(packets(file.get(..length).unwrap()), Ok(vec![]), "{length}");
        }
    }

    #[test]
    fn simple_and_obsolete_packets_are_read_and_unknown_blocks_are_not() {
        let interface = block(INTERFACE, &[0, 1, 0, 0, 0, 0, 0, 3]);
        let simple = block(SIMPLE_PACKET, &[0, 0, 0, 60, 1, 2, 3, 0]);
        let obsolete = block(
            OBSOLETE_PACKET,
            &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 9, 0xaa, 0xbb, 0, 0],
        );
        let file = [section(), interface, block(77, &[1; 40]), simple, obsolete].concat();
        let first = Captured { at: None, link: 1, original: 60, data: 12..15 };
        let second = Captured { at: Some(5_000), link: 1, original: 9, data: 28..30 };
        assert_eq!(packets(&file), Ok(vec![first, second]));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let undescribed = [section(), enhanced()].concat();
        assert_eq!(packets(&undescribed), Err(CaptureError::NoInterface(0)));
        let long = [section(), vec![0, 0, 0, 6, 0, 8, 0, 4]].concat();
        assert_eq!(packets(&long), Err(CaptureError::BlockTooLong(MAX_BLOCK + 4)));
        let short = [section(), vec![0, 0, 0, 6, 0, 0, 0, 8]].concat();
        assert_eq!(packets(&short), Err(CaptureError::BlockLength(8)));
        let empty = [section(), block(INTERFACE, &[])].concat();
        assert_eq!(packets(&empty), Err(CaptureError::BadBlock(INTERFACE)));
    }
}
