//! A run whose files were rotated, as one: the pieces of a series are found by their
//! packet numbers, which go on, and are read one after another.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::error::{Error, Problem};
use super::reader::Reader;

/// The end of the names that this tool gives its files.
pub const SUFFIX: &str = "_timings.csv";
/// Bytes at each end of a file in which its first and last rows are looked for.
const LOOK: u64 = 64 << 10;

/// What the two ends of a file say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Ends {
    header: Vec<u8>,
    /// Number and time of the first row.
    first: (u64, u64),
    /// The same of the last.
    last: (u64, u64),
}

/// The files that arguments name: a directory is all that this tool left in it.
///
/// # Errors
///
/// A directory that cannot be read, or without such a file.
pub fn named(arguments: &[String]) -> Result<Vec<String>, Error> {
    let mut paths = Vec::new();
    for argument in arguments {
        if !Path::new(argument).is_dir() {
            paths.push(argument.clone());
            continue;
        }
        let unreadable = |error| Error::new(argument, Problem::Unreadable(error));
        let (mut found, mut packed) = (Vec::new(), 0);
        for entry in Path::new(argument).read_dir().map_err(unreadable)? {
            let path: PathBuf = entry.map_err(unreadable)?.path();
            match path.to_str().and_then(|path| path.split_once(SUFFIX)) {
                Some((_, "")) => found.extend(path.to_str().map(str::to_owned)),
                Some((_, ending)) if ending.starts_with('.') => packed += 1,
                _ => {}
            }
        }
        if packed > 0 {
            log::warn!("{argument}: {packed} *{SUFFIX}.* are left out; unpack them first");
        }
        if found.is_empty() {
            return Err(Error::new(argument, Problem::NothingThere));
        }
        // The first target of a run before its further ones.
        found.sort_by_key(|path| path.replace("_target", "_w"));
        paths.extend(found);
    }
    Ok(paths)
}

/// The files that arguments name as those of one run, in their order.
///
/// # Errors
///
/// As [`named`], and where they are of several runs.
pub fn one_run(arguments: &[String]) -> Result<Vec<String>, Error> {
    let mut groups = groups(named(arguments)?);
    match groups.len() {
        0 | 1 => Ok(groups.pop().unwrap_or_default()),
        count => Err(Error::new(&arguments.join(" "), Problem::Runs(count))),
    }
}

/// The paths in groups, each one run: in the order of the first of each.
pub fn groups(paths: Vec<String>) -> Vec<Vec<String>> {
    if paths.len() == 1 {
        return vec![paths];
    }
    let ends: Vec<Option<Ends>> = paths.iter().map(|path| ends(path).ok().flatten()).collect();
    let before = predecessors(&paths, &ends);
    let mut groups: Vec<Vec<String>> = Vec::new();
    for place in (0..paths.len()).filter(|place| before[*place].is_none()) {
        let mut group = vec![paths[place].clone()];
        let mut last = place;
        while let Some(next) = before.iter().position(|before| *before == Some(last)) {
            group.push(paths[next].clone());
            last = next;
        }
        groups.push(group);
    }
    groups
}

/// For each file the one that it goes on from.
fn predecessors(paths: &[String], ends: &[Option<Ends>]) -> Vec<Option<usize>> {
    let mut taken = vec![false; paths.len()];
    let mut order: Vec<usize> = (0..paths.len()).collect();
    order.sort_unstable_by_key(|place| ends[*place].as_ref().map(|ends| ends.first));
    let mut before = vec![None; paths.len()];
    for &place in &order {
        let Some(own) = &ends[place] else { continue };
        let goes_on = |other: &usize| {
            *other != place
                && !taken[*other]
                && ends[*other].as_ref().is_some_and(|other| continues(other, own))
                && Path::new(&paths[*other]).parent() == Path::new(&paths[place]).parent()
        };
        // Of two runs at once the one that stopped just before.
        let latest = (0..paths.len())
            .filter(goes_on)
            .max_by_key(|other| ends[*other].as_ref().map(|ends| ends.last.1));
        if let Some(other) = latest {
            taken[other] = true;
            before[place] = Some(other);
        }
    }
    before
}

/// How far a packet may be sent from when it was due, in nanoseconds, where numbers
/// are missing between two files.
const LATENESS: u64 = 100_000_000;

/// Whether the numbers and times of `next` go on from those of `one`. With several
/// flows a round may be cut in two; what fell due in a pause of the host has no row,
/// and as much time is missing as numbers are.
fn continues(one: &Ends, next: &Ends) -> bool {
    let (Some(numbers), Some(span)) =
        (next.first.0.checked_sub(one.last.0), next.first.1.checked_sub(one.last.1))
    else {
        return false;
    };
    let in_pace = || {
        let own = next.last.0.saturating_sub(next.first.0);
        let Some(interval) = next.last.1.saturating_sub(next.first.1).checked_div(own) else {
            return false;
        };
        let due = numbers.saturating_mul(interval);
        due.abs_diff(span) <= LATENESS + due / 4
    };
    next.header == one.header && next.first.0 > 1 && (numbers <= 1 || in_pace())
}

/// The ends of a file; none if there is no row.
fn ends(path: &str) -> Result<Option<Ends>, Error> {
    let unreadable = |error| Error::new(path, Problem::Unreadable(error));
    let mut file = File::open(path).map_err(unreadable)?;
    // A pipe is read once, and by who reports on it.
    let length = file.metadata().map_err(unreadable)?;
    if !length.is_file() {
        return Ok(None);
    }
    let head = piece(&mut file, 0).map_err(unreadable)?;
    let tail = piece(&mut file, length.len().saturating_sub(LOOK)).map_err(unreadable)?;
    let Some(end) = head.iter().position(|&byte| byte == b'\n') else { return Ok(None) };
    let header = &head[..=end];
    // The first line of the tail may be cut in two, the last may be, too.
    let mut lines = tail.split_inclusive(|&byte| byte == b'\n').rev();
    let last = lines.find(|line| line.ends_with(b"\n") && line.len() > 1);
    let last = row(path, &[header, last.unwrap_or_default()].concat());
    let header = header.to_vec();
    let (Some(first), Ok(Some(last))) = (row(path, &head)?, last) else { return Ok(None) };
    Ok(Some(Ends { header, first, last }))
}

fn row(path: &str, text: &[u8]) -> Result<Option<(u64, u64)>, Error> {
    Ok(Reader::new(path, text)?.row()?.map(|row| (row.number, row.sent)))
}

fn piece(file: &mut File, from: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from))?;
    file.take(LOOK).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Files one after another, of all but the first without their header.
#[derive(Debug)]
pub struct Joined {
    files: VecDeque<File>,
    /// The header of the present file is not over.
    in_header: bool,
}

impl Joined {
    /// The pieces, all opened.
    ///
    /// # Errors
    ///
    /// One that cannot be opened.
    pub fn open(paths: &[String]) -> Result<Self, Error> {
        let open = |path: &String| {
            File::open(path).map_err(|error| Error::new(path, Problem::Unreadable(error)))
        };
        let files = paths.iter().map(open).collect::<Result<_, _>>()?;
        Ok(Self { files, in_header: false })
    }
}

impl Read for Joined {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(file) = self.files.front_mut() {
            let count = file.read(into)?;
            if count == 0 {
                self.files.pop_front();
                self.in_header = true;
            } else if !self.in_header {
                return Ok(count);
            } else if let Some(end) = into[..count].iter().position(|&byte| byte == b'\n') {
                self.in_header = false;
                into.copy_within(end + 1..count, 0);
                if end + 1 < count {
                    return Ok(count - end - 1);
                }
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::unnecessary_wraps, reason = "files without a row have none")]
    fn ends(first: (u64, u64), last: (u64, u64)) -> Option<Ends> {
        Some(Ends { header: b"h\n".to_vec(), first, last })
    }

    #[test]
    fn pieces_go_on_where_numbers_and_times_do() {
        // As a shell sorts them: the tenth piece before the second.
        let paths: Vec<String> = ["a", "a_3", "a_2", "b"].map(str::to_owned).to_vec();
        let all = [
            ends((1, 10), (5, 50)),
            ends((9, 90), (12, 120)),
            ends((6, 60), (8, 80)),
            ends((1, 60), (5, 100)),
        ];
        assert_eq!(predecessors(&paths, &all), [None, Some(2), Some(0), None]);
        // Two runs that end with the same number: the later one goes on.
        let all = [ends((1, 1), (5, 5)), ends((1, 20), (5, 25)), ends((6, 26), (7, 27)), None];
        assert_eq!(predecessors(&paths, &all), [None, None, Some(1), None]);
        // A run of its own begins at 1, and nothing goes back in time.
        let all = [ends((1, 10), (5, 50)), ends((6, 40), (7, 41)), ends((1, 51), (2, 52)), None];
        assert_eq!(predecessors(&paths, &all), [None; 4]);
    }

    #[test]
    fn a_pause_of_the_host_between_two_pieces_does_not_part_them() {
        let paths: Vec<String> = ["a", "b"].map(str::to_owned).to_vec();
        let second = 1_000_000_000;
        let one = ends((1, second), (10, 10 * second));
        let paused = [one.clone(), ends((31, 31 * second), (40, 40 * second))];
        assert_eq!(predecessors(&paths, &paused), [None, Some(0)]);
        // What is left of another run that was rotated.
        let other = [one, ends((31, 16 * second), (40, 25 * second))];
        assert_eq!(predecessors(&paths, &other), [None; 2]);
    }
}
