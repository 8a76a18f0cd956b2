//! One connection in words.

use super::carried::agreed;
use super::connection::{Closing, Connection};
use super::roles::Known;
use super::side::{Role, Side};
use super::story::Step;
use super::table::Capture;
use super::text::seconds;
use crate::clock::Wall;
use crate::probe::{Tally, findings};
use crate::stats::Summary;
use crate::text::format::{Unit, count, duration_or_dash};
use crate::text::timestamp::rfc3339;

/// One connection in full.
pub(super) fn in_full(connection: &Connection, capture: &Capture) -> String {
    let [client, server] = connection.ends;
    let (first, last) = connection.seen;
    let mut text = format!(
        "connection {}: {client} (client) to {server} (server), {}",
        connection.number,
        count(connection.story.count, "packet")
    );
    if !connection.timeless {
        put!(text, ", {} from {}", seconds(last - first), rfc3339(Wall(first)));
    }
    text.push('\n');
    match connection.known {
        Known::Guess => text.push_str(
            "  who is the client is a guess, by the ports: the capture began in mid-connection\n",
        ),
        Known::Echo => text
            .push_str("  captured from mid-connection on; the client is whose words come back\n"),
        Known::Asked | Known::Handshake => {}
    }
    text.push_str(&steps(connection));
    text.push_str(&handshake(connection));
    text.push_str(&carried(connection));
    text.push_str(&end(connection, capture));
    text.push_str(&one_direction(connection));
    text.push_str(&requests(connection));
    for (side, name) in connection.sides.iter().zip(["client", "server"]) {
        text.push_str(&sent(connection, side, name));
    }
    let copies: u64 = connection.sides.iter().map(|side| side.copies).sum();
    if copies > 0 {
        put!(
            text,
            "  {} in the capture twice and counted once: with the same marks of the sender, a \
             moment later (-i any, a bridge or a mirror shows a packet on each interface)\n",
            if copies == 1 { "1 packet is".to_owned() } else { format!("{copies} packets are") }
        );
    }
    for reported in &connection.reported {
        put!(
            text,
            "  of the {}'s packets: {}, {}, first after {}\n",
            reported.of.name(),
            reported.error,
            count(reported.count, "time"),
            seconds(reported.first)
        );
    }
    for finding in findings(&as_tally(connection)) {
        put!(text, "  note: {finding}\n");
    }
    text
}

/// What was negotiated, and marks that changed in mid-connection.
fn carried(connection: &Connection) -> String {
    let mut text = String::new();
    if let Some(agreed) = agreed(connection.sides.each_ref().map(|side| &side.carried)) {
        put!(text, "  agreed on: {agreed}\n");
    }
    for (side, name) in connection.sides.iter().zip(["client", "server"]) {
        let marks = [
            ("the time to live", side.carried.hops, "another way, or another host"),
            ("the DSCP", side.carried.dscp, "marked anew on the way, or by its sender"),
        ];
        for (what, mark, why) in marks {
            let Some((from, to, after)) = mark.changed else { continue };
            let more = match mark.changes {
                1 => String::new(),
                all => format!(", {all} changes in all"),
            };
            put!(
                text,
                "  {what} of the {name}'s packets changed from {from} to {to} after {}{more}: {why}\n",
                seconds(after)
            );
        }
    }
    text
}

/// How it ended.
fn end(connection: &Connection, capture: &Capture) -> String {
    /// A connection that spoke this short before the capture's end may go on.
    const SHORT: i64 = 1_000_000_000;
    let rest = capture.seen.map_or(0, |(_, last)| last - connection.seen.1);
    match connection.closing {
        Closing::Silence if connection.timeless || rest < SHORT => {
            "  still open where the capture ends\n".to_owned()
        }
        Closing::Silence => {
            format!("  not closed: silence for the capture's last {}\n", seconds(rest))
        }
        closing => format!("  {}\n", self::closing(closing)),
    }
}

/// Whether one end's packets are missing altogether.
fn one_direction(connection: &Connection) -> String {
    let [client, server] = connection.sides.each_ref().map(|side| side.packets);
    let (seen, missing) = match (client, server) {
        (0, _) => (Role::Server, Role::Client),
        (_, 0) if connection.was_in_vain() => return String::new(),
        (_, 0) => (Role::Client, Role::Server),
        _ => return String::new(),
    };
    format!(
        "  one direction only: the {}'s packets are not in the capture, though the {} acknowledges \
         them (another way back, or another interface)\n",
        missing.name(),
        seen.name()
    )
}

fn steps(connection: &Connection) -> String {
    let story = &connection.story;
    let mut text = String::new();
    story.first.iter().for_each(|told| text.push_str(&step(told)));
    let left_out = story.left_out();
    if left_out > 0 {
        let ordinary = left_out - story.more_exceptions;
        let more = match story.more_exceptions {
            0 => String::new(),
            more => format!(" and {more} out of it, counted below"),
        };
        let exceptional = if story.exceptions.is_empty() { "" } else { ", but for these" };
        put!(text, "       … {ordinary} more in the ordinary way{more}{exceptional}\n");
    }
    story.exceptions.iter().chain(&story.last).for_each(|told| text.push_str(&step(told)));
    text
}

fn step(step: &Step) -> String {
    let after = seconds(step.after);
    format!("{after:>16} {:>5} {} [{}]\n", step.number, step.text(), step.flags())
}

fn handshake(connection: &Connection) -> String {
    let hands = &connection.handshake;
    let (server, client) = (hands.to_server(), hands.to_client());
    if connection.timeless && hands.began() {
        return String::new();
    }
    if server.is_none() && client.is_none() {
        let what = match (hands.began(), connection.closing) {
            (true, Closing::Reset(Role::Server)) => "refused with RST",
            (true, _) if connection.sides[0].acknowledges => "its answer is not in the capture",
            (true, _) => "the SYN has no answer in the capture",
            (false, _) => "not in the capture",
        };
        return format!("  handshake: {what}\n");
    }
    let shown = duration_or_dash;
    format!(
        "  handshake: SYN to SYN-ACK {} (from here to the server and back), SYN-ACK to ACK {} \
         (to the client and back)\n",
        shown(server),
        shown(client)
    )
}

pub(super) fn closing(closing: Closing) -> String {
    match closing {
        Closing::Fin(first, true) => {
            format!(
                "closed by the {} with FIN, the {} followed",
                first.name(),
                first.other().name()
            )
        }
        Closing::Fin(first, false) => {
            format!(
                "closed by the {} with FIN, the {} did not follow",
                first.name(),
                first.other().name()
            )
        }
        Closing::Reset(role) => format!("reset by the {} with RST", role.name()),
        Closing::Silence => "not closed".to_owned(),
    }
}

fn requests(connection: &Connection) -> String {
    let round_trips = connection.requests.round_trips().summary();
    if round_trips.is_empty() {
        return "  no request with a reply\n".to_owned();
    }
    let kind = if connection.requests.is_echo() { "echoed" } else { "answered" };
    let times = if connection.timeless {
        String::new()
    } else {
        format!(", on the wire {}", figures(&round_trips))
    };
    let mut text = format!("  {} {kind}{times}\n", count(round_trips.count(), "request"));
    let unanswered = u64::try_from(connection.requests.unanswered()).unwrap_or(0);
    if unanswered > 0 {
        put!(text, "  {} without a reply\n", count(unanswered, "request"));
    }
    text
}

/// `min/p50/p90/p99/max = … us`.
#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
pub(super) fn figures(series: &Summary) -> String {
    let unit = Unit::for_largest(series.max().unwrap_or(0));
    let percentile = |percent| series.percentile(percent).map(|value| value as f64);
    let values = [
        series.min().map(|value| value as f64),
        percentile(50.0),
        percentile(90.0),
        percentile(99.0),
        series.max().map(|value| value as f64),
    ];
    format!("min/p50/p90/p99/max = {} {}", unit.numbers(&values), unit.name())
}

/// What one end sent, and what went wrong with it.
fn sent(connection: &Connection, side: &Side, name: &str) -> String {
    let mut text = format!("  {name}: {} bytes in {}", side.bytes, count(side.packets, "packet"));
    let acknowledged = side.acknowledged_after.summary();
    if !acknowledged.is_empty() && !connection.timeless {
        put!(text, ", acknowledged after {}", figures(&acknowledged));
    }
    text.push('\n');
    let [timed_out, fast, spurious] = side.retransmissions;
    let again = timed_out + fast + spurious;
    put!(
        text,
        "    {} ({timed_out} after a time-out, {fast} fast, {spurious} spurious), {}, {} out of \
         order, {}, {} with a gap before",
        count(again, "retransmission"),
        count(side.duplicate_acks, "duplicate ACK"),
        side.out_of_order,
        count(side.zero_windows, "zero window"),
        side.lost_before
    );
    if side.keep_alives > 0 {
        put!(text, ", {}", count(side.keep_alives, "keep-alive"));
    }
    text.push('\n');
    text
}

/// The connection as a run, so that the same rules find the same plateaus.
pub(super) fn as_tally(connection: &Connection) -> Tally {
    let mut tally = Tally { rtt: connection.requests.round_trips().summary(), ..Tally::default() };
    if let Some(whole) = connection.handshake.whole() {
        tally.connect.record(whole);
    }
    let again = connection.sides.iter().flat_map(|side| side.retransmissions).sum::<u64>();
    // What was sent again explains a reply in parts as well.
    tally.slow.in_two_parts = if again == 0 { connection.requests.in_two_parts() } else { 0 };
    tally.slow.after_minimum_rto = again;
    tally
}
