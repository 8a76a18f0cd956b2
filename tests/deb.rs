//! The Debian package: what is in it, and what Debian's own checker says.
//! Installing and removing it on a booted system is `tests/e2e-install.sh`'s.
#![allow(
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "tests use std's processes, and say what they leave out"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{Scratch, have};

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/build-deb.sh")
}

fn done(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("a program");
    let text = String::from_utf8_lossy(&stdout).into_owned();
    assert!(status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&stderr));
    text
}

/// Packs a binary; gives the package.
fn build(scratch: &Scratch, binary: &Path) -> PathBuf {
    let mut command = Command::new("bash");
    command.arg(script()).arg("--binary").arg(binary).arg("--out").arg(scratch.path());
    done(command.args(["--target", "x86_64"]));
    common::file(scratch.path(), "_amd64.deb")
}

#[test]
fn the_package_holds_what_it_should_and_enables_nothing() {
    if !have("dpkg-deb") {
        return;
    }
    let scratch = Scratch::new();
    let binary = Path::new(env!("CARGO_BIN_EXE_echotest"));
    let package = build(&scratch, binary);
    let first = fs::read(&package).unwrap();
    assert!(fs::read(build(&scratch, binary)).unwrap() == first, "not the same bytes again");

    let tree = Scratch::new();
    done(Command::new("dpkg-deb").arg("-R").arg(&package).arg(tree.path()));
    for file in [
        "usr/bin/echotest",
        "usr/share/man/man1/echotest.1.gz",
        "usr/share/bash-completion/completions/echotest",
        "usr/share/zsh/vendor-completions/_echotest",
        "usr/share/fish/vendor_completions.d/echotest.fish",
        "usr/share/doc/echotest/copyright",
        "usr/share/doc/echotest/changelog.Debian.gz",
    ] {
        assert!(tree.path().join(file).is_file(), "{file}");
    }
    for protocol in ["echo", "measure", "ping", "twamp"] {
        let unit = tree.path().join(format!("usr/lib/systemd/system/echotest-{protocol}.service"));
        let unit = fs::read_to_string(unit).unwrap();
        let start = format!("ExecStart=/usr/bin/echotest server {protocol} ");
        assert!(unit.contains(&start), "{unit}");
    }
    let xinetd = fs::read_to_string(tree.path().join("etc/xinetd.d/echotest")).unwrap();
    assert!(xinetd.contains("disable         = yes"), "{xinetd}");
    assert!(xinetd.contains("server          = /usr/bin/echotest"), "{xinetd}");
    let conffiles = fs::read_to_string(tree.path().join("DEBIAN/conffiles")).unwrap();
    assert_eq!(conffiles, "/etc/xinetd.d/echotest\n");
    let postinst = fs::read_to_string(tree.path().join("DEBIAN/postinst")).unwrap();
    assert!(!postinst.contains("enable") && !postinst.contains("start echotest"), "{postinst}");
}

#[test]
fn debians_checker_finds_no_error() {
    if !(have("dpkg-deb") && have("lintian")) {
        return;
    }
    let Some(binary) = std::env::var_os("ECHOTEST_STATIC_X86_64") else {
        common::skipped("for want of ECHOTEST_STATIC_X86_64");
        return;
    };
    let scratch = Scratch::new();
    let package = build(&scratch, Path::new(&binary));
    // Errors alone make it fail.
    let mut command = Command::new("lintian");
    let text = done(command.args(["--fail-on", "error", "--allow-root"]).arg(package));
    assert!(!text.contains("E: "), "{text}");
}

#[test]
fn bad_arguments_are_one_line() {
    for (arguments, problem) in [
        (["--target", "mips"], "--target \"mips\""),
        (["--maintainer", "nobody"], "--maintainer \"nobody\""),
        (["--binary", "/nowhere/echotest"], "no binary at /nowhere/echotest"),
        (["--frob", "x"], "unknown argument: --frob"),
    ] {
        let mut command = Command::new("bash");
        let output = command.arg(script()).args(arguments).output().expect("bash");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(problem) && text.lines().count() == 1, "{text}");
    }
}
