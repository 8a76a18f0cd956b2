//! Traffic made up at random, judged by both.

use std::fs;

use crate::agrees;
use crate::common::{Scratch, have};
use crate::generate::{ACK, FIN, PLAIN, PSH, Segment, client, handshake, ipv4, pcap, server};

/// Marsaglia's xorshift64: the same traffic in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        u32::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

/// A connection in which segments are lost before or behind the place of the
/// capture, sent again, overtaken and acknowledged as it happens.
fn traffic(dice: &mut Dice) -> Vec<Segment> {
    let mut segments = handshake();
    let (mut at, mut sent, mut acked, mut returned) = (200_u64, 1001_u32, 1001_u32, 5001_u32);
    let window = |dice: &mut Dice| [500, 500, 500, 501, 0][dice.below(5) as usize];
    for _ in 0..60 {
        at += [5_u64, 40, 300, 4_000, 210_000][dice.below(5) as usize];
        // One byte again is a keep-alive for tshark, whether acknowledged or not.
        let length = [2, 10, 100][dice.below(3) as usize];
        let data = |at, from, length: u32| {
            client(at, PSH | ACK, from, returned, usize::try_from(length).expect("small"))
        };
        match dice.below(10) {
            // In order, with a gap, or again.
            0..=2 => {
                segments.push(data(at, sent, length));
                sent += length;
            }
            3 => {
                segments.push(data(at, sent + length, length));
                sent += 2 * length;
            }
            4 => {
                let back = dice.below(sent - acked + 1);
                segments.push(data(at, sent - back, length));
                sent = sent.max(sent - back + length);
            }
            // Acknowledgements: of all, of a part, of the same again.
            5 | 6 => {
                acked += dice.below(sent - acked + 1);
                let window = window(dice);
                segments.push(Segment { window, ..server(at, ACK, returned, acked, 0) });
            }
            7 => {
                for nth in 0..u64::from(dice.below(5)) {
                    segments.push(server(at + nth, ACK, returned, acked, 0));
                }
                at += 4;
            }
            8 => {
                segments.push(server(at, PSH | ACK, returned, acked, 20));
                returned += 20;
            }
            // A keep-alive, or what looks like one.
            _ => segments.push(client(at, ACK, sent - 1, returned, 0)),
        }
    }
    segments.push(client(at + 10, FIN | ACK, sent, returned, 0));
    segments
}

#[test]
fn whatever_happens_both_say_the_same() {
    if !have("tshark") {
        return;
    }
    let scratch = Scratch::new();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for round in 0..25 {
        let packets: Vec<(u64, Vec<u8>)> =
            traffic(&mut dice).iter().map(|segment| (segment.at, ipv4(segment, 0))).collect();
        let file = scratch.path().join(format!("{round}.pcap"));
        fs::write(&file, pcap(&packets, PLAIN)).expect("a file");
        agrees(&file);
    }
}
