//! The three drawings: time line, histogram, cumulative distribution.
#![allow(clippy::cast_precision_loss, reason = "places on a drawing")]

use super::svg::{Plot, colour, stroke};
use crate::report::axis::{Axis, round_up};
use crate::report::histogram::Bins;
use crate::report::run::Run;
use crate::report::timeline::{SHOWN, Span};
use crate::report::{facts, words};
use crate::text::format::Unit;

const TIMELINE: f64 = 240.0;
const HISTOGRAM: f64 = 260.0;
const DISTRIBUTION: f64 = 300.0;
const BINS: usize = 60;
/// Packets that a span of time should hold.
const PER_SPAN: u64 = 2;
/// Height of the strip of losses.
const STRIP: f64 = 0.03;

/// The axis of all round-trip times; none if there are none.
pub(super) fn axis(runs: &[Run]) -> Option<Axis> {
    let low = runs.iter().filter_map(|run| run.figures.rtts.min()).min()?;
    let high = runs.iter().filter_map(|run| run.figures.rtts.max()).max()?;
    Some(Axis::new(low, high))
}

fn label(unit: Unit, nanos: f64) -> String {
    let number = unit.number(nanos);
    let number = if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.')
    } else {
        &number
    };
    format!("{number} {}", unit.name())
}

/// p50 as a line, from there to p99 as a band, the maximum as a stroke, losses
/// at the foot and outages behind it all.
pub(super) fn timeline(run: &Run, axis: &Axis, unit: Unit) -> String {
    let figures = &run.figures;
    let useful = usize::try_from(figures.sent() / PER_SPAN).unwrap_or(usize::MAX).max(1);
    let timeline = figures.timeline.at_most(useful.min(SHOWN));
    let spans = timeline.spans.len().max(1) as f64;
    let edge = |place: usize| place as f64 / spans;
    let at = |nanos: u64| STRIP + axis.place(nanos as f64) * (1.0 - STRIP);
    let mut plot = Plot::new(TIMELINE, &format!("time line of {}", run.label));
    for (place, span) in timeline.spans.iter().enumerate() {
        if span.outage {
            plot.area((edge(place), 0.0), (edge(place + 1), 1.0), "class=\"outage\"", "");
        }
    }
    for tick in axis.ticks(5) {
        plot.tick_y(STRIP + axis.place(tick) * (1.0 - STRIP), &label(unit, tick));
    }
    let whole = timeline.width as f64 * spans;
    times(&mut plot, whole);
    let mut medians = Vec::new();
    for (place, span) in timeline.spans.iter().enumerate() {
        let (left, right) = (edge(place), edge(place + 1));
        if let (Some(median), Some(p99), Some(max)) = (span.p50, span.p99, span.max) {
            let band = format!("class=\"band\" fill=\"{}\"", colour(0));
            plot.area((left, at(median)), (right, at(p99)), &band, "");
            plot.dash(left, right, at(max), &format!("class=\"max\" stroke=\"{}\"", colour(1)));
            medians.extend([(left, at(median)), (right, at(median))]);
        } else if span.lost > 0 {
            draw_medians(&mut plot, &mut medians);
        }
        if span.lost > 0 {
            plot.area((left, 0.0), (right, STRIP), "class=\"lost\"", "");
        }
    }
    draw_medians(&mut plot, &mut medians);
    for shift in &figures.shifts {
        let place = shift.at.saturating_sub(timeline.start) as f64 / whole.max(1.0);
        plot.area((place, 0.0), (place + 0.002, 1.0), "class=\"change\"", "");
    }
    for (place, span) in timeline.spans.iter().enumerate() {
        if span.received + span.lost > 0 {
            let start = timeline.start + timeline.width * place as u64;
            let says = says(span, start, unit);
            plot.area((edge(place), 0.0), (edge(place + 1), 1.0), "class=\"hover\"", &says);
        }
    }
    plot.finish()
}

/// Where nothing came back the line is interrupted.
fn draw_medians(plot: &mut Plot, medians: &mut Vec<(f64, f64)>) {
    if !medians.is_empty() {
        plot.line(medians, &format!("stroke=\"{}\"", colour(0)));
        medians.clear();
    }
}

fn says(span: &Span, start: u64, unit: Unit) -> String {
    let number = |nanos: Option<u64>| nanos.map_or("-".into(), |n| unit.number(n as f64));
    format!(
        "{}: {} received, {} lost; p50 {}, p99 {}, max {} {}",
        words::time(start),
        span.received,
        span.lost,
        number(span.p50),
        number(span.p99),
        number(span.max),
        unit.name(),
    )
}

/// Time since the start, in a unit that makes the numbers short.
fn times(plot: &mut Plot, nanos: f64) {
    let units =
        [("days", 86_400e9), ("h", 3600e9), ("min", 60e9), ("s", 1e9), ("ms", 1e6), ("us", 1e3)];
    let (name, size) =
        units.into_iter().find(|(_, size)| nanos >= 2.0 * size).unwrap_or(("ns", 1.0));
    let step = round_up(nanos / size / 8.0);
    let ticks = (0..).map(|count| f64::from(count) * step).take_while(|at| at * size <= nanos);
    for at in ticks {
        let digits = format!("{at:.3}");
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        plot.tick_x(at * size / nanos, &format!("{digits} {name}"));
    }
}

/// Round steps upwards from nothing to `most`.
fn rungs(plot: &mut Plot, most: f64, unit: &str) {
    let step = round_up(most / 5.0);
    for tick in (0..).map(|n| f64::from(n) * step).take_while(|tick| *tick <= most) {
        let digits = format!("{tick:.2}");
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        plot.tick_y(tick / most, &format!("{digits} {unit}"));
    }
}

/// Steps of all runs over one another: the share of each run in each bin.
pub(super) fn histogram(runs: &[Run]) -> Option<String> {
    let bins = Bins::new(runs, BINS)?;
    let unit = facts::unit(runs);
    let axis = Axis::between(*bins.edges.first()?, *bins.edges.last()?, bins.logarithmic);
    let at = |place: usize| axis.place(bins.edges[place] as f64);
    let shares: Vec<Vec<f64>> = runs
        .iter()
        .map(|run| {
            let total = run.figures.rtts.count().max(1) as f64;
            bins.counts(&run.figures).iter().map(|n| 100.0 * *n as f64 / total).collect()
        })
        .collect();
    let most = shares.iter().flatten().copied().fold(0.0, f64::max).max(0.001);
    let mut plot = Plot::new(HISTOGRAM, "histogram of round-trip times");
    rungs(&mut plot, most, "%");
    for tick in axis.ticks(6) {
        plot.tick_x(axis.place(tick), &label(unit, tick));
    }
    for (series, shares) in shares.iter().enumerate() {
        if runs.len() == 1 {
            for (bin, share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
                let look = format!("class=\"band\" fill=\"{}\"", colour(series));
                plot.area((at(bin), 0.0), (at(bin + 1), share / most), &look, "");
            }
        }
        let steps = shares.iter().enumerate();
        let steps =
            steps.flat_map(|(bin, share)| [(at(bin), share / most), (at(bin + 1), share / most)]);
        let outline: Vec<(f64, f64)> =
            [(0.0, 0.0)].into_iter().chain(steps).chain([(1.0, 0.0)]).collect();
        plot.line(&outline, &stroke(series));
    }
    Some(plot.finish())
}

/// For each run, the share of its packets that came back within a time.
pub(super) fn distribution(runs: &[Run]) -> Option<String> {
    let axis = axis(runs)?;
    let unit = facts::unit(runs);
    let mut plot = Plot::new(DISTRIBUTION, "cumulative distribution of round-trip times");
    for percent in [0.0, 25.0, 50.0, 75.0, 90.0, 100.0] {
        plot.tick_y(percent / 100.0, &format!("{percent} %"));
    }
    for tick in axis.ticks(8) {
        plot.tick_x(axis.place(tick), &label(unit, tick));
    }
    let percents = (0..100).map(f64::from).chain([99.5, 99.9, 99.95, 99.99, 100.0]);
    let percents: Vec<f64> = percents.collect();
    for (series, run) in runs.iter().enumerate() {
        let rtts = &run.figures.rtts;
        let Some(min) = rtts.min() else { continue };
        let points = percents.iter().filter_map(|&percent| {
            let value = run.figures.percentile(percent)?;
            Some((axis.place(value as f64), percent / 100.0))
        });
        let first = [(0.0, 0.0), (axis.place(min as f64), 0.0)];
        let last = [(1.0, 1.0)];
        let points: Vec<(f64, f64)> = first.into_iter().chain(points).chain(last).collect();
        plot.line(&points, &stroke(series));
    }
    Some(plot.finish())
}

/// Mean throughput over size, a line for each file, with what lies between its
/// smallest and largest; none of a single size.
pub(super) fn throughput(runs: &[Run]) -> Option<String> {
    let all = facts::throughputs(runs);
    let sizes = || all.iter().map(|(_, bytes, _)| *bytes);
    let (smallest, largest) = (sizes().min()?, sizes().max()?);
    let most = all.iter().map(|(.., rates)| rates[2]).fold(0.0, f64::max).max(0.001);
    if smallest == largest {
        return None;
    }
    let axis = Axis::new(smallest, largest);
    let mut plot = Plot::new(HISTOGRAM, "mean throughput over size");
    rungs(&mut plot, most, "Mbit/s");
    for tick in axis.ticks(6) {
        plot.tick_x(axis.place(tick), &format!("{tick} B"));
    }
    for file in 0..=all.last()?.0.file {
        let mut line = Vec::new();
        for (_, bytes, [min, mean, max]) in all.iter().filter(|(run, ..)| run.file == file) {
            let at = axis.place(*bytes as f64);
            let look = format!("class=\"band\" fill=\"{}\"", colour(file));
            plot.area((at - 0.003, min / most), (at + 0.003, max / most), &look, "");
            line.push((at, mean / most));
        }
        line.sort_unstable_by(|one, other| one.0.total_cmp(&other.0));
        plot.line(&line, &stroke(file));
    }
    Some(plot.finish())
}
