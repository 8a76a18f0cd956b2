//! One row a probe, in probe order.

use std::time::Duration;

use csv::{ByteRecord, Writer, WriterBuilder};

use super::row_file::RowFile;
use super::timestamp::Stamper;
use crate::clock::{Anchor, Mono, nanos};
use crate::probe::{Gone, Sample, Sink, Tally};

/// The columns that every run has.
pub const COLUMNS: [&str; 5] =
    ["packet_num", "timestamp", "send_time_ns", "receive_time_ns", "rtt_us"];
/// The columns that the kernel's view adds.
pub const TCP_COLUMNS: [&str; 6] = [
    "tcp_rtt_us",
    "tcp_rttvar_us",
    "tcp_min_rtt_us",
    "tcp_retransmits",
    "tcp_cwnd",
    "retransmitted",
];

/// Rows gathered before they go to the file.
const BUFFER: usize = 64 * 1024;
/// The longest row: eight numbers of 20 digits, a time, separators, doubled
/// for good measure.
const LONGEST_ROW: usize = 512;
/// How old a gathered row may grow.
const OLDEST_ROW: Duration = Duration::from_millis(250);

/// Writes a run's CSV. Rows reach the file whole, when they are old enough or
/// many enough.
pub struct CsvSink {
    writer: Writer<RowFile>,
    row: ByteRecord,
    stamper: Stamper,
    with_tcp: bool,
    gathered: usize,
    /// The latest time that a sample told.
    latest: Mono,
    flush_at: Mono,
}

impl CsvSink {
    /// Writes the header to a new file.
    pub fn new(file: RowFile, with_tcp: bool) -> Self {
        let writer = WriterBuilder::new().buffer_capacity(BUFFER).from_writer(file);
        let mut sink = Self {
            writer,
            row: ByteRecord::with_capacity(LONGEST_ROW, 11),
            stamper: Stamper::new(),
            with_tcp,
            gathered: 0,
            latest: Mono(0),
            flush_at: Mono::NEVER,
        };
        let tcp: &[&str] = if with_tcp { &TCP_COLUMNS } else { &[] };
        sink.row.extend(COLUMNS.iter().chain(tcp));
        sink.write_row();
        sink.flush();
        sink
    }

    fn write_row(&mut self) {
        // The file below never fails; it reports its own troubles.
        let _ = self.writer.write_byte_record(&self.row);
        self.gathered += self.row.as_slice().len() + 2 * self.row.len();
        self.row.clear();
    }

    fn flush(&mut self) {
        let _ = self.writer.flush();
        self.gathered = 0;
        self.flush_at = Mono::NEVER;
    }

    /// A number, or nothing where there is none.
    fn field(&mut self, digits: Option<&Digits>) {
        self.row.push_field(digits.map_or(b"", Digits::as_bytes));
    }

    fn tcp(&mut self, sample: &Sample) {
        let info = sample.tcp.unwrap_or_default();
        for value in [info.rtt_us, info.rttvar_us, info.min_rtt_us, info.retransmits, info.cwnd] {
            self.field(value.map(|value| Digits::of(u64::from(value))).as_ref());
        }
        let marked = sample.tcp.map(|_| Digits::of(u64::from(sample.retransmitted)));
        self.field(marked.as_ref());
    }
}

impl Sink for CsvSink {
    fn sample(&mut self, sample: &Sample, anchor: &Anchor) -> Result<(), Gone> {
        let sent = anchor.wall(sample.sent);
        let rtt = sample.rtt().map(nanos);
        self.field(Some(&Digits::of(sample.number)));
        self.row.push_field(self.stamper.stamp(sent).as_bytes());
        let sent = u64::try_from(sent.0).unwrap_or(0);
        self.field(Some(&Digits::of(sent)));
        // Not read off the wall clock again: the two times differ by the RTT.
        self.field(rtt.map(|rtt| Digits::of(sent + rtt)).as_ref());
        self.field(rtt.map(Digits::thousandths).as_ref());
        if self.with_tcp {
            self.tcp(sample);
        }
        self.write_row();
        self.latest = self.latest.max(sample.last_seen());
        if self.gathered + LONGEST_ROW > BUFFER {
            self.flush();
        } else if self.flush_at == Mono::NEVER {
            self.flush_at = self.latest + OLDEST_ROW;
        }
        Ok(())
    }

    fn deadline(&self) -> Mono {
        self.flush_at
    }

    fn tick(&mut self, _now: Mono, _tally: &Tally) -> Result<(), Gone> {
        self.flush();
        Ok(())
    }

    fn finish(&mut self, _tally: &Tally, _anchor: &Anchor) {
        self.flush();
    }
}

/// A number as text, on the stack: the formatting that happens for every row.
struct Digits {
    text: [u8; 24],
    start: usize,
}

impl Digits {
    /// The number itself.
    fn of(value: u64) -> Self {
        let mut digits = Self { text: [0; 24], start: 24 };
        digits.prepend(value, 1);
        digits
    }

    /// Nanoseconds as microseconds with three decimals.
    fn thousandths(value: u64) -> Self {
        let mut digits = Self { text: [0; 24], start: 24 };
        digits.prepend(value % 1000, 3);
        digits.put(b'.');
        digits.prepend(value / 1000, 1);
        digits
    }

    fn prepend(&mut self, mut value: u64, at_least: usize) {
        let end = self.start;
        while value > 0 || end - self.start < at_least {
            self.put(b'0' + u8::try_from(value % 10).unwrap_or(0));
            value /= 10;
        }
    }

    fn put(&mut self, octet: u8) {
        self.start -= 1;
        self.text[self.start] = octet;
    }

    fn as_bytes(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_writes_them() {
        for value in [0, 7, 10, 999, 1000, 1001, 123_456_789, u64::MAX] {
            assert_eq!(Digits::of(value).as_bytes(), value.to_string().as_bytes());
            let thousandths = format!("{}.{:03}", value / 1000, value % 1000);
            assert_eq!(Digits::thousandths(value).as_bytes(), thousandths.as_bytes());
        }
    }
}
