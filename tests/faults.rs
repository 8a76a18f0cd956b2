//! Peers that are late, wrong, silent, hostile or gone, on both sides.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests use std's sockets, clock and threads"
)]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Process, Row, Scratch, Server, client, eventually, figure, have, packet, peer, run};

fn pause(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}

/// An echo peer that calls `before` with each packet's number, from 1.
fn echo_peer(before: impl Fn(u32, &mut Vec<u8>) + Send + Sync + 'static) -> SocketAddr {
    peer(move |mut stream, _| {
        let mut number = 0;
        while let Some(mut bytes) = packet(&mut stream, 64) {
            number += 1;
            before(number, &mut bytes);
            if stream.write_all(&bytes).is_err() {
                return;
            }
        }
    })
}

#[test]
fn a_reply_two_timeouts_late_is_late_and_the_next_are_right() {
    for pace in ["0.1", "0"] {
        let late = echo_peer(|number, _| pause(if number == 3 { 700 } else { 0 }));
        let run = client(late, &["-c", "12", "-i", pace, "-W", "0.35", "--json"]);
        let rtts: Vec<f64> = run.rows.iter().filter_map(Row::rtt_ms).collect();
        assert_eq!(rtts.len(), 12, "{:?}", run.ended);
        assert!(rtts[0] < 100.0 && rtts[1] < 100.0, "-i {pace}: {rtts:?}");
        assert!((700.0..900.0).contains(&rtts[2]), "-i {pace}: {rtts:?}");
        assert!(rtts[11] < 100.0, "-i {pace}: {rtts:?}");
        assert!(figure(&run.ended.stdout, "packets.late").unwrap() >= 1.0);
        assert_eq!(figure(&run.ended.stdout, "packets.lost"), Some(0.0));
        assert_eq!(figure(&run.ended.stdout, "connections.drops"), Some(0.0));
        assert!(run.log.contains("packet 3: no reply after 0.35"), "{}", run.log);
    }
}

#[test]
fn one_altered_byte_is_corrupt_and_exit_1_if_nothing_else_came() {
    let altering = echo_peer(|_, bytes| bytes[40] ^= 1);
    let run = client(altering, &["-c", "1", "--json"]);
    assert_eq!(run.ended.status, 1, "{:?}", run.ended);
    let json = &run.ended.stdout;
    assert_eq!(figure(json, "packets.corrupt"), Some(1.0), "{json}");
    assert_eq!(figure(json, "packets.received"), Some(0.0), "{json}");
    assert_eq!((run.rows.len(), run.rows[0].rtt.as_str()), (1, ""));
    assert_eq!(run.rows[0].received_ns, None);
    assert!(run.log.contains("TCP CONNECTION DROP: the reply to packet 1"), "{}", run.log);
}

#[test]
fn a_corrupt_reply_drops_the_connection_and_the_next_one_is_good() {
    let connections = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&connections);
    let first_bad = peer(move |mut stream, number| {
        count.fetch_add(1, Ordering::Relaxed);
        while let Some(mut bytes) = packet(&mut stream, 64) {
            bytes[0] ^= u8::from(number == 1);
            let _ = stream.write_all(&bytes);
        }
    });
    let run = client(first_bad, &["-c", "6", "-i", "0.1", "--json"]);
    let json = &run.ended.stdout;
    assert_eq!(run.ended.status, 0, "{json}");
    assert_eq!(figure(json, "packets.corrupt"), Some(1.0), "{json}");
    assert_eq!(figure(json, "connections.established"), Some(2.0), "{json}");
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

#[test]
fn bytes_nobody_asked_for_are_a_drop() {
    let talkative = peer(|mut stream, _| {
        let bytes = packet(&mut stream, 64).unwrap_or_default();
        let _ = stream.write_all(&[&bytes[..], b"and more"].concat());
        pause(2000);
    });
    let run = client(talkative, &["-c", "3", "-i", "0.3", "--no-reconnect"]);
    assert_eq!(run.rows.len(), 1, "{:?}", run.ended);
    assert!(run.rows[0].rtt_us().is_some());
    assert!(run.log.contains("never asked for"), "{}", run.log);
}

#[test]
fn replies_in_pieces_and_several_at_once_are_whole_replies() {
    let pieces = echo_peer(|_, _| {});
    assert_eq!(client(pieces, &["-c", "3", "-i", "0.01"]).ended.status, 0);
    let crumbling = peer(|mut stream, _| {
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..count]);
            // Keeps two packets back, then gives everything in odd pieces.
            if bytes.len() >= 3 * 64 {
                for piece in bytes.chunks(37) {
                    let _ = stream.write_all(piece);
                    pause(1);
                }
                bytes.clear();
            }
        }
    });
    let run = client(crumbling, &["-c", "9", "-i", "0.02"]);
    assert_eq!(run.rows.iter().filter(|row| row.rtt_us().is_some()).count(), 9, "{:?}", run.ended);
}

#[test]
fn packets_due_during_an_outage_are_lost_on_time_and_have_their_rows() {
    let server = Server::start(&[]);
    let address = server.address;
    let scratch = Scratch::new();
    let mut command = common::echotest();
    common::client_command(&mut command, address, &scratch, &["-c", "80", "-i", "0.05", "--json"]);
    let process = Process::start(&mut command);
    pause(500);
    // Killed outright: the connection is reset, connecting is refused.
    server.process.signal("KILL");
    drop(server);
    pause(700);
    let port = address.port().to_string();
    let mut again = common::echotest();
    let again = Server::from(again.args(["server", "--bind", "127.0.0.1", "-p", &port]));
    let run = common::left(process.finish(), &scratch);
    drop(again);
    let json = &run.ended.stdout;
    assert_eq!(run.rows.len(), 80, "{json}");
    let lost: Vec<&Row> = run.rows.iter().filter(|row| row.rtt.is_empty()).collect();
    assert!(lost.len() >= 10, "{} lost, {json}", lost.len());
    assert!(json.contains(&format!("\"lost\":{},", lost.len())), "{json}");
    assert_eq!(figure(json, "connections.drops"), Some(1.0), "{json}");
    assert!(figure(json, "connections.outage_s").unwrap() > 0.5, "{json}");
    let start = run.rows[0].sent_ns;
    for row in &run.rows {
        let due = start + i64::try_from(row.number - 1).unwrap() * 50_000_000;
        let off = row.sent_ns - due;
        assert!((-2_000_000..45_000_000).contains(&off), "packet {} is {off} ns off", row.number);
    }
    assert!(run.log.contains("ERROR TCP CONNECTION DROP: "), "{}", run.log);
    assert!(run.log.contains("reconnect attempt 1 from "), "{}", run.log);
    assert!(run.rows[79].rtt_us().is_some(), "the last packet went over the new connection");
}

#[test]
fn without_reconnecting_the_first_drop_is_the_end() {
    let closing = peer(|mut stream, _| {
        let bytes = packet(&mut stream, 64).unwrap_or_default();
        let _ = stream.write_all(&bytes);
    });
    let run = client(closing, &["-c", "50", "-i", "0.05", "--no-reconnect"]);
    assert_eq!(run.ended.status, 0, "{:?}", run.ended);
    assert!(run.rows.len() <= 2, "{} rows", run.rows.len());
    assert!(run.ended.stderr.contains("closed by the peer"), "{:?}", run.ended);
}

#[test]
fn replies_that_came_before_the_close_still_count() {
    let closing = peer(|mut stream, number| {
        for _ in 0..3 {
            let bytes = packet(&mut stream, 64).unwrap_or_default();
            let _ = stream.write_all(&bytes);
        }
        if number == 1 {
            let _ = stream.shutdown(Shutdown::Both);
        }
    });
    let run = client(closing, &["-c", "3", "-i", "0.01"]);
    assert_eq!(run.rows.iter().filter(|row| row.rtt_us().is_some()).count(), 3, "{:?}", run.ended);
}

#[test]
fn a_peer_that_accepts_and_closes_at_once_is_not_hammered() {
    let connections = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&connections);
    let full = peer(move |stream, _| {
        count.fetch_add(1, Ordering::Relaxed);
        drop(stream);
    });
    let run = client(full, &["-w", "2", "-i", "0.1"]);
    assert_eq!(run.ended.status, 1, "{:?}", run.ended);
    let connections = connections.load(Ordering::Relaxed);
    assert!((2..12).contains(&connections), "{connections} connections in two seconds");
}

#[test]
fn a_peer_that_never_reads_is_silence_and_not_a_hang() {
    let deaf = peer(|stream, _| {
        pause(20_000);
        drop(stream);
    });
    let run = client(deaf, &["-s", "8M", "-c", "2", "-i", "0.1", "-W", "0.4"]);
    assert_eq!(run.ended.status, 1, "{:?}", run.ended);
    assert!(run.ended.took < Duration::from_secs(8), "{:?}", run.ended.took);
    assert_eq!(run.rows.len(), 2);
}

// --- Servers that are not ours ---

#[test]
fn foreign_echo_servers_are_measured_alike() {
    if !(have("ncat") && have("python3") && have("xinetd")) {
        return;
    }
    let scratch = Scratch::new();
    for (name, mut command, port) in foreign_servers(&scratch) {
        let _process = Process::start(&mut command);
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        eventually(name, || TcpStream::connect(address).is_ok());
        let run = client(address, &["-c", "20", "-i", "0.01", "-s", "1000"]);
        let received = run.rows.iter().filter(|row| row.rtt_us().is_some()).count();
        assert_eq!((run.ended.status, received), (0, 20), "{name}: {:?}", run.ended);
    }
}

/// A port that nobody had a moment ago, outside the range that port 0 takes
/// from, so that no other test gets it meanwhile.
fn quiet_port(offset: u32) -> u16 {
    u16::try_from(12_000 + (std::process::id() * 7 + offset) % 15_000).unwrap_or(12_345)
}

fn foreign_servers(scratch: &Scratch) -> Vec<(&'static str, Command, u16)> {
    let [ncat, python, xinetd] = [0, 1, 2].map(quiet_port);
    let mut ncat_command = Command::new("ncat");
    let port = ncat.to_string();
    ncat_command.args(["-l", "127.0.0.1", &port, "-k", "--exec", "/bin/cat"]);
    let mut python_command = Command::new("python3");
    let script = format!(
        "import socketserver as s\n\
         class E(s.StreamRequestHandler):\n\
         \x20   def handle(self):\n\
         \x20       while (d := self.request.recv(4096)): self.request.sendall(d)\n\
         s.ThreadingTCPServer.daemon_threads = True\n\
         s.ThreadingTCPServer(('127.0.0.1', {python}), E).serve_forever()"
    );
    python_command.args(["-c", &script]);
    let config = scratch.path().join("xinetd.conf");
    let service = format!(
        "service echo\n{{\ntype = INTERNAL UNLISTED\nid = echo-stream\nsocket_type = stream\n\
         protocol = tcp\nuser = root\nwait = no\nport = {xinetd}\nbind = 127.0.0.1\n}}\n"
    );
    std::fs::write(&config, service).expect("a configuration");
    let mut xinetd_command = Command::new("xinetd");
    xinetd_command.arg("-dontfork").arg("-f").arg(&config);
    xinetd_command.arg("-pidfile").arg(scratch.path().join("xinetd.pid"));
    vec![
        ("ncat", ncat_command, ncat),
        ("python", python_command, python),
        ("xinetd", xinetd_command, xinetd),
    ]
}

// --- Our server and hard clients ---

#[test]
fn a_foreign_client_gets_its_line_back() {
    if !have("nc") {
        return;
    }
    let server = Server::start(&[]);
    let script = format!("printf 'hello\\nworld\\n' | nc -N 127.0.0.1 {}", server.port());
    let ended = Process::start(Command::new("sh").args(["-c", &script])).finish();
    assert_eq!((ended.status, ended.stdout.as_str()), (0, "hello\nworld\n"), "{ended:?}");
}

#[test]
fn ten_megabytes_sent_before_reading_come_back_when_read() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    let sent: Vec<u8> = (0..=250).cycle().take(10_000_000).collect();
    let mut writer = stream.try_clone().unwrap();
    let bytes = sent.clone();
    // What fits goes at once; the rest when the reader below makes room.
    let sender = thread::spawn(move || {
        writer.write_all(&bytes).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    pause(300);
    let other = run(["client", "127.0.0.1", &server.port(), "--message", "still there?"]);
    assert_eq!(other.stdout, "Received: still there?\n");
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    sender.join().unwrap();
    assert!(received == sent, "{} bytes of {}", received.len(), sent.len());
    eventually("the session's line", || server.process.stderr().contains("10000000 bytes"));
}

#[test]
fn a_half_closed_connection_gets_all_its_bytes() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    stream.write_all(b"the end").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut received = String::new();
    stream.read_to_string(&mut received).unwrap();
    assert_eq!(received, "the end");
}

#[test]
fn resets_and_scans_leave_the_server_up() {
    let server = Server::start(&[]);
    for _ in 0..200 {
        let stream = server.connect();
        let _ = (&stream).write(&[0xff; 3000]);
        // Closing with unread echoes resets the connection.
        drop(stream);
    }
    let ended = run(["client", "127.0.0.1", &server.port(), "--message", "up"]);
    assert_eq!(ended.stdout, "Received: up\n");
}

#[test]
fn limits_close_one_client_more_at_once_and_say_so() {
    let server = Server::start(&["--max-clients", "3", "--max-per-host", "2"]);
    let mut seated = [server.connect(), server.connect()];
    for stream in &mut seated {
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
    let mut refused = server.connect();
    let ended = refused.read(&mut [0]);
    assert!(matches!(&ended, Ok(0)) || ended.is_err(), "{ended:?}");
    eventually("the refusal is logged", || server.process.stderr().contains("--max-per-host"));
    drop(seated);
    eventually("the seats are free again", || {
        run(["client", "127.0.0.1", &server.port(), "--message", "in"]).status == 0
    });
}

#[test]
fn a_crowd_that_is_refused_fills_no_log() {
    let server = Server::start(&["--max-clients", "1"]);
    let mut seated = server.connect();
    seated.write_all(b"x").unwrap();
    seated.read_exact(&mut [0]).unwrap();
    for _ in 0..300 {
        let _ = server.connect().read(&mut [0]);
    }
    let refusals = || server.process.stderr().matches("refused").count();
    eventually("a refusal is logged", || refusals() > 0);
    let lines = refusals();
    assert!((1..20).contains(&lines), "{lines} lines for 300 refusals");
}

#[test]
fn a_silent_client_is_closed_after_the_idle_timeout() {
    let server = Server::start(&["--idle-timeout", "0.3"]);
    let mut stream = server.connect();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let began = Instant::now();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    let took = began.elapsed();
    assert!((0.25..3.0).contains(&took.as_secs_f64()), "{took:?}");
    eventually("the reason is logged", || server.process.stderr().contains("idle for too long"));
}

#[test]
fn sigterm_gives_open_sessions_two_seconds_and_ends_them() {
    let server = Server::start(&[]);
    let mut stream = server.connect();
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let address = server.address;
    server.process.signal("TERM");
    eventually("new clients are refused", || TcpStream::connect(address).is_err());
    stream.write_all(b"y").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    let ended = server.process.finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    let took = ended.took.as_secs_f64();
    assert!((1.0..4.0).contains(&took), "{took} s");
    assert!(ended.stderr.contains("the server is stopping"), "{ended:?}");
    let end = stream.read(&mut [0]);
    assert!(matches!(end, Ok(0)) || end.is_err(), "{end:?}");
}

#[test]
fn without_sessions_sigterm_ends_at_once() {
    let ended = Server::start(&[]).stop();
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.took < Duration::from_millis(1500), "{:?}", ended.took);
}

#[test]
fn running_out_of_descriptors_costs_no_client_and_no_processor() {
    if !have("prlimit") {
        return;
    }
    let mut command = Command::new("prlimit");
    command.arg("--nofile=24:24").arg(env!("CARGO_BIN_EXE_echotest"));
    let server = Server::from(command.args(["server", "--bind", "127.0.0.1", "-p", "0"]));
    let mut crowd: Vec<TcpStream> = (0..60).map(|_| server.connect()).collect();
    pause(1500);
    let log = server.process.stderr();
    assert!(log.contains("cannot accept"), "{log}");
    assert!(log.matches("cannot accept").count() < 10, "{log}");
    // Those that wait in the kernel's queue are served when there is room.
    crowd.drain(..50);
    let last = crowd.last_mut().unwrap();
    last.write_all(b"patience").unwrap();
    let mut bytes = [0; 8];
    last.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"patience");
}

#[test]
fn two_thousand_clients_at_once_each_get_their_own_bytes() {
    let server = Server::start(&["--max-clients", "3000", "--max-per-host", "3000"]);
    // This process's own limit may be lower than that.
    let mut streams = Vec::new();
    for number in 0_u32..2000 {
        match TcpStream::connect(server.address) {
            Ok(mut stream) => {
                stream.write_all(&number.to_le_bytes()).unwrap();
                streams.push((number, stream));
            }
            Err(error) if error.kind() == ErrorKind::Other || error.raw_os_error() == Some(24) => {
                common::skipped(&format!("beyond {number} clients: {error}"));
                break;
            }
            Err(error) => panic!("client {number}: {error}"),
        }
    }
    assert!(streams.len() >= 500, "{} clients", streams.len());
    for (number, stream) in &mut streams {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).unwrap();
        assert_eq!(u32::from_le_bytes(bytes), *number);
    }
}
