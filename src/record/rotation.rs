//! A run's files in pieces: at a size or an age a new pair is begun, and of the
//! run's own pairs the oldest go.
//!
//! The CSV leads: who makes its rows says between which two a new pair begins, its
//! thread begins it there, and the log's thread takes the new log up with its next
//! line.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::compress::Compressor;
use super::files::{FilesError, create_pair_from};
use crate::clock::{Mono, Wall, nanos};
use crate::os::clock;
use crate::os::signals::{self, Signal};
use crate::text::timestamp::file_stamp;

/// When a pair of files is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// At so many bytes of CSV.
    Bytes(u64),
    /// At this age.
    Age(Duration),
}

/// When new files are begun, and what becomes of the old ones.
#[derive(Debug, Clone)]
pub struct Rotation {
    /// When.
    pub limit: Limit,
    /// Pairs that stay, the present one included; all if not given.
    pub keep: Option<usize>,
    /// What packs the others.
    pub compressor: Option<Arc<Compressor>>,
}

/// A file and its path.
pub(super) type Opened = (File, PathBuf);

/// The pairs of one run's files, shared by the two that write them.
#[derive(Debug)]
pub struct Series {
    pub(super) rule: Rotation,
    directory: PathBuf,
    /// What their names begin with, and what stands behind the time.
    program: String,
    end: String,
    /// How often it was said that a new pair begins.
    turns: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Log and CSV, the oldest first.
    pairs: VecDeque<(PathBuf, PathBuf)>,
    /// How many before them are gone.
    gone: u64,
    /// The latest log, until its thread takes it.
    log: Option<Opened>,
    /// What each log begins with.
    header: Vec<u8>,
    /// The latest name without a number, and the number that it got: names that are
    /// free again are not taken again.
    last: (String, u32),
}

impl Series {
    /// A series that begins with this pair.
    pub(super) fn new(
        rule: Rotation,
        directory: PathBuf,
        program: &str,
        end: String,
        first: (PathBuf, PathBuf),
    ) -> Self {
        let pairs = VecDeque::from([first]);
        let state = Mutex::new(State { pairs, ..State::default() });
        let turns = AtomicU64::new(0);
        Self { rule, directory, program: program.to_owned(), end, turns, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next row is the first of a new pair.
    pub(super) fn turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// How many pairs were to be begun after the first.
    pub(super) fn turns(&self) -> u64 {
        self.turns.load(Ordering::Relaxed)
    }

    /// The so manieth pair, log and CSV, from 0, if it is begun and not gone. Never
    /// waits for a disk.
    pub(super) fn pair(&self, number: u64) -> Option<(PathBuf, PathBuf)> {
        let state = self.state();
        let place = number.checked_sub(state.gone)?;
        state.pairs.get(usize::try_from(place).ok()?).cloned()
    }

    /// Begins a new pair, and removes what is too old: the new CSV.
    ///
    /// # Errors
    ///
    /// The path that could not be made, and why; the old pair goes on.
    pub(super) fn begin(&self) -> Result<Opened, FilesError> {
        let stem = format!("{}_{}{}", self.program, file_stamp(clock::wall()), self.end);
        let (last, header) = {
            let state = self.state();
            (state.last.clone(), state.header.clone())
        };
        let first = if last.0 == stem { last.1 + 1 } else { 1 };
        let (number, (mut log, csv)) = create_pair_from(&self.directory, &stem, first)?;
        // Where the disk is full, its thread finds out with its own lines.
        let _ = log.0.write_all(&header);
        let mut state = self.state();
        state.last = (stem, number);
        state.pairs.push_back((log.1.clone(), csv.1.clone()));
        state.log = Some(log);
        let mut old = Vec::new();
        while self.rule.keep.is_some_and(|keep| state.pairs.len() > keep) {
            old.extend(state.pairs.pop_front());
            state.gone += 1;
        }
        // The one that was closed just now, unless it goes as well.
        let closed = state.pairs.iter().rev().nth(1).cloned();
        drop(state);
        if let Some(compressor) = &self.rule.compressor {
            each(closed).for_each(|path| compressor.pack(&path));
            each(old).for_each(|path| compressor.remove(&path));
        } else {
            each(old).for_each(|path| {
                // Whoever moved it away keeps it.
                let _ = fs::remove_file(path);
            });
        }
        Ok(csv)
    }

    /// What each further log begins with.
    pub(super) fn head_logs_with(&self, header: &[u8]) {
        self.state().header = header.to_vec();
    }

    /// The log of a pair that was begun since this was asked last.
    pub(super) fn log(&self) -> Option<Opened> {
        self.state().log.take()
    }
}

fn each(pairs: impl IntoIterator<Item = (PathBuf, PathBuf)>) -> impl Iterator<Item = PathBuf> {
    pairs.into_iter().flat_map(<[PathBuf; 2]>::from)
}

/// Says, row by row, when the next pair of a series begins.
pub(super) struct Turns {
    series: Arc<Series>,
    /// Bytes of each file's header, and of the present file in all.
    header: u64,
    length: u64,
    /// When the present file is old enough; none before its first row.
    until: Option<Mono>,
    /// How often new files had been asked for by SIGUSR1.
    asked: u32,
}

impl Turns {
    /// For files that begin with so many bytes.
    pub(super) fn new(series: Arc<Series>, header: usize) -> Self {
        let header = u64::try_from(header).unwrap_or(0);
        let asked = signals::seen(Signal::Reopen);
        Self { series, header, length: header, until: None, asked }
    }

    /// No further pair comes: waits a while for those that are being packed.
    pub(super) fn close(&self) {
        self.series.rule.compressor.iter().for_each(|compressor| compressor.close());
    }

    /// Whether a row of `length` bytes, for a packet sent at `at`, goes to a new file;
    /// it is taken as written.
    pub(super) fn is_due(&mut self, length: usize, at: Mono, wall: Wall) -> bool {
        let length = u64::try_from(length).unwrap_or(0);
        let asked = signals::seen(Signal::Reopen);
        let is_asked = std::mem::replace(&mut self.asked, asked) != asked;
        let is_full = match self.series.rule.limit {
            // A row that is longer than the limit has a file of its own.
            Limit::Bytes(most) => self.length > self.header && self.length + length > most,
            Limit::Age(age) => {
                let old = self.until.is_some_and(|until| at >= until);
                if old || self.until.is_none() {
                    self.until = Some(boundary(age, at, wall));
                }
                old
            }
        };
        let due = is_full || is_asked;
        if due {
            self.series.turn();
            self.length = self.header;
        }
        self.length += length;
        due
    }
}

/// When `wall`, now, is a multiple of `age` next: files of `1d` change at midnight UTC.
fn boundary(age: Duration, now: Mono, wall: Wall) -> Mono {
    let age = nanos(age).max(1);
    let into = u64::try_from(wall.0).unwrap_or(0) % age;
    now + Duration::from_nanos(age - into)
}
