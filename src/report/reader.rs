//! Rows out of a CSV file of any length, in constant memory.
//!
//! Lines are split here, about ten times as fast as a general reader of CSV
//! would; a line with quotes in it goes to the `csv` crate.

use std::io::{ErrorKind, Read};

use csv::{ByteRecord, ReaderBuilder};

use super::error::{Error, Problem};
use super::{bytes, number};
use crate::stats::clocks::RoundTrip;

/// How packed files begin, and what unpacks them.
const PACKED: [(&[u8], &str); 4] =
    [(b"\x1f\x8b", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"\xfd7zXZ", "xz"), (b"BZh", "bzip2")];

/// What is read at once, and so the longest line.
const BUFFER: usize = 256 * 1024;

/// Columns that are used, by the place of their value in [`Fields`].
const USED: [&str; 11] = [
    "packet_num",
    "timestamp",
    "send_time_ns",
    "receive_time_ns",
    "rtt_us",
    "retransmitted",
    "type",
    "size",
    "flow",
    "reflector_receive_ns",
    "reflector_send_ns",
];
const NUMBER: usize = 0;
const SENT: usize = 2;
const RECEIVED: usize = 3;
const RTT: usize = 4;
const RETRANSMITTED: usize = 5;
const SERIES: [usize; 2] = [6, 7];
const FLOW: usize = 8;
const REFLECTOR: [usize; 2] = [9, 10];
/// Of [`USED`], those that every file must have.
const NEEDED: usize = 5;
/// Where values go that are not used.
const IGNORED: usize = USED.len();

/// The values of a row that are used, as the file has them.
type Fields<'line> = [&'line [u8]; USED.len() + 1];
const NOTHING: Fields<'_> = [b""; USED.len() + 1];

/// One packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<'line> {
    /// Its packet's number.
    pub number: u64,
    /// When it was sent, in nanoseconds since 1970.
    pub sent: u64,
    /// Its round-trip time in nanoseconds; none if it was lost.
    pub rtt: Option<u64>,
    /// Whether a segment was sent again while it was out, where the file tells.
    pub retransmitted: Option<bool>,
    /// Its flow, where the file tells.
    pub flow: Option<u64>,
    /// Its times here and at a reflector, where the file tells.
    pub reflected: Option<RoundTrip>,
    /// The type and size of its series, where the file tells.
    pub series: [&'line [u8]; 2],
}

/// Reads the rows of one file.
pub struct Reader<'input> {
    name: String,
    input: Box<dyn Read + 'input>,
    buffer: Vec<u8>,
    /// What of the buffer has not been read yet.
    start: usize,
    end: usize,
    /// Nothing comes after what is in the buffer.
    ended: bool,
    /// The number of the line read last.
    line: u64,
    bytes: u64,
    /// For each column, the place of its value in [`Fields`].
    places: Vec<usize>,
    /// The last row ends without a line end and is not whole.
    cut: bool,
}

/// A line in the buffer, without its end.
#[derive(Clone, Copy)]
struct Line {
    start: usize,
    end: usize,
    /// A line end followed.
    whole: bool,
}

impl<'input> Reader<'input> {
    /// Reads the header.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is no such CSV.
    pub fn new(name: &str, input: impl Read + 'input) -> Result<Self, Error> {
        Self::of(name, Box::new(input))
    }

    fn of(name: &str, input: Box<dyn Read + 'input>) -> Result<Self, Error> {
        let mut reader = Self {
            name: name.to_owned(),
            input,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            ended: false,
            line: 0,
            bytes: 0,
            places: Vec::new(),
            cut: false,
        };
        let line = reader.line();
        if let Some((_, by)) = PACKED.iter().find(|(magic, _)| reader.buffer.starts_with(magic)) {
            return Err(reader.error(Problem::Packed(by)));
        }
        let Some(line) = line? else {
            return Err(reader.error(Problem::Empty));
        };
        let text = &reader.buffer[line.start..line.end];
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        let mut places = Vec::new();
        for column in &record(text).unwrap_or_default() {
            let used = USED.iter().position(|used| used.as_bytes() == column.trim_ascii());
            if let Some(place) = used.filter(|place| places.contains(place)) {
                return Err(reader.error(Problem::ColumnTwice { column: USED[place] }));
            }
            places.push(used.unwrap_or(IGNORED));
        }
        if let Some(place) = (0..NEEDED).find(|place| !places.contains(place)) {
            return Err(reader.error(Problem::MissingColumn { column: USED[place] }));
        }
        reader.places = places;
        Ok(reader)
    }

    fn error(&self, problem: Problem) -> Error {
        Error::new(&self.name, problem)
    }

    /// The number of a last line that was cut off and skipped.
    pub fn cut_line(&self) -> Option<u64> {
        self.cut.then_some(self.line)
    }

    /// The number of the line read last.
    pub fn line_number(&self) -> u64 {
        self.line
    }

    /// The bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The next row; none at the end.
    ///
    /// # Errors
    ///
    /// The file cannot be read on, or a line is no row.
    #[inline]
    pub fn row(&mut self) -> Result<Option<Row<'_>>, Error> {
        let line = loop {
            let Some(line) = self.line()? else { return Ok(None) };
            if line.start < line.end {
                break line;
            }
        };
        if line.whole {
            let text = &self.buffer[line.start..line.end];
            return match parse(&self.places, text) {
                Ok(row) => Ok(Some(row)),
                Err(wrong) => Err(self.error(wrong.at(self.line))),
            };
        }
        let text = &self.buffer[line.start..line.end];
        let row = parse(&self.places, text).ok();
        let row = row.filter(|_| is_whole(&self.places, text));
        self.cut = row.is_none();
        Ok(row)
    }

    /// The next line, also an empty one; none at the end.
    #[inline]
    fn line(&mut self) -> Result<Option<Line>, Error> {
        let mut searched = 0;
        loop {
            let unread = &self.buffer[self.start + searched..self.end];
            if let Some(place) = bytes::find(unread, b'\n') {
                let end = self.start + searched + place;
                let line = Line { start: self.start, end, whole: true };
                self.start = end + 1;
                self.line += 1;
                return Ok(Some(self.without_return(line)));
            }
            searched = self.end - self.start;
            if self.ended {
                if searched == 0 {
                    return Ok(None);
                }
                let line = Line { start: self.start, end: self.end, whole: false };
                self.start = self.end;
                self.line += 1;
                return Ok(Some(line));
            }
            self.fill()?;
        }
    }

    fn without_return(&self, line: Line) -> Line {
        let ends_so = self.buffer[line.start..line.end].ends_with(b"\r");
        Line { end: line.end - usize::from(ends_so), ..line }
    }

    /// Moves what is unread to the front and reads on.
    fn fill(&mut self) -> Result<(), Error> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            let why = format!("longer than {} KiB", BUFFER / 1024);
            return Err(self.error(Problem::Line { line: self.line + 1, why }));
        }
        let bytes = loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.error(Problem::Unreadable(error))),
                Ok(bytes) => break bytes,
            }
        };
        self.ended = bytes == 0;
        self.end += bytes;
        self.bytes += bytes as u64;
        Ok(())
    }
}

/// What is wrong with a row, without its place.
enum Wrong {
    Columns { found: usize, expected: usize },
    Value { column: usize, text: String, accepted: &'static str },
}

impl Wrong {
    fn at(self, line: u64) -> Problem {
        match self {
            Self::Columns { found, expected } => {
                let why = format!("{found} columns where the header has {expected}");
                Problem::Line { line, why }
            }
            Self::Value { column, text, accepted } => {
                Problem::Value { line, column: USED[column], text, accepted }
            }
        }
    }
}

/// The values of a line that has no quotes.
#[inline]
fn split<'line>(
    places: &[usize],
    line: &'line [u8],
    fields: &mut Fields<'line>,
) -> Result<(), Wrong> {
    let mut start = 0;
    let mut found = 0;
    let mut field = |end| {
        if let Some(field) = places.get(found).and_then(|&place| fields.get_mut(place)) {
            *field = &line[start..end];
        }
        found += 1;
        start = end + 1;
    };
    bytes::each(line, b',', &mut field);
    field(line.len());
    if found == places.len() {
        Ok(())
    } else {
        Err(Wrong::Columns { found, expected: places.len() })
    }
}

#[inline]
fn parse<'line>(places: &[usize], line: &'line [u8]) -> Result<Row<'line>, Wrong> {
    let mut fields = NOTHING;
    match split(places, line, &mut fields).and_then(|()| understand(&fields)) {
        // Series that are quoted are not told apart.
        Err(_) if line.contains(&b'"') => {
            let record = record(line).unwrap_or_default();
            let row = understand(&quoted(places, &record)?)?;
            Ok(Row { series: [b"", b""], ..row })
        }
        result => result,
    }
}

/// The values of a line with quotes.
fn quoted<'line>(places: &[usize], record: &'line ByteRecord) -> Result<Fields<'line>, Wrong> {
    if record.len() != places.len() {
        return Err(Wrong::Columns { found: record.len(), expected: places.len() });
    }
    let mut fields = NOTHING;
    for (&place, value) in places.iter().zip(record) {
        fields[place] = value;
    }
    Ok(fields)
}

/// One line by the rules of CSV.
fn record(line: &[u8]) -> Option<ByteRecord> {
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(line);
    reader.byte_records().next()?.ok()
}

#[inline]
fn understand<'line>(fields: &Fields<'line>) -> Result<Row<'line>, Wrong> {
    let wrong = |column: usize, accepted| Wrong::Value {
        column,
        text: String::from_utf8_lossy(fields[column]).into_owned(),
        accepted,
    };
    let whole = |column: usize| {
        number::whole(fields[column]).ok_or_else(|| wrong(column, "a whole number"))
    };
    let (number, sent) = (whole(NUMBER)?, whole(SENT)?);
    let received = if number::is_none(fields[RECEIVED]) { None } else { Some(whole(RECEIVED)?) };
    let rtt = if number::is_none(fields[RTT]) {
        received.and_then(|received| received.checked_sub(sent))
    } else {
        let rtt = number::micros(fields[RTT]);
        Some(rtt.ok_or_else(|| wrong(RTT, "a time in microseconds, or empty"))?)
    };
    let retransmitted = match fields[RETRANSMITTED] {
        b"" => None,
        mark => Some(mark == b"1"),
    };
    let flow = if fields[FLOW].is_empty() { None } else { number::whole(fields[FLOW]) };
    let series = SERIES.map(|place| fields[place]);
    let there = REFLECTOR.map(|column| number::whole(fields[column]).filter(|time| *time > 0));
    let reflected = match (received, there) {
        (Some(came), [Some(received), Some(sent_back)]) => RoundTrip::new(
            sent.cast_signed(),
            came.cast_signed(),
            [received, sent_back].map(u64::cast_signed),
        ),
        _ => None,
    };
    Ok(Row { number, sent, rtt, retransmitted, flow, reflected, series })
}

/// Whether a row without a line end is whole all the same: its times agree.
/// Where the writer was killed in the middle of a number they do not.
fn is_whole(places: &[usize], line: &[u8]) -> bool {
    let record = record(line).unwrap_or_default();
    let Ok(fields) = quoted(places, &record) else { return false };
    if number::is_none(fields[RTT]) {
        return number::is_none(fields[RECEIVED]);
    }
    let times = (number::whole(fields[SENT]), number::whole(fields[RECEIVED]));
    let (Some(sent), Some(received)) = times else { return false };
    let (Some(span), Some(rtt)) = (received.checked_sub(sent), number::micros(fields[RTT])) else {
        return false;
    };
    // Some writers round to one or two decimals.
    let decimals = fields[RTT].iter().rev().position(|&byte| byte == b'.');
    let rounding = match decimals {
        Some(1) => 50,
        Some(2) => 5,
        _ => 0,
    };
    span.abs_diff(rtt) <= rounding
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "packet_num,timestamp,send_time_ns,receive_time_ns,rtt_us\n";

    /// Reads in pieces of `step` bytes, as a pipe may give them.
    struct Pieces<'text>(&'text [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            let most = self.1.min(into.len());
            (&mut self.0).take(most as u64).read(into)
        }
    }

    type Rows = Vec<(u64, Option<u64>)>;

    fn read(text: &str, step: usize) -> Result<(Rows, Option<u64>), Error> {
        let mut reader = Reader::new("x.csv", Pieces(text.as_bytes(), step))?;
        let mut rows = Vec::new();
        while let Some(row) = reader.row()? {
            rows.push((row.sent, row.rtt));
        }
        Ok((rows, reader.cut_line()))
    }

    fn error(text: &str) -> String {
        read(text, 1000).unwrap_err().to_string()
    }

    #[test]
    fn rows_come_whole_whatever_the_pieces() {
        let text = format!("{HEADER}1,t,1000,2500,1.500\n2,t,3000,,\n\n3,t,5000,5001,0.001\n");
        for step in [1, 2, 7, 1000] {
            let (rows, cut) = read(&text, step).unwrap();
            assert_eq!(rows, [(1000, Some(1500)), (3000, None), (5000, Some(1))]);
            assert_eq!(cut, None);
        }
    }

    #[test]
    fn columns_may_stand_anywhere_among_others() {
        let text = "\u{feff}note,rtt_us,\"size\",send_time_ns,packet_num,receive_time_ns,timestamp\r\n\
                    hello,2.000,100,10,1,2010,t\r\n\
                    \"a, b\",NaN,100,20,2,,\"t\"\r\n";
        assert_eq!(read(text, 1000).unwrap().0, [(10, Some(2000)), (20, None)]);
    }

    #[test]
    fn series_and_retransmissions_are_told() {
        let text = "type,size,packet_num,timestamp,send_time_ns,receive_time_ns,rtt_us,retransmitted\n\
                    rtt,100,1,t,10,20,0.010,1\n";
        let mut reader = Reader::new("x.csv", text.as_bytes()).unwrap();
        let row = reader.row().unwrap().unwrap();
        assert_eq!((row.series, row.retransmitted), ([&b"rtt"[..], b"100"], Some(true)));
    }

    #[test]
    fn a_last_row_without_line_end_counts_only_if_its_times_agree() {
        for (last, counts) in [
            ("2,t,3000,4500,1.500", true),
            ("2,t,3000,4500,1.5", true),
            ("2,t,3000,,", true),
            ("2,t,3000,4500,1", false),
            ("2,t,3000,4500,", false),
            ("2,t,3000,45", false),
            ("2,t,3000,", false),
            ("2", false),
            ("\0\0\0", false),
        ] {
            let (rows, cut) = read(&format!("{HEADER}1,t,1000,2500,1.500\n{last}"), 9).unwrap();
            assert_eq!(rows.len(), 1 + usize::from(counts), "{last:?}");
            assert_eq!(cut, (!counts).then_some(3), "{last:?}");
        }
    }

    #[test]
    fn errors_name_line_and_column() {
        assert!(error("").starts_with("x.csv: line 1: nothing there"));
        assert!(error("a,b\n1,2\n").starts_with("x.csv: line 1: there is no column packet_num"));
        assert!(error(&format!("rtt_us,{HEADER}")).contains("two columns rtt_us"));
        let bad = |row: &str| error(&format!("{HEADER}1,t,1000,2500,1.500\n{row}\n"));
        assert_eq!(bad("2,t,3,4"), "x.csv: line 3: 4 columns where the header has 5");
        assert_eq!(
            bad("2,t,soon,4,1.000"),
            "x.csv: line 3, column send_time_ns: \"soon\" is not a whole number"
        );
        assert_eq!(
            bad("2,t,3,4,-1.000"),
            "x.csv: line 3, column rtt_us: \"-1.000\" is not a time in microseconds, or empty"
        );
        assert!(bad(HEADER.trim()).contains("column packet_num: \"packet_num\""));
        assert!(bad(&"9".repeat(BUFFER + 1)).contains("line 3: longer than 256 KiB"));
    }
}
