//! TWAMP, TWAMP Light and STAMP: against a second implementation
//! (`tests/twamp_reference.py`), against Wireshark's dissectors, across an
//! impaired path, and under attack.
#![allow(clippy::disallowed_methods, reason = "tests use std's clock, sockets and threads")]

#[path = "twamp/attack.rs"]
mod attack;
mod common;
#[path = "twamp/figures.rs"]
mod figures;
#[path = "twamp/interop.rs"]
mod interop;
#[path = "twamp/lasting.rs"]
mod lasting;
#[path = "twamp/service.rs"]
mod service;
#[path = "twamp/wireshark.rs"]
mod wireshark;

use std::path::Path;
use std::process::Command;

use common::{Process, Server, echotest, eventually};

/// Our server on 127.0.0.1.
fn server(arguments: &[&str]) -> Server {
    let mut command = echotest();
    command.args(["server", "twamp", "--port", "0", "--bind", "127.0.0.1"]).args(arguments);
    Server::from(&mut command)
}

/// The reference implementation.
fn reference(arguments: &[&str]) -> Command {
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/twamp_reference.py"));
    command.args(arguments);
    command
}

/// One of the reference's servers, listening, and its port.
struct Foreign {
    process: Process,
    port: String,
}

fn foreign(arguments: &[&str]) -> Foreign {
    let process = Process::start(&mut reference(arguments));
    let mut port = None;
    eventually("the reference listens", || {
        let text = process.stdout();
        port =
            text.lines().next().and_then(|line| line.strip_prefix("listening ").map(str::to_owned));
        port.is_some()
    });
    Foreign { process, port: port.expect("a port") }
}

impl Foreign {
    /// What it has to complain of our side.
    fn deviations(&self) -> Vec<String> {
        let text = self.process.stdout();
        text.lines().filter(|line| line.contains("deviation")).map(str::to_owned).collect()
    }
}
