//! A link over one TCP connection, for any protocol on a byte stream.
//!
//! Probes go out as far as the kernel takes them at once; the rest follows
//! while replies are read, so that a payload larger than every buffer on the
//! path cannot lock both sides.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use super::attempts::Attempt;
use super::codec::{Codec, Decoded};
use super::evidence::{Asked, EvidenceBook};
use super::lookup::LookUp;
use super::totals::{Retransmits, add, look};
use crate::clock::{Anchor, Mono};
use crate::net::dial::Connected;
use crate::net::together::Share;
use crate::net::{Dialer, Heard, Stream, Waiting};

use crate::os::{clock, socket};
use crate::probe::link::TcpTotals;
use crate::probe::{Act, Arrival, Attempted, Detail, Done, DropCause, Figures, Link, What};
use crate::wire::tcp_info::TcpInfo;

mod others;

/// What a link does besides sending and receiving.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extras {
    /// Ask the kernel about the connection at every reply.
    pub tcp_info: bool,
    /// Ask the kernel when bytes left and came, and what became of them.
    pub asked: Asked,
    /// Whether causes are told of every packet, in its row.
    pub explain: bool,
    /// How to wait.
    pub waiting: Waiting,
}

/// Bytes taken from the kernel at a time. Only the pages that replies reach
/// become memory.
const BUFFER: usize = 256 * 1024;

/// A reply whose parts come this far apart is told so.
const NOTABLE_PARTS: Duration = Duration::from_millis(30);

/// The unsent probes of a connection on which nothing was sent yet; probes
/// count from 1, and the first to be sent need not be the first of the run.
const NONE_SENT: Range<u64> = 0..0;

/// See the module's text.
#[derive(Debug)]
pub struct StreamLink<C> {
    codec: C,
    dialer: Dialer,
    stream: Option<Stream>,
    /// Where the connection goes, or went.
    remote: SocketAddr,
    /// Other connections that are tried.
    attempts: Vec<Attempt>,
    /// News of them, not handed over yet.
    news: VecDeque<(Mono, Attempted)>,
    /// Which of the name's other addresses is tried next.
    turn: usize,
    /// Looks the name up again.
    look_up: Option<LookUp>,
    buffer: Vec<u8>,
    /// What of the buffer was read and not yet decoded.
    undecoded: Range<usize>,
    /// When that was read; also the latest time known.
    at: Mono,
    /// Probes that are not sent, or only in part; empty most of the time.
    unsent: Range<u64>,
    /// Bytes of the first of them that were sent.
    offset: usize,
    /// Why writing failed. Reading may still find replies before the end.
    write_error: Option<io::Error>,
    refusal: Option<String>,
    extras: Extras,
    /// Where it waits together with others, if it does.
    share: Option<Share>,
    /// Whether room to write is waited for there.
    for_room: bool,
    /// When the first part of the reply in hand came, if it comes in parts.
    part_since: Option<Mono>,
    /// What the kernel tells of each request, where it does.
    book: Option<EvidenceBook>,
    /// Connections so far.
    connections: u32,
    retransmits: Retransmits,
    /// Figures of the connections before this one.
    former: TcpTotals,
}

impl<C: Codec> StreamLink<C> {
    /// A link over a connection that stands.
    pub fn new(codec: C, dialer: Dialer, connected: Connected, extras: Extras) -> Self {
        let mut link = Self::without(codec, dialer, connected.address, extras);
        link.take(connected);
        link
    }

    /// A link to `remote` that has no connection yet.
    pub fn without(codec: C, dialer: Dialer, remote: SocketAddr, extras: Extras) -> Self {
        Self {
            codec,
            dialer,
            stream: None,
            remote,
            attempts: Vec::new(),
            news: VecDeque::new(),
            turn: 0,
            look_up: None,
            buffer: vec![0; BUFFER],
            undecoded: 0..0,
            at: Mono(0),
            unsent: NONE_SENT,
            offset: 0,
            write_error: None,
            refusal: None,
            extras,
            share: None,
            for_room: false,
            part_since: None,
            book: None,
            connections: 0,
            retransmits: Retransmits::default(),
            former: TcpTotals::default(),
        }
    }

    /// From now on it waits together with others, and never alone.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn join(&mut self, share: Share) -> io::Result<()> {
        if let Some(stream) = &self.stream {
            share.watch(stream.as_fd(), false)?;
        }
        self.share = Some(share);
        Ok(())
    }

    /// Waits for room together with others exactly while something is unsent.
    fn watch_for_room(&mut self) {
        let for_room = !self.unsent.is_empty() && self.write_error.is_none();
        if let (Some(share), Some(stream)) = (&self.share, &self.stream)
            && for_room != self.for_room
        {
            self.for_room = for_room;
            watched(share.watch(stream.as_fd(), for_room));
        }
    }

    /// The name is looked up again when that is asked for.
    #[must_use]
    pub fn with_look_up(self, look_up: Option<LookUp>) -> Self {
        Self { look_up, ..self }
    }

    /// What the peer said when it ended the session in its protocol's words.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Gives the connection back, if it still stands.
    pub fn into_stream(self) -> Option<Stream> {
        self.stream
    }

    fn take(&mut self, connected: Connected) {
        self.at = self.at.max(connected.at);
        self.remote = connected.address;
        let mut stream = connected.stream.waiting(self.extras.waiting);
        let asked = self.extras.asked;
        self.book = if asked.any() { EvidenceBook::ask(&mut stream, asked) } else { None };
        self.part_since = None;
        self.connections += 1;
        if let Some(share) = &self.share {
            watched(share.watch(stream.as_fd(), false));
        }
        self.for_room = false;
        self.stream = Some(stream);
        self.unsent = NONE_SENT;
        self.offset = 0;
        self.undecoded = 0..0;
        self.write_error = None;
        self.retransmits = Retransmits::default();
    }

    /// Ends the connection and keeps its figures.
    fn close(&mut self) {
        self.former = self.totals();
        self.stream = None;
    }

    fn totals(&self) -> TcpTotals {
        let Some(stream) = &self.stream else { return self.former.clone() };
        let totals = add(&self.former, &stream.tcp_info().unwrap_or_default());
        TcpTotals { congestion_control: stream.congestion_control(), ..totals }
    }

    /// Hands the kernel what it takes of the unsent probes without waiting,
    /// and gives the time of the first write.
    fn push(&mut self) -> Option<Mono> {
        let stream = self.stream.as_ref()?;
        let mut first = None;
        while self.write_error.is_none() && !self.unsent.is_empty() {
            let bytes = self.codec.encode(self.unsent.start);
            let rest = bytes.get(self.offset..).unwrap_or_default();
            let (at, result) = stream.send(rest);
            first.get_or_insert(at);
            if let (Some(book), Ok(sent)) = (&mut self.book, &result) {
                book.on_written(*sent);
            }
            match result {
                Ok(sent) if sent == rest.len() => {
                    self.unsent.start += 1;
                    self.offset = 0;
                    if let Some(book) = &mut self.book {
                        book.on_request();
                    }
                }
                Ok(sent) => self.offset += sent,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.write_error = Some(error),
            }
        }
        self.watch_for_room();
        first
    }

    /// Decodes what was read; `None` when there is nothing more in it.
    fn decode(&mut self) -> Option<What> {
        if self.undecoded.is_empty() {
            return None;
        }
        let bytes = self.buffer.get(self.undecoded.clone()).unwrap_or_default();
        let partly_sent = u64::from(self.offset > 0);
        let sent = (self.unsent.start + partly_sent).saturating_sub(1);
        let (used, decoded) = self.codec.decode(bytes, sent);
        self.undecoded.start += used;
        Some(match decoded {
            Decoded::More => {
                self.part_since.get_or_insert(self.at);
                self.look_meanwhile();
                What::Progress
            }
            Decoded::Reply => What::Reply(self.reply()),
            Decoded::Corrupt => What::Corrupt,
            Decoded::Unasked => What::Down(DropCause::Unasked),
            Decoded::Refused(text) => self.refused(text),
        })
    }

    fn reply(&mut self) -> Detail {
        let parts = self.part_since.take().map(|since| self.at.since(since));
        let parts = parts.filter(|parts| *parts >= NOTABLE_PARTS);
        if !(self.extras.tcp_info || self.extras.asked.any() || parts.is_some()) {
            return Detail::None;
        }
        let (kernel, mut evidence) = match (&mut self.book, &self.stream) {
            (Some(book), Some(stream)) => book.on_reply(stream, self.at),
            _ => (None, None),
        };
        if let Some(parts) = parts {
            let parts = u32::try_from(parts.as_micros()).ok();
            evidence.get_or_insert_default().in_parts = parts;
        }
        let info = self.tcp_info();
        let retransmitted = info.is_some_and(|info| self.retransmits.on_reply(&info));
        let (info, connection) = (info.map(Figures::from), self.connections);
        let watched = self.extras.asked.causes;
        Detail::Tcp { info, retransmitted, kernel, evidence, connection, watched }
    }

    /// The kernel's view, if it is to be asked for each probe.
    fn tcp_info(&self) -> Option<TcpInfo> {
        self.stream.as_ref().filter(|_| self.extras.tcp_info).and_then(Stream::tcp_info)
    }

    /// Nothing is complete yet: what does the kernel tell of it?
    fn look_meanwhile(&mut self) {
        if let (Some(book), Some(stream)) = (&mut self.book, &self.stream) {
            book.while_waiting(stream);
        }
    }

    /// Reads once, and says what it means unless bytes came.
    fn listen(&mut self, until: Mono) -> Option<What> {
        let Some(stream) = &self.stream else {
            return Some(What::Down(DropCause::Closed));
        };
        let for_room = !self.unsent.is_empty() && self.write_error.is_none();
        let (at, result) = stream.receive(&mut self.buffer, self.at, until, for_room);
        self.at = at;
        match result {
            Ok(Heard::Bytes(count)) => {
                self.undecoded = 0..count;
                if for_room {
                    self.push();
                }
                None
            }
            Ok(Heard::Nothing | Heard::Stamps) => {
                self.look_meanwhile();
                Some(What::Nothing)
            }
            Ok(Heard::Room) => {
                self.look_meanwhile();
                let before = (self.unsent.start, self.offset);
                self.push();
                let moved = before != (self.unsent.start, self.offset);
                Some(if moved { What::Progress } else { What::Nothing })
            }
            Ok(Heard::End) => {
                let cause = self.write_error.as_ref().map_or(DropCause::Closed, DropCause::from);
                Some(self.ended(cause))
            }
            Err(error) => Some(self.ended(DropCause::from(&error))),
        }
    }

    fn ended(&mut self, cause: DropCause) -> What {
        match self.codec.at_end() {
            Some(text) => self.refused(text),
            None => What::Down(cause),
        }
    }

    fn refused(&mut self, text: String) -> What {
        self.refusal = Some(text.clone());
        What::Down(DropCause::Refused(text))
    }

    fn look(&mut self) -> Done {
        let at = self.at;
        self.news.extend(self.attempts.iter_mut().filter_map(Attempt::look).map(|one| (at, one)));
        let Some(info) = self.stream.as_ref().and_then(Stream::tcp_info) else {
            return Done::Done;
        };
        Done::Looked(look(&info))
    }

    /// Ends the connection at once, with a reset.
    fn abort(&mut self) {
        if let Some(stream) = &self.stream {
            watched(socket::reset_on_close(stream.as_fd()));
        }
        self.close();
    }
}

/// A socket that cannot be waited for is looked at when something is due.
fn watched(result: io::Result<()>) {
    if let Err(error) = result {
        log::error!("cannot wait for a connection: {error}");
    }
}

impl<C: Codec> Link for StreamLink<C> {
    #[inline]
    fn send(&mut self, number: u64) -> Mono {
        if self.unsent == NONE_SENT {
            self.codec.reset(number);
            self.unsent = number..number;
        }
        let waiting = !self.unsent.is_empty();
        self.unsent.end = number + 1;
        if let Some(book) = &mut self.book {
            book.on_send();
        }
        // Behind bytes that do not fit, a probe is on its way from now on.
        let sent = if waiting { None } else { self.push() };
        self.at = sent.unwrap_or_else(clock::now);
        if let (Some(book), Some(stream)) = (&mut self.book, &self.stream) {
            book.after_send(stream, self.at);
        }
        if let Some(info) = self.tcp_info() {
            self.retransmits.on_send(&info);
        }
        self.at
    }

    #[inline]
    fn receive(&mut self, until: Mono) -> Arrival {
        let alone = self.stream.is_some() && self.attempts.is_empty();
        let looking_up = self.look_up.as_ref().is_some_and(LookUp::is_under_way);
        if (!alone || looking_up || !self.news.is_empty())
            && let Some(told) = self.told()
        {
            return told;
        }
        let what = self
            .decode()
            .or_else(|| if alone { self.listen(until) } else { self.listen_to_all(until) });
        let what = what.or_else(|| self.decode());
        Arrival { at: self.at, what: what.unwrap_or(What::Nothing) }
    }

    fn pending(&self) -> bool {
        !(self.undecoded.is_empty() && self.news.is_empty())
    }

    fn finish(&mut self) {
        self.close();
        self.attempts.clear();
    }

    fn act(&mut self, act: Act) -> Done {
        match act {
            Act::Attempt { id, from, elsewhere, small } => {
                let packet = self.codec.scout(small);
                return self.attempt(id, from, elsewhere, packet);
            }
            Act::Abandon(id) => {
                if let Some(attempt) = self.remove(id) {
                    attempt.abort();
                }
            }
            Act::Abort => self.abort(),
            Act::Adopt(id) => return self.adopt(id),
            Act::Look => return self.look(),
            Act::Resolve => {
                if let Some(look_up) = &mut self.look_up {
                    look_up.begin();
                }
            }
        }
        Done::Done
    }

    fn anchor(&mut self) -> Anchor {
        clock::anchor()
    }

    fn tcp(&self) -> Option<TcpTotals> {
        let totals = self.totals();
        totals.retransmits.is_some().then_some(totals)
    }
}
