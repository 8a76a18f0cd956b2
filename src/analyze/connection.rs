//! One TCP connection: who is who, how it began and ended, and what was counted.

use std::net::SocketAddr;

use super::alignment::Alignment;
use super::copies::Recent;
use super::handshake::Handshake;
use super::requests::{Answered, Requests, Sent};
use super::roles::{Known, Words};
use super::sequence::{Direction, Marks, SENT_AGAIN, Stamp, Verdict, judge};
use super::side::{Role, Side};
use super::story::{Place, Story};
use crate::wire::icmp::IcmpError;
use crate::wire::packet::TcpPacket;
use crate::wire::tcp::{ACK, FIN, PSH, RST, SYN};

/// How a connection ended, as far as the capture goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// With FIN, by this side first; whether the other followed.
    Fin(Role, bool),
    /// Reset by this side.
    Reset(Role),
    /// Not at all: silence.
    Silence,
}

/// ICMP errors of one connection, those of one kind together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reported {
    /// What they say, and who.
    pub error: IcmpError,
    /// How many.
    pub count: u64,
    /// When the first came, in nanoseconds since the connection's first packet.
    pub first: i64,
    /// Whose packet was not delivered.
    pub of: Role,
}

/// Kinds of ICMP errors of one connection that are told.
const MAX_REPORTED: usize = 8;

/// Where the capture was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vantage {
    /// At the client's host, or so near that it makes no difference.
    Client,
    /// At the server's.
    Server,
    /// On the way.
    Between,
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// Counts from 1 in the capture.
    pub number: usize,
    /// The client's and the server's address.
    pub ends: [SocketAddr; 2],
    /// The client's and the server's figures.
    pub sides: [Side; 2],
    /// The first and the last packet, in nanoseconds since 1970.
    pub seen: (i64, i64),
    /// How it is known who is the client.
    pub known: Known,
    /// How it began.
    pub handshake: Handshake,
    /// How it ended.
    pub closing: Closing,
    /// Requests and replies.
    pub requests: Requests,
    /// Its steps.
    pub story: Story,
    /// What routers and hosts reported of its packets.
    pub reported: Vec<Reported>,
    /// The file does not say when its packets came.
    pub timeless: bool,
    directions: [Direction; 2],
    recent: [Recent; 2],
    alignment: Alignment,
    words: Words,
    /// How often the capture's clock had been set when its last packet came.
    epoch: u32,
}

impl Connection {
    /// A connection of which `packet` is the first that was seen. The client is
    /// who sends SYN; in mid-connection, the end that has not the `port` asked for,
    /// or else the higher one.
    pub fn new(number: usize, packet: &TcpPacket<'_>, at: i64, port: Option<u16>) -> Self {
        let [source, destination] = [packet.source.port(), packet.destination.port()];
        let (from_client, known) = if packet.segment.any(SYN) {
            (!packet.segment.any(ACK), Known::Handshake)
        } else if port.is_some_and(|port| (port == source) != (port == destination)) {
            (port == Some(destination), Known::Asked)
        } else {
            (source >= destination, Known::Guess)
        };
        let (client, server) = if from_client {
            (packet.source, packet.destination)
        } else {
            (packet.destination, packet.source)
        };
        Self {
            number,
            ends: [client, server],
            sides: [Side::default(), Side::default()],
            seen: (at, at),
            known,
            handshake: Handshake::default(),
            closing: Closing::Silence,
            requests: Requests::default(),
            story: Story::default(),
            reported: Vec::new(),
            timeless: false,
            directions: [Direction::default(), Direction::default()],
            recent: [Recent::default(), Recent::default()],
            alignment: Alignment::default(),
            words: Words::default(),
            epoch: 0,
        }
    }

    /// Whether a packet begins another connection of the same two ends: a SYN, or
    /// the answer to one that is not in the capture.
    pub fn is_over_for(&self, packet: &TcpPacket<'_>) -> bool {
        let segment = &packet.segment;
        if !segment.any(SYN) {
            return false;
        }
        let own = usize::from(packet.source != self.ends[0]);
        if segment.any(ACK) {
            let other = 1 - own;
            let answers = |first: u32| {
                let next = self.directions[other].next().unwrap_or(first);
                let taken = segment.acknowledgement.wrapping_sub(first);
                taken > 0 && taken <= next.wrapping_sub(first)
            };
            let asked = self.sides[other].first.filter(|_| self.handshake.began());
            return asked.is_some_and(|first| !answers(first));
        }
        match self.sides[own].first {
            Some(first) => first != segment.sequence,
            // Its answer may have been written before it.
            None => self.directions[1 - own]
                .acknowledged()
                .is_none_or(|ack| ack != segment.sequence.wrapping_add(1)),
        }
    }

    /// The clock of the capture has been set `epoch` times.
    pub fn on_epoch(&mut self, epoch: u32) {
        if std::mem::replace(&mut self.epoch, epoch) != epoch {
            self.handshake.forget_times();
            self.requests.forget_times();
            self.directions.iter_mut().for_each(Direction::forget_times);
        }
    }

    /// Takes in a packet; requests that it answers go to `done`.
    pub fn take(
        &mut self,
        packet: &TcpPacket<'_>,
        at: i64,
        keep_all: bool,
        done: &mut dyn FnMut(Answered),
    ) {
        let own = usize::from(packet.source != self.ends[0]);
        self.seen.1 = self.seen.1.max(at);
        if self.recent[own].is_copy(packet, at) {
            self.sides[own].copies += 1;
            return;
        }
        if self.known == Known::Guess && !self.words.are_spent() {
            match self.words.echoes(own, packet) {
                Some(0) => self.turn_round(),
                Some(_) => self.known = Known::Echo,
                None => {}
            }
        }
        let own = usize::from(packet.source != self.ends[0]);
        let role = if own == 0 { Role::Client } else { Role::Server };
        self.sides[own].carried.see(packet, at.saturating_sub(self.seen.0));
        let segment = &packet.segment;
        let ends_handshake = self.shake_hands(role, packet, at);
        let initial_rtt = self.handshake.whole().and_then(|rtt| i64::try_from(rtt).ok());
        let (client, server) = self.directions.split_at_mut(1);
        let (mine, theirs) = match role {
            Role::Client => (&mut client[0], &mut server[0]),
            Role::Server => (&mut server[0], &mut client[0]),
        };
        let stamp = Stamp {
            identification: packet.identification,
            timestamp: segment.options.timestamps.map(|(own, _)| own),
        };
        let verdict = judge(mine, theirs, (segment, stamp), at, initial_rtt);
        self.count(own, verdict.marks, verdict.data.fresh);
        if let Some(age) = verdict.ack_rtt {
            self.sides[1 - own].acknowledged_after.record(age);
        }
        self.follow(role, packet, at, &verdict, done);
        let acks_fin = self.close(role, packet);
        let replies_to_fin = self.sides[1 - own].after_fin.is_some();
        let place = Place { ends_handshake, acks_fin, replies_to_fin };
        let after = at.saturating_sub(self.seen.0);
        self.story.tell(role, after, (segment, packet.data), verdict.marks, place, keep_all);
    }

    /// Follows requests and replies.
    fn follow(
        &mut self,
        role: Role,
        packet: &TcpPacket<'_>,
        at: i64,
        verdict: &Verdict,
        done: &mut dyn FnMut(Answered),
    ) {
        let segment = &packet.segment;
        self.requests.sent_again = self.sides.iter().map(Side::sent_again).sum();
        let grown = verdict.data.grown;
        // A segment that closes a gap lets count what had been seen behind it.
        let behind = grown.saturating_sub(segment.length);
        match role {
            Role::Client => {
                if !segment.any(SYN | RST) {
                    self.alignment.on_client(segment.sequence);
                }
                let seen = self.answered_by(verdict.unseen);
                self.requests.on_server(seen, None, done);
                let takes = self.segment_size();
                let own = &mut self.sides[0];
                let full = own.is_full(segment.length, takes);
                own.longest = own.longest.max(segment.length);
                let pushed = segment.any(PSH | FIN);
                let begin = self.directions[0].end().unwrap_or(0).wrapping_sub(grown);
                let ahead = segment.sequence.wrapping_add(segment.length).wrapping_sub(begin);
                if ahead < 1 << 31 && verdict.data.fresh > 0 {
                    self.requests.on_segment(ahead, pushed, full);
                }
                let alone = self.directions[1].next() == Some(segment.acknowledgement);
                let (pushed, at) = (Some(pushed), Some(at));
                let sent = Sent { bytes: grown - behind, pushed, full, alone, at };
                self.requests.on_client(sent, done);
                let sent = Sent { bytes: behind, pushed: None, full: true, alone, at };
                self.requests.on_client(sent, done);
            }
            Role::Server => {
                let (bytes, alone) = (verdict.unseen, false);
                let sent = Sent { bytes, pushed: None, full: true, alone, at: None };
                self.requests.on_client(sent, done);
                if segment.length > 0 && segment.any(ACK) {
                    let end = segment.sequence.wrapping_add(segment.length);
                    self.alignment.on_reply(end, segment.acknowledgement);
                }
                let seen = self.answered_by(grown);
                self.requests.on_server(seen, Some(at), done);
            }
        }
    }

    /// It was asked for with SYN, and never came about.
    pub fn was_in_vain(&self) -> bool {
        self.handshake.began() && !self.sides[0].acknowledges
    }

    /// Where the capture was made, by how soon each end answers there: to SYN, and
    /// to data with an acknowledgement.
    pub fn vantage(&self) -> Option<Vantage> {
        /// An end on this host, or on the same as the other, answers sooner, in
        /// nanoseconds.
        const ON_THIS_HOST: u64 = 200_000;
        let leg = |shaken: Option<u64>, sender: &Side| {
            let acknowledged = sender.acknowledged_after.smallest();
            shaken.into_iter().chain(acknowledged).min()
        };
        let client = leg(self.handshake.to_client(), &self.sides[1])?;
        let server = leg(self.handshake.to_server(), &self.sides[0])?;
        Some(if client <= server / 2 || client.max(server) < ON_THIS_HOST {
            Vantage::Client
        } else if server <= client / 2 {
            Vantage::Server
        } else {
            Vantage::Between
        })
    }

    /// How many of the client's bytes are answered, now that the server's stream
    /// has grown by so many.
    fn answered_by(&mut self, grown: u32) -> u32 {
        match self.directions[1].end() {
            Some(end) if grown > 0 => self.alignment.answers(end),
            _ => 0,
        }
    }

    /// The most data in one segment of the client, where both have announced what
    /// they take: less what time stamps take from each segment.
    fn segment_size(&self) -> Option<u32> {
        Some(self.sides[0].takes?.min(self.sides[1].takes?))
    }

    /// The roles were guessed wrong: the one that asks is the client.
    fn turn_round(&mut self) {
        self.ends.swap(0, 1);
        self.sides.swap(0, 1);
        self.directions.swap(0, 1);
        self.recent.swap(0, 1);
        self.requests = Requests::default();
        self.alignment = Alignment::default();
        self.story.turn_round();
        self.words.turn_round();
        self.closing = match self.closing {
            Closing::Fin(role, both) => Closing::Fin(role.other(), both),
            Closing::Reset(role) => Closing::Reset(role.other()),
            Closing::Silence => Closing::Silence,
        };
        self.known = Known::Echo;
    }

    /// An ICMP error came at `at` that quotes a packet of `role`.
    pub fn report(&mut self, error: IcmpError, of: Role, at: i64) {
        let first = at.saturating_sub(self.seen.0);
        let known = self.reported.iter_mut().find(|known| known.error == error && known.of == of);
        if let Some(known) = known {
            known.count += 1;
        } else if self.reported.len() < MAX_REPORTED {
            self.reported.push(Reported { error, count: 1, first, of });
        }
    }

    /// Follows the handshake; `true` for the packet that ends it.
    fn shake_hands(&mut self, role: Role, packet: &TcpPacket<'_>, at: i64) -> bool {
        let segment = &packet.segment;
        let side = &mut self.sides[usize::from(role == Role::Server)];
        side.first.get_or_insert(segment.sequence);
        side.acknowledges |= segment.any(ACK);
        if segment.any(SYN) {
            let stamps = if segment.options.timestamps.is_some() { 12 } else { 0 };
            side.takes =
                segment.options.maximum_segment.map(|most| u32::from(most).saturating_sub(stamps));
            if let [Side { first: Some(client), .. }, Side { first: Some(server), .. }] = self.sides
            {
                self.alignment.on_handshake(client, server);
            }
        }
        let hands = &mut self.handshake;
        match (segment.any(SYN), segment.any(ACK)) {
            (true, false) if hands.syn_acks.is_some() => hands.syn_again = Some(at),
            (true, false) => hands.syn = Some(at),
            (true, true) if hands.ack.is_none() => {
                hands.answered |= hands.syn.is_some();
                // An answer to a SYN sent again: that one's round trip is known.
                hands.syn_acks = match (hands.syn_again.take(), hands.syn_acks) {
                    (None, Some((first, _))) => Some((first, at)),
                    (again, _) => {
                        hands.syn = again.or(hands.syn);
                        Some((at, at))
                    }
                };
            }
            (false, true)
                if role == Role::Client && hands.syn_acks.is_some() && hands.ack.is_none() =>
            {
                hands.ack = Some(at);
                return segment.length == 0 && !segment.any(FIN | RST);
            }
            _ => {}
        }
        false
    }

    fn count(&mut self, own: usize, marks: Marks, fresh: u32) {
        let side = &mut self.sides[own];
        side.packets += 1;
        side.bytes += u64::from(fresh);
        let kinds = [Marks::RETRANSMISSION, Marks::FAST_RETRANSMISSION, Marks::SPURIOUS];
        for (count, kind) in side.retransmissions.iter_mut().zip(kinds) {
            *count += u64::from(marks.any(kind));
        }
        for (count, kind) in [
            (&mut side.out_of_order, Marks::OUT_OF_ORDER),
            (&mut side.lost_before, Marks::LOST),
            (&mut side.duplicate_acks, Marks::DUPLICATE_ACK),
            (&mut side.zero_windows, Marks::ZERO_WINDOW),
            (&mut side.window_updates, Marks::WINDOW_UPDATE),
            (&mut side.keep_alives, Marks::KEEP_ALIVE),
        ] {
            *count += u64::from(marks.any(kind));
        }
        debug_assert!(!marks.any(SENT_AGAIN) || !marks.any(Marks::OUT_OF_ORDER));
    }

    /// Follows the end; `true` for the first acknowledgement of the other's FIN.
    fn close(&mut self, role: Role, packet: &TcpPacket<'_>) -> bool {
        let own = usize::from(role == Role::Server);
        let segment = &packet.segment;
        // A stray behind an orderly end changes nothing.
        if segment.any(RST) && !matches!(self.closing, Closing::Fin(_, true)) {
            self.closing = Closing::Reset(role);
        }
        if segment.any(FIN) {
            let after = segment.sequence.wrapping_add(segment.length).wrapping_add(1);
            self.sides[own].after_fin = Some(after);
            self.closing = match self.closing {
                Closing::Silence => Closing::Fin(role, false),
                Closing::Fin(first, _) if first != role => Closing::Fin(first, true),
                other => other,
            };
        }
        let other = &mut self.sides[1 - own];
        let acks = segment.any(ACK) && other.after_fin == Some(segment.acknowledgement);
        acks && !std::mem::replace(&mut other.fin_acked, true)
    }
}
