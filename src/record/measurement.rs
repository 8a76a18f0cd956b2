//! The measurement protocol's series: a row of the table for each, and their
//! part of the JSON.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::held;
use super::json::round_trips;
use crate::clock::{Anchor, nanos};
use crate::probe::{Gone, Notice, Sample, Sink, Tally};
use crate::stats::Summary;
use crate::text::format::Unit;
use crate::text::object::Object;
use crate::wire::measurement::{Kind, Setup};

/// The table's head; [`Series::row`] fits below it.
pub const TABLE_HEAD: &str =
    "type      size  probes  lost          mean           min           max        stddev";

/// What was measured with one setup.
#[derive(Debug)]
pub struct Series {
    /// The setup.
    pub setup: Setup,
    /// Its figures.
    pub tally: Tally,
    /// Payload bits over round-trip time, in bit/s.
    pub throughput: Summary,
}

impl Series {
    /// Throughput of a payload that took `rtt` to come back, in bit/s.
    fn bits_per_second(size: usize, rtt: Duration) -> u64 {
        let bits = u128::from(u64::try_from(size).unwrap_or(u64::MAX)) * 8 * 1_000_000_000;
        u64::try_from(bits / u128::from(nanos(rtt).max(1))).unwrap_or(u64::MAX)
    }

    /// Its row of the table.
    #[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
    pub fn row(&self) -> String {
        let (numbers, unit) = match self.setup.kind {
            Kind::RoundTrip => {
                let unit = Unit::for_largest(self.tally.rtt.max().unwrap_or(0));
                (figures(&self.tally.rtt, |nanos| unit.number(nanos).into()), unit.name())
            }
            Kind::Throughput => {
                (figures(&self.throughput, |bits| format!("{:.3}", bits / 1e6)), "Mbit/s")
            }
        };
        let [mean, min, max, stddev] = numbers;
        format!(
            "{:5}{:>9}{:>8}{:>6}{mean:>14}{min:>14}{max:>14}{stddev:>14} {unit}",
            self.setup.kind.name(),
            self.setup.size,
            self.tally.sent,
            self.tally.sent - self.tally.received,
        )
    }

    /// Its part of the JSON.
    pub fn object(&self) -> Object {
        let throughput = match self.setup.kind {
            Kind::RoundTrip => None,
            Kind::Throughput => Some(megabits(&self.throughput)),
        };
        let object = Object::new()
            .text("type", self.setup.kind.name())
            .whole("size", u64::try_from(self.setup.size).ok())
            .whole("probes", self.setup.probes)
            .number("server_delay_s", self.setup.delay.as_secs_f64(), 9)
            .whole("sent", self.tally.sent)
            .whole("received", self.tally.received)
            .object("rtt_us", round_trips(&self.tally));
        match throughput {
            Some(throughput) => object.object("throughput_mbit_s", throughput),
            None => object.raw("throughput_mbit_s", "null"),
        }
    }
}

fn figures(series: &Summary, text: impl Fn(f64) -> String) -> [String; 4] {
    #[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
    let whole = |value: Option<u64>| value.map(|value| value as f64);
    [series.mean(), whole(series.min()), whole(series.max()), series.stddev()]
        .map(|value| value.map_or("-".to_owned(), &text))
}

/// bit/s as Mbit/s.
fn megabits(series: &Summary) -> Object {
    let number = |value: Option<f64>| value.map(|bits| bits / 1e6);
    #[allow(clippy::cast_precision_loss, reason = "exact to 15 digits")]
    let whole = |value: Option<u64>| number(value.map(|value| value as f64));
    Object::new()
        .number("mean", number(series.mean()), 6)
        .number("min", whole(series.min()), 6)
        .number("max", whole(series.max()), 6)
        .number("stddev", number(series.stddev()), 6)
}

/// Adds up a series' throughput, and all series' samples in one tally.
pub struct SeriesSink {
    size: usize,
    throughput: Arc<Mutex<Summary>>,
    total: Arc<Mutex<Tally>>,
}

impl SeriesSink {
    /// For probes of `size` bytes.
    pub fn new(size: usize, throughput: Arc<Mutex<Summary>>, total: Arc<Mutex<Tally>>) -> Self {
        Self { size, throughput, total }
    }
}

impl Sink for SeriesSink {
    fn sample(&mut self, sample: &Sample, _anchor: &Anchor) -> Result<(), Gone> {
        if let Some(rtt) = sample.rtt() {
            held(&self.throughput).record(Series::bits_per_second(self.size, rtt));
        }
        held(&self.total).sample(sample);
        Ok(())
    }

    fn notice(&mut self, notice: &Notice, _anchor: &Anchor) -> Result<(), Gone> {
        held(&self.total).notice(notice);
        Ok(())
    }

    fn finish(&mut self, _tally: &Tally, _anchor: &Anchor) {}
}
