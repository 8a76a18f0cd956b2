//! A report as text: at any width, in Unicode or ASCII, without colour.

mod bars;
mod chart;
mod table;

use super::Report;
use super::flows::Flows;
use super::run::Run;
use super::words;
use crate::text::format::{Unit, count, wrapped};

/// How text may look.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether it shows more than ASCII.
    pub unicode: bool,
}

/// Narrower makes no plot.
const NARROWEST: usize = 40;
/// Wider makes plots no clearer.
const WIDEST: usize = 250;

impl Style {
    /// A terminal of this width, or of the usual one, that shows more than
    /// ASCII or not.
    pub fn new(width: Option<usize>, unicode: bool) -> Self {
        Self { width: width.unwrap_or(80).clamp(NARROWEST, WIDEST), unicode }
    }
}

/// The whole report.
pub fn text(report: &Report, style: Style) -> String {
    let runs = &report.runs;
    let mut text = String::new();
    match runs.as_slice() {
        [run] => summary(&mut text, run),
        _ => text.push_str(&table::text(runs, style)),
    }
    for note in report.notes() {
        put!(text, "note: {note}\n");
    }
    for run in runs {
        let told = report.told(run);
        if told.is_empty() {
            continue;
        }
        if runs.len() > 1 {
            put!(text, "\n{}:\n", run.label);
        }
        text.extend(told.iter().map(|sentence| wrapped(sentence, style.width)));
    }
    for run in runs.iter().filter(|run| !run.figures.flows.0.is_empty()) {
        text.push_str(&flows(run));
    }
    if !report.together.is_empty() {
        text.push('\n');
    }
    for together in &report.together {
        text.push_str(&wrapped(&words::together(together, runs), style.width));
    }
    if let Some(first) = report.differences.first() {
        put!(text, "\ncompared with {}:\n", runs[first.base].label);
    }
    for difference in &report.differences {
        text.extend(difference.told(runs).iter().map(|sentence| wrapped(sentence, style.width)));
    }
    text.push_str(&bars::text(runs, style));
    text.push_str(&bars::throughput(runs, style));
    text.push_str(&chart::text(runs, style));
    text
}

fn flows(run: &Run) -> String {
    let line = |cells: &[String]| {
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        let [flow, packets, lost, median, high, outages] = cells[..] else { return String::new() };
        format!("{flow:>6}{packets:>10}{lost:>8}{median:>13}{high:>13}{outages:>10}\n")
    };
    let (rows, more) = run.figures.flows.rows();
    let mut text = format!("\n{}, by flow:\n", run.label);
    text += &line(&Flows::HEAD.map(str::to_owned));
    text.extend(rows.iter().map(|row| line(row)));
    text.extend(more.map(|more| more + "\n"));
    text
}

fn summary(text: &mut String, run: &Run) {
    let figures = &run.figures;
    *text += &format!("{}\n", run.label);
    if figures.sent() == 0 {
        *text += "no packets\n";
        return;
    }
    let from_to = (words::time(figures.first), words::time(figures.last));
    *text += &format!("{} to {}, {}\n", from_to.0, from_to.1, words::span(figures.nanos()));
    *text += &format!(
        "{}, {} received, {} lost ({:.3}% loss)\n",
        count(figures.sent(), "packet"),
        figures.rtts.count(),
        figures.lost,
        figures.loss_percent(),
    );
    rtts(text, run);
    if let Some(again) = figures.retransmitted {
        *text += &format!("{} with a segment sent again\n", count(again, "packet"));
    }
    outages(text, run);
}

#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
fn rtts(text: &mut String, run: &Run) {
    let rtts = &run.figures.rtts;
    let Some(max) = rtts.max() else { return };
    let unit = Unit::for_largest(max);
    let name = unit.name();
    let min = rtts.min().map(|min| min as f64);
    let moments = unit.numbers(&[min, rtts.mean(), Some(max as f64), rtts.stddev()]);
    *text += &format!("rtt min/avg/max/stddev = {moments} {name}\n");
    let percentiles =
        [50.0, 90.0, 99.0, 99.9].map(|percent| run.figures.percentile(percent).map(|p| p as f64));
    let percentiles = unit.numbers(&percentiles);
    let jitter = unit.numbers(&[run.figures.jitter.mean()]);
    *text += &format!("rtt p50/p90/p99/p99.9 = {percentiles} {name}, jitter {jitter} {name}\n");
}

/// The longest are listed.
const LISTED: usize = 5;

fn outages(text: &mut String, run: &Run) {
    let outages = &run.figures.outages;
    if outages.count() == 0 {
        return;
    }
    let total = words::span(outages.nanos());
    *text += &format!("{}, {total} in all", count(outages.count(), "outage"));
    *text += if outages.count() > 1 { "; the longest:\n" } else { ":\n" };
    for outage in outages.longest().iter().take(LISTED) {
        *text += &format!(
            "  {} for {}, {} lost\n",
            words::time(outage.start),
            words::span(outage.nanos()),
            count(outage.packets, "packet"),
        );
    }
}

/// A text cut or filled to a width, flush left.
fn fitted(text: &str, width: usize) -> String {
    let mut fitted: String = text.chars().take(width).collect();
    let length = fitted.chars().count();
    fitted.extend(std::iter::repeat_n(' ', width - length));
    fitted
}
