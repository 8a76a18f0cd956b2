//! The measurement protocol, ours against ours and against a second, foreign
//! implementation.
#![allow(clippy::disallowed_methods, reason = "tests use std's sockets and clock")]

mod common;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Ended, Process, Scratch, Server, echotest, eventually, figure, file, have, run};

fn server(arguments: &[&str]) -> Server {
    let mut command = echotest();
    command.args(["server", "measure", "--port", "0", "--bind", "127.0.0.1"]);
    Server::from(command.args(arguments))
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// Runs our client in a directory of its own.
fn measure(port: &str, arguments: &[&str]) -> (Ended, Scratch) {
    let scratch = Scratch::new();
    let mut command = echotest();
    command.args(["measure", "127.0.0.1", port, "--log-dir"]).arg(scratch.path());
    (Process::start(command.args(arguments)).finish(), scratch)
}

/// The foreign server and its port.
fn reference_server(style: &str) -> Option<(Process, String)> {
    if !have("python3") {
        return None;
    }
    let mut command = Command::new("python3");
    command.arg(script("measure_reference.py")).args(["server", "--style", style]);
    let process = Process::start(&mut command);
    eventually("the foreign server listens", || process.stdout().contains('\n'));
    let port = process.stdout().lines().next().unwrap_or_default().to_owned();
    Some((process, port))
}

#[test]
fn both_series_with_their_usual_sizes_make_a_table_a_csv_and_a_log() {
    let server = server(&[]);
    let (ended, scratch) = measure(&server.port(), &[]);
    assert_eq!(ended.status, 0, "{ended:?}");
    let rows: Vec<Vec<&str>> =
        ended.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let sizes = |kind: &str| -> Vec<String> {
        let of_kind = rows.iter().filter(|row| row.first() == Some(&kind));
        of_kind.map(|row| row[1].to_owned()).collect()
    };
    assert_eq!(sizes("RTT"), ["1", "100", "200", "400", "800", "1000"]);
    assert_eq!(sizes("TTPUT"), ["1024", "2048", "4096", "8192", "16384", "32768"]);
    let csv = std::fs::read_to_string(file(scratch.path(), "_timings.csv")).unwrap();
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some("type,size,packet_num,timestamp,send_time_ns,receive_time_ns,rtt_us")
    );
    assert_eq!(lines.clone().count(), 120);
    assert!(lines.clone().take(10).all(|line| line.starts_with("RTT,1,")), "{csv}");
    assert!(lines.last().unwrap().starts_with("TTPUT,32768,10,"), "{csv}");
    let log = std::fs::read_to_string(file(scratch.path(), ".log")).unwrap();
    assert!(log.contains("TTPUT") && log.contains("Mbit/s"), "{log}");
    eventually("the setup's values are logged", || {
        server.process.stderr().contains("type TTPUT, message size 32768, probes 10")
    });
}

#[test]
fn the_servers_delay_shows_in_the_round_trip_and_beside_it() {
    let server = server(&[]);
    let mean = |delay: &str| {
        let arguments =
            ["--type", "rtt", "--size", "100", "--server-delay", delay, "--json", "--no-files"];
        let mut command = echotest();
        command.args(["measure", "127.0.0.1", &server.port()]).args(arguments);
        let ended = Process::start(&mut command).finish();
        assert_eq!(ended.status, 0, "{ended:?}");
        let told = figure(&ended.stdout, "series.server_delay_s").unwrap();
        assert!((told - delay.parse::<f64>().unwrap()).abs() < 1e-9, "{ended:?}");
        assert!(ended.stdout.contains("\"findings\":[]"), "{ended:?}");
        figure(&ended.stdout, "series.rtt_us.mean").unwrap()
    };
    let grown = (mean("0.05") - mean("0")) / 1e3;
    assert!((49.9..55.0).contains(&grown), "the mean grew by {grown} ms");
}

#[test]
fn sizes_and_probes_are_as_asked_for() {
    let server = server(&[]);
    let (ended, _) =
        measure(&server.port(), &["--type", "ttput", "--size", "3,1M", "--probes", "4", "--json"]);
    assert_eq!(figure(&ended.stdout, "packets.received"), Some(8.0), "{ended:?}");
    assert!(ended.stdout.contains("\"size\":1048576,\"probes\":4"), "{ended:?}");
    assert!(figure(&ended.stdout, "throughput_mbit_s.mean").unwrap() > 0.0);
}

#[test]
fn a_404_is_shown_as_the_server_said_it_with_exit_2() {
    // The foreign server asks for ten probes, as the exercise does.
    let Some((_process, port)) = reference_server("plain") else { return };
    let (ended, _) = measure(&port, &["--type", "rtt", "--size", "5", "--probes", "9"]);
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("404 ERROR: Invalid Connection Setup Message"), "{ended:?}");
    assert!(ended.stderr.contains("s RTT 5 9 0"), "{ended:?}");
}

#[test]
fn a_404_in_the_middle_is_shown_too() {
    let refusing = common::peer(|mut stream, _| {
        let mut bytes = [0; 4096];
        let _ = stream.read(&mut bytes);
        let _ = stream.write_all(b"200 OK: Ready\n");
        let _ = stream.read(&mut bytes);
        let _ = stream.write_all(b"404 ERROR: Invalid Measurement Message");
    });
    let port = refusing.port().to_string();
    let (ended, _) = measure(&port, &["--type", "rtt", "--size", "5"]);
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("404 ERROR: Invalid Measurement Message"), "{ended:?}");
    let (ended, _) = measure(&port, &["--type", "rtt", "--size", "5", "--json"]);
    assert_eq!((ended.status, ended.stdout.lines().count()), (2, 1), "{ended:?}");
    let error = ended.stdout.split(r#""error":""#).nth(1).unwrap_or_default();
    assert!(error.contains("404 ERROR: Invalid Measurement Message"), "{ended:?}");
}

#[test]
fn foreign_servers_of_every_style_are_measured() {
    for style in ["plain", "pieces", "bare"] {
        let Some((process, port)) = reference_server(style) else { return };
        let arguments = ["--type", "rtt", "--size", "1,1000", "--json"];
        let (ended, _) = measure(&port, &arguments);
        let json = &ended.stdout;
        assert_eq!(ended.status, 0, "{style}: {ended:?}");
        assert_eq!(figure(json, "packets.received"), Some(20.0), "{style}: {json}");
        assert!(!ended.stderr.contains("WARN"), "{style}: {ended:?}");
        eventually(style, || process.stdout().contains("setup: type RTT, size 1000"));
    }
}

#[test]
fn a_foreign_client_is_served() {
    if !have("python3") {
        return;
    }
    let server = server(&[]);
    for (kind, size, delay) in [("RTT", "1", "0"), ("TTPUT", "32768", "0"), ("RTT", "9", "0.01")] {
        let mut command = Command::new("python3");
        command.arg(script("measure_reference.py"));
        command.args(["client", &server.port(), kind, size, "10", delay]);
        let ended = Process::start(&mut command).finish();
        assert!(ended.stdout.ends_with("200 OK: Closing Connection\nok\n"), "{ended:?}");
    }
}

#[test]
fn the_exercises_own_client_sees_ready_in_a_spelling_it_does_not_know() {
    if !have("python3") {
        return;
    }
    let server = server(&[]);
    let seed = |arguments: &[&str]| {
        let mut command = Command::new("python3");
        command.arg(script("seed_measure_client.py")).args(["127.0.0.1", &server.port()]);
        Process::start(command.args(arguments)).finish()
    };
    // Its specification says "200 OK: Ready", its code compares with "200 Ok:
    // Ready" and without the newline: it takes our answer for no answer.
    let ended = seed(&[]);
    assert!(ended.stdout.contains("not ready: '200 OK: Ready\\n'"), "{ended:?}");
    // If it went on, its first probe has no space after the m, the wrong size
    // and number 0: our server says so and closes. The next message meets a
    // closed connection: no echo comes, or a reset.
    let ended = seed(&["go-on"]);
    assert!(ended.stdout.contains("404 ERROR: Invalid Measurement Message"), "{ended:?}");
    assert!(!ended.stdout.contains("Hello_World"), "{ended:?}");
    eventually("both sessions are over", || {
        let log = server.process.stderr();
        log.contains("0 probes in") && log.contains("404 ERROR: Invalid Measurement Message")
    });
    let (ended, _) = measure(&server.port(), &["--type", "rtt", "--size", "5"]);
    assert_eq!(ended.status, 0, "{ended:?}");
}

#[test]
fn an_error_text_reaches_a_client_that_sent_more_than_was_read() {
    let server = server(&[]);
    for _ in 0..20 {
        let mut stream = server.connect();
        stream.write_all(b"nonsense\n").unwrap();
        stream.write_all(&vec![b'x'; 200_000]).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "404 ERROR: Invalid Connection Setup Message\n");
    }
}

#[test]
fn a_client_that_stops_in_the_middle_of_a_phase_is_closed() {
    let server = server(&["--idle-timeout", "0.3"]);
    for beginning in ["", "s RTT", "s RTT 5 10 0\n", "s RTT 5 10 0\nm he"] {
        let mut stream = server.connect();
        stream.write_all(beginning.as_bytes()).unwrap();
        let began = Instant::now();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(began.elapsed() < Duration::from_secs(5), "{beginning:?}");
        assert!(answer.is_empty() || answer == "200 OK: Ready\n", "{beginning:?}: {answer}");
    }
    let help = run(["server", "--help"]).stdout;
    assert!(help.contains("measure 60, ping 60"), "{help}");
}

#[test]
fn a_long_delay_does_not_hold_up_a_stopping_server() {
    let server = server(&[]);
    let mut stream = server.connect();
    stream.write_all(b"s RTT 5 10 60\nm hello 1\n").unwrap();
    let mut ready = [0; 14];
    stream.read_exact(&mut ready).unwrap();
    let ended = server.stop();
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.took < Duration::from_secs(5), "{:?}", ended.took);
}

#[test]
fn bad_arguments_are_refused() {
    for arguments in [
        ["--type", "both"],
        ["--size", "1,,2"],
        ["--size", "0"],
        ["--size", "65M"],
        ["--probes", "0"],
        ["--probes", "1000001"],
        ["--server-delay", "3.1h"],
        ["--server-delay", "-1"],
    ] {
        let ended = run([&["measure", "h"], &arguments[..]].concat());
        assert_eq!(ended.status, 2, "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(arguments[0]), "{arguments:?}: {ended:?}");
    }
}
