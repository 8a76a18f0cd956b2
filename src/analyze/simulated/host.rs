//! A small TCP, without a clock or a path.

use super::{MS, Nanos, Sent};
use crate::wire::tcp::{ACK, FIN, PSH, SYN};

/// A segment that is not acknowledged.
#[derive(Debug, Clone, Copy)]
struct Flight {
    from: u64,
    to: u64,
    left: Nanos,
    sacked: bool,
    /// How often it was sent.
    times: u32,
    /// It was sent again since the recovery began.
    again: bool,
}

/// How a sender makes good what is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// Asked for, up to a place.
    Asked(u64),
    /// After a time-out, up to a place.
    TimedOut(u64),
}

#[derive(Debug)]
pub(super) struct Host {
    /// The other end has answered the SYN.
    pub(super) open: bool,
    /// What comes next from the other end.
    pub(super) got: u64,
    /// What came beyond that, the newest first.
    pub(super) beyond: Vec<(u64, u64)>,
    pub(super) identification: u16,
    pub(super) latest_stamp: u32,
    side: usize,
    connecting: bool,
    /// Where each write ends, and the whole.
    writes: Vec<u64>,
    written: u64,
    closing: bool,
    unacknowledged: u64,
    next: u64,
    flight: Vec<Flight>,
    window: usize,
    duplicates: u32,
    mode: Mode,
    smooth: Nanos,
    timer: u64,
    back_off: u32,
    /// Its tail-loss probes are switched on, and one has left.
    probes: bool,
    probed: bool,
    owed: u32,
    ack_timer: u64,
}

/// What came of a packet.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Bytes for the program.
    pub(super) fresh: u64,
    pub(super) fin: bool,
    /// To be acknowledged, at once or later.
    pub(super) acknowledge: Option<bool>,
    pub(super) again: Vec<(u64, u64)>,
    /// Something was acknowledged: the timer starts anew.
    pub(super) advanced: bool,
}

impl Host {
    pub(super) fn new(side: usize, probes: bool) -> Self {
        Self {
            probes,
            open: false,
            got: 0,
            beyond: Vec::new(),
            identification: 77,
            latest_stamp: 0,
            side,
            connecting: false,
            writes: Vec::new(),
            written: 1,
            closing: false,
            unacknowledged: 0,
            next: 0,
            flight: Vec::new(),
            window: 10,
            duplicates: 0,
            mode: Mode::Open,
            smooth: 0,
            timer: 0,
            back_off: 0,
            probed: false,
            owed: 0,
            ack_timer: 0,
        }
    }

    pub(super) fn connects(&mut self) {
        self.connecting = true;
    }

    pub(super) fn writes(&mut self, bytes: u64) {
        self.written += bytes;
        self.writes.push(self.written);
    }

    pub(super) fn closes(&mut self) {
        self.closing = true;
    }

    pub(super) fn furthest(&self) -> u64 {
        self.next
    }

    pub(super) fn flags(&self, from: u64, to: u64) -> (u8, u64) {
        let ack = if self.got > 0 { ACK } else { 0 };
        if from == to {
            return (ack, 0);
        }
        if from == 0 {
            return (ack | SYN, 0);
        }
        if from == self.written && self.closing {
            return (ack | FIN, 0);
        }
        let pushed = self.writes.iter().any(|end| (from + 1..=to).contains(end));
        (ack | if pushed { PSH } else { 0 }, to - from)
    }

    /// The next segment that has not been sent, if it may be.
    pub(super) fn next(&mut self, most: u64, now: Nanos) -> Option<(u64, u64)> {
        let from = self.next;
        let to = match from {
            0 if self.connecting => 1,
            0 => return None,
            _ if !self.open || self.flight.len() >= self.window => return None,
            _ if from < self.written => self.written.min(from + most),
            _ if from == self.written && self.closing => from + 1,
            _ => return None,
        };
        self.flight.push(Flight { from, to, left: now, sacked: false, times: 1, again: false });
        self.next = to;
        Some((from, to))
    }

    fn time_out(&self) -> Nanos {
        let usual = if self.smooth == 0 { 1_000 * MS } else { 200 * MS + self.smooth };
        usual << self.back_off.min(6)
    }

    pub(super) fn set_timer(&mut self) -> (Nanos, u64) {
        self.timer += 1;
        let after = if self.probing() { 2 * self.smooth + 2 * MS } else { self.time_out() };
        (after, self.timer)
    }

    fn probing(&self) -> bool {
        self.probes && !self.probed && self.smooth > 0 && self.mode == Mode::Open
    }

    /// What is to be sent again because a timer ran out.
    pub(super) fn timer(&mut self, setting: u64) -> Option<(u64, u64)> {
        if setting != self.timer || self.flight.is_empty() || self.back_off > 8 {
            return None;
        }
        if self.probing() {
            self.probed = true;
            let last = self.flight.last_mut()?;
            last.times += 1;
            return Some((last.from, last.to));
        }
        self.back_off += 1;
        self.duplicates = 0;
        self.mode = Mode::TimedOut(self.next);
        self.window = 2;
        self.flight.iter_mut().for_each(|flight| flight.again = false);
        let first = self.flight.iter_mut().find(|flight| !flight.sacked)?;
        first.times += 1;
        first.again = true;
        Some((first.from, first.to))
    }

    /// Anything that leaves acknowledges.
    pub(super) fn acknowledges(&mut self) {
        self.owed = 0;
        self.ack_timer += 1;
    }

    pub(super) fn owes(&self, setting: u64) -> bool {
        self.owed > 0 && setting == self.ack_timer
    }

    /// Something is owed an acknowledgement.
    pub(super) fn owing(&self) -> bool {
        self.owed > 0
    }

    /// Waits with an acknowledgement, unless one is being waited for.
    pub(super) fn delays(&self) -> Option<u64> {
        (self.owed == 1).then_some(self.ack_timer)
    }

    pub(super) fn take(&mut self, packet: &Sent, now: Nanos, sack: bool) -> Taken {
        let mut taken = Taken::default();
        if packet.flags & SYN != 0 {
            self.connecting = true;
        } else if self.got == 0 {
            return taken;
        }
        if packet.from <= self.got {
            self.latest_stamp = packet.stamps.0;
        }
        if packet.flags & ACK != 0 {
            self.on_ack(packet, now, sack, &mut taken);
        }
        if packet.to() > packet.from {
            self.on_data(packet, &mut taken);
        }
        taken
    }

    fn on_data(&mut self, packet: &Sent, taken: &mut Taken) {
        let (from, to) = (packet.from, packet.to());
        let in_order = from <= self.got && to > self.got;
        let had_hole = !self.beyond.is_empty();
        if in_order {
            let before = self.got;
            self.got = to;
            while let Some(place) = self.beyond.iter().position(|piece| piece.0 <= self.got) {
                self.got = self.got.max(self.beyond.remove(place).1);
            }
            taken.fin = packet.flags & FIN != 0;
            let control = u64::from(packet.flags & (SYN | FIN) != 0);
            taken.fresh = self.got - before - control;
        } else if from > self.got {
            let (mut low, mut high) = (from, to);
            self.beyond.retain(|&(start, end)| {
                let apart = start > high || end < low;
                if !apart {
                    low = low.min(start);
                    high = high.max(end);
                }
                apart
            });
            self.beyond.insert(0, (low, high));
        }
        // The answer to a SYN is one itself, and the SYN-ACK again to a repeated one.
        let of_syn = packet.flags & SYN != 0 && self.side == super::SERVER;
        if of_syn && self.unacknowledged == 0 {
            taken.again.extend((!in_order).then_some((0, 1)));
            return;
        }
        self.owed += 1;
        let at_once = !in_order
            || had_hole
            || self.owed >= 2
            || packet.flags & (SYN | FIN) != 0
            || self.got < 4_000;
        taken.acknowledge = Some(at_once);
    }

    fn on_ack(&mut self, packet: &Sent, now: Nanos, sack: bool, taken: &mut Taken) {
        let ack = packet.acknowledged;
        self.open |= ack > 0;
        if ack > self.unacknowledged {
            self.advance(ack, now, taken);
        } else if ack == self.unacknowledged
            && packet.length == 0
            && packet.flags & (SYN | FIN) == 0
            && !self.flight.is_empty()
        {
            self.duplicates += 1;
        }
        for &(from, to) in &packet.sacked {
            for flight in &mut self.flight {
                flight.sacked |= from <= flight.from && flight.to <= to;
            }
        }
        let sacked = self.flight.iter().filter(|flight| flight.sacked).count();
        let asked = if sack { sacked >= 3 } else { self.duplicates >= 3 };
        if self.mode == Mode::Open && asked {
            self.mode = Mode::Asked(self.next);
            self.window = (self.window / 2).max(2);
            self.flight.iter_mut().for_each(|flight| flight.again = false);
            self.fill_hole(sack, taken);
        } else if sack && matches!(self.mode, Mode::Asked(_)) && sacked > 0 {
            self.fill_hole(sack, taken);
        }
    }

    fn advance(&mut self, ack: u64, now: Nanos, taken: &mut Taken) {
        let done = self.flight.iter().filter(|flight| flight.to <= ack);
        if let Some(last) = done.clone().next_back().filter(|flight| flight.times == 1) {
            let age = now - last.left;
            self.smooth = if self.smooth == 0 { age } else { (7 * self.smooth + age) / 8 };
        }
        self.window = (self.window + done.count()).min(64);
        self.flight.retain(|flight| flight.to > ack);
        self.unacknowledged = ack;
        self.duplicates = 0;
        self.back_off = 0;
        self.probed = false;
        match self.mode {
            Mode::Asked(end) | Mode::TimedOut(end) if ack >= end => self.mode = Mode::Open,
            Mode::Asked(_) | Mode::TimedOut(_) => self.fill_hole(false, taken),
            Mode::Open => {}
        }
        taken.advanced = true;
    }

    /// Sends again the first segment that is missing; by SACK, one with something
    /// beyond it.
    fn fill_hole(&mut self, sack: bool, taken: &mut Taken) {
        let last = self.flight.iter().rposition(|flight| flight.sacked);
        let place = self.flight.iter().position(|flight| !flight.sacked && !flight.again);
        let Some(place) = place.filter(|place| !sack || last.is_some_and(|last| last > *place))
        else {
            return;
        };
        if !sack && place > 0 {
            return;
        }
        let flight = &mut self.flight[place];
        flight.again = true;
        flight.times += 1;
        taken.again.push((flight.from, flight.to));
    }
}
