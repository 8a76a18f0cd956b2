//! `echotest idle` against paths and peers that end a silent connection: a
//! router with address translation that forgets, peers that forget or reset,
//! a server with a time-out of its own, and one without.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests use std's sockets and clock, and say what they leave out"
)]

mod common;
#[path = "idle/paths.rs"]
mod paths;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Ended, Impaired, Process, Server, echotest, figure, have, peer, root, run};

/// Gaps that a test can wait for.
const SHORT: [&str; 8] = ["--from", "0.5", "--to", "6", "--precision", "0.5", "--timeout", "1"];

fn idle(address: SocketAddr, more: &[&str]) -> Ended {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    run([&["idle", &host, &port], &SHORT[..], more].concat())
}

/// The limit lies between what was lived through and what was not.
fn brackets(json: &str, limit: f64, how: &str) {
    let lived = figure(json, "idle.lived_s").expect("a gap that was lived through");
    let died = figure(json, "idle.died_s").expect("a gap that was not");
    // A late machine makes the true silence longer than the planned one.
    assert!(lived <= limit + 0.1 && died >= limit - 0.1, "{lived} to {died}, not {limit}: {json}");
    assert!(json.contains(&format!(r#""how":"{how}""#)), "{how}: {json}");
    assert!(json.contains(r#""complete":true"#), "{json}");
}

#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Forgets,
    Resets,
}

/// An echo service behind a path that forgets a connection after `limit`.
fn forgetful(limit: Duration, manner: Manner) -> SocketAddr {
    peer(move |mut stream, _| {
        let mut buffer = [0; 512];
        let mut heard = Instant::now();
        loop {
            // Only a glance: what stays unread makes the close a reset.
            let count = match stream.peek(&mut buffer[..1]) {
                Ok(0) | Err(_) => return,
                Ok(_) if heard.elapsed() < limit => stream.read(&mut buffer).unwrap_or(0),
                Ok(_) if manner == Manner::Resets => return,
                Ok(_) => return black_hole(&mut stream),
            };
            heard = Instant::now();
            if stream.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    })
}

/// Takes everything and says nothing.
fn black_hole(stream: &mut TcpStream) {
    while stream.read(&mut [0; 512]).is_ok_and(|count| count > 0) {}
}

#[test]
fn a_program_that_answers_no_more_is_told_from_a_path_that_forgets() {
    let address = forgetful(Duration::from_millis(1700), Manner::Forgets);
    let ended = idle(address, &[]);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{ended:?}");
    let out = &ended.stdout;
    assert!(out.contains("\n1 s: alive, answered in "), "{out}");
    assert!(out.contains("\n2 s: the probe was acknowledged, but the program did not"), "{out}");
    assert!(!out.contains("\n4 s:"), "longer gaps were waited for: {out}");
    assert!(out.contains("\nround 2: "), "{out}");
    assert!(out.contains(" of silence; after "), "{out}");
    assert!(out.contains("the peer's program answers no more: its kernel, or a proxy"), "{out}");
    assert!(!out.contains("on the path"), "{out}");
    let json = idle(address, &["--json"]).stdout;
    assert_eq!(json.lines().count(), 1, "{json}");
    brackets(&json, 1.7, "unanswered");
}

#[test]
fn a_path_that_resets_is_found_and_named() {
    let address = forgetful(Duration::from_millis(2400), Manner::Resets);
    let json = idle(address, &["--json"]).stdout;
    brackets(&json, 2.4, "reset");
    assert!(json.contains(" after the probe (the smallest round trip was "), "{json}");
    // This peer hears no keep-alive, only what is said: tried, and not advised.
    assert!(json.contains(r#""keep_alive":false,"speaking":true"#), "{json}");
    assert!(json.contains(r#""keep_alive_s":null"#), "{json}");
}

#[test]
fn a_servers_own_time_out_is_seen_to_the_moment() {
    let server = Server::start(&["--idle-timeout", "2"]);
    let ended = idle(server.address, &[]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stdout.contains(": closed by the peer during the gap\n"), "{ended:?}");
    assert!(ended.stdout.contains("does not count there"), "{ended:?}");
    let json = idle(server.address, &["--json"]).stdout;
    assert!(json.contains(r#""how":"closed_idle""#), "{json}");
    let died = figure(&json, "idle.died_s").unwrap();
    assert!((1.9..2.6).contains(&died), "{json}");
}

#[test]
fn no_limit_is_an_answer_too() {
    let server = Server::start(&[]);
    let (host, port) = (server.address.ip().to_string(), server.port());
    let ended = run(["idle", &host, &port, "--from", "0.3", "--to", "1"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    let answer = "No limit was found: a connection survives 1 s of silence.\n";
    assert!(ended.stdout.contains(answer), "{ended:?}");
    assert!(ended.took < Duration::from_secs(3), "{ended:?}");
    let json = run(["idle", &host, &port, "--from", "0.3", "--to", "1", "--json"]).stdout;
    assert!(json.contains(r#""limit_found":false,"lived_s":1.000,"died_s":null"#), "{json}");
}

#[test]
fn ctrl_c_prints_what_is_known() {
    let server = Server::start(&[]);
    let port = server.port();
    for (wait, status, known) in [
        ("\n0.4 s: alive", 0, "of silence; longer gaps are not known (stopped before all"),
        ("round 1", 0, "asking the connections that are silent so far"),
    ] {
        let from = if wait.contains("alive") { "0.4" } else { "60" };
        let process = Process::start(echotest().args([
            "idle",
            "127.0.0.1",
            &port,
            "--from",
            from,
            "--to",
            "100",
        ]));
        common::eventually(wait, || process.stdout().contains(wait));
        // Each has had its first answer by then.
        std::thread::sleep(Duration::from_millis(300));
        process.signal("INT");
        let ended = process.finish();
        assert_eq!(ended.status, status, "{ended:?}");
        assert!(ended.stdout.contains(known), "{ended:?}");
        assert!(ended.took < Duration::from_secs(2), "{ended:?}");
    }
}

#[test]
fn what_cannot_be_tested_is_exit_1_and_says_why() {
    let refused = run(["idle", "127.0.0.1", "1"]);
    assert_eq!((refused.status, refused.stdout.as_str()), (1, ""), "{refused:?}");
    assert!(refused.stderr.contains("refused"), "{refused:?}");
    let closes = idle(peer(|_, _| {}), &[]);
    assert_eq!(closes.status, 1, "{closes:?}");
    let mute = idle(peer(|mut stream, _| black_hole(&mut stream)), &["--to", "0.5"]);
    assert_eq!(mute.status, 1, "{mute:?}");
    assert!(mute.stderr.contains("the first probe had no answer"), "{mute:?}");
    let wrong = run(["idle", "h", "--from", "20", "--to", "10"]);
    assert_eq!(wrong.status, 2, "{wrong:?}");
    assert!(wrong.stderr.contains("--from is longer than --to"), "{wrong:?}");
}

#[test]
fn a_server_that_takes_few_connections_is_asked_for_few() {
    let server = Server::start(&["--max-clients", "2", "--idle-timeout", "0"]);
    let (host, port) = (server.address.ip().to_string(), server.port());
    let ended = run(["idle", &host, &port, "--from", "0.2", "--to", "1.5"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stdout.contains("not tested: "), "{ended:?}");
    assert!(ended.stdout.contains("No limit was found"), "{ended:?}");
}

/// Two hosts with a router between them that translates addresses and forgets
/// a connection after two seconds.
struct Router {
    names: [String; 3],
}

impl Router {
    /// `answer` is what the router does with what it does not know.
    fn new(tag: &str, answer: &str) -> Option<Self> {
        if !(root() && have("ip") && have("nft")) {
            return None;
        }
        let name = |role| format!("et-idle-{}-{tag}-{role}", std::process::id());
        let router = Self { names: ["a", "r", "b"].map(name) };
        let mut command = Command::new("bash");
        command.args(["-c", SET_UP, "bash"]).args(&router.names).arg(answer);
        let done = command.output().expect("bash");
        if done.status.code() == Some(77) {
            common::skipped("this kernel has no connection tracking to set");
            return None;
        }
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Some(router)
    }

    /// What the search finds across it.
    fn idle(&self) -> String {
        let mut server = Impaired::echotest_in(&self.names[2]);
        let server = Server::from(server.args(["server", "-p", "0", "--bind", "10.207.2.2"]));
        let mut command = Impaired::echotest_in(&self.names[0]);
        command.args(["idle", "10.207.2.2", &server.port(), "--json"]).args(SHORT);
        let ended = Process::start(&mut command).finish();
        assert_eq!(ended.status, 0, "{ended:?}");
        ended.stdout
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "delete", name]).output();
        }
    }
}

/// Namespaces $1 (client), $2 (router), $3 (server); $4 is an nft statement.
/// Without `tcp_loose=0` the router would take up what it has forgotten anew.
const SET_UP: &str = r#"
set -euo pipefail
for name in "$1" "$2" "$3"; do
  ip netns add "$name"
  ip -n "$name" link set lo up
done
ip -n "$1" link add eth0 type veth peer name down1 netns "$2"
ip -n "$3" link add eth0 type veth peer name down2 netns "$2"
ip -n "$1" address add 10.207.1.2/24 dev eth0
ip -n "$3" address add 10.207.2.2/24 dev eth0
ip -n "$2" address add 10.207.1.1/24 dev down1
ip -n "$2" address add 10.207.2.1/24 dev down2
ip -n "$1" link set eth0 up
ip -n "$3" link set eth0 up
ip -n "$2" link set down1 up
ip -n "$2" link set down2 up
ip -n "$1" route add default via 10.207.1.1
ip netns exec "$2" nft -f - <<RULES || exit 77
table ip t {
  chain post { type nat hook postrouting priority 100; oifname down2 masquerade; }
  chain forward { type filter hook forward priority 0; ct state invalid $4; }
}
RULES
ip netns exec "$2" bash -euc '
  cd /proc/sys/net
  echo 1 >ipv4/ip_forward
  cd netfilter
  echo 2 >nf_conntrack_tcp_timeout_established
  echo 0 >nf_conntrack_tcp_loose' || exit 77
"#;

#[test]
fn a_router_that_forgets_translations_and_drops_is_found() {
    let Some(router) = Router::new("drop", "drop") else { return };
    brackets(&router.idle(), 2.0, "silent");
}

#[test]
fn a_router_that_answers_what_it_forgot_with_a_reset_is_found() {
    let Some(router) = Router::new("reset", "meta l4proto tcp reject with tcp reset") else {
        return;
    };
    brackets(&router.idle(), 2.0, "reset");
}

#[test]
fn a_router_that_answers_with_an_icmp_error_is_found() {
    let answer = "reject with icmp type admin-prohibited";
    let Some(router) = Router::new("icmp", answer) else { return };
    let json = router.idle();
    brackets(&json, 2.0, "unreachable");
    assert!(json.contains("10.207.1.1"), "the router is not named: {json}");
}
