//! A line for each stretch of a run, from one rotation of its files to the next: the
//! object of `--json`, appended to `…_daily.jsonl`.

use std::fs::OpenOptions;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::outflow::{Drain, Outflow};
use super::rotation::Series;
use super::row_file::RowFile;
use super::{Run, json};
use crate::clock::{Anchor, Mono};
use crate::os::signals::{self, Signal};
use crate::probe::{Gone, Sample, Sink, Tally};
use crate::text::object::Object;

/// Bytes of lines that wait while a disk is slow: a dozen with as many events as are
/// kept.
const MAX_WAITING: usize = 8 << 20;
/// A disk that takes nothing for so long at the end of a run is given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon a request for new files is seen where no packets come.
const LOOK: Duration = Duration::from_secs(1);

/// The exit status that a run would end with.
type Exit = Box<dyn Fn(&Tally) -> u64 + Send>;

/// See the module's text. Runs whose files stay as they are have no such line.
pub struct DailySink {
    run: Run,
    path: PathBuf,
    series: Option<Arc<Series>>,
    exit: Exit,
    /// Pairs of files begun, and new files asked for by signal, when looked last.
    seen: (u64, u32),
    /// The pair that the present stretch is in.
    pair: u64,
    /// From the first line on.
    file: Option<Outflow>,
    /// The last line, until the exit status is known.
    last: Option<Object>,
    look_at: Mono,
}

impl DailySink {
    /// For this run; `series` is there where its files are rotated.
    pub(crate) fn new(run: Run, series: Option<Arc<Series>>, exit: Exit) -> Option<Self> {
        let (_, csv) = run.files.as_ref()?;
        let stem = csv.to_str()?.strip_suffix("_timings.csv")?;
        let path = PathBuf::from(format!("{stem}_daily.jsonl"));
        let seen = if series.is_some() { 0 } else { signals::seen(Signal::Reopen) };
        let seen = (0, seen);
        let (pair, file, last, look_at) = (0, None, None, Mono(0));
        Some(Self { run, path, series, exit, seen, pair, file, last, look_at })
    }

    fn write(&mut self, object: Object) {
        let start = || Outflow::start("daily", MAX_WAITING, LineFile::new(self.path.clone()));
        let file = match self.file.take().map_or_else(start, Ok) {
            Ok(file) => self.file.insert(file),
            Err(error) => return log::error!("{}: {error}", self.path.display()),
        };
        file.push((object.finish() + "\n").as_bytes());
    }
}

impl Sink for DailySink {
    fn sample(&mut self, _sample: &Sample, _anchor: &Anchor) -> Result<(), Gone> {
        Ok(())
    }

    fn deadline(&self) -> Mono {
        self.look_at
    }

    fn tick(&mut self, now: Mono, _tally: &Tally) -> Result<(), Gone> {
        self.look_at = now + LOOK;
        Ok(())
    }

    fn has_turned(&mut self) -> bool {
        // A series begins a new pair when it is asked for one, with its next row.
        let now = match &self.series {
            Some(series) => (series.turns(), 0),
            None => (0, signals::seen(Signal::Reopen)),
        };
        std::mem::replace(&mut self.seen, now) != now
    }

    fn stretch(&mut self, figures: &Tally, anchor: &Anchor, last: bool) {
        let files = match &self.series {
            Some(series) => series.pair(self.pair),
            None => self.run.files.clone(),
        };
        self.pair = self.seen.0;
        if last && self.series.is_none() && self.file.is_none() {
            return;
        }
        let led_to = figures.flows.first().unwrap_or(figures).addresses.first();
        let address = led_to.unwrap_or(self.run.address);
        let run = Run { start: anchor.wall(figures.start), files, address, ..self.run.clone() };
        let object = json::object(&run, figures);
        if last {
            self.last = Some(object);
        } else {
            self.write(object.whole("exit", None));
        }
    }

    fn finish(&mut self, tally: &Tally, _anchor: &Anchor) {
        if let Some(object) = self.last.take() {
            self.write(object.whole("exit", (self.exit)(tally)));
        }
    }

    fn close(&mut self) -> u64 {
        let account = self.file.take().map(|file| file.close(PATIENCE)).unwrap_or_default();
        account.refused + account.lost
    }
}

/// A file that is opened for each line, made where there is none, and held only while
/// its disk fails.
struct LineFile {
    path: PathBuf,
    rows: Option<RowFile>,
    lost: u64,
}

impl LineFile {
    fn new(path: PathBuf) -> Self {
        Self { path, rows: None, lost: 0 }
    }
}

impl Drain for LineFile {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let open = || OpenOptions::new().append(true).create(true).open(&self.path);
        let opened = self
            .rows
            .take()
            .map_or_else(|| open().map(|file| RowFile::new(file, self.path.clone())), Ok);
        match opened {
            Ok(mut rows) => {
                rows.write(lines)?;
                self.rows = Some(rows).filter(|rows| rows.rest().is_some());
            }
            Err(error) => {
                log::error!("{}: {error}; a line is missing", self.path.display());
                self.lost += 1;
            }
        }
        Ok(())
    }

    fn idle(&mut self) {
        self.rows.iter_mut().for_each(Drain::idle);
    }

    fn rest(&self) -> Option<Duration> {
        self.rows.as_ref()?.rest()
    }

    fn close(&mut self) -> u64 {
        self.lost + self.rows.as_mut().map_or(0, Drain::close)
    }
}
