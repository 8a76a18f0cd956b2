//! TCP ping on the terminal, in the words of the exercise that it comes from,
//! and its part of the CSV and the JSON.

use super::Run;
use super::csv::Extra;
use super::{screen, terminal, text};
use crate::clock::{Anchor, nanos};
use crate::probe::{Detail, Failure, Gone, Outcome, PingDetail, Sample, Sink, Tally};
use crate::text::format::Brief;
use crate::text::object::Object;
use crate::text::row::Row;
use crate::text::series::{micros, percentiles_of};
use crate::text::timestamp::rfc3339;
use crate::wire::icmp::IcmpError;
use crate::wire::ping;

/// Two lines for each ping, and the summary.
pub struct PingTerminal {
    run: Run,
    quiet: bool,
}

impl PingTerminal {
    /// Prints the header; where `quiet`, nothing but the summary.
    pub fn new(run: Run, quiet: bool) -> Self {
        if !quiet {
            // A reader that has gone is noticed at the first ping.
            let _ = screen::say(&(text::header(&run) + "\n"));
        }
        Self { run, quiet }
    }
}

/// What is said of a ping.
#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
pub fn lines(sample: &Sample) -> String {
    let number = sample.number;
    let Detail::Ping(detail) = &sample.detail else {
        return format!("Packet {number} lost: {}", Failure::Stopped);
    };
    let mut to = detail.local_port.map_or_else(String::new, |port| format!(" from port {port}"));
    if detail.one_of_many {
        put!(to, " to {}", detail.address);
    }
    match (&sample.outcome, detail.failure) {
        (Outcome::Received { .. }, _) => {
            let response = detail.stamped.map_or_else(String::new, |stamped| {
                let request = ping::request(sample.number, &rfc3339(stamped));
                let reply = ping::reply(request.trim_ascii_end());
                format!("Response received is: {}\n", String::from_utf8_lossy(&reply))
            });
            let rtt = milliseconds(sample.rtt().map_or(0, nanos));
            format!("{response}RTT (in milliseconds) of packet {number}{to} is {rtt}")
        }
        (Outcome::Corrupt, _) => {
            format!("Packet {number}{to} corrupt: the answer is not what was sent in upper case")
        }
        (Outcome::Lost, failure) => {
            let failure = failure.unwrap_or(Failure::Stopped);
            // A refusal is an answer of the host, so its time is a round trip.
            let after = if failure == Failure::Refused { "RTT" } else { "known after" };
            let span = nanos(detail.known_after) as f64 / 1e6;
            format!("Packet {number}{to} lost: {failure}; {after} {span:.3} ms")
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
fn milliseconds(nanos: u64) -> Brief {
    brief!("{:.6}", nanos as f64 / 1e6)
}

/// The figures at the end, as the exercise prints them.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mean of nanoseconds, rounded for people"
)]
pub fn closing(tally: &Tally) -> String {
    let rtt = &tally.rtt;
    let figure = |value: Option<u64>| value.map_or("-".into(), milliseconds);
    format!(
        "Maximum RTT (in milliseconds) = {}\n\
         Minimum RTT (in milliseconds) = {}\n\
         Average RTT (in milliseconds) = {}\n\
         Packet loss rate: {:.6}%\n",
        figure(rtt.max()),
        figure(rtt.min()),
        figure(rtt.mean().map(|mean| mean as u64)),
        tally.loss_percent().unwrap_or(0.0),
    )
}

impl Sink for PingTerminal {
    fn sample(&mut self, sample: &Sample, _anchor: &Anchor) -> Result<(), Gone> {
        if self.quiet { Ok(()) } else { screen::say(&(lines(sample) + "\n")) }
    }

    fn aside(&mut self) {
        terminal::new_line();
    }

    fn finish(&mut self, tally: &Tally, _anchor: &Anchor) {
        if terminal::was_interrupted() {
            terminal::new_line();
        }
        let summary = text::summary(&self.run, tally, 0);
        screen::result(terminal::closing(&(closing(tally) + &summary)));
    }
}

/// Ping's columns of the CSV.
pub struct PingColumns;

impl Extra for PingColumns {
    fn header(&self) -> Vec<&'static str> {
        vec![
            "address",
            "connect_us",
            "cause",
            "known_after_us",
            "icmp_type",
            "icmp_code",
            "icmp_from",
        ]
    }

    fn write(&self, row: &mut Row, sample: &Sample) {
        let detail: Option<&PingDetail> = match &sample.detail {
            Detail::Ping(detail) => Some(detail),
            _ => None,
        };
        let failure = detail.and_then(|detail| detail.failure);
        let icmp = failure.and_then(|failure| failure.icmp());
        let from = icmp.and_then(|icmp| icmp.from).map(|from| from.to_string());
        row.text(from.unwrap_or_default().as_bytes());
        row.comma();
        row.number(icmp.map(|icmp| u64::from(icmp.code)));
        row.comma();
        row.number(icmp.map(|icmp| u64::from(icmp.kind)));
        row.comma();
        let known_after = failure.and(detail).map(|detail| nanos(detail.known_after));
        row.thousandths(known_after);
        row.comma();
        let cause = match sample.outcome {
            Outcome::Received { .. } => "",
            Outcome::Corrupt => "corrupt",
            Outcome::Lost => failure.unwrap_or(Failure::Stopped).name(),
        };
        row.text(cause.as_bytes());
        row.comma();
        row.thousandths(detail.and_then(|detail| detail.connect).map(nanos));
        row.comma();
        let address = detail.map(|detail| detail.address.to_string());
        row.text(address.unwrap_or_default().as_bytes());
        row.comma();
    }
}

/// Ping's part of the JSON: connecting as a series of its own, and why pings
/// had no reply.
#[allow(clippy::cast_precision_loss, reason = "exact to 15 digits")]
pub(super) fn object(run: &Run, tally: &Tally) -> Object {
    let causes = tally
        .failures
        .iter()
        .fold(Object::new(), |object, (name, count)| object.whole(name, *count));
    let look_up = run.look_up.map(|span| nanos(span) as f64);
    micros(Object::new(), "look_up_us", look_up)
        .object("connect_us", percentiles_of(&tally.connect))
        .object("causes", causes)
        .array("icmp", tally.reports.iter().map(|(report, times)| told(report, *times)))
}

/// An ICMP error, and how often it came.
fn told(report: &IcmpError, times: u64) -> Object {
    let from = report.from.map(|from| from.to_string());
    Object::new()
        .text("says", report.text())
        .text("from", from.as_deref())
        .whole("version", if report.version6 { 6 } else { 4 })
        .whole("type", u64::from(report.kind))
        .whole("code", u64::from(report.code))
        .whole("mtu", report.mtu.map(u64::from))
        .whole("count", times)
}
