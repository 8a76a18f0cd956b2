//! The manual page through the system's own programs, and completions in real
//! shells.

mod common;

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use common::{Ended, Process, Scratch, echotest, have, run};

/// Runs a program on a text on its standard input.
fn fed(command: &mut Command, text: &str) -> Ended {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a program");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("a reader");
    let output = child.wait_with_output().expect("an end");
    Ended {
        status: output.status.code().unwrap_or(128),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: std::time::Duration::ZERO,
    }
}

#[test]
fn the_manual_is_rendered_without_a_warning() {
    let page = run(["help", "man"]);
    assert_eq!((page.status, page.stderr.as_str()), (0, ""));
    assert!(page.stdout.is_ascii());
    for (program, arguments) in [
        ("groff", &["-man", "-ww", "-z"][..]),
        ("groff", &["-man", "-ww", "-z", "-Tutf8"]),
        ("mandoc", &["-T", "lint", "-W", "warning"]),
    ] {
        if have(program) {
            let checked = fed(Command::new(program).args(arguments), &page.stdout);
            assert_eq!((checked.status, checked.stderr.as_str()), (0, ""), "{program}");
        } else {
            common::skipped(&format!("for want of {program}"));
        }
    }
    if !have("man") {
        common::skipped("for want of man");
        return;
    }
    let scratch = Scratch::new();
    let path = scratch.path().join("echotest.1");
    fs::write(&path, &page.stdout).unwrap();
    let mut command = Command::new("man");
    command.args(["--warnings=w", "-l", "-Tutf8"]).arg(&path);
    command.env("LC_ALL", "C.UTF-8").env("MANWIDTH", "100");
    let shown = Process::start(&mut command).finish();
    assert_eq!((shown.status, shown.stderr.as_str()), (0, ""), "{shown:?}");
    let plain = without_overstrikes(&shown.stdout);
    for part in ["--frequency, --interval SECS", "report TIMINGS... [OPTIONS]", "EXIT STATUS"] {
        assert!(plain.contains(part), "{part:?} is not in {plain}");
    }
}

/// Bold is a letter over itself on a printer.
fn without_overstrikes(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars() {
        if letter == '\u{8}' {
            plain.pop();
        } else {
            plain.push(letter);
        }
    }
    plain
}

/// What bash offers for the last of these words.
fn bash(words: &[&str]) -> Vec<String> {
    let scratch = Scratch::new();
    for name in ["logs", "labels"] {
        fs::create_dir(scratch.path().join(name)).expect("a directory");
    }
    for name in ["a b.csv", "a.csv"] {
        fs::write(scratch.path().join(name), "").expect("a file");
    }
    fs::write(scratch.path().join("complete"), run(["help", "completions", "bash"]).stdout)
        .expect("a file");
    // As bash itself calls it: the words in an array, no further argument.
    let script = "set -u; source ./complete; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                  complete -p echotest >/dev/null && _echotest && \
                  ((${#COMPREPLY[@]})) && printf '%s\\n' \"${COMPREPLY[@]}\"; true";
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", script, "bash"]).args(words).current_dir(scratch.path());
    let ended = Process::start(&mut command).finish();
    assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{words:?}: {ended:?}");
    let mut offered: Vec<String> = ended.stdout.lines().map(str::to_owned).collect();
    offered.sort();
    offered
}

#[test]
fn bash_completes_commands_options_values_and_files() {
    if !have("bash") {
        common::skipped("for want of bash");
        return;
    }
    assert_eq!(bash(&["echotest", "cl"]), ["client"]);
    assert_eq!(bash(&["echotest", "client", "--fre"]), ["--frequency"]);
    assert_eq!(bash(&["echotest", "client", "host", "--interv"]), ["--interval"]);
    let both = ["--interface", "--interval"];
    assert_eq!(bash(&["echotest", "client", "host", "--inter"]), both);
    assert_eq!(bash(&["echotest", "server", "m"]), ["measure"]);
    assert_eq!(bash(&["echotest", "measure", "h", "--type", ""]), ["rtt", "ttput"]);
    assert_eq!(bash(&["echotest", "measure", "h", "--type", "=", "t"]), ["ttput"]);
    assert_eq!(bash(&["echotest", "measure", "h", "--type", "="]), ["rtt", "ttput"]);
    assert_eq!(bash(&["echotest", "client", "--log-dir", "l"]), ["labels", "logs"]);
    assert_eq!(bash(&["echotest", "report", "a"]), ["a b.csv", "a.csv"]);
    assert_eq!(bash(&["echotest", "report", "a.csv", "--html", "a."]), ["a.csv"]);
    assert_eq!(bash(&["echotest", "help", "comp"]), ["completions"]);
    assert_eq!(bash(&["echotest", "help", "completions", ""]), ["bash", "fish", "zsh"]);
    assert_eq!(bash(&["echotest", "client", "--count", ""]), Vec::<String>::new());
    assert!(bash(&["echotest", "report", "--"]).contains(&"--html".to_owned()));
}

#[test]
fn other_shells_take_their_completions() {
    let scratch = Scratch::new();
    for shell in ["zsh", "fish"] {
        let text = run(["help", "completions", shell]).stdout;
        let path = scratch.path().join(shell);
        fs::write(&path, text).unwrap();
        if have(shell) {
            let ended = Process::start(Command::new(shell).arg("-n").arg(&path)).finish();
            assert_eq!((ended.status, ended.stderr.as_str()), (0, ""), "{shell}");
        } else {
            common::skipped(&format!("for want of {shell}"));
        }
    }
    if have("fish") {
        let ask = "source ./fish; complete -C 'echotest report --h'; \
                   complete -C 'echotest measure h --type '; complete -C 'echotest he'";
        let mut command = Command::new("fish");
        command.args(["--no-config", "-c", ask]).current_dir(scratch.path());
        let ended = Process::start(command.env("HOME", scratch.path())).finish();
        let offered: Vec<&str> =
            ended.stdout.lines().filter_map(|line| line.split('\t').next()).collect();
        for word in ["--html", "--help", "rtt", "ttput", "help"] {
            assert!(offered.contains(&word), "{word}: {ended:?}");
        }
    }
}

#[test]
fn an_unknown_shell_is_refused() {
    for arguments in [&["help", "completions"][..], &["help", "completions", "tcsh"]] {
        let ended = Process::start(echotest().args(arguments)).finish();
        assert_eq!((ended.status, ended.stdout.as_str()), (2, ""), "{ended:?}");
        assert!(ended.stderr.contains("bash, zsh, fish"), "{ended:?}");
    }
}
