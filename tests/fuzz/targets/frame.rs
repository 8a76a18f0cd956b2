//! One packet of any link type, cut anywhere: the inner of tunnels, TCP's options,
//! what an ICMP error quotes.
#![no_main]

use echotest::wire::ip::Bytes;
use echotest::wire::packet::{Packet, Seen};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, u16, &[u8])| {
    let (link, more, kept) = input;
    let length = kept.len() + usize::from(more);
    let seen = Seen::parse(u32::from(link), Bytes { kept, length });
    if let Packet::Tcp(packet) = seen.packet {
        assert!(packet.data.len() <= kept.len());
    }
});
