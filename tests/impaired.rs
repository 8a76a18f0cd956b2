//! Across a real path with delay, loss and cuts, between two namespaces.
#![allow(clippy::disallowed_methods, reason = "tests use std's clock")]

mod common;

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use common::{Impaired, Run, Scratch, figure, left};

/// One at a time: what they measure is the path, not each other.
static ALONE: Mutex<()> = Mutex::new(());

fn measured(path: &Impaired, arguments: &[&str]) -> Run {
    let server = path.server();
    let scratch = Scratch::new();
    let ended = path.client(&server, &scratch, arguments).finish();
    left(ended, &scratch)
}

#[test]
fn twenty_milliseconds_there_and_back_are_measured_as_twenty() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(path) = Impaired::new(&["--delay", "10ms"]) else { return };
    let run = measured(&path, &["-c", "100", "-i", "0.02"]);
    let mut rtts: Vec<f64> = run.rows.iter().filter_map(common::Row::rtt_ms).collect();
    assert_eq!(rtts.len(), 100, "{:?}", run.ended);
    rtts.sort_by(f64::total_cmp);
    assert!(rtts[0] >= 20.0, "fastest {}", rtts[0]);
    assert!(rtts[50] <= 21.0, "median {}", rtts[50]);
}

#[test]
fn lost_segments_show_as_long_round_trips_and_retransmits_never_as_lost_packets() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(path) = Impaired::new(&["--delay", "5ms", "--loss", "2%"]) else { return };
    let run = measured(&path, &["-c", "600", "-i", "0.01", "--tcp-info", "--json"]);
    let json = &run.ended.stdout;
    assert_eq!(figure(json, "packets.received"), Some(600.0), "{json}");
    assert_eq!(figure(json, "packets.lost"), Some(0.0), "{json}");
    let retransmits = figure(json, "tcp.retransmits").unwrap();
    assert!(retransmits > 0.0, "{json}");
    let column: Vec<u64> = run.rows.iter().map(|row| row.more[3].parse().unwrap()).collect();
    assert!(column.is_sorted(), "the counter of one connection never falls");
    assert!(*column.last().unwrap() > 0);
    let marked: Vec<f64> =
        run.rows.iter().filter(|row| row.more[5] == "1").filter_map(common::Row::rtt_ms).collect();
    assert!(!marked.is_empty(), "no packet is marked as retransmitted");
    let slowest = run.rows.iter().filter_map(common::Row::rtt_ms).fold(0.0, f64::max);
    assert!(slowest > 15.0, "slowest {slowest} ms");
    let fastest_marked = marked.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(fastest_marked > 10.0, "a retransmitted packet took {fastest_marked} ms");
}

#[test]
fn a_cut_path_with_patience_gives_late_packets() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(mut path) = Impaired::new(&["--delay", "5ms"]) else { return };
    let server = path.server();
    let scratch = Scratch::new();
    let client = path.client(&server, &scratch, &["-c", "60", "-i", "0.1", "-W", "1.5"]);
    thread::sleep(Duration::from_secs(1));
    path.tell("cut");
    thread::sleep(Duration::from_secs(2));
    path.tell("restore");
    let run = left(client.finish(), &scratch);
    assert_eq!(run.rows.len(), 60);
    assert!(run.rows.iter().all(|row| row.rtt_us().is_some()), "{:?}", run.ended);
    let late = run.rows.iter().filter(|row| row.rtt_ms() > Some(1500.0)).count();
    assert!(late > 0 && run.ended.stdout.contains(&format!("{late} late")), "{:?}", run.ended);
    assert!(run.ended.stdout.contains("0 drops"), "{:?}", run.ended);
}

/// The quarter of a second between scouts, two round trips, and what a loaded
/// machine adds.
const RESOLUTION: f64 = 0.25 + 0.02 + 0.2;

#[test]
fn a_cut_is_told_as_long_as_it_was_and_the_connection_survives_it() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(mut path) = Impaired::new(&["--delay", "5ms"]) else { return };
    let server = path.server();
    let scratch = Scratch::new();
    // Three time-outs of 0.5 s pass, and end nothing.
    let arguments = ["-w", "8", "-i", "0.05", "-W", "0.5", "--json"];
    let client = path.client(&server, &scratch, &arguments);
    thread::sleep(Duration::from_secs(1));
    path.tell("cut");
    let cut = std::time::Instant::now();
    thread::sleep(Duration::from_secs(3));
    path.tell("restore");
    let cut = cut.elapsed().as_secs_f64();
    let run = left(client.finish(), &scratch);
    let json = &run.ended.stdout;
    assert_eq!(figure(json, "connections.drops"), Some(0.0), "{json}");
    assert_eq!(figure(json, "packets.lost"), Some(0.0), "{json}");
    let outage = figure(json, "connections.outage_s").unwrap();
    assert!((outage - cut).abs() <= RESOLUTION, "an outage of {outage} s for a cut of {cut} s");
    assert!(json.contains(r#""kind":"outage""#) && json.contains(r#""fate":"survived""#), "{json}");
    assert!(run.log.contains("the path is back after"), "{}", run.log);
}

/// A run during which the far host begins to drop what `rules` say of the
/// connection's port, and that port.
fn filtered(rules: impl Fn(&str) -> String) -> Option<(Run, String)> {
    if !(common::have("nft") && common::have("ss")) {
        return None;
    }
    let path = Impaired::new(&["--delay", "5ms"])?;
    let server = path.server();
    let scratch = Scratch::new();
    let client = path.client(&server, &scratch, &["-w", "11", "-i", "0.05", "--json"]);
    thread::sleep(Duration::from_secs(1));
    let within = |namespace: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new("ip");
        let output = command.args(["netns", "exec", namespace]).args(arguments).output();
        let output = output.expect("ip");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let sockets = within(&path.near, &["ss", "-tnH"]);
    let local = sockets.split_whitespace().nth(3).unwrap_or_default();
    let port = local.rsplit(':').next().unwrap_or_default();
    let chain = "add table ip lab; add chain ip lab in { type filter hook input priority 0; }; ";
    within(&path.far, &["nft", &format!("{chain}{}", rules(port))]);
    Some((left(client.finish(), &scratch), port.to_owned()))
}

#[test]
fn a_forgotten_connection_is_made_anew_from_its_own_port() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // A firewall that restarted: nothing passes that did not begin with a SYN.
    let rules = |_: &str| {
        "add set ip lab known { type inet_service; flags dynamic; size 1024; }; \
         add rule ip lab in tcp flags == syn add @known { tcp sport } accept; \
         add rule ip lab in tcp sport != @known tcp sport >= 1024 drop"
            .to_owned()
    };
    let Some((run, port)) = filtered(rules) else { return };
    let json = &run.ended.stdout;
    assert!(json.contains(r#""fate":"forgotten""#), "{json}");
    assert!(run.log.contains(&format!("from 10.201.0.1:{port}, connect")), "{}", run.log);
    assert_eq!(figure(json, "drops_by.path"), Some(1.0), "{json}");
    assert!(run.rows.last().is_some_and(|row| row.rtt_us().is_some()), "{json}");
}

#[test]
fn a_dead_port_is_told_from_a_dead_path_and_another_takes_its_place() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let rules = |port: &str| format!("add rule ip lab in tcp sport {port} drop");
    let Some((run, port)) = filtered(rules) else { return };
    let json = &run.ended.stdout;
    assert!(json.contains(r#""fate":"dead_ports""#), "{json}");
    assert!(json.contains(&format!(r#""local_port":{port}"#)), "{json}");
    assert_eq!(figure(json, "drops_by.path"), Some(1.0), "{json}");
    assert_eq!(figure(json, "connections.established"), Some(2.0), "{json}");
    assert!(run.rows.last().is_some_and(|row| row.rtt_us().is_some()), "{json}");
    assert!(run.log.contains("TCP CONNECTION DROP: given up"), "{}", run.log);
}

#[test]
fn a_host_that_drops_the_handshake_is_given_up_after_the_timeout() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(mut path) = Impaired::new(&[]) else { return };
    path.tell("cut");
    let scratch = Scratch::new();
    let mut command = Impaired::echotest_in(&path.near);
    command.args(["client", "10.201.0.2", "7", "-W", "0.7", "--log-dir"]);
    let began = std::time::Instant::now();
    let ended = common::Process::start(command.arg(scratch.path().join("logs"))).finish();
    let took = began.elapsed();
    assert_eq!(ended.status, 1, "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(ended.stderr.contains("timed out"), "{ended:?}");
    assert!(took >= Duration::from_millis(700) && took < Duration::from_secs(5), "{took:?}");
    assert!(scratch.entries().is_empty(), "{:?}", scratch.entries());
}
