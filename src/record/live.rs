//! The last minute of a run whose packets have no lines, at the foot of a terminal: a
//! line for each target, drawn again each second.

use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::time::Duration;

use super::{flows, screen};
use crate::os::terminal;
use crate::probe::{Gone, Tally};
use crate::stats::Histogram;
use crate::text::format::{Unit, count};

/// The width of a terminal that does not tell it.
const USUAL_COLUMNS: usize = 80;
/// A terminal shows what it was sent long before.
pub(super) const MOMENT: Duration = Duration::from_millis(50);
/// How often the lines are drawn again.
pub(super) const REDRAW: Duration = Duration::from_secs(1);
/// Of a target's name, so that the figures are seen.
const NAME: usize = 24;

/// Seconds that a slice of the last minute holds, and slices.
const SLICE: usize = 10;
const SLICES: usize = 6;
/// Seconds of the sparkline.
const SPARKS: usize = 30;

/// Levels of the sparkline, low to high; then what stands for a second without
/// a reply.
const BLOCKS: [char; 9] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█', '×'];
const ASCII: [char; 9] = ['_', '.', ',', '-', '=', '+', '*', '#', 'x'];

/// Round-trip times of the last minute: by slices of ten seconds, of which the
/// oldest is let go as a new one begins, and the medians of single seconds.
#[derive(Debug)]
pub struct Live {
    slices: VecDeque<Histogram>,
    second: Histogram,
    medians: VecDeque<Option<u64>>,
    seconds: usize,
    levels: &'static [char; 9],
}

impl Live {
    /// One for each of so many targets, where a terminal is there that nobody wants
    /// plain or quiet.
    pub(super) fn of_targets(count: usize, quiet: bool) -> Option<Vec<Self>> {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let wanted = !quiet && !plain && io::stdout().is_terminal();
        wanted.then(|| (0..count).map(|_| Self::new(super::terminal::speaks_unicode())).collect())
    }

    /// With nothing seen yet. Block characters where `unicode`, else ASCII.
    pub fn new(unicode: bool) -> Self {
        Self {
            slices: VecDeque::from([Histogram::new()]),
            second: Histogram::new(),
            medians: VecDeque::with_capacity(SPARKS + 1),
            seconds: 0,
            levels: if unicode { &BLOCKS } else { &ASCII },
        }
    }

    /// Takes in a round-trip time in nanoseconds.
    pub fn record(&mut self, rtt: u64) {
        self.second.record(rtt);
        if let Some(slice) = self.slices.back_mut() {
            slice.record(rtt);
        }
    }

    /// A second is over.
    pub fn turn(&mut self) {
        self.medians.push_back(self.second.percentile(50.0));
        if self.medians.len() > SPARKS {
            self.medians.pop_front();
        }
        self.second = Histogram::new();
        self.seconds += 1;
        if self.seconds.is_multiple_of(SLICE) {
            self.slices.push_back(Histogram::new());
            if self.slices.len() > SLICES {
                self.slices.pop_front();
            }
        }
    }

    /// The line: loss of the whole run, the last minute's percentiles, which flow is
    /// the worst, and the medians of the last seconds as a sparkline, the lowest to
    /// the highest of them. A target among others has its name before it, one alone
    /// its packets.
    #[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
    pub fn line(&self, name: Option<&str>, tally: &Tally) -> String {
        let minute = Histogram::sum(&self.slices);
        let unit = Unit::for_largest(minute.percentile(99.0).unwrap_or(0));
        let figures = [50.0, 99.0].map(|p| minute.percentile(p).map(|v| v as f64));
        let sparkline: String = self.sparkline().collect();
        let (head, span) = match name {
            Some(name) => (format!("{name:<NAME$.NAME$} "), ""),
            None => (format!("{} sent, ", count(tally.sent, "packet")), "last minute "),
        };
        let worst = flows::worst(tally).filter(|_| tally.sent > 0);
        let worst = worst.map(|port| format!(", worst flow {port}"));
        format!(
            "{head}{:.1}% loss, {span}p50/p99 {} {}{} {sparkline}",
            tally.loss_percent().unwrap_or(0.0),
            unit.numbers(&figures),
            unit.name(),
            worst.unwrap_or_default(),
        )
    }

    fn sparkline(&self) -> impl Iterator<Item = char> {
        let known = self.medians.iter().flatten();
        let low = known.clone().min().copied().unwrap_or(0);
        // At least a tenth of the lowest: noise should look flat.
        let high = known.max().copied().unwrap_or(0).max(low + low / 10 + 1);
        self.medians.iter().map(move |median| match median {
            Some(median) => {
                let level = (median - low) * 7 / (high - low);
                self.levels[usize::try_from(level).unwrap_or(7).min(7)]
            }
            None => self.levels[8],
        })
    }
}

/// What stands at the foot of the terminal.
#[derive(Debug, Default)]
pub(super) struct Foot {
    /// Lines; the cursor is at the end of the last.
    lines: usize,
}

impl Foot {
    /// To the beginning of the first line.
    fn back(&self) -> String {
        match self.lines {
            0 | 1 => "\r".to_owned(),
            lines => format!("\r\x1b[{}A", lines - 1),
        }
    }

    /// Draws these lines over those that stand there, cut to the terminal's width.
    pub(super) fn draw(&mut self, lines: &[String]) -> Result<(), Gone> {
        // One column stays free: in the last one some terminals wrap.
        let columns = terminal::columns(io::stdout().as_fd()).unwrap_or(USUAL_COLUMNS) - 1;
        let mut text = self.back();
        for (place, line) in lines.iter().enumerate() {
            text.push_str(if place > 0 { "\n" } else { "" });
            text.extend(line.chars().take(columns));
            text.push_str("\x1b[K");
        }
        self.lines = lines.len();
        screen::say(&text)
    }

    /// Takes them away, so that something else can be printed. Whether there were any.
    pub(super) fn clear(&mut self) -> bool {
        let back = self.back();
        let lines = std::mem::take(&mut self.lines);
        let drawn = lines > 0;
        if drawn {
            // Of one line nothing is below.
            let _ = screen::say(&(back + if lines > 1 { "\x1b[J" } else { "\x1b[K" }));
            // What comes next may go to standard error of the same terminal.
            screen::settle(MOMENT);
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_holds_the_last_minute_and_a_mark_for_a_silent_second() {
        let mut live = Live::new(true);
        for now in 0..100 {
            let rtt = if now < 30 { 90_000_000 } else { 100_000 };
            if now != 98 {
                live.record(rtt);
            }
            if now == 99 {
                live.record(200_000);
                live.record(200_000);
            }
            live.turn();
        }
        let shown = live.line(None, &Tally { sent: 100, lost: 1, ..Tally::default() });
        let expected = "100 packets sent, 1.0% loss, last minute p50/p99 100.0/200.";
        assert!(shown.starts_with(expected), "{shown}");
        assert!(shown.ends_with("▁▁▁×█"), "{shown}");
        assert_eq!(shown.chars().rev().take_while(|c| BLOCKS.contains(c)).count(), SPARKS);
        let port = |port| Some(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
        let flow = |at, lost| Tally { local: port(at), lost, sent: 9, ..Tally::default() };
        let flows = vec![flow(40_000, 0), flow(40_001, 2)];
        let tally = Tally { flows, sent: 18, lost: 2, ..Tally::default() };
        let shown = live.line(Some("peering.example.com:7007.5"), &tally);
        let expected = "peering.example.com:7007 11.1% loss, p50/p99 100.0/";
        assert!(shown.starts_with(expected), "{shown}");
        assert!(shown.contains(" us, worst flow 40001 ▁"), "{shown}");
    }
}
