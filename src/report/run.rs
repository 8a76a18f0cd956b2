//! One file read: a run, or several where it holds several series.

use super::error::{Error, Problem};
use super::figures::{Figures, Throughput};
use super::number;
use super::reader::{Reader, Row};
use crate::stats::Summary;

/// Series told apart in one file. More is no series of measurements but a
/// column that happens to be called so.
const MOST_SERIES: usize = 64;

/// Other writers put texts in them.
const QUOTE: char = '"';

/// One series of packets under its label.
#[derive(Debug, Clone)]
pub struct Run {
    /// What it is called.
    pub label: String,
    /// The place of its file among those that were read.
    pub file: usize,
    /// Its series within the file, such as `rtt 100`; mostly empty.
    pub series: String,
    /// Its figures.
    pub figures: Figures,
}

/// One file.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path as the user gave it.
    pub path: String,
    /// What it is called.
    pub label: String,
    /// Files that it is in, where it was rotated.
    pub pieces: usize,
    /// Bytes read.
    pub bytes: u64,
    /// Rows read.
    pub rows: u64,
    /// The number of a last line that was cut off and left out.
    pub cut_line: Option<u64>,
}

/// What series of type `ttput` measure.
fn throughput(row: &Row<'_>) -> Option<Throughput> {
    let [kind, size] = row.series;
    if !kind.eq_ignore_ascii_case(b"ttput") {
        return None;
    }
    let bits = number::whole(size)?.checked_mul(8)?;
    Some(Throughput { bits, per_second: Summary::new() })
}

/// Reads all rows of a file, the `place`th of several.
///
/// # Errors
///
/// The file cannot be read on, or a line is no row.
pub fn read(
    mut reader: Reader<'_>,
    path: &str,
    label: &str,
    place: usize,
) -> Result<(Source, Vec<Run>), Error> {
    let mut all: Vec<([Vec<u8>; 2], Figures)> = Vec::new();
    let mut current = 0;
    let mut rows = 0;
    let mut line = reader.line_number();
    while let Some(row) = reader.row()? {
        (rows, line) = (rows + 1, line + 1);
        if !all.get(current).is_some_and(|(series, _)| same(series, &row)) {
            current = match all.iter().position(|(series, _)| same(series, &row)) {
                Some(known) => known,
                None if all.len() == MOST_SERIES => return Err(too_many(path, rows + 1)),
                None => {
                    let mut figures = Figures::new(row.sent);
                    figures.throughput = throughput(&row);
                    all.push((row.series.map(<[u8]>::to_vec), figures));
                    all.len() - 1
                }
            };
        }
        let figures = &mut all[current].1;
        figures.record(&row);
        figures.record_flow(&row, line).map_err(|problem| Error::new(path, problem))?;
    }
    let source = Source {
        path: path.to_owned(),
        label: label.to_owned(),
        pieces: 1,
        bytes: reader.bytes(),
        rows,
        cut_line: reader.cut_line(),
    };
    if all.is_empty() {
        all.push(([vec![], vec![]], Figures::new(0)));
    }
    let runs = all.into_iter().map(|(series, mut figures)| {
        figures.finish();
        let words =
            series.iter().map(|word| String::from_utf8_lossy(word).trim_matches(QUOTE).to_owned());
        let series = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        let label = format!("{label} {series}").trim_end().to_owned();
        Run { label, file: place, series, figures }
    });
    Ok((source, runs.collect()))
}

/// Lengths first: to compare two empty slices is a call with a dangling
/// pointer, which takes 200 ns on some processors.
#[inline]
fn same(series: &[Vec<u8>; 2], row: &Row<'_>) -> bool {
    series
        .iter()
        .zip(row.series)
        .all(|(known, here)| known.len() == here.len() && (here.is_empty() || known == here))
}

fn too_many(path: &str, line: u64) -> Error {
    let why = format!("more than {MOST_SERIES} series by the columns type and size");
    Error::new(path, Problem::Line { line, why })
}
