//! Recording never disturbs measuring, and nothing is lost without a word:
//! readers who stand still, full disks, hung logs, pauses of this host.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests use std's sockets and clock, and say what they leave out"
)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileTypeExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{
    Process, Row, Scratch, Server, client_command, echotest, eventually, figure, file, have, root,
    rows, run,
};

/// A pipe that holds 64 KiB already: the next write stands still.
fn full_pipe() -> (std::io::PipeReader, std::io::PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    // Linux's usual size of a pipe.
    writer.write_all(&vec![b'x'; 64 * 1024]).expect("room");
    (reader, writer)
}

fn timings(scratch: &Scratch) -> Vec<Row> {
    rows(&file(scratch.path(), "_timings.csv"))
}

/// The times between sends, in seconds.
#[allow(clippy::cast_precision_loss, reason = "to the microsecond")]
fn gaps(scratch: &Scratch) -> Vec<f64> {
    let rows = timings(scratch);
    rows.windows(2).map(|pair| (pair[1].sent_ns - pair[0].sent_ns) as f64 / 1e9).collect()
}

#[test]
fn a_reader_who_stands_still_stops_no_packet_and_is_told_what_was_dropped() {
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    let (mut reader, writer) = full_pipe();
    let mut command = echotest();
    client_command(&mut command, server.address, &scratch, &["-i", "0.1", "-c", "30"]);
    let mut client = command.stdout(OwnedFd::from(writer)).spawn().expect("a client");
    drop(command);
    thread::sleep(Duration::from_secs(2));
    let mut shown = String::new();
    reader.read_to_string(&mut shown).expect("text");
    assert!(client.wait().expect("a status").success());
    let largest = gaps(&scratch).into_iter().fold(0.0, f64::max);
    assert!(largest < 1.0, "no packet for {largest} s");
    assert!(shown.contains("30 packets sent, 30 received"), "{}", &shown[64 * 1024..]);
}

#[test]
fn a_second_interrupt_leaves_also_where_nobody_reads() {
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    let (_reader, writer) = full_pipe();
    let mut command = echotest();
    client_command(&mut command, server.address, &scratch, &["-i", "0.1"]);
    let mut client = command.stdout(OwnedFd::from(writer)).spawn().expect("a client");
    thread::sleep(Duration::from_millis(800));
    let signal = |id: u32| {
        let _ = Command::new("kill").args(["-INT", &id.to_string()]).status();
    };
    signal(client.id());
    thread::sleep(Duration::from_millis(200));
    let asked = Instant::now();
    signal(client.id());
    let status = client.wait().expect("a status");
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert_eq!(status.code(), Some(2));
}

#[test]
fn results_that_cannot_be_printed_are_exit_2_and_a_line() {
    let server = Server::start(&[]);
    let port = server.port();
    let measure =
        Server::from(echotest().args(["server", "measure", "-p", "0", "--bind", "127.0.0.1"]));
    let measure = measure.port();
    for arguments in [
        vec!["client", "127.0.0.1", &port, "-c", "2", "-i", "0.05", "--no-files"],
        vec!["client", "127.0.0.1", &port, "-c", "2", "-i", "0.05", "--no-files", "--json"],
        vec!["client", "127.0.0.1", &port, "--message", "x"],
        vec!["loopback", "-c", "2", "--no-files", "--json"],
        vec!["ping", "127.0.0.1", &port, "--connect", "-c", "1", "--no-files"],
        vec!["measure", "127.0.0.1", &measure, "--probes", "1", "--size", "1", "--no-files"],
        vec!["idle", "127.0.0.1", &port, "--from", "0.1", "--to", "0.2", "--json"],
        vec!["help"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").expect("/dev/full");
        let mut command = echotest();
        let done = command.args(&arguments).stdout(full).stderr(Stdio::piped()).output();
        let done = done.expect("a process");
        assert_eq!(done.status.code(), Some(2), "{arguments:?}");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(said.contains("standard output: No space left"), "{arguments:?}: {said}");
    }
}

#[test]
#[allow(clippy::cast_precision_loss, reason = "some hundred rows")]
fn a_limit_of_file_size_keeps_rows_whole_and_is_owned_to() {
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    let script = format!(
        "ulimit -f 8; exec {} client 127.0.0.1 {} -i 1ms -c 500 --log-dir {} --json",
        env!("CARGO_BIN_EXE_echotest"),
        server.port(),
        scratch.path().display()
    );
    let ended = Process::start(Command::new("bash").args(["-c", &script])).finish();
    assert_eq!(ended.status, 2, "{ended:?}");
    let json = &ended.stdout;
    let lost = figure(json, "not_recorded").expect("a number");
    let text = fs::read_to_string(file(scratch.path(), "_timings.csv")).expect("the CSV");
    assert!(text.ends_with('\n'), "the last row is cut");
    let rows = text.lines().count() - 1;
    let whole = format!(r#""packets":{{"sent":{}"#, rows as f64 + lost);
    assert!(json.contains(&whole), "{rows} rows: {json}");
    assert!(ended.stderr.contains("rows could not be written"), "{ended:?}");
}

#[test]
fn packets_due_in_a_pause_are_skipped_and_make_no_burst() {
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    let mut command = echotest();
    let arguments = ["-i", "0.01", "-w", "3", "--json"];
    client_command(&mut command, server.address, &scratch, &arguments);
    let process = Process::start(&mut command);
    thread::sleep(Duration::from_millis(800));
    process.signal("STOP");
    thread::sleep(Duration::from_secs(1));
    process.signal("CONT");
    let ended = process.finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    let skipped = figure(&ended.stdout, "packets.skipped").expect("a number");
    let sent = figure(&ended.stdout, "packets.sent").expect("a number");
    assert!((90.0..200.0).contains(&skipped), "{ended:?}");
    assert!((299.0..=301.0).contains(&(sent + skipped)), "{ended:?}");
    assert!(ended.stdout.contains(r#""kind":"pause""#), "{ended:?}");
    // The note that the README promises, with nearly the second that it took.
    let (_, findings) = ended.stdout.split_once(r#""findings":["#).expect("findings");
    assert!(findings.contains("this host stood still"), "{ended:?}");
    let numbers: Vec<u64> = timings(&scratch).iter().map(|row| row.number).collect();
    assert!(numbers.windows(2).any(|pair| pair[1] - pair[0] > 80), "no number is left out");
    let burst = gaps(&scratch).iter().filter(|gap| **gap < 0.001).count();
    assert!(burst < 30, "{burst} packets in a burst");
}

#[test]
fn a_duration_is_a_bound_where_the_schedule_cannot_be_held() {
    let server = Server::start(&[]);
    let port = server.port();
    let ended =
        run(["client", "127.0.0.1", &port, "-i", "100ns", "-w", "1", "-W", "2", "--no-files"]);
    assert!(ended.took < Duration::from_secs(8), "{ended:?}");
}

#[test]
fn metrics_leave_what_is_no_plain_file_and_follow_no_planted_link() {
    let scratch = Scratch::new();
    let path = |name: &str| scratch.path().join(name);
    let made = Command::new("mkfifo").arg(path("fifo")).status().expect("mkfifo");
    assert!(made.success());
    fs::write(path("target"), "").expect("a file");
    std::os::unix::fs::symlink("target", path("link")).expect("a link");
    let run = |name: &str| {
        let metrics = path(name);
        let ended =
            run(["loopback", "-c", "1", "--no-files", "--metrics", &metrics.display().to_string()]);
        assert_eq!(ended.status, 0, "{name}: {ended:?}");
    };
    run("fifo");
    assert!(fs::symlink_metadata(path("fifo")).unwrap().file_type().is_fifo());
    run("link");
    assert!(fs::symlink_metadata(path("link")).unwrap().is_symlink());
    assert!(fs::read_to_string(path("target")).unwrap().contains("echotest_packets_sent"));
    // Who knows the process's number plants a link under its temporary name.
    fs::write(path("precious"), "precious").expect("a file");
    let script = format!(
        "for n in 0 1 2; do ln -s precious {dir}/m.prom.$$.$n.tmp; done
         ln -s precious {dir}/m.prom.$$.tmp
         exec {} loopback -c 1 --no-files --metrics {dir}/m.prom",
        env!("CARGO_BIN_EXE_echotest"),
        dir = scratch.path().display()
    );
    let ended = Process::start(Command::new("bash").args(["-c", &script])).finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    assert_eq!(fs::read_to_string(path("precious")).unwrap(), "precious");
    assert!(fs::read_to_string(path("m.prom")).unwrap().contains("echotest_packets_sent"));
}

#[test]
fn a_hung_log_stops_no_server() {
    let (_reader, writer) = full_pipe();
    let mut command = echotest();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    command.args(["server", "-p", &port.to_string(), "--bind", "127.0.0.1"]);
    let mut server = command.stderr(OwnedFd::from(writer)).spawn().expect("a server");
    drop(command);
    let address = ("127.0.0.1", port);
    eventually("a server", || std::net::TcpStream::connect(address).is_ok());
    for _ in 0..1500 {
        let mut stream = std::net::TcpStream::connect(address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0; 1]).expect("its echo");
    }
    let asked = Instant::now();
    let _ = Command::new("kill").arg(server.id().to_string()).status();
    assert!(server.wait().expect("a status").success());
    assert!(asked.elapsed() < Duration::from_secs(8), "{:?}", asked.elapsed());
}

/// A real disk that takes nothing for a while: a file system that is frozen.
#[test]
fn a_disk_that_stands_still_stops_no_packet_and_loses_no_row() {
    if !(root() && have("fsfreeze") && have("mkfs.ext4") && have("unshare")) {
        return;
    }
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    let script = format!(
        "cd {dir}; truncate -s 16M disk; mkfs.ext4 -q disk && mkdir at && mount -o loop disk at || exit 77
         (sleep 0.7; fsfreeze -f at; sleep 1.5; fsfreeze -u at) & frozen=$!
         {binary} client 127.0.0.1 {port} -i 0.02 -c 150 --log-dir at -q; status=$?
         wait $frozen; cat at/*_timings.csv; umount at; exit $status",
        dir = scratch.path().display(),
        binary = env!("CARGO_BIN_EXE_echotest"),
        port = server.port(),
    );
    let mut command = Command::new("unshare");
    let ended = Process::start(command.args(["-m", "bash", "-c", &script])).finish();
    if ended.status == 77 {
        common::skipped("this kernel mounts no image");
        return;
    }
    assert_eq!(ended.status, 0, "{ended:?}");
    let csv = ended.stdout.split("packet_num").nth(1).expect("a CSV");
    let sent: Vec<f64> =
        csv.lines().skip(1).filter_map(|row| row.split(',').nth(2)?.parse().ok()).collect();
    let skipped = ended.stdout.contains("skipped");
    assert!(sent.len() == 150 || skipped, "{} rows", sent.len());
    let largest = sent.windows(2).map(|pair| (pair[1] - pair[0]) / 1e9).fold(0.0, f64::max);
    assert!(largest < 1.0, "no packet for {largest} s");
}

#[test]
fn a_full_standard_error_does_not_hold_up_the_log_file() {
    let scratch = Scratch::new();
    let log = scratch.path().join("log");
    let (_reader, writer) = full_pipe();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = echotest();
    command.args(["server", "-p", &port.to_string(), "--bind", "127.0.0.1", "--log-file"]);
    let mut server = command.arg(&log).stderr(OwnedFd::from(writer)).spawn().expect("a server");
    drop(command);
    eventually("a line in the file", || {
        fs::read_to_string(&log).is_ok_and(|text| text.contains("listening on"))
    });
    let _ = Command::new("kill").arg(server.id().to_string()).status();
    assert!(server.wait().expect("a status").success());
}

#[test]
fn a_message_is_printed_byte_by_byte_as_it_came() {
    // A service that answers with bytes that are no text.
    let address = common::peer(|mut stream, _| {
        let mut bytes = [0; 1];
        let _ = stream.read_exact(&mut bytes);
        let _ = stream.write_all(b"\xff");
    });
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let mut command = echotest();
    let done = command.args(["client", &host, &port, "--message", "x"]).output().expect("a client");
    assert_eq!(done.stdout, b"Received: \xff\n", "{done:?}");
}

#[test]
fn a_file_that_is_moved_away_is_followed_by_another_without_a_gap() {
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    let mut command = echotest();
    client_command(&mut command, server.address, &scratch, &["-c", "0", "-i", "0.001"]);
    let client = Process::start(&mut command);
    let mut moved = Vec::new();
    for number in 0..10 {
        eventually("a file with rows", || {
            let files = scratch.entries();
            let csv = files.iter().find(|name| name.ends_with("_timings.csv"));
            csv.is_some_and(|name| {
                fs::read_to_string(scratch.path().join(name))
                    .is_ok_and(|text| text.lines().count() > 50)
            })
        });
        let csv = file(scratch.path(), "_timings.csv");
        let away = scratch.path().join(format!("away_{number}"));
        fs::rename(&csv, &away).unwrap();
        moved.push(away);
        client.signal("USR1");
    }
    thread::sleep(Duration::from_millis(300));
    client.signal("INT");
    let ended = client.finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    let lines = fs::read_to_string(file(scratch.path(), "_daily.jsonl")).expect("lines");
    assert!(lines.ends_with(",\"exit\":0}\n"), "{lines}");
    let stretches: f64 = lines.lines().filter_map(|line| figure(line, "packets.sent")).sum();
    assert!(ended.stdout.contains(&format!("\n{stretches} packets sent")), "{lines}");
    moved.push(file(scratch.path(), "_timings.csv"));
    let mut numbers: Vec<u64> = Vec::new();
    for file in &moved {
        let text = fs::read_to_string(file).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(common::HEADER), "{}", file.display());
        assert!(text.ends_with('\n'));
        numbers.extend(lines.map(|line| line.split(',').next().unwrap().parse::<u64>().unwrap()));
    }
    // Each number once, in order; what fell due in a pause of this host has none.
    assert!(numbers.windows(2).all(|two| two[0] < two[1]), "{numbers:?}");
    let sent: u64 = ended
        .stdout
        .split(" packets sent")
        .next()
        .and_then(|text| text.rsplit(['\n', ' ']).next()?.parse().ok())
        .unwrap();
    assert_eq!(numbers.len() as u64, sent, "{}", ended.stdout);
}

/// Each stretch is told for itself; of all that are still there, the very rows.
fn a_line_tells_each_piece(scratch: &Scratch, pieces: Option<usize>) {
    let lines = fs::read_to_string(file(scratch.path(), "_daily.jsonl")).expect("lines");
    let lines: Vec<&str> = lines.lines().collect();
    assert!(pieces.is_none_or(|pieces| pieces == lines.len()), "{pieces:?}: {lines:#?}");
    let (last, others) = lines.split_last().expect("a line");
    assert!(last.ends_with(",\"exit\":0}"), "{last}");
    assert!(others.iter().all(|line| line.ends_with(",\"exit\":null}")), "{lines:#?}");
    assert_eq!(figure(lines[0], "connections.established"), Some(1.0));
    let after = |line: &&str| figure(line, "connections.established") == Some(0.0);
    assert!(lines[1..].iter().all(after), "{lines:#?}");
    for line in &lines {
        assert!(line.starts_with("{\"version\":"), "{line}");
        let csv = line.split("\"csv\":\"").nth(1).and_then(|text| text.split('"').next());
        let csv = csv.filter(|_| pieces.is_some());
        let Some(text) = csv.map(|path| fs::read_to_string(path).expect("its piece")) else {
            // A disk that lags behind a change every 20 ms, or a piece that is gone.
            continue;
        };
        let rows = text.lines().count() - 1;
        assert!(line.contains(&format!("\"packets\":{{\"sent\":{rows},")), "{rows}: {line}");
    }
}

#[test]
fn closed_files_are_packed_and_go_with_the_others() {
    let pieces = |arguments: &[&str]| {
        let scratch = Scratch::new();
        let directory = scratch.path().to_str().expect("a path");
        let mut all = vec!["loopback", "-i", "0.001", "-c", "400", "-q", "--log-dir", directory];
        all.extend(["--rotate", "8K", "--compress"].iter().chain(arguments));
        (run(all), scratch)
    };
    let (ended, scratch) = pieces(&["gzip -1"]);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{ended:?}");
    let count = |end| scratch.entries().iter().filter(|name| name.ends_with(end)).count();
    // The last pair stays as it is.
    assert_eq!((count("_timings.csv"), count(".log")), (1, 1), "{:?}", scratch.entries());
    assert!(count("_timings.csv.gz") >= 2 && count("_timings.csv.gz") == count(".log.gz"));
    let directory = scratch.path().to_str().expect("a path");
    let report = run(["report", directory]);
    assert!(report.status == 0 && report.stderr.contains(" are left out; unpack"), "{report:?}");
    let packed = scratch.entries().into_iter().find(|name| name.ends_with("csv.gz")).expect("one");
    let packed = scratch.path().join(packed).to_string_lossy().into_owned();
    let report = run(["report", &packed]);
    assert_eq!(report.status, 2, "{report:?}");
    assert!(report.stderr.contains(&format!("unpack it first: gzip -d {packed}")), "{report:?}");
    let unpacked = Command::new("gzip").args(["-rd", directory]).status().expect("gzip");
    assert!(unpacked.success());
    let report = run(["report", directory]);
    assert!(report.stdout.contains("one run in ") && report.stderr.is_empty(), "{report:?}");

    let (ended, scratch) = pieces(&["gzip", "--keep", "3"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    let left = scratch.entries();
    assert_eq!(left.iter().filter(|name| name.contains("_timings.csv")).count(), 3, "{left:?}");

    // One that fails is told, and costs nothing.
    let (ended, scratch) = pieces(&["false"]);
    assert_eq!(ended.status, 0, "{ended:?}");
    let told = ended.stderr.matches(": exit status 1; the file stays as it is").count();
    assert!(told >= 4 && scratch.entries().len() == told + 3, "{told}: {:?}", scratch.entries());
}

#[test]
fn a_run_that_stays_in_its_files_has_no_third_one() {
    let scratch = Scratch::new();
    let directory = scratch.path().to_str().expect("a path");
    let ended = run(["loopback", "-c", "3", "-i", "0.01", "-q", "--log-dir", directory]);
    assert_eq!((ended.status, scratch.entries().len()), (0, 2), "{:?}", scratch.entries());
}

#[test]
fn a_run_in_pieces_has_every_number_once_and_is_one_run_to_report() {
    for (limit, keep) in [("8K", None), ("100ms", None), ("4K", Some("3"))] {
        let scratch = Scratch::new();
        let directory = scratch.path().to_str().expect("a path");
        let mut arguments = vec!["loopback", "-i", "0.001", "-c", "2000", "--rotate", limit];
        arguments.extend(["--log-dir", directory, "-q", "--explain"]);
        arguments.extend(keep.into_iter().flat_map(|keep| ["--keep", keep]));
        let ended = run(arguments);
        assert_eq!(ended.status, 0, "{ended:?}");
        let entries = scratch.entries();
        let pieces: Vec<&String> =
            entries.iter().filter(|name| name.ends_with("_timings.csv")).collect();
        let other = ["_timings.csv", "_daily.jsonl"];
        let logs = entries.iter().filter(|name| !other.iter().any(|end| name.ends_with(end)));
        let mut numbers = Vec::new();
        for piece in &pieces {
            let text = fs::read_to_string(scratch.path().join(piece)).expect("a piece");
            assert!(text.starts_with("packet_num,") && text.ends_with('\n'), "{piece}");
            assert!(!limit.ends_with('K') || text.len() <= 8 << 10, "{piece}: {}", text.len());
            let number = |line: &str| line.split(',').next()?.parse::<u64>().ok();
            numbers.extend(text.lines().filter_map(number));
        }
        for log in logs.clone() {
            let text = fs::read_to_string(scratch.path().join(log)).expect("a log");
            assert!(text.contains("echo to 127.0.0.1"), "{log} has no header: {text:?}");
        }
        assert_eq!(logs.count(), pieces.len());
        numbers.sort_unstable();
        assert!(numbers.windows(2).all(|two| two[0] < two[1]), "{numbers:?}");
        if keep.is_some() {
            assert_eq!(pieces.len(), 3, "{entries:?}");
        } else {
            // What fell due in a pause of this host was not sent and has no row.
            assert!(
                ended.stdout.contains(&format!("\n{} packets sent", numbers.len())),
                "{ended:?}"
            );
            assert!(pieces.len() > 5, "{entries:?}");
        }
        a_line_tells_each_piece(&scratch, keep.is_none().then_some(pieces.len()));
        let report = run(["report", directory]);
        assert_eq!(report.status, 0, "{report:?}");
        let all = format!("{0} packets, {0} received", numbers.len());
        assert!(report.stdout.contains(&all), "{report:?}");
        let joined = format!("one run in {} files", pieces.len());
        assert!(report.stdout.contains(&joined), "{report:?}");
    }
    let ended = run(["loopback", "--keep", "3"]);
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("--keep: it goes with --rotate"), "{ended:?}");
    let ended = run(["loopback", "--rotate", "10K", "--keep", "0"]);
    assert_eq!(ended.status, 2, "{ended:?}");
    let ended = run(["loopback", "--rotate", "10K", "--compress", "gzipp -9"]);
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("--compress \"gzipp -9\": there is no such"), "{ended:?}");
    let ended = run(["loopback", "--rotate", "20x"]);
    assert!(ended.stderr.contains("a size of 1024 bytes or more such as 100M"), "{ended:?}");
}

#[test]
fn a_deleted_directory_is_an_error_and_rows_go_on_in_a_new_file() {
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    let logs = scratch.path().join("logs");
    let mut command = echotest();
    command.args(["client", "127.0.0.1", &server.port(), "-i", "0.02", "-w", "3", "-q"]);
    let process = Process::start(command.arg("--log-dir").arg(&logs));
    eventually("rows", || {
        let found = fs::read_dir(&logs).into_iter().flatten().flatten();
        found.map(|entry| entry.metadata().map_or(0, |data| data.len())).sum::<u64>() > 2_000
    });
    fs::remove_dir_all(&logs).expect("a directory");
    let ended = process.finish();
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("it was deleted, with "), "{ended:?}");
    let again = fs::read_to_string(file(&logs, "_timings.csv")).expect("a new file");
    assert!(again.starts_with("packet_num,") && again.lines().count() > 20, "{again}");
}
