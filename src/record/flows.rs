//! Flows beside one another: which are worse, in words, as a table and as JSON.

use super::Run;
use super::json::{packets, round_trips};
use crate::probe::{EventKind, Tally};
use crate::stats::outliers::{Apart, Series};
use crate::text::format::{Brief, Unit, count};
use crate::text::object::Object;

/// Rows that the table shows; the others are counted.
const ROWS: usize = 16;
/// Ports that a sentence names.
const NAMED: usize = 8;

fn judge(flows: &[Tally]) -> Apart {
    let series: Vec<Series> =
        flows.iter().map(|flow| Series::new(flow.sent, flow.troubles(), &flow.rtt)).collect();
    Apart::of(&series)
}

/// How many are unlike the others.
pub(super) fn unlike(tally: &Tally) -> u64 {
    let judged = judge(&tally.flows);
    (0..tally.flows.len()).map(|place| u64::from(judged.why(place).is_some())).sum()
}

fn port(tally: &Tally) -> Brief {
    tally.local.map_or("-".into(), |local| brief!("{}", local.port()))
}

fn ports(flows: &[Tally], places: &[usize]) -> String {
    let mut places = places.to_vec();
    places.sort_unstable();
    let named: Vec<Brief> = places.iter().take(NAMED).map(|place| port(&flows[*place])).collect();
    let more = if places.len() > NAMED { ", …" } else { "" };
    let word = if places.len() == 1 { "source port" } else { "source ports" };
    format!("{word} {}{more}", named.join(", "))
}

/// The table of flows and what sets them apart, where there are several.
pub(super) fn table(run: &Run, tally: &Tally) -> String {
    let flows = &tally.flows;
    if flows.is_empty() {
        return String::new();
    }
    let judged = judge(flows);
    let mut order: Vec<usize> = (0..flows.len()).collect();
    order.sort_unstable_by_key(|place| {
        let flow = &flows[*place];
        let odd = judged.why(*place).is_some();
        std::cmp::Reverse((odd, flow.lost, flow.troubles(), flow.rtt.percentile(99.0)))
    });
    let mut text = format!(
        "{:>5} {:>9} {:>8} {:>7} {:>11} {:>11} {:>6} {:>7}\n",
        "port", "sent", "lost", "resent", "p50", "p99", "stalls", "outages"
    );
    for place in order.iter().take(ROWS) {
        text += &row(&flows[*place], judged.why(*place).is_some());
    }
    if flows.len() > ROWS {
        put!(text, "and {} more\n", count((flows.len() - ROWS) as u64, "flow"));
    }
    text += &sentences(run, flows, &judged);
    text
}

#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
fn row(flow: &Tally, odd: bool) -> String {
    let figure = |percent| {
        flow.rtt.percentile(percent).map_or_else(
            || "-".to_owned(),
            |nanos| {
                let unit = Unit::for_largest(nanos);
                format!("{} {}", unit.number(nanos as f64), unit.name())
            },
        )
    };
    let resent = flow.tcp.as_ref().and_then(|tcp| tcp.retransmits);
    format!(
        "{:>5} {:>9} {:>8} {:>7} {:>11} {:>11} {:>6} {:>7}{}\n",
        port(flow),
        flow.sent,
        flow.lost,
        resent.map_or_else(|| "-".to_owned(), |number| number.to_string()),
        figure(50.0),
        figure(99.0),
        flow.events.of(EventKind::Stall).count,
        flow.events.of(EventKind::Outage).count,
        if odd { " *" } else { "" },
    )
}

#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
fn sentences(run: &Run, flows: &[Tally], judged: &Apart) -> String {
    let mut text = String::new();
    let mut replay = None;
    let all = flows.len();
    if !judged.troubled.is_empty() {
        let bad = judged.troubled.len();
        let (is_bad, good): (Vec<usize>, Vec<usize>) =
            (0..all).partition(|place| judged.troubled.contains(place));
        let of = |places: &[usize]| {
            let sum = |of: fn(&Tally) -> u64| places.iter().map(|place| of(&flows[*place])).sum();
            let (troubles, sent): (u64, u64) = (sum(Tally::troubles), sum(|flow| flow.sent));
            format!("{troubles} of {sent} ({:.1}%)", 100.0 * troubles as f64 / sent.max(1) as f64)
        };
        let verb = if bad == 1 { "is" } else { "are" };
        put!(
            text,
            "{bad} of {all} flows {verb} worse ({}): a loss met {} of their packets, {} of the \
             others'; as if 1 of about {} equal paths were bad\n",
            ports(flows, &judged.troubled),
            of(&is_bad),
            of(&good),
            (all as f64 / bad as f64).round(),
        );
        replay = judged.troubled.first();
    }
    if judged.levels.len() > 1 {
        let usual = judged.usual();
        let groups = judged.levels.iter().enumerate().map(|(place, group)| {
            let level = group.iter().filter_map(|flow| flows[*flow].rtt.percentile(50.0));
            let mut level: Vec<u64> = level.collect();
            level.sort_unstable();
            let median = level.get(level.len() / 2).copied().unwrap_or(0);
            let unit = Unit::for_largest(median);
            let level = format!("{} {}", unit.number(median as f64), unit.name());
            let named = if Some(place) == usual {
                String::new()
            } else {
                format!(" ({})", ports(flows, group))
            };
            format!("{} at {level}{named}", count(group.len() as u64, "flow"))
        });
        let groups: Vec<String> = groups.collect();
        put!(text, "{} groups by round-trip time: {}\n", groups.len(), groups.join(", "));
        replay = replay.or_else(|| judged.levels.last().and_then(|group| group.first()));
    }
    if let Some(flow) = replay {
        let Run { host, port: to, .. } = run;
        put!(
            text,
            "to look at one of them alone: echotest client {host} {to} --source-ports {}\n",
            port(&flows[*flow])
        );
        text += &whereabouts(run, flows, &judged.troubled);
    }
    text
}

/// How to see which routers the bad flows go by, where their ports are in a row.
fn whereabouts(run: &Run, flows: &[Tally], bad: &[usize]) -> String {
    let numbers = flows.iter().map(|flow| flow.local.map(|local| local.port()));
    let Some(ports) = numbers.collect::<Option<Vec<u16>>>() else { return String::new() };
    let in_a_row = ports.windows(2).all(|pair| pair[0].checked_add(1) == Some(pair[1]));
    let Some(first) = ports.first().filter(|_| in_a_row && !bad.is_empty()) else {
        return String::new();
    };
    let marks: Vec<String> = bad.iter().map(|flow| format!("--bad {}", ports[*flow])).collect();
    format!(
        "to see who is on their way: echotest path {} {} --flows {} --source-ports {first} {}\n",
        run.host,
        run.port,
        ports.len(),
        marks.join(" ")
    )
}

/// An entry for each flow, also where there is only one.
pub(super) fn objects(run: &Run, tally: &Tally) -> Vec<Object> {
    if tally.flows.is_empty() {
        let local = tally.local.or(run.local);
        return vec![object(run, tally, 0, local.map(|local| local.port()), None)];
    }
    let judged = judge(&tally.flows);
    let flows = tally.flows.iter().enumerate();
    let each = flows.map(|(place, flow)| {
        object(run, flow, place, flow.local.map(|local| local.port()), judged.why(place))
    });
    each.collect()
}

fn object(
    run: &Run,
    flow: &Tally,
    place: usize,
    port: Option<u16>,
    why: Option<&'static str>,
) -> Object {
    let causes = super::slow::object(flow);
    Object::new()
        .whole("flow", place as u64 + 1)
        .whole("local_port", port.map(u64::from))
        .object("packets", packets(run, flow))
        .object("rtt_us", round_trips(flow))
        .whole("retransmits", flow.tcp.as_ref().and_then(|tcp| tcp.retransmits))
        .whole("stalls", flow.events.of(EventKind::Stall).count)
        .whole("outages", flow.events.of(EventKind::Outage).count)
        .object("slow", causes)
        .boolean("outlier", why.is_some())
        .text("why", why)
}

/// The flow that stands worst, in a few words.
pub(super) fn worst(tally: &Tally) -> Option<String> {
    let worst = tally.flows.iter().max_by_key(|flow| {
        (flow.lost, flow.troubles(), flow.rtt.percentile(99.0).unwrap_or(u64::MAX))
    })?;
    Some(port(worst).into())
}
