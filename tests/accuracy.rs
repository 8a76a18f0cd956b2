//! What the tool says of its own error: whose share of a round trip was whose,
//! how exactly it paces, and what a run was made with.
#![allow(clippy::disallowed_methods, reason = "tests use std's clock and sockets")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use common::{Impaired, Row, Run, Scratch, Server, client, echotest, figure, left, run};

fn value(json: &str, path: &str) -> f64 {
    figure(json, path).unwrap_or_else(|| panic!("{path} in {json}"))
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text:?} is no number"))
}

#[test]
fn each_round_trip_is_split_into_three_parts_that_add_up() {
    for size in ["64", "300000"] {
        let server = Server::start(&[]);
        let arguments = ["-c", "200", "-i", "0.002", "-s", size, "--timestamps", "kernel"];
        let run = client(server.address, &arguments);
        assert_eq!(run.rows.len(), 200, "{:?}", run.ended);
        let split: Vec<&Row> = run.rows.iter().filter(|row| !row.more[0].is_empty()).collect();
        // The kernel leaves out a stamp now and then.
        assert!(split.len() > 190, "{} of 200 have stamps", split.len());
        for row in split {
            let parts: f64 = row.more.iter().map(|part| number(part)).sum();
            let rtt = row.rtt_us().unwrap();
            assert!((parts - rtt).abs() < 6.0, "{row:?}");
        }
        assert!(run.ended.stdout.contains("kernel to kernel p50/p90/p99/p99.9 = "));
        assert!(run.ended.stdout.contains("this host's share, sending "), "{:?}", run.ended);
    }
}

#[test]
fn stamps_stand_in_header_and_json_after_the_kernels_figures() {
    let server = Server::start(&[]);
    let arguments = ["-c", "20", "-i", "0.002", "--timestamps", "kernel", "--tcp-info", "--json"];
    let scratch = Scratch::new();
    let mut command = echotest();
    common::client_command(&mut command, server.address, &scratch, &arguments);
    let ended = common::Process::start(&mut command).finish();
    let csv = fs::read_to_string(common::file(scratch.path(), "_timings.csv")).unwrap();
    let header = csv.lines().next().unwrap();
    let last = "tcp_cwnd,retransmitted,kernel_rtt_us,host_send_us,host_receive_us";
    assert!(header.ends_with(last), "{header}");
    let json = &ended.stdout;
    let wire = value(json, "kernel.rtt_us.p50");
    assert!(wire > 0.0 && wire < value(json, "rtt_us.p50"), "{json}");
    assert!(json.contains("\"missing\":"), "{json}");
    let without = run(["loopback", "-c", "1", "--no-files", "--json"]).stdout;
    assert!(without.contains("\"kernel\":null") && without.contains("\"floor_us\":null"));
}

#[test]
fn a_delay_on_the_path_is_the_networks_share() {
    let Some(path) = Impaired::new(&["--delay", "5ms", "--name", "et-acc"]) else { return };
    let server = path.server();
    let scratch = Scratch::new();
    let arguments = ["-c", "50", "-i", "0.02", "--timestamps", "kernel", "--json"];
    let run: Run = left(path.client(&server, &scratch, &arguments).finish(), &scratch);
    let json = &run.ended.stdout;
    let (rtt, wire) = (value(json, "rtt_us.p50"), value(json, "kernel.rtt_us.p50"));
    assert!(wire >= 10_000.0 && wire < rtt, "{json}");
    assert!(value(json, "kernel.host_send_us.p50") < 1000.0, "{json}");
}

#[test]
fn precise_packets_leave_closer_to_their_due_time() {
    let lateness = |more: &[&str]| {
        let arguments = ["loopback", "-c", "600", "-i", "0.002", "--no-files", "--json"];
        value(&run(arguments.iter().chain(more)).stdout, "send_lateness_us.p50")
    };
    let (usual, precise) = (lateness(&[]), lateness(&["--precise"]));
    assert!(precise < usual / 2.0, "{precise} us, usually {usual} us");
}

#[test]
fn busy_polling_gives_the_same_results_and_an_idle_client_costs_no_core() {
    let server = Server::start(&["--busy-poll"]);
    let arguments = ["-c", "300", "-i", "0.001", "-s", "3000", "--busy-poll", "--json"];
    let run = client(server.address, &arguments);
    assert_eq!(figure(&run.ended.stdout, "packets.received"), Some(300.0), "{:?}", run.ended);
    let mut idle = server.connect();
    idle.write_all(b"x").unwrap();
    idle.read_exact(&mut [0]).unwrap();
    thread::sleep(Duration::from_millis(1500));
    let ticks = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", server.process.child.id())).unwrap();
        let rest = stat.rsplit(')').next().unwrap().to_owned();
        let fields: Vec<u64> = rest.split_whitespace().filter_map(|f| f.parse().ok()).collect();
        // utime and stime; the state, which is no number, is left out.
        fields[10] + fields[11]
    };
    let before = ticks();
    thread::sleep(Duration::from_secs(1));
    let used = ticks() - before;
    assert!(used < 20, "an idle client costs {used} ticks of a hundred a second");
    idle.write_all(b"y").unwrap();
    idle.read_exact(&mut [0]).unwrap();
}

#[test]
fn the_floor_stands_beside_the_result() {
    let server = Server::start(&[]);
    let run = client(server.address, &["-c", "3", "-i", "0.01", "--floor", "--json"]);
    let json = &run.ended.stdout;
    assert!(value(json, "floor_us.p50") > 0.0, "{json}");
    assert!(value(json, "floor_us.p99") >= value(json, "floor_us.p50"), "{json}");
    assert!(run.log.contains("floor: this host alone, over loopback, p50 "), "{}", run.log);
    assert_eq!(run.rows.len(), 3, "the floor's own packets are in no file");
}

#[test]
fn a_run_says_what_it_was_made_with() {
    let server = Server::start(&[]);
    let run = client(server.address, &["-c", "1", "--json"]);
    let json = &run.ended.stdout;
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert!(json.contains(&format!("\"kernel\":\"{}\"", release.trim())), "{json}");
    for key in
        ["processors", "model", "virtual_machine", "congestion_control", "mss", "tcp_options"]
    {
        assert!(json.contains(&format!("\"{key}\":")), "{key}: {json}");
    }
    assert!(json.contains(&format!("\"remote\":\"{}\"", server.address)), "{json}");
    assert!(json.contains("\"local\":\"127.0.0.1:"), "{json}");
    for line in ["command line: ", "host: Linux ", "tcp: congestion control ", "options "] {
        assert!(run.log.contains(line), "{line}: {}", run.log);
    }
    assert!(json.contains(" client 127.0.0.1 "), "{json}");
}

#[test]
fn the_stamps_agree_with_a_capture_of_the_same_run() {
    if !(common::root() && common::have("tcpdump")) {
        return;
    }
    // What other tests on this machine put between the two differs from run to
    // run; an error of ours would not.
    let mut found: Vec<(f64, f64)> = Vec::new();
    let agree = (0..8).any(|_| {
        let (stamps, wire) = stamps_and_capture();
        found.push((stamps, wire));
        // The capture's stamps are taken a few steps of the kernel's nearer to the wire,
        // which a slow machine takes slowly.
        (stamps - wire).abs() < (wire / 10.0).max(5.0)
    });
    assert!(agree, "stamps and capture, us: {found:?}");
}

/// The median round trip of a run by the kernel's stamps and by a capture, in
/// microseconds.
fn stamps_and_capture() -> (f64, f64) {
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    let capture = scratch.path().join("capture.pcap");
    let mut command = std::process::Command::new("tcpdump");
    command.args(["-i", "lo", "-U", "--immediate-mode", "-Z", "root", "-s", "96", "-w"]);
    let tcpdump =
        common::Process::start(command.arg(&capture).args(["tcp", "port", &server.port()]));
    common::eventually("tcpdump captures", || tcpdump.stderr().contains("listening on"));
    let mut command = echotest();
    let arguments = ["-c", "500", "-i", "0.002", "--timestamps", "kernel", "--json"];
    common::client_command(&mut command, server.address, &scratch, &arguments);
    let json = common::Process::start(&mut command).finish().stdout;
    thread::sleep(Duration::from_millis(300));
    tcpdump.signal("INT");
    tcpdump.finish();
    let capture = capture.to_string_lossy().into_owned();
    let timings = common::file(scratch.path(), "_timings.csv").to_string_lossy().into_owned();
    let analysis = run(["analyze", &capture, "--csv", &timings, "--json"]).stdout;
    assert!(analysis.contains("\"matched\":500"), "{analysis}");
    (value(&json, "kernel.rtt_us.p50"), value(&analysis, "wire_us.p50"))
}
