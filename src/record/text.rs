//! The sentences that terminal and log share.

use super::{Run, addresses, events, flows, slow};
use crate::clock::nanos;
use crate::probe::{Detail, Notice, Outcome, Sample, Tally, findings};
use crate::stats::Summary;
use crate::text::format::{Brief, Unit, count, duration, seconds, short_seconds};

/// What is about to be done.
pub fn header(run: &Run) -> String {
    let pace = if run.frequency.is_zero() {
        "each as soon as the reply is in".to_owned()
    } else {
        format!("one every {}", short_seconds(run.frequency))
    };
    let what = if run.size == 0 { String::new() } else { format!(" of {} bytes", run.size) };
    let look_up = run.look_up.map(|span| format!(", name looked up in {}", duration(nanos(span))));
    let packets = if run.count == 0 { "packets".into() } else { count(run.count, "packet") };
    let flows = match run.flows {
        0 | 1 => String::new(),
        flows => format!(" on each of {flows} flows"),
    };
    format!(
        "{} to {} ({}): {packets}{what}{flows}, {pace}, timeout {}{}",
        run.protocol,
        run.host,
        run.address,
        short_seconds(run.timeout),
        look_up.unwrap_or_default()
    )
}

/// What became of a packet.
pub fn sample(sample: &Sample, size: usize) -> String {
    if matches!(sample.detail, Detail::Ping(_)) {
        return super::ping::lines(sample).replace('\n', "; ");
    }
    let number = sample.number;
    match sample.outcome {
        Outcome::Received { late, .. } => {
            let rtt = duration(sample.rtt().map_or(0, nanos));
            let late = if late { " (late)" } else { "" };
            let more = match &sample.detail {
                Detail::Twamp(detail) => super::twamp::packet(sample, detail),
                _ => sample.explained.map(slow::packet).unwrap_or_default(),
            };
            format!("packet {number}: {size} bytes, rtt {rtt}{late}{more}")
        }
        Outcome::Lost if !sample.went_out => {
            format!("packet {number}: lost, no connection when it was due")
        }
        Outcome::Lost => format!("packet {number}: lost, no reply"),
        Outcome::Corrupt => format!("packet {number}: corrupt, the reply is not what was sent"),
    }
}

/// What happened.
pub fn notice(notice: &Notice) -> String {
    match notice {
        Notice::Overdue { number, age, .. } => {
            format!("packet {number}: no reply after {}, still waiting", seconds(*age))
        }
        Notice::Down { lived, cause, local, .. } => events::down(cause, *local, *lived),
        Notice::Attempt { attempted, .. } => events::attempt(attempted),
        Notice::PortTaken { attempted, .. } => {
            format!("{}; trying for a minute", events::attempt(attempted))
        }
        Notice::Up { connection, .. } => events::up(connection),
        Notice::Begun(event) => events::begun(event),
        Notice::Event(event) => events::event(event),
        Notice::PathBack { after, .. } => format!(
            "the path is back after {}: another connection is answered; this one is silent still",
            seconds(*after)
        ),
        Notice::TooManyOutstanding { outstanding, .. } => {
            format!("{outstanding} packets are unanswered: none is sent until replies come")
        }
        Notice::Duplicate { number, .. } => format!("packet {number}: its reply came twice"),
        Notice::Reordered { number, .. } => {
            format!("packet {number}: its reply came after that to a later packet")
        }
        Notice::TooLate { number, .. } => {
            format!("packet {number}: its reply came after the timeout")
        }
        Notice::Counted { sequence: Some(sequence), .. } => {
            format!("a copy of the last packet has the reflector's number {sequence}")
        }
        Notice::Counted { sequence: None, .. } => {
            "no answer to a copy of the last packet, which was to tell the reflector's count"
                .to_owned()
        }
        Notice::Pause { span, skipped: 0, .. } => {
            let span = seconds(*span);
            format!(
                "this host stood still for {span}; round trips in that time are not the network's"
            )
        }
        Notice::Pause { span, skipped, .. } => format!(
            "this host stood still for {}; round trips in that time are not the network's, and \
             {} due then {} skipped",
            seconds(*span),
            count(*skipped, "packet"),
            if *skipped == 1 { "is" } else { "are" }
        ),
        Notice::NotRecorded { count: packets, .. } => format!(
            "{} not recorded: the thread that records did not keep up",
            packets_were(*packets)
        ),
        #[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
        Notice::ClockStep { by, .. } => format!(
            "the wall clock was set by {:+.6} s; round-trip times do not depend on it, \
             times of day follow it from here on, and those of the second before may be old",
            *by as f64 / 1e9
        ),
    }
}

fn packets_were(packets: u64) -> Brief {
    brief!("{} {}", count(packets, "packet"), if packets == 1 { "was" } else { "were" })
}

/// A run's figures. `outstanding` packets are sent and not in the tally yet.
pub fn summary(run: &Run, tally: &Tally, outstanding: usize) -> String {
    let sent = tally.sent + u64::try_from(outstanding).unwrap_or(0);
    let waiting =
        if outstanding > 0 { format!(", {outstanding} outstanding") } else { String::new() };
    let skipped = match tally.skipped {
        0 => String::new(),
        skipped => format!(", {skipped} skipped"),
    };
    let at_each = tally.by_address();
    let mut text = format!(
        "--- {} {} statistics ---\n\
         {} sent, {} received, {} lost ({:.1}% loss){waiting}, {} late, {} corrupt{skipped}, time {}\n",
        addresses::heading(run, &at_each),
        run.protocol,
        count(sent, "packet"),
        tally.received,
        tally.lost,
        tally.loss_percent().unwrap_or(0.0),
        tally.late,
        tally.corrupt,
        seconds(tally.elapsed()),
    );
    text.push_str(&round_trips(tally));
    text.push_str(&addresses::lines(&at_each));
    text.push_str(&parts(tally));
    if let Some((p50, p99)) = run.floor {
        let (p50, p99) = (duration(p50), duration(p99));
        put!(text, "floor: this host alone, over loopback, p50 {p50}, p99 {p99}\n");
    }
    if let Some(directions) = &tally.directions {
        text.push_str(&super::twamp::summary(directions, tally));
    }
    if tally.established > 0 || tally.directions.is_none() {
        text.push_str(&connections(tally));
    }
    text.push_str(&events::summary(tally));
    text.push_str(&slow::table(&tally.slow));
    text.push_str(&flows::table(run, tally));
    if run.protocol == "ping" {
        text.push_str(&connecting(tally));
    }
    if run.tcp_info {
        text.push_str(&kernel(tally));
    }
    if tally.not_recorded > 0 {
        put!(text, "{} not recorded\n", packets_were(tally.not_recorded));
    }
    for finding in findings(tally) {
        put!(text, "note: {finding}\n");
    }
    text
}

/// Round trips in parts, where the kernel stamped them.
fn parts(tally: &Tally) -> String {
    let Some(kernel) = &tally.kernel else { return String::new() };
    let Some(max) = kernel.round_trip.max() else {
        return "kernel to kernel: no stamps\n".to_owned();
    };
    let unit = Unit::for_largest(max);
    let name = unit.name();
    format!(
        "kernel to kernel p50/p90/p99/p99.9 = {} {name}\n\
         this host's share, sending {} {name}, receiving {} {name}; {} without stamps\n",
        percentiles(&kernel.round_trip, unit),
        percentiles(&kernel.send, unit),
        percentiles(&kernel.receive, unit),
        count(kernel.missing, "packet"),
    )
}

/// Connecting, where every packet does it, and why packets had no reply.
fn connecting(tally: &Tally) -> String {
    let mut text = String::new();
    if let Some(max) = tally.connect.max() {
        let unit = Unit::for_largest(max);
        let figures = percentiles(&tally.connect, unit);
        put!(text, "connect p50/p90/p99/p99.9 = {figures} {}\n", unit.name());
    }
    if !tally.failures.is_empty() {
        let each = tally.failures.iter().map(|(name, count)| format!("{count} {name}"));
        put!(text, "not received: {}\n", each.collect::<Vec<_>>().join(", "));
    }
    for (report, times) in tally.reports.iter() {
        put!(text, "the network said, {}: {report}\n", count(*times, "time"));
    }
    text
}

/// The kernel's view of the last connection.
fn kernel(tally: &Tally) -> String {
    let Some(tcp) = &tally.tcp else { return String::new() };
    let number = |value: Option<u32>| value.map_or("-".to_owned(), |value| value.to_string());
    format!(
        "kernel: smoothed rtt {} us, minimum {} us, cwnd {}, MSS {}, {}; {} came \
         after this host had sent something again\n",
        number(tcp.rtt_us),
        number(tcp.min_rtt_us),
        number(tcp.cwnd),
        number(tcp.mss),
        tcp.congestion_control.as_deref().unwrap_or("-"),
        replies(tally.retransmitted),
    )
}

fn replies(number: u64) -> Brief {
    if number == 1 { "1 reply".into() } else { brief!("{number} replies") }
}

#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
fn round_trips(tally: &Tally) -> String {
    let rtt = &tally.rtt;
    let Some(max) = rtt.max() else { return String::new() };
    let unit = Unit::for_largest(max);
    let name = unit.name();
    let extremes = [rtt.min().map(|v| v as f64), rtt.mean(), Some(max as f64), rtt.stddev()];
    let jitter =
        tally.jitter.mean().map(|jitter| format!(", jitter {} {name}", unit.number(jitter)));
    let percentiles_of_rtt = percentiles(rtt, unit);
    let mut text = format!(
        "rtt min/avg/max/stddev = {} {name}\nrtt p50/p90/p99/p99.9 = {percentiles_of_rtt} {name}{}\n",
        unit.numbers(&extremes),
        jitter.unwrap_or_default(),
    );
    let from_due = percentiles(&tally.response, unit);
    if from_due != percentiles_of_rtt {
        put!(text, "from due time p50/p90/p99/p99.9 = {from_due} {name}\n");
    }
    text
}

#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
fn percentiles(series: &Summary, unit: Unit) -> String {
    unit.numbers(&[50.0, 90.0, 99.0, 99.9].map(|p| series.percentile(p).map(|v| v as f64)))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mean of nanoseconds, rounded for people"
)]
fn connections(tally: &Tally) -> String {
    let mut text =
        format!("{}, {}", count(tally.established, "connection"), count(tally.drops, "drop"));
    if tally.drops > 0 {
        put!(text, ", outage {}", seconds(tally.outage));
    }
    if let Some(connect) = tally.connect.mean() {
        put!(text, ", connect {}", duration(connect as u64));
    }
    if let Some(retransmits) = tally.tcp.as_ref().and_then(|tcp| tcp.retransmits) {
        put!(text, ", {}", count(retransmits, "retransmission"));
    }
    text.push('\n');
    text
}
