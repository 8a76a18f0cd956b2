//! The reflector without a control connection: for TWAMP Light and STAMP
//! senders, stateful while there is room in its table, and for the text
//! datagrams of `TinyTwamp`.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::closing::Closing;
use super::rate::Bucket;
use super::reflector::{Arrived, BUFFER, Reply, read, reflect, stamp_departure};
use super::seats::{Seat, Seats};
use super::throttle::Throttle;
use crate::clock::Mono;
use crate::net::network::Allowed;
use crate::net::{Datagram, DatagramSocket};
use crate::os::{clock, thread};
use crate::wire::ntp::{ErrorEstimate, Timestamp};
use crate::wire::stamp::{self, TestResult};
use crate::wire::stamp_answer::Seen;
use crate::wire::twamp_test::SenderPacket;

/// Senders remembered at once, about 100 bytes each. Further ones are served
/// without a count of their own until some have gone silent.
const MAX_SENDERS: usize = 4096;
/// The same of one host: its others share what strangers have.
const MAX_SENDERS_PER_HOST: usize = 256;
/// While there is room for nobody more, this silence makes some.
const SILENT_WHEN_FULL: Duration = Duration::from_secs(10);
/// How often silent senders are looked for, and the clock's state is asked.
const CHORES: Duration = Duration::from_secs(1);
/// Silence before a packet with number 0 that makes it the first of a new run; a
/// copy of the first packet has no later time of sending either.
const BETWEEN_RUNS: Duration = Duration::from_millis(100);
/// Lines a second about what senders do: each could be forged.
const MOST_NEWS: u32 = 20;
/// Below are services of all kinds, some of which answer anything (RFC 862 to 865):
/// a forged datagram would have the two talk to each other for ever.
const FIRST_SENDERS_PORT: u16 = 1024;
/// But for that of TWAMP and STAMP themselves (RFC 8762, section 4.1).
const TWAMP_PORT: u16 = 862;
/// Stack of a reflecting thread: its buffer is on the heap.
const STACK: usize = 64 * 1024;
/// What the text datagrams of `TinyTwamp` begin with: the tests of its first client,
/// which takes any reply, those of its later one, which wants the words of its own
/// server, and the result that both tell.
const TEST_TEXT: &[u8] = b"TWAMP";
const TIMESTAMP_TEXT: &[u8] = b"Timestamp:";
const RESULT_TEXT: &[u8] = b"Round-trip time";
/// What the later client gets. Its stamp is of whole seconds and of another clock:
/// it holds no round trip.
const NO_RESULT: &[u8] = b"Round-trip time: unknown here";
/// Text datagrams answered a second, of all senders: no more than a reader of texts
/// sends, should two reflectors be set against each other.
const MOST_TEXTS: u64 = 100;
/// The same text of the same sender is answered once in this time: people's clients
/// ask once a second, and two reflectors that are set against each other at once.
const SAME_TEXT: Duration = Duration::from_millis(500);
/// Texts that are remembered for that.
const REMEMBERED_TEXTS: usize = 64;

/// What bounds the light reflector.
#[derive(Debug, Clone, Copy)]
pub struct LightLimits {
    /// Silence after which a sender is forgotten (REFWAIT).
    pub ref_wait: Duration,
    /// Packets a second that one sender has answered; the same for all senders
    /// that there is no room for together.
    pub rate: u64,
    /// Replies are marked as packets came.
    pub reflect_dscp: bool,
}

impl Default for LightLimits {
    /// REFWAIT's own default (RFC 5357, section 4.2), and a rate that no path's
    /// measurement needs.
    fn default() -> Self {
        Self { ref_wait: Duration::from_mins(15), rate: 500_000, reflect_dscp: false }
    }
}

/// Reflects what comes on `socket`, on a thread of its own, until `closing`.
///
/// # Errors
///
/// What the kernel says of the socket, or that there is no thread.
pub fn start(
    socket: UdpSocket,
    limits: LightLimits,
    allowed: Arc<Allowed>,
    closing: Closing,
) -> io::Result<JoinHandle<()>> {
    let socket = DatagramSocket::new(socket)?;
    let mut light = Light::new(limits, allowed, socket.local_address()?.port());
    let reflect = move || {
        let mut buffer = vec![0; BUFFER];
        while !closing.begun() {
            light.turn(&socket, &mut buffer);
        }
        light.close();
    };
    thread::start("light", Some(STACK), Box::new(reflect))
}

/// A sender is told apart by address, port and session identifier.
type Key = (SocketAddr, u16);

#[derive(Debug)]
struct Sender {
    /// The number of the next reply.
    next: u32,
    packets: u64,
    /// Of these, those whose reply left; its number and when it had left.
    replies: u32,
    before: (u32, Timestamp),
    last: Mono,
    /// The latest time of sending that it wrote.
    sent: Timestamp,
    bucket: Bucket,
    /// Free for another when this one is forgotten.
    _seat: Seat,
}

struct Light {
    limits: LightLimits,
    allowed: Arc<Allowed>,
    port: u16,
    senders: HashMap<Key, Sender>,
    seats: Seats,
    /// For senders that there is no room for.
    others: Bucket,
    /// For text datagrams.
    texts: Bucket,
    /// Those that were answered last.
    answered_texts: VecDeque<(SocketAddr, Vec<u8>, Mono)>,
    error: ErrorEstimate,
    /// The DSCP of replies, where it is that of packets.
    marked: Option<u8>,
    chores_at: Mono,
    refusals: Throttle,
    news: Throttle,
    troubles: Throttle,
}

impl Light {
    fn new(limits: LightLimits, allowed: Arc<Allowed>, port: u16) -> Self {
        Self {
            limits,
            allowed,
            port,
            senders: HashMap::new(),
            seats: Seats::new(MAX_SENDERS, MAX_SENDERS_PER_HOST),
            others: Bucket::new(limits.rate, clock::now()),
            texts: Bucket::new(MOST_TEXTS.min(limits.rate), clock::now()),
            answered_texts: VecDeque::new(),
            marked: None,
            error: error_estimate(),
            chores_at: clock::now() + CHORES,
            refusals: Throttle::default(),
            news: Throttle::new(MOST_NEWS),
            troubles: Throttle::default(),
        }
    }

    fn turn(&mut self, socket: &DatagramSocket, buffer: &mut [u8]) {
        let now = match socket.wait(buffer) {
            Ok(Some(datagram)) => {
                self.take(socket, buffer, &datagram);
                datagram.at
            }
            Ok(None) => clock::now(),
            // An ICMP error about a reply, or no memory just now.
            Err(error) => {
                let now = clock::now();
                if self.troubles.admit(now).is_some() {
                    log::debug!("reflecting: {error}");
                }
                now
            }
        };
        if now >= self.chores_at {
            self.chores(now);
        }
    }

    fn take(&mut self, socket: &DatagramSocket, buffer: &mut [u8], datagram: &Datagram) {
        let (length, now) = (datagram.length, datagram.at);
        let Some(from) = datagram.from else { return };
        if !self.allowed.admits(from.ip()) {
            return self.refuse(from, now, "not among those of --allow");
        }
        if !datagram.is_unicast {
            return self.refuse(from, now, "sent to many hosts at once");
        }
        if from.port() < FIRST_SENDERS_PORT && from.port() != TWAMP_PORT {
            return self.refuse(from, now, "the port of another service");
        }
        let packet = &buffer[..length];
        if [TEST_TEXT, TIMESTAMP_TEXT, RESULT_TEXT].iter().any(|text| packet.starts_with(text)) {
            return self.text(socket, packet, datagram, from);
        }
        let ssid = stamp::ssid(packet);
        // A reply of another reflector comes from such a port too, but never
        // with STAMP's zeros. Answering it would go on for ever.
        let Some(sent) = read(packet).filter(|_| from.port() != self.port || ssid.is_some()) else {
            return self.refuse(from, now, "no test packet");
        };
        let key = (from, ssid.unwrap_or(0));
        let Some(sequence) = self.admit(key, sent, now) else {
            return self.refuse(from, now, "more packets a second than allowed");
        };
        if self.limits.reflect_dscp {
            socket.mark_like(datagram, &mut self.marked);
        }
        let sender = self.senders.get(&key);
        #[allow(clippy::cast_possible_truncation, reason = "counts of 32 bits wrap around")]
        let counts = sender.map(|sender| [sender.packets as u32, sender.replies.wrapping_add(1)]);
        let arrived = Arrived {
            at: datagram.stamp.unwrap_or_else(clock::wall),
            ttl: datagram.ttl.unwrap_or(u8::MAX),
            sequence,
            error: self.error,
            seen: Seen {
                from,
                to: (datagram.to, self.port),
                class: datagram.class,
                reply_dscp: self.marked.unwrap_or(0),
                synchronised: self.error.synchronised(),
                counts,
                before: sender.map(|sender| sender.before).unwrap_or_default(),
            },
        };
        let Some(Reply { length, result }) = reflect(buffer, length, &arrived) else { return };
        let reply = &mut buffer[..length];
        stamp_departure(reply, clock::wall());
        let answered = socket.answer(datagram, reply);
        if answered.is_ok()
            && let Some((sender, number)) = self.senders.get_mut(&key).zip(sequence)
        {
            sender.replies = sender.replies.wrapping_add(1);
            sender.before = (number, Timestamp::from_unix_nanos(clock::wall().0));
        }
        log::debug!(
            "received test packet from {from}: number {}, {} bytes, time to live {}; {}",
            sent.sequence,
            datagram.length,
            arrived.ttl,
            if answered.is_ok() { "sent response" } else { "could not send a response" }
        );
        if let Some(result) = result {
            self.tell(now, || result_text(from, &result));
        }
    }

    /// The number of the reply (`None` copies the sender's), if there is to be
    /// one.
    #[allow(clippy::option_option, reason = "no reply, a copied number, a number of its own")]
    fn admit(&mut self, key: Key, sent: SenderPacket, now: Mono) -> Option<Option<u32>> {
        if !self.senders.contains_key(&key) {
            match self.seats.take(key.0.ip()) {
                Ok(place) => self.welcome(key, now, place),
                Err(_) => return self.others.admit(now).then_some(None),
            }
        }
        let sender = self.senders.get_mut(&key)?;
        let silence = now.since(sender.last);
        let later = sent.sent.0 > sender.sent.0;
        sender.last = now;
        sender.sent = sender.sent.max(sent.sent);
        if !sender.bucket.admit(now) {
            return None;
        }
        // A new run of a sender that keeps its port.
        if sent.sequence == 0 && later && silence >= BETWEEN_RUNS {
            sender.next = 0;
        }
        let number = sender.next;
        sender.next = number.wrapping_add(1);
        sender.packets += 1;
        Some(Some(number))
    }

    fn welcome(&mut self, key: Key, now: Mono, place: Seat) {
        let bucket = Bucket::new(self.limits.rate, now);
        let sender = Sender {
            next: 0,
            packets: 0,
            replies: 0,
            before: Default::default(),
            last: now,
            sent: Timestamp::default(),
            bucket,
            _seat: place,
        };
        self.senders.insert(key, sender);
        self.tell(now, || format!("{} light session begins", key.0));
    }

    /// Logs what happens, unless too much does.
    fn tell(&mut self, now: Mono, text: impl FnOnce() -> String) {
        match self.news.admit(now) {
            Some(0) => log::info!("{}", text()),
            Some(others) => log::info!("{} (after {others} events unlogged)", text()),
            None => {}
        }
    }

    fn refuse(&mut self, from: SocketAddr, now: Mono, why: &str) {
        if let Some(others) = self.refusals.admit(now) {
            log::warn!("{from} not reflected: {why} ({others} others since the last such line)");
        }
    }

    /// `TinyTwamp` gets a reply that it can read and that is no longer than what it
    /// sent: its text, or the words that it looks for. A result has none, nor has a
    /// text that comes back at once.
    fn text(
        &mut self,
        socket: &DatagramSocket,
        packet: &[u8],
        datagram: &Datagram,
        from: SocketAddr,
    ) {
        if !self.texts.admit(datagram.at) {
            return self.refuse(from, datagram.at, "more packets a second than allowed");
        }
        let head = &packet[..packet.len().min(200)];
        let text = head.escape_ascii();
        let host = from.ip();
        if packet.starts_with(RESULT_TEXT) {
            return self.tell(datagram.at, || {
                format!("Test result for client [{host}]: Round-trip time received: {text}")
            });
        }
        let now = datagram.at;
        self.answered_texts.retain(|(_, _, at)| now.since(*at) < SAME_TEXT);
        if self.answered_texts.iter().any(|(known, text, _)| *known == from && text == head) {
            return self.refuse(from, now, "the same text again at once");
        }
        if self.answered_texts.len() == REMEMBERED_TEXTS {
            self.answered_texts.pop_front();
        }
        self.answered_texts.push_back((from, head.to_vec(), now));
        let reply = match packet {
            later if later.starts_with(TIMESTAMP_TEXT) => {
                &NO_RESULT[..NO_RESULT.len().min(later.len())]
            }
            first => first,
        };
        let answered = socket.answer(datagram, reply);
        self.tell(datagram.at, || format!("Received test packet from [{host}]: \"{text}\""));
        if answered.is_ok() {
            self.tell(datagram.at, || format!("Sent response to [{host}]"));
        }
    }

    /// The server stops, and all sessions with it.
    fn close(self) {
        let more = self.senders.len().saturating_sub(MOST_NEWS as usize);
        for ((address, _), sender) in self.senders.into_iter().skip(more) {
            log::info!("{}", farewell(address, &sender));
        }
        if more > 0 {
            log::info!("{more} more light sessions end");
        }
    }

    fn chores(&mut self, now: Mono) {
        self.chores_at = now + CHORES;
        self.error = error_estimate();
        let full = self.senders.len() >= MAX_SENDERS;
        let ref_wait =
            if full { self.limits.ref_wait.min(SILENT_WHEN_FULL) } else { self.limits.ref_wait };
        let silent = |_: &Key, sender: &mut Sender| now.since(sender.last) >= ref_wait;
        let gone: Vec<_> = self.senders.extract_if(silent).collect();
        for ((address, _), sender) in gone {
            self.tell(now, || farewell(address, &sender));
        }
        if let Some(count) = self.refusals.overdue(now) {
            log::warn!("{count} more packets not reflected");
        }
    }
}

fn farewell(address: SocketAddr, sender: &Sender) -> String {
    format!("{address} light session ends: {} packets reflected", sender.packets)
}

/// What this host's clock is worth just now.
pub(super) fn error_estimate() -> ErrorEstimate {
    let trust = clock::trust();
    ErrorEstimate::new(trust.synchronised, trust.error)
}

/// What a sender has found out, for its reflector's log.
pub(super) fn result_text(from: SocketAddr, result: &TestResult) -> String {
    let [min, mean, max] = result.round_trips.map(|span| span.as_secs_f64() * 1e3);
    let lost = result.sent.saturating_sub(result.received);
    let percent = 100.0 * f64::from(lost) / f64::from(result.sent.max(1));
    format!(
        "Test result for client [{}]: round-trip time min/avg/max = {min:.3}/{mean:.3}/{max:.3} ms, \
         loss {percent:.1}% ({lost} of {})",
        from.ip(),
        result.sent
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: LightLimits =
        LightLimits { ref_wait: Duration::from_secs(9), rate: 1000, reflect_dscp: false };

    fn packet(sequence: u32, sent: u64) -> SenderPacket {
        SenderPacket { sequence, sent: Timestamp(sent), error: ErrorEstimate(1) }
    }

    /// As many of each host as it may have.
    fn key(number: usize) -> Key {
        let host = u8::try_from(number / MAX_SENDERS_PER_HOST).unwrap();
        let number = u16::try_from(number).unwrap();
        (SocketAddr::from(([10, 0, 0, host], number)), number)
    }

    #[test]
    fn a_host_has_no_more_than_its_share_and_takes_none_of_anothers() {
        let mut light = Light::new(LIMITS, Arc::default(), 862);
        let now = clock::now();
        for number in 0..MAX_SENDERS_PER_HOST {
            assert_eq!(light.admit(key(number), packet(5, 9), now), Some(Some(0)));
        }
        let (address, _) = key(0);
        assert_eq!(light.admit((address, 9999), packet(5, 9), now), Some(None));
        let other = key(MAX_SENDERS_PER_HOST);
        assert_eq!(light.admit(other, packet(5, 9), now), Some(Some(0)));
    }

    #[test]
    fn senders_have_counts_of_their_own_until_the_table_is_full() {
        let mut light = Light::new(LIMITS, Arc::default(), 862);
        let now = clock::now();
        for number in 0..MAX_SENDERS {
            assert_eq!(light.admit(key(number), packet(5, 9), now), Some(Some(0)));
            assert_eq!(light.admit(key(number), packet(6, 10), now), Some(Some(1)));
        }
        assert_eq!(light.admit(key(MAX_SENDERS), packet(77, 9), now), Some(None));
        assert_eq!(light.admit(key(3), packet(7, 11), now), Some(Some(2)));
        let later = now + BETWEEN_RUNS;
        assert_eq!(light.admit(key(3), packet(0, 9), later), Some(Some(3)), "a copy");
        assert_eq!(light.admit(key(3), packet(0, 12), later), Some(Some(4)), "no silence");
        let later = later + BETWEEN_RUNS;
        assert_eq!(light.admit(key(3), packet(0, 13), later), Some(Some(0)), "a new run begins");
        light.chores(now + Duration::from_secs(10));
        assert!(light.senders.is_empty());
    }

    #[test]
    fn strangers_in_a_crowd_share_one_rate() {
        let mut light = Light::new(LIMITS, Arc::default(), 862);
        let now = clock::now();
        for number in 0..MAX_SENDERS {
            light.admit(key(number), packet(0, 0), now);
        }
        let answered = (0..10_000).filter(|number| {
            let port = u16::try_from(number % 60_000).unwrap();
            light.admit((SocketAddr::from(([10, 0, 0, 2], port)), 0), packet(0, 0), now).is_some()
        });
        assert!(answered.count() <= 1001);
    }
}
