//! Captures explained, and every figure beside tshark's of the same file.
#![allow(clippy::disallowed_methods, reason = "tests use std's clock and sockets")]

mod common;
#[path = "analyze/formats.rs"]
mod formats;
#[path = "analyze/generate.rs"]
mod generate;
#[path = "analyze/random.rs"]
mod random;
#[path = "analyze/real.rs"]
mod real;
#[path = "analyze/trouble.rs"]
mod trouble;

use std::path::Path;
use std::process::{Command, Stdio};

use common::{Ended, run};

/// Our analysis as JSON.
fn analyzed(capture: &Path, more: &[&str]) -> Ended {
    let file = capture.to_string_lossy().into_owned();
    run(["analyze", &file, "--json"].iter().chain(more))
}

/// The sum of a whole number over all connections and both directions.
fn sum(json: &str, key: &str) -> u64 {
    let key = format!("\"{key}\":");
    let parts = json.split(&key).skip(1);
    let number = |rest: &str| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().unwrap_or(0)
    };
    parts.map(number).sum()
}

/// What is counted by both: our key, tshark's field. The first four are one sum:
/// which of the segments that come behind were sent again and which overtaken,
/// tshark tells by their time alone, and we by what the sender wrote into them. Of
/// what was sent again tshark gives the acknowledgement a time, and we give none.
const COUNTED: [(&str, &str); 10] = [
    ("retransmissions", "tcp.analysis.retransmission"),
    ("fast", "tcp.analysis.fast_retransmission"),
    ("spurious", "tcp.analysis.spurious_retransmission"),
    ("out_of_order", "tcp.analysis.out_of_order"),
    ("lost_before", "tcp.analysis.lost_segment"),
    ("duplicate_acks", "tcp.analysis.duplicate_ack"),
    ("zero_windows", "tcp.analysis.zero_window"),
    ("window_updates", "tcp.analysis.window_update"),
    ("keep_alives", "tcp.analysis.keep_alive"),
    ("acknowledged", "tcp.analysis.ack_rtt"),
];

/// So many of them are about segments that come behind.
const BEHIND: usize = 4;

/// tshark's counts in the order of [`COUNTED`], the number of its streams, its
/// acknowledgement times and initial round trips in microseconds.
struct Wireshark {
    counts: Vec<u64>,
    streams: u64,
    ack_rtts: Vec<f64>,
    initial_rtts: Vec<f64>,
}

fn wireshark(capture: &Path) -> Wireshark {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args(["-Y", "tcp", "-T", "fields", "-e", "tcp.stream"]);
    for (_, field) in COUNTED {
        command.args(["-e", field]);
    }
    command.args(["-e", "tcp.analysis.initial_rtt"]);
    let output = command.stderr(Stdio::null()).output().expect("tshark");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut found = Wireshark {
        counts: vec![0; COUNTED.len()],
        streams: 0,
        ack_rtts: Vec::new(),
        initial_rtts: Vec::new(),
    };
    for line in text.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let stream: u64 = fields[0].parse().expect("a stream");
        if stream + 1 > found.streams {
            found.streams = stream + 1;
            found.initial_rtts.push(f64::NAN);
        }
        for (count, field) in found.counts.iter_mut().zip(&fields[1..]) {
            *count += u64::from(!field.is_empty());
        }
        found.ack_rtts.extend(fields[10].parse::<f64>().ok().map(|seconds| seconds * 1e6));
        if let (Ok(seconds), Some(place)) =
            (fields[11].parse::<f64>(), usize::try_from(stream).ok())
        {
            found.initial_rtts[place] = seconds * 1e6;
        }
    }
    found
}

/// Every figure of ours must be tshark's.
fn agrees(capture: &Path) -> String {
    let json = analyzed(capture, &[]).stdout;
    let theirs = wireshark(capture);
    let mut wrong = Vec::new();
    let behind = sum(&json, "retransmissions") + sum(&json, "out_of_order");
    let expected = theirs.counts[0] + theirs.counts[3];
    if behind != expected {
        wrong.push(format!("sent again or overtaken: {behind}, tshark {expected}"));
    }
    for ((key, field), expected) in COUNTED.iter().zip(&theirs.counts).skip(BEHIND) {
        let ours = sum(&json, key);
        let ambiguous = if *key == "acknowledged" { behind } else { 0 };
        if ours > *expected || ours + ambiguous < *expected {
            wrong.push(format!("{key}: {ours}, {field}: {expected}"));
        }
    }
    let streams = json.matches("\"number\":").count();
    if u64::try_from(streams).expect("a figure") != theirs.streams {
        wrong.push(format!("{streams} connections, {} streams", theirs.streams));
    }
    let handshakes = json.split("\"whole_us\":").skip(1);
    for (rest, expected) in handshakes.zip(&theirs.initial_rtts) {
        let ours: f64 = rest.split('}').next().expect("a figure").parse().unwrap_or(f64::NAN);
        if ours.is_nan() != expected.is_nan() || (ours - expected).abs() > 0.002 {
            wrong.push(format!("handshake {ours} us, initial_rtt {expected} us"));
        }
    }
    assert!(wrong.is_empty(), "{}: {wrong:#?}", capture.display());
    json
}

/// The mean of tshark's acknowledgement times, to be compared with ours.
fn mean(values: &[f64]) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "a few thousand values")]
    let count = values.len() as f64;
    values.iter().sum::<f64>() / count
}
