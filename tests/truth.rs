//! Causes injected into known packets against causes told: a quick part, over a path
//! of 20 ms between two namespaces.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests use std's sockets and clock, and say what they leave out"
)]

mod common;

use std::thread;
use std::time::Duration;

use common::{Impaired, Process, Scratch, Server, figure};

const CAUSES: [&str; 8] = [
    "here_sending",
    "window",
    "outbound_loss",
    "inbound_loss",
    "peer",
    "here_receiving",
    "path",
    "unknown",
];

/// How many slow packets were told by each cause.
fn told(json: &str) -> Vec<(&'static str, f64)> {
    let count = |cause| figure(json, &format!("slow.causes.{cause}")).expect("a number");
    CAUSES.iter().map(|cause| (*cause, count(*cause))).collect()
}

/// At least one, nine of ten with the true cause, the others unknown or what a busy
/// machine does by itself. `wrong` are causes that would send people to another team.
#[track_caller]
fn right(json: &str, truth: &str, wrong: &[&str]) {
    let told = told(json);
    let of = |name: &str| told.iter().find(|(cause, _)| *cause == name).map_or(0.0, |one| one.1);
    assert!(of(truth) >= 1.0, "{truth}: {told:?}: {json}");
    let wrongly: f64 = wrong.iter().map(|cause| of(cause)).sum();
    assert!(wrongly <= of(truth) / 10.0, "{truth}: {told:?}: {json}");
}

/// A run of the lab in which this busy machine, which is both hosts, held no packet up
/// by itself; the last of four at any rate.
fn undisturbed(run: impl Fn() -> String) -> String {
    let held_up = |json: &String| {
        told(json)
            .iter()
            .any(|(cause, count)| (cause.starts_with("here") || *cause == "peer") && *count > 0.5)
    };
    (0..3).map(|_| run()).find(|json| !held_up(json)).unwrap_or_else(run)
}

struct Lab {
    path: Impaired,
    server: Server,
    scratch: Scratch,
}

impl Lab {
    fn new(name: &str, more: &[&str]) -> Option<Self> {
        let path = Impaired::new(&[&["--delay", "10ms", "--name", name], more].concat())?;
        let server = path.server();
        Some(Self { path, server, scratch: Scratch::new() })
    }

    fn client(&self, arguments: &[&str]) -> Process {
        let all = [&["--json", "-c", "150", "-i", "0.05"], arguments].concat();
        self.path.client(&self.server, &self.scratch, &all)
    }

    fn json(&self, arguments: &[&str]) -> String {
        let ended = self.client(arguments).finish();
        assert_eq!(ended.status, 0, "{ended:?}");
        ended.stdout
    }
}

#[test]
fn losses_are_told_by_their_direction() {
    let Some(out) = Lab::new("ettro", &["--loss-ab", "6%", "--seed", "5"]) else { return };
    let Some(back) = Lab::new("ettrb", &["--loss-ba", "6%", "--seed", "6"]) else { return };
    let elsewhere = ["here_sending", "here_receiving", "peer"];
    thread::scope(|scope| {
        let out = scope.spawn(move || undisturbed(|| out.json(&["--timestamps", "kernel"])));
        let back = scope.spawn(move || undisturbed(|| back.json(&[])));
        let (out, back) = (out.join().expect("a run"), back.join().expect("a run"));
        right(&out, "outbound_loss", &[&elsewhere[..], &["inbound_loss"]].concat());
        right(&back, "inbound_loss", &[&elsewhere[..], &["outbound_loss"]].concat());
        for json in [out, back] {
            assert!(!json.contains("delayed_ack_plateau"), "{json}");
        }
    });
}

#[test]
fn a_stopped_server_is_the_peer() {
    let Some(lab) = Lab::new("ettrp", &[]) else { return };
    let process = lab.client(&[]);
    for _ in 0..4 {
        thread::sleep(Duration::from_millis(700));
        lab.server.process.signal("STOP");
        thread::sleep(Duration::from_millis(300));
        lab.server.process.signal("CONT");
    }
    let json = process.finish().stdout;
    right(&json, "peer", &["outbound_loss", "inbound_loss", "here_sending", "window"]);
    assert_eq!(figure(&json, "packets.lost"), Some(0.0), "{json}");
}

#[test]
fn a_window_of_the_path_is_no_share_of_this_host() {
    let Some(lab) = Lab::new("ettrw", &[]) else { return };
    let arguments = ["-s", "256K", "-i", "0.3", "-c", "10", "--slow", "30ms"];
    let json = lab.json(&arguments);
    let told = told(&json);
    let here: f64 =
        told.iter().filter(|(cause, _)| cause.starts_with("here")).map(|one| one.1).sum();
    assert!(here < 1.0, "{told:?}: {json}");
}

#[test]
fn a_path_that_swallows_large_packets_is_named_and_one_that_loses_many_is_not() {
    let labs = [("ettmo", ["--max-ab", "1300"], true), ("ettmb", ["--max-ba", "1300"], true)];
    let labs = labs.into_iter().chain([("ettml", ["--loss", "40%"], false)]);
    let labs = labs.filter_map(|(name, path, hole)| Some((Lab::new(name, &path)?, hole)));
    let labs: Vec<_> = labs.collect();
    thread::scope(|scope| {
        for (lab, hole) in labs {
            scope.spawn(move || {
                let arguments = ["-s", "8K", "-i", "0.3", "-c", "14", "-W", "1"];
                let json = lab.client(&arguments).finish().stdout;
                assert_eq!(json.contains("\"kind\":\"mtu_black_hole\""), hole, "{json}");
                assert!(!json.contains("did not answer"), "nobody's program: {json}");
            });
        }
    });
}

#[test]
fn a_clean_path_has_no_cause_of_the_networks() {
    let Some(lab) = Lab::new("ettrc", &[]) else { return };
    let json = lab.json(&["-i", "0.01", "-c", "800"]);
    for (cause, count) in told(&json) {
        // The forwarder and this machine may be late; nothing is lost.
        if cause.ends_with("loss") || cause == "window" {
            assert!(count < 1.0, "{cause}: {json}");
        }
    }
}

/// A share of the matrix that `scripts/truth.sh` prints, pooled over its kinds: on a
/// busy machine, which is both hosts, a single packet may be held up by that.
#[test]
fn single_packets_are_told_as_the_matrix_promises() {
    if !(common::root() && common::have("python3") && common::have("ip")) {
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/truth_matrix.py");
    let mut command = std::process::Command::new("python3");
    command.args([script, "--binary", env!("CARGO_BIN_EXE_echotest"), "--incidents", "6"]);
    command.args(["--rtts", "20", "--intervals", "20,200", "--jobs", "6"]);
    let ended = Process::start(&mut command).finish();
    let share = |line: &str, place: usize| {
        let shares: Vec<&str> =
            line.split_whitespace().filter(|word| word.ends_with('%')).collect();
        shares.get(place)?.trim_end_matches('%').parse::<f64>().ok()
    };
    let shares = |place| ended.stdout.lines().filter_map(|line| share(line, place)).collect();
    let (right, wrong): (Vec<f64>, Vec<f64>) = (shares(0), shares(1));
    assert_eq!(right.len(), 9, "{ended:?}");
    let kinds = 9.0;
    assert!(right.iter().sum::<f64>() / kinds >= 85.0, "{}", ended.stdout);
    assert!(wrong.iter().sum::<f64>() / kinds <= 5.0, "{}", ended.stdout);
}

#[test]
fn the_self_test_tells_no_wrong_cause() {
    let ended = common::run(["selftest"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stdout.ends_with("no wrong cause was told\n"), "{ended:?}");
    // A busy machine may leave one untold.
    let right = ended.stdout.lines().filter(|line| line.contains(" right ")).count();
    assert!(right >= 4, "{ended:?}");
}
