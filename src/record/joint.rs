//! Several targets on one schedule: one terminal, one JSON object, and what the
//! rounds that they share say of their difference.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::json::{object, with_targets};
use super::live::{Foot, Live, REDRAW};
use super::{Run, flows, held, screen, terminal, text};
use crate::clock::{Anchor, Mono};
use crate::probe::{Gone, Notice, Sample, Sink, Tally};
use crate::stats::paired::{Compared, Paired};
use crate::text::compared;
use crate::text::format::{count, duration_or_dash, wrapped};
use crate::text::object::Object;

/// Packets that wait for those of other targets in the same round, about 64 bytes
/// each; more wait only where one target is late by that many.
const MAX_WAITING: usize = 1 << 16;

/// A sentence is as wide as this at most.
const COLUMNS: usize = 80;
/// Status lines at most: a usual terminal has 24.
const MOST_LINES: usize = 20;

/// A target that was not measured at all, and why.
#[derive(Debug, Clone)]
pub struct Missing {
    /// The host and port as the user gave them.
    pub host: String,
    /// What went wrong.
    pub why: String,
}

/// What one target has told of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Lost,
    Rtt(u64),
}

/// All targets of a run.
pub struct Joint {
    runs: Vec<Run>,
    missing: Vec<Missing>,
    json: bool,
    /// Round-trip times by round and flow, until each target has its own.
    waiting: VecDeque<((u64, u16), Vec<Told>)>,
    /// Each further target against the first.
    paired: Vec<Paired>,
    /// What the further targets say of themselves, the last one first.
    ended: Vec<Ended>,
    /// Each target's figures for its status line, where there are such lines,
    live: Vec<Live>,
    /// and the lines, gathered one by one.
    lines: Vec<String>,
    foot: Foot,
}

/// What a target says of itself.
struct Ended {
    object: Option<Object>,
    row: String,
    summary: String,
}

/// One target's share of it.
pub struct JointSink {
    joint: Arc<Mutex<Joint>>,
    place: usize,
    redraw_at: Mono,
}

impl Joint {
    /// Sinks for these targets; prints their headers unless `json` is wanted, or
    /// `quiet`.
    pub fn sinks(runs: Vec<Run>, missing: Vec<Missing>, json: bool, quiet: bool) -> Vec<JointSink> {
        if !json && !quiet {
            for run in &runs {
                let _ = screen::say(&(text::header(run) + "\n"));
            }
        }
        let count = runs.len();
        let live = Live::of_targets(count, json || quiet).unwrap_or_default();
        let redraw_at = if live.is_empty() { Mono::NEVER } else { Mono(0) };
        let joint = Self {
            ended: Vec::new(),
            live,
            lines: Vec::new(),
            foot: Foot::default(),
            paired: vec![Paired::default(); count.saturating_sub(1)],
            waiting: VecDeque::new(),
            runs,
            missing,
            json,
        };
        let joint = Arc::new(Mutex::new(joint));
        let sink = |place| JointSink { joint: Arc::clone(&joint), place, redraw_at };
        (0..count).map(sink).collect()
    }

    fn sample(&mut self, place: usize, sample: &Sample) {
        let count = self.runs.len();
        if let (Some(live), Some(rtt)) = (self.live.get_mut(place), sample.rtt_nanos()) {
            live.record(rtt);
        }
        let key = (sample.number, sample.flow);
        // Mostly it is one of the latest.
        let near = self.waiting.iter().rposition(|(known, _)| *known <= key);
        let known = near.filter(|round| self.waiting[*round].0 == key);
        let round = known.unwrap_or_else(|| near.map_or(0, |before| before + 1));
        if known.is_none() {
            self.waiting.insert(round, (key, vec![Told::Nothing; count]));
        }
        let told = &mut self.waiting[round].1;
        if let Some(slot) = told.get_mut(place) {
            *slot = sample.rtt_nanos().map_or(Told::Lost, Told::Rtt);
        }
        if told.iter().all(|told| *told != Told::Nothing) {
            self.pair(round);
        } else if self.waiting.len() > MAX_WAITING {
            self.waiting.pop_front();
        }
    }

    /// All targets have told of a round.
    fn pair(&mut self, round: usize) {
        let Some((_, round)) = self.waiting.remove(round) else { return };
        let Some((Told::Rtt(base), others)) = round.split_first() else { return };
        for (paired, other) in self.paired.iter_mut().zip(others) {
            if let Told::Rtt(other) = other {
                paired.record(*base, *other);
            }
        }
    }

    /// A second is over for a target; for the last one, the others have told already.
    fn turn(&mut self, place: usize, tally: &Tally) -> Result<(), Gone> {
        let (Some(live), Some(run)) = (self.live.get_mut(place), self.runs.get(place)) else {
            return Ok(());
        };
        // Drawn at once, when no second is over yet.
        if tally.sent > 0 {
            live.turn();
        }
        self.lines.push(live.line(Some(&name(run)), tally));
        if self.lines.len() < self.live.len() {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.lines);
        self.foot.draw(&lines[..lines.len().min(MOST_LINES)])
    }

    /// Something else is about to be printed; `keyed`: the terminal shows a key.
    fn aside(&mut self, keyed: bool) {
        if !self.foot.clear() && keyed && !self.json {
            terminal::new_line();
        }
    }

    /// A target is done; the first one is the last.
    fn end(&mut self, place: usize, tally: &Tally) {
        let Some(run) = self.runs.get(place) else { return };
        let object = self.json.then(|| object(run, tally));
        let summary = if self.json { String::new() } else { text::summary(run, tally, 0) };
        self.ended.push(Ended { object, row: row(run, tally), summary });
        if place == 0 {
            self.aside(terminal::was_interrupted());
            self.ended.reverse();
            let said = if self.json { self.object(tally) + "\n" } else { self.summary() };
            screen::result(terminal::closing(&said));
        }
    }

    fn compared(&self) -> Vec<(&Run, &Run, Compared)> {
        let Some((base, others)) = self.runs.split_first() else { return Vec::new() };
        let pairs = others.iter().zip(&self.paired);
        pairs.map(|(other, paired)| (base, other, paired.compare())).collect()
    }

    fn summary(&self) -> String {
        let mut said = format!(
            "--- {} on one schedule ---\n{:<28} {:>9} {:>8} {:>7} {:>11} {:>11}  worst flow\n",
            count(self.runs.len() as u64, "target"),
            "target",
            "sent",
            "lost",
            "loss",
            "p50",
            "p99"
        );
        said.extend(self.ended.iter().map(|ended| ended.row.as_str()));
        for Missing { host, why } in &self.missing {
            put!(said, "{host}: not measured: {why}\n");
        }
        for (base, other, compared) in self.compared() {
            let sentences = compared::sentences([&name(base), &name(other)], &compared, None);
            let all = sentences.into_iter().chain(compared::how(&compared));
            said.extend(all.map(|sentence| wrapped(&sentence, COLUMNS)));
        }
        said.extend(self.ended.iter().map(|ended| ended.summary.as_str()));
        said
    }

    /// The first target's object, with all of them and their comparisons in it.
    fn object(&mut self, tally: &Tally) -> String {
        let each: Vec<Object> = self.ended.drain(..).filter_map(|ended| ended.object).collect();
        let missing = self.missing.iter().map(|Missing { host, why }| {
            Object::new().text("host", host.as_str()).text("error", why.as_str())
        });
        let comparisons = self.compared();
        let comparisons = comparisons
            .iter()
            .map(|(base, other, compared)| compared::object(&name(base), &name(other), compared));
        let Some(run) = self.runs.first() else { return String::new() };
        with_targets(run, tally, each.into_iter().chain(missing), comparisons).finish()
    }
}

/// A target's line in the table of all.
fn row(run: &Run, tally: &Tally) -> String {
    let figure = |percent| duration_or_dash(tally.rtt.percentile(percent));
    format!(
        "{:<28} {:>9} {:>8} {:>6.1}% {:>11} {:>11}  {}\n",
        name(run),
        tally.sent,
        tally.lost,
        tally.loss_percent().unwrap_or(0.0),
        figure(50.0),
        figure(99.0),
        flows::worst(tally).unwrap_or_default(),
    )
}

/// A target as the user named it: two names may lead to one address.
fn name(run: &Run) -> String {
    let host = &run.host;
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{}", run.port)
    } else {
        format!("{host}:{}", run.port)
    }
}

impl Sink for JointSink {
    fn sample(&mut self, sample: &Sample, _anchor: &Anchor) -> Result<(), Gone> {
        held(&self.joint).sample(self.place, sample);
        Ok(())
    }

    fn notice(&mut self, _notice: &Notice, _anchor: &Anchor) -> Result<(), Gone> {
        held(&self.joint).foot.clear();
        Ok(())
    }

    fn deadline(&self) -> Mono {
        self.redraw_at
    }

    fn tick(&mut self, now: Mono, tally: &Tally) -> Result<(), Gone> {
        self.redraw_at = now + REDRAW;
        held(&self.joint).turn(self.place, tally)
    }

    fn aside(&mut self) {
        if self.place == 0 {
            held(&self.joint).aside(true);
        }
    }

    fn finish(&mut self, tally: &Tally, _anchor: &Anchor) {
        held(&self.joint).end(self.place, tally);
    }
}
