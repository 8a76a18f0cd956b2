//! TCP ping: ours against ours, against the exercise's own client and server, and
//! across a router that says why it does not deliver.
#![allow(clippy::disallowed_methods, reason = "tests use std's sockets and clock")]

mod common;
#[path = "ping/errors.rs"]
mod errors;
#[path = "ping/names.rs"]
mod names;
#[path = "ping/routed.rs"]
mod routed;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    Ended, Process, Scratch, Server, echotest, eventually, figure, have, peer, root, run,
};

fn server(arguments: &[&str]) -> Server {
    let mut command = echotest();
    command.args(["server", "ping", "--port", "0", "--bind", "127.0.0.1"]);
    Server::from(command.args(arguments))
}

/// A client that writes no files.
fn client(address: SocketAddr, arguments: &[&str]) -> Command {
    let mut command = echotest();
    command.args(["ping", &address.ip().to_string(), &address.port().to_string(), "--no-files"]);
    command.args(arguments);
    command
}

fn ping(address: SocketAddr, arguments: &[&str]) -> Ended {
    Process::start(&mut client(address, arguments)).finish()
}

/// The numbers of the pings that were lost.
fn lost(ended: &Ended) -> Vec<u64> {
    let number = |line: &str| line.strip_prefix("Packet ")?.split_once(" lost: ")?.0.parse().ok();
    ended.stdout.lines().filter_map(number).collect()
}

/// Reads a request to its end.
fn request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while bytes.last() != Some(&b'\n') && matches!(stream.read(&mut byte), Ok(1)) {
        bytes.extend(byte);
    }
    String::from_utf8(bytes).expect("text")
}

// --- What is printed ---

#[test]
fn each_ping_and_the_figures_are_printed_as_the_exercise_does() {
    let server = server(&["--loss", "0"]);
    let ended = ping(server.address, &["-c", "3", "-i", "0.05"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    let mut rtts = Vec::new();
    for number in 1..=3 {
        let response = format!("Response received is: PING {number} 20");
        let rtt = format!("RTT (in milliseconds) of packet {number} is ");
        let [first, second] = lines[number * 2 - 1..][..2] else { panic!("{ended:?}") };
        assert!(first.starts_with(&response), "{ended:?}");
        // YYYY-MM-DD HH:MM:SS.ffffff
        assert_eq!(first.len(), response.len() + 24, "{first}");
        rtts.push(second.strip_prefix(&rtt).unwrap().to_owned());
    }
    rtts.sort_by(|one, other| one.parse::<f64>().unwrap().total_cmp(&other.parse().unwrap()));
    assert!(rtts.iter().all(|rtt| rtt.split_once('.').unwrap().1.len() == 6), "{rtts:?}");
    assert_eq!(lines[7], format!("Maximum RTT (in milliseconds) = {}", rtts[2]));
    assert_eq!(lines[8], format!("Minimum RTT (in milliseconds) = {}", rtts[0]));
    assert!(lines[9].starts_with("Average RTT (in milliseconds) = "), "{ended:?}");
    assert_eq!(lines[10], "Packet loss rate: 0.000000%");
    for figures in ["rtt p50/p90/p99/p99.9 = ", ", jitter ", "connect p50/p90/p99/p99.9 = "] {
        assert!(ended.stdout.contains(figures), "{figures}: {ended:?}");
    }
    assert!(!ended.stdout.contains("looked up"), "a number needs no look-up: {ended:?}");
}

#[test]
fn the_server_logs_each_message_and_what_it_answered() {
    let server = server(&["--loss", "50", "--seed", "1"]);
    let ended = ping(server.address, &["-c", "20", "-i", "0"]);
    let lost = lost(&ended).len();
    assert!((1..20).contains(&lost), "{ended:?}");
    assert!(ended.stdout.contains("lost: the server answered LOST; known after "), "{ended:?}");
    eventually("everything is logged", || {
        let log = server.process.stderr();
        log.matches("Message sent by client = ping ").count() == 20
            && log.matches(" from 127.0.0.1:").count() == 20
            && log.matches("Packet lost").count() == lost
            && log.matches("Response sent back = PING ").count() == 20 - lost
            && log.matches(" ping: 1 ping, ").count() == 20
    });
}

#[test]
fn the_files_hold_every_ping_and_the_figures() {
    let server = server(&["--loss", "50", "--seed", "1"]);
    let scratch = Scratch::new();
    let mut command = echotest();
    command.args(["ping", "127.0.0.1", &server.port(), "-c", "20", "-i", "0.01", "-v"]);
    let ended = Process::start(command.arg("--log-dir").arg(scratch.path())).finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    let csv = std::fs::read_to_string(common::file(scratch.path(), "_timings.csv")).unwrap();
    let header = format!(
        "{},address,connect_us,cause,known_after_us,icmp_type,icmp_code,icmp_from",
        common::HEADER
    );
    assert_eq!(csv.lines().next(), Some(header.as_str()));
    let rows = common::rows(&common::file(scratch.path(), "_timings.csv"));
    let lost = lost(&ended);
    assert!(!lost.is_empty() && rows.len() == 20, "{csv}");
    for row in rows {
        let [address, connect, cause, known_after, nothing @ ..] = &row.more[..] else {
            panic!("{row:?}")
        };
        assert!(connect.parse::<f64>().unwrap() > 0.0, "{row:?}");
        assert_eq!(address, "127.0.0.1");
        assert_eq!(nothing, ["", "", ""]);
        let was_lost = lost.contains(&row.number);
        assert_eq!(row.rtt_us().is_none(), was_lost, "{row:?}");
        assert_eq!(known_after.is_empty(), !was_lost, "{row:?}");
        assert_eq!(cause, if was_lost { "lost" } else { "" });
    }
    let log = std::fs::read_to_string(common::file(scratch.path(), ".log")).unwrap();
    assert!(common::file(scratch.path(), ".log").to_string_lossy().contains("echo_ping_"));
    for text in ["20 packets", "Response received is: PING ", "; RTT (in ", "connect p50/p90"] {
        assert!(log.contains(text), "{text}: {log}");
    }
    assert_eq!(log.matches(" lost: the server answered LOST").count(), lost.len(), "{log}");
}

#[test]
fn flows_have_ports_of_their_own_round_after_round() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let scratch = Scratch::new();
    let low = 20_000 + std::process::id() % 5_000;
    let ports = low.to_string();
    let mut command = echotest();
    command.args(["ping", "127.0.0.1", &address.port().to_string(), "--log-dir"]);
    command.arg(scratch.path()).args(["--connect", "--flows", "3", "--source-ports", &ports]);
    let client = Process::start(command.args(["-c", "4", "-i", "0.1"]));
    let mut seen = Vec::new();
    for _ in 0..12 {
        seen.push(u32::from(listener.accept().unwrap().1.port()));
    }
    let ended = client.finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(seen, [low, low + 1, low + 2].repeat(4), "each port is free again at once");
    let last = format!("packet 4 from port {} is ", low + 2);
    assert!(ended.stdout.contains(&last), "{ended:?}");
    let text = std::fs::read_to_string(common::file(scratch.path(), "_timings.csv")).unwrap();
    let columns = |line: &str| {
        let columns: Vec<&str> = line.split(',').collect();
        format!("{} {}", columns[0], columns[5])
    };
    let rounds: Vec<String> = text.lines().skip(1).map(columns).collect();
    assert_eq!(rounds[..4], ["1 1", "1 2", "1 3", "2 1"], "{text}");
    let ended = ping(address, &["--flows", "2"]);
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("--flows and --source-ports go with --connect"), "{ended:?}");
    // An interface that is there, and one that is not.
    let ended = ping(address, &["--connect", "-c", "1", "--interface", "lo"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    let ended = ping(address, &["--connect", "-c", "1", "--interface", "nowhere0"]);
    assert!(ended.stderr.contains("--interface nowhere0: this host has none such"), "{ended:?}");
}

#[test]
fn json_holds_request_and_connect_times_and_the_causes() {
    let server = server(&["--loss", "50", "--seed", "1"]);
    let ended = ping(server.address, &["-c", "20", "-i", "0", "--json"]);
    let json = &ended.stdout;
    assert_eq!(json.lines().count(), 1, "{json}");
    let lost = figure(json, "ping.causes.lost").unwrap();
    assert!(lost > 0.0 && figure(json, "packets.lost") == Some(lost), "{json}");
    for series in ["rtt_us", "ping.connect_us"] {
        let [least, median, most] = ["min", "p50", "max"]
            .map(|name| figure(json, &format!("{series}.{name}")).expect("a figure"));
        assert!(0.0 < least && least <= median && median <= most, "{json}");
    }
    assert!(json.contains("\"look_up_us\":null"), "{json}");
}

// --- Losses ---

#[test]
fn total_loss_is_exit_1_without_numbers_that_are_none() {
    let server = server(&["--loss", "100"]);
    let ended = ping(server.address, &["-c", "5", "-i", "0.01"]);
    assert_eq!((ended.status, lost(&ended).len()), (1, 5), "{ended:?}");
    assert!(ended.stdout.contains("Packet loss rate: 100.000000%"), "{ended:?}");
    assert!(ended.stdout.contains("Average RTT (in milliseconds) = -"), "{ended:?}");
    let json = ping(server.address, &["-c", "5", "-i", "0.01", "--json"]);
    assert_eq!(figure(&json.stdout, "packets.loss_percent"), Some(100.0), "{json:?}");
    for output in [&ended.stdout, &json.stdout] {
        let output = output.to_lowercase();
        assert!(!output.contains("nan") && !output.contains("inf"), "{output}");
    }
    if have("python3") {
        let mut command = Command::new("python3");
        command.args(["-c", "import json, sys; json.loads(sys.argv[1])", &json.stdout]);
        assert_eq!(Process::start(&mut command).finish().status, 0, "{json:?}");
    }
}

#[test]
fn no_loss_asked_for_is_none() {
    let server = server(&["--loss", "0"]);
    let ended = ping(server.address, &["-c", "500", "-i", "0"]);
    assert_eq!((ended.status, lost(&ended)), (0, vec![]), "{:?}", ended.stderr);
    assert!(ended.stdout.contains("500 packets sent, 500 received, 0 lost"));
}

#[test]
fn a_seed_repeats_its_losses_on_every_server() {
    let losses = |seed: &str| {
        let server = server(&["--loss", "20", "--seed", seed]);
        lost(&ping(server.address, &["-c", "200", "-i", "0"]))
    };
    let first = losses("1");
    assert_eq!(first, losses("1"));
    assert_ne!(first, losses("2"));
    assert!((15..=70).contains(&first.len()), "{} of 200", first.len());
}

#[test]
fn a_fifth_is_lost_where_nothing_else_is_asked_for() {
    let lost_of_2000 = |arguments: &[&str]| {
        let server = server(arguments);
        let ended = ping(server.address, &["-c", "2000", "-i", "0", "--json"]);
        figure(&ended.stdout, "ping.causes.lost").unwrap()
    };
    // The binomial band of 99.9 %: 400 ± 3.29 × √(2000 × 0.2 × 0.8).
    let seeded = lost_of_2000(&["--seed", "1"]);
    assert!((341.0..=459.0).contains(&seeded), "{seeded} of 2,000");
    // Left to chance, one run in a thousand is outside of it; of this band, one
    // in a billion.
    let random = lost_of_2000(&[]);
    assert!((290.0..=510.0).contains(&random), "{random} of 2,000");
}

// --- Nobody waits for anybody ---

#[test]
fn twenty_clients_at_once_do_not_wait_for_a_slow_one() {
    let server = server(&["--loss", "0"]);
    let mut slow = server.connect();
    slow.write_all(b"ping 1 never ends").unwrap();
    // One that stays in the middle of a message, and one that sends a byte at a
    // time.
    let mut slower = server.connect();
    let trickle = thread::spawn(move || {
        for byte in b"ping 77 at last\n" {
            slower.write_all(&[*byte]).expect("a server that reads");
            thread::sleep(Duration::from_millis(20));
        }
        let mut answer = [0; 16];
        slower.read_exact(&mut answer).expect("its answer");
        answer
    });
    let clients: Vec<Process> = (0..20)
        .map(|_| client(server.address, &["-c", "20", "-i", "0.02", "-W", "5", "--json"]))
        .map(|mut command| Process::start(&mut command))
        .collect();
    for one in clients {
        let ended = one.finish();
        assert_eq!(figure(&ended.stdout, "packets.received"), Some(20.0), "{ended:?}");
        let p50 = figure(&ended.stdout, "rtt_us.p50").unwrap();
        assert!(p50 < 200_000.0, "{p50} us");
    }
    assert_eq!(&trickle.join().unwrap(), b"PING 77 AT LAST\n");
}

#[test]
fn a_server_that_says_nothing_does_not_hold_up_the_schedule() {
    let silent = peer(|mut stream, _| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let scratch = Scratch::new();
    let mut command = echotest();
    command.args(["ping", "127.0.0.1", &silent.port().to_string(), "--log-dir"]);
    command.arg(scratch.path()).args(["-c", "10", "-i", "0.1", "-W", "0.5"]);
    let ended = Process::start(&mut command).finish();
    assert_eq!((ended.status, lost(&ended).len()), (1, 10), "{ended:?}");
    assert_eq!(ended.stdout.matches("timed out; known after ").count(), 10, "{ended:?}");
    let rows = common::rows(&common::file(scratch.path(), "_timings.csv"));
    for row in &rows {
        let known_after: f64 = row.more[3].parse().unwrap();
        assert!((499_000.0..900_000.0).contains(&known_after), "{row:?}");
    }
    // Had each waited for the one before it, this would be 4.5 s.
    let last = Duration::from_nanos((rows[9].sent_ns - rows[0].sent_ns).unsigned_abs());
    assert!((0.85..1.4).contains(&last.as_secs_f64()), "{last:?}");
}

#[test]
fn a_late_answer_is_nobody_elses() {
    let sluggish = peer(|mut stream, number| {
        let request = request(&mut stream);
        if number == 2 {
            thread::sleep(Duration::from_millis(700));
        }
        let _ = stream.write_all(request.to_uppercase().as_bytes());
    });
    let ended = ping(sluggish, &["-c", "6", "-i", "0.2", "-W", "0.4"]);
    assert_eq!((ended.status, lost(&ended)), (0, vec![2]), "{ended:?}");
    assert!(ended.stdout.contains("5 received, 1 lost (16.7% loss)"), "{ended:?}");
    assert!(ended.stdout.contains(" 0 corrupt"), "{ended:?}");
}

#[test]
fn ctrl_c_ends_it_with_the_figures() {
    let server = server(&["--loss", "0"]);
    let process = Process::start(&mut client(server.address, &["-i", "0.05"]));
    eventually("three pings", || process.stdout().matches("of packet ").count() >= 3);
    process.signal("INT");
    let ended = process.finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stdout.contains("Packet loss rate: 0.000000%\n---"), "{ended:?}");
    // It is also over at once where nobody answers, if asked a second time.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let arguments = ["-i", "0.05", "-W", "30"];
    let process = Process::start(&mut client(silent.local_addr().unwrap(), &arguments));
    thread::sleep(Duration::from_millis(300));
    process.signal("INT");
    thread::sleep(Duration::from_millis(100));
    process.signal("INT");
    let ended = process.finish();
    assert!(ended.took < Duration::from_secs(10), "{ended:?}");
    assert!(ended.stdout.contains("Packet 1 lost: the run ended first"), "{ended:?}");
    assert!(ended.stdout.contains("Packet loss rate: 100.000000%"), "{ended:?}");
}

// --- Answers that are none ---

#[test]
fn wrong_answers_are_corrupt() {
    for answer in ["NOPE\n", "ping 1 2024\n", "PING 99 2024-09-09 12:00:00.123456\n", "LOSE"] {
        let liar = peer(move |mut stream, _| {
            request(&mut stream);
            let _ = stream.write_all(answer.as_bytes());
        });
        let ended = ping(liar, &["-c", "2", "-i", "0.01"]);
        assert_eq!(ended.status, 1, "{answer}: {ended:?}");
        assert!(ended.stdout.contains("Packet 2 corrupt: "), "{answer}: {ended:?}");
        assert!(ended.stdout.contains("0 lost (100.0% loss), 0 late, 2 corrupt"), "{ended:?}");
        assert!(ended.stderr.contains(answer.trim()), "{ended:?}");
    }
}

#[test]
fn answers_may_come_in_pieces_and_with_or_without_a_line_end() {
    let pieces = peer(|mut stream, number| {
        stream.set_nodelay(true).expect("an option");
        let answer = request(&mut stream).to_uppercase();
        let answer = if number % 2 == 0 { &answer } else { answer.trim_end() };
        for byte in answer.as_bytes() {
            let _ = stream.write_all(&[*byte]);
            thread::sleep(Duration::from_micros(300));
        }
    });
    let ended = ping(pieces, &["-c", "6", "-i", "0.02"]);
    assert_eq!((ended.status, lost(&ended)), (0, vec![]), "{ended:?}");
}

#[test]
fn a_peer_that_closes_or_resets_has_its_own_words() {
    let closing = peer(|mut stream, _| {
        request(&mut stream);
    });
    let ended = ping(closing, &["-c", "1"]);
    let closed = "Packet 1 lost: closed by the peer without an answer; known after ";
    assert!(ended.status == 1 && ended.stdout.contains(closed), "{ended:?}");
    // Closing over bytes that nobody read resets.
    let resetting = peer(|mut stream, _| {
        let _ = stream.read(&mut [0; 3]);
    });
    let ended = ping(resetting, &["-c", "1"]);
    let reset = "Packet 1 lost: connection reset by the peer or something on the path; known";
    assert!(ended.status == 1 && ended.stdout.contains(reset), "{ended:?}");
}

#[test]
fn a_refusal_is_shown_with_its_round_trip_and_is_no_success() {
    // Nothing listens on port 1.
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    for more in [&[][..], &["--connect"]] {
        let ended = ping(nobody, &[&["-c", "2", "-i", "0.01"], more].concat());
        assert_eq!(ended.status, 1, "{ended:?}");
        let line = "Packet 2 lost: connection refused: the host answers, nothing listens on this \
                    port; RTT ";
        assert!(ended.stdout.contains(line), "{ended:?}");
        assert!(ended.stdout.contains("not received: 2 refused"), "{ended:?}");
    }
}

#[test]
fn connect_alone_needs_no_server_of_ours() {
    let foreign = TcpListener::bind("127.0.0.1:0").unwrap();
    let ended = ping(foreign.local_addr().unwrap(), &["--connect", "-c", "5", "-i", "0.01"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(ended.stdout.matches("RTT (in milliseconds) of packet ").count(), 5, "{ended:?}");
    assert!(!ended.stdout.contains("Response received"), "nothing was sent: {ended:?}");
    for stream in foreign.incoming().take(5) {
        let mut bytes = Vec::new();
        let _ = stream.unwrap().read_to_end(&mut bytes);
        assert_eq!(bytes, b"");
    }
}

#[test]
fn families_are_as_asked_for() {
    for (host, family) in [("127.0.0.1", "-6"), ("::1", "-4")] {
        let ended = run(["ping", host, family, "--no-files", "-c", "1"]);
        assert_eq!(ended.status, 2, "{ended:?}");
    }
    if TcpListener::bind("[::1]:0").is_err() {
        common::skipped("for want of IPv6");
        return;
    }
    let mut command = echotest();
    command.args(["server", "ping", "--bind", "::1", "-p", "0", "--loss", "0"]);
    let server = Server::from(&mut command);
    for arguments in [&["-c", "1"][..], &["-6", "-c", "1"], &["-c", "1", "--connect"]] {
        let ended = ping(server.address, arguments);
        assert_eq!(ended.status, 0, "{ended:?}");
        assert!(ended.stdout.contains("([::1]:"), "{ended:?}");
    }
}

#[test]
fn bad_arguments_are_refused() {
    for arguments in [
        &["ping", "h", "--re-resolve", "0"][..],
        &["ping", "h", "--timeout", "0"],
        &["ping", "h", "--size", "5"],
        &["server", "ping", "--loss", "101"],
        &["server", "ping", "--loss", "-1"],
        &["server", "ping", "--seed", "x"],
    ] {
        let ended = run(arguments);
        let option = arguments.iter().find(|argument| argument.starts_with("--")).unwrap();
        assert_eq!(ended.status, 2, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(option), "{arguments:?}: {ended:?}");
    }
}

// --- The exercise's own client and server ---

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

#[test]
fn the_exercises_client_is_served() {
    if !have("python3") {
        return;
    }
    // It sends no line end, and compares LOST letter for letter.
    for (loss, replies) in [("0", 10), ("100", 0)] {
        let server = server(&["--loss", loss]);
        let mut command = Command::new("python3");
        command.arg(script("seed_ping_client.py")).args(["127.0.0.1", &server.port(), "10"]);
        let ended = Process::start(&mut command).finish();
        assert_eq!(ended.status, 0, "{ended:?}");
        let responses = ended.stdout.matches("Response received is: PING ").count();
        assert_eq!(responses, replies, "{ended:?}");
        assert_eq!(ended.stdout.matches(" lost\n").count(), 10 - replies, "{ended:?}");
    }
}

#[test]
fn the_exercises_server_is_pinged() {
    if !have("python3") {
        return;
    }
    for (loss, received) in [("0", 20.0), ("1", 0.0)] {
        let mut command = Command::new("python3");
        command.arg(script("seed_ping_server.py")).args(["--loss", loss]);
        let process = Process::start(&mut command);
        eventually("the exercise's server listens", || process.stdout().contains('\n'));
        let port = process.stdout().trim_end().rsplit(':').next().unwrap().parse().unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let ended = ping(address, &["-c", "20", "-i", "0.01", "-W", "5", "--json"]);
        assert_eq!(figure(&ended.stdout, "packets.received"), Some(received), "{ended:?}");
        assert_eq!(figure(&ended.stdout, "packets.corrupt"), Some(0.0), "{ended:?}");
    }
}

// --- Under inetd ---

#[test]
fn each_client_of_an_inetd_has_a_server_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let inetd = thread::spawn(move || {
        for stream in listener.incoming().take(10) {
            let mut command = echotest();
            command.args(["server", "ping", "--inetd", "--loss", "30", "--seed", "7"]);
            command.stdin(OwnedFd::from(stream.expect("a connection")));
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            assert!(child.wait().unwrap().success());
        }
    });
    let ended = ping(address, &["-c", "10", "-i", "0", "-W", "10"]);
    inetd.join().unwrap();
    let standing = server(&["--loss", "30", "--seed", "7"]);
    let same = ping(standing.address, &["-c", "10", "-i", "0"]);
    assert!(!lost(&same).is_empty(), "{same:?}");
    assert_eq!(lost(&ended), lost(&same), "a seed needs no memory: {ended:?}");
}

#[test]
fn xinetd_serves_pings() {
    if !(have("xinetd") && root()) {
        return;
    }
    let scratch = Scratch::new();
    // Below the range that port 0 takes from.
    let port = 20_000 + u16::try_from(std::process::id() % 5_000).unwrap();
    let config = scratch.path().join("xinetd.conf");
    let service = format!(
        "service echotest\n{{\ntype = UNLISTED\nsocket_type = stream\nprotocol = tcp\n\
         port = {port}\nbind = 127.0.0.1\nwait = no\nuser = root\ninstances = 500\n\
         per_source = 500\ncps = 10000 1\nflags = NODELAY\n\
         server = {}\nserver_args = server ping --inetd --loss 0 --log-file /dev/null\n}}\n",
        env!("CARGO_BIN_EXE_echotest")
    );
    std::fs::write(&config, service).unwrap();
    let mut command = Command::new("xinetd");
    command.args(["-dontfork", "-f"]).arg(&config);
    command.arg("-pidfile").arg(scratch.path().join("xinetd.pid"));
    let _xinetd = Process::start(&mut command);
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    eventually("xinetd listens", || TcpStream::connect(address).is_ok());
    let ended = ping(address, &["-c", "20", "-i", "0.01", "-W", "5"]);
    assert_eq!((ended.status, lost(&ended)), (0, vec![]), "{ended:?}");
}

#[test]
fn a_message_without_a_line_end_is_answered_when_nothing_follows_or_the_peer_closes() {
    let server = server(&["--loss", "0"]);
    for close in [false, true] {
        let mut stream = server.connect();
        stream.write_all(b"ping 1 x").unwrap();
        if close {
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let began = Instant::now();
        let mut answer = [0; 8];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"PING 1 X");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}
