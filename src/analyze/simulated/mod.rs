//! Conversations with known truth, for tests: two hosts with a small TCP on a path
//! that loses, delays, overtakes and doubles, captured at both of its ends.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::struct_excessive_bools,
    reason = "a simulation's small numbers and many choices"
)]

mod frame;
mod host;
mod properties;
mod truth;

use std::collections::BTreeMap;

use crate::stats::random::Random;
use host::Host;

/// Nanoseconds of the simulation's own clock, which nothing sets.
pub(super) type Nanos = i64;

const US: Nanos = 1_000;
const MS: Nanos = 1_000_000;
/// Nobody waits longer for a conversation's end.
const LONGEST: Nanos = 120_000 * MS;
/// What a host needs to take a packet in.
const TAKES: Nanos = 3 * US;

/// The two ends, as places of arrays.
pub(super) const CLIENT: usize = 0;
pub(super) const SERVER: usize = 1;

/// What a conversation is like.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    pub(super) version6: bool,
    /// Datagrams are numbered; always where there are no time stamps.
    pub(super) numbered: bool,
    pub(super) stamps: bool,
    pub(super) sack: bool,
    pub(super) maximum_segment: u64,
    pub(super) requests: u64,
    pub(super) request: u64,
    /// From request to request; 0 where each waits for the reply before.
    pub(super) interval: Nanos,
    pub(super) think: Nanos,
    /// Of the way from each end.
    pub(super) delay: [Nanos; 2],
    pub(super) jitter: Nanos,
    /// Of each way's packets, in thousandths: lost, overtaken, doubled.
    pub(super) lost: [u64; 2],
    pub(super) overtaken: u64,
    pub(super) doubled: u64,
    /// A tail-loss probe is sent before the time-out.
    pub(super) probes: bool,
}

impl Shape {
    pub(super) fn of(random: &mut Random) -> Self {
        let mut one_of = |all: &[u64]| all[random.below(all.len() as u64) as usize];
        let stamps = one_of(&[0, 1, 1]) == 1;
        let version6 = one_of(&[0, 0, 1]) == 1;
        let trouble = one_of(&[0, 1, 1, 1]);
        let delay = one_of(&[40, 500, 5_000, 20_000, 60_000]) as Nanos * US;
        let skew = one_of(&[1, 1, 2, 3]) as Nanos;
        let request = one_of(&[2, 64, 64, 700, 1448, 3_000, 20_000, 60_000]);
        // Where one that does not fit into the first window ends and the next begins,
        // no capture can tell unless the next waits.
        let waits = if request > 10_000 { 1 } else { one_of(&[0, 0, 0, 1]) };
        Self {
            version6,
            numbered: !version6 && one_of(&[0, 1, 1]) == 1,
            stamps,
            sack: one_of(&[0, 1, 1]) == 1,
            maximum_segment: if stamps { 1448 } else { 1460 },
            requests: one_of(if request > 10_000 { &[2, 6] } else { &[3, 20, 60] }),
            request,
            interval: (1 - waits) as Nanos
                * one_of(&[2_000, 10_000, 100_000, 250_000]) as Nanos
                * US,
            think: one_of(&[10, 10, 3_000]) as Nanos * US,
            delay: [delay, delay * skew],
            jitter: one_of(&[5, 100, 4_000]) as Nanos * US,
            lost: [trouble * one_of(&[0, 10, 50, 200]), trouble * one_of(&[0, 10, 50, 200])],
            overtaken: trouble * one_of(&[0, 0, 20, 80]),
            doubled: trouble * one_of(&[0, 0, 0, 30]),
            probes: one_of(&[0, 1]) == 1,
        }
    }
}

/// One packet that left, as its sender knows it. Places in streams are counted from
/// 0, the SYN.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) side: usize,
    pub(super) from: u64,
    /// Bytes of data.
    pub(super) length: u64,
    pub(super) flags: u8,
    pub(super) acknowledged: u64,
    pub(super) identification: u16,
    pub(super) stamps: (u32, u32),
    pub(super) sacked: Vec<(u64, u64)>,
}

impl Sent {
    /// The place behind it.
    pub(super) fn to(&self) -> u64 {
        use crate::wire::tcp::{FIN, SYN};
        self.from + self.length + u64::from(self.flags & (SYN | FIN) != 0)
    }
}

#[derive(Debug, Clone, Copy)]
enum Event {
    /// The client's program asks once more.
    Ask,
    /// A packet has come to a host, and is taken in a little later.
    Arrives(usize),
    Taken(usize),
    /// A program sends back what it has read.
    Replies(u64),
    Closes(usize),
    /// A timer of a host, and which setting of it.
    Timer(usize, u64),
    DelayedAck(usize, u64),
}

/// A packet in a capture: when it was seen, and which it is.
pub(super) type Seen = (Nanos, usize);

/// A conversation on its way.
pub(super) struct World {
    pub(super) shape: Shape,
    pub(super) sent: Vec<Sent>,
    /// What was captured at each end.
    pub(super) seen: [Vec<Seen>; 2],
    random: Random,
    now: Nanos,
    events: BTreeMap<(Nanos, u64), Event>,
    count: u64,
    hosts: [Host; 2],
    /// When the last packet of each way that was not overtaken arrives.
    queue: [Nanos; 2],
    asked: u64,
}

impl World {
    /// Everything that happens in a conversation of this shape.
    pub(super) fn played(shape: Shape, random: Random) -> Self {
        let mut world = Self {
            hosts: [CLIENT, SERVER].map(|side| Host::new(side, shape.probes)),
            shape,
            sent: Vec::new(),
            seen: [Vec::new(), Vec::new()],
            random,
            now: 0,
            events: BTreeMap::new(),
            count: 0,
            queue: [0; 2],
            asked: 0,
        };
        world.hosts[CLIENT].connects();
        world.push(CLIENT);
        while let Some(((at, _), event)) = world.events.pop_first()
            && at < LONGEST
        {
            world.now = at;
            world.happens(event);
        }
        world
    }

    /// Whether a segment holds parts of several requests.
    pub(super) fn coalesces(&self) -> bool {
        let size = self.shape.request;
        self.sent.iter().any(|packet| {
            let data = packet.side == CLIENT && packet.length > 0;
            data && (packet.from - 1) / size != (packet.to() - 2) / size
        })
    }

    fn chance(&mut self, thousandths: u64) -> bool {
        self.random.below(1000) < thousandths
    }

    fn later(&mut self, after: Nanos, event: Event) {
        self.count += 1;
        self.events.insert((self.now + after, self.count), event);
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Ask => self.ask(),
            Event::Arrives(packet) => {
                let side = 1 - self.sent[packet].side;
                self.seen[side].push((self.now, packet));
                self.later(TAKES, Event::Taken(packet));
            }
            Event::Taken(packet) => self.take(packet),
            Event::Replies(bytes) => {
                self.hosts[SERVER].writes(bytes);
                self.push(SERVER);
            }
            Event::Closes(side) => {
                self.hosts[side].closes();
                self.push(side);
            }
            Event::Timer(side, setting) => {
                let resent = self.hosts[side].timer(setting);
                if let Some(place) = resent {
                    self.again(side, place);
                    self.set_timer(side);
                }
            }
            Event::DelayedAck(side, setting) => {
                if self.hosts[side].owes(setting) {
                    self.acknowledge(side);
                }
            }
        }
    }

    fn ask(&mut self) {
        if self.asked == self.shape.requests {
            return self.later(300 * MS, Event::Closes(CLIENT));
        }
        self.asked += 1;
        self.hosts[CLIENT].writes(self.shape.request);
        self.push(CLIENT);
        if self.shape.interval > 0 {
            self.later(self.shape.interval, Event::Ask);
        }
    }

    /// A packet leaves.
    fn leaves(&mut self, packet: Sent) {
        let (side, number) = (packet.side, self.sent.len());
        self.hosts[side].acknowledges();
        self.seen[side].push((self.now, number));
        self.sent.push(packet);
        if self.chance(self.shape.lost[side]) {
            return;
        }
        let jitter = self.random.below(self.shape.jitter as u64) as Nanos;
        let mut arrives = self.now + self.shape.delay[side] + jitter;
        if self.chance(self.shape.overtaken) {
            arrives += self.random.below(8 * MS as u64) as Nanos;
        } else {
            arrives = arrives.max(self.queue[side] + 1);
            self.queue[side] = arrives;
        }
        self.later(arrives - self.now, Event::Arrives(number));
        if self.chance(self.shape.doubled) {
            let behind = self.random.below(300 * US as u64) as Nanos;
            self.later(arrives - self.now + behind, Event::Arrives(number));
        }
    }

    fn packet(&mut self, side: usize, (from, to): (u64, u64)) -> Sent {
        let now = self.now;
        let host = &mut self.hosts[side];
        let (flags, length) = host.flags(from, to);
        host.identification = host.identification.wrapping_add(1);
        let tick = u32::try_from(now / MS).unwrap() + 1_000 * (1 + side as u32);
        Sent {
            side,
            from,
            length,
            flags,
            acknowledged: host.got,
            identification: host.identification,
            stamps: (tick, host.latest_stamp),
            sacked: host.beyond.iter().take(if self.shape.sack { 3 } else { 0 }).copied().collect(),
        }
    }

    /// Sends what may be sent.
    fn push(&mut self, side: usize) {
        let mut any = false;
        while let Some(place) = self.hosts[side].next(self.shape.maximum_segment, self.now) {
            let packet = self.packet(side, place);
            self.leaves(packet);
            any = true;
        }
        if any {
            self.set_timer(side);
        }
    }

    fn again(&mut self, side: usize, place: (u64, u64)) {
        let packet = self.packet(side, place);
        self.leaves(packet);
    }

    fn acknowledge(&mut self, side: usize) {
        let place = self.hosts[side].furthest();
        let packet = self.packet(side, (place, place));
        self.leaves(packet);
    }

    fn set_timer(&mut self, side: usize) {
        let (after, setting) = self.hosts[side].set_timer();
        self.later(after, Event::Timer(side, setting));
    }

    fn take(&mut self, number: usize) {
        let packet = self.sent[number].clone();
        let side = 1 - packet.side;
        let was_open = self.hosts[side].open;
        let taken = self.hosts[side].take(&packet, self.now, self.shape.sack);
        for place in taken.again {
            self.again(side, place);
        }
        if taken.advanced {
            self.set_timer(side);
        }
        self.push(side);
        if !was_open && self.hosts[side].open && side == CLIENT {
            self.later(5 * MS, Event::Ask);
        }
        if taken.fresh > 0 && side == SERVER {
            self.later(self.shape.think, Event::Replies(taken.fresh));
        }
        if taken.fresh > 0 && side == CLIENT && self.shape.interval == 0 {
            let replied = self.hosts[CLIENT].got > self.asked * self.shape.request;
            if replied {
                self.later(20 * US, Event::Ask);
            }
        }
        if taken.fin && side == SERVER {
            self.later(100 * US, Event::Closes(SERVER));
        }
        if let Some(at_once) = taken.acknowledge {
            if at_once && self.hosts[side].owing() {
                self.acknowledge(side);
            } else if let Some(setting) = self.hosts[side].delays() {
                self.later(40 * MS, Event::DelayedAck(side, setting));
            }
        }
    }
}
