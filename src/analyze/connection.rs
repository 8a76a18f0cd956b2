//! One TCP connection: who is who, how it began and ended, and what was counted.

use std::net::SocketAddr;

use super::requests::{Answered, Requests};
use super::sequence::{Direction, Marks, SENT_AGAIN, judge};
use super::series::Series;
use super::story::{Place, Story};
use crate::wire::packet::TcpPacket;
use crate::wire::tcp::{ACK, FIN, PSH, RST, SYN};

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It connected.
    Client,
    /// It was connected to.
    Server,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// The other end.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What one end did.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// Packets that it sent.
    pub packets: u64,
    /// Bytes of data that it sent, each counted once.
    pub bytes: u64,
    /// Data sent again, after a time-out, as asked for, or in vain.
    pub retransmissions: [u64; 3],
    /// Segments that were overtaken.
    pub out_of_order: u64,
    /// Segments before which something was not seen.
    pub lost_before: u64,
    /// Acknowledgements repeated.
    pub duplicate_acks: u64,
    /// Times that it had no room.
    pub zero_windows: u64,
    /// Updates of its window.
    pub window_updates: u64,
    /// Questions whether the other is there.
    pub keep_alives: u64,
    /// How long its segments waited for their acknowledgement, in nanoseconds.
    pub acknowledged_after: Series,
    /// Its first sequence number.
    first: Option<u32>,
    /// The number after its FIN.
    after_fin: Option<u32>,
    fin_acked: bool,
}

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

/// When the handshake's packets were seen, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Handshake {
    syn: Option<i64>,
    /// The first answer to that SYN, and the last.
    syn_acks: Option<(i64, i64)>,
    /// A SYN after an answer, whose own answer has not come.
    syn_again: Option<i64>,
    ack: Option<i64>,
}

impl Handshake {
    /// Whether its SYN was seen.
    pub fn began(&self) -> bool {
        self.syn.is_some()
    }

    /// From SYN to SYN-ACK, in nanoseconds: the round trip from this place to
    /// the server.
    pub fn to_server(&self) -> Option<u64> {
        span(self.syn?, self.syn_acks?.0)
    }

    /// From SYN-ACK to ACK: the round trip from this place to the client.
    pub fn to_client(&self) -> Option<u64> {
        span(self.syn_acks?.1, self.ack?)
    }

    /// Both together: the round trip of the whole path.
    pub fn whole(&self) -> Option<u64> {
        Some(self.to_server()? + self.to_client()?)
    }
}

fn span(from: i64, to: i64) -> Option<u64> {
    u64::try_from(to.saturating_sub(from)).ok()
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
    /// How it began.
    pub handshake: Handshake,
    /// How it ended.
    pub closing: Closing,
    /// Requests and replies.
    pub requests: Requests,
    /// Its steps.
    pub story: Story,
    directions: [Direction; 2],
}

impl Connection {
    /// A connection of which `packet` is the first that was seen. The client is
    /// who sends SYN; in mid-connection, the end that has not the `port` asked for,
    /// or else the higher one.
    pub fn new(number: usize, packet: &TcpPacket<'_>, at: i64, port: Option<u16>) -> Self {
        let [source, destination] = [packet.source.port(), packet.destination.port()];
        let from_client = if packet.segment.any(SYN) {
            !packet.segment.any(ACK)
        } else if port.is_some_and(|port| (port == source) != (port == destination)) {
            port == Some(destination)
        } else {
            source >= destination
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
            handshake: Handshake::default(),
            closing: Closing::Silence,
            requests: Requests::default(),
            story: Story::default(),
            directions: [Direction::default(), Direction::default()],
        }
    }

    /// Whether a SYN begins another connection of the same two ends.
    pub fn is_over_for(&self, packet: &TcpPacket<'_>) -> bool {
        let side = usize::from(packet.source != self.ends[0]);
        let begins = packet.segment.any(SYN) && !packet.segment.any(ACK);
        begins && self.sides[side].first.is_some_and(|first| first != packet.segment.sequence)
    }

    /// Takes in a packet; requests that it answers go to `done`.
    pub fn take(
        &mut self,
        packet: &TcpPacket<'_>,
        at: i64,
        keep_all: bool,
        mut done: impl FnMut(Answered),
    ) {
        let own = usize::from(packet.source != self.ends[0]);
        let role = if own == 0 { Role::Client } else { Role::Server };
        let segment = &packet.segment;
        self.seen.1 = at;
        let ends_handshake = self.shake_hands(role, packet, at);
        let initial_rtt = self.handshake.whole().and_then(|rtt| i64::try_from(rtt).ok());
        let (client, server) = self.directions.split_at_mut(1);
        let (mine, theirs) = match role {
            Role::Client => (&mut client[0], &mut server[0]),
            Role::Server => (&mut server[0], &mut client[0]),
        };
        let verdict = judge(mine, theirs, segment, at, initial_rtt);
        self.count(own, verdict.marks, verdict.data.fresh);
        if let Some(age) = verdict.ack_rtt {
            self.sides[1 - own].acknowledged_after.record(age);
        }
        let grown = verdict.data.grown;
        // A segment that closes a gap lets count what had been seen behind it.
        let behind = grown.saturating_sub(segment.length);
        let pushed = segment.any(PSH | FIN) || behind > 0;
        match role {
            Role::Client => {
                self.requests.on_server(verdict.unseen, None, &mut done);
                self.requests.on_client(grown - behind, pushed, Some(at), &mut done);
                self.requests.on_client(behind, true, Some(at), done);
            }
            Role::Server => {
                self.requests.on_client(verdict.unseen, true, None, &mut done);
                self.requests.on_server(grown, Some(at), done);
            }
        }
        let acks_fin = self.close(role, packet);
        let replies_to_fin = self.sides[1 - own].after_fin.is_some();
        let place = Place { ends_handshake, acks_fin, replies_to_fin };
        let after = at.saturating_sub(self.seen.0);
        self.story.tell(role, after, (segment, packet.data), verdict.marks, place, keep_all);
    }

    /// Follows the handshake; `true` for the packet that ends it.
    fn shake_hands(&mut self, role: Role, packet: &TcpPacket<'_>, at: i64) -> bool {
        let segment = &packet.segment;
        let side = &mut self.sides[usize::from(role == Role::Server)];
        side.first.get_or_insert(segment.sequence);
        let hands = &mut self.handshake;
        match (segment.any(SYN), segment.any(ACK)) {
            (true, false) if hands.syn_acks.is_some() => hands.syn_again = Some(at),
            (true, false) => hands.syn = Some(at),
            (true, true) if hands.ack.is_none() => {
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
        if segment.any(RST) {
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
