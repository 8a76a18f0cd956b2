//! Why a file cannot be reported on.

use std::fmt;
use std::io;

/// What is wrong with a file, and where.
#[derive(Debug)]
pub struct Error {
    /// The file as the user named it.
    file: String,
    problem: Problem,
}

/// What is wrong.
#[derive(Debug)]
pub enum Problem {
    /// It cannot be opened or read.
    Unreadable(io::Error),
    /// It holds nothing, not even a header.
    Empty,
    /// It is packed, by this program.
    Packed(&'static str),
    /// Of so many runs where one is meant.
    Runs(usize),
    /// A directory without a file of this tool's.
    NothingThere,
    /// The header lacks a column.
    MissingColumn {
        /// The first that is missing.
        column: &'static str,
    },
    /// The header names a column twice.
    ColumnTwice {
        /// Its name.
        column: &'static str,
    },
    /// A line cannot be a row.
    Line {
        /// Its number, counted from 1.
        line: u64,
        /// Why not.
        why: String,
    },
    /// A value is not what its column holds.
    Value {
        /// The number of its line, counted from 1.
        line: u64,
        /// Its column's name.
        column: &'static str,
        /// The value.
        text: String,
        /// What it should have been.
        accepted: &'static str,
    },
}

impl Error {
    /// A problem with `file`.
    pub fn new(file: &str, problem: Problem) -> Self {
        Self { file: file.to_owned(), problem }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.file.escape_debug())?;
        match &self.problem {
            Problem::Unreadable(_) => f.write_str("cannot be read"),
            Problem::Packed(by) => {
                let file = self.file.escape_debug();
                write!(f, "it is compressed; unpack it first: {by} -d {file}")
            }
            Problem::Runs(count) => {
                write!(f, "{count} runs that do not go on from one another; name the files of one")
            }
            Problem::NothingThere => f.write_str("no *_timings.csv is in this directory"),
            Problem::Empty => write!(f, "line 1: nothing there; {HEADER}"),
            Problem::MissingColumn { column } => {
                write!(f, "line 1: there is no column {column}; {HEADER}")
            }
            Problem::ColumnTwice { column } => {
                write!(f, "line 1: there are two columns {column}")
            }
            Problem::Line { line, why } => write!(f, "line {line}: {why}"),
            Problem::Value { line, column, text, accepted } => {
                write!(f, "line {line}, column {column}: {text:?} is not {accepted}")
            }
        }
    }
}

/// What a file must begin with.
const HEADER: &str =
    "needed is a header with packet_num,timestamp,send_time_ns,receive_time_ns,rtt_us";

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.problem {
            Problem::Unreadable(error) => Some(error),
            _ => None,
        }
    }
}
