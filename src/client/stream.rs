//! A link over one TCP connection, for any protocol on a byte stream.
//!
//! Probes go out as far as the kernel takes them at once; the rest follows
//! while replies are read, so that a payload larger than every buffer on the
//! path cannot lock both sides.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;

use super::kernel_stamps::KernelStamps;
use crate::clock::{Anchor, Mono};
use crate::net::dial::Connected;
use crate::net::together::Share;
use crate::net::{Dial, Dialer, Heard, Stream, Waiting};
use crate::os::clock;
use crate::probe::link::TcpTotals;
use crate::probe::{Arrival, Detail, DropCause, Link, Reopened, What};
use crate::wire::tcp_info::TcpInfo;

/// What the bytes that came mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// A reply is not complete yet.
    More,
    /// The oldest outstanding probe's reply is complete, and right.
    Reply,
    /// What came in its place is wrong.
    Corrupt,
    /// Bytes came though no probe is outstanding.
    Unasked,
    /// The peer says, in its protocol, that it ends the session.
    Refused(String),
}

/// A protocol on a byte stream, without sockets or time.
pub trait Codec {
    /// All bytes of a probe. It is asked again when the probe could only be
    /// sent in part, and gives the same bytes then.
    fn encode(&mut self, number: u64) -> &[u8];

    /// Takes bytes in the order in which they came, at most to the end of one
    /// reply, and tells how many it took. `sent` is the last probe of which
    /// anything was sent.
    fn decode(&mut self, bytes: &[u8], sent: u64) -> (usize, Decoded);

    /// A new connection: the next reply will be the one to probe `next`.
    fn reset(&mut self, next: u64);

    /// The peer has closed. What bytes without an end mean now, if anything.
    fn at_end(&mut self) -> Option<String> {
        None
    }
}

/// What a link does besides sending and receiving.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extras {
    /// Ask the kernel about the connection at every reply.
    pub tcp_info: bool,
    /// Ask the kernel when bytes left and came.
    pub kernel_stamps: bool,
    /// How to wait.
    pub waiting: Waiting,
}

/// Bytes taken from the kernel at a time. Only the pages that replies reach
/// become memory.
const BUFFER: usize = 256 * 1024;

/// The unsent probes of a connection on which nothing was sent yet; probes
/// count from 1, and the first to be sent need not be the first of the run.
const NONE_SENT: Range<u64> = 0..0;

/// See the module's text.
#[derive(Debug)]
pub struct StreamLink<C> {
    codec: C,
    dialer: Dialer,
    stream: Option<Stream>,
    dial: Option<Dial>,
    /// Which of the dialer's addresses the next attempt goes to.
    turn: usize,
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
    /// The kernel's stamps, where it gives them.
    stamps: Option<KernelStamps>,
    retransmits: Retransmits,
    /// Figures of the connections before this one.
    former: TcpTotals,
}

impl<C: Codec> StreamLink<C> {
    /// A link over a connection that stands.
    pub fn new(codec: C, dialer: Dialer, connected: Connected, extras: Extras) -> Self {
        let mut link = Self {
            codec,
            dialer,
            stream: None,
            dial: None,
            turn: 0,
            buffer: vec![0; BUFFER],
            undecoded: 0..0,
            at: connected.at,
            unsent: NONE_SENT,
            offset: 0,
            write_error: None,
            refusal: None,
            extras,
            share: None,
            for_room: false,
            stamps: None,
            retransmits: Retransmits::default(),
            former: TcpTotals::default(),
        };
        link.take(connected);
        link
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

    /// What the peer said when it ended the session in its protocol's words.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Gives the connection back, if it still stands.
    pub fn into_stream(self) -> Option<Stream> {
        self.stream
    }

    fn take(&mut self, connected: Connected) {
        self.at = connected.at;
        let mut stream = connected.stream.waiting(self.extras.waiting);
        self.stamps = if self.extras.kernel_stamps { KernelStamps::ask(&mut stream) } else { None };
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
            if let (Some(stamps), Ok(sent)) = (&mut self.stamps, &result) {
                stamps.on_written(*sent);
            }
            match result {
                Ok(sent) if sent == rest.len() => {
                    self.unsent.start += 1;
                    self.offset = 0;
                    if let Some(stamps) = &mut self.stamps {
                        stamps.on_request();
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
            Decoded::More => What::Progress,
            Decoded::Reply => What::Reply(self.reply()),
            Decoded::Corrupt => What::Corrupt,
            Decoded::Unasked => What::Down(DropCause::Unasked),
            Decoded::Refused(text) => self.refused(text),
        })
    }

    fn reply(&mut self) -> Detail {
        if !(self.extras.tcp_info || self.extras.kernel_stamps) {
            return Detail::None;
        }
        let kernel = match (&mut self.stamps, &self.stream) {
            (Some(stamps), Some(stream)) => stamps.on_reply(stream, self.at),
            _ => None,
        };
        let info = self.tcp_info();
        let retransmitted = info.is_some_and(|info| self.retransmits.on_reply(&info));
        Detail::Tcp { info, retransmitted, kernel }
    }

    /// The kernel's view, if it is to be asked for each probe.
    fn tcp_info(&self) -> Option<TcpInfo> {
        self.stream.as_ref().filter(|_| self.extras.tcp_info).and_then(Stream::tcp_info)
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
            Ok(Heard::Nothing) => Some(What::Nothing),
            Ok(Heard::Stamps) => {
                if let (Some(stamps), Some(stream)) = (&mut self.stamps, &self.stream) {
                    stamps.fetch(stream);
                }
                Some(What::Nothing)
            }
            Ok(Heard::Room) => {
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

    fn start_dial(&mut self) -> Result<Dial, Reopened> {
        self.close();
        let count = self.dialer.addresses.len().max(1);
        let address = self.dialer.addresses[self.turn % count];
        Dial::start(&self.dialer, address).map_err(|error| self.failed(&error))
    }

    fn failed(&mut self, error: &io::Error) -> Reopened {
        let count = self.dialer.addresses.len().max(1);
        let address = self.dialer.addresses[self.turn % count];
        self.turn += 1;
        self.at = clock::now();
        Reopened::Failed { at: self.at, address, why: error.to_string() }
    }
}

/// A socket that cannot be waited for is looked at when something is due.
fn watched(result: io::Result<()>) {
    if let Err(error) = result {
        log::error!("cannot wait for a connection: {error}");
    }
}

/// A run's totals with one more connection's figures.
fn add(former: &TcpTotals, info: &TcpInfo) -> TcpTotals {
    let retransmits = match (former.retransmits, info.retransmits) {
        (None, None) => None,
        (before, now) => Some(before.unwrap_or(0) + u64::from(now.unwrap_or(0))),
    };
    let min_rtt_us = match (former.min_rtt_us, info.min_rtt_us) {
        (Some(before), Some(now)) => Some(before.min(now)),
        (before, now) => before.or(now),
    };
    TcpTotals {
        retransmits,
        rtt_us: info.rtt_us.or(former.rtt_us),
        min_rtt_us,
        cwnd: info.cwnd.or(former.cwnd),
        mss: info.mss.or(former.mss),
        congestion_control: former.congestion_control.clone(),
    }
}

/// Which outstanding probes had to wait for a segment to be sent again: the
/// kernel's counter at each send, to be compared with the one at its reply.
/// Runs of probes with the same counter are kept as one, so that this stays
/// small however many are outstanding.
#[derive(Debug, Default)]
struct Retransmits {
    at_send: VecDeque<(u32, u64)>,
}

impl Retransmits {
    fn on_send(&mut self, info: &TcpInfo) {
        let counter = info.retransmits.unwrap_or(0);
        match self.at_send.back_mut() {
            Some((last, probes)) if *last == counter => *probes += 1,
            _ => self.at_send.push_back((counter, 1)),
        }
    }

    fn on_reply(&mut self, info: &TcpInfo) -> bool {
        let Some((counter, probes)) = self.at_send.front_mut() else { return false };
        let retransmitted = info.retransmits.unwrap_or(0) > *counter;
        *probes -= 1;
        if *probes == 0 {
            self.at_send.pop_front();
        }
        retransmitted
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
        // Behind bytes that do not fit, a probe is on its way from now on.
        let sent = if waiting { None } else { self.push() };
        self.at = sent.unwrap_or_else(clock::now);
        if let Some(stamps) = &mut self.stamps {
            stamps.on_send(self.at);
        }
        if let Some(info) = self.tcp_info() {
            self.retransmits.on_send(&info);
        }
        self.at
    }

    #[inline]
    fn receive(&mut self, until: Mono) -> Arrival {
        let what = self.decode().or_else(|| self.listen(until)).or_else(|| self.decode());
        Arrival { at: self.at, what: what.unwrap_or(What::Nothing) }
    }

    fn pending(&self) -> bool {
        !self.undecoded.is_empty()
    }

    fn finish(&mut self) {
        self.close();
        self.dial = None;
    }

    fn pause(&mut self, until: Mono) -> Mono {
        self.at = self.extras.waiting.pause(until);
        self.at
    }

    fn reopen(&mut self, until: Mono) -> Reopened {
        let dial = match self.dial.take().map_or_else(|| self.start_dial(), Ok) {
            Ok(dial) => dial,
            Err(failed) => return failed,
        };
        match dial.wait(until) {
            Ok(Ok(connected)) => {
                let Connected { address, took, at, .. } = connected;
                self.take(connected);
                Reopened::Up { at, address, connect: took }
            }
            Ok(Err(dial)) => {
                if let Some(share) = &self.share {
                    watched(share.watch(dial.as_fd(), true));
                }
                self.dial = Some(dial);
                self.at = clock::now();
                Reopened::Pending { at: self.at }
            }
            Err(error) => self.failed(&error),
        }
    }

    fn anchor(&mut self) -> Anchor {
        clock::anchor()
    }

    fn tcp(&self) -> Option<TcpTotals> {
        let totals = self.totals();
        totals.retransmits.is_some().then_some(totals)
    }
}
