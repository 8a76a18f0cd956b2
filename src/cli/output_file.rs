//! A file that an option names for a result: nothing but an older one of its kind is
//! overwritten, and a reader sees the old one or the new one, never half of one.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// What a result is called and how it begins.
#[derive(Debug, Clone, Copy)]
pub struct Sort {
    /// The option that names its file.
    pub option: &'static str,
    /// Each begins so.
    pub beginning: &'static str,
    /// What it is.
    pub what: &'static str,
}

/// Why a result cannot be written.
#[derive(Debug)]
pub struct Error {
    sort: Sort,
    path: PathBuf,
    /// None: something else is there.
    source: Option<io::Error>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.sort.option, self.path.display())?;
        match self.source {
            None => write!(f, "there is a file that is no {}", self.sort.what),
            Some(_) => f.write_str("cannot be written"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.source.as_ref()?)
    }
}

/// A result to be written when all is read.
pub struct OutputFile {
    sort: Sort,
    path: PathBuf,
    file: File,
    /// Takes the place of `path` in the end; none where that is no plain file.
    beside: Option<PathBuf>,
}

impl OutputFile {
    /// Makes sure that it can be written.
    ///
    /// # Errors
    ///
    /// It cannot, or another kind of file would be lost.
    pub fn open(sort: Sort, path: &Path) -> Result<Self, Error> {
        let unwritable = |error| Error { sort, path: path.to_owned(), source: Some(error) };
        let there = fs::metadata(path).ok();
        if let Some(there) = &there
            && !there.is_file()
        {
            // A device or a pipe: there is nothing to lose or to replace.
            let file = OpenOptions::new().write(true).open(path).map_err(unwritable)?;
            return Ok(Self { sort, path: path.to_owned(), file, beside: None });
        }
        if there.is_some() && !begins_with(path, sort.beginning).map_err(unwritable)? {
            return Err(Error { sort, path: path.to_owned(), source: None });
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let beside = path.with_file_name(name);
        let file =
            OpenOptions::new().write(true).create_new(true).open(&beside).map_err(unwritable)?;
        Ok(Self { sort, path: path.to_owned(), file, beside: Some(beside) })
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// The disk is full or fails; what was there before still is.
    pub fn write(mut self, text: &str) -> Result<(), Error> {
        let (sort, path) = (self.sort, self.path.clone());
        let unwritable = |error| Error { sort, path: path.clone(), source: Some(error) };
        self.file.write_all(text.as_bytes()).map_err(unwritable)?;
        if let Some(beside) = self.beside.as_deref() {
            fs::rename(beside, &self.path).map_err(unwritable)?;
        }
        self.beside = None;
        Ok(())
    }
}

impl Drop for OutputFile {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _ = fs::remove_file(beside);
        }
    }
}

/// Whether a file begins so, or holds nothing.
fn begins_with(path: &Path, beginning: &str) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(beginning.len() as u64).read_to_end(&mut start)?;
    Ok(start.is_empty() || start == beginning.as_bytes())
}
