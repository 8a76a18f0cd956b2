//! A packet's bytes, as they stand in a capture.

use super::{CLIENT, Sent, Shape};
use crate::stats::random::mix;
use crate::wire::tcp::SYN;

/// Where both ends' numbers begin: one near the end of the circle.
pub(super) const FIRST: [u32; 2] = [u32::MAX - 3_000, 5_000_000];
pub(super) const PORTS: [u16; 2] = [40_001, 7];

/// What both streams carry at a place: an echo.
fn byte(place: u64) -> u8 {
    mix(place).to_le_bytes()[0]
}

pub(super) fn number(side: usize, place: u64) -> u32 {
    FIRST[side].wrapping_add(u32::try_from(place).unwrap())
}

fn options(shape: &Shape, packet: &Sent) -> Vec<u8> {
    let mut options = Vec::new();
    if packet.flags & SYN != 0 {
        let most =
            u16::try_from(shape.maximum_segment).unwrap() + if shape.stamps { 12 } else { 0 };
        options.extend([&[2, 4][..], &most.to_be_bytes(), &[1, 3, 3, 7, 1, 1, 4, 2]].concat());
    }
    if shape.stamps {
        let (own, echoed) = packet.stamps;
        options.extend([&[1, 1, 8, 10][..], &own.to_be_bytes(), &echoed.to_be_bytes()].concat());
    }
    if !packet.sacked.is_empty() {
        let length = u8::try_from(2 + 8 * packet.sacked.len()).unwrap();
        options.extend([1, 1, 5, length]);
        for &(from, to) in &packet.sacked {
            for place in [from, to] {
                options.extend(number(1 - packet.side, place).to_be_bytes());
            }
        }
    }
    options
}

fn segment(shape: &Shape, packet: &Sent) -> Vec<u8> {
    let side = packet.side;
    let options = options(shape, packet);
    let header = u8::try_from((20 + options.len()) / 4).unwrap();
    let mut bytes = [PORTS[side].to_be_bytes(), PORTS[1 - side].to_be_bytes()].concat();
    bytes.extend(number(side, packet.from).to_be_bytes());
    let ack = if packet.acknowledged > 0 { number(1 - side, packet.acknowledged) } else { 0 };
    bytes.extend(ack.to_be_bytes());
    bytes.extend([header << 4, packet.flags, 4, 0, 0, 0, 0, 0]);
    bytes.extend(options);
    bytes.extend((packet.from..packet.from + packet.length).map(byte));
    bytes
}

/// The datagram in fragments of so many bytes, as a router would make of it.
pub(super) fn fragments(shape: &Shape, packet: &Sent, most: usize, mark: u16) -> Vec<Vec<u8>> {
    let whole = datagram(shape, packet);
    let header = if shape.version6 { 40 } else { 20 };
    let (head, data) = whole.split_at(header);
    let pieces = data.chunks(most).enumerate();
    let last = data.len().div_ceil(most) - 1;
    let one = |(place, piece): (usize, &[u8])| {
        let (offset, more) = (place * most, place < last);
        let mut bytes = head.to_vec();
        let (mark, units) = (mark.to_be_bytes(), u16::try_from(offset / 8).unwrap());
        if shape.version6 {
            let length = u16::try_from(8 + piece.len()).unwrap();
            bytes[4..6].copy_from_slice(&length.to_be_bytes());
            bytes[6] = 44;
            let [high, low] = (units << 3 | u16::from(more)).to_be_bytes();
            bytes.extend([6, 0, high, low, 0, 0, mark[0], mark[1]]);
        } else {
            let length = u16::try_from(20 + piece.len()).unwrap();
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[4..6].copy_from_slice(&mark);
            bytes[6..8].copy_from_slice(&(units | u16::from(more) << 13).to_be_bytes());
        }
        bytes.extend(piece);
        bytes
    };
    pieces.map(one).collect()
}

/// The datagram.
pub(super) fn datagram(shape: &Shape, packet: &Sent) -> Vec<u8> {
    let inner = segment(shape, packet);
    let hosts = if packet.side == CLIENT { [1, 2] } else { [2, 1] };
    if shape.version6 {
        let length = u16::try_from(inner.len()).unwrap().to_be_bytes();
        let mut bytes = vec![0x60, 0, 0, 0, length[0], length[1], 6, 64];
        for host in hosts {
            bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, host]);
        }
        bytes.extend(inner);
        return bytes;
    }
    let total = u16::try_from(20 + inner.len()).unwrap().to_be_bytes();
    let mark = if shape.numbered { packet.identification.to_be_bytes() } else { [0, 0] };
    let mut bytes = vec![0x45, 0, total[0], total[1], mark[0], mark[1], 0x40, 0, 64, 6, 0, 0];
    bytes.extend([10, 0, 0, hosts[0], 10, 0, 0, hosts[1]]);
    bytes.extend(inner);
    bytes
}
