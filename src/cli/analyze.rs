//! `echotest analyze`: a packet capture explained.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};

use super::Status;
use super::error::{Failure, UsageError};
use super::matches::Matches;
use super::options::{Captured, General};
use crate::analyze::table::Wish;
use crate::analyze::{Capture, Input, InputError, Join, Pairing, Timed, json, text};
use crate::report::reader::Reader;

/// A file that cannot be opened, or not be read to its end.
#[derive(Debug)]
struct FileError<E> {
    file: String,
    source: E,
}

impl<E: fmt::Debug> fmt::Display for FileError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)
    }
}

impl<E: std::error::Error + 'static> std::error::Error for FileError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

fn open(name: &str) -> Result<Box<dyn Read>, Failure> {
    if name == "-" {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(name);
    let file = file.map_err(|source| FileError { file: name.to_owned(), source })?;
    Ok(Box::new(file))
}

/// `echotest analyze` with its arguments.
#[derive(Debug)]
pub(super) struct Options {
    file: String,
    captured: Captured,
    verbose: bool,
}

impl super::command::Options for Options {
    fn of(matches: &Matches) -> Result<Self, UsageError> {
        let file = matches.positional_at(0).unwrap_or_default().to_owned();
        let verbose = General::of(matches).verbose.0 > 0;
        Ok(Self { file, captured: Captured::of(matches), verbose })
    }

    /// Reads the capture. What could be read is told also where it does not end
    /// well.
    fn run(self) -> Result<Status, Failure> {
        let Self { file, captured: Captured { port, csv, json: as_json }, verbose } = self;
        let timings = csv.map(|path| path.to_string_lossy().into_owned());
        let mut troubles = [None, None];
        let mut joins = Vec::new();
        if let Some(name) = &timings {
            let pairings = [Pairing::InOrder, Pairing::Nearest];
            // What can be read only once is paired one way.
            let readings = if name == "-" { 1 } else { 2 };
            for (trouble, pairing) in troubles.iter_mut().zip(pairings).take(readings) {
                joins.push(Join::new(rows(name, trouble)?, pairing));
            }
        }
        let mut capture = Capture::new(Wish { port, all_steps: verbose });
        let mut input = Input::new(open(&file)?);
        let ended = read(&mut input, &mut capture, &mut joins);
        capture.end(|answered| {
            for join in &mut joins {
                join.take(answered);
            }
        });
        for join in &mut joins {
            join.end();
        }
        // Of equals the last is taken: in order if there is no reason against it.
        let join = joins.into_iter().rev().max_by_key(Join::merit);
        let format = input.format();
        let report = if as_json {
            let error = ended.as_ref().err().map(ToString::to_string);
            json::capture(&file, format, &capture, join.as_ref(), error.as_deref()).finish() + "\n"
        } else {
            let mut report = format
                .map(|format| text::capture(&file, format, &capture, verbose))
                .unwrap_or_default();
            if let (Some(join), Some(name)) = (&join, &timings) {
                report.push_str(&text::join(name, join));
            }
            report
        };
        super::print(&report)?;
        drop(join);
        if let Some(trouble) = troubles.into_iter().flatten().next() {
            return Err(trouble);
        }
        ended.map_err(|source| FileError { file, source })?;
        Ok(Status::Good)
    }
}

/// The rows of received packets, one after another; trouble on the way ends
/// them, and is told afterwards.
fn rows<'run>(
    name: &str,
    trouble: &'run mut Option<Failure>,
) -> Result<impl FnMut() -> Option<Timed> + 'run, Failure> {
    let mut reader = Reader::new(name, open(name)?)?;
    Ok(move || {
        loop {
            match reader.row() {
                Ok(Some(row)) => {
                    let (Ok(sent), Some(rtt)) = (i64::try_from(row.sent), row.rtt) else {
                        continue;
                    };
                    return Some(Timed { sent, rtt });
                }
                Ok(None) => return None,
                Err(error) => {
                    *trouble = Some(error.into());
                    return None;
                }
            }
        }
    })
}

fn read(
    input: &mut Input<Box<dyn Read>>,
    capture: &mut Capture,
    joins: &mut [Join<'_>],
) -> Result<(), InputError> {
    while let Some((captured, bytes)) = input.packet()? {
        capture.take(&captured, bytes, |answered| {
            for join in joins.iter_mut() {
                join.take(answered);
            }
        });
    }
    Ok(())
}
