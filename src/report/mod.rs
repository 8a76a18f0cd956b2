//! What a run left in its CSV becomes something to look at and to compare: the
//! rows are read once, in constant memory, and shown as text, JSON or a page.

pub mod axis;
pub mod bytes;
pub mod compare;
pub mod error;
pub mod facts;
pub mod figures;
pub mod flows;
pub mod histogram;
pub mod html;
pub mod json;
pub mod kept;
pub mod number;
pub mod outages;
pub mod pieces;
pub mod reader;
pub mod run;
pub mod stretches;
pub mod terminal;
pub mod timeline;
pub mod words;

pub use compare::Difference;
pub use error::Error;
pub use outages::Together;
pub use reader::Reader;
pub use run::{Run, Source};

use crate::text::clocks;

/// All that is shown.
#[derive(Debug, Clone)]
pub struct Report {
    /// The files that were read.
    pub sources: Vec<Source>,
    /// Their series, file by file.
    pub runs: Vec<Run>,
    /// How they differ from those of the first file.
    pub differences: Vec<Difference>,
    /// Outages of several runs at about the same time.
    pub together: Vec<Together>,
}

impl Report {
    /// Compares what was read.
    pub fn new(files: Vec<(Source, Vec<Run>)>) -> Self {
        let (sources, runs): (Vec<Source>, Vec<Vec<Run>>) = files.into_iter().unzip();
        let mut runs: Vec<Run> = runs.into_iter().flatten().collect();
        if sources.len() == 1 && runs.len() > 1 {
            // What all have in common tells nothing.
            for run in &mut runs {
                run.label.clone_from(&run.series);
            }
        }
        let differences = compare::all(&runs);
        let together = Together::of(runs.iter().map(|run| &run.figures.outages));
        Self { sources, runs, differences, together }
    }

    /// Whether any packet came back.
    pub fn has_replies(&self) -> bool {
        self.runs.iter().any(|run| !run.figures.rtts.is_empty())
    }

    /// What a run's figures alone do not show: levels that moved, what preceded
    /// outages, slow packets in a row.
    pub fn told(&self, run: &Run) -> Vec<String> {
        let unit = facts::unit(&self.runs);
        let mut told = words::shifts(run, unit);
        told.extend(words::before_outages(run, unit));
        told.extend(words::episodes(run));
        told.extend(run.figures.flows.told());
        told.extend(clocks::ways(&run.figures.clocks));
        told
    }

    /// What the figures do not say.
    pub fn notes(&self) -> Vec<String> {
        let cut = |source: &Source| {
            let line = source.cut_line?;
            let label = &source.label;
            Some(format!("{label}: line {line}, the last, is cut off and left out"))
        };
        let empty = |source: &Source| {
            (source.rows == 0).then(|| format!("{}: there are no packets in it", source.label))
        };
        let joined = |source: &Source| {
            (source.pieces > 1)
                .then(|| format!("{}: one run in {} files", source.label, source.pieces))
        };
        let each = |note: &dyn Fn(&Source) -> Option<String>| {
            self.sources.iter().filter_map(note).collect::<Vec<_>>()
        };
        [each(&cut), each(&empty), each(&joined)].concat()
    }
}
