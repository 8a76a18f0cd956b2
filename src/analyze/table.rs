//! All connections of a capture.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::both::Packets;
use super::connection::Connection;
use super::fragments::{Fragments, Whole};
use super::requests::Answered;
use super::side::Role;
use crate::stats::Few;
use crate::wire::capture::Captured;
use crate::wire::icmp::{IcmpError, Quoted};
use crate::wire::ip::Bytes;
use crate::wire::packet::{Packet, Seen, Skip, TcpPacket};
use crate::wire::tunnel::Tunnel;

/// Connections that are looked at; further ones are only counted.
const MAX_CONNECTIONS: usize = 1 << 16;
/// Kinds of packets that are told apart among those not looked at.
const MAX_KINDS: usize = 64;
/// Packets of several interfaces may be written a little out of order, in
/// nanoseconds; a clock that goes back further was set.
const SLACK: i64 = 10_000_000;
/// The year 2100, in nanoseconds: a later time, or one before 1970, is damage, and
/// differences of what remains have room.
const LATEST: i64 = 4_102_444_800_000_000_000;

/// What is asked of a capture.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// Connections with this port at either end alone.
    pub port: Option<u16>,
    /// Every step of every connection.
    pub all_steps: bool,
    /// Every packet with data, to be compared with the other end's capture.
    pub packets: bool,
}

/// A capture's connections and counts.
#[derive(Debug, Default)]
pub struct Capture {
    wish: Wish,
    /// Packets in all.
    pub packets: u64,
    /// Packets that were looked at.
    pub looked_at: u64,
    /// Packets that were not, by reason.
    pub skipped: Few<Skip, u64>,
    /// Packets in tunnels, by the innermost.
    pub tunnels: Few<Tunnel, u64>,
    /// ICMP errors about connections that are looked at.
    pub reports: u64,
    /// Packets without a time.
    pub timeless: u64,
    /// How often the capture's clock went back, and the furthest, in nanoseconds.
    pub set_back: (u32, i64),
    /// Packets of other ports than the one asked for.
    pub other_ports: u64,
    /// Packets of connections beyond those that are looked at.
    pub beyond: u64,
    /// The first and the last packet, in nanoseconds since 1970.
    pub seen: Option<(i64, i64)>,
    /// In the order of their first packets.
    pub connections: Vec<Connection>,
    /// Packets with data, if they are wanted.
    pub kept: Packets,
    fragments: Fragments,
    /// The latest connection of two ends, the lower address first.
    places: HashMap<(SocketAddr, SocketAddr), usize>,
    /// The latest time since the clock was set.
    latest: Option<i64>,
    /// Where the last packet belonged: mostly the next does too.
    last: Option<((SocketAddr, SocketAddr), usize)>,
}

impl Capture {
    /// With nothing looked at yet.
    pub fn new(wish: Wish) -> Self {
        Self { wish, ..Self::default() }
    }

    /// Takes in a packet; requests that it answers go to `done`, with the number of
    /// their connection.
    #[inline]
    pub fn take(
        &mut self,
        captured: &Captured,
        bytes: &[u8],
        done: &mut dyn FnMut(usize, Answered),
    ) {
        self.packets += 1;
        let known = captured.at.filter(|at| (0..LATEST).contains(at));
        let at = self.time(known);
        let length = usize::try_from(captured.original).unwrap_or(usize::MAX);
        // A file may say that less was on the wire than it holds.
        let bytes = Bytes { kept: bytes, length: length.max(bytes.len()) };
        let seen = Seen::parse(captured.link, bytes);
        if let Some(tunnel) = seen.tunnel {
            *self.tunnels.of(tunnel) += 1;
        }
        match seen.packet {
            Packet::Tcp(packet) => self.segment(&packet, at, known.is_some(), done),
            Packet::Part(datagram, part) => {
                if let Some(whole) = self.fragments.take(&datagram, part, at) {
                    self.put_together(&whole, at, known.is_some(), done);
                }
            }
            Packet::Icmp(error, quoted) => self.report(error, quoted, at),
            Packet::Skipped(why) => self.skip(why),
        }
    }

    /// Follows the capture's clock.
    #[inline]
    fn time(&mut self, at: Option<i64>) -> i64 {
        let Some(at) = at else {
            self.timeless += 1;
            return 0;
        };
        let (first, last) = self.seen.unwrap_or((at, at));
        self.seen = Some((first.min(at), last.max(at)));
        let latest = self.latest.unwrap_or(at);
        if at < latest.saturating_sub(SLACK) {
            self.set_back.0 = self.set_back.0.saturating_add(1);
            self.set_back.1 = self.set_back.1.max(latest - at);
            self.latest = Some(at);
        } else {
            self.latest = Some(latest.max(at));
        }
        at
    }

    /// A segment that came in fragments.
    fn put_together(
        &mut self,
        whole: &Whole,
        at: i64,
        timed: bool,
        done: &mut dyn FnMut(usize, Answered),
    ) {
        let before = self.looked_at;
        match TcpPacket::of(&whole.datagram()) {
            Ok(packet) => self.segment(&packet, at, timed, done),
            Err(error) => self.skip(error.into()),
        }
        if self.looked_at > before {
            self.looked_at += whole.parts - 1;
        } else {
            *self.skipped.of(Skip::Fragment) += whole.parts - 1;
        }
    }

    fn skip(&mut self, why: Skip) {
        let known = self.skipped.len() < MAX_KINDS || self.skipped.get(&why).is_some();
        *self.skipped.of(if known { why } else { why.unnamed() }) += 1;
    }

    /// Takes in an ICMP error.
    fn report(&mut self, error: IcmpError, quoted: Quoted, at: i64) {
        let (one, other) = (quoted.source, quoted.destination);
        let Some(&place) = self.places.get(&(one.min(other), one.max(other))) else {
            return self.skip(Skip::report(&error));
        };
        self.reports += 1;
        let connection = &mut self.connections[place];
        let of = if connection.ends[0] == one { Role::Client } else { Role::Server };
        connection.report(error, of, at);
    }

    fn segment(
        &mut self,
        packet: &TcpPacket<'_>,
        at: i64,
        timed: bool,
        done: &mut dyn FnMut(usize, Answered),
    ) {
        let (one, other) = (packet.source, packet.destination);
        if self.wish.port.is_some_and(|port| one.port() != port && other.port() != port) {
            self.other_ports += 1;
            return;
        }
        let key = (one.min(other), one.max(other));
        let Some(place) = self.place(key, packet, at) else {
            self.beyond += 1;
            return;
        };
        self.looked_at += 1;
        let connection = &mut self.connections[place];
        connection.timeless |= !timed;
        connection.on_epoch(self.set_back.0);
        connection.take(packet, at, self.wish.all_steps, &mut |answered| done(place, answered));
        if self.wish.packets {
            let role =
                if packet.source == connection.ends[0] { Role::Client } else { Role::Server };
            self.kept.take(role, packet, at);
        }
    }

    fn place(
        &mut self,
        key: (SocketAddr, SocketAddr),
        packet: &TcpPacket<'_>,
        at: i64,
    ) -> Option<usize> {
        let known = match self.last {
            Some((last, place)) if last == key => Some(place),
            _ => self.places.get(&key).copied(),
        };
        let place = match known.filter(|&place| !self.connections[place].is_over_for(packet)) {
            Some(place) => place,
            None if self.connections.len() < MAX_CONNECTIONS => {
                let place = self.connections.len();
                self.connections.push(Connection::new(place + 1, packet, at, self.wish.port));
                self.places.insert(key, place);
                place
            }
            None => return None,
        };
        self.last = Some((key, place));
        Some(place)
    }

    /// Nothing more will come; what is known to be answered only now goes to
    /// `done`.
    pub fn end(&mut self, done: &mut dyn FnMut(usize, Answered)) {
        let left_over = self.fragments.end();
        if left_over > 0 {
            *self.skipped.of(Skip::Fragment) += left_over;
        }
        for (place, connection) in self.connections.iter_mut().enumerate() {
            connection.requests.end(&mut |answered| done(place, answered));
        }
    }
}
