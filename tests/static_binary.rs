//! The static binaries need nothing but a kernel.
#![allow(clippy::disallowed_methods, reason = "tests use std's clock")]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use common::{Process, Scratch, Server, have, root};

/// Two builds at once would write the same files.
static ONE_BUILD: Mutex<()> = Mutex::new(());

/// The binary that `scripts/test.sh` built, or one built now.
fn static_binary(variable: &str, architecture: &str) -> PathBuf {
    if let Some(path) = std::env::var_os(variable) {
        return PathBuf::from(path);
    }
    let _alone = ONE_BUILD.lock().unwrap_or_else(PoisonError::into_inner);
    let top = env!("CARGO_MANIFEST_DIR");
    let out = format!("{}/static", env!("CARGO_TARGET_TMPDIR"));
    let built = Command::new("bash")
        .arg(format!("{top}/scripts/build-static.sh"))
        .args(["--target", architecture, "--out", &out])
        .output()
        .expect("bash");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    PathBuf::from(format!("{out}/echotest-{architecture}"))
}

/// Whether an ELF file asks for a loader (a program header `PT_INTERP`).
fn asks_for_a_loader(elf: &[u8]) -> bool {
    let number = |at: usize, length: usize| {
        let bytes = &elf[at..at + length];
        bytes.iter().rev().fold(0_usize, |sum, &byte| sum << 8 | usize::from(byte))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).any(|entry| number(table + entry * size, 4) == 3)
}

#[test]
fn it_asks_for_no_loader_and_is_small() {
    let elf = fs::read(static_binary("ECHOTEST_STATIC_X86_64", "x86_64")).unwrap();
    assert_eq!(&elf[..4], b"\x7fELF");
    assert!(!asks_for_a_loader(&elf));
    assert!(asks_for_a_loader(&fs::read("/bin/ls").unwrap()), "the check sees no loader anywhere");
    // What a binary that travels to a VM may weigh. The goal is 1.5 MB; what it can do
    // has outgrown that, and nothing more is to go unnoticed.
    assert!(elf.len() <= 1_640_000, "{} bytes", elf.len());
}

#[test]
fn it_resolves_a_name_where_there_is_nothing_else() {
    if !(root() && have("chroot")) {
        return;
    }
    let server = Server::start(&[]);
    let bare = Scratch::new();
    fs::create_dir(bare.path().join("etc")).unwrap();
    fs::write(bare.path().join("etc/hosts"), "127.0.0.1 the-other-side\n").unwrap();
    fs::write(bare.path().join("etc/resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
    let binary = static_binary("ECHOTEST_STATIC_X86_64", "x86_64");
    // Copied by another process: a program that this one has open for writing while
    // a test beside this starts its own could not be run.
    let copied = Command::new("cp").arg(binary).arg(bare.path().join("echotest")).status();
    assert!(copied.expect("cp").success());
    let mut command = Command::new("chroot");
    command.arg(bare.path()).args(["/echotest", "client", "the-other-side", &server.port()]);
    let ended = Process::start(command.args(["-c", "3", "-i", "0.01"])).finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stdout.contains("3 packets sent, 3 received"), "{ended:?}");
    assert!(bare.path().join("logs").is_dir());
}

#[test]
fn the_aarch64_binary_measures_under_emulation() {
    if !have("qemu-aarch64-static") {
        return;
    }
    let binary = static_binary("ECHOTEST_STATIC_AARCH64", "aarch64");
    let mut command = Command::new("qemu-aarch64-static");
    command.arg(binary).args(["loopback", "-c", "5", "-i", "0.01", "--no-files", "--tcp-info"]);
    let ended = Process::start(&mut command).finish();
    assert_eq!(ended.status, 0, "{ended:?}");
    assert!(ended.stdout.contains("5 packets sent, 5 received"), "{ended:?}");
}
