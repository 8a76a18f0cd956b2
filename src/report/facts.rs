//! The figures of runs as a table: what the terminal and the page show.

use super::figures::Throughput;
use super::outages::Outage;
use super::run::Run;
use super::words;
use crate::stats::Summary;
use crate::text::format::Unit;

/// One line of the table: a name and a text for each run.
#[derive(Debug, Clone)]
pub struct Fact {
    /// What it is.
    pub name: String,
    /// Its value for each run.
    pub values: Vec<String>,
}

/// The unit in which all round-trip times of these runs are shown.
pub fn unit(runs: &[Run]) -> Unit {
    Unit::for_largest(runs.iter().filter_map(|run| run.figures.rtts.max()).max().unwrap_or(0))
}

/// Names of percentiles that are shown.
pub const PERCENTILES: [(&str, f64); 5] =
    [("p50", 50.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0), ("p99.9", 99.9)];

/// All lines of the table.
#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
pub fn table(runs: &[Run]) -> Vec<Fact> {
    let unit = unit(runs);
    let line = |name: String, value: &dyn Fn(&Run) -> String| Fact {
        name,
        values: runs.iter().map(value).collect(),
    };
    let plain = |name: &str, value: &dyn Fn(&Run) -> String| line(name.to_owned(), value);
    let time = |name: &str, value: &dyn Fn(&Run) -> Option<f64>| {
        line(format!("{name}, {}", unit.name()), &|run: &Run| {
            value(run).map_or("-".to_owned(), |nanos| unit.number(nanos).into())
        })
    };
    let mut facts = vec![
        plain("packets", &|run| run.figures.sent().to_string()),
        plain("lost", &|run| run.figures.lost.to_string()),
        plain("loss", &|run| format!("{:.3} %", run.figures.loss_percent())),
        plain("outages", &|run| run.figures.outages.count().to_string()),
        plain("outages, time", &|run| span_or_none(run.figures.outages.nanos())),
        plain("longest outage", &|run| {
            span_or_none(run.figures.outages.longest().first().map_or(0, Outage::nanos))
        }),
        time("min", &|run| run.figures.rtts.min().map(|min| min as f64)),
        time("mean", &|run| run.figures.rtts.mean()),
    ];
    for (name, percent) in PERCENTILES {
        facts.push(time(name, &|run| run.figures.percentile(percent).map(|p| p as f64)));
    }
    facts.extend([
        time("max", &|run| run.figures.rtts.max().map(|max| max as f64)),
        time("stddev", &|run| run.figures.rtts.stddev()),
        time("jitter", &|run| run.figures.jitter.mean()),
    ]);
    if runs.iter().any(|run| run.figures.throughput.is_some()) {
        let rate = |name: &str, value: &dyn Fn(&Summary) -> Option<f64>| {
            line(format!("{name} Mbit/s"), &|run: &Run| {
                let rates = run.figures.throughput.as_ref();
                let rate = rates.and_then(|rates| value(&rates.per_second));
                rate.map_or_else(|| "-".to_owned(), |bits| format!("{:.3}", bits / 1e6))
            })
        };
        facts.extend([
            rate("mean", &Summary::mean),
            rate("min", &|rates| rates.min().map(|bits| bits as f64)),
            rate("max", &|rates| rates.max().map(|bits| bits as f64)),
        ]);
    }
    if runs.iter().any(|run| run.figures.retransmitted.is_some()) {
        facts.push(plain("retransmitted", &|run| {
            run.figures.retransmitted.map_or("-".to_owned(), |count| count.to_string())
        }));
    }
    facts.push(plain("began", &|run| {
        let figures = &run.figures;
        if figures.sent() == 0 {
            "-".to_owned()
        } else {
            words::time_to_the_second(figures.first).into()
        }
    }));
    facts.push(plain("lasted", &|run| span_or_none(run.figures.nanos())));
    facts
}

/// The throughput of series that measured it: which, bytes of a packet, and the smallest,
/// mean and largest in Mbit/s.
#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
pub fn throughputs(runs: &[Run]) -> Vec<(&Run, u64, [f64; 3])> {
    let mut all = Vec::new();
    for run in runs {
        if let Some(Throughput { bits, per_second: rates }) = &run.figures.throughput
            && let (Some(min), Some(mean), Some(max)) = (rates.min(), rates.mean(), rates.max())
        {
            all.push((run, bits / 8, [min as f64, mean, max as f64].map(|bits| bits / 1e6)));
        }
    }
    all
}

fn span_or_none(nanos: u64) -> String {
    if nanos == 0 { "-".to_owned() } else { words::span(nanos).into() }
}
