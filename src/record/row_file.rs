//! A file that only ever holds whole rows, whatever ends the program and
//! however full the disk is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::outflow::Drain;
use super::rotation::Series;
use crate::clock::Mono;
use crate::os::clock;
use crate::os::signals::{self, Signal};

/// Bytes of rows kept while the disk fails; older ones stay, newer ones are
/// counted as missing. An hour of one packet a second.
const MAX_BACKLOG: usize = 256 * 1024;
/// A disk that failed is tried again at least this often.
const RETRY: Duration = Duration::from_secs(1);

/// Among rows, which never hold it: what follows is for the next file of the series.
pub(super) const TURN: u8 = b'\x0c';

/// Whether a file gives way to others in the course of a run.
#[derive(Debug, Clone)]
pub enum Turn {
    /// It stays.
    Never,
    /// It goes on in the next one at each `TURN`.
    Leads(Arc<Series>),
    /// It follows another.
    Follows(Arc<Series>),
}

/// Takes blocks of whole rows and appends each in one go. Of a block that only
/// fits in part whole rows stay. Trouble is reported once and never ends a run.
#[derive(Debug)]
pub struct RowFile {
    file: File,
    path: PathBuf,
    /// What each file begins with, if it has a header.
    header: Option<Vec<u8>>,
    /// How often it had been asked for a new file when it was opened.
    asked: u32,
    /// Rows that the file has not taken yet.
    backlog: Vec<u8>,
    /// Those that the present file has taken.
    written: u64,
    missing: u64,
    /// It was deleted, which has been said, and there is no other yet.
    is_deleted: bool,
    failing: bool,
    turn: Turn,
    /// The next file is to be begun.
    due: bool,
    /// Before then no new file is tried, as one could not be made.
    not_before: Mono,
}

impl RowFile {
    /// Writes to a file that was just created, and opened to append.
    pub fn new(file: File, path: PathBuf) -> Self {
        let asked = signals::seen(Signal::Reopen);
        Self {
            file,
            path,
            header: None,
            asked,
            backlog: Vec::new(),
            written: 0,
            missing: 0,
            is_deleted: false,
            failing: false,
            turn: Turn::Never,
            due: false,
            not_before: Mono(0),
        }
    }

    /// The same as one of a series.
    #[must_use]
    pub fn taking_turns(self, turn: Turn) -> Self {
        Self { turn, ..self }
    }

    /// The same, where each file begins with this line.
    #[must_use]
    pub fn with_header(self, header: &[u8]) -> Self {
        if let Turn::Follows(series) = &self.turn {
            series.head_logs_with(header);
        }
        Self { header: Some(header.to_vec()), ..self }
    }

    /// After SIGUSR1 the rows go to whatever has the path then: a rotation has moved
    /// the file away. One of a series gives way to the next of it instead.
    fn reopen(&mut self) {
        let asked = signals::seen(Signal::Reopen);
        let is_asked = std::mem::replace(&mut self.asked, asked) != asked;
        if !is_asked || !matches!(self.turn, Turn::Never) {
            return;
        }
        self.sync();
        match OpenOptions::new().append(true).create(true).open(&self.path) {
            Ok(file) => {
                let length = file.metadata().map_or(0, |data| data.len());
                self.go_on_in(file, length);
            }
            Err(error) => log::error!(
                "{}: {error}; it cannot be opened anew, and the old file is written on",
                self.path.display()
            ),
        }
    }

    /// From now on rows go to `file`, which has `length` bytes.
    fn go_on_in(&mut self, file: File, length: u64) {
        self.file = file;
        self.written = 0;
        self.is_deleted = false;
        if let Some(header) = self.header.as_ref().filter(|_| length == 0) {
            self.backlog.splice(0..0, header.iter().copied());
        }
    }

    /// Where somebody has deleted the file, perhaps with its directory, its rows are
    /// gone and the next go to a new one.
    fn find_again(&mut self) {
        // One that follows may have been removed as too old before it has followed.
        let follows = matches!(self.turn, Turn::Follows(_));
        if follows || self.file.metadata().is_ok_and(|data| data.nlink() > 0) {
            return;
        }
        let (path, gone) = (self.path.display(), std::mem::take(&mut self.written));
        self.missing += gone;
        if !std::mem::replace(&mut self.is_deleted, true) {
            log::error!(
                "{path}: it was deleted, with {gone} rows; a new one is begun if it can be"
            );
        }
        let made = self.path.parent().map_or(Ok(()), fs::create_dir_all);
        let options = || OpenOptions::new().append(true).create(true).open(&self.path);
        if let Ok(file) = made.and_then(|()| options()) {
            self.go_on_in(file, 0);
        }
    }

    /// Begins the next file of the series if it is time, and everything that came
    /// before is in this one.
    fn take_turn(&mut self) {
        let begun = match &self.turn {
            Turn::Follows(series) => series.log(),
            Turn::Leads(series)
                if self.due && self.backlog.is_empty() && clock::now() >= self.not_before =>
            {
                match series.begin() {
                    Ok(begun) => {
                        self.due = false;
                        Some(begun)
                    }
                    Err(error) => {
                        log::error!("{error}; the old files are written on");
                        self.not_before = clock::now() + RETRY;
                        return;
                    }
                }
            }
            Turn::Leads(_) | Turn::Never => return,
        };
        if let Some((file, path)) = begun {
            self.path = path;
            let length = file.metadata().map_or(0, |data| data.len());
            self.go_on_in(file, length);
        }
    }

    /// The series that this file leads, if there is one.
    pub(crate) fn series(&self) -> Option<Arc<Series>> {
        match &self.turn {
            Turn::Leads(series) => Some(Arc::clone(series)),
            Turn::Follows(_) | Turn::Never => None,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn take(&mut self, rows: &[u8]) {
        if self.backlog.len() + rows.len() > MAX_BACKLOG && self.failing {
            self.missing += lines(rows);
        } else {
            self.backlog.extend_from_slice(rows);
        }
        self.sync();
    }

    /// Tries to write everything that waits.
    fn sync(&mut self) {
        let mut written = 0;
        let result = loop {
            match self.backlog.get(written..) {
                None | Some([]) => break Ok(()),
                Some(rest) => match self.file.write(rest) {
                    Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                    Ok(count) => written += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => break Err(error),
                },
            }
        };
        match result {
            Ok(()) => self.recovered(),
            Err(error) => self.take_back(written, &error),
        }
    }

    fn recovered(&mut self) {
        self.written += lines(&self.backlog);
        self.backlog.clear();
        if std::mem::take(&mut self.failing) {
            let path = self.path.display();
            log::warn!("{path}: writing again, {} rows are missing", self.missing);
        }
    }

    /// Of `written` bytes the whole rows stay, and the cut one goes again.
    fn take_back(&mut self, written: usize, error: &io::Error) {
        let whole = self.backlog.get(..written).unwrap_or_default();
        let whole = whole.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let cut = u64::try_from(written - whole).unwrap_or(0);
        if cut > 0
            && let Ok(now) = self.file.metadata()
        {
            // Where even this fails, the row is written whole after its piece.
            let _ = self.file.set_len(now.len().saturating_sub(cut));
        }
        self.written += lines(&self.backlog[..whole]);
        self.backlog.drain(..whole);
        if !std::mem::replace(&mut self.failing, true) {
            log::error!(
                "{}: {error}; measuring goes on, rows are written again when there is room",
                self.path.display()
            );
        }
    }
}

impl Drain for RowFile {
    /// Takes a block of whole rows. Never fails: what is lost is counted.
    fn write(&mut self, rows: &[u8]) -> io::Result<()> {
        self.reopen();
        self.find_again();
        for (place, rows) in rows.split(|&byte| byte == TURN).enumerate() {
            self.due |= place > 0;
            self.take_turn();
            self.take(rows);
        }
        Ok(())
    }

    fn idle(&mut self) {
        self.reopen();
        self.sync();
    }

    fn rest(&self) -> Option<Duration> {
        self.failing.then_some(RETRY)
    }

    fn close(&mut self) -> u64 {
        self.sync();
        self.find_again();
        let missing = self.missing + lines(&self.backlog);
        if missing > 0 {
            log::error!("{}: {missing} rows could not be written", self.path.display());
        }
        missing
    }
}

fn lines(rows: &[u8]) -> u64 {
    rows.iter().map(|&byte| u64::from(byte == b'\n')).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_takes_nothing_costs_rows_and_nothing_else() {
        let full = File::options().append(true).open("/dev/full").unwrap();
        let mut rows = RowFile::new(full, PathBuf::from("/dev/full"));
        for _ in 0..40_000 {
            rows.write(b"1,2,3,4,5\n").unwrap();
        }
        assert!(rows.backlog.len() <= MAX_BACKLOG + 10, "{}", rows.backlog.len());
        assert!(rows.missing > 10_000, "{}", rows.missing);
        assert_eq!(rows.close(), 40_000);
    }
}
