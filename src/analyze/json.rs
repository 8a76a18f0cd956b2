//! What was found, as one JSON object.

use super::connection::{Closing, Connection, Role, Side};
use super::join::Join;
use super::table::Capture;
use super::text::as_tally;
use crate::clock::Wall;
use crate::probe::findings;
use crate::record::json::{micros, percentiles_of};
use crate::text::object::Object;
use crate::text::timestamp::rfc3339;
use crate::wire::packet::Skip;

/// The whole analysis.
pub fn capture(
    file: &str,
    format: Option<&str>,
    capture: &Capture,
    join: Option<&Join<'_>>,
    error: Option<&str>,
) -> Object {
    let skipped = Skip::ALL
        .iter()
        .zip(capture.skipped)
        .fold(Object::new(), |object, (skip, count)| object.whole(&key(skip.name()), count));
    let packets = Object::new()
        .whole("total", capture.packets)
        .whole("tcp", capture.looked_at)
        .whole("other_ports", capture.other_ports)
        .whole("beyond_limit", capture.beyond)
        .object("skipped", skipped);
    let start = capture.seen.map(|(first, _)| rfc3339(Wall(first)));
    #[allow(clippy::cast_precision_loss, reason = "exact to 15 digits")]
    let duration = capture.seen.map(|(first, last)| (last - first) as f64 / 1e9);
    let object = Object::new()
        .text("version", env!("CARGO_PKG_VERSION"))
        .text("command", "analyze")
        .text("file", file)
        .text("format", format)
        .text("start", start.as_deref())
        .number("duration_s", duration, 9)
        .object("packets", packets)
        .array("connections", capture.connections.iter().map(connection));
    let object = match join {
        Some(join) => object.object("join", self::join(join)),
        None => object.raw("join", "null"),
    };
    object.text("error", error)
}

fn key(name: &str) -> String {
    name.to_ascii_lowercase().replace(' ', "_")
}

#[allow(clippy::cast_precision_loss, reason = "exact to 15 digits")]
fn span(object: Object, name: &str, nanos: Option<u64>) -> Object {
    micros(object, name, nanos.map(|nanos| nanos as f64))
}

fn connection(connection: &Connection) -> Object {
    let [client, server] = connection.ends.map(|end| end.to_string());
    let hands = &connection.handshake;
    let handshake = span(Object::new(), "to_server_us", hands.to_server());
    let handshake = span(handshake, "to_client_us", hands.to_client());
    let handshake = span(handshake, "whole_us", hands.whole());
    let requests = Object::new()
        .whole("answered", connection.requests.round_trips().count())
        .whole("unanswered", u64::try_from(connection.requests.unanswered()).ok())
        .boolean("echo", connection.requests.is_echo())
        .object("rtt_us", percentiles_of(&connection.requests.round_trips().summary()));
    #[allow(clippy::cast_precision_loss, reason = "exact to 15 digits")]
    let duration = (connection.seen.1 - connection.seen.0) as f64 / 1e9;
    let found = findings(&as_tally(connection));
    let found = found.iter().map(|finding| {
        Object::new().text("name", finding.name()).text("text", finding.to_string().as_str())
    });
    Object::new()
        .whole("number", u64::try_from(connection.number).ok())
        .text("client", client.as_str())
        .text("server", server.as_str())
        .whole("packets", connection.story.count)
        .text("start", rfc3339(Wall(connection.seen.0)).as_str())
        .number("duration_s", duration, 9)
        .object("handshake", handshake)
        .object("closing", closing(connection.closing))
        .object("requests", requests)
        .object("from_client", side(&connection.sides[0]))
        .object("from_server", side(&connection.sides[1]))
        .array("findings", found)
}

fn closing(closing: Closing) -> Object {
    let (how, by, followed) = match closing {
        Closing::Fin(role, followed) => ("fin", Some(role), followed),
        Closing::Reset(role) => ("rst", Some(role), false),
        Closing::Silence => ("silence", None, false),
    };
    Object::new().text("how", how).text("by", by.map(Role::name)).boolean("followed", followed)
}

fn side(side: &Side) -> Object {
    let [timed_out, fast, spurious] = side.retransmissions;
    Object::new()
        .whole("packets", side.packets)
        .whole("bytes", side.bytes)
        .whole("retransmissions", timed_out + fast + spurious)
        .whole("timed_out", timed_out)
        .whole("fast", fast)
        .whole("spurious", spurious)
        .whole("out_of_order", side.out_of_order)
        .whole("lost_before", side.lost_before)
        .whole("duplicate_acks", side.duplicate_acks)
        .whole("zero_windows", side.zero_windows)
        .whole("window_updates", side.window_updates)
        .whole("keep_alives", side.keep_alives)
        .whole("acknowledged", side.acknowledged_after.count())
        .object("acknowledged_after_us", percentiles_of(&side.acknowledged_after.summary()))
}

fn join(join: &Join<'_>) -> Object {
    Object::new()
        .whole("matched", join.matched)
        .whole("rows_alone", join.rows_alone)
        .whole("requests_alone", join.requests_alone)
        .whole("impossible", join.impossible)
        .object("client_us", percentiles_of(&join.client))
        .object("wire_us", percentiles_of(&join.wire))
        .object("host_us", percentiles_of(&join.host))
}
