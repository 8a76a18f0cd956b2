//! Where the page goes: nothing but an older page is overwritten, and a reader
//! sees the old one or the new one, never half of one.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::report::html::DOCTYPE;

/// Why a page cannot be written.
#[derive(Debug)]
pub enum Error {
    /// Something else is there.
    NoPage(PathBuf),
    /// The file cannot be written.
    Unwritable(PathBuf, io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPage(path) => {
                write!(f, "--html {}: there is a file that is no page of a report", path.display())
            }
            Self::Unwritable(path, _) => write!(f, "--html {}: cannot be written", path.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoPage(_) => None,
            Self::Unwritable(_, error) => Some(error),
        }
    }
}

/// A page to be written when all is read.
pub struct PageFile {
    path: PathBuf,
    file: File,
    /// Takes the place of `path` in the end; none where that is no plain file.
    beside: Option<PathBuf>,
}

impl PageFile {
    /// Makes sure that it can be written.
    ///
    /// # Errors
    ///
    /// It cannot, or another kind of file would be lost.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let unwritable = |error| Error::Unwritable(path.to_owned(), error);
        let there = fs::metadata(path).ok();
        if let Some(there) = &there
            && !there.is_file()
        {
            // A device or a pipe: there is nothing to lose or to replace.
            let file = OpenOptions::new().write(true).open(path).map_err(unwritable)?;
            return Ok(Self { path: path.to_owned(), file, beside: None });
        }
        if there.is_some() && !is_page(path).map_err(unwritable)? {
            return Err(Error::NoPage(path.to_owned()));
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let beside = path.with_file_name(name);
        let file =
            OpenOptions::new().write(true).create_new(true).open(&beside).map_err(unwritable)?;
        Ok(Self { path: path.to_owned(), file, beside: Some(beside) })
    }

    /// Writes it.
    ///
    /// # Errors
    ///
    /// The disk is full or fails; what was there before still is.
    pub fn write(mut self, page: &str) -> Result<(), Error> {
        let unwritable = |error| Error::Unwritable(self.path.clone(), error);
        self.file.write_all(page.as_bytes()).map_err(unwritable)?;
        if let Some(beside) = self.beside.as_deref() {
            fs::rename(beside, &self.path).map_err(unwritable)?;
        }
        self.beside = None;
        Ok(())
    }
}

impl Drop for PageFile {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _ = fs::remove_file(beside);
        }
    }
}

/// Whether a file begins as a page does, or holds nothing.
fn is_page(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(DOCTYPE.len() as u64).read_to_end(&mut start)?;
    Ok(start.is_empty() || start == DOCTYPE.as_bytes())
}
