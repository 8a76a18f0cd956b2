//! The file that names a running server's process.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::os::file::open_own;

/// A pid file that cannot be had.
#[derive(Debug)]
pub(super) enum PidFileError {
    /// A living server holds it.
    Held { path: PathBuf, pid: String },
    /// Something else is there, which must not be lost.
    Other { path: PathBuf },
    /// What the system said.
    Io { path: PathBuf, source: io::Error },
}

impl fmt::Display for PidFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held { path, pid } => write!(
                f,
                "another server (process {pid}) holds {}; stop it, or name another --pid-file",
                path.display()
            ),
            Self::Other { path } => {
                write!(f, "{} holds more than a process's number", path.display())
            }
            Self::Io { path, .. } => write!(f, "cannot write the pid file {}", path.display()),
        }
    }
}

impl std::error::Error for PidFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Held { .. } | Self::Other { .. } => None,
            Self::Io { source, .. } => Some(source),
        }
    }
}

/// Holds this process's number, locked while it lives: a file that a killed
/// server left has no lock and is taken over.
pub(super) struct PidFile {
    path: PathBuf,
    _locked: File,
}

/// Bytes of a pid file that are looked at.
const MOST_DIGITS: u64 = 20;

impl PidFile {
    /// Writes this process's number there.
    ///
    /// # Errors
    ///
    /// A living server holds it, it is no pid file, or it cannot be written.
    pub(super) fn take(path: &Path) -> Result<Self, PidFileError> {
        Self::lock(path).map(|file| Self { path: path.to_owned(), _locked: file })
    }

    fn lock(path: &Path) -> Result<File, PidFileError> {
        let failed = |source| PidFileError::Io { path: path.to_owned(), source };
        let mut file = open_own(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                // Whose file it is, is not known: no more than a number is shown.
                let pid = number_in(&mut file).filter(|pid| !pid.is_empty());
                let pid = pid.unwrap_or_else(|| "unknown".to_owned());
                return Err(PidFileError::Held { path: path.to_owned(), pid });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        if number_in(&mut file).is_none() {
            return Err(PidFileError::Other { path: path.to_owned() });
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(file)
    }
}

/// What the file holds, if that is digits or nothing.
fn number_in(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.take(MOST_DIGITS + 1).read_to_string(&mut text).ok()?;
    let number = text.trim();
    let is_number =
        text.len() as u64 <= MOST_DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| number.to_owned())
}

impl Drop for PidFile {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = fs::remove_file(&self.path);
    }
}
