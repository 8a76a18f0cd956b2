//! Under a real xinetd, under systemd's socket activation, as a daemon; and the
//! units and scripts that install it.
#![allow(clippy::disallowed_methods, reason = "tests use std's sockets and clock")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use common::{Process, Scratch, Server, client, echotest, eventually, have, root, run};

const BINARY: &str = env!("CARGO_BIN_EXE_echotest");

/// Ports below the range that port 0 takes from; each test has its own.
fn port(offset: u32) -> u16 {
    u16::try_from(27_000 + (std::process::id() * 11 + offset) % 5_000).unwrap_or(27_999)
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn echo(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let mut writer = stream.try_clone().expect("a second descriptor");
    let sent = bytes.to_vec();
    let sender = thread::spawn(move || {
        let _ = writer.write_all(&sent);
        let _ = writer.shutdown(Shutdown::Write);
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).expect("the echo");
    sender.join().expect("the sender");
    received
}

// --- xinetd ---

fn xinetd(scratch: &Scratch, port: u16, arguments: &str) -> Process {
    let config = scratch.path().join("xinetd.conf");
    let service = format!(
        "service echotest\n{{\ntype = UNLISTED\nsocket_type = stream\nprotocol = tcp\n\
         port = {port}\nbind = 127.0.0.1\nwait = no\nuser = root\ninstances = 500\n\
         per_source = 500\ncps = 10000 1\nflags = NODELAY\nenv = RUST_LOG=trace\n\
         server = {BINARY}\nserver_args = server {arguments}\n}}\n"
    );
    fs::write(&config, service).expect("a configuration");
    let mut command = Command::new("xinetd");
    command.args(["-dontfork", "-f"]).arg(&config);
    command.arg("-pidfile").arg(scratch.path().join("xinetd.pid"));
    let process = Process::start(&mut command);
    eventually("xinetd listens", || TcpStream::connect(local(port)).is_ok());
    process
}

#[test]
fn xinetd_serves_clients_one_after_another_and_many_at_once() {
    if !(have("xinetd") && root()) {
        return;
    }
    let (scratch, port) = (Scratch::new(), port(0));
    let log = scratch.path().join("echo.log");
    let arguments = format!("echo --inetd --log-file {}", log.display());
    let _xinetd = xinetd(&scratch, port, &arguments);
    for number in 0_u32..200 {
        assert_eq!(echo(local(port), &number.to_be_bytes()), number.to_be_bytes());
    }
    let crowd: Vec<_> = (0_u8..50)
        .map(|n| thread::spawn(move || echo(local(port), &[n; 5000]) == [n; 5000]))
        .collect();
    assert!(crowd.into_iter().all(|one| one.join().unwrap_or(false)));
    eventually("the sessions are logged with their peers", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines().filter(|line| line.contains(" 127.0.0.1:")).count() >= 250
    });
}

#[test]
fn no_payload_size_meets_a_delayed_ack_under_xinetd() {
    if !(have("xinetd") && root()) {
        return;
    }
    let (scratch, port) = (Scratch::new(), port(1));
    let _xinetd = xinetd(&scratch, port, "echo --inetd --log-file /dev/null");
    for size in ["1", "1024", "1025", "65536"] {
        let run = client(local(port), &["-s", size, "-i", "0", "-c", "200"]);
        let mut rtts: Vec<f64> = run.rows.iter().filter_map(common::Row::rtt_ms).collect();
        assert_eq!(rtts.len(), 200, "{size}: {:?}", run.ended);
        rtts.sort_by(f64::total_cmp);
        assert!(rtts[180] < 30.0, "{size} bytes: p90 is {} ms", rtts[180]);
        assert!(!run.ended.stdout.contains("gather at 40 ms"), "{:?}", run.ended);
    }
}

#[test]
fn nothing_but_protocol_reaches_the_peer_whatever_is_wrong() {
    if !(have("xinetd") && root()) {
        return;
    }
    for (offset, arguments) in
        ["echo --inetd --bogus", "nonsense --inetd", "--inetd --help"].into_iter().enumerate()
    {
        let (scratch, port) = (Scratch::new(), port(2 + u32::try_from(offset).unwrap()));
        let _xinetd = xinetd(&scratch, port, arguments);
        assert_eq!(echo(local(port), b""), b"", "{arguments}");
    }
}

// --- systemd's socket activation ---

fn activate(port: u16, arguments: &[&str]) -> Process {
    let mut command = Command::new("systemd-socket-activate");
    command.args(["-l", &format!("127.0.0.1:{port}"), "-l", &format!("[::1]:{port}")]);
    let process = Process::start(command.args(arguments));
    // Not by connecting: that would already start the server.
    eventually("systemd listens", || process.stderr().matches("Listening on").count() == 2);
    process
}

#[test]
fn passed_sockets_of_both_families_are_served_and_stopping_drains() {
    if !have("systemd-socket-activate") {
        return;
    }
    let port = port(10);
    let process = activate(port, &[BINARY, "server"]);
    assert_eq!(echo(local(port), b"IPv4"), b"IPv4");
    let ipv6 = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], port));
    assert_eq!(echo(ipv6, b"IPv6"), b"IPv6");
    eventually("it names both", || process.stderr().matches("listening on ").count() == 2);
    let mut open = TcpStream::connect(local(port)).unwrap();
    open.write_all(b"x").unwrap();
    open.read_exact(&mut [0]).unwrap();
    process.signal("TERM");
    thread::sleep(Duration::from_millis(300));
    open.write_all(b"y").unwrap();
    open.read_exact(&mut [0]).expect("an open session is served while the server stops");
    drop(open);
    let ended = process.finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.took < Duration::from_secs(2), "{:?}", ended.took);
}

#[test]
fn an_accepting_systemd_is_served_on_standard_input() {
    if !have("systemd-socket-activate") {
        return;
    }
    let port = port(11);
    let _process = activate(port, &["--accept", "--inetd", BINARY, "server", "--inetd"]);
    for number in 0_u8..20 {
        assert_eq!(echo(local(port), &[number; 3000]), [number; 3000]);
    }
}

#[test]
fn the_service_manager_hears_of_start_life_and_stop() {
    let scratch = Scratch::new();
    let path = scratch.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut command = echotest();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    let server = Server::from(command.args(["server", "--bind", "127.0.0.1", "-p", "0"]));
    let hear = || {
        let mut bytes = [0; 500];
        let count = manager.recv(&mut bytes).expect("word from the server");
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    };
    assert!(hear().starts_with("READY=1\nSTATUS="));
    let heard: Vec<String> = (0..6).map(|_| hear()).collect();
    assert!(heard.iter().filter(|word| *word == "WATCHDOG=1").count() >= 4, "{heard:?}");
    server.process.signal("TERM");
    eventually("it says that it is stopping", || hear().starts_with("STOPPING=1"));
    assert_eq!(server.process.finish().status, 0);
}

// --- Daemon ---

fn daemon(scratch: &Scratch, port: u16, more: &[&str]) -> common::Ended {
    let mut command = echotest();
    command.current_dir(scratch.path());
    command.args(["server", "--daemon", "--bind", "127.0.0.1", "--port", &port.to_string()]);
    Process::start(command.args(more)).finish()
}

/// Ends a daemon when a test does, however it does.
struct Killed<'a>(&'a Path);

impl Drop for Killed<'_> {
    fn drop(&mut self) {
        if let Ok(pid) = fs::read_to_string(self.0) {
            let _ = Command::new("kill").args(["-s", "KILL", pid.trim()]).status();
        }
    }
}

#[test]
fn a_daemon_listens_when_its_parent_ends_and_cleans_up_when_it_stops() {
    let (scratch, port) = (Scratch::new(), port(20));
    let pid_file = scratch.path().join("echo.pid");
    let _killed = Killed(&pid_file);
    let files = ["--pid-file", "echo.pid", "--log-file", "echo.log"];
    let ended = daemon(&scratch, port, &files);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(echo(local(port), b"at once"), b"at once");
    let pid = fs::read_to_string(&pid_file).unwrap();
    let pid = pid.trim();
    let session = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let terminal = session.rsplit(')').next().unwrap().split_whitespace().nth(4).unwrap();
    assert_eq!(terminal, "0", "it still has a terminal");

    let second = daemon(&scratch, port + 1, &files);
    assert_eq!(second.status, 2, "{second:?}");
    assert!(second.stderr.contains(&format!("process {pid}")), "{second:?}");
    assert_eq!(fs::read_to_string(&pid_file).unwrap().trim(), pid);

    // As logrotate does it: moved away, then SIGHUP.
    fs::rename(scratch.path().join("echo.log"), scratch.path().join("old.log")).unwrap();
    assert!(Command::new("kill").args(["-s", "HUP", pid]).status().unwrap().success());
    eventually("the log file is there again", || scratch.path().join("echo.log").exists());
    assert_eq!(echo(local(port), b"still"), b"still");

    assert!(Command::new("kill").args(["-s", "TERM", pid]).status().unwrap().success());
    eventually("the pid file is gone", || !pid_file.exists());
    // A thread of its own writes the log, and ends with the process.
    let log = || fs::read_to_string(scratch.path().join("echo.log")).unwrap();
    eventually("its last line is there", || log().contains("stopped"));
    assert!(log().contains("log file reopened"), "{}", log());
}

#[test]
fn a_daemon_that_cannot_listen_says_why_with_exit_2() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let scratch = Scratch::new();
    let ended = daemon(&scratch, taken.local_addr().unwrap().port(), &["--pid-file", "echo.pid"]);
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("another server has it"), "{ended:?}");
    assert!(!scratch.path().join("echo.pid").exists());
}

#[test]
fn the_pid_file_of_a_killed_server_is_taken_over() {
    let (scratch, port) = (Scratch::new(), port(22));
    let pid_file = scratch.path().join("echo.pid");
    let _killed = Killed(&pid_file);
    assert_eq!(daemon(&scratch, port, &["--pid-file", "echo.pid"]).status, 0);
    drop(Killed(&pid_file));
    eventually("the killed server is gone", || TcpStream::connect(local(port)).is_err());
    let ended = daemon(&scratch, port, &["--pid-file", "echo.pid"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(echo(local(port), b"again"), b"again");
}

#[test]
fn inetd_mode_without_a_socket_says_so() {
    let ended = run(["server", "--inetd"]);
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("standard input is no socket"), "{ended:?}");
}

// --- Units and scripts ---

fn script(name: &str) -> Command {
    let mut command = Command::new("bash");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name));
    command
}

#[test]
fn the_units_are_sound_and_need_next_to_nothing() {
    if !(have("systemd-analyze") && root()) {
        return;
    }
    let scratch = Scratch::new();
    for protocol in ["echo", "measure", "ping"] {
        let mut print = script("install-systemd.sh");
        print.args(["--protocol", protocol, "--print-units"]).arg(scratch.path());
        assert_eq!(Process::start(&mut print).finish().status, 0);
        let service = scratch.path().join(format!("echotest-{protocol}.service"));
        let socket = scratch.path().join(format!("echotest-{protocol}.socket"));
        // The binary is not installed where the unit will find it.
        let text = fs::read_to_string(&service).unwrap();
        fs::write(&service, text.replace("/usr/local/bin/echotest", BINARY)).unwrap();
        let mut verify = Command::new("systemd-analyze");
        let ended = Process::start(verify.arg("verify").args([&service, &socket])).finish();
        let about_ours: Vec<&str> =
            ended.stderr.lines().filter(|line| line.contains("echotest")).collect();
        assert!(ended.status == 0 && about_ours.is_empty(), "{ended:?}");
        let mut judge = Command::new("systemd-analyze");
        judge.args(["security", "--offline=true"]).arg(&service);
        let ended = Process::start(&mut judge).finish();
        let rating = ended.stdout.split("exposure level for ").nth(1).unwrap_or_default();
        let rating: f64 = rating.split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(rating <= 0.2, "rated {rating}: {}", ended.stdout);
    }
}

#[test]
fn a_client_for_weeks_has_a_sound_unit_and_settings_of_its_own() {
    let mut look = script("install-systemd.sh");
    look.args(["--client", "[fd00::1]:7007", "--name", "far", "--dry-run", "--binary", BINARY]);
    let ended = Process::start(look.args(["--", "-i", "0.1", "--rotate", "1d"])).finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    for line in ["    TARGET=fd00::1 7007\n", "    OPTIONS=-i 0.1 --rotate 1d\n"] {
        assert!(ended.stdout.contains(line), "{line}: {ended:?}");
    }
    for arguments in
        [&["--client", "a b"][..], &["--client", "a:0"], &["--client", "a", "--name", "/"]]
    {
        let ended = Process::start(script("install-systemd.sh").args(arguments)).finish();
        assert_eq!(ended.status, 2, "{ended:?}");
    }
    if !(have("systemd-analyze") && root()) {
        return;
    }
    let scratch = Scratch::new();
    let mut print = script("install-systemd.sh");
    print.args(["--client", "db", "--print-units"]).arg(scratch.path());
    assert_eq!(Process::start(&mut print).finish().status, 0);
    let unit = scratch.path().join("echotest-client@.service");
    let text = fs::read_to_string(&unit).unwrap();
    fs::write(&unit, text.replace("/usr/local/bin/echotest", BINARY)).unwrap();
    let ended = Process::start(Command::new("systemd-analyze").arg("verify").arg(&unit)).finish();
    let about_ours = ended.stderr.lines().filter(|line| line.contains("echotest"));
    assert_eq!(about_ours.count(), 0, "{ended:?}");
    let mut judge = Command::new("systemd-analyze");
    let ended = Process::start(judge.args(["security", "--offline=true"]).arg(&unit)).finish();
    let rating = ended.stdout.split("exposure level for ").nth(1).unwrap_or_default();
    let rating: f64 = rating.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(rating <= 1.0, "rated {rating}: {}", ended.stdout);
}

#[test]
fn a_target_that_is_not_there_yet_is_waited_for() {
    let port = port(9);
    let scratch = Scratch::new();
    let mut command = echotest();
    command.args(["client", "127.0.0.1", &port.to_string(), "--retry", "-c", "2", "-i", "0.1"]);
    let client = Process::start(command.arg("--log-dir").arg(scratch.path()));
    eventually("it says what it waits for", || client.stderr().contains("; trying on"));
    assert_eq!(scratch.entries(), Vec::<String>::new(), "nothing is measured yet");
    let mut server = echotest();
    server.args(["server", "--bind", "127.0.0.1", "--port", &port.to_string()]);
    let server = Server::from(&mut server);
    let ended = client.finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stdout.contains("2 packets sent, 2 received"), "{ended:?}");
    server.stop();
    // Ctrl-C ends the waiting.
    let mut command = echotest();
    command.args(["client", "127.0.0.1", &port.to_string(), "--retry", "--no-files"]);
    let client = Process::start(&mut command);
    eventually("it waits", || client.stderr().contains("; trying on"));
    client.signal("INT");
    assert_eq!(client.finish().status, 1);
}

#[test]
fn scripts_explain_themselves_and_change_nothing_when_asked_to_look() {
    for name in ["install-systemd.sh", "install-xinetd.sh", "uninstall.sh"] {
        let ended = Process::start(script(name).arg("--help")).finish();
        assert_eq!(ended.status, 0, "{name}: {ended:?}");
        assert!(ended.stdout.starts_with("Usage: scripts/"), "{name}: {ended:?}");
        let ended = Process::start(script(name).arg("--bogus")).finish();
        assert_eq!(ended.status, 2, "{name}: {ended:?}");
        assert!(ended.stderr.contains("--bogus"), "{name}: {ended:?}");
        let mut command = script(name);
        command.arg("--dry-run");
        if name != "uninstall.sh" {
            command.args(["--binary", BINARY, "--port", "17007"]);
        }
        let ended = Process::start(&mut command).finish();
        assert_eq!(ended.status, 0, "{name}: {ended:?}");
        assert!(ended.stdout.contains("would "), "{name}: {ended:?}");
    }
    for (name, arguments) in [
        ("install-systemd.sh", ["--port", "0"]),
        ("install-xinetd.sh", ["--protocol", "chargen"]),
        ("install-xinetd.sh", ["--only-from", "x; reboot"]),
        ("install-systemd.sh", ["--binary", "/nonexistent"]),
    ] {
        let ended = Process::start(script(name).arg("--dry-run").args(arguments)).finish();
        assert_eq!(ended.status, 2, "{name} {arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(arguments[1]), "{name} {arguments:?}: {ended:?}");
    }
}

/// What a process's status says under this name.
fn status_of(pid: u32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    line.trim_start_matches(':').split_whitespace().next().unwrap_or_default().to_owned()
}

#[test]
fn a_server_that_listens_is_root_no_longer() {
    if !root() {
        return;
    }
    let scratch = Scratch::new();
    let log = scratch.path().join("server.log");
    let log = log.to_str().expect("a path");
    let superuser = "0".to_owned();
    let nobody = Command::new("id").args(["-u", "nobody"]).output().expect("id").stdout;
    let nobody = String::from_utf8_lossy(&nobody).trim().to_owned();
    for (arguments, user) in [
        (&["echo"][..], &nobody),
        (&["twamp"], &nobody),
        (&["echo", "--log-file", log], &superuser),
        (&["echo", "--user", "nobody"], &nobody),
        (&["echo", "--user", "root"], &superuser),
    ] {
        let server = Server::start(arguments);
        let pid = server.process.id();
        assert_eq!(&status_of(pid, "Uid"), user, "{arguments:?}");
        assert_eq!(status_of(pid, "NoNewPrivs"), "1", "{arguments:?}");
        if arguments.last() != Some(&"root") {
            assert_eq!(status_of(pid, "CapEff"), "0000000000000000", "{arguments:?}");
        }
        let ended = server.stop();
        assert_eq!(ended.status, 0, "{ended:?}");
    }
    // Its log can still be opened anew.
    let server = Server::start(&["echo", "--log-file", log]);
    fs::rename(log, format!("{log}.1")).expect("a rename");
    server.process.signal("HUP");
    eventually("a fresh log", || {
        fs::read_to_string(log).is_ok_and(|text| text.contains("reopened"))
    });
    server.stop();
    let ended = run(["server", "--port", "0", "--user", "nobody of this name"]);
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("--user nobody of this name: there is none such"), "{ended:?}");
}

#[test]
fn a_pid_file_is_never_another_file() {
    let scratch = Scratch::new();
    let other = scratch.path().join("other");
    fs::write(&other, "precious, and no number\n").expect("a file");
    let link = scratch.path().join("link");
    std::os::unix::fs::symlink(scratch.path().join("target"), &link).expect("a link");
    for path in [&other, &link] {
        let path = path.to_str().expect("a path");
        let ended = run(["server", "--port", "0", "--pid-file", path]);
        assert_eq!(ended.status, 2, "{ended:?}");
    }
    let kept = fs::read_to_string(&other).expect("a file");
    assert_eq!(kept, "precious, and no number\n");
    assert!(!scratch.path().join("target").exists());
    // A number that a killed server left is none of that.
    fs::write(&other, "4711\n").expect("a file");
    let path = other.to_str().expect("a path");
    let server = Server::start(&["echo", "--pid-file", path]);
    let held = fs::read_to_string(&other).expect("a file");
    assert_eq!(held, format!("{}\n", server.process.id()));
    server.stop();
    assert!(!other.exists());
}
