//! One row a probe, in probe order.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::held;
use super::outflow::Outflow;
use super::rotation::Turns;
use super::row_file::{RowFile, TURN};
use crate::clock::{Anchor, Mono, Wall};
use crate::probe::{Detail, Gone, Sample, Sink, Tally};
use crate::text::row::{self, Row};
use crate::text::timestamp::Stamper;

/// The columns that every run has.
pub const COLUMNS: [&str; 5] =
    ["packet_num", "timestamp", "send_time_ns", "receive_time_ns", "rtt_us"];

/// Columns after those that every run has.
pub trait Extra: Send {
    /// Their names.
    fn header(&self) -> Vec<&'static str>;

    /// Puts them into a row, the last first, each with a comma before it.
    fn write(&self, row: &mut Row, sample: &Sample);
}

/// The columns that the kernel's view of a connection adds.
pub struct StreamColumns {
    /// Its figures at each reply.
    pub tcp_info: bool,
    /// Its stamps of departure and arrival.
    pub kernel_stamps: bool,
    /// Why packets were slow.
    pub explain: bool,
}

impl StreamColumns {
    /// Whether there is a column.
    pub fn any(&self) -> bool {
        self.tcp_info || self.kernel_stamps || self.explain
    }
}

const TCP_COLUMNS: [&str; 6] = [
    "tcp_rtt_us",
    "tcp_rttvar_us",
    "tcp_min_rtt_us",
    "tcp_retransmits",
    "tcp_cwnd",
    "retransmitted",
];
const CAUSE_COLUMNS: [&str; 3] = ["connection", "acked_us", "cause"];
const KERNEL_COLUMNS: [&str; 3] = ["kernel_rtt_us", "host_send_us", "host_receive_us"];

/// The flow that a packet went by, before any other further column.
pub struct FlowColumn<E>(pub E);

impl<E: Extra> Extra for FlowColumn<E> {
    fn header(&self) -> Vec<&'static str> {
        let mut header = self.0.header();
        header.insert(0, "flow");
        header
    }

    fn write(&self, row: &mut Row, sample: &Sample) {
        self.0.write(row, sample);
        row.number(Some(u64::from(sample.flow)));
        row.comma();
    }
}

/// Rows gathered before they go to the file.
const BUFFER: usize = 64 * 1024;
/// Bytes of the columns before all others.
const LONGEST_SERIES: usize = 48;
/// How old a gathered row may grow.
const OLDEST_ROW: Duration = Duration::from_millis(250);

/// Bytes of rows that wait while a disk is slow: a minute at 1,000 packets a
/// second.
const MAX_WAITING: usize = 4 << 20;
/// A disk that takes nothing for so long at the end of a run is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes a run's CSV. Rows reach the file whole, when they are old enough or
/// many enough. Numbers and times need no quotes, so that a row is what stands in
/// it and a line feed.
pub struct CsvSink {
    file: Outflow,
    /// Rows that the file is not told of yet.
    gathered: Vec<u8>,
    /// When the next file begins, if there is to be one.
    turns: Option<Turns>,
    stamper: Stamper,
    extra: Option<Box<dyn Extra>>,
    /// What stands before the columns of each row, with its comma.
    series: String,
    row: Row,
    /// The latest time that a sample told.
    latest: Mono,
    flush_at: Mono,
}

impl CsvSink {
    /// Writes the header to a new file.
    ///
    /// # Errors
    ///
    /// The kernel gives no thread.
    pub fn new(file: RowFile, extra: Option<Box<dyn Extra>>) -> io::Result<Self> {
        Self::with_series(file, extra, &[])
    }

    /// The same, with columns before all others that [`CsvSink::set_series`]
    /// fills.
    ///
    /// # Errors
    ///
    /// The kernel gives no thread.
    pub fn with_series(
        file: RowFile,
        extra: Option<Box<dyn Extra>>,
        series: &[&str],
    ) -> io::Result<Self> {
        let more = extra.as_ref().map(|extra| extra.header()).unwrap_or_default();
        let header: Vec<&str> = series.iter().chain(&COLUMNS).chain(&more).copied().collect();
        let header = header.join(",");
        let turns = file.series().map(|series| Turns::new(series, header.len() + 1));
        let file = file.with_header(format!("{header}\n").as_bytes());
        let mut sink = Self {
            file: Outflow::start("csv", MAX_WAITING, file)?,
            gathered: Vec::with_capacity(BUFFER),
            turns,
            stamper: Stamper::new(),
            extra,
            series: String::new(),
            row: Row::default(),
            latest: Mono(0),
            flush_at: Mono::NEVER,
        };
        sink.row.text(header.as_bytes());
        sink.write();
        sink.flush();
        Ok(sink)
    }

    /// What stands in the first columns of the rows from now on, cut off at 48
    /// bytes.
    pub fn set_series(&mut self, values: &[String]) {
        self.series = values.iter().flat_map(|value| [value.as_str(), ","]).collect();
        self.series.truncate(LONGEST_SERIES);
    }

    fn write(&mut self) {
        self.gathered.extend_from_slice(self.row.as_bytes());
        self.gathered.push(b'\n');
        self.row.clear();
    }

    fn flush(&mut self) {
        self.file.push(&self.gathered);
        self.gathered.clear();
        self.flush_at = Mono::NEVER;
    }
}

impl Extra for StreamColumns {
    fn header(&self) -> Vec<&'static str> {
        let tcp = TCP_COLUMNS.iter().filter(|_| self.tcp_info);
        let kernel = KERNEL_COLUMNS.iter().filter(|_| self.kernel_stamps);
        let causes = CAUSE_COLUMNS.iter().filter(|_| self.explain);
        tcp.chain(kernel).chain(causes).copied().collect()
    }

    fn write(&self, row: &mut Row, sample: &Sample) {
        let (info, marked, kernel) = match sample.detail {
            Detail::Tcp { info, retransmitted, kernel, .. } => {
                (info, info.map(|_| u32::from(retransmitted)), kernel)
            }
            _ => (None, None, None),
        };
        if self.explain {
            write_cause(row, sample);
        }
        if self.kernel_stamps {
            let parts = kernel.map(|kernel| [kernel.receive, kernel.send, kernel.round_trip]);
            for place in 0..3 {
                row.thousandths(parts.map(|parts| parts[place]));
                row.comma();
            }
        }
        if self.tcp_info {
            let info = info.unwrap_or_default();
            for value in
                [marked, info.cwnd, info.retransmits, info.min_rtt_us, info.rttvar_us, info.rtt_us]
            {
                row.number(value.map(u64::from));
                row.comma();
            }
        }
    }
}

/// The connection, when the peer's kernel had the packet, and why it was slow.
fn write_cause(row: &mut Row, sample: &Sample) {
    if let Some(explained) = sample.explained {
        row.text(explained.cause.name().as_bytes());
    }
    row.comma();
    let (connection, evidence) = match &sample.detail {
        Detail::Tcp { connection, evidence, .. } => (Some(*connection), *evidence),
        _ => (None, None),
    };
    row.number(evidence.and_then(|evidence| evidence.acked).map(u64::from));
    row.comma();
    row.number(connection.map(u64::from));
    row.comma();
}

impl Sink for CsvSink {
    fn sample(&mut self, sample: &Sample, anchor: &Anchor) -> Result<(), Gone> {
        let sent = anchor.wall(sample.sent);
        let rtt = sample.rtt_nanos();
        // Not read off the wall clock again: the two times are as far apart as
        // the monotonic clock says.
        let received = sample.received().map(|at| anchor.wall(at));
        let row = &mut self.row;
        if let Some(extra) = &self.extra {
            extra.write(row, sample);
        }
        row.thousandths(rtt);
        row.comma();
        if let Some(received) = received {
            nanoseconds(row, &mut self.stamper, received);
        }
        row.comma();
        nanoseconds(row, &mut self.stamper, sent);
        row.comma();
        row.bytes(self.stamper.text());
        row.comma();
        row.number(Some(sample.number));
        row.text(self.series.as_bytes());
        let length = row.as_bytes().len() + 1;
        if self.turns.as_mut().is_some_and(|turns| turns.is_due(length, sample.sent, sent)) {
            self.flush();
            self.file.force(&[TURN]);
        }
        self.write();
        self.latest = self.latest.max(sample.last_seen());
        if self.gathered.len() + row::LONGEST > BUFFER {
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

    fn settle(&mut self) -> u64 {
        self.flush();
        let account = self.file.close(PATIENCE);
        account.refused + account.lost
    }

    fn finish(&mut self, _tally: &Tally, _anchor: &Anchor) {}

    fn close(&mut self) -> u64 {
        self.turns.iter().for_each(Turns::close);
        0
    }
}

/// A time of day as nanoseconds since 1970; before that nothing can be said.
fn nanoseconds(row: &mut Row, stamper: &mut Stamper, wall: Wall) {
    stamper.set(wall);
    match stamper.nanos() {
        Some(digits) => row.bytes(digits),
        None => row.number(Some(u64::try_from(wall.0).unwrap_or(0))),
    }
}

/// One file for several runs after one another.
impl Sink for Arc<Mutex<CsvSink>> {
    fn sample(&mut self, sample: &Sample, anchor: &Anchor) -> Result<(), Gone> {
        held(self).sample(sample, anchor)
    }

    fn deadline(&self) -> Mono {
        held(self).deadline()
    }

    fn tick(&mut self, now: Mono, tally: &Tally) -> Result<(), Gone> {
        held(self).tick(now, tally)
    }

    /// The next run goes on in the same file; who holds it settles it in the end.
    fn settle(&mut self) -> u64 {
        held(self).flush();
        0
    }

    fn finish(&mut self, _tally: &Tally, _anchor: &Anchor) {}
}
