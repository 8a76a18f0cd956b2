//! The Session-Sender of TWAMP and STAMP: a link over UDP.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::time::Duration;

use super::twamp_control::ControlClient;

use crate::clock::{Anchor, Mono, Wall};
use crate::net::{Datagram, DatagramSocket};
use crate::os::clock::{self, Trust};
use crate::os::thread;
use crate::probe::link::TcpTotals;
use crate::probe::{Arrival, Detail, Ended, Link, Single, TwampDetail, What};
use crate::wire::ntp::{ErrorEstimate, Timestamp};
use crate::wire::stamp::{self, Answer, Extension, TestResult};
use crate::wire::twamp_test::{LARGEST, ReflectorPacket, SENDER, SenderPacket};

/// Packets under way at once. The kernel's queue for replies is shorter.
pub const MAX_UNDER_WAY: usize = 1 << 16;
/// How often the two clocks are compared, and the kernel's opinion of its own is
/// asked: one-way delays follow a wall clock that is being slewed.
const COMPARE: Duration = Duration::from_secs(1);

/// What follows the 14 bytes of a packet's own fields.
#[derive(Debug, Clone, Default)]
pub struct Rest {
    /// Zeros, and extensions.
    pub bytes: Vec<u8>,
    /// Where in them the number of packets sent is written.
    pub counter: Option<usize>,
    /// The extensions.
    pub asked: Vec<&'static Extension>,
}

/// See the module's text.
#[derive(Debug)]
pub struct TwampLink {
    socket: DatagramSocket,
    /// The packet to send; what follows its own fields stays as it is,
    packet: Vec<u8>,
    /// but for the count of packets, where the reflector is to count too.
    counter: Option<usize>,
    /// What came back of extensions.
    answers: Vec<Answer>,
    buffer: Vec<u8>,
    anchor: Anchor,
    compare_at: Mono,
    error: ErrorEstimate,
    at: Mono,
    /// The latest packet sent.
    last: u64,
    /// Something about the socket that is said once.
    complained: bool,
    /// What keeps the session alive; `None` in light mode.
    keeper: Option<Keeper>,
    /// Sessions before this one.
    session: u32,
}

impl TwampLink {
    /// A link over a socket that is connected to the reflector.
    pub fn new(socket: DatagramSocket, rest: Rest, anchor: Anchor, keeper: Option<Keeper>) -> Self {
        let at = clock::now();
        Self {
            socket,
            packet: [&[0; SENDER][..], &rest.bytes].concat(),
            counter: rest.counter.map(|place| SENDER + place),
            answers: rest.asked.into_iter().map(Answer::new).collect(),
            buffer: vec![0; LARGEST],
            anchor,
            compare_at: at + COMPARE,
            error: estimate(clock::trust()),
            at,
            last: 0,
            complained: false,
            keeper,
            session: 0,
        }
    }

    /// Tells the reflector the result, in one more packet.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn send_result(&mut self, result: &TestResult) -> io::Result<()> {
        let number = self.last + 1;
        self.write(number, clock::now());
        let mut packet = self.packet.clone();
        packet.resize(stamp::BASE, 0);
        packet.extend(result.emit());
        // Packets as long as those before it pass where they passed.
        let rest = self.packet.len().saturating_sub(packet.len());
        packet.extend(std::iter::repeat_n(0, rest));
        self.socket.send(&packet)
    }

    /// Writes the fields of packet `number`, to be sent at `at`.
    #[inline]
    fn write(&mut self, number: u64, at: Mono) {
        let fields = SenderPacket {
            sequence: sequence(number),
            sent: Timestamp::from_unix_nanos(self.anchor.wall(at).0),
            error: self.error,
        };
        if let Some(head) = self.packet.first_chunk_mut::<SENDER>() {
            *head = fields.emit();
        }
        if let Some(place) = self.counter {
            let count = sequence(number).wrapping_add(1).to_be_bytes();
            self.packet[place..].iter_mut().zip(count).for_each(|(byte, count)| *byte = count);
        }
    }

    /// Looks at the clocks now and then, between packets.
    fn compare_clocks(&mut self) {
        if self.at >= self.compare_at {
            self.compare_at = self.at + COMPARE;
            self.anchor = clock::anchor();
            self.error = estimate(clock::trust());
            if let Some(socket) = self.keeper.as_mut().and_then(|keeper| keeper.look(self.at)) {
                self.socket = socket;
                self.session += 1;
                self.complained = false;
            }
        }
    }

    /// The control connection as it stands at the end; `None` in light mode.
    pub fn into_control(self) -> Option<ControlClient> {
        self.keeper.map(|keeper| keeper.control)
    }

    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.complained, true) {
            match error.kind() {
                // From cron, with -q, this is the reason.
                io::ErrorKind::ConnectionRefused => log::error!(
                    "the host answers that nothing listens on this UDP port (ICMP port unreachable)"
                ),
                _ => log::warn!("UDP: {error}; it is tried on"),
            }
        }
    }

    /// What a datagram means, if it is a reply to one of ours.
    #[inline]
    fn reply(&self, datagram: &Datagram) -> Option<Single> {
        let bytes = self.buffer.get(..datagram.length)?;
        let reply = ReflectorPacket::read(bytes)?;
        let number = number(reply.sender.sequence, self.last)?;
        let time = |stamp: Timestamp| {
            Wall(match stamp {
                Timestamp(0) => 0,
                stamp if reply.error.is_ptp() => stamp.ptp_to_unix_nanos(),
                stamp => stamp.to_unix_nanos(),
            })
        };
        let detail = TwampDetail {
            received: time(reply.received),
            sent: time(reply.sent),
            arrived: self.anchor.wall(datagram.at),
            session: self.session,
            sequence: reply.sequence,
            ttl: reply.ttl,
            reply_ttl: datagram.ttl,
            class: datagram.class,
            error: reply.error.error(),
            synchronised: reply.error.synchronised(),
        };
        Some(Single { number, sent: None, ended: Ended::Received, detail: Detail::Twamp(detail) })
    }
}

/// A control connection, and the socket of the session that it opened.
type Session = (ControlClient, DatagramSocket);
/// Opens another session, and says why not.
pub type Reopen = Arc<dyn Fn() -> Result<Session, String> + Send + Sync>;

/// From one try to open a session anew to the next.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// Watches the control connection, with which the session ends, and has another one
/// opened on a thread of its own: the probe loop never waits for it.
pub struct Keeper {
    control: ControlClient,
    reopen: Reopen,
    /// Where the new session will come from, while it is asked for.
    asked: Option<Receiver<Result<Session, String>>>,
    /// The session has ended.
    gone: Option<Mono>,
    try_at: Mono,
    /// Why there is none yet, as it was said last.
    said: String,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeper").field("control", &self.control).finish_non_exhaustive()
    }
}

impl Keeper {
    /// For the session that `control` has opened.
    pub fn new(control: ControlClient, reopen: Reopen) -> Self {
        Self { control, reopen, asked: None, gone: None, try_at: Mono(0), said: String::new() }
    }

    /// Looks after the session; gives the socket of a new one.
    fn look(&mut self, now: Mono) -> Option<DatagramSocket> {
        if self.gone.is_none() && !self.control.stands() {
            log::warn!(
                "the server has closed the control connection, and the session has ended with it; \
                 a new one is asked for"
            );
            self.gone = Some(now);
        }
        let since = self.gone?;
        match self.asked.as_ref().map(Receiver::try_recv) {
            Some(Ok(Ok((control, socket)))) => {
                let seconds = now.since(since).as_secs_f64();
                log::warn!("a new session stands after {seconds:.1} s; the numbers go on");
                self.control = control;
                self.asked = None;
                self.gone = None;
                self.said.clear();
                return Some(socket);
            }
            Some(Ok(Err(why))) => {
                if why != self.said {
                    log::warn!("no new session yet: {why}");
                    self.said = why;
                }
                self.asked = None;
            }
            Some(Err(TryRecvError::Disconnected)) => self.asked = None,
            None if now >= self.try_at => self.ask(now),
            Some(Err(TryRecvError::Empty)) | None => {}
        }
        None
    }

    fn ask(&mut self, now: Mono) {
        self.try_at = now + TRY_AGAIN;
        let (answer, asked) = sync_channel(1);
        let reopen = Arc::clone(&self.reopen);
        let asking = move || {
            // Nobody waits for it when the run has ended.
            let _ = answer.send(reopen());
        };
        if thread::start("session", None, Box::new(asking)).is_ok() {
            self.asked = Some(asked);
        }
    }
}

/// Whether a reflector answers on `socket`, which is connected to it, within
/// `patience`: one packet is sent.
pub fn answers(socket: &DatagramSocket, rest: &Rest, patience: Duration) -> bool {
    let began = clock::now();
    let sent = Timestamp::from_unix_nanos(clock::wall().0);
    let fields = SenderPacket { sequence: 0, sent, error: estimate(clock::trust()) };
    let packet = [&fields.emit()[..], &rest.bytes].concat();
    if socket.send(&packet).is_err() {
        return false;
    }
    let mut buffer = vec![0; LARGEST];
    let mut now = began;
    while now < began + patience {
        match socket.receive(&mut buffer, now, began + patience) {
            Ok(Some(datagram)) => {
                let bytes = buffer.get(..datagram.length).unwrap_or_default();
                if ReflectorPacket::read(bytes).is_some_and(|reply| reply.sender.sequence == 0) {
                    return true;
                }
            }
            Ok(None) => {}
            // Nothing listens there, or there is no way.
            Err(_) => return false,
        }
        now = clock::now();
    }
    false
}

fn estimate(trust: Trust) -> ErrorEstimate {
    ErrorEstimate::new(trust.synchronised, trust.error)
}

/// Packets count from 0 on the wire, and begin again after 2^32.
#[allow(clippy::cast_possible_truncation, reason = "that is what begins again means")]
fn sequence(number: u64) -> u32 {
    number.wrapping_sub(1) as u32
}

/// The packet of this number on the wire that was sent last; `None` if none was.
fn number(on_wire: u32, last: u64) -> Option<u64> {
    let back = sequence(last).wrapping_sub(on_wire);
    last.checked_sub(u64::from(back)).filter(|&number| number > 0)
}

impl Link for TwampLink {
    #[inline]
    fn send(&mut self, number: u64) -> Mono {
        let at = clock::now();
        self.write(number, at);
        self.last = number;
        self.at = at;
        if let Err(error) = self.socket.send(&self.packet) {
            self.complain(&error);
        }
        at
    }

    #[inline]
    fn receive(&mut self, until: Mono) -> Arrival {
        let what = match self.socket.receive(&mut self.buffer, self.at, until) {
            Ok(Some(datagram)) => {
                self.at = datagram.at;
                let reply = self.reply(&datagram);
                if reply.is_some() && !self.answers.is_empty() {
                    let bytes = self.buffer.get(..datagram.length).unwrap_or_default();
                    Answer::take(&mut self.answers, bytes);
                }
                if reply.is_none() {
                    log::debug!("a datagram of {} bytes is no reply", datagram.length);
                }
                reply.map_or(What::Nothing, What::Single)
            }
            Ok(None) => {
                self.at = clock::now();
                What::Nothing
            }
            Err(error) => {
                self.at = clock::now();
                self.complain(&error);
                What::Nothing
            }
        };
        let at = self.at;
        self.compare_clocks();
        Arrival { at, what }
    }

    fn anchor(&mut self) -> Anchor {
        clock::anchor()
    }

    fn tcp(&self) -> Option<TcpTotals> {
        None
    }

    fn answers(&self) -> Vec<Answer> {
        self.answers.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_find_back_from_the_wire_also_after_they_began_again() {
        assert_eq!(number(sequence(1), 1), Some(1));
        assert_eq!(number(sequence(7), 9), Some(7));
        assert_eq!(number(9, 9), None, "not sent yet");
        let late = (1 << 32) + 5;
        assert_eq!(number(sequence(late - 6), late), Some(late - 6));
        assert_eq!(number(sequence(late), late), Some(late));
    }
}
