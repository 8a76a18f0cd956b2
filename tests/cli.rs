//! The command line as the contract has it: exit status, stdout, stderr, and
//! what is left behind.
#![allow(clippy::disallowed_methods, reason = "tests use std's sockets and clock")]

mod common;

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Ended, Process, Scratch, Server, echotest, have, root, run};

/// Runs in an empty directory, which must be empty afterwards.
fn leaves_nothing(arguments: &[&str]) -> Ended {
    let scratch = Scratch::new();
    let ended = Process::start(echotest().args(arguments).current_dir(scratch.path())).finish();
    assert!(scratch.entries().is_empty(), "{arguments:?} left {:?}", scratch.entries());
    assert_eq!(ended.stdout, "", "{arguments:?}");
    ended
}

/// A bad argument: one line that names it, a hint, exit 2.
fn is_refused(arguments: &[&str], named: &[&str]) {
    let ended = leaves_nothing(arguments);
    assert_eq!(ended.status, 2, "{arguments:?}: {ended:?}");
    let lines: Vec<&str> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{arguments:?}: {ended:?}");
    assert!(lines[1].starts_with("Try 'echotest") && lines[1].ends_with("--help'."), "{ended:?}");
    for name in named {
        assert!(lines[0].contains(name), "{arguments:?}: {name:?} is not in {:?}", lines[0]);
    }
}

/// A port that nothing listens on: one that was free a moment ago may be
/// another test's by now.
const CLOSED_PORT: &str = "1";

#[test]
fn bad_arguments_are_one_line_that_names_them() {
    is_refused(&[], &["a command is needed"]);
    is_refused(&["frobnicate"], &["frobnicate", "client", "server", "loopback"]);
    is_refused(&["client"], &["HOST"]);
    is_refused(&["client", ""], &["HOST"]);
    is_refused(&["client", "h", "7", "surplus"], &["surplus"]);
    is_refused(&["client", "h", "--frequencey", "1"], &["--frequencey"]);
    is_refused(&["client", "h", "-z"], &["-z"]);
    is_refused(&["client", "h", "-46"], &["-4", "-6"]);
    is_refused(&["client", "h", "--json=yes"], &["json"]);
    is_refused(&["server", "frob"], &["frob", "echo"]);
}

#[test]
fn bad_values_name_option_value_and_what_is_accepted() {
    for port in ["0", "70000", "-1", "echo", "7.0"] {
        is_refused(&["client", "127.0.0.1", "--", port], &["PORT", port, "1 to 65535"]);
    }
    for size in ["0", "-1", "65M", "1.5", "64Q", ""] {
        is_refused(&["client", "h", "--size", size], &["--size", size, "1 to 64M"]);
    }
    for time in ["-1", "nan", "NaN", "inf", "1e3", "", "5 s", "1x"] {
        is_refused(&["client", "h", "--frequency", time], &["--frequency", time, "500ms"]);
        is_refused(&["client", "h", "-i", time], &["--frequency", "-i", time]);
        is_refused(&["client", "h", "--timeout", time], &["--timeout", time]);
    }
    for zero in ["--timeout", "--duration", "--max-rtt"] {
        is_refused(&["client", "h", zero, "0"], &[zero, "above 0"]);
    }
    is_refused(&["client", "h", "--count", "-5"], &["--count", "-5"]);
    is_refused(&["client", "h", "--dscp", "64"], &["--dscp", "64", "0 to 63"]);
    is_refused(&["client", "h", "--max-loss", "101"], &["--max-loss", "101"]);
    is_refused(&["client", "h", "--bind", "localhost"], &["--bind", "localhost"]);
    is_refused(&["client", "h", "--message", ""], &["--message"]);
    is_refused(&["client", "h", "--count"], &["--count"]);
    is_refused(&["server", "--port", "70000"], &["--port", "70000"]);
    is_refused(&["server", "--max-clients", "0"], &["--max-clients", "0"]);
}

/// A failure that is no usage error: one line, no hint.
fn fails(arguments: &[&str], status: i32, named: &[&str]) {
    let ended = leaves_nothing(arguments);
    assert_eq!(ended.status, status, "{arguments:?}: {ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{arguments:?}: {ended:?}");
    for name in named {
        assert!(ended.stderr.contains(name), "{arguments:?}: {name:?} is not in {ended:?}");
    }
}

#[test]
fn an_unknown_host_is_exit_2() {
    fails(&["client", "no-such-host.invalid"], 2, &["no-such-host.invalid", "cannot resolve"]);
    fails(&["client", "-6", "127.0.0.1"], 2, &["127.0.0.1", "IPv6"]);
    fails(&["client", "--bind", "::1", "127.0.0.1"], 2, &["--bind ::1"]);
}

#[test]
fn a_host_that_refuses_is_exit_1_and_leaves_no_files() {
    let arguments = ["client", "127.0.0.1", CLOSED_PORT];
    fails(&arguments, 1, &["127.0.0.1:1", "refused"]);
    fails(&[&arguments[..], &["--log-dir", "deep/er"]].concat(), 1, &["refused"]);
    fails(&[&arguments[..], &["--message", "hello"]].concat(), 1, &["refused"]);
}

#[test]
fn a_directory_that_cannot_be_written_is_exit_2_before_anything_is_sent() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let port = server.local_addr().unwrap().port().to_string();
    fails(&["client", "127.0.0.1", &port, "--log-dir", "/proc/logs"], 2, &["/proc/logs"]);
    fails(&["client", "127.0.0.1", &port, "--log-dir", "/dev/null/x"], 2, &["/dev/null/x"]);
    assert!(server.accept().is_err(), "the client connected before it looked at its directory");
}

#[test]
fn a_port_that_is_taken_is_exit_2_and_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let arguments = ["server", "--bind", "127.0.0.1", "--port", &port];
    fails(&arguments, 2, &["127.0.0.1", &port, "another --port"]);
    fails(&["server", "--bind", "192.0.2.1", "-p", "0"], 2, &["192.0.2.1", "no interface"]);
}

#[test]
fn without_the_right_to_bind_port_7_the_hint_names_the_ways() {
    if !(root() && have("setpriv")) {
        return;
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"]);
    // The build directory may be closed to others.
    let scratch = Scratch::new();
    let copy = scratch.path().join("echotest");
    std::fs::copy(env!("CARGO_BIN_EXE_echotest"), &copy).unwrap();
    let ended = Process::start(command.arg(&copy).args(["server", "--bind", "127.0.0.1"])).finish();
    assert_eq!(ended.status, 2, "{ended:?}");
    for way in ["systemd", "setcap", "--port"] {
        assert!(ended.stderr.contains(way), "{ended:?}");
    }
}

#[test]
fn what_is_typed_by_habit_is_answered_by_name() {
    let cases: [(&[&str], &str); 14] = [
        (&["clinet", "127.0.0.1"], "did you mean 'echotest client'?"),
        (&["-mode", "server"], "the command comes first"),
        (&["client", "127.0.0.1", "--cout", "5"], "did you mean '--count'?"),
        (&["client", "127.0.0.1", "-n", "10"], "'--count'"),
        (&["client", "127.0.0.1", "-t", "5"], "'--duration'"),
        (&["client", "127.0.0.1", "--port", "7007"], "echotest client HOST PORT"),
        (&["client", "127.0.0.1:7007"], "echotest client 127.0.0.1 7007"),
        (&["ping", "[::1]:7007"], "echotest ping ::1 7007"),
        (&["client", "http://127.0.0.1:80/x"], "echotest client 127.0.0.1 80"),
        (&["client", "7", "127.0.0.1"], "echotest client 127.0.0.1 7"),
        (&["client", "fe80::2"], "fe80::2%"),
        (&["client", "127.0.0.1", "1", "--bind", "192.0.2.9", "--no-files"], "no address of this"),
        (&["server", "7007"], "echotest server --port 7007"),
        (&["server", "meassure"], "did you mean 'measure'?"),
    ];
    for (arguments, says) in cases {
        let ended = run(arguments);
        assert_eq!(ended.status, 2, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(says), "{arguments:?}: {ended:?}");
    }
    for arguments in [["help", "help"], ["help", "--help"]] {
        assert_eq!(run(arguments).status, 0, "{arguments:?}");
    }
}

#[test]
fn a_run_that_does_not_come_about_leaves_its_object_too() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = nobody.to_string();
    for (command, host, status) in [
        ("client", "127.0.0.1", 1),
        ("client", "no-such-host.invalid", 2),
        ("measure", "127.0.0.1", 1),
        ("twamp", "127.0.0.1", 1),
    ] {
        let ended = run([command, host, &nobody, "--json", "--no-files"]);
        assert_eq!(ended.status, status, "{command} {host}: {ended:?}");
        assert_eq!(ended.stdout.lines().count(), 1, "{command} {host}: {ended:?}");
        let object = &ended.stdout;
        assert!(object.starts_with('{') && object.contains("\"error\":\""), "{ended:?}");
        for key in ["packets", "rtt_us", "events", "flows", "targets", "files"] {
            assert!(object.contains(&format!("\"{key}\":")), "{key}: {ended:?}");
        }
    }
}

#[test]
fn quiet_is_the_summary_alone_and_twice_is_nothing() {
    let server = Server::start(&[]);
    let port = server.port();
    for command in ["client", "ping"] {
        let more: &[&str] = if command == "ping" { &["--connect"] } else { &[] };
        let of = |quiet: &str| {
            let all = [command, "127.0.0.1", &port, "-c", "2", "-i", "0.2", "--no-files", quiet];
            run(all.iter().chain(more)).stdout
        };
        let (once, twice) = (of("-q"), of("-qq"));
        assert!(once.contains("2 packets sent") && !once.contains("packet 1"), "{once}");
        assert!(!once.contains("echo to") && !once.contains("ping to"), "{once}");
        assert_eq!(twice, "", "{command}");
    }
}

#[test]
fn help_and_version_are_on_stdout_with_exit_0() {
    for (arguments, expected) in [
        (vec!["--help"], "Usage: echotest COMMAND"),
        (vec!["help"], "Usage: echotest COMMAND"),
        (vec!["client", "--help"], "Usage: echotest client HOST [PORT] [OPTIONS]"),
        (vec!["help", "server"], "Usage: echotest server [PROTOCOL] [OPTIONS]"),
        (vec!["loopback", "-h"], "Usage: echotest loopback [OPTIONS]"),
        (vec!["--version"], "echotest "),
    ] {
        let ended = run(&arguments);
        assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{arguments:?}");
        assert!(ended.stdout.contains(expected), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn the_readme_names_every_command_and_its_lines_are_understood() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let overview = run(["--help"]).stdout;
    let commands = overview.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    for command in commands.lines().filter_map(|line| line.split_whitespace().next()) {
        let named = [format!("`{command} "), format!("`{command}`")];
        assert!(named.iter().any(|named| readme.contains(named)), "{command}");
    }
    let shell = readme.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut lines = 0;
    for part in shell.flat_map(str::lines).flat_map(|line| line.split(" | ")) {
        let part = part.split(" #").next().unwrap_or(part);
        let words = part.split_whitespace().skip_while(|word| !word.ends_with("echotest")).skip(1);
        let words: Vec<_> = words.map(std::ffi::OsString::from).collect();
        if words.first().is_some_and(|first| first != "help") {
            let understood = echotest::cli::understood(words);
            assert!(understood.is_ok(), "{part}: {understood:?}");
            lines += 1;
        }
    }
    assert!(lines > 8, "only {lines} lines were looked at");
}

#[test]
fn numeric_ipv6_may_be_bare_or_bracketed_and_names_are_tried_in_turn() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        common::skipped("for want of IPv6");
        return;
    };
    drop(listener);
    let mut command = echotest();
    let server = Server::from(command.args(["server", "--bind", "::1", "-p", "0"]));
    for host in ["::1", "[::1]"] {
        let ended = run(["client", host, &server.port(), "--message", "hello there"]);
        assert_eq!((ended.status, ended.stdout.as_str()), (0, "Received: hello there\n"));
    }
    // localhost is ::1 as well as 127.0.0.1; only one of the two listens.
    let ipv4 = Server::start(&[]);
    let ended = run(["client", "localhost", &ipv4.port(), "--message", "x"]);
    assert_eq!(ended.status, 0, "{ended:?}");
}

#[test]
fn every_address_is_served_if_none_is_named() {
    let mut command = echotest();
    let server = Server::from(command.args(["server", "-p", "0"]));
    for host in ["127.0.0.1", "127.0.0.2", "::1"] {
        let ended = run(["client", host, &server.port(), "--message", "hello"]);
        assert_eq!(ended.stdout, "Received: hello\n", "{host}: {ended:?}");
    }
    let log = server.stop().stderr;
    assert_eq!(log.matches(" 127.0.0.1:").count(), 2, "IPv4 clients as such: {log}");
}

#[test]
fn a_reader_that_goes_away_ends_the_client_quietly() {
    let scratch = Scratch::new();
    let mut child = echotest()
        .args(["loopback", "-c", "0", "-i", "0.1", "--log-dir"])
        .arg(scratch.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut some = [0; 100];
    child.stdout.as_mut().unwrap().read_exact(&mut some).unwrap();
    drop(child.stdout.take());
    let began = std::time::Instant::now();
    while child.try_wait().unwrap().is_none() {
        let hangs = began.elapsed() > Duration::from_secs(10);
        if hangs {
            child.kill().unwrap();
        }
        assert!(!hangs, "still running without a reader");
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // A busy machine may say that it stood still, and nothing else.
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said.lines().filter(|line| !line.contains("this host")).count(), 0, "{said}");
    assert!(!common::rows(&common::file(scratch.path(), "_timings.csv")).is_empty());
}

/// A name server that answers for IPv4 alone and drops the question for IPv6.
const NAME_SERVER: &str = "
import socket, struct
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('127.0.0.1', 53))
print('ready', flush=True)
while True:
    query, asker = server.recvfrom(900)
    end = 12
    while query[end]:
        end += query[end] + 1
    kind = struct.unpack('>H', query[end + 1:end + 3])[0]
    print(kind, flush=True)
    if kind == 1:
        head = query[:2] + struct.pack('>HHHHH', 0x8180, 1, 1, 0, 0) + query[12:end + 5]
        server.sendto(head + b'\\xc0\\x0c' + struct.pack('>HHIH', 1, 1, 9, 4) + bytes([127, 0, 0, 1]), asker)
";

#[test]
fn a_name_server_that_drops_a_family_costs_the_other_little() {
    if !(root() && have("ip") && have("python3") && have("unshare")) {
        return;
    }
    let script = format!(
        "mount -t tmpfs none /mnt && echo nameserver 127.0.0.1 >/mnt/r && mount --bind /mnt/r /etc/resolv.conf
         ip link set lo up
         python3 -c \"$1\" >/mnt/log & sleep 0.1
         until grep -q ready /mnt/log; do sleep 0.05; done
         {binary} server --port 7007 2>/dev/null & sleep 0.3
         {binary} client $2 v4.test 7007 -c 1 --no-files -q; s=$?
         cat /mnt/log; kill %1 %2; exit $s",
        binary = env!("CARGO_BIN_EXE_echotest")
    );
    for (family, asked_for_both) in [("-4", false), ("-c1", true)] {
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "bash", "-c", &script, "bash", NAME_SERVER, family]);
        let ended = Process::start(&mut command).finish();
        assert_eq!(ended.status, 0, "{ended:?}");
        assert_eq!(ended.stdout.lines().any(|line| line == "28"), asked_for_both, "{ended:?}");
        // glibc's own patience with a question is 5 s, twice.
        assert!(ended.took < Duration::from_secs(8), "{ended:?}");
    }
}

#[test]
fn topics_are_explained_where_there_is_no_readme() {
    for (topic, part) in [
        ("files", "packet_num"),
        ("figures", "percentiles"),
        ("causes", "outbound_loss"),
        ("captures", "tcpdump"),
        ("services", "xinetd"),
        ("security", "--allow"),
        ("examples", "--against"),
        ("signals", "SIGUSR1"),
    ] {
        let ended = run(["help", topic]);
        assert_eq!(ended.status, 0, "{ended:?}");
        assert!(ended.stdout.to_lowercase().contains(&part.to_lowercase()), "{topic}: {ended:?}");
        assert!(ended.stdout.lines().all(|line| line.chars().count() <= 80), "{topic}");
        assert!(run(["help"]).stdout.contains(topic), "{topic}");
    }
}

#[test]
fn an_argument_steers_no_terminal() {
    for line in [&["\x1b]0;x\x07"][..], &["client", "h", "-s", "\x1b[2J"], &["report", "-\x1b"]] {
        let ended = run(line);
        assert_eq!(ended.status, 2, "{ended:?}");
        assert!(!ended.stderr.contains(['\x1b', '\x07']), "{ended:?}");
    }
}
