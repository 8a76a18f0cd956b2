//! `scripts/mesh.sh` between network namespaces as hosts, with a stand-in for
//! ssh that enters them.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests use std's sockets and clock, and say what they leave out"
)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{Process, Scratch, eventually, figure, file, have, root, rows, skipped};

/// Hosts on one switch, called a, b and so on.
struct Hosts {
    /// Their namespaces, that of the switch first.
    names: Vec<String>,
    scratch: Scratch,
}

/// Namespaces $1 (switch), $2 and so on (hosts).
const SET_UP: &str = r#"
set -euo pipefail
for name; do
  ip netns add "$name"
  ip -n "$name" link set lo up
done
switch=$1
ip -n "$switch" link add hub type bridge
ip -n "$switch" link set hub up
shift
number=0
for name; do
  number=$((number + 1))
  ip -n "$name" link add eth0 type veth peer name "port$number" netns "$switch"
  ip -n "$switch" link set "port$number" master hub up
  ip -n "$name" address add "10.208.0.$number/24" dev eth0
  ip -n "$name" link set eth0 up
done
"#;

/// What ssh does as seen from here: a shell there gets the words, joined.
const STAND_IN: &str = "#!/bin/sh\n\
    [ \"$1\" != nowhere ] || { echo 'no route to nowhere' >&2; exit 255; }\n\
    ns=$1\nshift\ncase $ns in *-a) echo 'Welcome to this host' ;; esac\nexec ip netns exec \"$ns\" sh -c \"$*\"\n";

/// The same for hosts with services: each has directories of its own where scripts
/// install things, and a stand-in for systemctl.
const STAND_IN_OF_SERVICES: &str = r#"#!/bin/sh
ns=$1
shift
export words="$*" place="${0%/*}/root/$ns"
exec ip netns exec "$ns" unshare --mount sh -c '
  for part in etc usr/local var run; do mount --bind "$place/$part" "/$part"; done
  export PATH=/usr/local/bin:$PATH
  exec sh -c "$words"'
"#;

/// What systemd makes of these units, as far as it matters here.
const SYSTEMCTL: &str = r#"#!/bin/bash
unit=${!#} pid=/run/${!#}.pid
start() {
  local line
  line=$(sed -n 's/^ExecStart=//p' "$1")
  line=${line//\$TARGET/$target} line=${line//\$OPTIONS/$options}
  setsid ${line//\$\{LOGS_DIRECTORY\}/$logs} $2 </dev/null >>"$logs/$unit.out" 2>&1 &
  echo $! >"$pid"
}
stop() { [[ ! -f $pid ]] || kill "$(<"$pid")" 2>/dev/null; rm -f "$pid"; }
units=/etc/systemd/system logs=/var/log
case $* in
  *is-active*) kill -0 "$(<"$pid")" ;;
  disable*) stop ;;
  restart\ *.socket) stop; start "$units/${unit%.socket}.service" "--port $(sed -n 's/^ListenStream=//p' "$units/$unit")" ;;
  restart\ echotest-client@*)
    stop
    name=${unit#*@}
    logs=/var/log/echotest/$name
    mkdir -p "$logs"
    target=$(sed -n 's/^TARGET=//p' "/etc/echotest/client-$name.conf")
    options=$(sed -n 's/^OPTIONS=//p' "/etc/echotest/client-$name.conf")
    start "$units/echotest-client@.service"
    ;;
esac
exit
"#;

impl Hosts {
    fn new(tag: &str) -> Option<Self> {
        Self::so_many(tag, 3)
    }

    fn so_many(tag: &str, count: usize) -> Option<Self> {
        if !(root() && have("ip")) {
            return None;
        }
        let name = |role| format!("et-mesh-{}-{tag}-{role}", std::process::id());
        let letters: Vec<char> = ('a'..='z').take(count).collect();
        let names = std::iter::once('s').chain(letters.iter().copied()).map(name).collect();
        let hosts = Self { names, scratch: Scratch::new() };
        let mut command = Command::new("bash");
        let done = command.args(["-c", SET_UP, "bash"]).args(&hosts.names).output().expect("bash");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        fs::create_dir(hosts.path("remote")).expect("a directory");
        program(&hosts.path("ssh"), STAND_IN);
        let line = |(number, name): (usize, &String)| {
            format!("{} 10.208.0.{} {name}\n", letters[number], number + 1)
        };
        let lines: String = hosts.names[1..].iter().enumerate().map(line).collect();
        fs::write(hosts.path("hosts"), format!("# three of them\n\n{lines}")).expect("a file");
        Some(hosts)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn mesh(&self, hosts: &str, more: &[&str]) -> Process {
        let mut command = Command::new("bash");
        command.arg(script()).arg(self.path(hosts)).arg("--ssh").arg(self.path("ssh"));
        command.arg("--binary").arg(env!("CARGO_BIN_EXE_echotest"));
        command.arg("--remote-dir").arg(self.path("remote")).arg("--out").arg(self.path("out"));
        Process::start(command.args(more))
    }

    /// Ends everything that runs there, politely.
    fn end_all(&self) {
        self.kill("-TERM");
        eventually("an end", || self.are_clean());
    }

    fn kill(&self, signal: &str) {
        for name in &self.names[1..] {
            let pids = Command::new("ip").args(["netns", "pids", name]).output().expect("ip");
            let pids = String::from_utf8_lossy(&pids.stdout).into_owned();
            let pids = pids.split_whitespace();
            let _ = Command::new("kill").arg(signal).args(pids).output();
        }
    }

    /// Neither a process nor a file of ours is left on any host.
    fn are_clean(&self) -> bool {
        let files = fs::read_dir(self.path("remote")).expect("a directory").count();
        let idle = |name: &String| {
            let pids = Command::new("ip").args(["netns", "pids", name]).output().expect("ip");
            pids.stdout.is_empty()
        };
        files == 0 && self.names.iter().all(idle)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        self.kill("-KILL");
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "delete", name]).output();
        }
    }
}

fn program(path: &Path, text: &str) {
    fs::write(path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
}

/// From now on these hosts have services.
fn with_services(hosts: &Hosts) {
    program(&hosts.path("ssh"), STAND_IN_OF_SERVICES);
    for name in &hosts.names[1..] {
        let place = hosts.path("root").join(name);
        for part in
            ["etc/systemd/system", "usr/local/bin", "var/lib", "var/log", "run/systemd/system"]
        {
            fs::create_dir_all(place.join(part)).expect("a directory");
        }
        program(&place.join("usr/local/bin/systemctl"), SYSTEMCTL);
    }
}

#[test]
fn ten_hosts_measure_each_other_for_ever_and_any_day_is_told() {
    let Some(hosts) = Hosts::so_many("ever", 10) else { return };
    if !have("unshare") {
        skipped("there is no unshare");
        return;
    }
    with_services(&hosts);
    // Ninety clients, each of which is watched for two seconds.
    let patience = Duration::from_secs(290);
    let install = hosts.mesh("hosts", &["--install", "--frequency", "0.2"]);
    let ended = install.finish_within(patience);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{ended:?}");
    assert_eq!(ended.stdout.matches("serves on port 7 and measures 9 others").count(), 10);

    // Under a name that is taken no other target is measured.
    let place = |host: usize| hosts.path("root").join(&hosts.names[host]);
    let on = |host: usize, words: &str| {
        let mut command = Command::new(hosts.path("ssh"));
        Process::start(command.arg(&hosts.names[host]).arg(words)).finish()
    };
    let installer = script().with_file_name("install-systemd.sh");
    let other = format!(
        "bash {} --binary /usr/local/bin/echotest --client 10.208.0.3:7 --name mesh-b",
        installer.display()
    );
    let refused = on(1, &other);
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(refused.stderr.contains("measures another target (10.208.0.2 7)"), "{refused:?}");

    // A run that ends has told its day.
    eventually("rows of the last pair", || {
        let logs = place(10).join("var/log/echotest/mesh-i");
        rows(&file(&logs, "_timings.csv")).len() > 3
    });
    hosts.end_all();
    let line = fs::read_to_string(file(&place(1).join("var/log/echotest/mesh-b"), "_daily.jsonl"));
    let line = line.expect("a line");
    let day = line.split("\"start\":\"").nth(1).and_then(|text| text.get(..10)).expect("a day");
    let ended = hosts.mesh("hosts", &["--collect", "--day", day]).finish();
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{ended:?}");
    let matrix = fs::read_to_string(hosts.path("out").join(format!("{day}.txt"))).expect("one");
    assert!(ended.stdout.contains(&matrix), "{ended:?}");
    assert_eq!(matrix.matches(" 0.00").count(), 90, "{matrix}");
    for title in ["p50 round-trip time in ", "p99 round-trip time in ", "loss in %"] {
        assert!(matrix.contains(title), "{matrix}");
    }
    let collected = fs::read_to_string(hosts.path("out/a-to-b.jsonl")).expect("lines");
    assert_eq!(collected, line);
    // A day that nobody measured.
    let ended = hosts.mesh("hosts", &["--collect", "--day", "1999-12-31"]).finish();
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stdout.contains("1999-12-31 UTC"), "{ended:?}");

    // A shorter list: the others are measured no more, what they told is kept.
    let text = fs::read_to_string(hosts.path("hosts")).expect("a file");
    let two: Vec<&str> = text.lines().filter(|line| line.starts_with(['a', 'b'])).collect();
    fs::write(hosts.path("two"), two.join("\n")).expect("a file");
    let ended = hosts.mesh("two", &["--install"]).finish_within(patience);
    assert_eq!(ended.status, 0, "{ended:?}");
    let settings = Scratch::at(place(1).join("etc/echotest"));
    assert_eq!(settings.entries(), ["client-mesh-b.conf"]);
    assert!(place(1).join("var/log/echotest/mesh-c").exists());
    hosts.end_all();
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/mesh.sh")
}

#[test]
fn every_pair_is_measured_and_nothing_stays() {
    let Some(hosts) = Hosts::new("all") else { return };
    let ended = hosts.mesh("hosts", &["--seconds", "1", "--frequency", "0.05"]).finish();
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{ended:?}");
    assert!(hosts.are_clean());
    let out = Scratch::at(hosts.path("out"));
    assert_eq!(out.entries().iter().filter(|name| name.contains(".csv")).count(), 6);
    for pair in ["a-to-b", "b-to-a", "c-to-a"] {
        let rows = rows(&out.path().join(format!("{pair}.csv")));
        assert!(rows.len() >= 19 && rows.iter().all(|row| row.received_ns.is_some()), "{rows:?}");
        let json = fs::read_to_string(out.path().join(format!("{pair}.json"))).expect("a file");
        assert_eq!(figure(&json, "packets.lost"), Some(0.0), "{json}");
    }
    let matrix = fs::read_to_string(out.path().join("matrix.txt")).expect("a file");
    assert!(ended.stdout.contains(&matrix), "{ended:?}");
    for title in ["p50 round-trip time in ", "p99 round-trip time in ", "loss in %"] {
        assert!(matrix.contains(title), "{matrix}");
    }
    assert_eq!(matrix.matches(" 0.00").count(), 6, "{matrix}");
    let page = fs::read_to_string(out.path().join("index.html")).expect("a page");
    assert!(page.contains("href=\"a-to-b.html\"") && out.path().join("a-to-b.html").exists());
    assert_eq!(page.matches("<table>").count(), 3);
    assert_eq!(page.matches("<td style=").count(), 18);
    for word in ["<script", "http://", "https://", "no reply"] {
        assert!(!page.contains(word), "{word} in {page}");
    }
    assert!(page.contains("prefers-color-scheme: dark"));
}

#[test]
fn a_pair_that_cannot_connect_is_named_and_the_others_are_measured() {
    let Some(hosts) = Hosts::new("cut") else { return };
    let ip = |arguments: &[&str]| Command::new("ip").args(arguments).status().expect("ip");
    assert!(ip(&["-n", &hosts.names[3], "link", "set", "eth0", "down"]).success());
    // What an earlier run left does not stand for a pair that fails now.
    fs::create_dir(hosts.path("out")).expect("a directory");
    let earlier = r#"{"rtt_us":{"p50":7.7,"p99":8.8},"loss_percent":0.0}"#;
    fs::write(hosts.path("out/a-to-c.json"), earlier).expect("a file");
    let ended = hosts.mesh("hosts", &["--seconds", "1", "--parallel", "1"]).finish();
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(!ended.stdout.contains("7.7"), "{ended:?}");
    assert!(ended.stderr.contains("mesh.sh: c to a: no reply: "), "{ended:?}");
    assert!(ended.stderr.contains("unreachable"), "{ended:?}");
    assert!(hosts.path("out/a-to-b.csv").exists());
    let page = fs::read_to_string(hosts.path("out/index.html")).expect("a page");
    assert_eq!(page.matches("no reply").count(), 12);
    assert!(hosts.are_clean());
}

#[test]
fn flows_are_told_apart_and_a_host_that_is_not_there_is_left_out() {
    let Some(hosts) = Hosts::new("flows") else { return };
    let lines = fs::read_to_string(hosts.path("hosts")).expect("a file") + "d 10.208.0.9 nowhere\n";
    fs::write(hosts.path("four"), lines).expect("a file");
    let arguments = ["--seconds", "1", "--frequency", "0.1", "--flows", "3"];
    let ended = hosts.mesh("four", &arguments).finish();
    assert_eq!(ended.status, 2, "{ended:?}");
    let ended = hosts.mesh("four", &[&arguments[..], &["--skip-unreachable"]].concat()).finish();
    // Not every pair was measured.
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stderr.contains("no route to nowhere") && ended.stderr.contains("; left out"));
    assert_eq!(ended.stdout.matches("measuring ").count(), 6, "{ended:?}");
    assert_eq!(ended.stdout.matches(": the worst of 3 flows has p99 ").count(), 6, "{ended:?}");
    assert!(hosts.are_clean());
}

#[test]
fn an_interrupted_mesh_leaves_nothing() {
    let Some(hosts) = Hosts::new("int") else { return };
    for (signal, status) in [("TERM", 143), ("INT", 130), ("KILL", 137)] {
        let process = hosts.mesh("hosts", &["--seconds", "100"]);
        eventually("measuring", || process.stdout().contains("measuring a to b"));
        // Until the client runs as well.
        eventually("a client", || {
            let found = Command::new("ip").args(["netns", "pids", &hosts.names[1]]).output();
            String::from_utf8_lossy(&found.expect("ip").stdout).lines().count() >= 5
        });
        process.signal(signal);
        // After a kill others hold its output open; they end by themselves.
        let ended = process.finish();
        assert_eq!(ended.status, status, "{signal}: {ended:?}");
        if signal == "KILL" {
            eventually("all is clean", || hosts.are_clean());
        }
        assert!(hosts.are_clean(), "{signal}: {ended:?}");
    }
}

#[test]
fn bad_hosts_are_one_line() {
    let Some(hosts) = Hosts::new("bad") else { return };
    for (text, problem) in [
        ("a 10.0.0.1\n", "at least two hosts"),
        ("a 10.0.0.1\na 10.0.0.2\n", ":2: a is there twice"),
        ("a 10.0.0.1\nb\n", ":2: expected NAME ADDRESS"),
        ("a;b 10.0.0.1\nb 10.0.0.2\n", ":1: the name \"a;b\""),
        ("a 10.0.0.1 -oProxyCommand=x\nb 10.0.0.2\n", "begins with -"),
        ("a 10.0.0.1\r\nb 10.0.0.2\r\n", ":1: ends as Windows ends lines (CRLF)"),
        ("\u{feff}a 10.0.0.1\nb 10.0.0.2\n", ":1: begins with a byte order mark"),
        ("a 10.0.0.1 nowhere\nb 10.0.0.2 nowhere\n", "no route to nowhere"),
    ] {
        fs::write(hosts.path("bad"), text).expect("a file");
        let ended = hosts.mesh("bad", &[]).finish();
        assert_eq!(ended.status, 2, "{ended:?}");
        assert!(ended.stderr.contains(problem), "{problem}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    }
    let ended = hosts.mesh("hosts", &["--seconds", "0"]).finish();
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("--seconds \"0\""), "{ended:?}");
}
