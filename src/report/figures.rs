//! The figures of one series of packets, gathered row by row.

use super::error::Problem;
use super::flows::Flows;
use super::kept::Series;
use super::outages::Outages;
use super::reader::Row;
use super::stretches::{BeforeOutages, Episodes, Shift, loss_shifts, shifts, threshold};
use super::timeline::Timeline;
use crate::stats::clocks::Clocks;
use crate::stats::{Jitter, Summary, nearest_rank};

/// Bits that a value of a long series keeps after its first: 0.006 %.
pub const FINE: u32 = 13;

/// How much came back in what time.
#[derive(Debug, Clone)]
pub struct Throughput {
    /// Of one packet's payload.
    pub bits: u64,
    /// Of all packets.
    pub per_second: Summary,
}

fn per_second_of(bits: u64, nanos: u64) -> u64 {
    let scaled = u128::from(bits) * 1_000_000_000 / u128::from(nanos.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// All that is known of a series, in constant memory.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Round-trip times.
    pub rtts: Summary<FINE>,
    /// Differences of neighbours.
    pub jitter: Jitter,
    /// Packets without a round-trip time.
    pub lost: u64,
    /// Packets with a segment sent again, where the file tells.
    pub retransmitted: Option<u64>,
    /// Packets lost in a row.
    pub outages: Outages,
    /// What happened when.
    pub timeline: Timeline,
    /// The round-trip times in their order.
    pub series: Series,
    /// All of them sorted, where they are few enough, once there is no further one.
    sorted: Option<Vec<u64>>,
    /// Levels and loss rates that moved, in order, once there is no further packet.
    pub shifts: Vec<Shift>,
    /// Slow packets in a row, where all are known.
    pub episodes: Option<Episodes>,
    /// The packets before each outage.
    pub before: BeforeOutages,
    /// Its flows, where the file tells them apart.
    pub flows: Flows,
    /// Payload bits over round-trip time in bit/s, where throughput was measured.
    pub throughput: Option<Throughput>,
    /// What a reflector's clock tells of both ways.
    pub clocks: Clocks,
    /// When the first packet was sent, in nanoseconds since 1970.
    pub first: u64,
    /// When the last was.
    pub last: u64,
}

impl Figures {
    /// Those of a series whose first packet was sent then.
    pub fn new(first: u64) -> Self {
        Self {
            rtts: Summary::new(),
            jitter: Jitter::default(),
            lost: 0,
            retransmitted: None,
            outages: Outages::default(),
            timeline: Timeline::new(first),
            series: Series::default(),
            sorted: None,
            shifts: Vec::new(),
            episodes: None,
            before: BeforeOutages::default(),
            flows: Flows::default(),
            throughput: None,
            clocks: Clocks::default(),
            first,
            last: first,
        }
    }

    /// A packet of a flow, as [`Figures::record`] takes it, too.
    ///
    /// # Errors
    ///
    /// There are more flows than a run has.
    pub fn record_flow(&mut self, row: &Row<'_>, line: u64) -> Result<(), Problem> {
        row.flow.map_or(Ok(()), |flow| self.flows.record(flow, row.rtt, line))
    }

    /// The next packet.
    #[inline]
    pub fn record(&mut self, row: &Row<'_>) {
        self.last = self.last.max(row.sent);
        self.timeline.record(row.sent, row.rtt);
        if let Some(again) = row.retransmitted {
            *self.retransmitted.get_or_insert(0) += u64::from(again);
        }
        if let Some(rtt) = row.rtt {
            self.rtts.record(rtt);
            if let Some(Throughput { bits, per_second }) = &mut self.throughput {
                per_second.record(per_second_of(*bits, rtt));
            }
            self.jitter.record(rtt);
            self.series.record(row.sent, rtt);
            if let Some(outage) = self.outages.received(row.sent) {
                self.timeline.mark(&outage);
                self.before.outage(&outage);
            }
            self.before.record(rtt);
            if let Some(packet) = row.reflected {
                self.clocks.record(packet);
            }
        } else {
            self.lost += 1;
            self.jitter.gap();
            self.outages.lost(row.sent);
        }
    }

    /// There is no further packet.
    pub fn finish(&mut self) {
        if let Some(outage) = self.outages.finish() {
            self.timeline.mark(&outage);
            self.before.outage(&outage);
        }
        self.clocks.settle();
        self.sorted = self.series.sorted();
        self.shifts = shifts(&self.series);
        self.shifts.extend(loss_shifts(&self.timeline));
        self.shifts.sort_unstable_by_key(|shift| shift.at);
        if let (Some(median), (kept, 1)) = (self.percentile(50.0), self.series.kept()) {
            self.episodes = Some(Episodes::of(kept, threshold(median)));
        }
    }

    /// The nearest-rank percentile of round-trip times in nanoseconds: exact where
    /// all are kept.
    pub fn percentile(&self, percent: f64) -> Option<u64> {
        let Some(sorted) = &self.sorted else { return self.rtts.percentile(percent) };
        let rank = nearest_rank(percent, sorted.len() as u64);
        sorted.get(usize::try_from(rank).ok()?.checked_sub(1)?).copied()
    }

    /// How many round trips lie from `low` up to, but without, `high`; exact where all
    /// are kept.
    pub fn count_between(&self, low: u64, high: u64) -> u64 {
        let Some(sorted) = &self.sorted else { return self.rtts.count_between(low, high) };
        let below = |edge| sorted.partition_point(|rtt| *rtt < edge);
        (below(high) - below(low)) as u64
    }

    /// How exactly a percentile of a part is known, in nanoseconds.
    pub fn resolution(&self, percent: f64) -> u64 {
        let value = self.percentile(percent).unwrap_or(0);
        if self.sorted.is_some() { 1 } else { value >> 11 }
    }

    /// Whether the series is not this many times as long as it remembers.
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    pub fn wanders(&self, memories: f64) -> bool {
        let thresholds: Vec<u64> =
            [50.0, 99.0].iter().filter_map(|percent| self.percentile(*percent)).collect();
        let memory = self.series.memory(&thresholds, self.rtts.stddev().unwrap_or(0.0));
        (self.rtts.count() as f64) < memories * memory
    }

    /// Packets in all.
    pub fn sent(&self) -> u64 {
        self.rtts.count() + self.lost
    }

    /// The share that was lost.
    #[allow(clippy::cast_precision_loss, reason = "a share for people")]
    pub fn loss_percent(&self) -> f64 {
        100.0 * self.lost as f64 / self.sent().max(1) as f64
    }

    /// From the first packet to the last, in nanoseconds.
    pub fn nanos(&self) -> u64 {
        self.last - self.first
    }
}
