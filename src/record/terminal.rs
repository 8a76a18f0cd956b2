//! What a person at a terminal, or a pipe's reader, sees of a run.

use std::io::{self, IsTerminal};
use std::time::Duration;

use super::live::{Foot, Live, MOMENT, REDRAW};
use super::{Run, screen, text};
use crate::clock::{Anchor, Mono, nanos};
use crate::os::signals::{self, Signal};
use crate::probe::{Gone, Notice, Sample, Sink, Tally};
use crate::text::timestamp::Stamper;

/// Up to this rate every packet has its line.
const SHORTEST_FOR_LINES: Duration = Duration::from_millis(100);

/// Prints a header, the packets of a slow run or the status of a fast one,
/// and the summary.
pub struct TerminalSink {
    run: Run,
    stamper: Stamper,
    every_packet: bool,
    /// The status line's figures, where there is one.
    live: Option<Live>,
    redraw_at: Mono,
    foot: Foot,
}

impl TerminalSink {
    /// Prints the header; where `quiet`, nothing but the summary.
    pub fn new(run: Run, quiet: bool) -> Self {
        let slow = run.frequency >= SHORTEST_FOR_LINES && run.flows <= 1;
        let every_packet = slow && !quiet;
        if !quiet {
            // A reader that has gone is noticed at the first packet.
            let _ = screen::say(&(text::header(&run) + "\n"));
        }
        let live = Live::of_targets(1, slow || quiet).and_then(|mut lives| lives.pop());
        let redraw_at = if live.is_some() { Mono(0) } else { Mono::NEVER };
        Self { run, stamper: Stamper::new(), every_packet, live, redraw_at, foot: Foot::default() }
    }
}

/// Where a key was pressed that the terminal shows as ^C, what follows begins on a
/// line of its own.
pub(super) fn new_line() {
    if io::stdout().is_terminal() {
        let _ = screen::say("\n");
        screen::settle(MOMENT);
    }
}

/// Whether somebody has pressed Ctrl-C.
pub(super) fn was_interrupted() -> bool {
    signals::seen(Signal::Interrupt) > 0
}

/// Whether the terminal shows more than ASCII, as its locale says.
pub fn speaks_unicode() -> bool {
    let named = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(named);
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// The lines that nobody read in time, where there are some, and the summary.
pub(super) fn closing(summary: &str) -> String {
    match screen::not_shown() {
        0 => summary.to_owned(),
        1 => format!("1 line was not shown: nobody read it\n{summary}"),
        lines => format!("{lines} lines were not shown: nobody read them\n{summary}"),
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
        screen::say(&format!("{time} {}\n", text::sample(sample, self.run.size)))
    }

    fn notice(&mut self, _notice: &Notice, _anchor: &Anchor) -> Result<(), Gone> {
        self.foot.clear();
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
        self.foot.draw(&[live.line(None, tally)])
    }

    fn aside(&mut self) {
        if !self.foot.clear() {
            new_line();
        }
    }

    fn finish(&mut self, tally: &Tally, _anchor: &Anchor) {
        if !self.foot.clear() && was_interrupted() {
            new_line();
        }
        screen::result(closing(&text::summary(&self.run, tally, 0)));
    }
}
