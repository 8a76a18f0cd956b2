//! A file that only ever holds whole rows, whatever ends the program and
//! however full the disk is.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Rows kept in memory while the disk takes none; older ones stay, newer ones
/// are counted as missing.
const MAX_BACKLOG: usize = 64 * 1024;

/// Takes blocks of whole rows and writes each in one go. A block that only
/// fits in part is taken back. Trouble is reported once and never ends a run.
#[derive(Debug)]
pub struct RowFile {
    file: File,
    path: PathBuf,
    /// Bytes of whole rows in the file.
    length: u64,
    /// Rows that the file has not taken yet.
    backlog: Vec<u8>,
    missing: u64,
    failing: bool,
}

impl RowFile {
    /// Writes to a file that was just created.
    pub fn new(file: File, path: PathBuf) -> Self {
        Self { file, path, length: 0, backlog: Vec::new(), missing: 0, failing: false }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tries to write everything that waits.
    pub fn sync(&mut self) {
        if self.backlog.is_empty() {
            return;
        }
        match self.file.write_all_at(&self.backlog, self.length) {
            Ok(()) => {
                self.length += u64::try_from(self.backlog.len()).unwrap_or(0);
                self.backlog.clear();
                if std::mem::take(&mut self.failing) {
                    log::warn!(
                        "{}: writing again, {} rows are missing",
                        self.path.display(),
                        self.missing
                    );
                }
            }
            Err(error) => self.take_back(&error),
        }
    }

    fn take_back(&mut self, error: &io::Error) {
        // Where even this fails, the next block overwrites the cut row.
        let _ = self.file.set_len(self.length);
        if !std::mem::replace(&mut self.failing, true) {
            log::error!(
                "{}: {error}; measuring goes on, rows are written again when there is room",
                self.path.display()
            );
        }
    }
}

impl Drop for RowFile {
    /// Writes what is left, and says what never could be.
    fn drop(&mut self) {
        self.sync();
        let missing = self.missing + lines(&self.backlog);
        if missing > 0 {
            log::error!("{}: {missing} rows could not be written", self.path.display());
        }
    }
}

impl Write for RowFile {
    /// Takes a block of whole rows. Never fails.
    fn write(&mut self, rows: &[u8]) -> io::Result<usize> {
        if self.backlog.len() + rows.len() > 2 * MAX_BACKLOG {
            self.missing += lines(rows);
        } else {
            self.backlog.extend_from_slice(rows);
        }
        self.sync();
        Ok(rows.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sync();
        Ok(())
    }
}

fn lines(rows: &[u8]) -> u64 {
    rows.split(|&byte| byte == b'\n').skip(1).map(|_| 1).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_takes_nothing_costs_rows_and_nothing_else() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let mut rows = RowFile::new(full, PathBuf::from("/dev/full"));
        for _ in 0..40_000 {
            rows.write_all(b"1,2,3,4,5\n").unwrap();
        }
        assert!(rows.backlog.len() <= 2 * MAX_BACKLOG, "{}", rows.backlog.len());
        assert!(rows.missing > 20_000, "{}", rows.missing);
        assert!(rows.failing);
    }
}
