//! The main job on this host: files, figures, signals, sizes.
#![allow(clippy::disallowed_methods, reason = "tests use std's sockets and clock")]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::process::Command;
use std::thread;
use std::time::Duration;

use common::{
    HEADER, Process, Scratch, Server, client, client_command, echotest, eventually, figure, file,
    left, rows, run,
};

#[test]
fn loopback_measures_ten_round_trips_and_leaves_two_files() {
    let scratch = Scratch::new();
    let ended = Process::start(echotest().arg("loopback").current_dir(scratch.path())).finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    // A busy machine may say that it stood still, and nothing else.
    let others = ended.stderr.lines().filter(|line| !line.contains("this host"));
    assert_eq!(others.count(), 0, "{ended:?}");
    let lines = ended.stdout.lines().filter(|line| line.contains(": 64 bytes, rtt ")).count();
    assert_eq!(lines, 10, "{ended:?}");
    let summary = "10 packets sent, 10 received, 0 lost (0.0% loss), 0 late, 0 corrupt, time 0.9";
    assert!(ended.stdout.contains(summary), "{ended:?}");
    assert!(ended.stdout.contains("1 connection, 0 drops, connect "), "{ended:?}");
    let run = left(ended, &Scratch::at(scratch.path().join("logs")));
    assert_eq!(run.rows.len(), 10);
    assert!(run.log.contains("10 packets sent, 10 received"), "{}", run.log);
}

#[test]
fn rows_are_exact_and_in_order() {
    let server = Server::start(&[]);
    let run = client(server.address, &["-c", "200", "-i", "0.002", "-s", "100"]);
    assert_eq!(run.rows.len(), 200);
    for (row, number) in run.rows.iter().zip(1..) {
        assert_eq!(row.number, number);
        let rtt_ns = row.received_ns.unwrap() - row.sent_ns;
        assert_eq!(row.rtt, format!("{}.{:03}", rtt_ns / 1000, rtt_ns % 1000));
        assert!(rtt_ns > 0);
        let micros = row.sent_ns / 1000 % 1_000_000;
        assert_eq!(row.timestamp.len(), 27, "{row:?}");
        assert!(row.timestamp.ends_with(&format!(".{micros:06}Z")), "{row:?}");
    }
    let span = run.rows[199].sent_ns - run.rows[0].sent_ns;
    assert!((380_000_000..900_000_000).contains(&span), "{span}");
}

#[test]
fn a_second_start_in_the_same_second_takes_other_names() {
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    for _ in 0..3 {
        let mut command = echotest();
        client_command(&mut command, server.address, &scratch, &["-c", "1"]);
        assert_eq!(Process::start(&mut command).finish().status, 0);
    }
    let names = scratch.entries();
    assert_eq!(names.len(), 6, "{names:?}");
    for name in &names {
        let stem = name.strip_suffix("_timings.csv").or(name.strip_suffix(".log")).unwrap();
        let digits = stem.strip_prefix("echo_client_").unwrap();
        assert!(digits.len() >= 15 && digits.as_bytes()[8] == b'_', "{name}");
    }
}

#[test]
fn json_has_every_key_and_agrees_with_the_csv() {
    let server = Server::start(&[]);
    let run = client(server.address, &["-c", "500", "-i", "0", "--json"]);
    let json = &run.ended.stdout;
    assert_eq!(json.lines().count(), 1, "{json}");
    let mut rtts: Vec<f64> = run.rows.iter().filter_map(common::Row::rtt_us).collect();
    rtts.sort_by(f64::total_cmp);
    assert_eq!(rtts.len(), 500);
    for (path, rank) in
        [("rtt_us.p50", 250), ("rtt_us.p90", 450), ("rtt_us.p95", 475), ("rtt_us.p99", 495)]
    {
        let (told, exact) = (figure(json, path).unwrap(), rtts[rank - 1]);
        assert!((told - exact).abs() <= exact * 0.001, "{path}: {told} for {exact}");
    }
    assert_eq!(figure(json, "rtt_us.min"), Some(rtts[0]));
    assert_eq!(figure(json, "rtt_us.max"), Some(rtts[499]));
    let in_order: Vec<f64> = run.rows.iter().filter_map(common::Row::rtt_us).collect();
    let jitter: f64 =
        in_order.windows(2).map(|pair| (pair[1] - pair[0]).abs()).sum::<f64>() / 499.0;
    let told = figure(json, "rtt_us.jitter").unwrap();
    assert!((told - jitter).abs() < 0.01, "{told} for {jitter}");
    for key in [
        "config.size",
        "config.frequency_s",
        "config.count",
        "config.timeout_s",
        "packets.late",
        "packets.corrupt",
        "packets.loss_percent",
        "rtt_us.mean",
        "rtt_us.stddev",
        "rtt_us.p99_9",
        "send_lateness_us.p50",
        "send_lateness_us.p99",
        "send_lateness_us.max",
        "connections.established",
        "connections.drops",
        "connections.outage_s",
        "connections.connect_us.min",
        "connections.connect_us.mean",
        "connections.connect_us.max",
        "tcp.retransmits",
        "tcp.rtt_us",
        "duration_s",
    ] {
        assert!(figure(json, key).is_some(), "{key} in {json}");
    }
    for text in
        ["\"version\":\"", "\"command\":\"client\"", "\"host\":\"127.0.0.1\"", "\"files\":{"]
    {
        assert!(json.contains(text), "{text} in {json}");
    }
}

#[test]
fn what_was_not_measured_is_null_and_still_valid_json() {
    let mute = common::peer(|stream, _| {
        thread::sleep(Duration::from_secs(5));
        drop(stream);
    });
    let run = client(mute, &["-c", "1", "-W", "0.2", "--json"]);
    let json = &run.ended.stdout;
    assert_eq!(run.ended.status, 1, "{json}");
    assert!(
        json.contains(r#""rtt_us":{"min":null,"mean":null,"max":null,"stddev":null"#),
        "{json}"
    );
    assert!(!json.contains("NaN") && !json.contains("inf"), "{json}");
    if common::have("python3") {
        let mut check = Command::new("python3");
        check.args(["-c", "import json,sys; json.loads(sys.argv[1])", json]);
        assert!(check.status().unwrap().success(), "{json}");
    }
}

#[test]
fn the_schedule_is_absolute() {
    // The machine may be busy: the best of three.
    let spans: Vec<i64> = (0..3)
        .map(|_| {
            let server = Server::start(&[]);
            let run =
                client(server.address, &["--frequency", "0.001", "--count", "3000", "--json"]);
            assert!(figure(&run.ended.stdout, "send_lateness_us.p50").is_some());
            run.rows[2999].sent_ns - run.rows[0].sent_ns
        })
        .collect();
    let close = spans.iter().any(|span| (span - 2_999_000_000).abs() < 5_000_000);
    assert!(close, "3,000 packets 1 ms apart took {spans:?} ns");
}

#[test]
fn count_and_duration_end_a_run() {
    let server = Server::start(&[]);
    let run = client(server.address, &["-w", "0.35", "-i", "0.1"]);
    assert_eq!(run.rows.len(), 4, "{:?}", run.ended);
    let run = client(server.address, &["-w", "0.3", "-i", "0", "-s", "1"]);
    let span = run.rows.last().unwrap().sent_ns - run.rows[0].sent_ns;
    assert!(span < 300_000_000 && run.rows.len() > 100, "{span} {}", run.rows.len());
    // A time alone is not cut short by the ten packets that are usual here.
    let sent = |more: &[&str]| {
        let ended =
            common::run(["loopback", "-i", "0.01", "--no-files", "--json"].iter().chain(more));
        figure(&ended.stdout, "packets.sent")
    };
    assert_eq!(sent(&["-w", "0.195"]), Some(20.0));
    assert_eq!(sent(&["-w", "0.195", "-c", "7"]), Some(7.0));
}

#[test]
fn thresholds_decide_the_exit_status() {
    let server = Server::start(&[]);
    let status = |arguments: &[&str]| client(server.address, arguments).ended.status;
    assert_eq!(status(&["-c", "3", "-i", "0.01", "--max-loss", "0", "--max-rtt", "5"]), 0);
    assert_eq!(status(&["-c", "3", "-i", "0.01", "--max-rtt", "10ns"]), 1);
}

#[test]
fn payloads_from_one_byte_to_64_mib_come_back() {
    let server = Server::start(&[]);
    for size in ["1", "7", "8", "9", "1000", "64K", "1M", "64M"] {
        let arguments = ["-s", size, "-c", "3", "-i", "0", "-W", "30", "--no-files", "--json"];
        let mut command = echotest();
        command.args(["client", "127.0.0.1", &server.port()]).args(arguments);
        let ended = Process::start(&mut command).finish();
        assert_eq!(figure(&ended.stdout, "packets.received"), Some(3.0), "{size}: {ended:?}");
    }
}

#[test]
fn large_payloads_are_pipelined_without_deadlock() {
    let server = Server::start(&[]);
    let run = client(server.address, &["-s", "16M", "-c", "6", "-i", "0.001", "-W", "30"]);
    assert_eq!(run.rows.iter().filter(|row| row.rtt_us().is_some()).count(), 6, "{:?}", run.ended);
}

#[test]
fn one_message_is_printed_as_it_came_back() {
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    let port = server.port();
    let arguments = ["client", "127.0.0.1", &port, "--message", "Hello, wörld  !"];
    let ended = Process::start(echotest().args(arguments).current_dir(scratch.path())).finish();
    assert_eq!((ended.status, ended.stdout.as_str()), (0, "Received: Hello, wörld  !\n"));
    assert!(scratch.entries().is_empty(), "{:?}", scratch.entries());
    let shouting = common::peer(|mut stream, _| {
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes.to_ascii_uppercase()).unwrap();
    });
    let port = shouting.port().to_string();
    let ended = run(["client", "127.0.0.1", &port, "--message", "hello"]);
    assert_eq!((ended.status, ended.stdout.as_str()), (0, "Received: HELLO\n"));
}

#[test]
fn the_kernels_view_follows_the_five_columns() {
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    let mut command = echotest();
    client_command(
        &mut command,
        server.address,
        &scratch,
        &["-c", "5", "-i", "0.01", "--tcp-info"],
    );
    let ended = Process::start(&mut command).finish();
    let csv = fs::read_to_string(file(scratch.path(), ".csv")).unwrap();
    let header = "tcp_rtt_us,tcp_rttvar_us,tcp_min_rtt_us,tcp_retransmits,tcp_cwnd";
    assert!(csv.starts_with(&format!("{HEADER},{header}")), "{csv}");
    let rows = left(ended, &scratch).rows;
    assert_eq!(rows.len(), 5);
    assert!(rows.iter().all(|row| row.more[0].parse::<u32>().unwrap() > 0), "{rows:?}");
    assert!(rows.iter().all(|row| row.more[4].parse::<u32>().unwrap() > 0), "{rows:?}");
}

/// A client without end, once it has sent some packets.
fn endless(server: &Server, scratch: &Scratch, arguments: &[&str]) -> Process {
    let mut command = echotest();
    client_command(&mut command, server.address, scratch, arguments);
    let process = Process::start(&mut command);
    eventually("packets are in the CSV", || {
        let names = scratch.entries();
        let csv = names.iter().find(|name| name.ends_with("_timings.csv"));
        csv.and_then(|name| fs::metadata(scratch.path().join(name)).ok())
            .is_some_and(|csv| csv.len() > 500)
    });
    process
}

#[test]
fn every_polite_signal_ends_with_summary_and_files() {
    for signal in ["INT", "TERM", "HUP"] {
        let server = Server::start(&[]);
        let scratch = Scratch::new();
        let process = endless(&server, &scratch, &["-i", "0.01"]);
        process.signal(signal);
        let run = left(process.finish(), &scratch);
        assert_eq!(run.ended.status, 0, "SIG{signal}: {:?}", run.ended);
        assert!(run.ended.took < Duration::from_secs(3), "SIG{signal}: {:?}", run.ended.took);
        let expected = format!("{} packets sent, {0} received, 0 lost", run.rows.len());
        assert!(run.ended.stdout.contains(&expected), "SIG{signal}: {expected} {:?}", run.ended);
        assert!(run.log.contains(&expected), "SIG{signal}: {}", run.log);
    }
}

#[test]
fn sigquit_shows_a_summary_on_stderr_and_goes_on() {
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    let process = endless(&server, &scratch, &["-i", "0.01"]);
    process.signal("QUIT");
    eventually("a summary on stderr", || process.stderr().contains("echo statistics ---"));
    let before = rows(&file(scratch.path(), ".csv")).len();
    eventually("measuring goes on", || rows(&file(scratch.path(), ".csv")).len() > before);
    process.signal("INT");
    assert_eq!(process.finish().status, 0);
}

#[test]
fn a_second_interrupt_leaves_without_waiting_for_stragglers() {
    let mute = common::peer(|stream, _| {
        thread::sleep(Duration::from_secs(40));
        drop(stream);
    });
    let scratch = Scratch::new();
    let mut command = echotest();
    client_command(&mut command, mute, &scratch, &["-i", "0.05", "-W", "30"]);
    let process = Process::start(&mut command);
    thread::sleep(Duration::from_millis(500));
    process.signal("INT");
    thread::sleep(Duration::from_millis(300));
    process.signal("INT");
    let run = left(process.finish(), &scratch);
    assert!(run.ended.took < Duration::from_secs(5), "{:?}", run.ended.took);
    assert_eq!(run.ended.status, 1);
    assert!(!run.rows.is_empty() && run.rows.iter().all(|row| row.rtt.is_empty()));
}

#[test]
fn a_killed_client_leaves_whole_rows_at_most_a_second_old() {
    let server = Server::start(&[]);
    for pace in ["0.001", "0", "0.1"] {
        let scratch = Scratch::new();
        let process = endless(&server, &scratch, &["-i", pace]);
        thread::sleep(Duration::from_millis(1300));
        let killed = std::time::SystemTime::now();
        process.signal("KILL");
        assert_eq!(process.finish().status, 128 + 9);
        let rows = rows(&file(scratch.path(), ".csv"));
        let killed = killed.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
        let age = i64::try_from(killed).unwrap() - rows.last().unwrap().sent_ns;
        assert!(age < 1_000_000_000, "-i {pace}: the last row is {age} ns old");
    }
}

#[test]
fn a_full_disk_is_reported_once_and_measuring_goes_on() {
    if !(common::root() && common::have("unshare")) {
        return;
    }
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    // A mount of its own, gone with the process. The disk fills after some
    // packets and is freed again later.
    let script = format!(
        "mount -t tmpfs -o size=64k none {dir} || exit 99\n\
         (sleep 1.0; dd if=/dev/zero of={dir}/ballast bs=1k 2>/dev/null; \
          sleep 1.5; rm {dir}/ballast) &\n\
         {binary} client 127.0.0.1 {port} -i 0.005 -c 800 --log-dir {dir}; status=$?\n\
         wait; cat {dir}/*_timings.csv; exit $status",
        dir = scratch.path().display(),
        binary = env!("CARGO_BIN_EXE_echotest"),
        port = server.port(),
    );
    let mut command = Command::new("unshare");
    let ended = Process::start(command.args(["-m", "sh", "-c", &script])).finish();
    // Every row made it, or the summary and the exit status own to the loss.
    let lost = ended.stdout.contains("not recorded");
    assert_eq!(ended.status, if lost { 2 } else { 0 }, "{}", ended.stderr);
    assert!(ended.stdout.contains("800 packets sent, 800 received"), "{}", ended.stderr);
    let complaints = ended.stderr.matches("measuring goes on").count();
    // Once for each of the two files that could be hit.
    assert!((1..=2).contains(&complaints), "{}", ended.stderr);
    let csv = ended.stdout.split(HEADER).nth(1).unwrap();
    let numbers: Vec<u64> =
        csv.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
    assert!(numbers.is_sorted() && numbers.len() > 200, "{} rows", numbers.len());
    assert!(csv.lines().skip(1).all(|line| line.split(',').count() == 5));
}

#[test]
fn memory_stays_constant_over_any_number_of_packets() {
    let server = Server::start(&[]);
    let peak = |count: &str| {
        let scratch = Scratch::new();
        let mut command = echotest();
        client_command(&mut command, server.address, &scratch, &["-i", "0", "-c", count]);
        let process = Process::start(&mut command);
        let status = format!("/proc/{}/status", process.child.id());
        let mut peak = 0;
        while let Ok(text) = fs::read_to_string(&status) {
            let line = text.lines().find(|line| line.starts_with("VmHWM:"));
            let Some(line) = line else { break };
            peak = line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(process.finish().status, 0);
        peak
    };
    let few = peak("2000");
    // Where other programs have the processors, what is to be recorded waits in batches:
    // then it is measured again. What grows with the packets grows each time.
    let tries: Vec<u64> = (0..4)
        .map(|_| peak("100000"))
        .scan(false, |good, many| {
            let before = std::mem::replace(good, many < few + 1024);
            (!before).then_some(many)
        })
        .collect();
    let many = *tries.last().expect("a try");
    assert!(many < few + 1024, "{few} KiB for 2,000 packets, {tries:?} KiB for 100,000");
    assert!(tries.iter().all(|many| *many < 16 * 1024), "{tries:?} KiB");
}
