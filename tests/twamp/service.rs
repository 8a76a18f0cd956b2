//! The server as a service: many clients, activation, rights, addresses.

use std::process::Command;

use crate::common::{Process, Server, echotest, eventually, figure, have, root, run};
use crate::server;

#[test]
fn two_hundred_sessions_at_once_all_get_their_replies() {
    let server = server(&[]);
    let port = server.port();
    let clients: Vec<Process> = (0..200)
        .map(|_| {
            let mut command = echotest();
            command.args(["twamp", "127.0.0.1", &port, "-c", "20", "-i", "0.1", "-W", "5"]);
            Process::start(command.args(["--no-files", "--json"]))
        })
        .collect();
    for client in clients {
        let ended = client.finish();
        // What fell due while this host stood still is told, and not sent.
        let [sent, received, skipped] = ["packets.sent", "packets.received", "packets.skipped"]
            .map(|name| figure(&ended.stdout, name).unwrap_or_else(|| panic!("{ended:?}")));
        assert!((received - sent).abs() < 0.5 && sent > 9.5, "{ended:?}");
        assert!((sent + skipped - 20.0).abs() < 0.5, "{ended:?}");
    }
}

#[test]
fn a_server_that_stops_tells_the_end_of_every_session() {
    let server = server(&[]);
    let port = server.port();
    let clients = [&[][..], &["--light"]].map(|mode| {
        let mut command = echotest();
        command.args(["twamp", "127.0.0.1", &port, "-w", "20", "-i", "0.1", "--no-files"]);
        Process::start(command.args(mode))
    });
    for client in &clients {
        eventually("packets are reflected", || client.stdout().contains("packet 4:"));
    }
    server.process.signal("TERM");
    eventually("it has stopped", || server.process.stderr().contains(" stopped, "));
    let log = server.stop().stderr;
    for kind in [" twamp session ends: ", " light session ends: "] {
        let count = log.split(kind).nth(1).and_then(|rest| rest.split(' ').next());
        let count: u64 = count.unwrap_or_else(|| panic!("{kind}: {log}")).parse().unwrap();
        assert!(count >= 4, "{log}");
    }
    assert!(log.trim_end().lines().last().unwrap().contains(" stopped, "), "{log}");
    for client in clients {
        client.signal("INT");
        assert_eq!(client.finish().status, 0);
    }
}

#[test]
fn ipv6_and_ipv4_are_served_on_one_port_and_replies_leave_from_where_packets_went() {
    let mut command = echotest();
    let server = Server::from(command.args(["server", "twamp", "--port", "0"]));
    let port = server.port();
    for host in ["::1", "127.0.0.1", "127.0.0.33"] {
        for mode in [&[][..], &["--light"]] {
            let client = ["twamp", host, &port, "-c", "5", "-i", "0.01", "--no-files", "--json"];
            let ended = run(client.iter().chain(mode));
            assert_eq!(figure(&ended.stdout, "packets.received"), Some(5.0), "{host}: {ended:?}");
        }
    }
}

#[test]
fn link_local_addresses_keep_their_scope_on_both_sides() {
    if !(root() && have("unshare") && have("nsenter") && have("ip")) {
        return;
    }
    let script = "
unshare --net sleep 30 &
peer=$!
until [ \"$(readlink /proc/$peer/ns/net)\" != \"$(readlink /proc/self/ns/net)\" ]; do sleep 0.01; done
inside() { nsenter --net=/proc/$peer/ns/net \"$@\"; }
ip link add v1 type veth peer name v2 netns $peer
ip addr add fe80::1/64 dev v1 nodad
ip link set v1 up
inside ip addr add fe80::2/64 dev v2 nodad
inside ip link set v2 up
nsenter --net=/proc/$peer/ns/net \"$1\" server twamp &
server=$!
trap 'kill $peer $server' EXIT
inside \"$1\" ping ::1 862 --connect -c 1 -W 5 -q 2>/dev/null || sleep 1
\"$1\" twamp fe80::2%v1 -c 3 -i 0.01 --no-files --json
";
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_echotest")]);
    let ended = Process::start(&mut command).finish();
    assert_eq!(figure(&ended.stdout, "packets.received"), Some(3.0), "{ended:?}");
}

#[test]
fn any_free_port_is_the_same_for_tcp_and_udp_on_every_address() {
    let mut command = echotest();
    command.args(["server", "twamp", "--port", "0", "--bind", "127.0.0.1", "--bind", "127.0.0.2"]);
    let server = Server::from(&mut command);
    eventually("it listens", || server.process.stderr().matches("twamp light").count() == 2);
    let log = server.stop().stderr;
    let ports = |kind: &str| -> Vec<String> {
        let lines = log.lines().filter(|line| line.contains(kind));
        lines.filter_map(|line| line.split_whitespace().nth(4).map(str::to_owned)).collect()
    };
    assert_eq!(ports("(twamp)"), ports("(UDP"), "{log}");
}

#[test]
fn ports_of_test_sessions_keep_to_their_range_on_both_sides() {
    let server = server(&["--test-ports", "29920-29929"]);
    let port = server.port();
    for _ in 0..3 {
        let client = ["twamp", "127.0.0.1", &port, "-c", "1", "--no-files", "--json"];
        let ended = run(client.iter().chain(&["--test-ports", "29930-29939"]));
        assert_eq!(ended.status, 0, "{ended:?}");
        assert!(ended.stdout.contains("\"address\":\"127.0.0.1:2992"), "{ended:?}");
    }
    let log = server.stop().stderr;
    assert_eq!(log.matches("from 127.0.0.1:2993").count(), 3, "{log}");
}

#[test]
fn without_the_right_to_its_port_it_says_how_to_get_it() {
    if !(root() && have("setpriv")) {
        return;
    }
    let binary = env!("CARGO_BIN_EXE_echotest");
    // Only where low ports need a right at all, and in a namespace of its own.
    let line = format!(
        "sysctl -qw net.ipv4.ip_unprivileged_port_start=1024; ip link set lo up; \
         exec setpriv --reuid 65534 --clear-groups --bounding-set=-all --inh-caps=-all \
         '{binary}' server twamp"
    );
    let mut command = Command::new("unshare");
    let ended = Process::start(command.args(["--net", "sh", "-c", &line])).finish();
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("setcap") && ended.stderr.contains("--port"), "{ended:?}");
}

#[test]
fn sockets_of_both_kinds_are_taken_from_the_service_manager() {
    if !have("python3") {
        return;
    }
    let binary = env!("CARGO_BIN_EXE_echotest");
    let script = "
import os, socket, sys
tcp = socket.create_server(('127.0.0.1', 0))
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(tcp.getsockname())
# Above the two first, so that neither is closed by taking the other's place.
spare = [os.dup2(s.fileno(), 20 + n, False) for n, s in enumerate((tcp, udp))]
os.closerange(3, 20)
for number, fd in enumerate(spare):
    os.dup2(fd, 3 + number)
os.environ.update(LISTEN_FDS='2', LISTEN_PID=str(os.getpid()))
os.execv(sys.argv[1], [sys.argv[1], 'server', *sys.argv[2:]])
";
    let mut command = Command::new("python3");
    let server = Server::from(command.args(["-c", script, binary, "twamp"]));
    for mode in [&[][..], &["--light"]] {
        let client = ["twamp", "127.0.0.1", &server.port(), "-c", "3", "-i", "0.01"];
        let ended = run(client.iter().chain(&["--no-files", "--json"]).chain(mode));
        assert_eq!(figure(&ended.stdout, "packets.received"), Some(3.0), "{ended:?}");
    }
    let mut command = Command::new("python3");
    let echo = Process::start(command.args(["-c", script, binary, "echo"])).finish();
    assert_eq!(echo.status, 2, "{echo:?}");
    assert!(echo.stderr.contains("UDP socket was passed"), "{echo:?}");
}

#[test]
fn a_stopping_server_ends_its_sessions_and_says_so() {
    let server = server(&[]);
    let mut command = echotest();
    command.args(["twamp", "127.0.0.1", &server.port(), "-c", "0", "-i", "0.02", "-W", "0.3"]);
    let client = Process::start(command.arg("--no-files"));
    eventually("a session", || server.process.stderr().contains("session begins"));
    let log = server.stop();
    assert_eq!(log.status, 0, "{log:?}");
    assert!(log.stderr.contains("twamp: 1 test session in"), "{log:?}");
    client.signal("INT");
    let ended = client.finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stdout.contains("packets sent"), "{ended:?}");
}

#[test]
fn options_of_one_protocol_are_refused_by_another() {
    let ended = run(["server", "echo", "--port", "0", "--test-ports", "1-2"]);
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("'server twamp'"), "{ended:?}");
}
