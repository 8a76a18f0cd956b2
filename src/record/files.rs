//! The two files of a run: names that are never taken, nothing left behind
//! when the run did not come about.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::rotation::{Opened, Rotation, Series};
use super::row_file::{RowFile, Turn};
use crate::clock::Wall;
use crate::text::timestamp::file_stamp;

/// Runs that may start in the same second and directory.
const MAX_SAME_SECOND: u32 = 10_000;

/// A directory or file that cannot be written.
#[derive(Debug)]
pub struct FilesError {
    path: PathBuf,
    source: io::Error,
    advice: &'static str,
}

impl FilesError {
    /// A file that one option names.
    pub(super) fn of_option(path: PathBuf, source: io::Error) -> Self {
        Self { path, source, advice: "" }
    }

    /// One of the run's own two files.
    fn of_run(path: PathBuf, source: io::Error) -> Self {
        Self { path, source, advice: "; choose another --log-dir, or --no-files" }
    }
}

impl fmt::Display for FilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write {}{}", self.path.display(), self.advice)
    }
}

impl std::error::Error for FilesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A run's log and CSV, just created.
#[derive(Debug)]
pub struct RunFiles {
    /// The log.
    pub log: RowFile,
    /// The samples.
    pub csv: RowFile,
    /// Directories that were made for it, outermost first.
    directories: Vec<PathBuf>,
    program: String,
    rotation: Option<Rotation>,
}

fn remove_directories(innermost_last: &[PathBuf]) {
    for directory in innermost_last.iter().rev() {
        let _ = fs::remove_dir(directory);
    }
}

impl RunFiles {
    /// Creates `DIR/echo_client_YYYYMMDD_HHMMSS.log` and `…_timings.csv`, and
    /// the directory if need be. Existing files are not touched: the next
    /// number is taken.
    ///
    /// # Errors
    ///
    /// The path that could not be made, and why; nothing is left behind.
    pub fn create(
        directory: &Path,
        program: &str,
        start: Wall,
        rotation: Option<Rotation>,
    ) -> Result<Self, FilesError> {
        let directories = create_directories(directory)?;
        let stem = format!("{program}_{}", file_stamp(start));
        match create_pair(directory, &stem) {
            Ok(pair) => {
                let (log, csv) = in_turn(pair, rotation.clone(), program, String::new());
                Ok(Self { log, csv, directories, program: program.to_owned(), rotation })
            }
            Err(error) => {
                remove_directories(&directories);
                Err(error)
            }
        }
    }

    /// The pair of a further target of the same run: `…_target2.log` and
    /// `…_target2_timings.csv`.
    ///
    /// # Errors
    ///
    /// The path that could not be made, and why.
    pub fn further(&self, number: usize) -> Result<Self, FilesError> {
        let path = self.log.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        let directory = path.parent().unwrap_or(Path::new("."));
        let end = format!("_target{number}");
        let pair = create_pair(directory, &format!("{stem}{end}"))?;
        let (program, rotation) = (self.program.clone(), self.rotation.clone());
        let (log, csv) = in_turn(pair, rotation.clone(), &program, end);
        Ok(Self { log, csv, directories: Vec::new(), program, rotation })
    }

    /// Where the two files are: log, CSV.
    pub fn paths(&self) -> (PathBuf, PathBuf) {
        (self.log.path().to_owned(), self.csv.path().to_owned())
    }

    /// Removes everything that was made for a run that did not come about.
    pub fn remove(&self) {
        // What cannot be removed was changed by somebody else meanwhile.
        for file in [&self.log, &self.csv] {
            let _ = fs::remove_file(file.path());
        }
        remove_directories(&self.directories);
    }
}

/// Creates what is missing of a path, and tells what that was, outermost first.
fn create_directories(path: &Path) -> Result<Vec<PathBuf>, FilesError> {
    let mut missing: Vec<PathBuf> = path
        .ancestors()
        .take_while(|part| !part.as_os_str().is_empty() && !part.exists())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    DirBuilder::new().recursive(true).create(path).map_err(|source| {
        remove_directories(&missing);
        FilesError::of_run(path.to_owned(), source)
    })?;
    Ok(missing)
}

/// The pair as files of rows; with a `rotation`, as the first of a series.
fn in_turn(
    (log, csv): (Opened, Opened),
    rotation: Option<Rotation>,
    program: &str,
    end: String,
) -> (RowFile, RowFile) {
    let first = (log.1.clone(), csv.1.clone());
    let directory = csv.1.parent().unwrap_or(Path::new(".")).to_owned();
    let series = rotation.map(|rule| Arc::new(Series::new(rule, directory, program, end, first)));
    let turn = |turn: fn(Arc<Series>) -> Turn| series.clone().map_or(Turn::Never, turn);
    (
        RowFile::new(log.0, log.1).taking_turns(turn(Turn::Follows)),
        RowFile::new(csv.0, csv.1).taking_turns(turn(Turn::Leads)),
    )
}

/// A new log and CSV.
fn create_pair(directory: &Path, stem: &str) -> Result<(Opened, Opened), FilesError> {
    create_pair_from(directory, stem, 1).map(|(_, pair)| pair)
}

/// The same from the so manieth of this name on; with the number that was free.
pub(super) fn create_pair_from(
    directory: &Path,
    stem: &str,
    first: u32,
) -> Result<(u32, (Opened, Opened)), FilesError> {
    for number in first..MAX_SAME_SECOND {
        let stem = if number > 1 { format!("{stem}_{number}") } else { stem.to_owned() };
        let log = directory.join(format!("{stem}.log"));
        let csv = directory.join(format!("{stem}_timings.csv"));
        let Some(log) = create_new(log)? else {
            continue;
        };
        match create_new(csv) {
            Ok(Some(csv)) => return Ok((number, (log, csv))),
            other => {
                let _ = fs::remove_file(log.1);
                other?;
            }
        }
    }
    let source = io::ErrorKind::AlreadyExists.into();
    Err(FilesError::of_run(directory.join(stem), source))
}

/// A new file, or `None` if the name is taken.
fn create_new(path: PathBuf) -> Result<Option<Opened>, FilesError> {
    match File::options().append(true).create_new(true).open(&path) {
        Ok(file) => Ok(Some((file, path))),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(source) => Err(FilesError::of_run(path, source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Wall = Wall(1_795_202_401_000_000_000);

    fn scratch(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("echotest-files-{name}-{}", std::process::id()))
    }

    #[test]
    fn a_second_start_in_the_same_second_takes_the_next_number() {
        let directory = scratch("twice").join("a/b");
        let first = RunFiles::create(&directory, "echo_client", START, None).unwrap();
        let second = RunFiles::create(&directory, "echo_client", START, None).unwrap();
        let name = |rows: &RowFile| rows.path().file_name().unwrap().to_owned();
        assert_eq!(name(&first.log), "echo_client_20261120_192001.log");
        assert_eq!(name(&first.csv), "echo_client_20261120_192001_timings.csv");
        assert_eq!(name(&second.log), "echo_client_20261120_192001_2.log");
        assert_eq!(name(&second.csv), "echo_client_20261120_192001_2_timings.csv");
        second.remove();
        first.remove();
        assert!(!scratch("twice").exists(), "directories made for a run go with it");
    }

    #[test]
    fn a_directory_that_cannot_be_made_leaves_nothing() {
        let error =
            RunFiles::create(Path::new("/proc/echotest/logs"), "x", START, None).unwrap_err();
        assert!(error.to_string().starts_with("cannot write /proc/echotest/logs"), "{error}");
    }
}
