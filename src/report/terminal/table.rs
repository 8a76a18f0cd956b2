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
        let labels = runs[part.clone()].iter().map(|run| run.label.as_str());
        text.push_str(&line("", labels));
        for fact in &facts {
            let values = fact.values[part.clone()].iter().map(String::as_str);
            text.push_str(&line(&fact.name, values));
        }
    }
    text
}

fn line<'cell>(name: &str, cells: impl Iterator<Item = &'cell str>) -> String {
    let mut line = fitted(name, NAMES);
    for cell in cells {
        // The end of a label that is too long tells it from its neighbours.
        let surplus = cell.chars().count().saturating_sub(VALUES);
        let cell: String = cell.chars().skip(surplus).collect();
        line += &format!("{:GAP$}{cell:>VALUES$}", "");
    }
    format!("{}\n", line.trim_end())
}
