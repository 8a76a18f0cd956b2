//! Captures of real sessions, made with tcpdump.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{
    Impaired, Process, Scratch, Server, client_command, echotest, eventually, figure, file, have,
    root,
};
use crate::{agrees, analyzed, mean, sum, wireshark};

/// tcpdump, capturing.
struct Tcpdump {
    process: Process,
    file: PathBuf,
}

impl Tcpdump {
    fn start(command: &mut Command, directory: &Path, arguments: &[&str]) -> Self {
        let file = directory.join("capture.pcap");
        command
            .args(["-U", "--immediate-mode", "-B", "65536", "-Z", "root", "-w"])
            .arg(&file)
            .args(arguments);
        let process = Process::start(command);
        eventually("tcpdump captures", || process.stderr().contains("listening on"));
        Self { process, file }
    }

    /// Stops it when all is written; nothing may have been dropped.
    fn stop(self) -> PathBuf {
        let mut last = 0;
        eventually("the capture is complete", || {
            std::thread::sleep(std::time::Duration::from_millis(100));
            let length = std::fs::metadata(&self.file).map_or(0, |data| data.len());
            std::mem::replace(&mut last, length) == length && length > 24
        });
        self.process.signal("INT");
        let ended = self.process.finish();
        assert!(ended.stderr.contains("0 packets dropped by kernel"), "{ended:?}");
        self.file
    }
}

fn possible() -> bool {
    root() && have("tcpdump") && have("tshark")
}

fn on_loopback(arguments: &[&str], interface: &str) -> (Scratch, PathBuf, PathBuf) {
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    let port = server.port();
    let tcpdump = Tcpdump::start(
        Command::new("tcpdump").args(["-i", interface, "-s", "96"]),
        scratch.path(),
        &["tcp", "port", &port],
    );
    let mut command = echotest();
    client_command(&mut command, server.address, &scratch, arguments);
    let ended = Process::start(&mut command).finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    let capture = tcpdump.stop();
    let timings = file(scratch.path(), "_timings.csv");
    (scratch, capture, timings)
}

#[test]
fn ten_packets_on_loopback() {
    if !possible() {
        return;
    }
    for interface in ["lo", "any"] {
        let (_scratch, capture, _) = on_loopback(&["-c", "10", "-i", "0.02"], interface);
        let json = agrees(&capture);
        assert!(json.contains("\"answered\":10,"), "{json}");
        assert!(json.contains("\"how\":\"fin\",\"by\":\"client\",\"followed\":true"), "{json}");
    }
}

#[test]
fn a_hundred_thousand_packets_in_bounded_memory() {
    if !possible() {
        return;
    }
    let (_scratch, capture, timings) = on_loopback(&["-c", "100000", "-i", "0"], "lo");
    let json = agrees(&capture);
    assert!(json.contains("\"answered\":100000,"), "{json}");
    // Each direction's mean as tshark has it.
    let ours: f64 = json
        .split("\"acknowledged_after_us\":")
        .skip(1)
        .zip(json.split("\"acknowledged\":").skip(1))
        .map(|(object, count)| {
            let count: f64 = count.split(',').next().unwrap().parse().unwrap();
            figure(object, "mean").unwrap_or(0.0) * count
        })
        .sum();
    let theirs = wireshark(&capture).ack_rtts;
    let total = mean(&theirs) * 1.0;
    #[allow(clippy::cast_precision_loss, reason = "a count")]
    let ours = ours / theirs.len() as f64;
    assert!((ours - total).abs() < 0.01, "{ours} us, tshark {total} us");
    let timings = timings.to_string_lossy().into_owned();
    let joined = analyzed(&capture, &["--csv", &timings]).stdout;
    assert!(
        joined.contains("\"matched\":100000,\"rows_alone\":0,\"requests_alone\":0"),
        "{joined}"
    );
}

#[test]
fn the_clients_file_is_joined_packet_by_packet_and_the_wire_is_never_slower() {
    if !possible() {
        return;
    }
    for size in ["64", "100000"] {
        let (scratch, capture, timings) =
            on_loopback(&["-c", "200", "-i", "0.01", "-s", size], "lo");
        let timings = timings.to_string_lossy().into_owned();
        let pairs = scratch.path().join("pairs.csv");
        let pairs_name = pairs.to_string_lossy().into_owned();
        let arguments = ["--csv", &timings, "--csv-out", &pairs_name];
        // A second time its own file is replaced; no other is.
        assert_eq!(analyzed(&capture, &arguments).status, 0);
        let json = analyzed(&capture, &arguments).stdout;
        let refused = analyzed(&capture, &["--csv", &timings, "--csv-out", &timings]);
        assert_eq!(refused.status, 2, "{refused:?}");
        assert!(refused.stderr.contains("there is a file that is no join of a capture"));
        let text = std::fs::read_to_string(&pairs).unwrap();
        // A busy host may have skipped some.
        let numbers = |text: &str| -> Vec<u64> {
            let first = |line: &str| line.split(',').next()?.parse().ok();
            text.lines().skip(1).filter_map(first).collect()
        };
        let sent = numbers(&std::fs::read_to_string(&timings).unwrap());
        assert!(sent.len() > 150 && numbers(&text) == sent, "{text}");
        for row in crate::common::rows(&pairs) {
            let [wire, host, again] = &row.more[..] else { panic!("{row:?}") };
            let [wire, host]: [f64; 2] = [wire, host].map(|text| text.parse().unwrap());
            let rtt = row.rtt_us().unwrap();
            assert!((wire + host - rtt).abs() < 0.01 && again == "0", "{row:?}");
        }
        let report = crate::common::run(["report", &pairs_name]);
        let all = format!("{0} packets, {0} received", sent.len());
        assert!(report.stdout.contains(&all), "{report:?}");
        assert!(json.contains("\"matched\":200,\"rows_alone\":0"), "{json}");
        assert!(json.contains("\"impossible\":0"), "{json}");
        let p50 = |name: &str| figure(&json, &format!("{name}.p50")).unwrap();
        assert!(p50("wire_us") < p50("client_us"), "{json}");
    }
}

#[test]
fn loss_and_reordering_on_a_real_path_are_told_as_tshark_tells_them() {
    if !possible() {
        return;
    }
    let arguments = ["--delay", "3ms", "--loss", "5%", "--name", "et-cap"];
    let Some(path) = Impaired::new(&arguments) else { return };
    let server = path.server();
    let scratch = Scratch::new();
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &path.near, "tcpdump", "-i", "path", "-s", "96"]);
    let tcpdump = Tcpdump::start(&mut command, scratch.path(), &["tcp"]);
    let client = path.client(&server, &scratch, &["-c", "1500", "-i", "0.002", "-s", "3000"]);
    let ended = client.finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    let capture = tcpdump.stop();
    let json = agrees(&capture);
    assert!(sum(&json, "retransmissions") > 20, "{json}");
    assert!(sum(&json, "duplicate_acks") > 20, "{json}");
}

#[test]
fn both_ends_tell_which_way_lost_what_and_how_long_each_took() {
    if !possible() {
        return;
    }
    let arguments = ["--delay", "10ms", "--loss", "4%", "--name", "et-both"];
    let Some(path) = Impaired::new(&arguments) else { return };
    let server = path.server();
    let (near, far) = (Scratch::new(), Scratch::new());
    let capture = |namespace: &str, scratch: &Scratch| {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, "tcpdump", "-i", "path", "-s", "96"]);
        Tcpdump::start(&mut command, scratch.path(), &["tcp"])
    };
    let dumps = [capture(&path.near, &near), capture(&path.far, &far)];
    let ended = path.client(&server, &near, &["-c", "500", "-i", "0.01"]).finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    let [near, far] = dumps.map(Tcpdump::stop);
    let other = far.to_string_lossy().into_owned();
    let json = analyzed(&near, &["--peer", &other]).stdout;
    let peer = json.split(r#""peer":{"#).nth(1).expect("both ends");
    let value = |key: &str| figure(&format!("{{{peer}"), key).unwrap_or_else(|| panic!("{json}"));
    // What was sent and did not arrive was lost, and comes again until it arrives.
    let lost = value("outbound.lost") + value("inbound.lost");
    assert!(lost > 10.0 && value("outbound.not_in_senders_capture") < 0.5, "{json}");
    let again = sum(&json, "retransmissions");
    #[allow(clippy::cast_precision_loss, reason = "a count")]
    let again = again as f64;
    assert!(value("outbound.lost") <= again + 0.5, "{lost} lost, {again} sent again: {json}");
    for way in ["outbound", "inbound"] {
        let least = value(&format!("{way}.one_way_us.min"));
        assert!((9_900.0..14_000.0).contains(&least), "{way}: {least} us: {json}");
    }
    // One clock: the offset is nothing, within its bound.
    assert!(value("offset_us").abs() < 2_000.0 && value("offset_bound_us") > 9_900.0, "{json}");
    // Which file is whose is seen.
    let name = near.to_string_lossy().into_owned();
    let swapped = analyzed(&far, &["--peer", &name]).stdout;
    let same = swapped.split(r#""peer":{"#).nth(1).expect("both ends");
    assert_eq!(
        figure(&format!("{{{same}"), "outbound.lost"),
        figure(&format!("{{{peer}"), "outbound.lost")
    );
    let text = crate::run(["analyze", &name, "--peer", &other]).stdout;
    assert!(text.contains("lost on the way out, one way min/p50/p90/p99/max = "), "{text}");
}

#[test]
fn the_script_captures_measures_and_compares() {
    if !possible() {
        return;
    }
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/capture.sh");
    let directory = scratch.path().to_string_lossy().into_owned();
    for name in ["capture.pcap", "capture_2.pcap"] {
        let mut command = Command::new("bash");
        command.arg(&script).args(["--binary", env!("CARGO_BIN_EXE_echotest")]);
        command.args(["127.0.0.1", &server.port(), "--", "-c", "5", "-i", "0.02"]);
        let ended = Process::start(command.args(["--log-dir", &directory])).finish();
        assert_eq!(ended.status, 0, "{ended:?}");
        assert!(ended.stdout.contains("5 received"), "{ended:?}");
        assert!(ended.stdout.contains("5 packets found in both, 0 of the file"), "{ended:?}");
        assert!(scratch.entries().contains(&name.to_owned()), "{:?}", scratch.entries());
        // The next run's file is another second's, so that it is the newest.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    // A request to end ends the client too, and what there is is explained.
    let mut command = Command::new("bash");
    command.arg(&script).args(["--binary", env!("CARGO_BIN_EXE_echotest")]);
    command.args(["127.0.0.1", &server.port(), "--", "-i", "0.2", "--log-dir", &directory]);
    let capturing = Process::start(&mut command);
    eventually("packets", || capturing.stdout().contains("packet 3:"));
    capturing.signal("TERM");
    let ended = capturing.finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stdout.contains("found in both"), "{ended:?}");
    // A name that leads nowhere is said.
    let mut command = Command::new("bash");
    command.arg(&script).args(["--binary", "/bin/true", "no-such-host.invalid", "7"]);
    let ended = Process::start(&mut command).finish();
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("cannot resolve no-such-host.invalid"), "{ended:?}");
    if !have("setpriv") {
        return;
    }
    // An ordinary user without the right is told how to get it.
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--clear-groups", "--bounding-set=-all", "bash"]);
    command.arg(&script).args(["--binary", "/bin/true", "127.0.0.1", &server.port()]);
    command.args(["--", "--log-dir", "/tmp"]);
    let ended = Process::start(&mut command).finish();
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("setcap") || ended.stderr.contains("denied"), "{ended:?}");
}
