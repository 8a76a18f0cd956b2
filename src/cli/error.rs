//! What a command line can fail with, on one line.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt;

use super::habits;

/// A command line that means nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageError {
    command: Option<&'static str>,
    problem: String,
}

impl UsageError {
    /// A problem with the arguments of `command`.
    pub fn new(command: Option<&'static str>, problem: String) -> Self {
        Self { command, problem }
    }

    /// A first argument that is no command.
    pub fn unknown_command(given: &OsStr) -> Self {
        let names = super::command_names();
        let given = given.display();
        let meant = habits::command(&given.to_string());
        let problem = if meant.is_empty() {
            format!("{given} is no command; there are {names}")
        } else {
            format!("{given} is no command{meant}")
        };
        Self::new(None, problem)
    }
}

impl fmt::Display for UsageError {
    /// A script's arguments may be strangers' bytes: nothing of them steers the
    /// terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let problem = self.problem.replace(|c: char| c.is_control() && c != '\n', "?");
        let command = self.command.map(|command| format!(" {command}")).unwrap_or_default();
        write!(f, "{problem}\nTry 'echotest{command} --help'.")
    }
}

impl Error for UsageError {}

/// Why a command could not be done.
#[derive(Debug)]
pub enum Failure {
    /// The arguments, a name, a file or an address of this host: exit 2.
    Setup(Box<dyn Error>),
    /// The other host did not answer: exit 1.
    NoReply(String),
    /// It has been said already, by the process that was to stay: exit 2.
    Told,
}

impl Failure {
    /// The exit status that says so.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Setup(_) | Self::Told => 2,
            Self::NoReply(_) => 1,
        }
    }
}

impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Setup(Box::new(error))
    }
}

impl fmt::Display for Failure {
    /// The error and its causes on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoReply(text) => f.write_str(text),
            Self::Told => Ok(()),
            Self::Setup(error) => {
                write!(f, "{error}")?;
                let mut cause = error.source();
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
        }
    }
}
