//! What was found, as one JSON object.

use super::both::Way;
use super::carried::Offer;
use super::connection::{Closing, Connection, Reported, Vantage};
use super::join::Join;
use super::side::{Role, Side};
use super::table::Capture;
use super::tell::as_tally;
use super::text::{BothEnds, Found, Joined};
use crate::clock::Wall;
use crate::probe::findings;
use crate::stats::Summary;
use crate::text::object::Object;
use crate::text::series::{micros, percentiles_of};
use crate::text::timestamp::rfc3339;
use crate::wire::packet::Skip;

/// The whole analysis.
pub fn found(found: &Found<'_>, error: Option<&str>) -> Object {
    let capture = found.capture;
    let start = capture.seen.map(|(first, _)| rfc3339(Wall(first)));
    let duration = capture.seen.map(|(first, last)| seconds(last - first));
    let (clock_steps, furthest) = capture.set_back;
    let clock = Object::new().whole("times", u64::from(clock_steps)).number(
        "furthest_s",
        (clock_steps > 0).then(|| seconds(furthest)),
        6,
    );
    let tunnels = capture
        .tunnels
        .iter()
        .fold(Object::new(), |object, (tunnel, count)| object.whole(&key(tunnel.name()), *count));
    let object = Object::new()
        .text("version", env!("CARGO_PKG_VERSION"))
        .text("command", "analyze")
        .text("file", found.files.first().map(String::as_str))
        .texts("files", found.files.iter().map(String::as_str))
        .text("format", found.format)
        .text("start", start.as_deref())
        .number("duration_s", duration, 9)
        .object("packets", packets(capture))
        .object("clock_set_back", clock)
        .object("tunnels", tunnels)
        .array("connections", capture.connections.iter().map(connection));
    let object = match &found.joined {
        Some(joined) => object.object("join", join(joined, capture)),
        None => object.raw("join", "null"),
    };
    let object = match &found.both {
        Some(both) => object.object("peer", self::both(both)),
        None => object.raw("peer", "null"),
    };
    object.array("slowest", slowest(found).into_iter()).text("error", error)
}

#[allow(clippy::cast_precision_loss, reason = "exact to 15 digits")]
fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}

fn packets(capture: &Capture) -> Object {
    let skipped = Skip::NAMES.iter().fold(Object::new(), |object, name| {
        let of_it = capture.skipped.iter().filter(|(skip, _)| skip.name() == *name);
        object.whole(&key(name), of_it.map(|(_, count)| count).sum::<u64>())
    });
    Object::new()
        .whole("total", capture.packets)
        .whole("tcp", capture.looked_at)
        .whole("icmp", capture.reports)
        .whole("other_ports", capture.other_ports)
        .whole("beyond_limit", capture.beyond)
        .whole("without_time", capture.timeless)
        .object("skipped", skipped)
}

fn key(name: &str) -> String {
    name.to_ascii_lowercase().replace(' ', "_")
}

#[allow(clippy::cast_precision_loss, reason = "exact to 15 digits")]
fn span(object: Object, name: &str, nanos: Option<u64>) -> Object {
    micros(object, name, nanos.map(|nanos| nanos as f64))
}

/// Percentiles, where the file has times.
fn timed(connection: &Connection, summary: &Summary) -> Object {
    if connection.timeless { Object::new() } else { percentiles_of(summary) }
}

fn connection(connection: &Connection) -> Object {
    let [client, server] = connection.ends.map(|end| end.to_string());
    let hands = &connection.handshake;
    let known = |span: Option<u64>| span.filter(|_| !connection.timeless);
    let handshake = span(Object::new(), "to_server_us", known(hands.to_server()));
    let handshake = span(handshake, "to_client_us", known(hands.to_client()));
    let handshake = span(handshake, "whole_us", known(hands.whole()));
    let round_trips = connection.requests.round_trips();
    let requests = Object::new()
        .whole("answered", round_trips.count())
        .whole("unanswered", u64::try_from(connection.requests.unanswered()).ok())
        .boolean("echo", connection.requests.is_echo())
        .object("rtt_us", timed(connection, &round_trips.summary()));
    let duration = seconds(connection.seen.1 - connection.seen.0);
    let found = findings(&as_tally(connection));
    let found = found.iter().map(|finding| {
        Object::new().text("name", finding.name()).text("text", finding.to_string().as_str())
    });
    let start = rfc3339(Wall(connection.seen.0));
    Object::new()
        .whole("number", u64::try_from(connection.number).ok())
        .text("client", client.as_str())
        .text("server", server.as_str())
        .text("roles_by", connection.known.name())
        .whole("packets", connection.story.count)
        .text("start", (!connection.timeless).then_some(start.as_str()))
        .number("duration_s", (!connection.timeless).then_some(duration), 9)
        .object("handshake", handshake)
        .object("closing", closing(connection.closing))
        .object("requests", requests)
        .object("from_client", side(connection, &connection.sides[0]))
        .object("from_server", side(connection, &connection.sides[1]))
        .array("icmp", connection.reported.iter().map(reported))
        .array("findings", found)
}

fn reported(reported: &Reported) -> Object {
    Object::new()
        .whole("count", reported.count)
        .number("first_s", seconds(reported.first), 6)
        .text("of", reported.of.name())
        .text("from", reported.error.from.map(|from| from.to_string()).as_deref())
        .whole("type", u64::from(reported.error.kind))
        .whole("code", u64::from(reported.error.code))
        .whole("mtu", reported.error.mtu.map(u64::from))
        .text("text", reported.error.to_string().as_str())
}

fn closing(closing: Closing) -> Object {
    let (how, by, followed) = match closing {
        Closing::Fin(role, followed) => ("fin", Some(role), followed),
        Closing::Reset(role) => ("rst", Some(role), false),
        Closing::Silence => ("silence", None, false),
    };
    Object::new().text("how", how).text("by", by.map(Role::name)).boolean("followed", followed)
}

fn offer(offer: &Offer) -> Object {
    Object::new()
        .whole("mss", offer.segment.map(u64::from))
        .whole("window_scale", offer.scale.map(u64::from))
        .boolean("sack", offer.sack)
        .boolean("timestamps", offer.stamps)
        .boolean("ecn", offer.ecn)
}

fn side(connection: &Connection, side: &Side) -> Object {
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
        .whole("copies", side.copies)
        .whole("duplicate_acks", side.duplicate_acks)
        .whole("zero_windows", side.zero_windows)
        .whole("window_updates", side.window_updates)
        .whole("keep_alives", side.keep_alives)
        .object("offered", side.carried.offer.as_ref().map(offer))
        .whole("ttl_changes", u64::from(side.carried.hops.changes))
        .whole("dscp_changes", u64::from(side.carried.dscp.changes))
        .whole("acknowledged", side.acknowledged_after.count())
        .object("acknowledged_after_us", timed(connection, &side.acknowledged_after.summary()))
}

/// The slowest requests: by the client's own times where its file is there.
fn slowest(found: &Found<'_>) -> Vec<Object> {
    if let Some(joined) = &found.joined {
        let pairs = joined.join.slowest.sorted().map(|(rtt, pair)| {
            let wire = pair.on_the_wire();
            let object = Object::new().text("time", rfc3339(Wall(pair.row.sent)).as_str());
            let object = span(object, "client_us", Some(rtt));
            let object = span(object, "wire_us", Some(wire));
            span(object, "host_us", rtt.checked_sub(wire))
                .whole("sent_again", pair.request.sent_again)
        });
        return pairs.collect();
    }
    let requests = found.slowest.sorted().map(|(wire, (place, request))| {
        let object = Object::new()
            .whole("connection", u64::try_from(place + 1).ok())
            .whole("request", request.number)
            .text("time", rfc3339(Wall(request.begun)).as_str());
        span(object, "wire_us", Some(wire)).whole("sent_again", request.sent_again)
    });
    requests.collect()
}

fn join(joined: &Joined<'_>, capture: &Capture) -> Object {
    let Join { matched, rows_alone, requests_alone, impossible, .. } = *joined.join;
    let vantage = joined.vantage(capture);
    let object = Object::new()
        .whole("matched", matched)
        .whole("rows_alone", rows_alone)
        .whole("requests_alone", requests_alone)
        .whole("impossible", impossible)
        .wholes("connections", joined.numbers())
        .text("captured_at", vantage.map(vantage_name))
        .wholes("flows", joined.connections.iter().filter_map(|one| one.flow))
        .object("client_us", percentiles_of(&joined.join.client))
        .object("wire_us", percentiles_of(&joined.join.wire));
    // Elsewhere the difference holds the path too.
    let (host, beyond) = (percentiles_of(&joined.join.host), Object::new());
    match vantage {
        Some(Vantage::Server | Vantage::Between) => {
            object.object("host_us", beyond).object("beyond_us", host)
        }
        Some(Vantage::Client) | None => object.object("host_us", host).object("beyond_us", beyond),
    }
}

#[allow(clippy::cast_precision_loss, reason = "rounded anyway")]
fn both(ends: &BothEnds) -> Object {
    let way = |way: &Way| {
        Object::new()
            .whole("sent", way.sent)
            .whole("lost", way.lost)
            .whole("not_in_senders_capture", way.unsent)
            .whole("not_covered", way.not_covered)
            .object("one_way_us", percentiles_of(&way.delays))
    };
    let offset = ends.both.offset;
    Object::new()
        .text("file", ends.file.as_str())
        .object("outbound", way(&ends.both.out))
        .object("inbound", way(&ends.both.back))
        .number("offset_us", offset.map(|(offset, _)| offset as f64 / 1e3), 3)
        .number("offset_bound_us", offset.map(|(_, bound)| bound as f64 / 1e3), 3)
        .number("drift_ppm", ends.both.drift_ppm.map(|(drift, _)| drift), 2)
        .number("drift_bound_ppm", ends.both.drift_ppm.map(|(_, error)| error), 2)
        .object("server_us", percentiles_of(&ends.server))
        .whole("not_compared", ends.beyond)
}

fn vantage_name(vantage: Vantage) -> &'static str {
    match vantage {
        Vantage::Client => "client",
        Vantage::Server => "server",
        Vantage::Between => "between",
    }
}
