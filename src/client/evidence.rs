//! What the kernel tells of each request on a connection: when its bytes left, each
//! time, when the peer's kernel acknowledged them, when the reply was here, and
//! what it counted meanwhile (`Documentation/networking/timestamping.rst`).

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::{Anchor, Mono, Wall};
use crate::net::Stream;
use crate::os::clock;
use crate::os::stamps::{Moment, Report};
use crate::probe::{Evidence, KernelTimes, Window};
use crate::wire::tcp_info::TcpInfo;

/// How often the two clocks are compared: a wall clock that is being slewed runs
/// away from the monotonic by 50 ns in this time at most.
const COMPARE: Duration = Duration::from_millis(100);
/// Parts of a round trip may come out below zero by the two clocks' granularity.
const SLACK: i64 = 2_000;
/// Requests in a row without a stamp, after which the kernel is taken to give none.
const PATIENCE: u64 = 20;
/// Requests whose stamps are kept, about 100 bytes each.
const MAX_WAITING: usize = 1 << 14;
/// A round trip that is not this much longer than the smallest needs no reason.
const ORDINARY: u64 = 900_000;

/// What is asked of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// Departures and arrivals, for the parts of each round trip.
    pub parts: bool,
    /// Also acknowledgements and counters, for the causes of slow ones.
    pub causes: bool,
    /// Causes are wanted of every round trip, however short.
    pub all: bool,
}

impl Asked {
    /// Whether anything is.
    pub fn any(self) -> bool {
        self.parts || self.causes
    }
}

/// Counters that only ever grow.
#[derive(Debug, Clone, Copy, Default)]
struct Counters {
    retransmits: Option<u32>,
    dsack_dups: Option<u32>,
    out_of_order: Option<u32>,
}

impl Counters {
    fn of(info: &TcpInfo) -> Self {
        let TcpInfo { retransmits, dsack_dups, out_of_order, .. } = *info;
        Self { retransmits, dsack_dups, out_of_order }
    }
}

/// A request whose reply is outstanding.
#[derive(Debug, Clone, Copy)]
struct Request {
    /// Its last byte, counted modulo 2^32, once all of it is written.
    last: Option<u32>,
    departed: Option<Wall>,
    copy: Option<Wall>,
    acked: Option<Wall>,
    sent: Mono,
    before: Counters,
    window: Option<Window>,
    backed_off: bool,
    not_held: bool,
}

/// The book of one connection.
#[derive(Debug)]
pub struct EvidenceBook {
    asked: Asked,
    /// Bytes written so far, modulo 2^32.
    written: u32,
    requests: VecDeque<Request>,
    anchor: Anchor,
    compare_at: Mono,
    /// The smallest time from a departure to what answered it, in nanoseconds.
    smallest: Option<i64>,
    /// Bytes that one segment takes,
    segment: u32,
    /// and the most that one call wrote.
    longest: u32,
    /// Replies in a row whose request had no stamp.
    without: u64,
    complained: bool,
    /// Too many requests were outstanding: of so many nothing is kept.
    unknown: u64,
}

impl EvidenceBook {
    /// Asks for the stamps of a fresh connection; `None` if there are none, which
    /// is said once where somebody asked for them by name.
    pub fn ask(stream: &mut Stream, asked: Asked) -> Option<Self> {
        match stream.ask_for_stamps(asked.causes) {
            Ok(()) => Some(Self {
                asked,
                written: 0,
                requests: VecDeque::with_capacity(64),
                anchor: clock::anchor(),
                compare_at: clock::now() + COMPARE,
                smallest: None,
                segment: stream.tcp_info().and_then(|info| info.mss).unwrap_or(u32::MAX),
                longest: 0,
                without: 0,
                complained: false,
                unknown: 0,
            }),
            Err(error) => {
                if asked.parts {
                    log::warn!("the kernel gives no time stamps ({error}); going on without them");
                }
                None
            }
        }
    }

    /// So many bytes were written.
    pub fn on_written(&mut self, bytes: usize) {
        #[allow(clippy::cast_possible_truncation, reason = "counted modulo 2^32")]
        let bytes = bytes as u32;
        self.written = self.written.wrapping_add(bytes);
        self.longest = self.longest.max(bytes);
    }

    /// A request is about to be handed over.
    #[inline]
    pub fn on_send(&mut self) {
        if self.requests.len() >= MAX_WAITING {
            self.unknown += 1;
            return;
        }
        self.requests.push_back(Request {
            last: None,
            departed: None,
            copy: None,
            acked: None,
            sent: Mono::NEVER,
            before: Counters::default(),
            window: None,
            backed_off: false,
            not_held: false,
        });
    }

    /// With the last bytes a request was complete.
    pub fn on_request(&mut self) {
        let last = self.written.wrapping_sub(1);
        if let Some(request) = self.requests.iter_mut().find(|request| request.last.is_none()) {
            request.last = Some(last);
        }
    }

    /// The call that sent the latest request at `at` is over.
    #[inline]
    pub fn after_send(&mut self, stream: &Stream, at: Mono) {
        if self.unknown > 0 {
            return;
        }
        if let Some(request) = self.requests.back_mut() {
            request.sent = at;
        }
        if !self.asked.causes {
            return;
        }
        let Some(info) = stream.tcp_info() else { return };
        if let Some(request) = self.requests.back_mut() {
            request.before = Counters::of(&info);
            request.not_held = info.not_sent == Some(0) && request.last.is_some();
            look_at_window(request, &info);
        }
    }

    /// Nothing came, or only a part: is a request held back in this host?
    pub fn while_waiting(&mut self, stream: &Stream) {
        self.fetch(stream);
        if !self.asked.causes {
            return;
        }
        let held = |request: &&mut Request| request.departed.is_none();
        let Some(request) = self.requests.iter_mut().find(held) else { return };
        if let Some(info) = stream.tcp_info() {
            look_at_window(request, &info);
        }
    }

    /// Fetches what the kernel has stamped meanwhile.
    pub fn fetch(&mut self, stream: &Stream) {
        while let Some(report) = stream.stamp() {
            self.take(report);
        }
    }

    fn take(&mut self, Report { moment, byte, at }: Report) {
        let of = |request: &&mut Request| request.last == Some(byte);
        let Some(request) = self.requests.iter_mut().find(of) else { return };
        match moment {
            Moment::Departed if request.departed.is_none() => request.departed = Some(at),
            // A later one is that segment sent again.
            Moment::Departed if request.acked.is_none() => request.copy = Some(at),
            Moment::Departed => {}
            Moment::Acknowledged => {
                request.acked.get_or_insert(at);
            }
        }
    }

    /// The reply to the oldest request was read at `at`: the parts of its round
    /// trip, and what speaks for a cause where it was long. Only now are stamps
    /// fetched: not while a reply may come.
    pub fn on_reply(
        &mut self,
        stream: &Stream,
        at: Mono,
    ) -> (Option<KernelTimes>, Option<Evidence>) {
        self.fetch(stream);
        let Some(request) = self.requests.pop_front() else {
            self.unknown = self.unknown.saturating_sub(1);
            return (None, None);
        };
        self.count_unstamped(request.departed.is_some());
        if at >= self.compare_at {
            self.compare_at = at + COMPARE;
            self.anchor = clock::anchor();
        }
        let arrived = stream.arrived();
        let evidence = self.evidence(&request, stream, at, arrived);
        self.learn(&request, arrived);
        // Where a hole was filled the stamp is another segment's.
        let usable = evidence.is_none_or(|evidence| evidence.holes == Some(0));
        let parts =
            self.asked.parts && usable && request.copy.is_none() && request.window.is_none();
        let parts = parts
            .then_some(())
            .and_then(|()| split(self.anchor, request.sent, request.departed?, arrived?, at));
        (parts, evidence)
    }

    fn count_unstamped(&mut self, stamped: bool) {
        self.without = if stamped { 0 } else { self.without + 1 };
        let none = self.asked.parts && self.without == PATIENCE;
        if none && !std::mem::replace(&mut self.complained, true) {
            log::warn!("the last {PATIENCE} requests have no stamp of their departure");
        }
    }

    /// The smallest round trip so far.
    fn learn(&mut self, request: &Request, arrived: Option<Wall>) {
        let Some(departed) = request.departed.filter(|_| request.copy.is_none()) else { return };
        for answer in [request.acked, arrived].into_iter().flatten() {
            let span = answer.0 - departed.0;
            if span > 0 {
                self.smallest = Some(self.smallest.map_or(span, |smallest| smallest.min(span)));
            }
        }
    }

    fn evidence(
        &self,
        request: &Request,
        stream: &Stream,
        at: Mono,
        arrived: Option<Wall>,
    ) -> Option<Evidence> {
        if !self.asked.causes {
            return None;
        }
        let ordinary = u64::try_from(self.smallest.unwrap_or(0)).unwrap_or(0) + ORDINARY;
        if !self.asked.all && self.smallest.is_some() && at.nanos_since(request.sent) < ordinary {
            return None;
        }
        let after = |wall: Wall| {
            let span = wall.0.checked_sub(self.anchor.wall(request.sent).0)?;
            u32::try_from(span.max(0) / 1_000).ok().filter(|_| span >= -SLACK)
        };
        let now = stream.tcp_info().unwrap_or_default();
        let grown = |before: Option<u32>, now: Option<u32>| Some(now?.wrapping_sub(before?));
        // The kernel's own has more samples.
        let own = self.smallest.and_then(|span| u32::try_from(span / 1_000).ok());
        let smallest = own.map(|own| now.min_rtt_us.map_or(own, |kernels| own.min(kernels)));
        Some(Evidence {
            departed: request.departed.and_then(after),
            copy: request.copy.and_then(after),
            acked: request.acked.and_then(after),
            arrived: arrived.and_then(after),
            smallest,
            retransmits: grown(request.before.retransmits, now.retransmits),
            dsack: grown(request.before.dsack_dups, now.dsack_dups).map(|grown| grown > 0),
            holes: grown(request.before.out_of_order, now.out_of_order),
            backed_off: request.backed_off,
            window: request.window,
            not_held: request.not_held,
            one_segment: self.longest <= self.segment,
            in_parts: None,
        })
    }
}

/// Whether what is not sent waits for a window, and for whose.
fn look_at_window(request: &mut Request, info: &TcpInfo) {
    let TcpInfo { not_sent, unacked, cwnd, backoff, .. } = *info;
    request.backed_off |= backoff.is_some_and(|backoff| backoff > 0);
    if not_sent.is_none_or(|bytes| bytes == 0) {
        return;
    }
    match (unacked, cwnd) {
        (Some(0), _) => request.window = Some(Window::Peer),
        (Some(unacked), Some(cwnd)) if unacked >= cwnd => {
            request.window = Some(Window::Congestion);
        }
        _ => {}
    }
}

/// The three parts of a round trip. None of them can be negative: where one is,
/// somebody has set the wall clock meanwhile.
fn split(anchor: Anchor, sent: Mono, left: Wall, arrived: Wall, at: Mono) -> Option<KernelTimes> {
    let part = |from: i64, to: i64| {
        let span = to.checked_sub(from)?;
        (span >= -SLACK).then(|| u64::try_from(span).unwrap_or(0))
    };
    Some(KernelTimes {
        send: part(anchor.wall(sent).0, left.0)?,
        round_trip: part(left.0, arrived.0)?,
        receive: part(arrived.0, anchor.wall(at).0)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_gives_nothing_rather_than_nonsense() {
        let anchor = Anchor { mono: Mono(0), wall: Wall(1_000_000_000) };
        let parts = |left: i64, arrived: i64| {
            split(
                anchor,
                Mono(10_000),
                Wall(1_000_000_000 + left),
                Wall(1_000_000_000 + arrived),
                Mono(90_000),
            )
        };
        let times = parts(15_000, 80_000).unwrap();
        assert_eq!((times.send, times.round_trip, times.receive), (5_000, 65_000, 10_000));
        assert_eq!(parts(15_000, 5_000_000_000), None);
        assert_eq!(parts(-5_000_000_000, 80_000), None);
        assert_eq!(parts(15_000, -80_000), None);
    }
}
