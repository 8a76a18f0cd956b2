//! What was found, for people.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;

use super::both::Both;
use super::candidates::Chosen;
use super::connection::{Closing, Connection, Vantage};
use super::join::Join;
use super::requests::Answered;
use super::side::Side;
use super::slowest::Slowest;
use super::table::Capture;
use super::tell::{closing, figures, in_full};
use crate::clock::Wall;
use crate::stats::Summary;
use crate::text::clocks::clocks_apart;
use crate::text::format::{Brief, count, duration, duration_or_dash};
use crate::text::timestamp::rfc3339;
use crate::wire::packet::Skip;

/// Connections that are told in full; further ones have a line each.
const IN_FULL: usize = 20;

/// Everything that was found.
pub struct Found<'run> {
    /// The files, which are one capture in pieces.
    pub files: &'run [String],
    /// What kind of file the first is, if that was known.
    pub format: Option<&'static str>,
    /// What is in them.
    pub capture: &'run Capture,
    /// The client's own file beside it.
    pub joined: Option<Joined<'run>>,
    /// The other end's capture beside it.
    pub both: Option<BothEnds>,
    /// The slowest requests on the wire, with the places of their connections.
    pub slowest: &'run Slowest<(usize, Answered)>,
}

/// The client's own file beside the capture.
pub struct Joined<'run> {
    /// Its name.
    pub file: &'run str,
    /// Packet by packet.
    pub join: &'run Join<'static>,
    /// Which of the capture's connections are the client's.
    pub connections: &'run [Chosen],
}

impl Joined<'_> {
    /// Where the capture was made.
    pub fn vantage(&self, capture: &Capture) -> Option<Vantage> {
        let place = self.connections.first()?;
        capture.connections.get(place.place)?.vantage()
    }

    /// The numbers of the client's connections.
    pub fn numbers(&self) -> impl Iterator<Item = u64> {
        self.connections.iter().map(|one| u64::try_from(one.place + 1).unwrap_or(0))
    }
}

/// The same traffic from both ends.
pub struct BothEnds {
    /// The other end's capture.
    pub file: String,
    /// Packet by packet.
    pub both: Both,
    /// How long the server's host had requests, as the capture there shows.
    pub server: Summary,
    /// Packets that there was no room for.
    pub beyond: u64,
}

impl BothEnds {
    /// Compares two captures; which of them was made at the server, their own
    /// connections tell.
    pub fn new(file: &str, near: &Capture, far: &Capture) -> Self {
        let at_server = |capture: &Capture| {
            let vantages = capture.connections.iter().filter_map(Connection::vantage);
            vantages.filter(|vantage| *vantage == Vantage::Server).count()
        };
        let swapped = at_server(near) > at_server(far);
        let (client, server) = if swapped { (far, near) } else { (near, far) };
        let mut requests = Summary::new();
        for connection in &server.connections {
            requests.absorb(&connection.requests.round_trips().summary());
        }
        Self {
            file: file.to_owned(),
            both: Both::new(&client.kept, &server.kept),
            server: requests,
            beyond: client.kept.beyond + server.kept.beyond,
        }
    }

    fn text(&self) -> String {
        let mut text = format!("\nbeside {}, the other end's capture:\n", self.file);
        for (name, way, there) in [
            ("client to server", &self.both.out, "out"),
            ("server to client", &self.both.back, "back"),
        ] {
            put!(
                text,
                "  {name}: {} with data, {} lost on the way {there}",
                count(way.sent, "packet"),
                way.lost
            );
            if way.not_covered > 0 {
                put!(text, ", {} not within the other capture's time", way.not_covered);
            }
            if way.unsent > 0 {
                put!(text, ", {} not in the sender's capture", way.unsent);
            }
            if !way.delays.is_empty() {
                put!(text, ", one way {}", figures(&way.delays));
            }
            text.push('\n');
        }
        if let Some((offset, bound)) = self.both.offset {
            let clocks =
                clocks_apart(["the server's", "the client's"], offset, bound, self.both.drift_ppm);
            put!(text, "  {clocks}");
            text.push('\n');
        }
        if !self.server.is_empty() {
            put!(text, "  the server's host, request in to reply out: {}\n", figures(&self.server));
        }
        if self.beyond > 0 {
            put!(text, "  {} more were not compared\n", count(self.beyond, "packet"));
        }
        text
    }
}

/// The whole analysis. `verbose` tells every connection in full.
pub fn found(found: &Found<'_>, verbose: bool) -> String {
    let Some(format) = found.format else { return String::new() };
    let capture = found.capture;
    let mut text = head(&found.files.join(", "), format, capture);
    let full = if verbose { usize::MAX } else { IN_FULL };
    if capture.connections.len() > full {
        text.push_str(&totals(capture));
    }
    for connection in capture.connections.iter().take(full) {
        text.push('\n');
        text.push_str(&in_full(connection, capture));
    }
    if capture.connections.len() > full {
        text.push_str(&further(capture, full));
    }
    match &found.joined {
        Some(joined) => text.push_str(&join(joined, capture)),
        None => text.push_str(&slowest(found)),
    }
    if let Some(both) = &found.both {
        text.push_str(&both.text());
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
        put!(text, ", {} from {}", seconds(last - first), rfc3339(Wall(first)));
    }
    text.push('\n');
    if !capture.tunnels.is_empty() {
        let tunnels = capture.tunnels.iter();
        let each: Vec<String> =
            tunnels.map(|(tunnel, count)| format!("{count} in {}", tunnel.name())).collect();
        put!(text, "packets in tunnels: {}\n", each.join(", "));
    }
    let left_out = left_out(capture);
    if !left_out.is_empty() {
        put!(text, "not looked at: {}\n", left_out.join(", "));
    }
    if capture.timeless > 0 {
        put!(
            text,
            "the file has no times for {}: none is told of their connections\n",
            count(capture.timeless, "packet")
        );
    }
    let (times, furthest) = capture.set_back;
    if times > 0 {
        put!(
            text,
            "the clock went back {} in the capture, by {} at the most: nothing is told of spans \
             across that\n",
            count(u64::from(times), "time"),
            seconds(furthest)
        );
    }
    if capture.connections.is_empty() {
        text.push_str(if capture.other_ports > 0 {
            "no TCP connection with that port in it\n"
        } else {
            "no TCP connection in it\n"
        });
    }
    text
}

/// What was not looked at, with the reasons.
fn left_out(capture: &Capture) -> Vec<String> {
    let mut texts = Vec::new();
    for name in Skip::NAMES {
        let of_it = || capture.skipped.iter().filter(|(skip, _)| skip.name() == name);
        let all: u64 = of_it().map(|(_, count)| count).sum();
        if all == 0 {
            continue;
        }
        let kinds: Vec<String> = of_it()
            .filter_map(|(skip, count)| Some(format!("{count} {}", skip.instead()?)))
            .collect();
        let kinds =
            if kinds.is_empty() { kinds.concat() } else { format!(" ({})", kinds.join(", ")) };
        texts.push(format!("{all} {name}{kinds}"));
    }
    if capture.other_ports > 0 {
        texts.push(format!("{} of other ports", capture.other_ports));
    }
    if capture.beyond > 0 {
        texts.push(format!("{} of more connections than are looked at", capture.beyond));
    }
    texts
}

/// What all connections have together.
fn totals(capture: &Capture) -> String {
    let sides = || capture.connections.iter().flat_map(|connection| &connection.sides);
    let sum = |of: fn(&Side) -> u64| sides().map(of).sum::<u64>();
    let reset = |connection: &&Connection| matches!(connection.closing, Closing::Reset(_));
    let resets = capture.connections.iter().filter(reset).count();
    let vain = capture.connections.iter().filter(|one| one.was_in_vain()).count();
    format!(
        "all together: {}, {} out of order, {}, {}, {} reset, {vain} never established\n",
        count(sum(Side::sent_again), "retransmission"),
        sum(|side| side.out_of_order),
        count(sum(|side| side.duplicate_acks), "duplicate ACK"),
        count(sum(|side| side.zero_windows), "zero window"),
        resets
    )
}

/// The connections that are not told in full: the worst first, and what was never
/// established together.
fn further(capture: &Capture, full: usize) -> String {
    let mut text =
        "\nfurther connections, the worst first (--verbose tells them in full):\n".to_owned();
    let rest = &capture.connections[full..];
    let mut told: Vec<&Connection> = rest.iter().filter(|one| !one.was_in_vain()).collect();
    told.sort_by_key(|one| {
        let again: u64 = one.sides.iter().map(Side::sent_again).sum();
        (Reverse(again), one.number)
    });
    text.extend(told.into_iter().map(line));
    let mut vain: HashMap<(IpAddr, IpAddr), Vec<u16>> = HashMap::new();
    for one in rest.iter().filter(|one| one.was_in_vain()) {
        vain.entry((one.ends[0].ip(), one.ends[1].ip())).or_default().push(one.ends[1].port());
    }
    let mut vain: Vec<_> = vain.into_iter().collect();
    vain.sort_unstable();
    for ((client, server), mut ports) in vain {
        let tries = u64::try_from(ports.len()).unwrap_or(0);
        ports.sort_unstable();
        ports.dedup();
        put!(
            text,
            "{client} to {server}: {} in vain, to {}\n",
            count(tries, "connection"),
            count(u64::try_from(ports.len()).unwrap_or(0), "port")
        );
    }
    text
}

#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
pub(super) fn seconds(nanos: i64) -> Brief {
    brief!("{:.6} s", nanos as f64 / 1e9)
}

/// One connection in a line.
fn line(connection: &Connection) -> String {
    let [client, server] = connection.ends;
    let round_trips = connection.requests.round_trips().summary();
    let p50 = duration_or_dash(round_trips.percentile(50.0));
    format!(
        "connection {}: {client} to {server}, {}, {}, p50 {p50}, {}, {}\n",
        connection.number,
        count(connection.story.count, "packet"),
        count(round_trips.count(), "request"),
        count(connection.sides.iter().map(Side::sent_again).sum(), "retransmission"),
        closing(connection.closing)
    )
}

/// The client's file beside the capture.
fn join(joined: &Joined<'_>, capture: &Capture) -> String {
    let join = joined.join;
    let mut text = format!(
        "\n{}: {} found in both, {} of the file and {} of the capture alone\n",
        joined.file,
        count(join.matched, "packet"),
        join.rows_alone,
        join.requests_alone
    );
    let others = capture.connections.len() - joined.connections.len();
    let flows = || joined.connections.iter().filter_map(|one| one.flow);
    if flows().count() > 0 {
        let each = flows().zip(joined.numbers());
        let each: Vec<String> =
            each.map(|(flow, number)| format!("{flow} is connection {number}")).collect();
        put!(text, "  by order and times, flow {}\n", each.join(", "));
    } else if others > 0 && !joined.connections.is_empty() {
        let numbers: Vec<String> = joined.numbers().map(|number| number.to_string()).collect();
        put!(
            text,
            "  it is the file of connection {}, by order and times\n",
            numbers.join(", then ")
        );
    }
    if join.matched == 0 {
        return text;
    }
    let difference = match joined.vantage(capture) {
        None | Some(Vantage::Client) => "this host's own share",
        Some(Vantage::Server) => "on the path and in the client's host (captured at the server)",
        Some(Vantage::Between) => "between the client and this place on the path",
    };
    let width = difference.len().max("the client says".len());
    for (name, series) in
        [("the client says", &join.client), ("on the wire", &join.wire), (difference, &join.host)]
    {
        put!(text, "  {name:<width$} {}\n", figures(series));
    }
    if join.impossible > 0 {
        put!(
            text,
            "  note: {} took longer on the wire than the client says; the capture is of another \
             place or its clock was set\n",
            count(join.impossible, "packet")
        );
    }
    let rows = join.slowest.sorted().map(|(rtt, pair)| {
        let wire = pair.on_the_wire();
        [
            rfc3339(Wall(pair.row.sent)).into(),
            duration(rtt).into(),
            duration(wire).into(),
            duration_or_dash(rtt.checked_sub(wire)).into(),
            again(pair.request.sent_again),
        ]
    });
    text += &columns(["time", "client", "on the wire", "the rest", ""], rows);
    text
}

/// The slowest requests on the wire, where there are more than a few.
fn slowest(found: &Found<'_>) -> String {
    const FEW: u64 = 20;
    let connections = &found.capture.connections;
    let all: u64 = connections.iter().map(|one| one.requests.round_trips().count()).sum();
    if all < FEW || found.capture.timeless > 0 {
        return String::new();
    }
    let echoes = |place: &usize| connections.get(*place).is_some_and(|one| one.requests.is_echo());
    let rows = found.slowest.sorted().filter(|(_, (place, _))| echoes(place)).map(
        |(wire, (place, request))| {
            [
                rfc3339(Wall(request.begun)).into(),
                (place + 1).to_string(),
                request.number.to_string(),
                duration(wire).into(),
                again(request.sent_again),
            ]
        },
    );
    columns(["time", "connection", "request", "on the wire", ""], rows)
}

/// What the capture shows beside a slow request.
fn again(sent_again: u64) -> String {
    match sent_again {
        0 => "nothing was sent again".to_owned(),
        1 => "1 segment was sent again meanwhile".to_owned(),
        many => format!("{many} segments were sent again meanwhile"),
    }
}

/// The slowest as a table.
fn columns<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.max().unwrap_or(0).max(head[column].len())
    };
    let mut text = "\nthe slowest:\n".to_owned();
    for row in std::iter::once(head.map(str::to_owned)).chain(rows.iter().cloned()) {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(column, cell)| match column + 1 {
                last if last == N => cell.clone(),
                _ => format!("{cell:>width$}", width = width(column)),
            })
            .collect();
        put!(text, "  {}\n", cells.join("  ").trim_end());
    }
    text
}
