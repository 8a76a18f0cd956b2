//! File formats, link types, what went wrong in made-up connections, and files
//! that are none.

use std::fs;
use std::process::{Command, Stdio};

use crate::common::{Process, Scratch, echotest, have, run};
use crate::generate::{
    ACK, FIN, Kind, PLAIN, PSH, RST, SYN, Segment, client, handshake, ipv4, ipv6, pcap, server,
    written,
};
use crate::{agrees, analyzed, sum};

/// The seed's session: SYN, twelve bytes each way, FIN.
fn session() -> Vec<Segment> {
    let mut segments = handshake();
    segments.extend([
        client(200, PSH | ACK, 1001, 5001, 12),
        server(210, ACK, 5001, 1013, 0),
        server(300, PSH | ACK, 5001, 1013, 12),
        client(310, ACK, 1013, 5013, 0),
        client(400, FIN | ACK, 1013, 5013, 0),
        server(450, FIN | ACK, 5013, 1014, 0),
        client(470, ACK, 1014, 5014, 0),
    ]);
    segments
}

#[test]
fn the_seeds_session_is_told_in_the_seeds_ten_steps() {
    let scratch = Scratch::new();
    let mut packets: Vec<(u64, Vec<u8>)> =
        session().iter().map(|segment| (segment.at, ipv4(segment, 0))).collect();
    for (_, packet) in &mut packets {
        if packet.len() == 52 {
            packet[40..].copy_from_slice(b"Hello, world");
        }
    }
    let file = scratch.path().join("capture.pcap");
    fs::write(&file, pcap(&packets, PLAIN)).unwrap();
    let name = file.to_string_lossy().into_owned();
    let text = run(["analyze", &name]).stdout;
    for step in [
        "1 client sends SYN [S]",
        "2 server responds with SYN-ACK [S.]",
        "3 client sends ACK (handshake done) [.]",
        "4 client sends \"Hello, world\" [P.]",
        "5 server ACKs receipt [.]",
        "6 server sends \"Hello, world\" back [P.]",
        "7 client ACKs reply [.]",
        "8 client sends FIN to close connection [F.]",
        "9 server replies with FIN [F.]",
        "10 client ACKs server FIN [.]",
    ] {
        assert!(text.contains(&format!(" {step}\n")), "{step} in {text}");
    }
    assert!(text.contains("SYN to SYN-ACK 50.0 us"), "{text}");
    assert!(text.contains("closed by the client with FIN, the server followed"), "{text}");
    assert!(text.contains("1 request echoed, on the wire min/p50/p90/p99/max = 100.0/"), "{text}");
}

/// Puts a segment into what lies below it.
type Wrap = Box<dyn Fn(&Segment) -> Vec<u8>>;

#[test]
fn every_format_and_link_type_gives_the_same_story() {
    if !have("tshark") {
        return;
    }
    let scratch = Scratch::new();
    let ethernet =
        |kind: [u8; 2], tags: &[u8], packet: Vec<u8>| [&[2; 12][..], tags, &kind, &packet].concat();
    let v4 = [8, 0];
    let v6 = [0x86, 0xdd];
    let cooked = |kind: [u8; 2]| [&[0, 0, 3, 4, 0, 6][..], &[0; 8], &kind].concat();
    let cooked2 = |kind: [u8; 2]| [&kind[..], &[0; 18]].concat();
    let cases: Vec<(&str, u32, Wrap)> = vec![
        ("raw IPv4 with options", 101, Box::new(|s| ipv4(s, 8))),
        ("raw IPv6 with an extension header", 101, Box::new(ipv6)),
        ("Ethernet", 1, Box::new(move |s| ethernet(v4, &[], ipv4(s, 0)))),
        ("Ethernet and IPv6", 1, Box::new(move |s| ethernet(v6, &[], ipv6(s)))),
        ("a VLAN", 1, Box::new(move |s| ethernet(v4, &[0x81, 0, 0, 7], ipv4(s, 0)))),
        (
            "two VLANs",
            1,
            Box::new(move |s| ethernet(v4, &[0x88, 0xa8, 0, 7, 0x81, 0, 0, 8], ipv4(s, 0))),
        ),
        ("cooked", 113, Box::new(move |s| [cooked(v4), ipv4(s, 0)].concat())),
        ("cooked, version 2", 276, Box::new(move |s| [cooked2(v6), ipv6(s)].concat())),
        ("BSD loopback", 0, Box::new(|s| [vec![2, 0, 0, 0], ipv4(s, 0)].concat())),
        ("OpenBSD loopback", 108, Box::new(|s| [vec![0, 0, 0, 24], ipv6(s)].concat())),
    ];
    for (name, link, wrap) in cases {
        for (big_endian, nanoseconds) in
            [(false, false), (true, false), (false, true), (true, true)]
        {
            let kind = Kind { big_endian, nanoseconds, link, ..PLAIN };
            let packets: Vec<(u64, Vec<u8>)> =
                session().iter().map(|segment| (segment.at, wrap(segment))).collect();
            let file = scratch.path().join("capture.pcap");
            // BSD's address family is in the order of the machine that captured.
            let packets = if link == 0 && big_endian {
                packets.into_iter().map(|(at, bytes)| (at, turned(bytes))).collect()
            } else {
                packets
            };
            fs::write(&file, pcap(&packets, kind)).unwrap();
            let json = agrees(&file);
            assert!(json.contains("\"packets\":10,"), "{name}: {json}");
            assert!(json.contains("\"to_server_us\":50.000"), "{name}: {json}");
        }
    }
}

fn turned(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes[..4].reverse();
    bytes
}

#[test]
fn pcapng_is_read_as_editcap_writes_it() {
    if !(have("tshark") && have("editcap")) {
        return;
    }
    let scratch = Scratch::new();
    let plain = written(scratch.path(), "a.pcap", &session());
    let newer = scratch.path().join("a.pcapng");
    let done = Command::new("editcap").args(["-F", "pcapng"]).arg(&plain).arg(&newer).status();
    assert!(done.expect("editcap").success());
    let json = agrees(&newer);
    assert!(json.contains("\"format\":\"pcapng\""), "{json}");
    assert!(json.contains("\"packets\":10,"), "{json}");
    // Two sections after each other are one capture.
    let once = fs::read(&newer).unwrap();
    fs::write(&newer, [once.clone(), once].concat()).unwrap();
    assert!(analyzed(&newer, &[]).stdout.contains("\"total\":20,"));
}

/// What may go wrong after a handshake.
#[allow(clippy::too_many_lines, reason = "a list")]
fn troubles() -> Vec<(&'static str, Vec<Segment>)> {
    let data = PSH | ACK;
    let dup = |at| server(at, ACK, 5001, 1101, 0);
    let closed = |at| Segment { window: 0, ..server(at, ACK, 5001, 1101, 0) };
    vec![
        (
            "a retransmission after a time-out",
            vec![
                client(200, data, 1001, 5001, 100),
                client(200_200, data, 1001, 5001, 100),
                server(200_300, ACK, 5001, 1101, 0),
            ],
        ),
        (
            "a fast retransmission",
            vec![
                client(200, data, 1001, 5001, 100),
                server(220, ACK, 5001, 1101, 0),
                client(300, data, 1201, 5001, 100),
                client(310, data, 1301, 5001, 100),
                client(320, data, 1401, 5001, 100),
                dup(330),
                dup(340),
                dup(350),
                client(900, data, 1101, 5001, 100),
                server(950, ACK, 5001, 1501, 0),
            ],
        ),
        (
            "a spurious retransmission",
            vec![
                client(200, data, 1001, 5001, 100),
                server(300, ACK, 5001, 1101, 0),
                client(400_000, data, 1001, 5001, 100),
                server(400_050, ACK, 5001, 1101, 0),
            ],
        ),
        (
            "segments out of order",
            vec![
                client(200, data, 1101, 5001, 100),
                client(210, data, 1001, 5001, 100),
                client(212, data, 1301, 5001, 100),
                client(215, data, 1201, 5001, 50),
                server(300, ACK, 5001, 1401, 0),
            ],
        ),
        (
            "a zero window, its probes and its update",
            vec![
                client(200, data, 1001, 5001, 100),
                closed(300),
                client(200_300, ACK, 1101, 5001, 1),
                closed(200_350),
                client(400_300, data, 1101, 5001, 1),
                closed(400_350),
                server(500_000, ACK, 5001, 1101, 0),
                client(500_100, data, 1101, 5001, 100),
                server(500_200, ACK, 5001, 1201, 0),
            ],
        ),
        (
            "keep-alives and their answers",
            vec![
                client(200, data, 1001, 5001, 100),
                server(300, ACK, 5001, 1101, 0),
                client(60_000_000, ACK, 1100, 5001, 0),
                server(60_000_100, ACK, 5001, 1101, 0),
                client(120_000_000, ACK, 1100, 5001, 1),
                server(120_000_100, ACK, 5001, 1101, 0),
            ],
        ),
        (
            "an acknowledgement of what is not in the capture",
            vec![server(300, ACK, 5001, 2001, 0), client(400, data, 2001, 5001, 10)],
        ),
        ("a reset", vec![client(200, data, 1001, 5001, 9), server(300, RST | ACK, 5001, 1010, 0)]),
        (
            "the same two ports again",
            vec![
                client(200, FIN | ACK, 1001, 5001, 0),
                server(300, FIN | ACK, 5001, 1002, 0),
                client(400, ACK, 1002, 5002, 0),
                client(5_000_000, SYN, 900_000, 0, 0),
                server(5_000_050, SYN | ACK, 800_000, 900_001, 0),
                client(5_000_100, ACK, 900_001, 800_001, 0),
            ],
        ),
        ("a SYN that is sent again", vec![]),
    ]
}

#[test]
fn what_goes_wrong_is_counted_as_tshark_counts_it() {
    if !have("tshark") {
        return;
    }
    let scratch = Scratch::new();
    for (name, rest) in troubles() {
        let mut segments = handshake();
        if rest.is_empty() {
            segments = vec![
                client(0, SYN, 1000, 0, 0),
                client(1_000_000, SYN, 1000, 0, 0),
                server(1_000_050, SYN | ACK, 5000, 1001, 0),
                client(1_000_100, ACK, 1001, 5001, 0),
            ];
        }
        segments.extend(rest.iter().copied());
        println!("{name}");
        agrees(&written(scratch.path(), "a.pcap", &segments));
        // The same, begun in mid-connection.
        agrees(&written(scratch.path(), "b.pcap", &segments[3.min(segments.len() - 1)..]));
    }
}

#[test]
fn packets_that_were_cut_keep_their_length_on_the_wire() {
    if !have("tshark") {
        return;
    }
    let scratch = Scratch::new();
    let packets: Vec<(u64, Vec<u8>)> =
        session().iter().map(|segment| (segment.at, ipv4(segment, 0))).collect();
    let file = scratch.path().join("cut.pcap");
    fs::write(&file, pcap(&packets, Kind { snap: 44, ..PLAIN })).unwrap();
    let json = agrees(&file);
    assert!(json.contains("\"bytes\":12"), "{json}");
    // Cut within the headers, nothing can be said.
    fs::write(&file, pcap(&packets, Kind { snap: 30, ..PLAIN })).unwrap();
    let json = analyzed(&file, &[]).stdout;
    assert_eq!(
        (sum(&json, "cut_short"), json.contains("\"connections\":[]")),
        (10, true),
        "{json}"
    );
}

#[test]
fn a_plateau_is_named_where_replies_come_in_two_parts_and_never_by_its_magnitude() {
    for (parts, named) in [(true, true), (false, false)] {
        let mut segments = handshake();
        let mut number = 1001;
        for round in 0..10_u64 {
            let at = 1000 + round * 100_000;
            let back = 5001 + (number - 1001);
            segments.push(client(at, PSH | ACK, number, back, 10));
            if parts {
                segments.push(server(at + 300, PSH | ACK, back, number + 10, 6));
                segments.push(client(at + 43_500, ACK, number + 10, back + 6, 0));
                segments.push(server(at + 43_800, PSH | ACK, back + 6, number + 10, 4));
            } else {
                segments.push(server(at + 43_800, PSH | ACK, back, number + 10, 10));
            }
            segments.push(client(at + 43_850, ACK, number + 10, back + 10, 0));
            number += 10;
        }
        let scratch = Scratch::new();
        let json = analyzed(&written(scratch.path(), "a.pcap", &segments), &[]).stdout;
        assert_eq!(json.contains("delayed_ack_plateau"), named, "{json}");
    }
}

#[test]
fn files_that_are_no_captures_or_end_early_are_told_in_one_line() {
    let scratch = Scratch::new();
    let whole = fs::read(written(scratch.path(), "whole.pcap", &session())).unwrap();
    let file = scratch.path().join("bad.pcap");
    let name = file.to_string_lossy().into_owned();
    let mut huge = whole.clone();
    huge[24 + 8..24 + 12].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    let cases: [(&str, Vec<u8>, &str, bool); 6] = [
        ("empty", vec![], "empty", false),
        ("text", b"packet_num,timestamp\n1,2\n".to_vec(), "not a capture", false),
        ("two bytes", vec![0xd4, 0xc3], "cut off", false),
        ("a cut header", whole[..20].to_vec(), "cut off", false),
        ("a cut packet", whole[..whole.len() - 5].to_vec(), "cut off", true),
        ("a huge packet", huge, "2147483647 bytes", true),
    ];
    for (what, bytes, said, readable) in cases {
        fs::write(&file, bytes).unwrap();
        let ended = run(["analyze", &name]);
        assert_eq!(ended.status, 2, "{what}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{what}: {ended:?}");
        assert!(ended.stderr.contains(said), "{what}: {ended:?}");
        assert_eq!(!ended.stdout.is_empty(), readable, "{what}: {ended:?}");
        let as_json = run(["analyze", &name, "--json"]);
        assert_eq!(as_json.stdout.lines().count(), 1, "{what}: one object: {as_json:?}");
        let error = as_json.stdout.split(r#""error":""#).nth(1).unwrap_or_default();
        assert!(error.contains(said), "{what}: {as_json:?}");
    }
    let told = {
        fs::write(&file, &whole[..whole.len() - 5]).unwrap();
        run(["analyze", &name]).stdout
    };
    assert!(told.contains("9 packets") && told.contains("9 server replies with FIN"), "{told}");
    assert_eq!(run(["analyze", "/nowhere"]).status, 2);
}

#[test]
fn standard_input_is_a_capture_too_and_ports_are_chosen() {
    let scratch = Scratch::new();
    let file = written(scratch.path(), "a.pcap", &session());
    let mut command = echotest();
    command.args(["analyze", "-", "--port", "7"]);
    let output = command.stdin(Stdio::from(fs::File::open(&file).unwrap())).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("10 packets, 10 of TCP in 1 connection"), "{text}");
    let name = file.to_string_lossy().into_owned();
    let other = run(["analyze", &name, "--port", "8"]).stdout;
    assert!(other.contains("10 of other ports"), "{other}");
}

#[test]
fn noise_in_a_capture_is_no_reason_to_fall() {
    let scratch = Scratch::new();
    let file = scratch.path().join("noise.pcap");
    let name = file.to_string_lossy().into_owned();
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..60 {
        let mut bytes = pcap(
            &session().iter().map(|segment| (segment.at, ipv4(segment, 0))).collect::<Vec<_>>(),
            PLAIN,
        );
        for _ in 0..30 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let place = usize::try_from(state % 700).unwrap();
            if let Some(byte) = bytes.get_mut(place) {
                *byte = state.to_le_bytes()[5];
            }
        }
        fs::write(&file, bytes).unwrap();
        let mut command = echotest();
        let ended = Process::start(command.args(["analyze", &name])).finish();
        assert!((0..=2).contains(&ended.status), "{ended:?}");
        assert!(!ended.stderr.contains("internal error"), "{ended:?}");
    }
}
