//! A run's files in pieces: at a size or an age a new pair is begun, and of the
//! run's own pairs the oldest go.
//!
//! The CSV leads: its thread begins the new pair between two rows, and the log's
//! thread takes the new log up with its next line.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::files::{FilesError, create_pair_from};
use crate::os::clock;
use crate::text::timestamp::file_stamp;

/// When a pair of files is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// At so many bytes of CSV.
    Bytes(u64),
    /// At this age.
    Age(Duration),
}

/// When new files are begun, and how many stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// When.
    pub limit: Limit,
    /// Pairs that stay, the present one included; all if not given.
    pub keep: Option<usize>,
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
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Log and CSV, the oldest first.
    pairs: VecDeque<(PathBuf, PathBuf)>,
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
        Self { rule, directory, program: program.to_owned(), end, state }
    }

    /// Begins a new pair, and removes what is too old: the new CSV.
    ///
    /// # Errors
    ///
    /// The path that could not be made, and why; the old pair goes on.
    pub(super) fn begin(&self) -> Result<Opened, FilesError> {
        let stem = format!("{}_{}{}", self.program, file_stamp(clock::wall()), self.end);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let first = if state.last.0 == stem { state.last.1 + 1 } else { 1 };
        let (number, (mut log, csv)) = create_pair_from(&self.directory, &stem, first)?;
        state.last = (stem, number);
        // Where the disk is full, its thread finds out with its own lines.
        let _ = log.0.write_all(&state.header);
        state.pairs.push_back((log.1.clone(), csv.1.clone()));
        state.log = Some(log);
        while self.rule.keep.is_some_and(|keep| state.pairs.len() > keep) {
            for path in state.pairs.pop_front().into_iter().flat_map(<[PathBuf; 2]>::from) {
                // Whoever moved it away keeps it.
                let _ = fs::remove_file(path);
            }
        }
        Ok(csv)
    }

    /// What each further log begins with.
    pub(super) fn head_logs_with(&self, header: &[u8]) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).header = header.to_vec();
    }

    /// The log of a pair that was begun since this was asked last.
    pub(super) fn log(&self) -> Option<Opened> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).log.take()
    }
}
