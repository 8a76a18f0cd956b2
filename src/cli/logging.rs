//! Diagnostics: one line each, with the time in UTC, on standard error and
//! where else the options say; in the system's log where there is no terminal.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use env_logger::{Builder, Target};
use log::{Level, LevelFilter, Record};

use super::error::Failure;
use super::options::General;
use crate::net::syslog::{self, Severity, Syslog};
use crate::os::clock;
use crate::os::signals::{Signal, seen};
use crate::record::journal;
use crate::text::timestamp::rfc3339;

/// A log file that cannot be written.
#[derive(Debug)]
struct LogFileError {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for LogFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write the log file {}", self.path.display())
    }
}

impl std::error::Error for LogFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A file that is opened again after a SIGHUP.
struct LogFile {
    path: PathBuf,
    file: File,
    hang_ups: u32,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        let (path, file) = (path.to_owned(), Self::append(path)?);
        Ok(Self { path, file, hang_ups: seen(Signal::HangUp) })
    }

    fn append(path: &Path) -> io::Result<File> {
        File::options().append(true).create(true).open(path)
    }
}

impl Write for LogFile {
    /// One formatted line. Never fails: a log that cannot be written is no
    /// reason to serve nobody.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let hang_ups = seen(Signal::HangUp);
        if std::mem::replace(&mut self.hang_ups, hang_ups) != hang_ups
            && let Ok(file) = Self::append(&self.path)
        {
            self.file = file;
        }
        let _ = self.file.write_all(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where diagnostics go, and whose.
#[derive(Debug, Default)]
pub(super) struct Destination {
    /// A file besides standard error.
    pub(super) file: Option<PathBuf>,
    /// The system's log, where there is no file.
    pub(super) without_terminal: bool,
    /// The server is a means, not the subject.
    pub(super) quiet_server: bool,
}

/// Starts logging at the level asked for; `RUST_LOG` overrides it.
///
/// # Errors
///
/// The log file cannot be written.
pub(super) fn start(general: &General, destination: &Destination) -> Result<(), Failure> {
    let level = match (general.quiet.0, general.verbose.0) {
        (1.., _) => LevelFilter::Error,
        (0, 0) => LevelFilter::Info,
        (0, 1) => LevelFilter::Debug,
        (0, _) => LevelFilter::Trace,
    };
    let mut builder = Builder::new();
    if destination.quiet_server && level == LevelFilter::Info {
        builder.filter_module("echotest::server", LevelFilter::Warn);
    }
    builder.filter_level(level).parse_env("RUST_LOG");
    if let Some(path) = &destination.file {
        // Absolute, because a daemon leaves its directory.
        let path = std::path::absolute(path)?;
        let failed = |source| LogFileError { path: path.clone(), source };
        LogFile::open(&path).map_err(failed)?;
        builder.format(timed_line);
        journal::open(move || {
            let mut file = LogFile::open(&path)?;
            let file = move |lines: &[u8]| file.write_all(lines);
            // Under a daemon or inetd standard error is `/dev/null` by then.
            Ok(vec![Box::new(file), journal::to_standard_error()])
        });
    } else if destination.without_terminal {
        builder.format(syslog_line);
        journal::open(|| {
            let mut syslog = Syslog::default();
            let lines = move |lines: &[u8]| {
                let mut lines = lines.split_inclusive(|&byte| byte == b'\n');
                lines.try_for_each(|line| syslog.write_all(line))
            };
            Ok(vec![Box::new(lines)])
        });
    } else {
        builder.format(timed_line);
        journal::open(journal::standard_error);
    }
    builder.target(Target::Pipe(Box::new(journal::Lines)));
    if builder.try_init().is_ok() {
        log_panics();
    }
    Ok(())
}

fn timed_line(out: &mut env_logger::fmt::Formatter, record: &Record<'_>) -> io::Result<()> {
    let time = rfc3339(clock::wall());
    writeln!(out, "{time} {:5} {}", record.level(), record.args())
}

fn syslog_line(out: &mut env_logger::fmt::Formatter, record: &Record<'_>) -> io::Result<()> {
    let severity = match record.level() {
        Level::Error => Severity::Error,
        Level::Warn => Severity::Warning,
        Level::Info => Severity::Info,
        Level::Debug | Level::Trace => Severity::Debug,
    };
    writeln!(out, "{}", syslog::line(severity, &record.args().to_string()))
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
