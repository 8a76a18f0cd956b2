//! Both ways round with an implementation that knows nothing of ours.

use std::net::UdpSocket;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Ended, Process, figure, have, run};
use crate::{Foreign, foreign, reference, server};

fn ours(port: &str, more: &[&str]) -> Ended {
    let client = ["twamp", "127.0.0.1", port, "-c", "20", "-i", "0.005", "-W", "0.5"];
    run(client.iter().chain(&["--no-files", "--json"]).chain(more))
}

fn against_quirk(quirk: &str) -> (Ended, Foreign) {
    let quirk: &[&str] = if quirk.is_empty() { &[] } else { &["--quirk", quirk] };
    let server = foreign(&[&["server"], quirk].concat());
    (ours(&server.port, &[]), server)
}

#[test]
fn our_client_copes_with_servers_as_they_are_in_the_field() {
    if !have("python3") {
        return;
    }
    for quirk in ["", "pad", "pieces", "modes", "other-port", "zero-address", "short-38"] {
        let (ended, server) = against_quirk(quirk);
        assert_eq!(ended.status, 0, "{quirk}: {ended:?}");
        let json = &ended.stdout;
        assert_eq!(figure(json, "packets.received"), Some(20.0), "{quirk}: {json}");
        assert_eq!(figure(json, "twamp.untrue_times"), Some(0.0), "{quirk}: {json}");
        // A busy machine may say that it stood still, and nothing else.
        let others = ended.stderr.lines().filter(|line| !line.contains("this host"));
        assert_eq!(others.count(), 0, "{quirk}: {ended:?}");
        assert_eq!(server.deviations(), Vec::<String>::new(), "{quirk}");
    }
    let (ended, _) = against_quirk("close-early");
    assert_eq!(figure(&ended.stdout, "packets.received"), Some(20.0), "{ended:?}");
}

#[test]
fn extensions_that_are_asked_for_come_back_and_are_told() {
    if !have("python3") {
        return;
    }
    for (answers, bytes) in [(true, 0), (false, 200)] {
        let reflector: &[&str] = if answers { &["--answer-tlvs"] } else { &[] };
        let reflector = foreign(&[&["light-reflector"], reflector].concat());
        let padding = (30 + bytes).to_string();
        let all = ["--light", "--dscp", "EF", "--stamp-tlv", "all", "--padding", &padding];
        let ended = ours(&reflector.port, &all);
        assert_eq!(ended.status, 0, "{ended:?}");
        assert_eq!(reflector.deviations(), Vec::<String>::new());
        let json = &ended.stdout;
        // 44, and what RFC 8972 gives each; padding is as long as it was asked to be.
        let size = 44.0 + f64::from(4 + bytes + 48 + 8 + 8 + 16 + 8 + 20);
        assert_eq!(figure(json, "config.size"), Some(size), "{json}");
        let told = |place: usize, key: &str| figure(json, &format!("extensions.{place}.{key}"));
        for place in 0..7 {
            assert_eq!(told(place, "replies"), Some(20.0), "{place}: {json}");
            let unknown = if answers || place == 0 { 0.0 } else { 20.0 };
            assert_eq!(told(place, "unrecognized"), Some(unknown), "{place}: {json}");
        }
        let seen = json.contains("\"destination\":\"127.0.0.1\",\"source\":\"127.0.0.1\"")
            || json.contains("\"source\":\"127.0.0.1\",\"destination\":\"127.0.0.1\"");
        assert_eq!(seen, answers, "{json}");
        if !answers {
            continue;
        }
        assert_eq!(told(1, "destination_port").map(|port| port.to_string()), Some(reflector.port));
        for (place, key, number) in [
            (2, "in_source", 5.0),
            (2, "out_method", 2.0),
            (3, "asked_dscp", 46.0),
            (3, "arrived_dscp", 10.0),
            (3, "arrived_ecn", 1.0),
            (3, "refused", 1.0),
            (4, "sender_sent", 20.0),
            (4, "reflector_received", 20.0),
            (4, "reflector_sent", 19.0),
            (5, "malformed", 20.0),
            (5, "integrity_failed", 20.0),
            (6, "sequence", 18.0),
            (6, "method", 2.0),
        ] {
            assert_eq!(told(place, key), Some(number), "{key}: {json}");
        }
    }
    let refused = ours("1", &["--stamp-tlv", "cos"]);
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.stderr.contains("--stamp-tlv needs --light"), "{refused:?}");
}

#[test]
fn a_reflector_that_opens_its_port_late_loses_nothing_where_its_time_is_given() {
    let reserved = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = reserved.local_addr().expect("an address");
    let port = address.port().to_string();
    let client = ["twamp", "127.0.0.1", &port, "--light", "-c", "5", "-i", "0.01", "--no-files"];
    let before = Instant::now();
    let mut command = crate::common::echotest();
    drop(reserved);
    let client = Process::start(command.args(client).args(["--start-delay", "3", "--json"]));
    thread::sleep(Duration::from_millis(300));
    let late = UdpSocket::bind(address).expect("the port again");
    let opened = before.elapsed();
    late.set_read_timeout(Some(Duration::from_secs(10))).expect("a patience");
    let mut packet = [0; 100];
    for _ in 0..5 {
        let (_, from) = late.recv_from(&mut packet).expect("a packet");
        let [number, time, error] = [&packet[..4], &packet[4..12], &packet[12..14]];
        let reply = [number, time, error, &[0; 2], time, number, time, error, &[0, 0, 255]];
        late.send_to(&reply.concat(), from).expect("a reply");
    }
    let ended = client.finish();
    if opened < Duration::from_secs(3) {
        assert_eq!(figure(&ended.stdout, "packets.received"), Some(5.0), "{ended:?}");
        assert!(!ended.stderr.contains("nothing listens"), "{ended:?}");
    }
}

#[test]
fn a_server_that_wants_no_session_is_named_in_one_line_with_its_reason() {
    if !have("python3") {
        return;
    }
    for (quirk, said) in [
        ("no-open-mode", "modes with keys alone"),
        ("mode-zero", "offers no mode"),
        ("accept-4", "permanent limit"),
        ("accept-5", "temporary limit"),
        ("server-start-1", "refused without a reason"),
        ("close-after-greeting", "closed the connection before its Server-Start"),
        ("close-after-setup", "closed the connection before its Server-Start"),
    ] {
        let (ended, _) = against_quirk(quirk);
        assert_eq!((ended.status, ended.stdout.lines().count()), (1, 1), "{quirk}: {ended:?}");
        assert!(ended.stdout.contains("\"error\":"), "{quirk}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{quirk}: {ended:?}");
        assert!(ended.stderr.contains(said), "{quirk}: {ended:?}");
    }
}

#[test]
fn odd_replies_are_counted_for_what_they_are() {
    if !have("python3") {
        return;
    }
    let of = |quirk, path| figure(&against_quirk(quirk).0.stdout, path).unwrap_or(f64::NAN);
    assert!((18.0..=20.0).contains(&of("duplicate", "twamp.duplicates")));
    assert!((9.0..=10.0).contains(&of("reorder", "twamp.reordered")));
    assert!((of("swap-times", "twamp.untrue_times") - 20.0).abs() < 0.1);
    let (ended, _) = against_quirk("swap-times");
    assert!(ended.stdout.contains("untrue_reflector_times"), "{ended:?}");
    // Each fourth is lost; a copy of the last packet tells of that one too.
    for (quirk, lost, not_lost) in [
        ("drop-inbound=4", "twamp.lost.inbound", "twamp.lost.outbound"),
        ("drop-outbound=4", "twamp.lost.outbound", "twamp.lost.inbound"),
    ] {
        let (ended, _) = against_quirk(quirk);
        let json = &ended.stdout;
        assert_eq!(figure(json, "packets.lost"), Some(5.0), "{json}");
        assert_eq!(figure(json, lost), Some(5.0), "{json}");
        assert_eq!(figure(json, not_lost), Some(0.0), "{json}");
        assert_eq!(figure(json, "twamp.lost.unknown"), Some(0.0), "{json}");
    }
}

#[test]
fn the_time_that_a_reflector_holds_packets_is_no_part_of_the_round_trip() {
    if !have("python3") {
        return;
    }
    let (ended, _) = against_quirk("slow=40");
    let json = &ended.stdout;
    let p50 = |object: &str| figure(json, &format!("{object}.p50")).unwrap();
    assert!(p50("reflector_us") >= 40_000.0, "{json}");
    assert!(p50("rtt_us") < 20_000.0, "{json}");
}

#[test]
fn nanoseconds_where_the_fraction_belongs_are_noticed() {
    if !have("python3") {
        return;
    }
    let server = foreign(&["server", "--quirk", "nanos-fraction"]);
    let client = ["twamp", "127.0.0.1", &server.port, "-c", "30", "-i", "0.05", "--no-files"];
    let ended = run(client);
    assert!(ended.stdout.contains("writes nanoseconds"), "{ended:?}");
}

fn strict(arguments: &[&str]) {
    let ended = Process::start(&mut reference(arguments)).finish();
    assert_eq!(ended.status, 0, "{arguments:?}: {ended:?}");
}

#[test]
fn a_strict_foreign_client_finds_nothing_wrong_with_our_server() {
    if !have("python3") {
        return;
    }
    let server = server(&[]);
    let port = server.port();
    let client = |more: &[&str]| strict(&[&["client", "127.0.0.1", &port], more].concat());
    client(&["--count", "20"]);
    client(&["--sessions", "3", "--second-round", "--zero-address", "--stop-count-zero"]);
    client(&["--stop-count-swapped", "--padding", "0", "--pieces"]);
    client(&["--padding", "1400", "--random-padding", "--ttl", "64"]);
    // No reply before Start-Sessions nor after the wait that follows the stop.
    client(&["--silence"]);
    client(&["--ask-port", "29871"]);
}

#[test]
fn what_is_not_spoken_here_is_refused_in_the_protocols_own_words() {
    if !have("python3") {
        return;
    }
    let server = server(&[]);
    let port = server.port();
    for (more, said) in [
        (["--mode", "2"], "Server-Start accept 1"),
        (["--mode", "0"], "ended before Server-Start"),
        (["--command", "1"], "Accept-Session accept 3"),
        (["--command", "6"], "Accept-Session accept 3"),
    ] {
        let arguments = [&["client", "127.0.0.1", &port][..], &more].concat();
        let ended = Process::start(&mut reference(&arguments)).finish();
        assert_eq!(ended.status, 1, "{more:?}: {ended:?}");
        assert!(ended.stderr.contains(said), "{more:?}: {ended:?}");
    }
}

#[test]
fn light_and_stamp_senders_find_nothing_wrong_with_our_reflector() {
    if !have("python3") {
        return;
    }
    let server = server(&[]);
    let port = server.port();
    let sender = |more: &[&str]| strict(&[&["light-sender", "127.0.0.1", &port], more].concat());
    sender(&["--count", "20"]);
    sender(&["--random-padding", "--length", "200"]);
    sender(&["--stamp", "--ssid", "0x1234"]);
    sender(&["--stamp", "--tlv", "200:0102", "--tlv", "1:00ff", "--length", "300", "--ttl", "9"]);
    strict(&["tinytwamp-client", "127.0.0.1", &port]);
    let log = server.stop().stderr;
    assert!(log.contains("Received test packet from [127.0.0.1]: \"TWAMP test message\""), "{log}");
    assert!(log.contains("Sent response to [127.0.0.1]"), "{log}");
}

#[test]
fn our_light_client_agrees_with_foreign_reflectors() {
    if !have("python3") {
        return;
    }
    for stateless in [&[][..], &["--stateless"]] {
        let reflector = foreign(&[&["light-reflector"], stateless].concat());
        let ended = ours(&reflector.port, &["--light", "--send-result", "--padding", "100"]);
        assert_eq!(figure(&ended.stdout, "packets.received"), Some(20.0), "{ended:?}");
        assert_eq!(reflector.deviations(), Vec::<String>::new());
    }
}
