//! Reports on real files, made files, bad files and large files.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests are the world outside: they use std's threads and say what they skip"
)]

mod common;

use std::fmt::Write as _;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use echotest::report::terminal::{self, Style};
use echotest::report::{Error, Reader, Report, Run, Source, html, json, run as rows};
use proptest::prelude::*;

use common::{Ended, Process, Scratch, echotest, have};

const HEADER: &str = "packet_num,timestamp,send_time_ns,receive_time_ns,rtt_us\n";
const START: u64 = 1_795_202_401_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// A file as this tool writes it: a packet each millisecond.
fn file(rtts: impl Iterator<Item = Option<u64>>) -> String {
    let mut text = String::from(HEADER);
    for (number, rtt) in (1..).zip(rtts) {
        row(&mut text, number, rtt);
    }
    text
}

fn row(text: &mut String, number: u64, rtt: Option<u64>) {
    let sent = START + (number - 1) * MILLISECOND;
    let times = rtt
        .map_or(",".to_owned(), |rtt| format!("{},{}.{:03}", sent + rtt, rtt / 1000, rtt % 1000));
    writeln!(text, "{number},2026-11-20T19:20:01.000000Z,{sent},{times}").expect("a string");
}

/// Numbers below `bound` in no order, the same each time.
fn noise(seed: u64, bound: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    })
}

/// Runs a report in a directory with these files.
fn report_in(scratch: &Scratch, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let mut command = echotest();
    command.arg("report").args(arguments).current_dir(scratch.path());
    for name in ["LC_ALL", "LC_CTYPE", "LANG", "COLUMNS"] {
        command.env_remove(name);
    }
    Process::start(command.envs(environment.iter().copied())).finish()
}

fn scratch(files: &[(&str, &str)]) -> Scratch {
    let scratch = Scratch::new();
    for (name, text) in files {
        fs::write(scratch.path().join(name), text).expect("a file");
    }
    scratch
}

/// The number behind a key of a JSON text, the first after `within`.
fn number(json: &str, within: &str, key: &str) -> f64 {
    let rest = json.split_once(&format!("\"{within}\":")).expect(within).1;
    let rest = rest.split_once(&format!("\"{key}\":")).expect(key).1;
    let end = rest.find([',', '}']).expect("an end");
    rest[..end].parse().unwrap_or_else(|_| panic!("{within} {key}: {}", &rest[..end]))
}

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() <= expected.abs() / 1000.0, "{found} for {expected}");
}

#[test]
fn a_run_of_this_tool_is_reported_as_its_own_summary_has_it() {
    let scratch = Scratch::new();
    let mut command = echotest();
    command.args([
        "loopback",
        "-c",
        "300",
        "-i",
        "0.002",
        "--log-dir",
        ".",
        "--json",
        "--tcp-info",
    ]);
    let measured = Process::start(command.current_dir(scratch.path())).finish();
    let csv = common::file(scratch.path(), "_timings.csv").display().to_string();
    let reported = report_in(&scratch, &[&csv, "--json"], &[]);
    assert_eq!((reported.status, reported.stderr.as_str()), (0, ""), "{reported:?}");
    for key in ["min", "mean", "max", "stddev", "p50", "p90", "p95", "p99", "jitter"] {
        let measured = number(&measured.stdout, "rtt_us", key);
        // The summary's percentiles are of buckets, the report's exact.
        let apart = (number(&reported.stdout, "rtt_us", key) - measured).abs();
        assert!(apart < 0.06 + measured / 1000.0, "{key}: {apart} us apart");
    }
    // A machine that stands still skips some of the 300.
    let sent = number(&measured.stdout, "packets", "sent");
    assert!((number(&reported.stdout, "packets", "sent") - sent).abs() < 0.1);
    let text = report_in(&scratch, &[&csv], &[("LANG", "C.UTF-8")]);
    let counted = format!("{sent:.0} packets, {sent:.0} received, 0 lost");
    for part in [counted.as_str(), "rtt p50/p90/p99/p99.9 = ", "█", "time line"] {
        assert!(text.stdout.contains(part), "{part:?} is not in {}", text.stdout);
    }
}

#[test]
fn known_percentiles_and_outages_are_found() {
    let rtts = (1..=10_000_u64).map(|number| {
        // 4 lost alone, an outage of 500 ms and one of 20 ms.
        let lost = number % 2000 == 7 || (4001..=4500).contains(&number) || number / 20 == 450;
        (!lost).then_some(100_000 + number * 7919 % 10_000 * 10)
    });
    let scratch = scratch(&[("a.csv", &file(rtts))]);
    let json = report_in(&scratch, &["a.csv", "--json"], &[]).stdout;
    assert!(json.contains(r#""duration_s":0.500000,"packets":500,"lost":500}"#), "{json}");
    let json = json.split_once("\"runs\":").expect("runs").1.to_owned();
    near(number(&json, "packets", "lost"), 524.0);
    near(number(&json, "packets", "loss_percent"), 5.24);
    near(number(&json, "outages", "count"), 2.0);
    near(number(&json, "outages", "total_s"), 0.52);
    near(number(&json, "outages", "duration_s"), 0.5);
    near(number(&json, "rtt_us", "p50"), 150.0);
    near(number(&json, "rtt_us", "p99"), 199.0);
    assert!(json.contains("\"start\":\"2026-11-20T19:20:05.000000Z\",\"duration_s\":0.500000"));
    let text = report_in(&scratch, &["a.csv"], &[]).stdout;
    for part in ["2 outages, 520 ms in all", "for 500 ms, 500 packets lost", "X outage", "XX"] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn a_known_shift_is_told_with_its_interval() {
    let a: Vec<u64> = noise(1, 20_000).take(20_000).map(|noise| 100_000 + noise).collect();
    let b: Vec<u64> = noise(2, 20_000).take(20_000).map(|noise| 412_000 + noise).collect();
    let scratch = scratch(&[
        ("a.csv", &file(a.into_iter().map(Some))),
        ("b.csv", &file(b.into_iter().map(Some))),
    ]);
    let arguments = ["a.csv", "b.csv", "--label", "A", "--label=B"];
    let text = report_in(&scratch, &arguments, &[]).stdout;
    for place in ["median", "p99"] {
        let said = text.lines().find(|line| line.contains(&format!("slower at the {place}")));
        let said = said.unwrap_or_else(|| panic!("{text}"));
        assert!(said.starts_with("B is 31") && said.contains("(95 %: 31"), "{said}");
    }
    let again = report_in(&scratch, &arguments, &[]).stdout;
    assert_eq!(text, again, "the same files give the same report");
    let json = report_in(&scratch, &[&arguments[..], &["--json"]].concat(), &[]).stdout;
    let (low, high) =
        (number(&json, "comparisons", "low_us"), number(&json, "comparisons", "high_us"));
    assert!(low < 312.0 && 312.0 < high && high - low < 3.0, "{low} to {high}");
    let swapped = report_in(&scratch, &["b.csv", "a.csv"], &[]).stdout;
    assert!(swapped.contains("a is 31") && swapped.contains("faster at the median"), "{swapped}");
}

#[test]
fn files_that_do_not_differ_are_within_noise() {
    let rtts: Vec<u64> = noise(3, 20_000).take(5000).map(|noise| 100_000 + noise).collect();
    let text = file(rtts.into_iter().map(Some));
    let other: Vec<u64> = noise(4, 20_000).take(5000).map(|noise| 100_000 + noise).collect();
    let scratch = scratch(&[
        ("a.csv", &text),
        ("b.csv", &text),
        ("c.csv", &file(other.into_iter().map(Some))),
        ("few.csv", &file((0..10).map(Some))),
    ]);
    for other in ["b", "c"] {
        let said = report_in(&scratch, &["a.csv", &format!("{other}.csv")], &[]).stdout;
        let expected = format!("{other} and a do not differ beyond noise at the median: ");
        assert!(said.contains(&expected), "{said}");
    }
    let few = report_in(&scratch, &["a.csv", "few.csv"], &[]).stdout;
    assert!(few.contains("few: too few replies to compare at the median (50 needed)"), "{few}");
}

#[test]
fn a_cut_last_row_is_left_out_with_a_note() {
    let whole = file((0..100).map(|rtt| Some(100_000 + rtt)));
    let cut = &whole[..whole.len() - 5];
    let scratch = scratch(&[("a.csv", cut)]);
    let ended = report_in(&scratch, &["a.csv"], &[]);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{ended:?}");
    assert!(ended.stdout.contains("99 packets, 99 received"), "{ended:?}");
    assert!(ended.stdout.contains("note: a: line 101, the last, is cut off"), "{ended:?}");
    let json = report_in(&scratch, &["a.csv", "--json"], &[]).stdout;
    near(number(&json, "files", "cut_line"), 101.0);
}

#[test]
fn a_bad_file_is_one_line_with_its_place_and_exit_2() {
    let good = file((0..3).map(Some));
    let scratch = scratch(&[
        ("good.csv", &good),
        ("empty.csv", ""),
        ("other.csv", "a,b\n1,2\n"),
        ("binary.csv", "\u{0}\u{1}\u{2}"),
        ("short.csv", &format!("{good}4,t,5\n6,t,7,8,0.001\n")),
        ("word.csv", &format!("{good}4,t,5,6,fast\n")),
        ("time.csv", &format!("{good}4,t,-5,6,1.000\n")),
    ]);
    for (name, parts) in [
        ("empty.csv", &["line 1", "nothing there"][..]),
        ("other.csv", &["line 1", "no column packet_num"]),
        ("binary.csv", &["line 1", "no column packet_num"]),
        ("short.csv", &["line 5", "3 columns where the header has 5"]),
        ("word.csv", &["line 5", "column rtt_us", "\"fast\""]),
        ("time.csv", &["line 5", "column send_time_ns", "\"-5\""]),
        ("missing.csv", &["cannot be read", "No such file"]),
        ("/", &["no *_timings.csv", "directory"]),
    ] {
        let ended = report_in(&scratch, &["good.csv", name, "--html", "page.html"], &[]);
        assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{name}: {ended:?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{name}: {ended:?}");
        for part in [&[name], parts].concat() {
            assert!(ended.stderr.contains(part), "{name}: {part:?} is not in {ended:?}");
        }
    }
    assert_eq!(scratch.entries().len(), 7, "nothing is left behind: {:?}", scratch.entries());
}

#[test]
fn a_file_without_replies_is_exit_1() {
    let lost = file(std::iter::repeat_n(None, 5));
    let scratch = scratch(&[("none.csv", HEADER), ("lost.csv", &lost)]);
    let none = report_in(&scratch, &["none.csv", "--html", "page.html"], &[]);
    assert_eq!((none.status, none.stderr.as_str()), (1, ""), "{none:?}");
    assert!(none.stdout.contains("no packets"), "{none:?}");
    let lost = report_in(&scratch, &["lost.csv", "none.csv"], &[]);
    assert_eq!(lost.status, 1, "{lost:?}");
    assert!(lost.stdout.contains("100.000 %"), "{lost:?}");
}

#[test]
fn a_foreign_five_column_file_is_read() {
    let mut text = String::from(HEADER.trim_end());
    for number in 1..=1000_u64 {
        let sent = START + number * MILLISECOND;
        // Local time with a space, CRLF, decimals as they come, NaN, no last line end.
        let (received, rtt) = if number % 100 == 0 {
            ("NaN".to_owned(), "NaN".to_owned())
        } else {
            (format!("{}.0", sent + 123_400), "123.4".to_owned())
        };
        write!(text, "\r\n{number},\"2026-11-20 20:20:01,5\",{sent},{received},{rtt}").unwrap();
    }
    let scratch = scratch(&[("foreign.csv", &text.replace(",NaN,NaN", ",,"))]);
    let text = report_in(&scratch, &["foreign.csv"], &[]);
    assert_eq!((text.status, text.stderr.as_str()), (0, ""), "{text:?}");
    assert!(text.stdout.contains("1000 packets, 990 received, 10 lost"), "{text:?}");
    assert!(text.stdout.contains("= 123.4/123.4/123.4/123.4 us"), "{text:?}");
}

#[test]
fn what_changed_and_when_is_told() {
    // A level that moved for good, and one that was lower before an outage.
    let moved = noise(6, 20_000)
        .take(6000)
        .enumerate()
        .map(|(place, noise)| Some(1_200_000 + noise + if place < 3000 { 0 } else { 700_000 }));
    let before = noise(7, 20_000).take(6010).enumerate().map(|(place, noise)| match place {
        6000..6008 => None,
        5900..6000 => Some(734_000 + noise),
        _ => Some(900_000 + noise),
    });
    let scratch = scratch(&[("moved.csv", &file(moved)), ("before.csv", &file(before))]);
    let text = report_in(&scratch, &["moved.csv"], &[]).stdout;
    let said = text.lines().find(|line| line.starts_with("the level rose from 121"));
    assert!(said.is_some_and(|said| said.contains("us (58 %) at 2026-11-20T")), "{text}");
    let json = report_in(&scratch, &["moved.csv", "--json"], &[]).stdout;
    assert!((number(&json, "changes", "packet") - 3001.0).abs() <= 25.0, "{json}");
    assert!(number(&json, "changes", "p") < 0.001, "{json}");
    let text = report_in(&scratch, &["before.csv"], &[]).stdout.replace("\n  ", " ");
    assert!(text.contains("the level had changed: the median of the last 100 packets was 74"));
    assert!(text.contains(" lower than usual and beyond that of every 100 before them"), "{text}");
    // Both at once: the same outage twice, told as one.
    let both = report_in(&scratch, &["before.csv", "before.csv"], &[]).stdout;
    assert!(both.contains("outages together: before and before (2) from "), "{both}");
    assert_eq!(both.matches("compared with ").count(), 1, "{both}");
}

#[test]
fn series_of_one_file_are_told_apart() {
    let scratch = Scratch::new();
    let server = {
        let mut command = echotest();
        command.args(["server", "measure", "--port", "0", "--bind", "127.0.0.1"]);
        common::Server::from(&mut command)
    };
    let port = server.port();
    for _ in 0..2 {
        let mut command = echotest();
        command.args(["measure", "127.0.0.1", &port, "--type", "rtt", "-s", "1,1000", "-c", "30"]);
        let ended = Process::start(command.current_dir(scratch.path())).finish();
        assert_eq!(ended.status, 0, "{ended:?}");
    }
    let logs = scratch.path().join("logs");
    let mut names: Vec<String> = fs::read_dir(logs)
        .unwrap()
        .map(|entry| format!("logs/{}", entry.unwrap().file_name().to_string_lossy()))
        .filter(|name| name.ends_with("_timings.csv"))
        .collect();
    names.sort();
    let arguments: Vec<&str> = names.iter().map(String::as_str).collect();
    let text = report_in(&scratch, &[&arguments[..], &["--label=A", "--label=B"]].concat(), &[]);
    assert_eq!(text.status, 0, "{text:?}");
    for part in ["A RTT 1000", "B RTT 1:", "B RTT 1000"] {
        assert!(text.stdout.contains(part), "{part:?} is not in {}", text.stdout);
    }
    assert_eq!(text.stdout.matches("too few replies to compare at the p99").count(), 2);
    assert_eq!(text.stdout.matches("at the median").count(), 2, "like with like");
}

#[test]
fn throughput_and_flows_are_told_where_the_file_has_them() {
    let mut text =
        "type,size,packet_num,timestamp,send_time_ns,receive_time_ns,rtt_us\n".to_owned();
    for number in 1..=10 {
        let sent = number * 1_000_000;
        text += &format!("TTPUT,1000,{number},t,{sent},{},1000.000\n", sent + 1_000_000);
    }
    let mut flows = "packet_num,timestamp,send_time_ns,receive_time_ns,rtt_us,flow\n".to_owned();
    for round in 1..=300_u64 {
        for flow in 1..=6_u64 {
            let sent = round * 10_000_000 + flow * 1_000_000;
            if flow == 4 && round % 5 == 0 {
                flows += &format!("{round},t,{sent},,,{flow}\n");
            } else {
                flows += &format!("{round},t,{sent},{},100.000,{flow}\n", sent + 100_000);
            }
        }
    }
    let scratch = scratch(&[("measure.csv", &text), ("flows.csv", &flows)]);
    let json = report_in(&scratch, &["measure.csv", "--json"], &[]).stdout;
    // 8,000 bits in a millisecond.
    assert!(json.contains(r#""throughput_mbit_s":{"mean":8.000000,"min":8.000000,"#), "{json}");
    let json = report_in(&scratch, &["flows.csv", "--json"], &[]).stdout;
    assert_eq!(json.matches(r#""outlier":true,"why":"loses more than the others""#).count(), 1);
    assert!(
        json.contains(r#"{"flow":4,"packets":{"sent":300,"received":240,"lost":60}"#),
        "{json}"
    );
    for arguments in [&["flows.csv"][..], &["flows.csv", "--html", "page.html"]] {
        let text = report_in(&scratch, arguments, &[]).stdout;
        assert!(text.contains("1 of 6 flows lose more than the others (4): 60 of 300 packets"));
        assert!(text.contains("\n     4       300      60"), "{text}");
    }
    let page = fs::read_to_string(scratch.path().join("page.html")).unwrap();
    assert!(page.contains("<h2>flows, by flow</h2>") && page.contains("<th scope=\"row\">4</th>"));
}

#[test]
fn text_fits_the_width_and_the_character_set() {
    let rtts = noise(5, 300_000).take(3000).map(|noise| (noise % 50 > 0).then_some(50_000 + noise));
    let text = file(rtts);
    let scratch = scratch(&[("a.csv", &text), ("b.csv", &text), ("c.csv", &text)]);
    for columns in [40, 60, 80, 132, 200] {
        for locale in ["C", "en_US.UTF-8"] {
            for files in [&["a.csv"][..], &["a.csv", "b.csv", "c.csv"]] {
                let width = columns.to_string();
                let environment = [("COLUMNS", width.as_str()), ("LC_ALL", locale)];
                let text = report_in(&scratch, files, &environment).stdout;
                assert_eq!(text.is_ascii(), locale == "C");
                assert!(!text.contains('\u{1b}'));
                let plots = text.split_once("round-trip times").unwrap().1;
                let longest = plots.lines().filter(|line| !line.contains("up to"));
                let longest = longest.map(|line| line.chars().count()).max().unwrap();
                assert!(longest <= columns, "{longest} of {columns}: {text}");
            }
        }
    }
}

#[test]
fn labels_and_options_are_checked() {
    let text = file((0..30).map(Some));
    let scratch = scratch(&[("a.csv", &text)]);
    let surplus = report_in(&scratch, &["a.csv", "--label", "x", "--label", "y"], &[]);
    assert_eq!(surplus.status, 2);
    assert!(surplus.stderr.contains("--label \"y\": there is no file for it"), "{surplus:?}");
    let none = report_in(&scratch, &[], &[]);
    assert!(none.stderr.starts_with("echotest: TIMINGS is missing"), "{none:?}");
    let twice = report_in(&scratch, &["a.csv", "a.csv", "--label", "a\u{1b}[31m"], &[]).stdout;
    assert!(twice.contains("a?[31m") && !twice.contains('\u{1b}'), "{twice}");
}

/// Well-formed, without script or address.
fn is_a_page(path: &Path) -> String {
    let page = fs::read_to_string(path).expect("a page");
    assert!(page.starts_with("<!DOCTYPE html>\n"));
    for word in ["http", "<script", "//", "@import", "url(", "javascript", "onload"] {
        assert!(!page.to_lowercase().contains(word), "{word}");
    }
    if have("python3") {
        let parse = "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])";
        let ended = Process::start(Command::new("python3").args(["-c", parse]).arg(path)).finish();
        assert_eq!(ended.status, 0, "{ended:?}");
    } else {
        common::skipped("for want of python3: whether the page is well-formed");
    }
    page
}

#[test]
fn the_page_stands_alone() {
    let rtts = |seed: u64| {
        noise(seed, 30_000)
            .take(5000)
            .enumerate()
            .map(|(place, noise)| (!(1000..1100).contains(&place)).then_some(100_000 + noise))
    };
    let scratch = scratch(&[
        ("a.csv", &file(rtts(1))),
        ("b.csv", &file(rtts(2))),
        ("lost.csv", &file(std::iter::repeat_n(None, 5))),
    ]);
    let path = scratch.path().join("page.html");
    let arguments = ["a.csv", "b.csv", "lost.csv", "--label", "<b>&\"A\"", "--html", "page.html"];
    let ended = report_in(&scratch, &arguments, &[]);
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{ended:?}");
    let page = is_a_page(&path);
    for part in [
        "Time line",
        "Histogram",
        "Cumulative distribution",
        "Files",
        "&lt;b&gt;&amp;",
        "prefers-color-scheme: dark",
        "@media print",
        "class=\"outage\"",
        "Longest outages",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // An older page is replaced, nothing else is.
    let again = report_in(&scratch, &["lost.csv", "--html", "page.html"], &[]);
    assert_eq!(again.status, 1, "{again:?}");
    assert!(is_a_page(&path).len() < page.len());
    let slip = report_in(&scratch, &["a.csv", "--html", "b.csv"], &[]);
    assert_eq!(slip.status, 2, "{slip:?}");
    assert!(slip.stderr.contains("--html b.csv: there is a file that is no page"), "{slip:?}");
    let nowhere = report_in(&scratch, &["a.csv", "--html", "no/page.html"], &[]);
    assert_eq!(nowhere.status, 2, "{nowhere:?}");
    assert_eq!(scratch.entries(), ["a.csv", "b.csv", "lost.csv", "page.html"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn no_file_is_too_strange(
        rows in prop::collection::vec((any::<u64>(), prop::option::of(0.0..9e15_f64), 0..3_u8), 0..60),
        odd in ".{0,80}",
        width in 0_usize..300,
    ) {
        let mut text = format!("type,{HEADER}");
        for (sent, rtt, series) in rows {
            let rtt = rtt.map(|rtt| format!("{rtt:.3}")).unwrap_or_default();
            writeln!(text, "{series},1,t,{sent},,{rtt}").unwrap();
        }
        let whole = read(&text).expect("a good file");
        let (source, mut runs) = read(&text).expect("a good file");
        for run in &mut runs {
            run.file = 1;
        }
        let report = Report::new(vec![whole, (source, runs)]);
        let style = Style::new(Some(width), false);
        prop_assert!(terminal::text(&report, style).is_ascii());
        prop_assert!(!json::text(&report).contains("NaN") && !html::page(&report).contains("NaN"));
        text.push_str(&odd);
        // Whatever stands there: a row, a note or an error, and no panic.
        let _ = read(&text);
        let _ = read(&odd);
    }
}

fn read(text: &str) -> Result<(Source, Vec<Run>), Error> {
    rows::read(Reader::new("x", text.as_bytes())?, "x", "x", 0)
}

/// The most memory that a process has had, in KiB.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[test]
fn five_million_rows_take_no_more_memory_than_a_few() {
    const ROWS: u64 = 5_000_000;
    let mut command = echotest();
    command.args(["report", "-", "--json"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let pid = child.id();
    let mut input = BufWriter::with_capacity(1 << 16, child.stdin.take().unwrap());
    let writer = std::thread::spawn(move || {
        input.write_all(HEADER.as_bytes()).unwrap();
        for (number, noise) in (0..ROWS).zip(noise(9, 1000)) {
            let (sent, rtt) = (START + number * MILLISECOND, 100 + noise);
            let received = sent + rtt * 1000;
            writeln!(input, "{number},t,{sent},{received},{rtt}.000").unwrap();
        }
    });
    let watcher = std::thread::spawn(move || {
        let mut most = 0;
        while let Some(now) = peak(pid) {
            most = most.max(now);
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        most
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let most = watcher.join().unwrap();
    let json = String::from_utf8(output.stdout).unwrap();
    assert!((number(&json, "packets", "sent") - 5e6).abs() < 0.1);
    near(number(&json, "rtt_us", "p50"), 599.0);
    assert!((1..16 * 1024).contains(&most), "{most} KiB");
}
