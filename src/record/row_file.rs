//! A file that only ever holds whole rows, whatever ends the program and
//! however full the disk is.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::outflow::Drain;
use super::rotation::{Limit, Series};
use crate::clock::Mono;
use crate::os::clock;
use crate::os::signals::{self, Signal};

/// Bytes of rows kept while the disk fails; older ones stay, newer ones are
/// counted as missing. An hour of one packet a second.
const MAX_BACKLOG: usize = 256 * 1024;
/// A disk that failed is tried again at least this often.
const RETRY: Duration = Duration::from_secs(1);

/// Whether a file gives way to others in the course of a run.
#[derive(Debug, Clone)]
pub enum Turn {
    /// It stays.
    Never,
    /// It says when.
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
    missing: u64,
    failing: bool,
    turn: Turn,
    /// Bytes that it has, and since when it is written.
    length: u64,
    since: Mono,
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
            missing: 0,
            failing: false,
            turn: Turn::Never,
            length: 0,
            since: clock::now(),
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
    /// the file away.
    fn reopen(&mut self) {
        let asked = signals::seen(Signal::Reopen);
        if std::mem::replace(&mut self.asked, asked) == asked {
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
        (self.file, self.length, self.since) = (file, length, clock::now());
        if let Some(header) = self.header.as_ref().filter(|_| length == 0) {
            self.backlog.splice(0..0, header.iter().copied());
        }
    }

    /// Begins the next file of the series if it is time, and everything that came
    /// before is in this one; `row` bytes are about to come.
    fn take_turn(&mut self, row: usize) {
        let begun = match &self.turn {
            Turn::Follows(series) => series.log(),
            Turn::Leads(series) if self.backlog.is_empty() && self.is_full(series, row) => {
                match series.begin() {
                    Ok(begun) => Some(begun),
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

    fn is_full(&self, series: &Series, row: usize) -> bool {
        let header = self.header.as_ref().map_or(0, Vec::len);
        // A row that is longer than the limit has a file of its own.
        if self.length <= as_length(header) {
            return false;
        }
        match series.rule.limit {
            Limit::Bytes(most) => {
                self.length + as_length(row) > most && clock::now() >= self.not_before
            }
            Limit::Age(most) => clock::now() >= (self.since + most).max(self.not_before),
        }
    }

    /// Bytes of whole rows that fit before the next turn, of one row at least.
    fn fitting(&self, rows: &[u8]) -> usize {
        let Turn::Leads(series) = &self.turn else { return rows.len() };
        let Limit::Bytes(most) = series.rule.limit else { return rows.len() };
        let room = most.saturating_sub(self.length + as_length(self.backlog.len()));
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(rows.len());
        let whole = rows[..room].iter().rposition(|&byte| byte == b'\n').map(|end| end + 1);
        whole.unwrap_or_else(|| first_row(rows))
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
                    Ok(count) => {
                        written += count;
                        self.length += as_length(count);
                    }
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
            let whole = now.len().saturating_sub(cut);
            if self.file.set_len(whole).is_ok() {
                self.length = whole;
            }
        }
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
        let mut rest = rows;
        while !rest.is_empty() {
            self.take_turn(first_row(rest));
            let (now, later) = rest.split_at(self.fitting(rest));
            self.take(now);
            rest = later;
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
        let missing = self.missing + lines(&self.backlog);
        if missing > 0 {
            log::error!("{}: {missing} rows could not be written", self.path.display());
        }
        missing
    }
}

/// Bytes of the first row.
fn first_row(rows: &[u8]) -> usize {
    rows.iter().position(|&byte| byte == b'\n').map_or(rows.len(), |end| end + 1)
}

fn as_length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
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
