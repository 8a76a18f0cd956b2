//! Which part of a round trip was this host's and which the network's, by the
//! kernel's own stamps.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::{Anchor, Mono, Wall};
use crate::net::Stream;
use crate::os::clock;
use crate::probe::KernelTimes;

/// How often the two clocks are compared: a wall clock that is being slewed runs
/// away from the monotonic by 50 ns in this time at most.
const COMPARE: Duration = Duration::from_millis(100);
/// Parts of a round trip may come out below zero by the two clocks' granularity.
const SLACK: i64 = 2_000;
/// Replies without a stamp of their request after which the kernel is taken to
/// give none.
const PATIENCE: u64 = 20;
/// Requests whose stamp is waited for.
const MAX_WAITING: usize = 1 << 16;

/// The stamps of one connection.
#[derive(Debug)]
pub struct KernelStamps {
    /// Bytes written so far, modulo 2^32.
    written: u32,
    /// When each request that waits for its reply was handed over.
    sent: VecDeque<Mono>,
    /// The last byte of each of them that is written, and when it left, once
    /// that is known.
    requests: VecDeque<(u32, Option<Wall>)>,
    anchor: Anchor,
    compare_at: Mono,
    /// Replies in a row whose request had no stamp.
    without: u64,
    complained: bool,
}

impl KernelStamps {
    /// Asks for the stamps of a fresh connection; `None` if there are none, which
    /// is said once.
    pub fn ask(stream: &mut Stream) -> Option<Self> {
        match stream.ask_for_stamps() {
            Ok(()) => Some(Self {
                written: 0,
                sent: VecDeque::new(),
                requests: VecDeque::new(),
                anchor: clock::anchor(),
                compare_at: clock::now() + COMPARE,
                without: 0,
                complained: false,
            }),
            Err(error) => {
                log::warn!("the kernel gives no time stamps ({error}); going on without them");
                None
            }
        }
    }

    /// So many bytes were written.
    pub fn on_written(&mut self, bytes: usize) {
        #[allow(clippy::cast_possible_truncation, reason = "counted modulo 2^32")]
        let bytes = bytes as u32;
        self.written = self.written.wrapping_add(bytes);
    }

    /// A request was handed over.
    pub fn on_send(&mut self, at: Mono) {
        if self.sent.len() < MAX_WAITING {
            self.sent.push_back(at);
        }
    }

    /// With the last bytes a request was complete.
    pub fn on_request(&mut self) {
        if self.requests.len() < MAX_WAITING {
            self.requests.push_back((self.written.wrapping_sub(1), None));
        }
    }

    /// Fetches what the kernel has stamped meanwhile.
    pub fn fetch(&mut self, stream: &Stream) {
        while self.fetch_one(stream) {}
    }

    /// `false` if there is nothing more.
    fn fetch_one(&mut self, stream: &Stream) -> bool {
        let Some((byte, left)) = stream.departure() else { return false };
        if let Some(request) = self.requests.iter_mut().find(|(last, _)| *last == byte) {
            request.1 = Some(left);
        }
        true
    }

    /// The reply to the oldest request was read at `at`. Only now are the stamps of departures fetched: not while a
    /// reply may come.
    pub fn on_reply(&mut self, stream: &Stream, at: Mono) -> Option<KernelTimes> {
        // With the oldest stamped, to ask for more would mostly be in vain.
        while self.requests.front().is_some_and(|(_, left)| left.is_none())
            && self.fetch_one(stream)
        {}
        let sent = self.sent.pop_front();
        let (_, left) = self.requests.pop_front()?;
        self.without = if left.is_some() { 0 } else { self.without + 1 };
        if self.without == PATIENCE && !std::mem::replace(&mut self.complained, true) {
            log::warn!("the kernel does not stamp what is sent here; --timestamps shows nothing");
        }
        if at >= self.compare_at {
            self.compare_at = at + COMPARE;
            self.anchor = clock::anchor();
        }
        split(self.anchor, sent?, left?, stream.arrived()?, at)
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
