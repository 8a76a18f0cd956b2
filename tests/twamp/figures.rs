//! What our client says of a path.

use std::fs;
use std::sync::{Mutex, PoisonError};

use crate::common::{self, Impaired, Process, Run, Scratch, Server, figure, left, run};
use crate::{foreign, server};

/// One at a time: what they measure is the path, not each other.
static ALONE: Mutex<()> = Mutex::new(());

fn across(path: &Impaired, arguments: &[&str]) -> Run {
    let mut command = Impaired::echotest_in(&path.far);
    let server = ["server", "twamp", "--port", "0", "--bind", "10.201.0.2"];
    let server = Server::from(command.args(server));
    let scratch = Scratch::new();
    let mut command = Impaired::echotest_in(&path.near);
    command.args(["twamp", "10.201.0.2", &server.port(), "--json", "--log-dir"]);
    command.arg(scratch.path()).args(arguments);
    left(Process::start(&mut command).finish(), &scratch)
}

fn value(json: &str, path: &str) -> f64 {
    figure(json, path).unwrap_or_else(|| panic!("{path} in {json}"))
}

#[test]
fn thirty_milliseconds_one_way_are_seen_one_way() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (delayed, sign) in [("--delay-ab", 1.0), ("--delay-ba", -1.0)] {
        let Some(path) = Impaired::new(&[delayed, "30ms"]) else { return };
        let run = across(&path, &["-c", "100", "-i", "0.01"]);
        let json = &run.ended.stdout;
        let (out, back) = (value(json, "outbound_us.p50"), value(json, "inbound_us.p50"));
        assert!((sign * (out - back) - 30_000.0).abs() < 1500.0, "{json}");
        let round_trip = value(json, "rtt_us.p50");
        assert!((30_000.0..31_500.0).contains(&round_trip), "{json}");
    }
}

#[test]
fn losses_are_seen_in_the_direction_where_they_happen() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let [inbound, outbound] = ["twamp.lost.inbound", "twamp.lost.outbound"];
    for (lossy, lost, not_lost) in
        [("--loss-ba", inbound, outbound), ("--loss-ab", outbound, inbound)]
    {
        // Control goes over TCP, which would only be slow.
        let run = {
            let Some(path) = Impaired::new(&[lossy, "10%", "--name", "et-loss"]) else { return };
            across(&path, &["-c", "2000", "-i", "0.002", "-W", "1"])
        };
        let json = &run.ended.stdout;
        assert!((160.0..=240.0).contains(&value(json, lost)), "{json}");
        assert!(value(json, not_lost) < 0.5, "{json}");
        // What fell due while a busy host stood still is skipped, and said.
        let skipped = value(json, "packets.skipped");
        #[allow(clippy::cast_precision_loss, reason = "a count")]
        let sent = run.rows.len() as f64;
        assert!((sent + skipped - 2000.0).abs() < 0.5 && skipped < 200.0, "{sent} and {skipped}");
        assert!(run.rows.is_sorted_by(|one, next| one.number < next.number));
    }
}

#[test]
fn rows_hold_all_four_times_and_the_round_trip_is_what_they_say() {
    let server = server(&[]);
    for mode in [&[][..], &["--light"]] {
        let scratch = Scratch::new();
        let mut command = common::echotest();
        command.args(["twamp", "127.0.0.1", &server.port(), "-c", "50", "-i", "0.002"]);
        command.args(["--log-dir"]).arg(scratch.path()).args(mode);
        let run = left(Process::start(&mut command).finish(), &scratch);
        let csv = fs::read_to_string(common::file(scratch.path(), "_timings.csv")).unwrap();
        let columns = "reflector_receive_ns,reflector_send_ns,reflector_sequence,ttl,\
                       reply_ttl,reply_dscp,reply_ecn";
        assert!(csv.starts_with(&format!("{},{columns}\n", common::HEADER)), "{csv}");
        assert_eq!(run.rows.len(), 50);
        for (row, expected) in run.rows.iter().zip(0..) {
            let more: Vec<i64> = row.more.iter().map(|text| text.parse().unwrap()).collect();
            let [held_from, held_to, sequence, ttl, ref way @ ..] = more[..] else {
                panic!("{row:?}")
            };
            let gross = row.received_ns.unwrap() - row.sent_ns;
            let rtt = gross - (held_to - held_from);
            let shown = row.rtt_us().unwrap() * 1e3;
            #[allow(clippy::cast_precision_loss, reason = "microseconds")]
            let off = (shown - rtt as f64).abs();
            assert!(off < 1.0, "{row:?}");
            assert_eq!((sequence, ttl, way), (expected, 255, &[255, 0, 0][..]));
            // One host, one clock: the four times are in order.
            assert!(row.sent_ns <= held_from + 10_000 && held_from <= held_to, "{row:?}");
            assert!(held_to <= row.received_ns.unwrap() + 10_000, "{row:?}");
        }
    }
}

#[test]
fn marks_and_hops_are_told_as_they_came() {
    for (reflects, mark) in [(true, 46), (false, 0)] {
        let server = server(if reflects { &["--reflect-dscp"] } else { &[] });
        for light in [true, false] {
            // Without --light the session itself agrees on the mark (RFC 5357).
            let mark = if light { mark } else { 46 };
            let mut arguments = vec!["twamp", "127.0.0.1"];
            let port = server.port();
            arguments.extend([port.as_str(), "--dscp", "EF", "-c", "20", "-i", "0.002"]);
            arguments.extend(["--no-files", "--json"]);
            arguments.extend(light.then_some("--light"));
            let json = run(arguments).stdout;
            let marks = format!("\"reply_marks\":[{{\"dscp\":{mark},\"ecn\":0,\"packets\":20}}]");
            assert!(json.contains(&marks), "{marks}: {json}");
            assert!(json.contains(r#""hops":{"outbound":0,"inbound":0}"#), "{json}");
            assert!(json.contains(r#""ttl_inbound":[{"ttl":255,"packets":20}]"#), "{json}");
        }
    }
}

#[test]
fn the_schedule_holds_at_a_thousand_packets_a_second() {
    let server = server(&[]);
    let client = ["twamp", "127.0.0.1", &server.port(), "-c", "2000", "-i", "0.001"];
    let ended = run(client.iter().chain(&["--no-files", "--json"]));
    let json = &ended.stdout;
    assert_eq!(figure(json, "packets.sent"), Some(2000.0), "{json}");
    assert_eq!(figure(json, "packets.received"), Some(2000.0), "{json}");
    assert!((value(json, "duration_s") - 1.999).abs() < 0.05, "{json}");
}

#[test]
fn without_any_reply_there_are_figures_and_a_bad_status() {
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port().to_string();
    let client = ["twamp", "127.0.0.1", &port, "--light", "-c", "3", "-i", "0.01", "-W", "0.2"];
    let ended = run(client.iter().chain(&["--no-files"]));
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stdout.contains("3 lost (100.0% loss)"), "{ended:?}");
    assert!(!ended.stdout.contains("NaN"), "{ended:?}");

    drop(silent);
    let ended = run(client.iter().chain(&["--no-files"]));
    assert_eq!(ended.status, 1, "{ended:?}");
    assert!(ended.stderr.contains("nothing listens on this UDP port"), "{ended:?}");
}

#[test]
fn from_cron_it_is_quiet_unless_something_is_wrong() {
    let server = server(&[]);
    let port = server.port();
    let client = ["twamp", "127.0.0.1", &port, "-c", "3", "-i", "0.01", "-qq", "--no-files"];
    let good = run(client);
    assert_eq!((good.status, good.stdout.as_str(), good.stderr.as_str()), (0, "", ""));
    let slow = run(client.iter().chain(&["--max-rtt", "1ns"]));
    assert_eq!((slow.status, slow.stdout.as_str()), (1, ""));
    assert!(slow.stderr.contains("--max-rtt"), "{slow:?}");
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().port().to_string();
    let none = ["twamp", "127.0.0.1", &silent, "--light", "-c", "1", "-W", "0.2", "--no-files"];
    let none = run(none.iter().chain(&["-qq"]));
    assert_eq!((none.status, none.stdout.as_str()), (1, ""));
    assert!(none.stderr.contains(&format!("no reply from 127.0.0.1:{silent}")), "{none:?}");
    let json = run(client.iter().chain(&["--json"]));
    assert_eq!(json.stdout.lines().count(), 1, "{json:?}");
    for key in ["outbound_us", "inbound_us", "reflector_us", "one_way_valid", "clocks"] {
        assert!(json.stdout.contains(&format!("\"{key}\":")), "{key}: {json:?}");
    }
}

#[test]
fn the_reflector_logs_the_result_that_it_is_told() {
    let server = server(&[]);
    let port = server.port();
    for mode in [&[][..], &["--light"]] {
        let client = ["twamp", "127.0.0.1", &port, "-c", "4", "-i", "0.01", "--no-files"];
        let ended = run(client.iter().chain(&["--send-result"]).chain(mode));
        assert_eq!(ended.status, 0, "{ended:?}");
    }
    let log = server.stop().stderr;
    let results = log.lines().filter(|line| {
        line.contains("Test result for client [127.0.0.1]: round-trip time min/avg/max = ")
            && line.contains("loss 0.0% (0 of 4)")
    });
    assert_eq!(results.count(), 2, "{log}");
}

/// What nearest rank says.
fn percentile(mut all: Vec<i64>, percent: usize) -> f64 {
    all.sort_unstable();
    let rank = (all.len() * percent).div_ceil(100);
    f64::from(i32::try_from(all[rank - 1]).expect("a queue of less than two seconds"))
}

/// How far above the smallest.
fn queueing(all: &[i64]) -> Vec<i64> {
    let smallest = all.iter().min().expect("packets");
    all.iter().map(|one| one - smallest).collect()
}

#[test]
fn queueing_of_each_way_is_right_beside_a_clock_that_drifts_and_is_3_s_off() {
    if !common::have("python3") {
        return;
    }
    for (reflector, mode) in [
        (&["server", "--quirk", "wrong-clock=50"][..], &[][..]),
        (&["light-reflector", "--wrong-clock", "-50"], &["--light"]),
    ] {
        let reflector = foreign(reflector);
        let scratch = Scratch::new();
        let mut command = common::echotest();
        command.args(["twamp", "127.0.0.1", &reflector.port, "-c", "500", "-i", "0.01"]);
        command.args(["--json", "--log-dir"]).arg(scratch.path()).args(mode);
        let run = left(Process::start(&mut command).finish(), &scratch);
        let json = &run.ended.stdout;
        let (mut out, mut back) = (Vec::new(), Vec::new());
        for line in reflector.process.stdout().lines().filter(|line| line.contains("\"times\"")) {
            let time = |key: &str| -> i64 {
                let rest = line.split_once(&format!("\"{key}\": ")).unwrap().1;
                rest[..rest.find([',', '}']).unwrap()].parse().unwrap()
            };
            // On one host both are by one clock: what the way took, whatever it took.
            let sequence = time("sequence").to_string();
            let Some(row) = run.rows.iter().find(|row| row.more[2] == sequence) else { continue };
            let Some(came) = row.received_ns else { continue };
            out.push(time("received") - row.sent_ns);
            back.push(came - time("sent"));
        }
        assert!(out.len() > 400, "{json}");
        for (key, way) in [("outbound", out), ("inbound", back)] {
            for (name, percent) in [("p50", 50), ("p99", 99)] {
                let told = value(json, &format!("{key}_above_smallest_us.{name}"));
                let truth = percentile(queueing(&way), percent) / 1e3;
                assert!((told - truth).abs() < 50.0, "{key} {name}: {truth} {json}");
            }
        }
        let (offset, bound) = (value(json, "offset_us"), value(json, "offset_bound_us"));
        let smallest = value(json, "rtt_us.min");
        assert!((offset - 3e6).abs() < 10_000.0 && bound >= smallest / 2.0 - 0.1, "{json}");
        let csv = common::file(scratch.path(), "_timings.csv");
        let report = common::run(["report", &csv.to_string_lossy(), "--json"]).stdout;
        for key in ["outbound_above_smallest_us.p99", "drift_ppm"] {
            let (told, again) = (value(json, key), value(&report, key));
            assert!((told - again).abs() <= 1.0 + told.abs() / 100.0, "{key}: {json} {report}");
        }
        let (drift, error) = (value(json, "drift_ppm"), value(json, "drift_bound_ppm"));
        let truth = if mode.is_empty() { 50.0 } else { -50.0 };
        assert!((drift - truth).abs() <= error.max(1.0), "{json}");
    }
}
