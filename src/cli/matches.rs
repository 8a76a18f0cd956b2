//! Arguments against the rows: every value is checked before anything is done.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::TcpStream;

use lexopt::Arg;

use super::command::Command;
use super::error::UsageError;
use super::habits;
use super::opt::{Group, Meaning, Opt, Row};
use super::options::General;
use super::value::Value;

/// Ends the name of a last positional argument that takes any number.
pub(super) const SEVERAL: char = '…';

/// A command line that was understood.
#[derive(Debug)]
pub(crate) struct Matches {
    command: &'static Command,
    given: Vec<(&'static str, Value)>,
    positionals: Vec<String>,
    /// The socket that inetd put on standard input.
    inherited: Option<TcpStream>,
}

impl Matches {
    /// Reads the arguments after the command's name.
    ///
    /// # Errors
    ///
    /// The first argument that is not understood, and what would be.
    pub(super) fn parse(
        command: &'static Command,
        arguments: impl Iterator<Item = OsString>,
    ) -> Result<Self, UsageError> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut matches =
            Self { command, given: Vec::new(), positionals: Vec::new(), inherited: None };
        while let Some(argument) =
            parser.next().map_err(|error| matches.usage(error.to_string()))?
        {
            match argument {
                Arg::Value(value) => matches.positional(&value)?,
                Arg::Short(letter) => {
                    let row =
                        matches.row(&format!("-{letter}"), |row| row.short == Some(letter))?;
                    matches.option(row, &format!("-{letter}, --{}", row.long), &mut parser)?;
                }
                Arg::Long(name) => {
                    let name = name.to_owned();
                    let long = |row: &Row| row.long == name || row.alias == Some(&name);
                    let row = matches.row(&format!("--{name}"), long)?;
                    matches.option(row, &format!("--{name}"), &mut parser)?;
                }
            }
        }
        matches.check_positionals()?;
        Ok(matches)
    }

    pub(super) fn command(&self) -> &'static Command {
        self.command
    }

    /// The same with the socket that inetd put on standard input.
    #[must_use]
    pub(super) fn with_inherited(self, socket: TcpStream) -> Self {
        Self { inherited: Some(socket), ..self }
    }

    /// The socket that inetd put on standard input; none where it is not asked
    /// for.
    ///
    /// # Errors
    ///
    /// There is no further descriptor for it.
    pub(super) fn inherited(&self) -> io::Result<Option<TcpStream>> {
        self.inherited.as_ref().map(TcpStream::try_clone).transpose()
    }

    /// A problem with this command's arguments.
    pub(super) fn usage(&self, problem: String) -> UsageError {
        UsageError::new(Some(self.command.name), problem)
    }

    fn row(&self, written: &str, is_it: impl Fn(&Row) -> bool) -> Result<&'static Row, UsageError> {
        self.command.rows().find(|row| is_it(row)).ok_or_else(|| {
            let meant = habits::option(self.command, written);
            self.usage(format!("unknown option {written}{meant}"))
        })
    }

    fn option(
        &mut self,
        row: &'static Row,
        written: &str,
        parser: &mut lexopt::Parser,
    ) -> Result<(), UsageError> {
        let value = if row.value.is_empty() {
            Value::Set
        } else {
            let text = parser.value().map_err(|_| {
                self.usage(format!("{written} needs {}: {}", row.value, row.kind.accepts()))
            })?;
            text.to_str().and_then(|text| row.kind.read(text)).ok_or_else(|| {
                let text = text.to_string_lossy();
                self.usage(format!("{written} {text:?}: accepted is {}", row.kind.accepts()))
            })?
        };
        if !row.repeatable && value != Value::Set {
            self.given.retain(|(name, _)| *name != row.long);
        }
        self.given.push((row.long, value));
        Ok(())
    }

    fn positional(&mut self, value: &OsStr) -> Result<(), UsageError> {
        let place = self.positionals.len();
        let text = value.to_string_lossy();
        let names = self.command.positionals;
        let several = names.last().filter(|name| name.ends_with(SEVERAL));
        let Some(name) = names.get(place).or(several) else {
            return Err(self.usage(format!("unexpected argument {text:?}")));
        };
        if text.is_empty() {
            let name = name.trim_matches(['[', ']', SEVERAL]);
            return Err(self.usage(format!("{name} is empty")));
        }
        self.positionals.push(text.into_owned());
        Ok(())
    }

    fn check_positionals(&self) -> Result<(), UsageError> {
        let missing = self.command.positionals.get(self.positionals.len());
        match missing {
            Some(name) if !name.starts_with('[') && !General::of(self).help => {
                Err(self.usage(format!("{} is missing", name.trim_matches(SEVERAL))))
            }
            _ => Ok(()),
        }
    }

    /// The positional argument at `place`, counted from 0.
    pub(super) fn positional_at(&self, place: usize) -> Option<&str> {
        self.positionals.get(place).map(String::as_str)
    }

    /// All positional arguments.
    pub(super) fn positionals(&self) -> &[String] {
        &self.positionals
    }

    /// What an option means that the command has: as given, else by default.
    ///
    /// # Panics
    ///
    /// The table of commands is wrong: see the test below.
    pub(crate) fn get<T: Meaning>(&self, option: &Opt<T>) -> T {
        let row = &option.row;
        debug_assert!(
            self.command.has(row),
            "'{}' reads --{}, which is not among its rows",
            self.command.name,
            row.long
        );
        let given: Vec<&Value> = self.values(row).collect();
        let default = default_of(self.command, row).and_then(|text| row.kind.read(text));
        T::of(&given, default.as_ref())
            .unwrap_or_else(|| unreachable!("--{} has no value of its own type", row.long))
    }

    fn values(&self, row: &Row) -> impl Iterator<Item = &Value> {
        let long = row.long;
        self.given.iter().filter(move |(name, _)| *name == long).map(|(_, value)| value)
    }

    pub(super) fn was_given(&self, row: &Row) -> bool {
        self.values(row).next().is_some()
    }

    /// The first option of a group that was given.
    pub(super) fn given_of(&self, group: &Group) -> Option<&'static str> {
        group.rows.iter().find(|row| self.was_given(row)).map(|row| row.long)
    }
}

/// What holds for an option of a command when it is not given.
pub(crate) fn default_of(command: &Command, row: &Row) -> Option<&'static str> {
    let own = command.defaults.iter().find(|(other, _)| other.long == row.long);
    own.map(|(_, text)| *text).or(row.default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command::{COMMANDS, find};
    use crate::cli::opt::Chosen;
    use crate::cli::options::{Address, Pace, Packets, ReportOutput};
    use std::time::Duration;

    fn parse(line: &str) -> Result<Matches, UsageError> {
        let mut words = line.split_whitespace().map(OsString::from);
        let command = words.next().unwrap();
        Matches::parse(find(command.to_str().unwrap()).unwrap(), words)
    }

    #[test]
    fn every_command_lists_the_options_that_it_reads() {
        for command in &COMMANDS {
            let words = command.positionals.iter().filter(|name| !name.starts_with('['));
            let matches = Matches::parse(command, words.map(OsString::from)).unwrap();
            assert!((command.understand)(&matches).is_ok(), "{}", command.name);
        }
    }

    #[test]
    fn every_default_in_the_tables_is_accepted_by_its_own_row() {
        for command in &COMMANDS {
            for row in command.rows() {
                if let Some(text) = default_of(command, row) {
                    assert!(row.kind.read(text).is_some(), "{} {}", command.name, row.long);
                }
            }
        }
    }

    #[test]
    fn no_command_has_two_options_of_one_name() {
        for command in &COMMANDS {
            let mut names: Vec<String> = Vec::new();
            for row in command.rows() {
                names.push(row.long.to_owned());
                names.extend(row.alias.map(str::to_owned));
                names.extend(row.short.map(String::from));
            }
            let all = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), all, "{}", command.name);
        }
    }

    #[test]
    fn options_stand_anywhere_and_in_every_form() {
        let matches = parse("client -c5 10.0.0.1 --interval=0.5 7 -W 2s -46").unwrap();
        assert_eq!(matches.positional_at(1), Some("7"));
        let (pace, packets) = (Pace::of(&matches), Packets::of(&matches));
        assert_eq!(pace.count, Chosen { value: 5, by_user: true });
        assert_eq!(pace.frequency, Duration::from_millis(500));
        assert_eq!(packets.timeout, Duration::from_secs(2));
        assert_eq!(packets.size, 64);
        let address = Address::of(&matches);
        assert!(address.ipv4 && address.ipv6);
    }

    #[test]
    fn the_last_of_two_values_counts() {
        assert_eq!(Pace::of(&parse("client h -c 5 -c 6").unwrap()).count.value, 6);
    }

    #[test]
    fn a_last_positional_may_take_any_number() {
        let matches = parse("report a --label x b --label y c").unwrap();
        assert_eq!(matches.positionals(), ["a", "b", "c"]);
        assert_eq!(ReportOutput::of(&matches).labels, ["x", "y"]);
        assert!(parse("report").unwrap_err().to_string().starts_with("TIMINGS is missing"));
    }

    #[test]
    fn a_commands_own_default_comes_before_the_rows() {
        let count = Pace::of(&parse("loopback").unwrap()).count;
        assert_eq!(count, Chosen { value: 10, by_user: false });
    }

    #[test]
    fn errors_name_option_value_and_what_is_accepted() {
        let error = parse("client h --size 0").unwrap_err().to_string();
        let expected = "--size \"0\": accepted is 1 to 64M bytes, such as 64, 2K, 1M\n\
                        Try 'echotest client --help'.";
        assert_eq!(error, expected);
        assert!(parse("client h --frequencey 1").unwrap_err().to_string().contains("--frequencey"));
        assert!(parse("client").unwrap_err().to_string().contains("HOST is missing"));
    }
}
