//! A connection's packets as steps, in words.

use std::collections::VecDeque;

use super::sequence::Marks;
use super::side::Role;
use crate::wire::tcp::{ACK, FIN, RST, SYN, Segment};

/// Steps of a long connection that are kept from its beginning, from its end,
/// and for being out of the ordinary.
const FIRST: usize = 40;
const LAST: usize = 10;
const EXCEPTIONS: usize = 200;
/// Steps of one connection that are kept where all are asked for, 128 bytes
/// each.
const ALL: usize = 1 << 20;
/// Bytes of data that are shown, and compared to tell an echo.
const SHOWN: usize = 48;

/// One packet, in words by [`Step::text`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Counts from 1 in its connection.
    pub number: u64,
    /// Since the connection's first packet, in nanoseconds.
    pub after: i64,
    role: Role,
    flags: u8,
    marks: Marks,
    /// Bytes of data.
    length: u32,
    /// The beginning of the data, as far as it was captured.
    head: [u8; SHOWN],
    head_length: u8,
    /// The data is what the client sent last.
    back: bool,
    place: Place,
}

/// Where in a connection's life a packet without data stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// It ends the handshake.
    pub ends_handshake: bool,
    /// It acknowledges the other side's FIN, for the first time.
    pub acks_fin: bool,
    /// The other side has said FIN before.
    pub replies_to_fin: bool,
}

/// The steps of a connection: all of a short one, the ends and the exceptions of
/// a long one.
#[derive(Debug, Clone, Default)]
pub struct Story {
    /// Steps in all.
    pub count: u64,
    /// From the beginning on.
    pub first: Vec<Step>,
    /// Those after `first` and before `last` that are out of the ordinary.
    pub exceptions: Vec<Step>,
    /// Further ones that are not kept.
    pub more_exceptions: u64,
    /// The latest, if they are not in `first`.
    pub last: VecDeque<Step>,
    /// The client's last data.
    request: Option<(u32, [u8; SHOWN], u8)>,
}

impl Story {
    /// Takes in a packet that came `after` the first, in nanoseconds. `all` keeps
    /// every step.
    pub fn tell(
        &mut self,
        role: Role,
        after: i64,
        (segment, data): (&Segment, &[u8]),
        marks: Marks,
        place: Place,
        all: bool,
    ) {
        self.count += 1;
        let mut head = [0; SHOWN];
        let shown = data.len().min(SHOWN);
        head[..shown].copy_from_slice(&data[..shown]);
        let head_length = u8::try_from(shown).unwrap_or(0);
        let content = (segment.length, head, head_length);
        if role == Role::Client && segment.length > 0 {
            self.request = Some(content);
        }
        let back = role == Role::Server && shown > 0 && self.request == Some(content);
        let step = Step {
            number: self.count,
            after,
            role,
            flags: segment.flags,
            marks,
            length: segment.length,
            head,
            head_length,
            back,
            place,
        };
        if self.first.len() < if all { ALL } else { FIRST } {
            self.first.push(step);
            return;
        }
        self.last.push_back(step);
        if self.last.len() > LAST
            && let Some(step) = self.last.pop_front()
            && step.is_unusual()
        {
            if self.exceptions.len() < EXCEPTIONS {
                self.exceptions.push(step);
            } else {
                self.more_exceptions += 1;
            }
        }
    }

    /// The ends change their roles.
    pub fn turn_round(&mut self) {
        let steps = self.first.iter_mut().chain(&mut self.exceptions).chain(&mut self.last);
        steps.for_each(|step| {
            step.role = step.role.other();
            step.back = false;
        });
        self.request = None;
    }

    /// Steps that are not kept.
    pub fn left_out(&self) -> u64 {
        let kept = self.first.len() + self.exceptions.len() + self.last.len();
        self.count - u64::try_from(kept).unwrap_or(self.count)
    }
}

impl Step {
    fn is_unusual(&self) -> bool {
        !self.marks.is_empty() || self.any(RST)
    }

    fn any(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// Its flags as tcpdump writes them.
    pub fn flags(&self) -> String {
        Segment::flag_text(self.flags)
    }

    /// What it does.
    pub fn text(&self) -> String {
        let who = self.role.name();
        let text = match (self.any(SYN), self.any(FIN)) {
            _ if self.any(RST) => format!("{who} resets the connection"),
            (true, _) if self.any(ACK) => format!("{who} responds with SYN-ACK"),
            (true, _) => format!("{who} sends SYN"),
            (_, true) if self.length > 0 => format!("{} and FIN", self.data()),
            (_, true) if self.place.replies_to_fin => format!("{who} replies with FIN"),
            (_, true) => format!("{who} sends FIN to close connection"),
            _ if self.length > 0 => self.data(),
            _ => self.acknowledgement(),
        };
        text + self.remark()
    }

    /// `client sends "Hello, world"`.
    fn data(&self) -> String {
        let who = self.role.name();
        let back = if self.back { " back" } else { "" };
        let head = &self.head[..usize::from(self.head_length)];
        let whole = u32::from(self.head_length) == self.length;
        let text = head.trim_ascii_end();
        let readable = text.iter().all(|byte| matches!(byte, b' '..=b'~'));
        if whole && readable && !text.is_empty() {
            format!("{who} sends {:?}{back}", String::from_utf8_lossy(text))
        } else {
            let bytes = if self.length == 1 { "byte" } else { "bytes" };
            format!("{who} sends {} {bytes}{back}", self.length)
        }
    }

    /// A segment with nothing but an acknowledgement.
    fn acknowledgement(&self) -> String {
        let (who, other) = (self.role.name(), self.role.other().name());
        let marks = self.marks;
        if self.place.ends_handshake {
            format!("{who} sends ACK (handshake done)")
        } else if marks.any(Marks::KEEP_ALIVE) {
            format!("{who} asks whether the {other} is there (keep-alive)")
        } else if marks.any(Marks::KEEP_ALIVE_ACK) {
            format!("{who} answers the keep-alive")
        } else if marks.any(Marks::ZERO_WINDOW) {
            format!("{who} has no room (zero window)")
        } else if marks.any(Marks::WINDOW_UPDATE) {
            format!("{who} has more room (window update)")
        } else if marks.any(Marks::DUPLICATE_ACK) {
            format!("{who} repeats its ACK (duplicate)")
        } else if self.place.acks_fin {
            format!("{who} ACKs {other} FIN")
        } else {
            match self.role {
                Role::Client => format!("{who} ACKs reply"),
                Role::Server => format!("{who} ACKs receipt"),
            }
        }
    }

    /// What is to be said of a segment out of the ordinary.
    fn remark(&self) -> &'static str {
        const REMARKS: [(Marks, &str); 7] = [
            (Marks::FAST_RETRANSMISSION, " again (fast retransmission)"),
            (Marks::SPURIOUS, " again (spurious retransmission: it had arrived)"),
            (Marks::RETRANSMISSION, " again (retransmission after a time-out)"),
            (Marks::OUT_OF_ORDER, " (out of order)"),
            (Marks::LOST, " (something before it is not in the capture)"),
            (Marks::ZERO_WINDOW_PROBE, " (probe of a zero window)"),
            (Marks::ACKED_UNSEEN, " (of data that is not in the capture)"),
        ];
        let found = REMARKS.iter().find(|(mark, _)| self.marks.any(*mark));
        found.map_or("", |(_, remark)| remark)
    }
}
