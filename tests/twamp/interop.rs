//! Both ways round with an implementation that knows nothing of ours.

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
