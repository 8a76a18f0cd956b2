//! A test session that a control connection has made: a UDP port, a thread that
//! reflects, and its bounds (RFC 5357, section 4.2).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::closing::Closing;
use super::light::{error_estimate, result_text};
use super::rate::Bucket;
use super::reflector::{Arrived, BUFFER, Reply, is_reply, reflect, stamp_departure};
use super::seats::Seat;
use super::throttle::{News, Throttle};
use crate::clock::Mono;
use crate::net::{Datagram, DatagramSocket};
use crate::os::{clock, thread};
use crate::wire::ntp::ErrorEstimate;
use crate::wire::stamp_answer::Seen;

/// Stack of a reflecting thread: its buffer is on the heap.
const STACK: usize = 64 * 1024;
/// How long packets are reflected after the stop at most, whatever the client asks
/// for: its seat and port are others' again then.
const LONGEST_AFTERWARDS: Duration = Duration::from_mins(1);
/// How often the clock's state is asked.
const CHORES: Duration = Duration::from_secs(1);

/// What a session may do.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Whose packets are reflected; port 0 is any.
    pub sender: SocketAddr,
    /// How long packets are reflected after the stop.
    pub timeout: Duration,
    /// Silence after which it ends (REFWAIT).
    pub ref_wait: Duration,
    /// Packets a second.
    pub rate: u64,
    /// Whether the sender is who asked for the session. Any other could be a
    /// reflector, to be set against this one.
    pub is_peer: bool,
    /// The DSCP of replies that was asked for.
    pub dscp: Option<u8>,
    /// This side's port.
    pub port: u16,
    /// Replies are marked as packets came.
    pub reflect_dscp: bool,
}

/// What the control connection and the reflecting thread tell each other:
/// monotonic nanoseconds, [`Mono::NEVER`] until known.
#[derive(Debug)]
struct Shared {
    /// From when on packets are reflected.
    from: AtomicU64,
    /// Until when.
    until: AtomicU64,
    /// The last packet that was reflected.
    last: AtomicU64,
}

/// A session, as its control connection holds it. Dropping it stops it.
#[derive(Debug)]
pub struct TestSession {
    shared: Arc<Shared>,
    timeout: Duration,
}

impl TestSession {
    /// Begins to listen on `socket`; nothing is reflected yet.
    ///
    /// # Errors
    ///
    /// The kernel has no thread to give.
    pub fn open(
        socket: DatagramSocket,
        terms: Terms,
        seat: Seat,
        closing: Closing,
        news: Arc<News>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            from: AtomicU64::new(Mono::NEVER.0),
            until: AtomicU64::new(Mono::NEVER.0),
            last: AtomicU64::new(clock::now().0),
        });
        let session = Self { shared: Arc::clone(&shared), timeout: terms.timeout };
        let reflecting = Reflecting {
            socket,
            terms,
            shared,
            next: 0,
            marked: terms.dscp,
            translated: None,
            refused: 0,
            results: Throttle::default(),
            closing,
            news,
            seat,
        };
        thread::start("twamp", Some(STACK), Box::new(move || reflecting.run()))?;
        Ok(session)
    }

    /// Packets are reflected from now on.
    pub fn start(&self) {
        let now = clock::now().0;
        self.shared.last.store(now, Ordering::Relaxed);
        self.shared.from.store(now, Ordering::Relaxed);
    }

    /// Packets are reflected for the agreed time more, if they ever were.
    pub fn stop(&self) {
        let now = clock::now();
        let started = now.0 >= self.shared.from.load(Ordering::Relaxed);
        let until = if started { now + self.timeout.min(LONGEST_AFTERWARDS) } else { now };
        self.shared.until.fetch_min(until.0, Ordering::Relaxed);
    }

    /// When the last packet was reflected.
    pub fn last_packet(&self) -> Mono {
        Mono(self.shared.last.load(Ordering::Relaxed))
    }
}

impl Drop for TestSession {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The thread's side of a session.
struct Reflecting {
    socket: DatagramSocket,
    terms: Terms,
    shared: Arc<Shared>,
    next: u32,
    /// The DSCP of replies, where it is that of packets.
    marked: Option<u8>,
    /// The port that a translator on the way has given the sender instead of the
    /// agreed one.
    translated: Option<u16>,
    refused: u64,
    /// The sender may tell its result as often as it likes.
    results: Throttle,
    closing: Closing,
    news: Arc<News>,
    /// Free for another session when this one has ended.
    #[allow(dead_code, reason = "held, not read")]
    seat: Seat,
}

impl Reflecting {
    fn run(mut self) {
        let began = clock::now();
        let mut bucket = Bucket::new(self.terms.rate, began);
        let mut buffer = vec![0; BUFFER];
        let mut error = error_estimate();
        let mut chores_at = began + CHORES;
        let mut troubles = Throttle::default();
        let why = loop {
            let now = match self.socket.wait(&mut buffer) {
                Ok(Some(datagram)) => {
                    self.take(&mut buffer, &datagram, &mut bucket, error);
                    datagram.at
                }
                Ok(None) => clock::now(),
                Err(trouble) => {
                    let now = clock::now();
                    if troubles.admit(now).is_some() {
                        log::debug!("{} twamp: {trouble}", self.terms.sender);
                    }
                    now
                }
            };
            if now >= Mono(self.shared.until.load(Ordering::Relaxed)) {
                break "stopped";
            }
            if self.closing.begun() {
                break "the server stops";
            }
            // Before its start it lives as long as its control connection.
            let started = now.0 >= self.shared.from.load(Ordering::Relaxed);
            let last = Mono(self.shared.last.load(Ordering::Relaxed));
            if started && now.since(last) >= self.terms.ref_wait {
                break "silent for too long";
            }
            if now >= chores_at {
                chores_at = now + CHORES;
                error = error_estimate();
            }
        };
        let more = match self.refused {
            0 => String::new(),
            refused => format!(", {refused} not reflected"),
        };
        self.news.tell(|| {
            log::info!(
                "{} twamp session ends: {} packets reflected{more} in {:.3} s, {why}",
                self.terms.sender,
                self.next,
                clock::now().since(began).as_secs_f64()
            );
        });
    }

    fn take(
        &mut self,
        buffer: &mut [u8],
        datagram: &Datagram,
        bucket: &mut Bucket,
        error: ErrorEstimate,
    ) {
        let now = datagram.at;
        let in_time = now.0 >= self.shared.from.load(Ordering::Relaxed)
            && now.0 < self.shared.until.load(Ordering::Relaxed);
        let Some(from) = datagram.from.filter(|from| in_time && self.agreed(*from)) else {
            self.refused += 1;
            return;
        };
        let packet = buffer.get(..datagram.length).unwrap_or_default();
        if (!self.terms.is_peer && is_reply(packet)) || !bucket.admit(now) {
            self.refused += 1;
            return;
        }
        if self.terms.reflect_dscp {
            self.socket.mark_like(datagram, &mut self.marked);
        }
        let arrived = Arrived {
            at: datagram.stamp.unwrap_or_else(clock::wall),
            ttl: datagram.ttl.unwrap_or(u8::MAX),
            sequence: Some(self.next),
            error,
            seen: Seen {
                from,
                to: (datagram.to, self.terms.port),
                class: datagram.class,
                reply_dscp: self.marked.unwrap_or(0),
                synchronised: error.synchronised(),
                // Counts belong to STAMP, which has no control connection.
                counts: None,
                before: Default::default(),
            },
        };
        let Some(Reply { length, result }) = reflect(buffer, datagram.length, &arrived) else {
            self.refused += 1;
            return;
        };
        let reply = &mut buffer[..length];
        stamp_departure(reply, clock::wall());
        let answered = self.socket.answer(datagram, reply);
        self.shared.last.store(now.0, Ordering::Relaxed);
        log::debug!(
            "received test packet from {from}: {} bytes, time to live {}; {} {}",
            datagram.length,
            arrived.ttl,
            if answered.is_ok() { "sent response" } else { "could not send response" },
            self.next
        );
        self.next = self.next.wrapping_add(1);
        if let Some(result) = result
            && self.results.admit(now).is_some()
        {
            log::info!("{}", result_text(from, &result));
        }
    }

    /// Whether packets from there are reflected. Behind a translator the sender
    /// does not know its own port; of the address that asked for the session, the
    /// first port is taken for it.
    fn agreed(&mut self, from: SocketAddr) -> bool {
        let wanted = self.terms.sender;
        if from.ip().to_canonical() != wanted.ip().to_canonical() {
            return false;
        }
        if wanted.port() == 0 || from.port() == wanted.port() {
            return true;
        }
        if self.translated.is_none() && self.next == 0 && self.terms.is_peer {
            self.translated = Some(from.port());
            log::warn!(
                "{wanted} twamp session: packets come from port {} (a NAT translates ports); they \
                 are reflected there",
                from.port()
            );
        }
        self.translated == Some(from.port())
    }
}
