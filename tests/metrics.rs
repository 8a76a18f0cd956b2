//! Runs that are watched: the metrics file by the tools that read it, and the
//! status line by a terminal.
#![allow(clippy::disallowed_methods, reason = "tests use std's clock")]

mod common;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Process, Scratch, Server, echotest, eventually, have, run};

/// Has `promtool` judge a file.
fn judged(arguments: &[&str], file: &Path) {
    if !have("promtool") {
        return;
    }
    let input = File::open(file).expect("the file");
    let output = Command::new("promtool")
        .args(arguments)
        .args((arguments == ["check", "rules"]).then_some(file))
        .stdin(Stdio::from(input))
        .output()
        .expect("promtool");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    if arguments == ["check", "metrics"] {
        assert_eq!(said, "", "promtool has advice");
    }
}

fn value(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 1, "{name} in {metrics}");
    lines[0].rsplit(' ').next().expect("a value").parse().expect("a number")
}

#[test]
fn the_tools_that_read_metrics_find_nothing_wrong_with_ours() {
    let scratch = Scratch::new();
    let file = scratch.path().join("echotest.prom");
    let path = file.to_string_lossy().into_owned();
    let arguments = ["-c", "300", "-i", "0.001", "--no-files", "--metrics", &path];
    let server = Server::start(&[]);
    let client = ["client", "127.0.0.1", &server.port()];
    let ended = run(client.iter().chain(&arguments));
    assert_eq!(ended.status, 0, "{ended:?}");
    judged(&["check", "metrics"], &file);
    let metrics = fs::read_to_string(&file).unwrap();
    // A machine that stands still skips some of the 300.
    let sent = value(&metrics, "echotest_packets_sent_total");
    assert!((30.0..300.5).contains(&sent), "{sent}");
    assert!((value(&metrics, "echotest_rtt_seconds_count") - sent).abs() < 0.1);
    let sum = value(&metrics, "echotest_rtt_seconds_sum");
    assert!(sum > 0.0 && sum < 300.0 * 0.1, "{sum}");
    let labels = format!("host=\"127.0.0.1\",address=\"127.0.0.1\",port=\"{}\"", server.port());
    assert!(metrics.contains(&labels), "{metrics}");
    assert_eq!(scratch.entries(), ["echotest.prom"], "nothing is left beside it");
}

#[test]
fn labels_of_the_users_own_stand_in_every_line() {
    let scratch = Scratch::new();
    let file = scratch.path().join("m.prom");
    let path = file.to_string_lossy().into_owned();
    let labels = ["--metrics-label", "path=a \"b\"", "--metrics-label", "_from=x=y"];
    let client = ["loopback", "-c", "200", "-i", "0.001", "--no-files", "--metrics", &path];
    let ended = run(client.iter().chain(&labels));
    assert_eq!(ended.status, 0, "{ended:?}");
    judged(&["check", "metrics"], &file);
    let metrics = fs::read_to_string(&file).unwrap();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.contains(r#",path="a \"b\"",_from="x=y""#), "{line}");
    }
    let of = |percent: &str| {
        let label = format!("percentile=\"{percent}\"}}");
        let line = metrics.lines().find(|line| line.contains(&label)).expect("a percentile");
        line.rsplit(' ').next().expect("a value").parse::<f64>().expect("a number")
    };
    assert!(0.0 < of("50") && of("50") <= of("99") && of("99") <= of("99.9"), "{metrics}");
    for kind in ["kind=\"outage\"", "cause=\"unknown\"", "by=\"peer\""] {
        assert!(metrics.contains(kind), "{kind}: {metrics}");
    }
    for bad in ["path", "=x", "1a=x", "a-b=x", "host=x", "le=1"] {
        let ended = run(client.iter().chain(&["--metrics-label", bad]));
        assert_eq!(ended.status, 2, "{bad}: {ended:?}");
        assert!(ended.stderr.contains("--metrics-label"), "{ended:?}");
    }
}

#[test]
fn ping_and_twamp_have_metrics_too() {
    for (protocol, arguments) in
        [("ping", &["server", "ping", "--loss", "0"][..]), ("twamp", &["server", "twamp"][..])]
    {
        let mut command = echotest();
        let server =
            Server::from(command.args(arguments).args(["--port", "0", "--bind", "127.0.0.1"]));
        let scratch = Scratch::new();
        let file = scratch.path().join("m.prom");
        let port = server.port();
        let path = file.to_string_lossy().into_owned();
        let client = [protocol, "127.0.0.1", &port, "-c", "3", "-i", "0.01", "--no-files"];
        let ended = run(client.iter().chain(&["--metrics", &path]));
        assert_eq!(ended.status, 0, "{ended:?}");
        judged(&["check", "metrics"], &file);
        let metrics = fs::read_to_string(&file).unwrap();
        assert!((value(&metrics, "echotest_packets_received_total") - 3.0).abs() < 0.1);
        let label = format!("protocol=\"{protocol}\"");
        assert!(metrics.contains(&label) && metrics.contains(&format!("port=\"{port}\"")));
    }
}

#[test]
fn all_targets_and_flows_are_in_one_file_and_told_apart() {
    let server = Server::start(&[]);
    let scratch = Scratch::new();
    let file = scratch.path().join("m.prom");
    let path = file.to_string_lossy().into_owned();
    let (port, again) = (server.port(), server.address.to_string());
    // The same target twice: nothing but its place tells it apart.
    let client = ["client", "127.0.0.1", &port, "--against", &again, "--flows", "2"];
    let ended =
        run(client.iter().chain(&["-i", "0.01", "-c", "20", "--no-files", "--metrics", &path]));
    assert_eq!(ended.status, 0, "{ended:?}");
    judged(&["check", "metrics"], &file);
    let metrics = fs::read_to_string(&file).unwrap();
    let of = |name: &str, label: &str| -> Vec<&str> {
        let lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()).collect()
    };
    for target in ["target=\"1\"", "target=\"2\""] {
        let sum = |name: &str| -> u64 {
            of(name, target).iter().map(|value| value.parse::<u64>().expect("a count")).sum()
        };
        assert_eq!(of("echotest_flow_packets_sent_total", target).len(), 2, "{metrics}");
        let (all, flows) =
            (sum("echotest_packets_sent_total"), sum("echotest_flow_packets_sent_total"));
        assert!(all > 0 && all == flows, "{all} and {flows}: {metrics}");
    }
    let lines: BTreeSet<&str> =
        metrics.lines().filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name).collect();
    assert_eq!(lines.len(), metrics.lines().count(), "no line twice: {metrics}");
    assert_eq!(scratch.entries(), ["m.prom"], "nothing is left beside it");
}

#[test]
fn a_reader_never_sees_half_a_file_and_the_figures_go_on() {
    let scratch = Scratch::new();
    let file = scratch.path().join("m.prom");
    let mut command = echotest();
    command.args(["loopback", "-i", "0.01", "-c", "0", "--no-files", "--metrics"]).arg(&file);
    let client = Process::start(&mut command);
    eventually("the first version is there", || file.exists());
    let mut sent = BTreeSet::new();
    eventually("the file is renewed", || {
        let metrics = fs::read_to_string(&file).expect("the file is always there");
        assert!(metrics.ends_with('\n') && metrics.contains("echotest_rtt_seconds_count"));
        sent.insert(metrics.lines().find(|line| line.contains("sent_total{")).map(str::to_owned));
        sent.len() >= 3
    });
    client.signal("TERM");
    assert_eq!(client.finish().status, 0);
}

#[test]
fn a_metrics_file_that_cannot_be_written_is_told_before_anything_is_sent() {
    let scratch = Scratch::new();
    let logs = scratch.path().join("logs");
    let missing = scratch.path().join("missing/m.prom");
    let mut command = echotest();
    command.args(["loopback", "-c", "1", "--metrics"]).arg(missing).arg("--log-dir").arg(&logs);
    let ended = Process::start(&mut command).finish();
    assert_eq!(ended.status, 2, "{ended:?}");
    assert!(ended.stderr.contains("cannot write") && ended.stdout.is_empty(), "{ended:?}");
    assert_eq!(scratch.entries(), Vec::<String>::new());
}

#[test]
fn rules_and_dashboard_are_valid_and_ask_for_what_there_is() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/monitoring");
    judged(&["check", "rules"], &folder.join("alerts.yml"));
    let dashboard = folder.join("grafana-dashboard.json");
    let valid = Command::new("python3").args(["-m", "json.tool"]).arg(&dashboard).output().unwrap();
    assert!(valid.status.success(), "{valid:?}");

    let scratch = Scratch::new();
    let file = scratch.path().join("m.prom");
    let path = file.to_string_lossy().into_owned();
    run(["loopback", "-c", "1", "--no-files", "--metrics", &path]);
    let metrics = fs::read_to_string(&file).unwrap();
    let names = |text: &str| -> BTreeSet<String> {
        let word = |rest: &str| {
            let word: String =
                rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            format!("echotest_{word}")
        };
        text.split("echotest_").skip(1).map(word).collect()
    };
    let there = names(&metrics);
    for file in [dashboard, folder.join("alerts.yml")] {
        let asked = names(&fs::read_to_string(&file).unwrap());
        assert!(!asked.is_empty());
        assert!(asked.is_subset(&there), "{}: {asked:?}, {there:?}", file.display());
    }
}

/// A day and more of calm, then an outage, five stalls, a bad flow and another level.
const TROUBLE: &str = r#"
rule_files: [RULES]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'echotest_events_total{instance="i",host="h",port="7",kind="outage"}'
        values: '0x1500 1x100'
      - series: 'echotest_events_total{instance="i",host="h",port="7",kind="stall"}'
        values: '2x1500 7x100'
      - series: 'echotest_events_total{instance="i",host="h",port="7",kind="pause"}'
        values: '0x1500 9x100'
      - series: 'echotest_flows_unlike{instance="i",host="h",port="7"}'
        values: '0x1500 1x100'
      - series: 'echotest_rtt_recent_seconds{instance="i",host="h",port="7",percentile="50"}'
        values: '0.001x1500 0.0013x100'
      - series: 'echotest_rtt_recent_seconds{instance="i",host="g",port="7",percentile="50"}'
        values: '0.001x1500 0.0011x100'
    promql_expr_test:
      - expr: ALERTS
        eval_time: 1499m
        exp_samples: []
      - expr: count by (alertname, kind) (ALERTS{alertstate="firing"})
        eval_time: 1505m
        exp_samples:
          - {labels: '{alertname="EchotestOutage",kind="outage"}', value: 1}
          - {labels: '{alertname="EchotestStall",kind="stall"}', value: 1}
      - expr: count by (alertname, host) (ALERTS{alertstate="firing"})
        eval_time: 1540m
        exp_samples:
          - {labels: '{alertname="EchotestStall",host="h"}', value: 1}
          - {labels: '{alertname="EchotestBadFlow",host="h"}', value: 1}
          - {labels: '{alertname="EchotestLevel",host="h"}', value: 1}
"#;

#[test]
fn alerts_are_raised_by_trouble_and_by_nothing_else() {
    if !have("promtool") {
        return;
    }
    let scratch = Scratch::new();
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/monitoring/alerts.yml");
    let tests = scratch.path().join("tests.yml");
    fs::write(&tests, TROUBLE.replace("RULES", &rules.to_string_lossy())).expect("a file");
    let output = Command::new("promtool").args(["test", "rules"]).arg(&tests).output();
    let output = output.expect("promtool");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What a terminal of 60 columns shows of a command.
fn on_a_terminal(arguments: &str, locale: &str) -> Option<String> {
    if !have("script") {
        return None;
    }
    let binary = env!("CARGO_BIN_EXE_echotest");
    let line = format!("stty cols 60; '{binary}' {arguments}");
    let output = Command::new("script")
        .args(["-q", "-e", "-c", &line, "/dev/null"])
        .env("LC_ALL", locale)
        .env_remove("NO_COLOR")
        .stdin(Stdio::null())
        .output()
        .expect("script");
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_fast_run_has_a_status_line_on_a_terminal_and_nothing_of_it_in_a_pipe() {
    let arguments = "loopback -i 0.005 -w 2.5 -c 0 --no-files";
    let Some(shown) = on_a_terminal(arguments, "C.UTF-8") else { return };
    assert!(shown.contains("packets sent, 0.0% loss, last minute p50/p99 "), "{shown}");
    assert!(shown.contains("\x1b[K--- 127.0.0.1"), "the line is taken away: {shown}");
    let widest = shown.split(['\r', '\n']).filter(|part| part.contains("last minute"));
    for part in widest {
        assert!(part.trim_end_matches("\x1b[K").chars().count() <= 59, "{part:?}");
    }
    let plain = on_a_terminal(arguments, "C").unwrap();
    assert!(plain.is_ascii() && plain.contains("last minute"), "{plain}");
    let words: Vec<&str> = arguments.split(' ').collect();
    let piped = run(words).stdout;
    assert!(!piped.contains("last minute") && !piped.contains('\x1b'), "{piped}");
}

#[test]
fn several_targets_have_a_status_line_each_on_a_terminal() {
    let servers = [Server::start(&[]), Server::start(&[])];
    let [one, two] = servers.each_ref().map(|server| server.address.to_string());
    let (host, port) = one.split_once(':').expect("an address");
    let more = "--flows 2 -i 0.1 -w 2.5 -c 0 --no-files";
    let arguments = format!("client {host} {port} --against {two} {more}");
    let Some(shown) = on_a_terminal(&arguments, "C") else { return };
    for target in [&one, &two] {
        let lines = shown.split(['\r', '\n']).filter(|line| line.contains(target));
        let lines = lines.filter(|line| line.contains("% loss, p50/p99 "));
        let lines = lines.map(|line| line.trim_end_matches("\x1b[K"));
        let lines: Vec<&str> = lines.map(|line| line.trim_start_matches("\x1b[1A")).collect();
        assert!(lines.len() >= 2, "{target}: {shown}");
        assert!(lines.iter().all(|line| line.len() <= 59), "{lines:?}");
    }
    assert!(shown.contains("\r\x1b[1A127.0.0.1:"), "drawn over one another: {shown}");
    assert!(shown.contains("\r\x1b[1A\x1b[J--- 2 targets"), "taken away: {shown}");
    let words: Vec<&str> = arguments.split(' ').collect();
    let piped = run(words).stdout;
    assert!(!piped.contains("loss, p50/p99") && !piped.contains('\x1b'), "{piped}");
}
