//! `echotest report`: files to tables and plots.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use super::Status;
use super::error::{Failure, UsageError};
use super::matches::Matches;
use super::options::ReportOutput;
use super::output_file::{OutputFile, Sort};
use crate::os::terminal::columns;
use crate::record::terminal::speaks_unicode;
use crate::report::pieces::{self, Joined, SUFFIX};
use crate::report::terminal::{self, Style};
use crate::report::{Error, Reader, Report, html, json, run as rows};

/// The page.
const PAGE: Sort = Sort { option: "--html", beginning: html::DOCTYPE, what: "page of a report" };

/// `echotest report` with its arguments.
#[derive(Debug)]
pub(super) struct Options {
    paths: Vec<String>,
    output: ReportOutput,
}

impl super::command::Options for Options {
    fn of(matches: &Matches) -> Result<Self, UsageError> {
        let (paths, output) = (matches.positionals().to_vec(), ReportOutput::of(matches));
        let directories = paths.iter().any(|path| Path::new(path).is_dir());
        if let Some(surplus) = output.labels.get(paths.len()).filter(|_| !directories) {
            return Err(matches.usage(format!("--label {surplus:?}: there is no file for it")));
        }
        Ok(Self { paths, output })
    }

    /// Reads the files and shows what they hold.
    fn run(self) -> Result<Status, Failure> {
        let Self { paths, output } = self;
        let groups = pieces::groups(pieces::named(&paths)?);
        // All are opened before any is read to its end.
        let readers = groups.iter().map(|group| open(group)).collect::<Result<Vec<_>, _>>()?;
        let pieces: Vec<usize> = groups.iter().map(Vec::len).collect();
        let paths: Vec<String> =
            groups.into_iter().filter_map(|group| group.into_iter().next()).collect();
        let labels = labels(&paths, &output.labels);
        let page = output.html.as_deref().map(|path| OutputFile::open(PAGE, path)).transpose()?;
        let mut files = Vec::new();
        for (place, (reader, (path, label))) in
            readers.into_iter().zip(paths.iter().zip(&labels)).enumerate()
        {
            let (mut source, runs) = rows::read(reader, path, label, place)?;
            source.pieces = pieces[place];
            files.push((source, runs));
        }
        let report = Report::new(files);
        if let Some(page) = page {
            page.write(&html::page(&report))?;
        }
        if output.json {
            super::print(&json::text(&report))?;
        } else {
            super::print(&terminal::text(&report, style()))?;
        }
        Ok(if report.has_replies() { Status::Good } else { Status::Bad })
    }
}

/// One run, in one file or several.
fn open(paths: &[String]) -> Result<Reader<'static>, Error> {
    let first = paths.first().map_or("", String::as_str);
    if first == "-" {
        Reader::new(first, io::stdin())
    } else {
        Reader::new(first, Joined::open(paths)?)
    }
}

/// What each file is called: as asked for, else by its name, with a number
/// where that is taken.
fn labels(paths: &[String], given: &[String]) -> Vec<String> {
    let mut taken = Vec::new();
    let label = |(place, path): (usize, &String)| {
        let name = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| path.clone());
        let short = name.strip_suffix(SUFFIX).or(name.rsplit_once('.').map(|(stem, _)| stem));
        let short = short.filter(|short| !short.is_empty()).unwrap_or(&name);
        let name = given.get(place).map_or(short, String::as_str);
        // What a terminal would obey is not for a label.
        let name: String = name.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let numbered = (2..).map(|number| format!("{name} ({number})"));
        let free = std::iter::once(name.clone()).chain(numbered).find(|n| !taken.contains(n));
        let label = free.unwrap_or(name);
        taken.push(label.clone());
        label
    };
    paths.iter().enumerate().map(label).collect()
}

/// What the terminal can show.
fn style() -> Style {
    let given = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let width = given.or_else(|| columns(io::stdout().as_fd()));
    Style::new(width, speaks_unicode())
}
