//! Closed files of a run, packed by a command of the user's, one after another and
//! beside everything else.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::outflow::Outflow;
use crate::os::command;

/// Bytes of names that wait for a command that takes its time: thousands.
const MAX_WAITING: usize = 1 << 20;
/// What is still being packed so long after the end of a run goes on without it.
const PATIENCE: Duration = Duration::from_secs(10);

/// See the module's text.
#[derive(Debug)]
pub struct Compressor(Outflow);

impl Compressor {
    /// Files are given to this command as its last word; blanks part the others.
    ///
    /// # Errors
    ///
    /// The kernel gives no thread.
    pub fn start(command: String) -> io::Result<Self> {
        let work = move |lines: &[u8]| {
            for line in lines.split(|&byte| byte == b'\n') {
                match str::from_utf8(line).unwrap_or_default().split_at_checked(1) {
                    Some(("+", path)) => pack(&command, path),
                    Some((_, path)) => remove(path),
                    None => {}
                }
            }
            Ok(())
        };
        Outflow::start("compress", MAX_WAITING, work).map(Self)
    }

    /// The command is to pack this file.
    pub(super) fn pack(&self, path: &Path) {
        self.0.push(format!("+{}\n", path.display()).as_bytes());
    }

    /// This file is to go, packed or not, when what came before it is done.
    pub(super) fn remove(&self, path: &Path) {
        self.0.push(format!("-{}\n", path.display()).as_bytes());
    }

    /// No further file comes: waits for a while.
    pub(super) fn close(&self) {
        let account = self.0.close(PATIENCE);
        let undone = account.refused + account.lost;
        if undone > 0 {
            log::warn!("--compress: {undone} files are left as they are, or being packed");
        }
    }
}

fn pack(command: &str, path: &str) {
    let problem = match command::run(command.split_whitespace().chain([path])) {
        Ok(0) => return,
        Ok(status) => format!("exit status {status}"),
        Err(error) => error.to_string(),
    };
    log::error!("--compress: {command} {path}: {problem}; the file stays as it is");
}

/// What commands that pack put behind the name of what they have packed.
const ENDINGS: [&str; 7] = ["", ".gz", ".zst", ".xz", ".bz2", ".lz4", ".br"];

/// Removes a file under its own name and under what a command made of that.
fn remove(path: &str) {
    for ending in ENDINGS {
        // Whoever moved it away keeps it.
        let _ = fs::remove_file(format!("{path}{ending}"));
    }
}
