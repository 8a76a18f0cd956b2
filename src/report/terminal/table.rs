//! Runs side by side.

use super::{Style, fitted};
use crate::report::facts;
use crate::report::run::Run;

/// The column of names.
const NAMES: usize = 14;
/// A column of values: the widest is a time of day.
const VALUES: usize = 20;
const GAP: usize = 2;

/// One table, in parts below one another if the terminal is too narrow.
pub(super) fn text(runs: &[Run], style: Style) -> String {
    let at_once = (style.width.saturating_sub(NAMES) / (VALUES + GAP)).max(1);
    let facts = facts::table(runs);
    let mut text = String::new();
    for first in (0..runs.len()).step_by(at_once) {
        if first > 0 {
            text.push('\n');
        }
        let part = first..(first + at_once).min(runs.len());
        text.push_str(&head(&runs[part.clone()]));
        for fact in &facts {
            let values = fact.values[part.clone()].iter().cloned();
            text.push_str(&line(&fact.name, values));
        }
    }
    text
}

/// Labels, in as many lines as the longest needs.
fn head(runs: &[Run]) -> String {
    let letters: Vec<Vec<char>> = runs.iter().map(|run| run.label.chars().collect()).collect();
    let lines = letters.iter().map(|label| label.len().div_ceil(VALUES)).max().unwrap_or(0);
    let pieces = |at: usize| {
        letters
            .iter()
            .map(move |label| label.chunks(VALUES).nth(at).unwrap_or_default().iter().collect())
    };
    (0..lines).map(|at| line("", pieces(at))).collect()
}

fn line(name: &str, cells: impl Iterator<Item = String>) -> String {
    let mut line = fitted(name, NAMES);
    for cell in cells {
        put!(line, "{:GAP$}{cell:>VALUES$}", "");
    }
    format!("{}\n", line.trim_end())
}
