//! The last minute of a fast run, in one line of a terminal.

use std::collections::VecDeque;

use crate::probe::Tally;
use crate::stats::Histogram;
use crate::text::format::{Unit, count};

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

    /// The line: packets and loss of the whole run, the last minute's
    /// percentiles, and the medians of the last seconds as a sparkline, the
    /// lowest to the highest of them. Cut to `columns`.
    #[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
    pub fn line(&self, tally: &Tally, columns: usize) -> String {
        let minute = Histogram::sum(&self.slices);
        let unit = Unit::for_largest(minute.percentile(99.0).unwrap_or(0));
        let figures = [50.0, 99.0].map(|p| minute.percentile(p).map(|v| v as f64));
        let sparkline: String = self.sparkline().collect();
        let line = format!(
            "{} sent, {:.1}% loss, last minute p50/p99 {} {} {sparkline}",
            count(tally.sent, "packet"),
            tally.loss_percent().unwrap_or(0.0),
            unit.numbers(&figures),
            unit.name(),
        );
        line.chars().take(columns).collect()
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
        let shown = live.line(&Tally { sent: 100, lost: 1, ..Tally::default() }, 200);
        let expected = "100 packets sent, 1.0% loss, last minute p50/p99 100.0/200.";
        assert!(shown.starts_with(expected), "{shown}");
        assert!(shown.ends_with("▁▁▁×█"), "{shown}");
        assert_eq!(shown.chars().rev().take_while(|c| BLOCKS.contains(c)).count(), SPARKS);
        assert_eq!(live.line(&Tally::default(), 9).chars().count(), 9);
    }
}
