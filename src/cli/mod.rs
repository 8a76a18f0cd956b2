//! The command line: one row per option, from which arguments are parsed and
//! help is printed; then what each command means.

pub mod analyze;
pub mod client;
pub mod command;
pub mod completions;
pub mod error;
mod floor;
mod flows;
mod habits;
pub mod help;
pub mod idle;
pub mod logging;
pub mod loopback;
pub mod manual;
pub mod matches;
pub mod measure;
mod measuring;
mod opt;
pub mod options;
pub mod output_file;
mod path;
mod pid_file;
pub mod ping;
pub mod report;
mod selftest;
pub mod server;
pub mod service_options;
mod target;
mod topics;
pub mod twamp;
pub mod value;

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};

use command::{COMMANDS, Command};
use error::{Failure, UsageError};
use matches::Matches;
use options::{Format, General, JSON};
use service_options::{DAEMON, INETD};

use crate::net::syslog::{self, Severity, Syslog};
use crate::os::{detach, inherit, signals};
use crate::record::outflow::Account;
use crate::record::{json, screen};

/// How a command ended, short of a failure; the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// At least one reply came, or a server stopped cleanly.
    Good,
    /// No reply came, or a threshold was exceeded.
    Bad,
    /// Rows or lines of the log could not be stored; it has been said.
    Incomplete,
}

/// Runs the command line `arguments` (without the program's name).
///
/// # Errors
///
/// What is wrong with the arguments, or why the command could not be done.
pub fn run(arguments: Vec<OsString>) -> Result<Status, Failure> {
    signals::survive_file_size_limit();
    let mut arguments = arguments.into_iter();
    let Some(first) = arguments.next() else {
        return Err(UsageError::new(None, "a command is needed".to_owned()).into());
    };
    match first.to_str() {
        Some("--help" | "-h") => print(&help::overview()),
        Some("--version" | "-V") => print(&help::version()),
        Some("help") => help_about(arguments),
        name => match name.and_then(command::find) {
            Some(command) => dispatch(command, arguments.collect()),
            None => Err(UsageError::unknown_command(&first).into()),
        },
    }
}

/// Whether a command line, without the program's name, could be run: nothing is
/// opened and nothing is said.
///
/// # Errors
///
/// What is wrong with it.
pub fn understood(arguments: Vec<OsString>) -> Result<(), UsageError> {
    let mut arguments = arguments.into_iter();
    let first = arguments.next().unwrap_or_default();
    let command = first.to_str().and_then(command::find);
    let command = command.ok_or_else(|| UsageError::unknown_command(&first))?;
    (command.understand)(&Matches::parse(command, arguments)?).map(drop)
}

/// `--inetd` without what inetd provides.
#[derive(Debug)]
struct NoSocket(io::Error);

impl fmt::Display for NoSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "--inetd: standard input is no socket; it is for xinetd, inetd and systemd's Accept=yes",
        )
    }
}

impl std::error::Error for NoSocket {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

fn help_about(mut topics: impl Iterator<Item = OsString>) -> Result<Status, Failure> {
    let Some(topic) = topics.next() else {
        return print(&help::overview());
    };
    match topic.to_str() {
        Some("help" | "--help" | "-h") => print(&help::overview()),
        Some("man") => print(&manual::page()),
        Some("completions") => complete_for(topics.next()),
        name => match name.and_then(command::find) {
            Some(command) => print(&help::of(command)),
            None => match name.and_then(topics::find) {
                Some(topic) => print(&topics::text(topic)),
                None => Err(UsageError::unknown_command(&topic).into()),
            },
        },
    }
}

fn complete_for(shell: Option<OsString>) -> Result<Status, Failure> {
    let shell = shell.unwrap_or_default();
    let known = completions::SHELLS.iter().find(|(name, _)| shell == *name);
    let Some((_, write)) = known else {
        let names: Vec<&str> = completions::SHELLS.iter().map(|(name, _)| *name).collect();
        let names = names.join(", ");
        let problem =
            format!("help completions {:?}: accepted is one of {names}", shell.to_string_lossy());
        return Err(UsageError::new(None, problem).into());
    };
    print(&write())
}

fn dispatch(command: &'static Command, arguments: Vec<OsString>) -> Result<Status, Failure> {
    let inetd = &INETD.row;
    // Where a line cannot be read, a word that reads so counts: its error must
    // not reach a peer either.
    let seems_so = command.has(inetd) && arguments.iter().any(|word| word == "--inetd");
    let matches = Matches::parse(command, arguments.into_iter());
    if !matches.as_ref().map_or(seems_so, |matches| matches.was_given(inetd)) {
        let matches = matches?;
        if command.has(&DAEMON.row) && matches.was_given(&DAEMON.row) {
            detach::leave_caller()?;
        }
        return perform(command, &matches);
    }
    // Before anything is said: under inetd, standard output and error are the
    // peer's. What is not ours to print there goes to the system's log.
    match (inherit::standard_socket(), matches) {
        (Ok(socket), Ok(matches)) => perform(command, &matches.with_inherited(socket)),
        (Ok(_), Err(error)) => Err(error.into()),
        (Err(_), Err(error)) => return Err(error.into()),
        (Err(source), Ok(_)) => return Err(NoSocket(source).into()),
    }
    .inspect_err(|failure: &Failure| {
        let line = syslog::line(Severity::Error, &failure.to_string().replace('\n', " "));
        // Never fails: where no logger listens, the line is lost.
        let _ = Syslog::default().write_all(line.as_bytes());
    })
}

fn perform(command: &Command, matches: &Matches) -> Result<Status, Failure> {
    if General::of(matches).help {
        return print(&help::of(command));
    }
    let status = (command.understand)(matches)?();
    // What has shown its own object has put the error into it.
    if let Err(failure) = &status
        && !screen::was_used()
        && command.has(&JSON.row)
        && Format::of(matches).json
    {
        let host = matches.positional_at(0).unwrap_or_default();
        screen::result(json::failed(command.name, host, &failure.to_string()).finish() + "\n");
    }
    let printed = printed(screen::close());
    status.and_then(|status| printed.map(|()| status))
}

/// Whether everything that was to be shown was; a reader that has gone has read
/// enough.
fn printed(account: Account) -> Result<(), Failure> {
    match account {
        Account { gone: true, .. } => Ok(()),
        Account { failed: Some(source), .. } => Err(NotPrinted { source }.into()),
        Account { lost: 0, .. } => Ok(()),
        Account { lost, .. } => {
            let told = format!("{lost} lines wait, and nobody reads them");
            Err(NotPrinted { source: io::Error::other(told) }.into())
        }
    }
}

/// Prints a text; a reader that has gone has read enough.
fn print(text: &str) -> Result<Status, Failure> {
    match screen::all(text) {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(NotPrinted { source }.into())
        }
        _ => Ok(Status::Good),
    }
}

/// Standard output takes nothing.
#[derive(Debug)]
struct NotPrinted {
    source: io::Error,
}

impl fmt::Display for NotPrinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("standard output")
    }
}

impl std::error::Error for NotPrinted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Names of all commands, for error messages.
fn command_names() -> String {
    COMMANDS.iter().map(|command| command.name).collect::<Vec<_>>().join(", ")
}
