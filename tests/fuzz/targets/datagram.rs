//! Test packets of TWAMP and STAMP with their extensions, ICMP errors and the
//! kernel's view of a connection.
#![no_main]

use std::net::{IpAddr, Ipv6Addr};

use echotest::wire::tcp_info::TcpInfo;
use echotest::wire::twamp_test::{ReflectorPacket, SenderPacket};
use echotest::wire::{icmp, stamp};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Some(packet) = SenderPacket::read(bytes) {
        assert_eq!(SenderPacket::read(&packet.emit()), Some(packet));
    }
    if let Some(packet) = ReflectorPacket::read(bytes) {
        let _ = packet.emit();
    }
    let mut answered = bytes.to_vec();
    let _ = (stamp::ssid(bytes), stamp::answer_extensions(&mut answered));
    assert_eq!(answered.len(), bytes.len(), "an answer is as long as what it answers");
    let _ = icmp::read_v4(bytes);
    let _ = icmp::read_v6(bytes, IpAddr::V6(Ipv6Addr::LOCALHOST));
    let _ = TcpInfo::parse(bytes);
});
