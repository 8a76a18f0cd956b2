//! Captures of bad paths, of other places, and in pieces.

use std::fs;
use std::path::{Path, PathBuf};

use crate::analyzed;
use crate::common::{Process, Scratch, echotest, figure, run};
use crate::generate::{
    ACK, FIN, Kind, PLAIN, PSH, RST, SYN, Segment, client, handshake, ipv4, pcap, server, written,
};

const START: i64 = 1_700_000_000;

/// A tunnel's name, and what it puts around a packet.
type Wrapped<'a> = (&'a str, Box<dyn Fn(&[u8]) -> Vec<u8> + 'a>);

/// `count` requests of 64 bytes, 100 ms apart from 1 s on, each answered after
/// `rtt` microseconds.
fn talk(count: u32, rtt: u64) -> Vec<Segment> {
    let mut segments = handshake();
    for number in 0..count {
        let at = 1_000_000 + u64::from(number) * 100_000;
        let (sent, back) = (1001 + 64 * number, 5001 + 64 * number);
        segments.push(client(at, PSH | ACK, sent, back, 64));
        segments.push(server(at + rtt, PSH | ACK, back, sent + 64, 64));
    }
    segments
}

fn text(file: &Path) -> String {
    run(["analyze", &file.to_string_lossy()]).stdout
}

fn packets(segments: &[Segment]) -> Vec<(u64, Vec<u8>)> {
    segments.iter().map(|segment| (segment.at, ipv4(segment, 0))).collect()
}

/// Writes captured packets whose link type is `link`.
fn captured(directory: &Path, packets: &[(u64, Vec<u8>)], link: u32) -> PathBuf {
    let file = directory.join("capture.pcap");
    fs::write(&file, pcap(packets, Kind { link, ..PLAIN })).expect("a file");
    file
}

/// A client's file: when each was sent, in microseconds after the capture's start,
/// and its round trip.
fn rows(directory: &Path, sent: &[(i64, u32)]) -> String {
    let mut csv = "packet_num,timestamp,send_time_ns,receive_time_ns,rtt_us\n".to_owned();
    for (number, (at, rtt)) in sent.iter().enumerate() {
        let sent = (START * 1_000_000 + at) * 1000;
        let received = sent + i64::from(*rtt) * 1000;
        csv += &format!("{},2023-11-14T22:13:20Z,{sent},{received},{rtt}.000\n", number + 1);
    }
    let file = directory.join("timings.csv");
    fs::write(&file, csv).expect("a file");
    file.to_string_lossy().into_owned()
}

#[test]
fn a_capture_from_mid_connection_on_pairs_what_belongs_together() {
    // 35 ms of path, a request every 10 ms: three are under way when it begins.
    let mut all: Vec<Segment> = Vec::new();
    for number in 0..100_u32 {
        let at = u64::from(number) * 10_000;
        let (sent, back) = (1001 + 64 * number, 5001 + 64 * number);
        all.push(client(at, PSH | ACK, sent, back.saturating_sub(4 * 64).max(5001), 64));
        all.push(server(at + 35_000, PSH | ACK, back, sent + 64, 64));
    }
    all.sort_by_key(|segment| segment.at);
    all.retain(|segment| segment.at > 204_000);
    let scratch = Scratch::new();
    let file = written(scratch.path(), "capture.pcap", &all);
    let rows: Vec<(i64, u32)> = (0..100).map(|number| (number * 10_000 - 50, 35_100)).collect();
    let csv = self::rows(scratch.path(), &rows);
    let json = analyzed(&file, &["--csv", &csv]).stdout;
    for p in ["min", "p50", "max"] {
        assert_eq!(figure(&json, &format!("rtt_us.{p}")).map(f64::round), Some(35_000.0), "{json}");
    }
    assert!((figure(&json, "host_us.p50").unwrap() - 100.0).abs() < 1.0, "{json}");
    assert!(json.contains(r#""roles_by":"guess""#), "{json}");
}

#[test]
fn a_syn_ack_of_another_connection_answers_no_syn() {
    let scratch = Scratch::new();
    let mut segments = vec![client(0, SYN, 1000, 0, 0)];
    segments.extend([
        server(60_001_000, SYN | ACK, 800_000, 900_001, 0),
        client(60_001_100, ACK, 900_001, 800_001, 0),
    ]);
    let json = analyzed(&written(scratch.path(), "a.pcap", &segments), &[]).stdout;
    assert!(json.contains(r#""number":2"#), "{json}");
    assert!(!json.contains(r#""to_server_us":6"#), "{json}");
    // A reset of an earlier connection decides nothing.
    let mut segments = vec![server(0, RST, 77, 0, 0)];
    segments.extend(talk(3, 500).into_iter().map(|one| Segment { at: one.at + 10, ..one }));
    let json = analyzed(&written(scratch.path(), "b.pcap", &segments), &[]).stdout;
    assert!(
        json.contains(r#""client":"10.0.0.1:40000","server":"10.0.0.2:7","roles_by":"handshake""#)
    );
    assert!(json.contains(r#""answered":3,"#), "{json}");
}

#[test]
fn a_packet_that_was_captured_twice_was_not_sent_twice() {
    let scratch = Scratch::new();
    let once = packets(&talk(20, 1000));
    let twice: Vec<_> = once
        .iter()
        .flat_map(|(at, bytes)| [(*at, bytes.clone()), (*at + 5, bytes.clone())])
        .collect();
    let file = captured(scratch.path(), &twice, 101);
    let json = analyzed(&file, &[]).stdout;
    assert!(json.contains(r#""answered":20,"#), "{json}");
    assert_eq!(crate::sum(&json, "retransmissions"), 0, "{json}");
    assert_eq!(crate::sum(&json, "duplicate_acks"), 0, "{json}");
    assert_eq!(crate::sum(&json, "copies"), 43, "{json}");
    assert!(text(&file).contains("43 packets are in the capture twice"), "{}", text(&file));
    // The same bytes with another mark were sent again.
    let mut segments = talk(2, 1000);
    segments.push(client(1_100_500, PSH | ACK, 1065, 5065, 64));
    segments.sort_by_key(|segment| segment.at);
    let json = analyzed(&written(scratch.path(), "again.pcap", &segments), &[]).stdout;
    assert_eq!(
        (crate::sum(&json, "retransmissions"), crate::sum(&json, "copies")),
        (1, 0),
        "{json}"
    );
    assert_eq!(crate::sum(&json, "out_of_order"), 0, "{json}");
}

#[test]
fn a_clock_that_was_set_back_makes_no_times() {
    let scratch = Scratch::new();
    let mut segments = talk(10, 1000);
    for segment in segments.iter_mut().skip(14) {
        segment.at -= 500_000;
    }
    let file = written(scratch.path(), "capture.pcap", &segments);
    let json = analyzed(&file, &[]).stdout;
    assert!(json.contains(r#""clock_set_back":{"times":1,"furthest_s":0.4"#), "{json}");
    assert_eq!(figure(&json, "rtt_us.min"), Some(1000.0), "{json}");
    assert!(json.contains(r#""answered":9,"#), "{json}");
    assert!(text(&file).contains("the clock went back 1 time in the capture"), "{}", text(&file));
}

#[test]
fn where_the_capture_was_made_decides_what_the_difference_is() {
    let scratch = Scratch::new();
    // SYN to SYN-ACK 30 us, SYN-ACK to ACK 10 ms: at the server.
    let mut segments = vec![
        client(0, SYN, 1000, 0, 0),
        server(30, SYN | ACK, 5000, 1001, 0),
        client(10_030, ACK, 1001, 5001, 0),
    ];
    let mut sent = Vec::new();
    for number in 0..20_u32 {
        let at = 1_000_000 + u64::from(number) * 100_000;
        sent.push((i64::try_from(at).unwrap() - 5_000, 10_100));
        let (own, back) = (1001 + 64 * number, 5001 + 64 * number);
        segments.push(client(at, PSH | ACK, own, back, 64));
        segments.push(server(at + 40, PSH | ACK, back, own + 64, 64));
        segments.push(client(at + 10_040, ACK, own + 64, back + 64, 0));
    }
    let file = written(scratch.path(), "capture.pcap", &segments);
    let csv = rows(scratch.path(), &sent);
    let name = file.to_string_lossy().into_owned();
    let text = run(["analyze", &name, "--csv", &csv]).stdout;
    assert!(text.contains("captured at the server"), "{text}");
    assert!(!text.contains("this host's own share"), "{text}");
    let json = analyzed(&file, &["--csv", &csv]).stdout;
    assert!(json.contains(r#""captured_at":"server""#), "{json}");
    assert!(figure(&json, "beyond_us.p50").unwrap() > 10_000.0, "{json}");
}

#[test]
fn the_clients_file_is_that_of_one_connection() {
    let scratch = Scratch::new();
    let mut all: Vec<(u64, Vec<u8>)> = packets(&talk(50, 10_000));
    // Another client, 30 us earlier each time, on a path of 30 ms.
    let others = talk(50, 30_000);
    for (at, mut bytes) in packets(&others) {
        let port = if bytes[15] == 1 { 20 } else { 22 };
        bytes[port..port + 2].copy_from_slice(&40_001_u16.to_be_bytes());
        all.push((if at > 500 { at - 30 } else { at + 200 }, bytes));
    }
    all.sort_by_key(|(at, _)| *at);
    let file = captured(scratch.path(), &all, 101);
    let sent: Vec<(i64, u32)> =
        (0..50).map(|number| (999_950 + number * 100_000, 10_100)).collect();
    let json = analyzed(&file, &["--csv", &rows(scratch.path(), &sent)]).stdout;
    assert!(
        json.contains(r#""matched":50,"rows_alone":0,"requests_alone":0,"impossible":0"#),
        "{json}"
    );
    assert_eq!(figure(&json, "wire_us.max"), Some(10_000.0), "{json}");
    assert!(json.contains(r#""connections":[1],"captured_at""#), "{json}");
}

#[test]
fn a_clients_file_in_pieces_is_one() {
    let scratch = Scratch::new();
    let file = written(scratch.path(), "capture.pcap", &talk(30, 10_000));
    let sent: Vec<(i64, u32)> =
        (0..30).map(|number| (999_950 + number * 100_000, 10_100)).collect();
    let text = fs::read_to_string(rows(scratch.path(), &sent)).expect("a file");
    let (header, rows) = text.split_once('\n').expect("a header");
    let rows: Vec<&str> = rows.split_inclusive('\n').collect();
    let logs = scratch.path().join("logs");
    fs::create_dir(&logs).expect("a directory");
    // As a shell sorts them.
    let names = ["a_timings.csv", "a_10_timings.csv", "a_2_timings.csv"];
    let names = names.map(|name| logs.join(name).to_string_lossy().into_owned());
    for (name, part) in names.iter().zip([&rows[..10], &rows[20..], &rows[10..20]]) {
        fs::write(name, format!("{header}\n{}", part.concat())).expect("a piece");
    }
    let whole = r#""matched":30,"rows_alone":0,"requests_alone":0"#;
    let written_out = ["--csv", names[0].as_str(), &names[1], &names[2]];
    for arguments in [&written_out[..], &["--csv", &logs.to_string_lossy()]] {
        let json = analyzed(&file, arguments).stdout;
        assert!(json.contains(whole), "{arguments:?}: {json}");
    }
    // What is left of another run beside them.
    fs::write(logs.join("b_timings.csv"), text).expect("a file");
    let ended = run(["analyze", &file.to_string_lossy(), "--csv", &logs.to_string_lossy()]);
    assert!(ended.status == 2 && ended.stderr.contains(": 2 runs that do not go on"), "{ended:?}");
    let alone = run(["analyze", "--csv", &names[0], &names[1]]);
    assert!(alone.status == 2 && alone.stderr.contains("a CAPTURE is needed"), "{alone:?}");
}

#[test]
fn each_flow_is_joined_with_its_own_connection() {
    // Three flows in turn every 10 ms; the second's path is longer, and its
    // connection is made anew in between. The capture has another client too.
    let scratch = Scratch::new();
    let mut all = Vec::new();
    let mut csv = "packet_num,timestamp,send_time_ns,receive_time_ns,rtt_us,flow\n".to_owned();
    for number in 0..200_u64 {
        for (flow, rtt) in [(1, 4_000), (2, 9_000), (3, 4_000), (4, 4_000)] {
            let anew = flow == 2 && number >= 120;
            let at = 1_000_000 + number * 10_000 + flow * 2_500;
            let nth = u32::try_from(if anew { number - 120 } else { number }).unwrap();
            let (own, back) = (1001 + 64 * nth, 5001 + 64 * nth);
            let port = 40_000 - u16::try_from(flow).unwrap() + if anew { 100 } else { 0 };
            let mut put = |segment: Segment| {
                let mut bytes = ipv4(&segment, 0);
                let place = if segment.from_client { 20 } else { 22 };
                bytes[place..place + 2].copy_from_slice(&port.to_be_bytes());
                all.push((segment.at, bytes));
            };
            if nth == 0 {
                for one in handshake() {
                    put(Segment { at: one.at + at - 2_000, ..one });
                }
            }
            put(client(at + 20, PSH | ACK, own, back, 64));
            put(server(at + rtt, PSH | ACK, back, own + 64, 64));
            if flow < 4 {
                let sent = (START * 1_000_000 + i64::try_from(at).unwrap()) * 1000;
                let (received, rtt) = (sent + i64::try_from(rtt + 30).unwrap() * 1000, rtt + 30);
                csv +=
                    &format!("{number},2023-11-14T22:13:20Z,{sent},{received},{rtt}.000,{flow}\n");
            }
        }
    }
    all.sort_by_key(|(at, _)| *at);
    let file = captured(scratch.path(), &all, 101);
    let (rows, out) = (scratch.path().join("rows.csv"), scratch.path().join("out.csv"));
    fs::write(&rows, csv).unwrap();
    let [rows, out] = [rows, out].map(|path| path.to_string_lossy().into_owned());
    let json = analyzed(&file, &["--csv", &rows, "--csv-out", &out]).stdout;
    assert!(
        json.contains(r#""matched":600,"rows_alone":0,"requests_alone":0,"impossible":0"#),
        "{json}"
    );
    assert!(
        json.contains(r#""connections":[1,2,3,5],"captured_at":"client","flows":[1,2,3,2]"#),
        "{json}"
    );
    assert_eq!(figure(&json, "wire_us.max").map(f64::round), Some(8_980.0), "{json}");
    assert_eq!(figure(&json, "host_us.max").map(f64::round), Some(50.0), "{json}");
    let joined = fs::read_to_string(&out).unwrap();
    assert!(joined.lines().nth(1).unwrap().ends_with(",3980.000,50.000,0,1"), "{joined}");
    let name = file.to_string_lossy().into_owned();
    let told = run(["analyze", &name, "--csv", &rows, "--csv-out", &out]).stdout;
    assert!(told.contains("flow 1 is connection 1, 2 is connection 2, 3 is connection 3, 2 is "));
}

#[test]
fn a_request_that_the_kernel_kept_back_is_found_by_its_order() {
    // All 40 are sent within 40 ms, and reach the wire only 300 ms later.
    let scratch = Scratch::new();
    let mut segments = handshake();
    let mut sent = Vec::new();
    for number in 0..40_u32 {
        let (own, back) = (1001 + 64 * number, 5001 + 64 * number);
        let at = 1_300_000 + u64::from(number) * 10;
        segments.push(client(at, PSH | ACK, own, 5001, 64));
        segments.push(server(at + 1_000, PSH | ACK, back, own + 64, 64));
        sent.push((1_000_000 + i64::from(number) * 1_000, 310_000));
    }
    segments.sort_by_key(|segment| segment.at);
    let file = written(scratch.path(), "capture.pcap", &segments);
    let json = analyzed(&file, &["--csv", &rows(scratch.path(), &sent)]).stdout;
    assert!(json.contains(r#""matched":40,"rows_alone":0,"requests_alone":0"#), "{json}");
}

#[test]
fn a_full_disk_is_an_error_in_the_one_object() {
    let scratch = Scratch::new();
    let file = written(scratch.path(), "capture.pcap", &talk(3, 1000));
    let csv = rows(scratch.path(), &[(1_000_000, 1000), (1_100_000, 1000), (1_200_000, 1000)]);
    let ended = analyzed(&file, &["--csv", &csv, "--csv-out", "/dev/full"]);
    assert_eq!((ended.status, ended.stdout.lines().count()), (2, 1), "{ended:?}");
    assert!(ended.stdout.contains(r#""matched":3,"#), "{ended:?}");
    assert!(ended.stdout.contains(r#""error":"--csv-out /dev/full: cannot be w"#), "{ended:?}");
    assert!(ended.stderr.contains("--csv-out /dev/full: cannot be written: No space"), "{ended:?}");
}

#[test]
fn an_orderly_end_stays_one_and_an_open_end_is_no_silence() {
    let scratch = Scratch::new();
    let mut segments = talk(1, 1000);
    segments.extend([
        client(2_000_000, FIN | ACK, 1065, 5065, 0),
        server(2_001_000, FIN | ACK, 5065, 1066, 0),
        client(2_001_100, ACK, 1066, 5066, 0),
        client(2_002_000, RST, 1066, 0, 0),
    ]);
    let file = written(scratch.path(), "closed.pcap", &segments);
    assert!(text(&file).contains("closed by the client with FIN, the server followed"));
    let file = written(scratch.path(), "open.pcap", &talk(3, 1000));
    assert!(text(&file).contains("still open where the capture ends"), "{}", text(&file));
}

#[test]
fn pieces_are_one_capture_in_the_order_of_their_packets() {
    let scratch = Scratch::new();
    let all = talk(10, 1000);
    let (one, other) = all.split_at(12);
    let names = [written(scratch.path(), "z.pcap", one), written(scratch.path(), "a.pcap", other)];
    let [first, second] = names.map(|name| name.to_string_lossy().into_owned());
    let ended = run(["analyze", &second, &first, "--json"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stdout.contains(r#""answered":10,"unanswered":0"#), "{ended:?}");
    assert!(ended.stdout.contains(r#""retransmissions":0"#), "{ended:?}");
    let ended = run(["analyze", "-", &first]);
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("- cannot be one of several pieces"), "{ended:?}");
}

#[test]
fn tunnels_are_looked_into_and_named() {
    let scratch = Scratch::new();
    let ethernet = |kind: u16, inner: &[u8]| [&[2; 12][..], &kind.to_be_bytes(), inner].concat();
    let ip = |protocol: u8, inner: &[u8]| {
        let total = u16::try_from(20 + inner.len()).unwrap().to_be_bytes();
        let head = [0x45, 0, total[0], total[1], 0, 1, 0, 0, 64, protocol, 0, 0];
        [&head[..], &[10, 9, 0, 1, 10, 9, 0, 2], inner].concat()
    };
    let udp = |port: u16, inner: &[u8]| {
        let length = u16::try_from(8 + inner.len()).unwrap();
        let words = [55_555, port, length, 0].map(u16::to_be_bytes).concat();
        [&words[..], inner].concat()
    };
    let tunnels: Vec<Wrapped<'_>> = vec![
        (
            "VXLAN",
            Box::new(|packet| {
                let frame = [&[8, 0, 0, 0, 0, 0, 123, 0][..], &ethernet(0x0800, packet)].concat();
                ethernet(0x0800, &ip(17, &udp(4789, &frame)))
            }),
        ),
        (
            "Geneve",
            Box::new(|packet| {
                let frame =
                    [&[0, 0, 0x65, 0x58, 0, 0, 1, 0][..], &ethernet(0x0800, packet)].concat();
                ethernet(0x0800, &ip(17, &udp(6081, &frame)))
            }),
        ),
        (
            "GRE",
            Box::new(|packet| {
                ethernet(0x0800, &ip(47, &[&[0x20, 0, 8, 0, 0, 0, 0, 9][..], packet].concat()))
            }),
        ),
        ("IP in IP", Box::new(|packet| ethernet(0x0800, &ip(4, packet)))),
        ("MPLS", Box::new(|packet| ethernet(0x8847, &[&[0, 1, 1, 64][..], packet].concat()))),
        (
            "PPPoE",
            Box::new(|packet| {
                ethernet(0x8864, &[&[0x11, 0, 0, 1, 0, 66, 0, 0x21][..], packet].concat())
            }),
        ),
    ];
    for (name, wrap) in tunnels {
        let wrapped: Vec<_> =
            packets(&talk(5, 900)).into_iter().map(|(at, bytes)| (at, wrap(&bytes))).collect();
        let text = text(&captured(scratch.path(), &wrapped, 1));
        assert!(text.contains(&format!("packets in tunnels: 13 in {name}\n")), "{name}: {text}");
        assert!(text.contains("5 requests echoed, on the wire min/p50/p90/p99/max = 900.0/"));
    }
    let other = vec![(0, ethernet(0x0806, &[0; 28])), (1, ethernet(0x0800, &ip(132, &[0; 20])))];
    let ended = run(["analyze", &captured(scratch.path(), &other, 1).to_string_lossy()]);
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stdout.contains("1 not IP (1 ARP), 1 not TCP (1 protocol 132)"), "{ended:?}");
    assert!(ended.stdout.contains("no TCP connection in it"), "{ended:?}");
}

#[test]
fn an_icmp_error_is_part_of_the_connections_story() {
    let scratch = Scratch::new();
    let mut all = packets(&talk(1, 10_000));
    let big = ipv4(&client(2_000_000, ACK, 1065, 5065, 1448), 0);
    for number in 0..3_u64 {
        let at = 2_000_000 + number * 300_000;
        let mut sent = big.clone();
        sent[5] = u8::try_from(number).unwrap() + 1;
        all.push((at, sent));
        let mut icmp = vec![0x45, 0, 0, 56, 0, 9, 0, 0, 64, 1, 0, 0, 10, 0, 0, 254, 10, 0, 0, 1];
        icmp.extend([3, 4, 0, 0, 0, 0, 5, 120]);
        icmp.extend(&big[..28]);
        all.push((at + 4_000, icmp));
    }
    let file = captured(scratch.path(), &all, 101);
    let told = text(&file);
    assert!(
        told.contains("of the client's packets: fragmentation needed, MTU 1400, from 10.0.0.254")
    );
    assert!(told.contains("(ICMP type 3 code 4), 3 times, first after 2.004000 s"), "{told}");
    assert!(analyzed(&file, &[]).stdout.contains(r#""icmp":[{"count":3,"#));
}

#[test]
fn one_direction_alone_is_said_to_be_one() {
    let scratch = Scratch::new();
    let mut segments = talk(3, 1000);
    segments.retain(|segment| segment.from_client);
    let told = text(&written(scratch.path(), "capture.pcap", &segments));
    assert!(told.contains("one direction only: the server's packets are not in the capture"));
    assert!(told.contains("handshake: its answer is not in the capture"), "{told}");
}

#[test]
fn what_is_left_out_is_counted_and_the_slowest_are_shown() {
    let scratch = Scratch::new();
    let mut segments = handshake();
    for number in 0..600_u32 {
        let at = 1_000_000 + u64::from(number) * 100_000;
        let (own, back) = (1001 + 64 * number, 5001 + 64 * number);
        let rtt = if number == 300 { 7_000 } else { 1_000 };
        segments.push(client(at, PSH | ACK, own, back, 64));
        segments.push(server(at + rtt, PSH | ACK, back, own + 64, 64));
        segments.push(client(at + rtt + 10, ACK, own + 64, back + 64, 0));
        if (100..500).contains(&number) {
            segments.push(client(at + rtt + 20, ACK, own + 64, back + 64, 0));
        }
    }
    let file = written(scratch.path(), "capture.pcap", &segments);
    let told = text(&file);
    assert!(told.contains(" and 200 out of it, counted below, but for these"), "{told}");
    let name = file.to_string_lossy().into_owned();
    let told = run(["analyze", &name, "--slowest", "1"]).stdout;
    let table = told.split("the slowest:").nth(1).expect("a table");
    assert!(table.contains("301    7000.0 us  nothing was sent again"), "{table}");
    assert_eq!(table.trim().lines().count(), 2, "{table}");
    assert!(!run(["analyze", &name, "--slowest", "0"]).stdout.contains("the slowest:"));
}

#[test]
fn a_compressed_capture_names_the_command_that_unpacks_it() {
    let scratch = Scratch::new();
    for (bytes, command) in [
        (&[0x1f, 0x8b, 8, 0][..], "zcat"),
        (&[0x28, 0xb5, 0x2f, 0xfd], "zstdcat"),
        (b"BZh9", "bzcat"),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], "xzcat"),
    ] {
        let file = scratch.path().join("capture.pcap.gz");
        fs::write(&file, bytes).unwrap();
        let ended = run(["analyze", &file.to_string_lossy()]);
        assert_eq!(ended.status, 2, "{ended:?}");
        assert!(
            ended.stderr.contains(&format!("{command} FILE | echotest analyze -")),
            "{ended:?}"
        );
    }
}

#[test]
fn a_capture_without_times_tells_none() {
    let block = |kind: u32, mut body: Vec<u8>| {
        body.resize(body.len().next_multiple_of(4), 0);
        let length = u32::try_from(body.len() + 12).unwrap().to_le_bytes();
        [&kind.to_le_bytes()[..], &length, &body, &length].concat()
    };
    let section = [&[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..], &[0xff; 8]].concat();
    let mut file = [block(0x0a0d_0d0a, section), block(1, vec![101, 0, 0, 0, 0, 0, 0, 0])].concat();
    for (_, bytes) in packets(&talk(3, 1000)) {
        let length = u32::try_from(bytes.len()).unwrap().to_le_bytes().to_vec();
        file.extend(block(3, [length, bytes].concat()));
    }
    let scratch = Scratch::new();
    let name = scratch.path().join("capture.pcapng");
    fs::write(&name, file).unwrap();
    let told = text(&name);
    assert!(told.contains("the file has no times for 9 packets"), "{told}");
    assert!(told.contains("  3 requests echoed\n"), "{told}");
    assert!(!told.contains(" us") && !told.contains("1970"), "{told}");
}

#[test]
fn ctrl_c_ends_the_capture_and_not_the_analysis() {
    let scratch = Scratch::new();
    let file = written(scratch.path(), "capture.pcap", &talk(5, 1000));
    let mut command = echotest();
    command.args(["analyze", "-"]).stdin(std::process::Stdio::piped());
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("echotest");
    let mut pipe = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut pipe, &fs::read(file).unwrap()).unwrap();
    let id = child.id().to_string();
    // Its handler is there once it reads.
    let caught = || {
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|m| m & 2 > 0)
    };
    crate::common::eventually("it heeds Ctrl-C", caught);
    let signal = Process::start(std::process::Command::new("kill").args(["-INT", &id])).finish();
    assert_eq!(signal.status, 0, "{signal:?}");
    drop(pipe);
    let output = child.wait_with_output().expect("its end");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && told.contains("5 requests echoed"), "{told}");
}
