//! All connections of a capture.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::connection::Connection;
use super::requests::Answered;
use crate::wire::capture::Captured;
use crate::wire::ip::Bytes;
use crate::wire::packet::{Packet, Skip, TcpPacket};

/// Connections that are looked at; further ones are only counted.
const MAX_CONNECTIONS: usize = 1 << 16;

/// What is asked of a capture.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wish {
    /// Connections with this port at either end alone.
    pub port: Option<u16>,
    /// Every step of every connection.
    pub all_steps: bool,
}

/// A capture's connections and counts.
#[derive(Debug, Default)]
pub struct Capture {
    wish: Wish,
    /// Packets in all.
    pub packets: u64,
    /// Packets that were looked at.
    pub looked_at: u64,
    /// Packets that were not, by [`Skip::ALL`].
    pub skipped: [u64; Skip::ALL.len()],
    /// Packets of other ports than the one asked for.
    pub other_ports: u64,
    /// Packets of connections beyond those that are looked at.
    pub beyond: u64,
    /// The first and the last packet, in nanoseconds since 1970.
    pub seen: Option<(i64, i64)>,
    /// In the order of their first packets.
    pub connections: Vec<Connection>,
    /// The latest connection of two ends, the lower address first.
    places: HashMap<(SocketAddr, SocketAddr), usize>,
    /// Where the last packet belonged: mostly the next does too.
    last: Option<((SocketAddr, SocketAddr), usize)>,
}

impl Capture {
    /// With nothing looked at yet.
    pub fn new(wish: Wish) -> Self {
        Self { wish, ..Self::default() }
    }

    /// Takes in a packet; requests that it answers go to `done`.
    #[inline]
    pub fn take(&mut self, captured: &Captured, bytes: &[u8], done: impl FnMut(Answered)) {
        self.packets += 1;
        let (first, last) = self.seen.unwrap_or((captured.at, captured.at));
        self.seen = Some((first.min(captured.at), last.max(captured.at)));
        let length = usize::try_from(captured.original).unwrap_or(usize::MAX);
        // A file may say that less was on the wire than it holds.
        let bytes = Bytes { kept: bytes, length: length.max(bytes.len()) };
        match Packet::parse(captured.link, bytes) {
            Packet::Tcp(packet) => self.segment(&packet, captured.at, done),
            Packet::Fragment(_) => self.skip(Skip::Fragment),
            Packet::Skipped(why) => self.skip(why),
        }
    }

    fn skip(&mut self, why: Skip) {
        let places = Skip::ALL.iter().zip(&mut self.skipped);
        places.filter(|(skip, _)| **skip == why).for_each(|(_, count)| *count += 1);
    }

    fn segment(&mut self, packet: &TcpPacket<'_>, at: i64, done: impl FnMut(Answered)) {
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
        self.connections[place].take(packet, at, self.wish.all_steps, done);
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
    pub fn end(&mut self, mut done: impl FnMut(Answered)) {
        for connection in &mut self.connections {
            connection.requests.end(&mut done);
        }
    }
}
