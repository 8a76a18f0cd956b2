//! A reflector faces the internet: strangers, floods, spoofed neighbours.

use std::fs;
use std::io::Read;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Process, Server, echotest, eventually, figure, run};
use crate::server;

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a time-out");
    socket
}

/// Marsaglia's xorshift: bytes without a pattern, the same in every run.
fn noise(state: &mut u64, bytes: &mut [u8]) {
    for byte in bytes {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *byte = state.to_le_bytes()[3];
    }
}

fn resident_kib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.process.child.id()));
    let status = status.expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

#[test]
fn no_reply_is_longer_than_its_packet_or_the_shortest_there_can_be() {
    let server = server(&[]);
    let socket = socket();
    let mut state = 88_172_645_463_325_252;
    let mut bytes = [0; 2048];
    let mut answered = 0;
    for round in 0..400_usize {
        let length = round * 5 % 1500;
        noise(&mut state, &mut bytes[..length]);
        if round % 3 == 0 {
            bytes[..length].fill(0);
        }
        socket.send_to(&bytes[..length], server.address).unwrap();
        if length < 14 {
            continue;
        }
        let count = socket.recv(&mut bytes).expect("an answer to anything that may be a packet");
        assert_eq!(count, length.max(41));
        answered += 1;
    }
    assert!(answered > 300);
    // What is too short for a packet had no answer.
    assert!(socket.recv(&mut bytes).is_err());
}

#[test]
fn a_flood_of_noise_costs_no_memory_and_no_session_its_replies() {
    let server = Arc::new(server(&[]));
    let before = resident_kib(&server);
    let over = Arc::new(AtomicBool::new(false));
    let flood = {
        let (server, over) = (Arc::clone(&server), Arc::clone(&over));
        thread::spawn(move || {
            let mut state = 0x1234_5678_9abc_def1;
            let mut bytes = [0; 1400];
            let mut sent = 0_u64;
            while !over.load(Ordering::Relaxed) {
                // From ever new ports, so that each datagram is a stranger's.
                let socket = socket();
                for _ in 0..16 {
                    let length = usize::from(bytes[0]) * 5;
                    noise(&mut state, &mut bytes);
                    let _ = socket.send_to(&bytes[..length], server.address);
                    sent += 1;
                }
            }
            sent
        })
    };
    let client = ["twamp", "127.0.0.1", &server.port(), "-c", "300", "-i", "0.005"];
    let ended = run(client.iter().chain(&["-W", "5", "--no-files", "--json"]));
    over.store(true, Ordering::Relaxed);
    let sent = flood.join().expect("the flood");
    assert!(sent > 5000, "{sent} datagrams are no flood");
    let json = &ended.stdout;
    assert_eq!(figure(json, "packets.received"), Some(300.0), "{json}");
    let grown = resident_kib(&server).saturating_sub(before);
    // The table of senders is bounded at 4096 of about 100 bytes.
    assert!(grown < 3000, "{grown} KiB more after {sent} datagrams");
    let lines = server.process.stderr().lines().count();
    assert!(lines < 60, "{lines} lines in the log");
}

#[test]
fn two_reflectors_cannot_be_made_to_talk_to_each_other() {
    let server = server(&[]);
    // A neighbour on the reflector's own port, of another address.
    let port = server.address.port();
    let neighbour = UdpSocket::bind(("127.0.0.2", port)).expect("the same port elsewhere");
    neighbour.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut bytes = [0; 2048];
    // What a sender on that port sends in STAMP's form is answered …
    let mut packet = [0; 44];
    packet[..14].copy_from_slice(&[0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    neighbour.send_to(&packet, server.address).unwrap();
    let count = neighbour.recv(&mut bytes).expect("a reply");
    // … and what a reflector there would send back is not.
    neighbour.send_to(&bytes[..count], server.address).unwrap();
    assert!(neighbour.recv(&mut bytes).is_err(), "a reply was answered");
    let text = b"TWAMP test message";
    neighbour.send_to(text, server.address).unwrap();
    let count = neighbour.recv(&mut bytes).expect("a text for a text");
    neighbour.send_to(&bytes[..count], server.address).unwrap();
    assert!(neighbour.recv(&mut bytes).is_err(), "an answering text was answered");
}

#[test]
fn a_reply_from_any_port_ends_the_conversation() {
    let (one, other) = (server(&[]), server(&[]));
    // Stands between two reflectors on different ports and brings each what the
    // other said.
    let relay = socket();
    for first in [
        vec![1; 14],
        [[1; 14].to_vec(), vec![7; 486]].concat(),
        vec![0; 60],
        b"TWAMP\0\0\0".repeat(9),
    ] {
        let mut bytes = first.clone();
        let mut hops = 0;
        for server in [&one, &other].into_iter().cycle() {
            relay.send_to(&bytes, server.address).unwrap();
            bytes.resize(2048, 0);
            let Ok(length) = relay.recv(&mut bytes) else { break };
            bytes.truncate(length);
            hops += 1;
            assert!(hops < 5, "{} bytes go to and fro", first.len());
        }
        assert!(hops > 0, "{} bytes are not answered at all", first.len());
    }
}

#[test]
fn results_by_the_thousand_do_not_fill_the_log() {
    let server = server(&[]);
    let socket = socket();
    // STAMP's base, and the extension of type 253 with 32 bytes.
    let mut packet = vec![0; 44];
    packet.extend([0x80, 253, 0, 32]);
    packet.extend([0; 32]);
    for _ in 0..2000 {
        socket.send_to(&packet, server.address).unwrap();
        socket.send_to(b"Round-trip time: 20ms", server.address).unwrap();
    }
    let log = server.stop().stderr;
    let results = log.matches("Test result for client").count();
    assert!((1..100).contains(&results), "{results} lines of 4000");
}

#[test]
fn strangers_packets_are_not_reflected_by_a_session() {
    let server = server(&["--test-ports", "29900-29910"]);
    let mut command = echotest();
    command.args(["twamp", "127.0.0.1", &server.port(), "-c", "100", "-i", "0.01", "--no-files"]);
    let client = Process::start(&mut command);
    eventually("the session has begun", || server.process.stderr().contains("to port 299"));
    // Who comes first from the client's address may be the client, behind a translator.
    thread::sleep(Duration::from_millis(300));
    let stranger = socket();
    for port in 29900..=29910_u16 {
        stranger.send_to(&[0; 44], ("127.0.0.1", port)).unwrap();
    }
    assert!(stranger.recv(&mut [0; 64]).is_err());
    let ended = client.finish();
    assert!(ended.stdout.contains("100 received"), "{ended:?}");
    eventually("the session has ended", || server.process.stderr().contains("twamp session ends"));
    let log = server.process.stderr();
    assert!(log.contains("100 packets reflected, 1 not reflected"), "{log}");
}

#[test]
fn one_sender_has_no_more_answered_than_its_rate() {
    let server = server(&["--max-rate", "100"]);
    let socket = socket();
    for _ in 0..1000 {
        socket.send_to(&[0; 44], server.address).unwrap();
    }
    let answered = (0..1000).take_while(|_| socket.recv(&mut [0; 64]).is_ok()).count();
    assert!((100..200).contains(&answered), "{answered}");
    let log = server.stop().stderr;
    assert!(log.contains("more packets a second than allowed"), "{log}");
    assert!(log.lines().count() < 12, "{log}");
}

#[test]
fn who_never_finishes_control_is_dropped_after_the_wait() {
    let server = server(&["--idle-timeout", "0.5"]);
    // One says nothing, one drips byte by byte.
    let mut silent = server.connect();
    let mut dripping = server.connect();
    let began = Instant::now();
    let drip = thread::spawn(move || {
        use std::io::Write;
        let mut drips = 0;
        while dripping.write_all(&[0]).is_ok() && drips < 600 {
            thread::sleep(Duration::from_millis(50));
            drips += 1;
        }
        drips
    });
    let mut greeting = Vec::new();
    silent.read_to_end(&mut greeting).expect("greeting, then the end");
    assert_eq!(greeting.len(), 64);
    assert!(began.elapsed() >= Duration::from_millis(450), "{:?}", began.elapsed());
    let drips = drip.join().expect("the dripping client");
    assert!(drips < 60, "{drips} bytes were waited for");
}

#[test]
fn sessions_have_limits_and_what_is_refused_is_said() {
    let server = server(&["--max-sessions", "2"]);
    let start = || {
        let mut command = echotest();
        let port = server.port();
        command.args(["twamp", "127.0.0.1", &port, "-c", "0", "-i", "0.05", "--no-files"]);
        Process::start(&mut command)
    };
    let held = [start(), start()];
    eventually("two sessions", || server.process.stderr().matches("session begins").count() == 2);
    let refused = start().finish();
    assert_eq!(refused.status, 1, "{refused:?}");
    assert!(refused.stderr.contains("temporary limit"), "{refused:?}");
    eventually("the server's word", || server.process.stderr().contains("temporary limit"));
    for client in held {
        client.signal("INT");
        assert_eq!(client.finish().status, 0);
    }
    eventually("the seats are free", || {
        server.process.stderr().matches("twamp session ends").count() == 2
    });
    let client = ["twamp", "127.0.0.1", &server.port(), "-c", "1", "--no-files"];
    assert_eq!(run(client).status, 0);
}

#[test]
fn a_session_that_stays_silent_is_ended() {
    let server = server(&["--ref-wait", "0.5"]);
    let mut command = echotest();
    command.args(["twamp", "127.0.0.1", &server.port(), "-c", "2", "-i", "3", "--no-files"]);
    let client = Process::start(&mut command);
    eventually("the session has ended", || server.process.stderr().contains("silent for too long"));
    assert!(client.finish().stdout.contains("1 received, 1 lost"));
}
