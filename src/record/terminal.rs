//! What a person at a terminal, or a pipe's reader, sees of a run.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use super::live::Live;
use super::{Run, text};
use crate::clock::{Anchor, Mono, nanos};
use crate::os::terminal;
use crate::probe::{Gone, Notice, Sample, Sink, Tally};
use crate::text::timestamp::Stamper;

/// Up to this rate every packet has its line.
const SHORTEST_FOR_LINES: Duration = Duration::from_millis(100);
/// The width of a terminal that does not tell it.
const USUAL_COLUMNS: usize = 80;
/// How often the status line of a fast run is drawn again.
const REDRAW: Duration = Duration::from_secs(1);

/// Prints a header, the packets of a slow run or the status of a fast one,
/// and the summary.
pub struct TerminalSink {
    run: Run,
    stamper: Stamper,
    every_packet: bool,
    /// The status line's figures, where there is one.
    live: Option<Live>,
    redraw_at: Mono,
    /// A status line stands on the screen.
    drawn: bool,
}

impl TerminalSink {
    /// Prints the header.
    pub fn new(run: Run) -> Self {
        let every_packet = run.frequency >= SHORTEST_FOR_LINES;
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let live = !every_packet && !plain && io::stdout().is_terminal();
        // A reader that has gone is noticed at the first packet.
        let _ = writeln!(io::stdout(), "{}", text::header(&run));
        let live = live.then(|| Live::new(speaks_unicode()));
        let redraw_at = if live.is_some() { Mono(0) } else { Mono::NEVER };
        Self { run, stamper: Stamper::new(), every_packet, live, redraw_at, drawn: false }
    }

    /// Takes the status line away, so that something else can be printed.
    fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            // At once: what comes next may go to standard error.
            let mut stdout = io::stdout();
            let _ = stdout.write_all(b"\r\x1b[K").and_then(|()| stdout.flush());
        }
    }
}

/// Whether the terminal shows more than ASCII, as its locale says.
pub fn speaks_unicode() -> bool {
    let named = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(named);
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// A reader that has gone ends the run; nothing else that can befall standard
/// output is worth losing measurements for.
pub(super) fn gone(result: io::Result<()>) -> Result<(), Gone> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Gone),
        _ => Ok(()),
    }
}

impl Sink for TerminalSink {
    fn sample(&mut self, sample: &Sample, anchor: &Anchor) -> Result<(), Gone> {
        if let (Some(live), Some(rtt)) = (&mut self.live, sample.rtt()) {
            live.record(nanos(rtt));
        }
        if !self.every_packet {
            return Ok(());
        }
        let time = self.stamper.stamp(anchor.wall(sample.sent));
        gone(writeln!(io::stdout(), "{time} {}", text::sample(sample, self.run.size)))
    }

    fn notice(&mut self, _notice: &Notice, _anchor: &Anchor) -> Result<(), Gone> {
        self.clear();
        Ok(())
    }

    fn deadline(&self) -> Mono {
        self.redraw_at
    }

    fn tick(&mut self, now: Mono, tally: &Tally) -> Result<(), Gone> {
        self.redraw_at = now + REDRAW;
        let Some(live) = &mut self.live else { return Ok(()) };
        // Drawn at once, when no second is over yet.
        if tally.sent > 0 {
            live.turn();
        }
        self.drawn = true;
        let mut stdout = io::stdout();
        // One column stays free: in the last one some terminals wrap.
        let columns = terminal::columns(stdout.as_fd()).unwrap_or(USUAL_COLUMNS) - 1;
        let status = format!("\r{}\x1b[K", live.line(tally, columns));
        gone(stdout.write_all(status.as_bytes()).and_then(|()| stdout.flush()))
    }

    fn finish(&mut self, tally: &Tally, _anchor: &Anchor) {
        self.clear();
        let _ = write!(io::stdout(), "{}", text::summary(&self.run, tally, 0));
    }
}
