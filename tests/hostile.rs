//! Strangers on our servers: what they may not take, cause or have answered.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests use std's sockets and clock, and say what they leave out"
)]

mod common;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use common::{Process, Scratch, Server, echotest, have, heard, peer, root, twamp_control};

/// Whether a test packet from this socket is reflected.
fn is_answered(from: &UdpSocket, reflector: SocketAddr) -> bool {
    from.set_read_timeout(Some(Duration::from_millis(700))).expect("a timeout");
    from.send_to(&[0; 44], reflector).expect("sent");
    match from.recv(&mut [0; 2048]) {
        Ok(_) => true,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_service_that_answers_anything_starts_no_endless_exchange() {
    let server = Server::start(&["twamp"]);
    let ordinary = UdpSocket::bind("127.0.0.1:0").expect("a port");
    assert!(is_answered(&ordinary, server.address));
    if !root() {
        return;
    }
    // Chargen, daytime, quote of the day, time: whichever is free.
    let low = [19, 13, 17, 37].iter().find_map(|port| UdpSocket::bind(("127.0.0.1", *port)).ok());
    let low = low.expect("one of four low ports is free");
    assert!(!is_answered(&low, server.address));
    assert!(is_answered(&ordinary, server.address), "others are served on");
}

#[test]
fn what_is_sent_to_all_is_answered_by_none() {
    if !(root() && have("ip")) {
        return;
    }
    let name = format!("ethb{}", std::process::id());
    let ip = |arguments: &str| {
        let done = Command::new("ip").args(arguments.split(' ')).status().expect("ip");
        assert!(done.success(), "ip {arguments}");
    };
    ip(&format!("netns add {name}"));
    let inside = |command: &mut Command| {
        command.args(["netns", "exec", &name]);
    };
    ip(&format!("-n {name} link set lo up"));
    ip(&format!("-n {name} link add d0 type veth peer name d1"));
    ip(&format!("-n {name} link set d1 up"));
    ip(&format!("-n {name} addr add 10.203.0.1/24 brd 10.203.0.255 dev d0"));
    ip(&format!("-n {name} link set d0 up"));
    let mut command = Command::new("ip");
    inside(&mut command);
    command.args([env!("CARGO_BIN_EXE_echotest"), "server", "twamp", "--bind", "0.0.0.0"]);
    let server = Process::start(command.args(["--port", "862"]));
    common::eventually("it listens", || server.stderr().contains("listening"));
    let ask = "import socket,sys
u=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); u.settimeout(1)
u.setsockopt(socket.SOL_SOCKET,socket.SO_BROADCAST,1); u.bind(('10.203.0.1',0))
for to in sys.argv[1:]:
    u.sendto(bytes(44),(to,862))
    try: u.recv(99); print(to)
    except OSError: pass";
    let mut command = Command::new("ip");
    inside(&mut command);
    command.args(["python3", "-c", ask, "10.203.0.255", "10.203.0.1"]);
    let asked = if have("python3") { Some(Process::start(&mut command).finish()) } else { None };
    server.signal("TERM");
    drop(server);
    ip(&format!("netns del {name}"));
    if let Some(asked) = asked {
        assert_eq!(asked.stdout, "10.203.0.1\n", "{asked:?}");
    }
}

#[test]
fn a_flood_of_pings_does_not_fill_the_disk() {
    let scratch = Scratch::new();
    let log = scratch.path().join("log");
    let server = Server::start(&["ping", "--loss", "0", "--log-file", log.to_str().expect("text")]);
    let mut stream = server.connect();
    let mut reader = stream.try_clone().expect("a handle");
    let reading = thread::spawn(move || while matches!(reader.read(&mut [0; 8192]), Ok(1..)) {});
    let mut message = vec![0xff; 1024];
    message[1023] = b'\n';
    let (began, mut sent) = (Instant::now(), 0_u64);
    while began.elapsed() < Duration::from_secs(1) {
        stream.write_all(&message).expect("sent");
        sent += 1;
    }
    drop(stream.shutdown(std::net::Shutdown::Both));
    reading.join().expect("a reader");
    let grown = fs::metadata(&log).expect("a log").len();
    assert!(sent > 1000, "{sent} messages");
    assert!(grown < 300_000, "{grown} bytes of log for {sent} messages");
}

#[test]
fn a_stranger_does_not_choose_which_udp_ports_are_taken() {
    let server = Server::start(&["twamp"]);
    let mut control = twamp_control(&server);
    for (wanted, had) in [(51820_u16, false), (4500, false), (18_765, true)] {
        let mut request = vec![0; 112];
        (request[0], request[1]) = (5, 4);
        request[14..16].copy_from_slice(&wanted.to_be_bytes());
        request[79] = 2;
        control.write_all(&request).expect("sent");
        let answer = heard(&mut control, 48);
        assert_eq!(answer[0], 0, "accepted");
        let port = u16::from_be_bytes([answer[2], answer[3]]);
        assert!((18_760..=19_960).contains(&port), "{port} for {wanted}");
        assert!(had || port != wanted, "{port}");
    }
}

#[test]
fn a_strangers_bytes_are_no_orders_to_a_terminal() {
    if !have("script") {
        return;
    }
    let address = peer(|mut stream, _| {
        let _ = stream.read(&mut [0; 99]);
        let _ = stream.write_all(b"\x1b]0;o\x07\x1b[2");
    });
    let (binary, port) = (env!("CARGO_BIN_EXE_echotest"), address.port());
    let line = format!("{binary} client 127.0.0.1 {port} --message 123456789");
    let mut command = Command::new("script");
    let ended = Process::start(command.args(["-qec", &line, "/dev/null"])).finish();
    assert!(ended.stdout.contains("Received: "), "{ended:?}");
    assert!(!ended.stdout.contains('\x1b'), "{ended:?}");
    // A held pid file may be anybody's.
    let scratch = Scratch::new();
    let pid_file = scratch.path().join("pid");
    let mut file = fs::File::create(&pid_file).expect("a file");
    file.write_all(format!("\x1b[2J{}", "A".repeat(100_000)).as_bytes()).expect("written");
    file.lock().expect("a lock");
    let pid_file = pid_file.to_str().expect("text");
    let ended = common::run(["server", "--port", "0", "--pid-file", pid_file]);
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(!ended.stderr.contains('\x1b') && ended.stderr.len() < 500, "{}", ended.stderr.len());
}

#[test]
fn strangers_are_closed_unread_by_every_server() {
    for service in ["echo", "measure", "ping", "twamp"] {
        let start = |network: &str| {
            let mut command = echotest();
            command.args(["server", service, "--port", "0", "--bind", "127.0.0.1"]);
            if service == "ping" {
                command.args(["--loss", "0"]);
            }
            Server::from(command.args(["--allow", "fd00::/8", "--allow", network]))
        };
        let server = start("10.0.0.0/8");
        let mut stream = server.connect();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let heard = stream.read(&mut [0; 64]);
        assert!(heard.is_err() || heard.is_ok_and(|count| count == 0), "{service}");
        if service == "twamp" {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
            socket.send_to(&[0; 44], server.address).unwrap();
            assert!(socket.recv(&mut [0; 64]).is_err(), "a stranger's packet was reflected");
        }
        let log = server.stop().stderr;
        assert!(log.contains("refused: not among those of --allow"), "{service}: {log}");
        let server = start("127.0.0.0/8");
        let port = server.port();
        let commands: &[&str] = match service {
            "echo" => &["client", "127.0.0.1", &port, "-c", "2", "-i", "0.01", "--no-files"],
            "measure" => &["measure", "127.0.0.1", &port, "--type", "rtt", "-s", "1", "-c", "2"],
            "ping" => &["ping", "127.0.0.1", &port, "-c", "2", "-i", "0.01", "--no-files"],
            _ => &["twamp", "127.0.0.1", &port, "-c", "2", "-i", "0.01", "--no-files"],
        };
        let scratch = Scratch::new();
        let ended = Process::start(echotest().args(commands).current_dir(scratch.path())).finish();
        assert_eq!(ended.status, 0, "{service}: {ended:?}");
    }
    let ended = common::run(["server", "--allow", "10.0.0.0/33"]);
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("a network such as 10.0.0.0/8"), "{ended:?}");
}

/// How long honest clients wait is the machine's business here, which is everybody at
/// once; `scripts/soak.sh` looks at that too.
#[test]
fn honest_clients_lose_nothing_beside_attackers_of_every_kind() {
    if !(root() && have("ip") && have("python3")) {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/soak.py");
    let mut command = Command::new("python3");
    command.args([script, "--binary", env!("CARGO_BIN_EXE_echotest"), "--seconds", "4"]);
    let ended = Process::start(&mut command).finish();
    let broken: Vec<&str> = ended
        .stdout
        .lines()
        .filter(|line| line.starts_with("BROKEN") && !line.contains(": p99 "))
        .collect();
    assert!(broken.is_empty() && ended.stdout.contains("honest"), "{ended:?}");
}
