//! `echotest report`: files to tables and plots.

use std::fs::File;
use std::io::{self, Read};

use super::Status;
use super::error::Failure;
use super::matches::Matches;
use crate::report::error::Problem;
use crate::report::{Error, Reader, run as rows};

type Input = Box<dyn Read>;

/// Reads the files and shows what they hold.
pub(super) fn run(matches: &Matches) -> Result<Status, Failure> {
    let paths = matches.positionals();
    // All are opened before any is read to its end.
    let readers = paths.iter().map(|path| open(path)).collect::<Result<Vec<_>, _>>()?;
    for (place, (path, reader)) in paths.iter().zip(readers).enumerate() {
        let (source, runs) = rows::read(reader, path, path, place)?;
        super::print(&format!("{source:?}\n"));
        for run in runs {
            super::print(&format!("{} {:?}\n", run.label, run.figures.rtts.percentile(50.0)));
        }
    }
    Ok(Status::Good)
}

fn open(path: &str) -> Result<Reader<Input>, Error> {
    let input: Input = if path == "-" {
        Box::new(io::stdin())
    } else {
        let file = File::open(path);
        Box::new(file.map_err(|error| Error::new(path, Problem::Unreadable(error)))?)
    };
    Reader::new(path, input)
}
