//! A series of durations as JSON, in microseconds.

use super::object::Object;
use crate::stats::Summary;

/// The percentiles that stand there, by their keys.
pub const PERCENTILES: [(&str, f64); 5] =
    [("p50", 50.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0), ("p99_9", 99.9)];

/// Nanoseconds as microseconds with three decimals.
pub fn micros(object: Object, key: &str, nanos: Option<f64>) -> Object {
    object.number(key, nanos.map(|nanos| nanos / 1e3), 3)
}

/// One percentile under this key.
#[allow(clippy::cast_precision_loss, reason = "exact to 15 digits")]
pub fn percentile(object: Object, key: &str, series: &Summary, percent: f64) -> Object {
    micros(object, key, series.percentile(percent).map(|nanos| nanos as f64))
}

/// All of them.
pub fn percentiles(object: Object, series: &Summary) -> Object {
    PERCENTILES
        .iter()
        .fold(object, |object, (key, percent)| percentile(object, key, series, *percent))
}

/// Smallest, mean and largest.
#[allow(clippy::cast_precision_loss, reason = "exact to 15 digits")]
pub fn extremes(series: &Summary) -> Object {
    let object = micros(Object::new(), "min", series.min().map(|nanos| nanos as f64));
    let object = micros(object, "mean", series.mean());
    micros(object, "max", series.max().map(|nanos| nanos as f64))
}

/// A series with its extremes and percentiles.
pub fn percentiles_of(series: &Summary) -> Object {
    percentiles(micros(extremes(series), "stddev", series.stddev()), series)
}
