//! The log beside the CSV: settings, connections, drops, findings, summary.

use std::io;
use std::time::Duration;

use super::Run;
use super::outflow::Outflow;
use super::row_file::RowFile;
use super::text;
use crate::clock::{Anchor, Wall};
use crate::probe::{Gone, Notice, Outcome, Sample, Sink, Tally};
use crate::text::timestamp::Stamper;

/// Bytes of lines that wait while a disk is slow.
const MAX_WAITING: usize = 1 << 20;
/// A disk that takes nothing for so long at the end of a run is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes a run's log; every packet too where `verbose`.
pub struct LogFileSink {
    file: Outflow,
    stamper: Stamper,
    run: Run,
    verbose: bool,
}

impl LogFileSink {
    /// Writes the run's settings to a new file.
    /// `header` says what is about to be done.
    ///
    /// # Errors
    ///
    /// The kernel gives no thread.
    pub fn new(file: RowFile, run: Run, header: &str, verbose: bool) -> io::Result<Self> {
        let mut stamper = Stamper::new();
        let stamp = stamper.stamp(run.start).to_owned();
        let name = format!("echotest {} {}", env!("CARGO_PKG_VERSION"), run.command);
        let connected = run.local.map(|local| format!("connected from {local} to {}", run.address));
        let lines = [name].into_iter().chain(run.manifest.lines());
        let lines = lines.chain([header.to_owned()]).chain(connected);
        let head: String = lines.map(|text| line(&stamp, "INFO", &text)).collect();
        let file = Outflow::start("log", MAX_WAITING, file.with_header(head.as_bytes()))?;
        file.push(head.as_bytes());
        Ok(Self { file, stamper, run, verbose })
    }

    /// Writes a line of its own.
    pub fn line(&mut self, at: Wall, level: &str, text: &str) {
        let line = line(self.stamper.stamp(at), level, text);
        // The file reports its own troubles.
        self.file.push(line.as_bytes());
    }

    /// Nothing more is logged: gives how many lines were lost.
    pub fn close(&mut self) -> u64 {
        let account = self.file.close(PATIENCE);
        account.refused + account.lost
    }
}

fn line(stamp: &str, level: &str, text: &str) -> String {
    format!("{stamp} {level:5} {text}\n")
}

/// How bad it is, as log levels name it.
fn level(notice: &Notice) -> &'static str {
    match notice {
        Notice::Down { .. } => "ERROR",
        Notice::Up { .. } | Notice::PathBack { .. } => "INFO",
        Notice::Attempt { .. } => "DEBUG",
        _ => "WARN",
    }
}

impl Sink for LogFileSink {
    fn sample(&mut self, sample: &Sample, anchor: &Anchor) -> Result<(), Gone> {
        let slow = sample.explained.is_some_and(|explained| !explained.held_up);
        if self.verbose || slow || sample.outcome == Outcome::Corrupt {
            let text = text::sample(sample, self.run.size);
            self.line(anchor.wall(sample.last_seen()), "INFO", &text);
        }
        Ok(())
    }

    fn notice(&mut self, notice: &Notice, anchor: &Anchor) -> Result<(), Gone> {
        let at = anchor.wall(notice.at());
        self.line(at, level(notice), &text::notice(notice));
        Ok(())
    }

    fn finish(&mut self, tally: &Tally, anchor: &Anchor) {
        let end = anchor.wall(tally.end);
        for line in text::summary(&self.run, tally, 0).lines() {
            self.line(end, "INFO", line);
        }
    }

    fn close(&mut self) -> u64 {
        Self::close(self)
    }
}
