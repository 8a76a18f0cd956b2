//! Sessions that outlive their server, senders behind translators, and the text
//! clients of `TinyTwamp`.

use std::io::Write;
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use crate::common::{Process, Server, echotest, eventually, have, heard, run, twamp_control};
use crate::server;

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a time-out");
    socket
}

#[test]
fn a_session_that_has_gone_with_its_server_is_opened_anew() {
    let first = server(&[]);
    let port = first.port();
    let mut command = echotest();
    command.args(["twamp", "127.0.0.1", &port, "-c", "0", "-i", "0.1", "-W", "0.5", "--no-files"]);
    let client = Process::start(&mut command);
    eventually("replies", || client.stdout().contains("packet 5: "));
    first.process.signal("TERM");
    first.stop();
    eventually("the end is told", || client.stderr().contains("the session has ended with it"));
    let mut again = echotest();
    again.args(["server", "twamp", "--port", &port, "--bind", "127.0.0.1"]);
    let second = Server::from(&mut again);
    eventually("a new session", || client.stderr().contains("a new session stands after"));
    let told = client.stdout().lines().count();
    eventually("replies again", || {
        client.stdout().lines().skip(told).filter(|line| line.contains("rtt")).count() > 5
    });
    client.signal("INT");
    let ended = client.finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(second.stop().stderr.contains("twamp session begins"));
}

/// A session of our own hand: what is asked for, then Start-Sessions; the port to
/// send to, and the connection that keeps it.
fn session(server: &Server, sender_port: u16) -> (u16, TcpStream) {
    let mut control = twamp_control(server);
    let mut request = vec![0; 112];
    request[0] = 5;
    request[1] = 4;
    request[12..14].copy_from_slice(&sender_port.to_be_bytes());
    request[67] = 27;
    request[79] = 2;
    control.write_all(&request).expect("room");
    let answer = heard(&mut control, 48);
    assert_eq!(answer[0], 0, "{answer:?}");
    let mut start = vec![0; 32];
    start[0] = 2;
    control.write_all(&start).expect("room");
    assert_eq!(heard(&mut control, 32)[0], 0);
    (u16::from_be_bytes([answer[2], answer[3]]), control)
}

#[test]
fn the_first_port_behind_a_translator_is_the_senders() {
    let server = server(&[]);
    let (inside, outside, other) = (socket(), socket(), socket());
    let (port, _control) = session(&server, inside.local_addr().unwrap().port());
    let mut packet = [0; 44];
    packet[13] = 1;
    for from in [&outside, &outside] {
        from.send_to(&packet, ("127.0.0.1", port)).unwrap();
        from.recv(&mut [0; 99]).expect("a reply");
    }
    other.send_to(&packet, ("127.0.0.1", port)).unwrap();
    assert!(other.recv(&mut [0; 99]).is_err(), "a second port is a stranger's");
    let log = server.stop().stderr;
    let said = format!("packets come from port {}", outside.local_addr().unwrap().port());
    assert!(log.contains(&said), "{log}");
}

#[test]
fn both_text_clients_get_what_they_can_read_and_results_get_nothing() {
    let server = server(&[]);
    let mut bytes = [0; 200];
    let mut ask = |text: &[u8]| {
        let from = socket();
        from.send_to(text, server.address).unwrap();
        from.recv(&mut bytes).ok().map(|count| bytes[..count].to_vec())
    };
    assert_eq!(ask(b"TWAMP test message").as_deref(), Some(&b"TWAMP test message"[..]));
    let later = ask(b"Timestamp: 2026-11-25T03:10:44Z").expect("a reply");
    assert!(later.starts_with(b"Round-trip time: unknown"), "{later:?}");
    assert!(later.len() <= 31);
    assert_eq!(ask(b"Timestamp: ").expect("a reply").len(), 11, "never longer");
    assert_eq!(ask(b"Round-trip time: 20ms"), None);
    let log = server.stop().stderr;
    let result =
        "Test result for client [127.0.0.1]: Round-trip time received: Round-trip time: 20ms";
    assert!(log.contains(result), "{log}");
}

#[test]
fn packets_without_a_checksum_are_reflected_over_ipv6() {
    if !have("python3") {
        return;
    }
    let mut command = echotest();
    command.args(["server", "twamp", "--port", "0", "--bind", "::1"]);
    let server = Server::from(&mut command);
    let script = "
import socket, sys
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
u.settimeout(2)
u.setsockopt(17, 101, 1)
u.setsockopt(17, 102, 1)
u.sendto(bytes(13) + b'\\x01' + bytes(30), ('::1', int(sys.argv[1])))
print(len(u.recv(2048)))
";
    let mut python = std::process::Command::new("python3");
    let ended = Process::start(python.args(["-c", script, &server.port()])).finish();
    assert_eq!(ended.stdout, "44\n", "{ended:?}");
    // And it serves ordinary ones.
    let ended = run(["twamp", "::1", &server.port(), "-c", "2", "-i", "0.01", "--no-files"]);
    assert_eq!(ended.status, 0, "{ended:?}");
}
