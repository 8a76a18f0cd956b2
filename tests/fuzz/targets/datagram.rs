//! Test packets of TWAMP and STAMP with their extensions, ICMP errors and the
//! kernel's view of a connection.
#![no_main]

use std::net::{IpAddr, Ipv6Addr};

use echotest::wire::ntp::Timestamp;
use echotest::wire::stamp::{Answer, EXTENSIONS};
use echotest::wire::stamp_answer::{Seen, answer_extensions};
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
    let local = IpAddr::V6(Ipv6Addr::LOCALHOST);
    let seen = Seen {
        from: (local, 40_000).into(),
        to: (Some(local), 862),
        class: bytes.first().copied(),
        reply_dscp: 0,
        synchronised: false,
        counts: Some([1, 1]),
        before: (0, Timestamp(0)),
    };
    let _ = (stamp::ssid(bytes), answer_extensions(&mut answered, &seen));
    let mut answers: Vec<Answer> = EXTENSIONS.iter().map(Answer::new).collect();
    Answer::take(&mut answers, bytes);
    for answer in &answers {
        let _ = (answer.fields(), answer.addresses());
    }
    assert_eq!(answered.len(), bytes.len(), "an answer is as long as what it answers");
    let _ = icmp::read_v4(bytes);
    let _ = icmp::read_v6(bytes, IpAddr::V6(Ipv6Addr::LOCALHOST));
    let _ = TcpInfo::parse(bytes);
});
