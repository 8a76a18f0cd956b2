//! Real paths that end silent connections: address translation that forgets in
//! silence or with a reset, that takes a connection up again when the client
//! speaks, one direction that is forgotten, two translators in turn, loss, a
//! slow path, a proxy with a time-out, a peer with a keep-alive of its own, and a
//! service that goes away.

use std::process::Command;
use std::thread;
use std::time::Duration;

use super::common::{Ended, Impaired, Process, Server, figure, have, root};

/// A client, one or two routers and a server, in namespaces.
struct Lab {
    names: Vec<String>,
}

/// Makes namespaces $1 (client), $2 and $3 (routers), $4 (server). $5 and $6 are
/// the routers' time-outs in seconds, $7 is `nf_conntrack_tcp_loose`, $8 what the
/// routers do with what they do not know, $9 an nft rule for what is forwarded.
const SET_UP: &str = r#"
set -euo pipefail
c=$1 s=$4
for name in "$1" "$2" "$3" "$4"; do
  ip netns add "$name"
  ip -n "$name" link set lo up
done
ip -n "$s" address add 10.208.9.9/32 dev lo
n=0
for router in "$2" "$3"; do
  n=$((n + 1))
  ip -n "$c" link add "up$n" type veth peer name near netns "$router"
  ip -n "$s" link add "up$n" type veth peer name far netns "$router"
  ip -n "$c" address add "10.208.$n.2/24" dev "up$n"
  ip -n "$router" address add "10.208.$n.1/24" dev near
  ip -n "$s" address add "10.208.1$n.2/24" dev "up$n"
  ip -n "$router" address add "10.208.1$n.1/24" dev far
  ip -n "$c" link set "up$n" up
  ip -n "$s" link set "up$n" up
  ip -n "$router" link set near up
  ip -n "$router" link set far up
  ip -n "$router" route add 10.208.9.9/32 via "10.208.1$n.2"
  timeout=$5
  [[ $n == 1 ]] || timeout=$6
  ip netns exec "$router" nft -f - <<RULES || exit 77
table ip t {
  set seen { type ipv4_addr . inet_service; flags dynamic, timeout; size 1000; }
  chain post { type nat hook postrouting priority 100; oifname far masquerade; }
  chain forward { type filter hook forward priority 0; $9 ct state invalid $8; }
}
RULES
  ip netns exec "$router" bash -euc "
    cd /proc/sys/net
    echo 1 >ipv4/ip_forward
    cd netfilter
    echo $timeout >nf_conntrack_tcp_timeout_established
    echo $7 >nf_conntrack_tcp_loose" || exit 77
done
if [[ $6 == 0 ]]; then
  ip -n "$c" route add 10.208.9.9/32 via 10.208.1.1
else
  ip netns exec "$c" sysctl -qw net.ipv4.fib_multipath_hash_policy=1
  ip -n "$c" route add 10.208.9.9/32 nexthop via 10.208.1.1 nexthop via 10.208.2.1
fi
"#;

impl Lab {
    fn new(tag: &str, limits: [u32; 2], loose: u8, unknown: &str, rule: &str) -> Option<Self> {
        let name = |role: &str| format!("et-silent-{}-{tag}-{role}", std::process::id());
        let lab = Self { names: ["c", "r", "q", "s"].map(name).to_vec() };
        let mut command = Command::new("bash");
        command.args(["-c", SET_UP, "bash"]).args(&lab.names);
        command.args(limits.map(|limit| limit.to_string()));
        let done = command.args([&loose.to_string(), unknown, rule]).output().expect("bash");
        if done.status.code() == Some(77) {
            super::common::skipped("this kernel has no connection tracking to set");
            return None;
        }
        assert!(done.status.success(), "{tag}: {}", String::from_utf8_lossy(&done.stderr));
        Some(lab)
    }

    fn server(&self, arguments: &[&str]) -> Server {
        let mut server = Impaired::echotest_in(&self.names[3]);
        Server::from(server.arg("server").args(arguments).args(["-p", "0", "--bind", "10.208.9.9"]))
    }

    fn idle(&self, server: &Server, more: &[&str]) -> Ended {
        let mut command = Impaired::echotest_in(&self.names[0]);
        command.args(["idle", "10.208.9.9", &server.port(), "--json", "--precision", "0.5"]);
        Process::start(command.args(["--from", "0.8", "--timeout", "1"]).args(more)).finish()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "delete", name]).output();
        }
    }
}

/// Between what was lived through and what was not lies the limit, and the
/// interval that follows held.
#[track_caller]
fn found(ended: &Ended, limit: f64, how: &str) {
    let json = &ended.stdout;
    assert_eq!(ended.status, 0, "{ended:?}");
    let lived = figure(json, "idle.lived_s").unwrap_or_else(|| panic!("no life: {json}"));
    let died = figure(json, "idle.died_s").unwrap_or_else(|| panic!("no death: {json}"));
    // Connection tracking counts in ticks, and a loaded machine is late.
    assert!(lived <= limit + 0.3 && died >= limit - 0.3, "{lived} to {died}, not {limit}: {json}");
    assert!(died - lived < 0.8, "{lived} to {died} is no bracket: {json}");
    assert!(json.contains(&format!(r#""how":"{how}""#)), "{how}: {json}");
}

#[track_caller]
fn contains(ended: &Ended, text: &str) {
    assert!(ended.stdout.contains(text), "{text}: {ended:?}");
}

const TO: [&str; 2] = ["--to", "14"];

fn forgets_and_drops() {
    let Some(lab) = Lab::new("drop", [3, 0], 0, "drop", "") else { return };
    let ended = lab.idle(&lab.server(&[]), &TO);
    found(&ended, 3.0, "silent");
    contains(&ended, r#""keep_alive_s":1,"#);
    contains(&ended, r#""keep_alive":true,"speaking":true"#);
    contains(&ended, r#""mixture":null"#);
    // The question after the answer: does it hold?
    let ended = lab.idle(&lab.server(&[]), &["--to", "8", "--keepalive", "1"]);
    contains(&ended, r#""limit_found":false"#);
    let ended = lab.idle(&lab.server(&[]), &["--to", "8", "--keepalive", "5"]);
    contains(&ended, r#""limit_found":true"#);
}

fn forgets_and_resets() {
    let reset = "meta l4proto tcp reject with tcp reset";
    let Some(lab) = Lab::new("reset", [7, 0], 0, reset, "") else { return };
    let ended = lab.idle(&lab.server(&[]), &TO);
    found(&ended, 7.0, "reset");
    contains(&ended, r#""keep_alive_s":3,"#);
}

/// A longer limit, whose interval is not proven here: that takes twice as long.
fn forgets_after_twenty_seconds() {
    let Some(lab) = Lab::new("long", [20, 0], 0, "drop", "") else { return };
    found(&lab.idle(&lab.server(&[]), &["--to", "23", "--no-verify"]), 20.0, "silent");
}

/// The client's word is taken up again, the server's is lost.
fn takes_up_again_for_the_client_alone() {
    let Some(lab) = Lab::new("loose", [3, 0], 1, "drop", "") else { return };
    let ended = lab.idle(&lab.server(&[]), &["--to", "8", "--no-verify"]);
    contains(&ended, r#""limit_found":false"#);
    let ended = lab.idle(&lab.server(&["measure"]), &["--to", "8", "--from-server"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    contains(&ended, r#""speaks_first":"server""#);
    contains(&ended, r#""limit_found":true"#);
    let lived = figure(&ended.stdout, "idle.lived_s").unwrap_or_default();
    assert!(lived < 3.3, "{ended:?}");
}

/// Two translators in turn: connections to one forget early.
fn one_of_two_paths_forgets() {
    let Some(lab) = Lab::new("two", [3, 60], 0, "drop", "") else { return };
    let server = lab.server(&[]);
    let mut command = Impaired::echotest_in(&lab.names[0]);
    command.args(["idle", "10.208.9.9", &server.port(), "--from", "0.8", "--to", "7"]);
    let running = Process::start(command.args(["--precision", "0.5", "--timeout", "1"]));
    // Chance also says how many rounds there are.
    let ended = running.finish_within(Duration::from_mins(3));
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(!ended.stdout.contains("No limit was found"), "{ended:?}");
    // Chance may show one path alone above its limit; then that limit is the answer.
    let mixed = ended.stdout.contains(" died, others lived: the paths differ");
    assert!(mixed || ended.stdout.contains("; after 3."), "{ended:?}");
    // Whatever is advised lies below the lower limit.
    let advised = ended
        .stdout
        .split("Keep-alive interval to set: ")
        .nth(1)
        .map(|rest| rest.split(' ').next().and_then(|seconds| seconds.parse::<u64>().ok()));
    assert!(advised.is_none_or(|seconds| seconds.is_some_and(|seconds| seconds <= 2)), "{ended:?}");
}

/// What is lost on the way is no limit; a quarter of all packets are.
fn loss_is_no_limit() {
    let rule = "numgen random mod 100 < 25 drop;";
    let Some(lab) = Lab::new("loss", [60, 0], 1, "drop", rule) else { return };
    let mut command = Impaired::echotest_in(&lab.names[0]);
    let server = lab.server(&[]);
    command.args(["idle", "10.208.9.9", &server.port(), "--json", "--from", "1", "--to", "8"]);
    let ended = Process::start(command.args(["--timeout", "12"])).finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    contains(&ended, r#""limit_found":false"#);
    contains(&ended, r#""service_gone":false"#);
}

/// What the server says is dropped when the client has said nothing for three
/// seconds.
fn one_direction_is_forgotten() {
    let rule = "iifname near update @seen { ip saddr . tcp sport timeout 3s }; \
                iifname far ip daddr . tcp dport != @seen drop;";
    let Some(lab) = Lab::new("half", [60, 0], 1, "drop", rule) else { return };
    let ended = lab.idle(&lab.server(&[]), &["--to", "7", "--no-verify"]);
    contains(&ended, r#""limit_found":false"#);
    let ended = lab.idle(&lab.server(&["measure"]), &["--to", "7", "--from-server"]);
    found(&ended, 3.0, "silent");
}

fn the_service_goes_away() {
    let Some(lab) = Lab::new("gone", [60, 0], 1, "drop", "") else { return };
    let server = lab.server(&[]);
    let start = |more: &[&str]| {
        let mut command = Impaired::echotest_in(&lab.names[0]);
        command.args(["idle", "10.208.9.9", &server.port(), "--from", "1", "--to", "20"]);
        Process::start(command.args(["--timeout", "1"]).args(more))
    };
    let (process, as_json) = (start(&[]), start(&["--json"]));
    super::common::eventually("the first life", || process.stdout().contains("\n2 s: alive"));
    drop(server);
    let ended = as_json.finish();
    assert_eq!((ended.status, ended.stdout.lines().count()), (2, 1), "{ended:?}");
    contains(&ended, r#""error":"The service went away"#);
    let ended = process.finish();
    assert_eq!(ended.status, 2, "{ended:?}");
    contains(&ended, "The service went away: ");
    contains(&ended, "survived 2 s of silence");
    assert!(!ended.stdout.contains("interval to set"), "{ended:?}");
}

/// A round trip of 300 ms, and a firewall at the far end that forgets.
fn a_slow_path_is_bracketed_too() {
    let path = ["--delay", "150ms", "--name", "etisl"];
    let Some(path) = Impaired::new(&path) else { return };
    let rules = "
        nft add table ip t
        nft add chain ip t in '{ type filter hook input priority 0; }'
        nft add rule ip t in ct state invalid drop
        echo 4 >/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established
        echo 0 >/proc/sys/net/netfilter/nf_conntrack_tcp_loose";
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &path.far, "bash", "-euc", rules]);
    let done = command.output().expect("bash");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let server = path.server();
    let mut command = Impaired::echotest_in(&path.near);
    command.args(["idle", "10.201.0.2", &server.port(), "--json", "--precision", "0.5"]);
    let command = command.args(["--from", "0.8", "--to", "14", "--timeout", "2"]);
    found(&Process::start(command).finish(), 4.0, "silent");
}

/// A proxy with a time-out closes, and no keep-alive of a kernel's holds it.
fn a_proxys_time_out_is_seen() {
    if !have("haproxy") {
        return;
    }
    let server = Server::start(&[]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let port = port.expect("a port").port();
    let scratch = super::common::Scratch::new();
    let configuration = scratch.path().join("haproxy.cfg");
    let text = format!(
        "defaults\n  mode tcp\n  timeout connect 2s\n  timeout client 3s\n  timeout server 3s\n\
         listen echo\n  bind 127.0.0.1:{port}\n  server one {}\n",
        server.address
    );
    std::fs::write(&configuration, text).expect("a file");
    let mut proxy = Command::new("haproxy")
        .arg("-q")
        .arg("-db")
        .arg("-f")
        .arg(&configuration)
        .spawn()
        .expect("haproxy");
    super::common::eventually("haproxy", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let ended = super::run([
        "idle",
        "127.0.0.1",
        &port.to_string(),
        "--json",
        "--from",
        "0.8",
        "--to",
        "14",
    ]);
    let _ = proxy.kill();
    let _ = proxy.wait();
    assert_eq!(ended.status, 0, "{ended:?}");
    contains(&ended, r#""how":"closed_idle""#);
    let died = figure(&ended.stdout, "idle.died_s").unwrap_or_default();
    assert!((2.9..3.6).contains(&died), "{ended:?}");
    contains(&ended, r#""keep_alive":false,"speaking":true"#);
    contains(&ended, r#""keep_alive_s":null"#);
}

/// A peer whose kernel speaks by itself leaves no longer silence.
fn a_peers_keep_alive_is_no_silence() {
    const PEER: &str = "
import socket, threading
server = socket.create_server(('127.0.0.1', 0))
print(server.getsockname()[1], flush=True)
def serve(one):
    for option, value in ((4, 2), (5, 2), (6, 9)):
        one.setsockopt(6, option, value)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    while data := one.recv(99):
        one.sendall(data)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
";
    if !have("python3") {
        return;
    }
    let peer = Process::start(Command::new("python3").args(["-c", PEER]));
    super::common::eventually("a port", || peer.stdout().ends_with('\n'));
    let port = peer.stdout().trim().to_owned();
    let ended = super::run(["idle", "127.0.0.1", &port, "--from", "0.5", "--to", "9"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    contains(&ended, "alive, but no silence: the peer's kernel spoke after ");
    contains(&ended, "The peer's kernel speaks by itself after ");
    assert!(!ended.stdout.contains("No limit was found"), "{ended:?}");
}

#[test]
fn each_path_is_told_as_it_is() {
    if !(root() && have("ip") && have("nft")) {
        return;
    }
    let paths: [fn(); 11] = [
        forgets_and_drops,
        forgets_and_resets,
        forgets_after_twenty_seconds,
        takes_up_again_for_the_client_alone,
        one_of_two_paths_forgets,
        loss_is_no_limit,
        one_direction_is_forgotten,
        the_service_goes_away,
        a_slow_path_is_bracketed_too,
        a_proxys_time_out_is_seen,
        a_peers_keep_alive_is_no_silence,
    ];
    // They wait, they do not work: all at once.
    thread::scope(|scope| {
        let running = paths.map(|path| scope.spawn(path));
        let told = running.map(|path| path.join().is_ok());
        assert!(!told.contains(&false), "told right, in order: {told:?}");
    });
}
