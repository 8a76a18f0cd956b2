//! `echotest analyze`: a packet capture explained.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::rc::Rc;

use super::Status;
use super::error::{Failure, UsageError};
use super::matches::Matches;
use super::options::{Captured, General};
use super::output_file::{OutputFile, Sort};
use crate::analyze::candidates::Rows;
use crate::analyze::join::MAX_PAIRS;
use crate::analyze::pairs;
use crate::analyze::slowest::Slowest;
use crate::analyze::table::Wish;
use crate::analyze::text::{BothEnds, Found, Joined};
use crate::analyze::{Candidates, Capture, Input, InputError, Timed, json, text};
use crate::os::signals::{self, Signal};
use crate::report::pieces::{self, SUFFIX};
use crate::report::reader::Reader;

/// The most of a client's file that is taken from standard input, in bytes.
const MAX_PIPED: u64 = 256 << 20;

/// What `--csv-out` writes.
const PAIRS: Sort =
    Sort { option: "--csv-out", beginning: pairs::HEADER, what: "join of a capture" };

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

/// Standard input. Ctrl-C reaches whoever writes there too, and ends that; a
/// second one ends the reading.
struct Piped;

impl Read for Piped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match io::stdin().read(buffer) {
            Err(error)
                if error.kind() == ErrorKind::Interrupted
                    && signals::seen(Signal::Interrupt) > 1 =>
            {
                Ok(0)
            }
            read => read,
        }
    }
}

fn open(name: &str) -> Result<Box<dyn Read>, Failure> {
    if name == "-" {
        signals::watch(Signal::Interrupt)?;
        return Ok(Box::new(Piped));
    }
    let file = File::open(name);
    let file = file.map_err(|source| FileError { file: name.to_owned(), source })?;
    Ok(Box::new(file))
}

/// `echotest analyze` with its arguments.
#[derive(Debug)]
pub(super) struct Options {
    files: Vec<String>,
    /// The client's own, in pieces where it was rotated.
    timings: Vec<String>,
    captured: Captured,
    verbose: bool,
}

impl super::command::Options for Options {
    fn of(matches: &Matches) -> Result<Self, UsageError> {
        let captured = Captured::of(matches);
        // A shell writes out `--csv logs/*_timings.csv`; all but the first come here.
        let named = captured.csv.iter().map(|path| path.to_string_lossy().into_owned());
        let files = matches.positionals().iter().cloned();
        let (mut timings, files): (Vec<String>, Vec<String>) =
            files.partition(|file| captured.csv.is_some() && file.ends_with(SUFFIX));
        timings.splice(0..0, named);
        if files.is_empty() {
            return Err(matches.usage("a CAPTURE is needed beside --csv".to_owned()));
        }
        let piped = files.iter().filter(|file| *file == "-").count();
        if piped > 0 && files.len() > 1 {
            return Err(matches.usage("- cannot be one of several pieces".to_owned()));
        }
        if piped > 0 && captured.csv.as_ref().is_some_and(|csv| csv.as_os_str() == "-") {
            let problem = "standard input cannot be the capture and the client's file";
            return Err(matches.usage(problem.to_owned()));
        }
        if captured.csv_out.is_some() && captured.csv.is_none() {
            return Err(matches.usage("--csv-out: it goes with --csv".to_owned()));
        }
        let verbose = General::of(matches).verbose.0 > 0;
        Ok(Self { files, timings, captured, verbose })
    }

    /// Reads the capture. What could be read is told also where it does not end
    /// well.
    fn run(self) -> Result<Status, Failure> {
        let Self { files, timings, captured, verbose } = self;
        let Captured { port, csv: _, csv_out, peer, slowest, json: as_json } = captured;
        let joined_file =
            csv_out.as_deref().map(|path| OutputFile::open(PAIRS, path)).transpose()?;
        let files = in_order(files)?;
        let timings = pieces::one_run(&timings)?;
        let trouble = Rc::default();
        let mut candidates = None;
        if !timings.is_empty() {
            let rows = rows(timings.clone(), &trouble)?;
            candidates = Some(Candidates::new(rows, slowest, joined_file.is_some())?);
        }
        let mut capture = Capture::new(Wish { port, all_steps: verbose, packets: peer.is_some() });
        let mut on_the_wire = Slowest::new(slowest);
        let mut format = None;
        let mut ended: Result<(), Failure> = Ok(());
        let mut done = |place, answered: crate::analyze::requests::Answered| {
            if let Some(nanos) = answered.on_the_wire() {
                on_the_wire.take(nanos, (place, answered));
            }
            if let Some(candidates) = &mut candidates {
                candidates.take(place, answered);
            }
        };
        for file in &files {
            let mut input = Input::new(open(file)?);
            let read = read(&mut input, &mut capture, &mut done);
            format = format.or(input.format());
            ended = read.map_err(|source| FileError { file: file.clone(), source }.into());
            if ended.is_err() {
                break;
            }
        }
        capture.end(&mut done);
        let peer =
            peer.map(|path| other_end(path.to_string_lossy().into_owned(), port)).transpose()?;
        let both = peer.as_ref().map(|(name, far)| BothEnds::new(name, &capture, far));
        let joined = candidates.map(Candidates::end).transpose()?;
        let joined = joined
            .as_ref()
            .zip(timings.first())
            .map(|((join, connections), file)| Joined { file, join, connections });
        let found =
            Found { files: &files, format, capture: &capture, joined, both, slowest: &on_the_wire };
        // Before the object is printed, which says what went wrong with it.
        let written = match (joined_file, &found.joined) {
            (Some(file), Some(joined)) => {
                let (text, more) = pairs::csv(joined.join.pairs.as_deref().unwrap_or_default());
                if more {
                    log::warn!("--csv-out holds the first {MAX_PAIRS} packets of each connection");
                }
                file.write(&text)
            }
            _ => Ok(()),
        };
        let failure = trouble.take().or(ended.err()).or(written.err().map(Failure::from));
        let report = if as_json {
            let error = failure.as_ref().map(Failure::to_string);
            json::found(&found, error.as_deref()).finish() + "\n"
        } else {
            text::found(&found, verbose)
        };
        super::print(&report)?;
        if let Some(failure) = failure {
            return Err(failure);
        }
        Ok(if capture.connections.is_empty() { Status::Bad } else { Status::Good })
    }
}

/// The capture of the other end.
fn other_end(name: String, port: Option<u16>) -> Result<(String, Capture), Failure> {
    let mut capture = Capture::new(Wish { port, all_steps: false, packets: true });
    let mut input = Input::new(open(&name)?);
    let read = read(&mut input, &mut capture, &mut |_, _| {});
    capture.end(&mut |_, _| {});
    read.map_err(|source| FileError { file: name.clone(), source })?;
    Ok((name, capture))
}

/// Several files are pieces of one capture, in the order of their first packets.
fn in_order(files: Vec<String>) -> Result<Vec<String>, Failure> {
    if files.len() < 2 {
        return Ok(files);
    }
    let mut timed = Vec::new();
    for file in files {
        let mut input = Input::new(open(&file)?);
        let first = input.packet().ok().flatten().and_then(|(captured, _)| captured.at);
        timed.push((first, file));
    }
    timed.sort_by_key(|(first, _)| first.unwrap_or(i64::MAX));
    Ok(timed.into_iter().map(|(_, file)| file).collect())
}

/// Where trouble with the client's file is put: it ends the rows, and is told
/// after what could be found out.
type Trouble = Rc<std::cell::Cell<Option<Failure>>>;

/// Opens the client's file from its beginning, as often as asked. What can be read
/// only once is kept in memory.
fn rows(
    pieces: Vec<String>,
    trouble: &Trouble,
) -> Result<impl FnMut() -> Result<Rows, Failure> + use<>, Failure> {
    let mut piped: Rc<[u8]> = Rc::default();
    let is_piped = pieces == ["-"];
    if is_piped {
        let mut bytes = Vec::new();
        io::stdin().take(MAX_PIPED + 1).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_PIPED {
            let problem = format!("--csv -: more than {} MiB; name a file", MAX_PIPED >> 20);
            return Err(io::Error::new(ErrorKind::FileTooLarge, problem).into());
        }
        piped = bytes.into();
    }
    let trouble = Rc::clone(trouble);
    Ok(move || {
        let from: Box<dyn Read> = if is_piped {
            Box::new(io::Cursor::new(Rc::clone(&piped)))
        } else {
            Box::new(pieces::Joined::open(&pieces)?)
        };
        let mut reader = Reader::new(pieces.first().map_or("", String::as_str), from)?;
        let trouble = Rc::clone(&trouble);
        Ok(Box::new(move || {
            loop {
                match reader.row() {
                    Ok(Some(row)) => {
                        let (Ok(sent), Some(rtt)) = (i64::try_from(row.sent), row.rtt) else {
                            continue;
                        };
                        let (number, flow) = (row.number, row.flow);
                        return Some(Timed { number, flow, sent, rtt });
                    }
                    Ok(None) => return None,
                    Err(error) => {
                        trouble.set(Some(error.into()));
                        return None;
                    }
                }
            }
        }) as Rows)
    })
}

fn read(
    input: &mut Input<Box<dyn Read>>,
    capture: &mut Capture,
    done: &mut dyn FnMut(usize, crate::analyze::requests::Answered),
) -> Result<(), InputError> {
    while let Some((captured, bytes)) = input.packet()? {
        capture.take(&captured, bytes, done);
    }
    Ok(())
}
