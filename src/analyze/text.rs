//! What was found, for people.

use super::connection::{Closing, Connection, Role, Side};
use super::join::Join;
use super::story::Step;
use super::table::Capture;
use crate::clock::Wall;
use crate::probe::{Tally, findings};
use crate::stats::Summary;
use crate::text::format::{Unit, count, duration};
use crate::text::timestamp::rfc3339;
use crate::wire::packet::Skip;

/// Connections that are told in full; further ones have a line each.
const IN_FULL: usize = 20;

/// The whole analysis but for the join. `verbose` tells every connection in
/// full.
pub fn capture(file: &str, format: &str, capture: &Capture, verbose: bool) -> String {
    let mut text = head(file, format, capture);
    let full = if verbose { usize::MAX } else { IN_FULL };
    for connection in capture.connections.iter().take(full) {
        text.push('\n');
        text.push_str(&self::connection(connection));
    }
    if capture.connections.len() > full {
        text += "\nfurther connections (--verbose tells them in full):\n";
        for connection in &capture.connections[full..] {
            text += &line(connection);
        }
    }
    text
}

fn head(file: &str, format: &str, capture: &Capture) -> String {
    let connections = u64::try_from(capture.connections.len()).unwrap_or(0);
    let mut text = format!(
        "{file}: {format}, {}, {} of TCP in {}",
        count(capture.packets, "packet"),
        capture.looked_at,
        count(connections, "connection")
    );
    if let Some((first, last)) = capture.seen {
        text += &format!(", {} from {}", seconds(last - first), rfc3339(Wall(first)));
    }
    text.push('\n');
    let skipped = Skip::ALL.iter().zip(capture.skipped).filter(|(_, count)| *count > 0);
    let mut skipped: Vec<String> =
        skipped.map(|(skip, count)| format!("{count} {}", skip.name())).collect();
    if capture.other_ports > 0 {
        skipped.push(format!("{} of other ports", capture.other_ports));
    }
    if capture.beyond > 0 {
        skipped.push(format!("{} of more connections than are looked at", capture.beyond));
    }
    if !skipped.is_empty() {
        text += &format!("not looked at: {}\n", skipped.join(", "));
    }
    text
}

#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
fn seconds(nanos: i64) -> String {
    format!("{:.6} s", nanos as f64 / 1e9)
}

/// One connection in a line.
fn line(connection: &Connection) -> String {
    let [client, server] = connection.ends;
    let round_trips = connection.requests.round_trips().summary();
    let p50 = round_trips.percentile(50.0).map_or("-".to_owned(), duration);
    format!(
        "connection {}: {client} to {server}, {}, {}, p50 {p50}, {}\n",
        connection.number,
        count(connection.story.count, "packet"),
        count(round_trips.count(), "request"),
        closing(connection.closing)
    )
}

/// One connection in full.
pub fn connection(connection: &Connection) -> String {
    let [client, server] = connection.ends;
    let (first, last) = connection.seen;
    let mut text = format!(
        "connection {}: {client} (client) to {server} (server), {}, {} from {}\n",
        connection.number,
        count(connection.story.count, "packet"),
        seconds(last - first),
        rfc3339(Wall(first))
    );
    text.push_str(&steps(connection));
    text.push_str(&handshake(connection));
    text += &format!("  {}\n", closing(connection.closing));
    text.push_str(&requests(connection));
    for (side, name) in connection.sides.iter().zip(["client", "server"]) {
        text.push_str(&sent(side, name));
    }
    for finding in findings(&as_tally(connection)) {
        text += &format!("  note: {finding}\n");
    }
    text
}

fn steps(connection: &Connection) -> String {
    let story = &connection.story;
    let mut text = String::new();
    story.first.iter().for_each(|told| text.push_str(&step(told)));
    let left_out = story.left_out();
    if left_out > 0 {
        let exceptional = if story.exceptions.is_empty() { "" } else { ", but for these" };
        text += &format!("       … {left_out} more in the ordinary way{exceptional}\n");
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
    if server.is_none() && client.is_none() {
        let what = match (hands.began(), connection.closing) {
            (true, Closing::Reset(Role::Server)) => "refused with RST",
            (true, _) => "the SYN has no answer in the capture",
            (false, _) => "not in the capture",
        };
        return format!("  handshake: {what}\n");
    }
    let shown = |span: Option<u64>| span.map_or("-".to_owned(), duration);
    format!(
        "  handshake: SYN to SYN-ACK {} (from here to the server and back), SYN-ACK to ACK {} \
         (to the client and back)\n",
        shown(server),
        shown(client)
    )
}

fn closing(closing: Closing) -> String {
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
        Closing::Silence => "not closed: silence at the end of the capture".to_owned(),
    }
}

fn requests(connection: &Connection) -> String {
    let round_trips = connection.requests.round_trips().summary();
    if round_trips.is_empty() {
        return "  no request with a reply\n".to_owned();
    }
    let kind = if connection.requests.is_echo() { "echoed" } else { "answered" };
    let mut text = format!(
        "  {} {kind}, on the wire {}\n",
        count(round_trips.count(), "request"),
        figures(&round_trips)
    );
    let unanswered = u64::try_from(connection.requests.unanswered()).unwrap_or(0);
    if unanswered > 0 {
        text += &format!("  {} without a reply\n", count(unanswered, "request"));
    }
    text
}

/// `min/p50/p90/p99/max = … us`.
#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
fn figures(series: &Summary) -> String {
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
fn sent(side: &Side, name: &str) -> String {
    let mut text = format!("  {name}: {} bytes in {}", side.bytes, count(side.packets, "packet"));
    let acknowledged = side.acknowledged_after.summary();
    if !acknowledged.is_empty() {
        text += &format!(", acknowledged after {}", figures(&acknowledged));
    }
    text.push('\n');
    let [timed_out, fast, spurious] = side.retransmissions;
    let again = timed_out + fast + spurious;
    text += &format!(
        "    {} ({timed_out} after a time-out, {fast} fast, {spurious} spurious), {}, {} out of \
         order, {}, {} with a gap before",
        count(again, "retransmission"),
        count(side.duplicate_acks, "duplicate ACK"),
        side.out_of_order,
        count(side.zero_windows, "zero window"),
        side.lost_before
    );
    if side.keep_alives > 0 {
        text += &format!(", {}", count(side.keep_alives, "keep-alive"));
    }
    text.push('\n');
    text
}

/// The connection as a run, so that the same rules find the same plateaus.
pub fn as_tally(connection: &Connection) -> Tally {
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

/// The client's file beside the capture.
pub fn join(file: &str, join: &Join<'_>) -> String {
    let mut text = format!(
        "\n{file}: {} found in both, {} of the file and {} of the capture alone\n",
        count(join.matched, "packet"),
        join.rows_alone,
        join.requests_alone
    );
    if join.matched > 0 {
        text += &format!(
            "  the client says       {}\n  on the wire           {}\n  this host's own share {}\n",
            figures(&join.client),
            figures(&join.wire),
            figures(&join.host)
        );
    }
    if join.impossible > 0 {
        text += &format!(
            "  note: {} took longer on the wire than the client says; the capture is of another \
             place or its clock was set\n",
            count(join.impossible, "packet")
        );
    }
    text
}
