//! What a person at a terminal, or a pipe's reader, sees of a run.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use super::format::{Unit, count};
use super::timestamp::Stamper;
use super::{Run, text};
use crate::clock::{Anchor, Mono};
use crate::probe::{Gone, Notice, Sample, Sink, Tally};

/// Up to this rate every packet has its line.
const SHORTEST_FOR_LINES: Duration = Duration::from_millis(100);
/// How often the status line of a fast run is drawn again.
const REDRAW: Duration = Duration::from_secs(1);

/// Prints a header, the packets of a slow run or the status of a fast one,
/// and the summary.
pub struct TerminalSink {
    run: Run,
    stamper: Stamper,
    every_packet: bool,
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
        let redraw_at = if live { Mono(0) } else { Mono::NEVER };
        Self { run, stamper: Stamper::new(), every_packet, redraw_at, drawn: false }
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

    #[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
    fn tick(&mut self, now: Mono, tally: &Tally) -> Result<(), Gone> {
        self.redraw_at = now + REDRAW;
        self.drawn = true;
        let unit = Unit::for_largest(tally.rtt.percentile(99.0).unwrap_or(0));
        let figures = [50.0, 99.0].map(|p| tally.rtt.percentile(p).map(|v| v as f64));
        let line = format!(
            "\r{} sent, {:.1}% loss, rtt p50/p99 {} {}\x1b[K",
            count(tally.sent, "packet"),
            tally.loss_percent().unwrap_or(0.0),
            unit.numbers(&figures),
            unit.name()
        );
        let mut stdout = io::stdout();
        gone(stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()))
    }

    fn finish(&mut self, tally: &Tally, _anchor: &Anchor) {
        self.clear();
        let _ = write!(io::stdout(), "{}", text::summary(&self.run, tally, 0));
    }
}
