//! Files that are not plain ones.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a plain file for reading and writing, or makes it; never what a link leads
/// to.
///
/// # Errors
///
/// What the system says.
pub fn open_own(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// Opens what stands at `path` for writing, and empties it if it is a plain file.
/// Never makes one, and never waits: nothing where a pipe has no reader.
///
/// # Errors
///
/// What the system says.
pub fn open_in_place(path: &Path) -> io::Result<Option<File>> {
    let plain = fs::metadata(path)?.is_file();
    let mut options = File::options();
    options.write(true).truncate(plain).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    match options.open(path) {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        opened => opened.map(Some),
    }
}
