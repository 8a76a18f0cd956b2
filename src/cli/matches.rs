//! Arguments against the rows: every value is checked before anything is done.

use std::ffi::{OsStr, OsString};
use std::io;
use std::net::{IpAddr, TcpStream};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lexopt::Arg;

use super::command::Command;
use super::error::UsageError;
use super::options::Opt;
use super::value::Value;

/// Ends the name of a last positional argument that takes any number.
pub const SEVERAL: char = '…';

/// A command line that was understood.
#[derive(Debug)]
pub struct Matches {
    command: &'static Command,
    given: Vec<(&'static str, Value)>,
    positionals: Vec<String>,
    /// The socket that inetd put on standard input.
    inherited: Option<TcpStream>,
    /// Where relative paths begin, also when a daemon has left it.
    directory: PathBuf,
}

impl Matches {
    /// Reads the arguments after the command's name.
    ///
    /// # Errors
    ///
    /// The first argument that is not understood, and what would be.
    pub fn parse(
        command: &'static Command,
        arguments: impl Iterator<Item = OsString>,
    ) -> Result<Self, UsageError> {
        let mut parser = lexopt::Parser::from_args(arguments);
        let mut matches = Self {
            command,
            given: Vec::new(),
            positionals: Vec::new(),
            inherited: None,
            directory: std::env::current_dir().unwrap_or_default(),
        };
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
                    let long = |row: &Opt| row.long == name || row.alias == Some(&name);
                    let row = matches.row(&format!("--{name}"), long)?;
                    matches.option(row, &format!("--{name}"), &mut parser)?;
                }
            }
        }
        matches.check_positionals()?;
        Ok(matches)
    }

    /// The command's name.
    pub fn command_name(&self) -> &'static str {
        self.command.name
    }

    /// The same with the socket that inetd put on standard input.
    #[must_use]
    pub fn with_inherited(self, inherited: Option<TcpStream>) -> Self {
        Self { inherited, ..self }
    }

    /// The socket that inetd put on standard input.
    ///
    /// # Errors
    ///
    /// There is none, or no further descriptor for it.
    pub fn inherited(&self) -> io::Result<TcpStream> {
        self.inherited.as_ref().ok_or(io::ErrorKind::NotConnected)?.try_clone()
    }

    /// Where relative paths begin.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A problem with this command's arguments.
    pub fn usage(&self, problem: String) -> UsageError {
        UsageError::new(Some(self.command.name), problem)
    }

    fn rows(&self) -> impl Iterator<Item = &'static Opt> + use<> {
        self.command.groups.iter().flat_map(|group| group.rows)
    }

    fn row(&self, written: &str, is_it: impl Fn(&Opt) -> bool) -> Result<&'static Opt, UsageError> {
        self.rows()
            .find(|row| is_it(row))
            .ok_or_else(|| self.usage(format!("unknown option {written}")))
    }

    fn option(
        &mut self,
        row: &'static Opt,
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
            Some(name) if !name.starts_with('[') && !self.wants_help() => {
                Err(self.usage(format!("{} is missing", name.trim_matches(SEVERAL))))
            }
            _ => Ok(()),
        }
    }

    /// Whether `--help` was given.
    pub fn wants_help(&self) -> bool {
        self.flag("help")
    }

    /// The positional argument at `place`, counted from 0.
    pub fn positional_at(&self, place: usize) -> Option<&str> {
        self.positionals.get(place).map(String::as_str)
    }

    /// All positional arguments.
    pub fn positionals(&self) -> &[String] {
        &self.positionals
    }

    /// Whether a flag was given.
    pub fn flag(&self, name: &str) -> bool {
        self.times(name) > 0
    }

    /// How often an option was given.
    pub fn times(&self, name: &str) -> usize {
        self.given.iter().filter(|(given, _)| *given == name).count()
    }

    /// The value given, or the command's or the row's default.
    fn value(&self, name: &str) -> Option<Value> {
        let given = self.given.iter().find(|(given, _)| *given == name);
        given.map(|(_, value)| value.clone()).or_else(|| self.default(name))
    }

    fn default(&self, name: &str) -> Option<Value> {
        let row = self.rows().find(|row| row.long == name)?;
        default_of(self.command, row).and_then(|text| row.kind.read(text))
    }

    /// A time.
    pub fn seconds(&self, name: &str) -> Option<Duration> {
        match self.value(name)? {
            Value::Seconds(span) => Some(span),
            _ => None,
        }
    }

    /// A whole number or a size.
    pub fn whole(&self, name: &str) -> Option<u64> {
        match self.value(name)? {
            Value::Whole(number) => Some(number),
            _ => None,
        }
    }

    /// Sizes; none if none were given.
    pub fn wholes(&self, name: &str) -> Vec<u64> {
        match self.value(name) {
            Some(Value::Wholes(numbers)) => numbers,
            _ => Vec::new(),
        }
    }

    /// A share of a hundred.
    pub fn percent(&self, name: &str) -> Option<f64> {
        match self.value(name)? {
            Value::Percent(share) => Some(share),
            _ => None,
        }
    }

    /// A range of ports.
    pub fn ports(&self, name: &str) -> Option<RangeInclusive<u16>> {
        match self.value(name)? {
            Value::Ports(ports) => Some(ports),
            _ => None,
        }
    }

    /// A text or path.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// All texts given.
    pub fn texts(&self, name: &str) -> Vec<String> {
        let given = self.given.iter().filter(|(given, _)| *given == name);
        given
            .filter_map(|(_, value)| match value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            })
            .collect()
    }

    /// All addresses given.
    pub fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let given = self.given.iter().filter(|(given, _)| *given == name);
        given
            .filter_map(|(_, value)| match value {
                Value::Address(address) => Some(*address),
                _ => None,
            })
            .collect()
    }
}

/// What holds for an option of a command when it is not given.
pub fn default_of(command: &Command, row: &Opt) -> Option<&'static str> {
    let own = command.defaults.iter().find(|(name, _)| *name == row.long);
    own.map(|(_, text)| *text).or(row.default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command::{COMMANDS, find};

    fn parse(line: &str) -> Result<Matches, UsageError> {
        let mut words = line.split_whitespace().map(OsString::from);
        let command = words.next().unwrap();
        Matches::parse(find(command.to_str().unwrap()).unwrap(), words)
    }

    #[test]
    fn every_default_in_the_tables_is_accepted_by_its_own_row() {
        for command in &COMMANDS {
            for row in command.groups.iter().flat_map(|group| group.rows) {
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
            for row in command.groups.iter().flat_map(|group| group.rows) {
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
        assert_eq!(matches.whole("count"), Some(5));
        assert_eq!(matches.seconds("frequency"), Some(Duration::from_millis(500)));
        assert_eq!(matches.seconds("timeout"), Some(Duration::from_secs(2)));
        assert!(matches.flag("ipv4") && matches.flag("ipv6"));
        assert_eq!(matches.whole("size"), Some(64));
    }

    #[test]
    fn the_last_of_two_values_counts() {
        assert_eq!(parse("client h -c 5 -c 6").unwrap().whole("count"), Some(6));
    }

    #[test]
    fn a_last_positional_may_take_any_number() {
        let matches = parse("report a --label x b --label y c").unwrap();
        assert_eq!(matches.positionals(), ["a", "b", "c"]);
        assert_eq!(matches.texts("label"), ["x", "y"]);
        assert!(parse("report").unwrap_err().to_string().starts_with("TIMINGS is missing"));
    }

    #[test]
    fn a_commands_own_default_comes_before_the_rows() {
        assert_eq!(parse("loopback").unwrap().whole("count"), Some(10));
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
