//! The figures of one series of packets, gathered row by row.

use super::outages::Outages;
use super::reader::Row;
use super::reservoir::Reservoir;
use super::timeline::Timeline;
use crate::stats::{Jitter, Summary};

/// All that is known of a series, in constant memory.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Round-trip times.
    pub rtts: Summary,
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
    /// A fair sample of the round-trip times.
    pub sample: Reservoir,
    /// When the first packet was sent, in nanoseconds since 1970.
    pub first: u64,
    /// When the last was.
    pub last: u64,
}

impl Figures {
    /// Those of a series whose first packet was sent then.
    pub fn new(first: u64, seed: u64) -> Self {
        Self {
            rtts: Summary::new(),
            jitter: Jitter::default(),
            lost: 0,
            retransmitted: None,
            outages: Outages::default(),
            timeline: Timeline::new(first),
            sample: Reservoir::new(seed),
            first,
            last: first,
        }
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
            self.jitter.record(rtt);
            self.sample.record(rtt);
            if let Some(outage) = self.outages.received(row.sent) {
                self.timeline.mark(&outage);
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
        }
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
