//! The time line: a column for each span of time, filled up to its p50, its
//! p99 and its maximum.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "heights of columns"
)]

use super::{Style, fitted};
use crate::report::axis::Axis;
use crate::report::facts;
use crate::report::run::Run;
use crate::report::timeline::{Span, Spans};
use crate::report::words;

/// Lines of the chart of a single run, and of each of several.
const TALL: usize = 12;
const LOW: usize = 6;
/// The column of values at the axis, and the axis.
const VALUES: usize = 9;
/// Packets that a span should hold, so that its percentiles say something.
const PER_SPAN: u64 = 2;

struct Glyphs {
    median: char,
    p99: char,
    max: char,
    axis: char,
}

const UNICODE: Glyphs = Glyphs { median: '█', p99: '▒', max: '░', axis: '│' };
const ASCII: Glyphs = Glyphs { median: '#', p99: '+', max: '.', axis: '|' };

pub(super) fn text(runs: &[Run], style: Style) -> String {
    let low = runs.iter().filter_map(|run| run.figures.rtts.min()).min();
    let high = runs.iter().filter_map(|run| run.figures.rtts.max()).max();
    let (Some(low), Some(high)) = (low, high) else { return String::new() };
    let axis = Axis::new(low, high);
    let glyphs = if style.unicode { UNICODE } else { ASCII };
    let scale = if axis.is_logarithmic() { ", logarithmic" } else { "" };
    let Glyphs { median, p99, max, .. } = glyphs;
    let mut text = format!(
        "\ntime line, {}{scale}: {median} up to p50, {p99} up to p99, {max} up to max\n",
        facts::unit(runs).name()
    );
    let height = if runs.len() > 1 { LOW } else { TALL };
    for run in runs.iter().filter(|run| run.figures.sent() > 0) {
        if runs.len() > 1 {
            put!(text, "{}\n", run.label);
        }
        let drawing = Drawing::new(run, style.width - VALUES - 1);
        drawing.chart(&mut text, &axis, height, &glyphs, runs);
        drawing.losses(&mut text, run);
        drawing.changes(&mut text, run);
        drawing.times(&mut text, run, style);
    }
    text
}

/// The time line of one run, as wide as there is room.
struct Drawing {
    timeline: Spans,
    /// Characters for each span.
    wide: usize,
}

impl Drawing {
    fn new(run: &Run, room: usize) -> Self {
        let useful = usize::try_from(run.figures.sent() / PER_SPAN).unwrap_or(usize::MAX);
        let timeline = run.figures.timeline.at_most(room.min(useful.max(1)));
        let wide = room / timeline.spans.len().max(1);
        Self { timeline, wide: wide.max(1) }
    }

    /// A line with a character for each span.
    fn line(&self, glyph: impl Fn(&Span) -> char) -> String {
        let spans = self.timeline.spans.iter();
        let line: String =
            spans.flat_map(|span| std::iter::repeat_n(glyph(span), self.wide)).collect();
        line.trim_end().to_owned()
    }

    fn chart(&self, text: &mut String, axis: &Axis, height: usize, glyphs: &Glyphs, runs: &[Run]) {
        let unit = facts::unit(runs);
        let ticks = axis.ticks(height / 3);
        for line in (0..height).rev() {
            let row = |tick: &&f64| (axis.place(**tick) * height as f64) as usize;
            let row = |tick: &&f64| row(tick).min(height - 1) == line;
            let value = ticks.iter().find(row).map_or("".into(), |tick| unit.number(*tick));
            let filled = |nanos: Option<u64>| {
                nanos.is_some_and(|nanos| {
                    line == 0 || axis.place(nanos as f64) * height as f64 >= line as f64 + 0.5
                })
            };
            let glyph = |span: &Span| {
                if filled(span.p50) {
                    glyphs.median
                } else if filled(span.p99) {
                    glyphs.p99
                } else if filled(span.max) {
                    glyphs.max
                } else {
                    ' '
                }
            };
            let drawn = self.line(glyph);
            *text += &format!("{value:>VALUES$}{}{drawn}\n", glyphs.axis);
        }
    }

    fn losses(&self, text: &mut String, run: &Run) {
        if run.figures.lost == 0 {
            return;
        }
        let marks = self.line(|span| match (span.outage, span.lost) {
            (true, _) => 'X',
            (false, 0) => ' ',
            (false, _) => 'x',
        });
        *text += &format!("{} {marks}\n", fitted("x lost", VALUES));
        if run.figures.outages.count() > 0 {
            *text += "X outage\n";
        }
    }

    /// Where a level or the loss rate moved.
    fn changes(&self, text: &mut String, run: &Run) {
        let Spans { start, width, spans } = &self.timeline;
        let mut marks = vec![' '; spans.len() * self.wide];
        for shift in &run.figures.shifts {
            let place = shift.at.saturating_sub(*start) / (*width).max(1) * self.wide as u64;
            if let Some(mark) = usize::try_from(place).ok().and_then(|at| marks.get_mut(at)) {
                *mark = '^';
            }
        }
        let marks: String = marks.iter().collect();
        if marks.contains('^') {
            *text += &format!("{} {}\n", fitted("^ change", VALUES), marks.trim_end());
        }
    }

    fn times(&self, text: &mut String, run: &Run, style: Style) {
        let figures = &run.figures;
        let from = words::time_to_the_second(figures.first);
        let whole = words::span(figures.nanos());
        let each = words::span(self.timeline.width / self.wide as u64);
        let parts = [format!("{from} and {whole} on,"), format!("{each} a column")];
        let line = parts.join(" ");
        if VALUES + 1 + line.len() <= style.width {
            *text += &format!("{:VALUES$} {line}\n", "");
        } else {
            for part in &parts {
                *text += &format!("{part}\n");
            }
        }
    }
}
