//! The way of flows as one JSON object.

use std::net::IpAddr;
use std::time::Duration;

use super::hops::{End, Fork, Hop, Trail};
use super::inside::Said;
use super::sizes::{Verdict, Why};
use crate::text::object::Object;

fn whole(number: usize) -> Option<u64> {
    u64::try_from(number).ok()
}

fn ports<'a>(trails: impl Iterator<Item = &'a Trail>) -> Vec<u64> {
    trails.map(|trail| u64::from(trail.port)).collect()
}

/// The object's part about hops, those `inside` a connection that stands as well.
pub fn hops(object: Object, trails: &[Trail], inside: &[Said], bad: &[u16]) -> Object {
    let reached = trails.iter().all(Trail::is_reached);
    let flows = trails.iter().enumerate().map(|(place, trail)| flow(place, trail));
    let forks = Fork::all(trails);
    let forks = forks.iter().map(|fork| self::fork(fork, trails, bad));
    let inside = inside.iter().enumerate().map(|(place, said)| self::said(place, *said));
    let object = object.boolean("reached", reached).array("flows", flows);
    object.array("forks", forks).array("established", inside)
}

fn said(place: usize, said: Said) -> Object {
    let from = said.and_then(|(said, _)| said.from);
    let refused = said.filter(|(said, _)| !said.is_passed_out());
    Object::new()
        .whole("hop", whole(place + 1))
        .text("address", from.map(|from| from.to_string()).as_deref())
        .number("rtt_us", said.map(|(_, took)| took.as_secs_f64() * 1e6), 3)
        .text("refused", refused.map(|(said, _)| said.to_string()).as_deref())
}

fn flow(place: usize, trail: &Trail) -> Object {
    let reached = trail.is_reached();
    Object::new()
        .whole("flow", whole(place + 1))
        .whole("local_port", u64::from(trail.port))
        .boolean("reached", reached)
        .text("answer", trail.end.map(End::name))
        .whole("length", whole(trail.hops.len()).filter(|_| reached))
        .text("error", trail.failed.as_deref())
        .array("hops", trail.hops.iter().enumerate().map(|(place, hop)| self::hop(place, hop)))
}

fn hop(place: usize, hop: &Hop) -> Object {
    let micros = |span: Duration| span.as_secs_f64() * 1e6;
    let all = || hop.answers.iter().map(|(_, took)| *took);
    let answers = u32::try_from(hop.answers.len()).unwrap_or(u32::MAX);
    let mean = all().sum::<Duration>().checked_div(answers);
    let times = Object::new()
        .number("min", all().min().map(micros), 3)
        .number("mean", mean.map(micros), 3)
        .number("max", all().max().map(micros), 3);
    let addresses: Vec<String> = hop.addresses().iter().map(IpAddr::to_string).collect();
    let refused = hop.refused.map(|said| said.to_string());
    Object::new()
        .whole("hop", whole(place + 1))
        .texts("addresses", addresses.iter().map(String::as_str))
        .whole("sent", u64::from(hop.sent))
        .whole("answered", u64::from(answers))
        .object("rtt_us", times)
        .text("refused", refused.as_deref())
        .texts("names", hop.names.iter().map(|(_, name)| name.as_str()))
}

fn fork(fork: &Fork, trails: &[Trail], bad: &[u16]) -> Object {
    let is_bad = |flow: usize| bad.contains(&trails[flow].port);
    let blamed = fork.blames(is_bad).map(|(blamed, _)| blamed).unwrap_or_default();
    let branches = fork.branches.iter().map(|(address, flows)| {
        Object::new()
            .text("address", address.to_string().as_str())
            .wholes("local_ports", ports(flows.iter().map(|&flow| &trails[flow])))
            .boolean("bad_flows_alone", blamed.contains(address))
    });
    Object::new().whole("hop", whole(fork.hop)).array("branches", branches)
}

/// What is known of one way.
pub fn size(verdict: &Verdict) -> Object {
    let (why, from) = match verdict.why {
        Why::Interface => ("interface", None),
        Why::Peer => ("peer", None),
        Why::Told(from) => ("icmp", from),
        Why::Vanish => ("black hole", None),
    };
    Object::new()
        .whole("passes", verdict.passes.map(u64::from))
        .whole("fails", verdict.fails.map(u64::from))
        .text("why", why)
        .text("from", from.map(|from| from.to_string()).as_deref())
}
