//! Several flows and several targets on one schedule, over real sockets; four equal
//! paths between two namespaces where that can be.
#![allow(clippy::disallowed_methods, reason = "tests use std's sockets and clock")]

mod common;

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::process::{Command, id};

use common::lab::sh;
use common::{
    Impaired, Process, Scratch, Server, client_command, element, figure, have, root, rows, run,
};

/// Two namespaces with four equal links; a connection's ports choose one on the way
/// there, and all come back over the first.
struct EqualPaths {
    near: String,
    far: String,
}

impl EqualPaths {
    fn new() -> Option<Self> {
        if !(root() && have("ip") && have("nft")) {
            return None;
        }
        let (near, far) = (format!("etfa{}", id()), format!("etfb{}", id()));
        let lab = Self { near, far };
        let (a, b) = (&lab.near, &lab.far);
        sh(&format!(
            "ip netns add {a}; ip netns add {b}
             ip -n {a} link set lo up; ip -n {b} link set lo up
             ip -n {a} addr add 10.202.0.1/32 dev lo; ip -n {b} addr add 10.202.0.2/32 dev lo
             for i in 0 1 2 3; do
               ip link add p$i netns {a} type veth peer name p$i netns {b}
               ip -n {a} addr add 10.202.1$i.1/24 dev p$i; ip -n {b} addr add 10.202.1$i.2/24 dev p$i
               ip -n {a} link set p$i up; ip -n {b} link set p$i up
             done
             ip netns exec {a} sysctl -qw net.ipv4.fib_multipath_hash_policy=1
             ip -n {a} route add 10.202.0.2 src 10.202.0.1 nexthop via 10.202.10.2 \
               nexthop via 10.202.11.2 nexthop via 10.202.12.2 nexthop via 10.202.13.2
             ip -n {b} route add 10.202.0.1 src 10.202.0.2 via 10.202.10.1
             for n in {a} {b}; do for i in all default p0 p1 p2 p3; do
               ip netns exec $n sysctl -qw net.ipv4.conf.$i.rp_filter=0
             done; done
             ip netns exec {b} nft 'add table ip t; add chain ip t c {{ type filter hook prerouting priority -300; }}'
             for i in 0 1 2 3; do
               ip netns exec {b} nft \"add set ip t s$i {{ type inet_service; flags dynamic; }}; \
                 add rule ip t c iifname p$i tcp sport 40000-40015 add @s$i {{ tcp sport }}\"
             done"
        ));
        Some(lab)
    }

    /// The flows, from 1, that took a path.
    fn flows_over(&self, path: usize) -> BTreeSet<u64> {
        let listed = sh(&format!("ip netns exec {} nft list set ip t s{path}", self.far));
        let ports =
            listed.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok());
        ports
            .filter(|port| (40_000..40_016).contains(port))
            .map(|port: u64| port - 39_999)
            .collect()
    }

    fn drop_on(&self, path: usize, percent: u32) {
        sh(&format!(
            "ip netns exec {} nft 'add rule ip t c iifname p{path} tcp sport 40000-40015 \
             numgen random mod 100 < {percent} drop'",
            self.far
        ));
    }
}

impl Drop for EqualPaths {
    fn drop(&mut self) {
        for namespace in [&self.near, &self.far] {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

/// The flows that a run's object calls outliers.
fn outliers(json: &str) -> BTreeSet<u64> {
    let (_, flows) = json.split_once("\"flows\":").expect("flows");
    let odd = |place: &usize| {
        let flow = element(flows, *place).expect("a flow");
        flow.split("\"outlier\":").nth(1).expect("a verdict").starts_with("true")
    };
    (0..16).filter(odd).map(|place| place as u64 + 1).collect()
}

#[test]
fn the_flows_over_a_bad_one_of_four_equal_paths_are_named_and_no_others() {
    let Some(lab) = EqualPaths::new() else { return };
    let server = {
        let mut command = Impaired::echotest_in(&lab.far);
        Server::from(command.args(["server", "--port", "0", "--bind", "10.202.0.2"]))
    };
    let measure = |more: &[&str]| {
        let scratch = Scratch::new();
        let mut command = Impaired::echotest_in(&lab.near);
        let arguments = ["--flows", "16", "--source-ports", "40000-40015", "--json"];
        client_command(&mut command, server.address, &scratch, &[&arguments, more].concat());
        Process::start(&mut command).finish()
    };
    let clean = measure(&["-i", "0.1", "-c", "40"]);
    assert_eq!(clean.status, 0, "{clean:?}");
    assert_eq!(outliers(&clean.stdout), BTreeSet::new(), "{}", clean.stdout);
    let over: Vec<BTreeSet<u64>> = (0..4).map(|path| lab.flows_over(path)).collect();
    assert_eq!(over.iter().map(BTreeSet::len).sum::<usize>(), 16, "{over:?}");
    // One that is not empty and that less than half of them take.
    let bad = (0..4).find(|path| (1..8).contains(&over[*path].len())).expect("a path");
    lab.drop_on(bad, 20);
    let found = measure(&["-i", "0.1", "-c", "120"]);
    assert_eq!(outliers(&found.stdout), over[bad], "{}", found.stdout);
}

#[test]
fn each_flow_has_its_port_and_its_rows() {
    let server = Server::start(&["echo"]);
    let scratch = Scratch::new();
    let mut command = common::echotest();
    let arguments = ["--flows", "3", "-i", "0.03", "-c", "20", "--json"];
    client_command(&mut command, server.address, &scratch, &arguments);
    let ended = Process::start(&mut command).finish();
    let json = &ended.stdout;
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(figure(json, "packets.sent"), Some(60.0), "{json}");
    let ports: BTreeSet<u64> = (0..3)
        .map(|flow| {
            let of = |key: &str| figure(json, &format!("flows.{flow}.{key}")).expect("a number");
            assert!((of("packets.sent") - 20.0).abs() < 0.5, "{json}");
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a port")]
            let port = of("local_port") as u64;
            port
        })
        .collect();
    assert_eq!(ports.len(), 3, "{json}");
    let rows = rows(&common::file(scratch.path(), "_timings.csv"));
    for flow in ["1", "2", "3"] {
        let numbers: Vec<u64> =
            rows.iter().filter(|row| row.more[0] == flow).map(|row| row.number).collect();
        assert_eq!(numbers, (1..=20).collect::<Vec<u64>>(), "in order, flow {flow}");
    }
}

#[test]
fn targets_take_turns_and_are_compared_round_by_round() {
    let servers = [Server::start(&["echo"]), Server::start(&["echo"])];
    let against = servers[1].address.to_string();
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("a port");
    let nobody = nobody.to_string();
    let scratch = Scratch::new();
    let mut command = common::echotest();
    let arguments =
        ["--against", &against, "--against", &nobody, "-i", "0.02", "-c", "60", "--json"];
    client_command(&mut command, servers[0].address, &scratch, &arguments);
    let ended = Process::start(&mut command).finish();
    let json = &ended.stdout;
    assert_eq!(ended.status, 1, "one target refuses, the others go on: {ended:?}");
    assert!(json.contains("connection refused"), "{json}");
    // Each target's own object has the key as well, and comes before.
    let (_, compared) = json.rsplit_once("\"comparisons\":").expect("comparisons");
    let compared = element(compared, 0).expect("one");
    assert_eq!(figure(compared, "rounds"), Some(60.0), "{compared}");
    for target in 0..2 {
        assert_eq!(figure(json, &format!("targets.{target}.packets.sent")), Some(60.0), "{json}");
    }
    let other = common::file(scratch.path(), "_target2_timings.csv");
    let first = other.to_string_lossy().replace("_target2", "");
    let (first, other) = (rows(first.as_ref()), rows(&other));
    assert_eq!((first.len(), other.len()), (60, 60));
    let goes_first: Vec<bool> =
        first.iter().zip(&other).map(|(a, b)| a.sent_ns < b.sent_ns).collect();
    let alternates = goes_first.windows(2).filter(|two| two[0] != two[1]).count();
    assert!(alternates >= 50, "{goes_first:?}");
}

#[test]
fn what_cannot_be_is_said_and_nothing_is_left() {
    let server = Server::start(&["echo"]);
    let port = server.port();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = taken.local_addr().expect("a port").port().to_string();
    let cases: [(&[&str], &str); 6] = [
        (&["--flows", "0"], "--flows"),
        (&["--flows", "257"], "--flows"),
        (&["--flows", "4", "--source-ports", "40000-40002"], "too few"),
        (&["--source-ports", &taken, "--bind", "127.0.0.1"], &taken),
        (&["--against", "127.0.0.1", "-i", "0"], "--frequency"),
        (&["--flows", "2", "--message", "x"], "--message"),
    ];
    for (arguments, says) in cases {
        let scratch = Scratch::new();
        let directory = scratch.path().join("logs");
        let all = [&["client", "127.0.0.1", &port, "-c", "1"], arguments].concat();
        let log_dir = ["--log-dir", directory.to_str().expect("text")];
        let ended = run([&all[..], &log_dir].concat());
        assert_eq!(ended.status, 2, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(says), "{arguments:?}: {ended:?}");
        assert!(!directory.exists(), "{arguments:?}");
    }
}
