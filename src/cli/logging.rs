//! Diagnostics: one line each on standard error, with the time in UTC.

use std::io::Write;

use log::LevelFilter;

use super::matches::Matches;
use crate::os::clock;
use crate::record::timestamp::rfc3339;

/// Starts logging at the level asked for; `RUST_LOG` overrides it.
pub fn start(matches: &Matches) {
    let level = match (matches.flag("quiet"), matches.times("verbose")) {
        (true, _) => LevelFilter::Error,
        (false, 0) => LevelFilter::Info,
        (false, 1) => LevelFilter::Debug,
        (false, _) => LevelFilter::Trace,
    };
    let mut builder = env_logger::Builder::new();
    if matches.command_name() == "loopback" && level == LevelFilter::Info {
        // Its server is a means, not the subject.
        builder.filter_module("echotest::server", LevelFilter::Warn);
    }
    builder.filter_level(level).parse_env("RUST_LOG").format(|line, record| {
        let time = rfc3339(clock::wall());
        writeln!(line, "{time} {:5} {}", record.level(), record.args())
    });
    if builder.try_init().is_ok() {
        log_panics();
    }
}

/// A panic is one line in the log. Its backtrace would need more stack than a
/// session's thread has.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let text = panic.payload_as_str().unwrap_or("no message");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error!("internal error at {place}: {text}");
    }));
}
