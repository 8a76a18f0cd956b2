//! The rules of the house, checked on the source itself: floors, `unsafe`,
//! lengths, dependencies, and what stands at the top.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Each room's floor; a room imports only from floors below its own, or from
/// itself.
const FLOORS: [(&str, u32); 15] = [
    ("clock", 0),
    ("stats", 0),
    ("text", 1),
    ("wire", 0),
    ("os", 1),
    ("net", 2),
    ("probe", 3),
    ("record", 4),
    ("client", 5),
    ("idle", 5),
    ("path", 5),
    ("server", 5),
    ("analyze", 5),
    ("report", 5),
    ("cli", 6),
];

/// With its tests; beyond it a file holds more than one idea.
const LONGEST_FILE: usize = 500;
const LONGEST_MEDIAN: usize = 180;

const DEPENDENCIES: [&str; 6] = ["csv", "env_logger", "lexopt", "libc", "log", "time"];

const TOP_LEVEL: [&str; 12] = [
    ".cargo",
    ".ci",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "rustfmt.toml",
    "scripts",
    "src",
    "tests",
];

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn room(path: &Path) -> String {
    let inside = path.strip_prefix(top().join("src")).expect("a path below src");
    let first = inside.iter().next().expect("a name").to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

fn floor(room: &str) -> Option<u32> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// The text without comments and without what is only compiled for tests.
fn shipped(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_room_has_a_floor_and_imports_go_downwards() {
    let mut rooms = BTreeSet::new();
    for path in sources(&top().join("src")) {
        let here = room(&path);
        if here == "lib" || here == "main" {
            continue;
        }
        let own = floor(&here).unwrap_or_else(|| panic!("{here} has no floor in tests/house.rs"));
        rooms.insert(here.clone());
        let text = shipped(&fs::read_to_string(&path).expect("a source"));
        for used in text.split("crate::").skip(1) {
            let other: String =
                used.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            let Some(theirs) = floor(&other) else {
                panic!("{}: crate::{other} is no room", path.display())
            };
            assert!(
                other == here || theirs < own,
                "{}: {here} (floor {own}) uses {other} (floor {theirs})",
                path.display()
            );
        }
    }
    assert!(rooms.len() >= 8, "only {rooms:?} were looked at");
}

#[test]
fn unsafe_lives_in_os_alone_and_says_why() {
    let mut blocks = 0;
    for path in sources(&top().join("src")) {
        let text = fs::read_to_string(&path).expect("a source");
        let uses = shipped(&text).matches("unsafe {").count();
        if room(&path) == "os" {
            blocks += uses;
            let reasons = text.matches("// SAFETY:").count();
            assert!(reasons >= uses, "{}: {uses} blocks, {reasons} reasons", path.display());
        } else {
            assert_eq!(uses, 0, "unsafe in {}", path.display());
            assert!(!text.contains("allow(unsafe_code"), "{}", path.display());
        }
    }
    assert!(blocks > 0, "the search finds nothing any more");
}

#[test]
fn pure_rooms_touch_nothing_of_the_world() {
    let forbidden =
        ["std::net::Tcp", "std::net::Udp", "std::fs", "Instant", "SystemTime", "stdout"];
    for path in sources(&top().join("src")) {
        if ["clock", "stats", "wire"].contains(&room(&path).as_str()) {
            let text = shipped(&fs::read_to_string(&path).expect("a source"));
            for word in forbidden {
                assert!(!text.contains(word), "{}: {word}", path.display());
            }
        }
    }
}

#[test]
fn files_stay_short_enough_to_hold_in_the_head() {
    let mut lengths: Vec<(usize, PathBuf)> = sources(&top().join("src"))
        .into_iter()
        .map(|path| (fs::read_to_string(&path).expect("a source").lines().count(), path))
        .collect();
    lengths.sort();
    let (longest, path) = lengths.last().expect("at least one source");
    assert!(*longest <= LONGEST_FILE, "{} has {longest} lines", path.display());
    let median = lengths[lengths.len() / 2].0;
    assert!(median <= LONGEST_MEDIAN, "the median file has {median} lines");
}

#[test]
fn nothing_ships_but_what_the_user_chose() {
    let manifest = fs::read_to_string(top().join("Cargo.toml")).expect("the manifest");
    let section = manifest.split("[dependencies]").nth(1).expect("dependencies");
    let names: Vec<&str> = section
        .split("\n[")
        .next()
        .unwrap_or_default()
        .lines()
        .filter_map(|line| line.split_once(" = ").map(|(name, _)| name.trim()))
        .collect();
    assert_eq!(names, DEPENDENCIES);
}

#[test]
fn what_ships_is_free_single_and_sealed() {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--edges", "normal", "--prefix", "none"]);
    let told = cargo.args(["--format", "{p}|{l}"]).current_dir(top()).output().expect("cargo tree");
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told = String::from_utf8(told.stdout).expect("text");
    let mut versions = BTreeMap::new();
    for (package, licence) in told.lines().filter_map(|line| line.split_once('|')) {
        let mut licences = licence.split([' ', '/']);
        assert!(licences.any(|one| ["MIT", "Apache-2.0"].contains(&one)), "{package}: {licence}");
        let mut words = package.split(' ');
        let (name, version) = (words.next(), words.next());
        let before = versions.insert(name, version).unwrap_or(version);
        assert_eq!(before, version, "{package} ships twice");
    }
    assert!(versions.contains_key(&Some("lexopt")), "{told}");
    let lock = fs::read_to_string(top().join("Cargo.lock")).expect("the lock file");
    for package in lock.split("[[package]]").skip(1) {
        let ours = package.contains("name = \"echotest\"");
        let registry = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
        let sealed = package.contains(registry) && package.contains("checksum = \"");
        assert!(ours || sealed, "{package}");
    }
}

#[test]
fn the_top_level_holds_what_the_plan_names() {
    let listed = Command::new("git").arg("-C").arg(top()).arg("ls-files").output();
    let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let listed = listed.unwrap_or_default();
    if !listed.contains("src/main.rs") {
        assert!(std::env::var_os("CI").is_none(), "git does not list this checkout");
        common::skipped("git does not list this checkout");
        return;
    }
    for path in listed.lines() {
        let name = path.split('/').next().unwrap_or_default();
        assert!(TOP_LEVEL.contains(&name), "{name} is not in the plan of the house");
    }
}

#[test]
fn nothing_is_switched_off_or_left_unfinished() {
    for folder in ["src", "tests"] {
        for path in sources(&top().join(folder)) {
            if path.ends_with("house.rs") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("a source");
            for word in ["#[ignore", "todo!(", "unimplemented!("] {
                assert!(!text.contains(word), "{}: {word}", path.display());
            }
        }
    }
}
