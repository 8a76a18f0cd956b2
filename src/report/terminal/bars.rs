//! The histogram as bars, runs side by side.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "lengths of bars"
)]

use super::{Style, fitted};
use crate::report::facts;
use crate::report::histogram::Bins;
use crate::report::run::Run;

/// Bins of one histogram.
const BINS: usize = 20;
/// Shorter bars tell nothing.
const SHORTEST: usize = 12;
/// A share: ` 99.99%`.
const SHARE: usize = 8;

/// Eighths of a character.
const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

pub(super) fn text(runs: &[Run], style: Style) -> String {
    let Some(bins) = Bins::new(runs, BINS) else { return String::new() };
    let labels = labels(&bins, runs);
    let edge = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0);
    let room = style.width - edge.min(style.width / 2);
    let at_once = (room / (SHORTEST + SHARE)).clamp(1, runs.len());
    let column = room / at_once;
    let kind = if bins.logarithmic { "each step a ratio" } else { "equal steps" };
    let mut text = format!("\nround-trip times, {kind}, {}:\n", facts::unit(runs).name());
    for part in runs.chunks(at_once) {
        if runs.len() > 1 {
            text.push_str(&" ".repeat(edge));
            for run in part {
                put!(text, " {}", fitted(&run.label, column - 1));
            }
            text.truncate(text.trim_end().len());
            text.push('\n');
        }
        let counts: Vec<Vec<u64>> = part.iter().map(|run| bins.counts(&run.figures)).collect();
        for (bin, label) in labels.iter().enumerate() {
            let mut line = format!("{label:>edge$}");
            for counts in &counts {
                line += &cell(counts, bin, column, style);
            }
            put!(text, "{}\n", line.trim_end());
        }
    }
    text
}

/// The throughput of each series that measured it.
pub(super) fn throughput(runs: &[Run], style: Style) -> String {
    let all = facts::throughputs(runs);
    let most = all.iter().map(|(.., [_, mean, _])| *mean).fold(0.0, f64::max);
    let mut text = String::new();
    for (run, _, [_, mean, _]) in &all {
        if text.is_empty() {
            text += "\nmean throughput, Mbit/s:\n";
        }
        let room = style.width.saturating_sub(SERIES + RATE + 2);
        let bar = fitted(&bar(mean / most * room as f64, style), room);
        put!(text, "{} {bar} {mean:>RATE$.3}\n", fitted(&run.label, SERIES));
    }
    text
}

/// A series; its rate, up to 100 Gbit/s.
const SERIES: usize = 18;
const RATE: usize = 10;

/// Where each bin begins and ends.
fn labels(bins: &Bins, runs: &[Run]) -> Vec<String> {
    let unit = facts::unit(runs);
    let number = |nanos: u64| unit.number(nanos as f64);
    let last = bins.edges.len().saturating_sub(2);
    let label = |(place, edge): (usize, &[u64])| {
        if bins.open && place == last {
            format!("{} and more", number(edge[0]))
        } else {
            format!("{} to {}", number(edge[0]), number(edge[1]))
        }
    };
    bins.edges.windows(2).enumerate().map(label).collect()
}

fn cell(counts: &[u64], bin: usize, column: usize, style: Style) -> String {
    let most = counts.iter().copied().max().unwrap_or(0).max(1);
    let total: u64 = counts.iter().sum();
    let count = counts.get(bin).copied().unwrap_or(0);
    let share = 100.0 * count as f64 / total.max(1) as f64;
    let room = column.saturating_sub(SHARE + 1);
    let bar = fitted(&bar(count as f64 / most as f64 * room as f64, style), room);
    let share = match share {
        0.0 => String::new(),
        small if small < 0.01 => "<0.01%".to_owned(),
        share => format!("{share:.2}%"),
    };
    format!(" {bar}{share:>SHARE$}")
}

/// A bar of a length; one that is not nothing is seen.
fn bar(length: f64, style: Style) -> String {
    if length <= 0.0 {
        return String::new();
    }
    if !style.unicode {
        return "#".repeat((length.round() as usize).max(1));
    }
    let eighths = ((length * 8.0).round() as usize).max(1);
    let mut bar = "█".repeat(eighths / 8);
    if let Some(&end) = (eighths % 8).checked_sub(1).and_then(|rest| EIGHTHS.get(rest)) {
        bar.push(end);
    }
    bar
}
