//! The control connection of TWAMP, from the server's side (RFC 5357, section
//! 3), in unauthenticated mode.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use super::closing::Closing;
use super::light::LightLimits;
use super::seats::{Refusal, Seats};
use super::test_session::{Terms, TestSession};
use super::throttle::{News, Throttle};
use super::{Account, Connection, Context, Ending};
use crate::clock::{Mono, Wall};
use crate::net::DatagramSocket;
use crate::os::clock;
use crate::text::format::count;
use crate::wire::ntp::Timestamp;
use crate::wire::twamp_control::{
    Accept, AcceptSession, COMMAND, Greeting, REQUEST, Request, SET_UP, ServerStart, TEST_PORTS,
    UNAUTHENTICATED, command, emit_start_ack, read_set_up,
};

/// No read waits longer, so that silence is judged by test packets too.
const LOOK: Duration = Duration::from_secs(1);
/// Sessions that may be asked for before they are started.
const MAX_PER_CONNECTION: usize = 256;
/// Test sessions at once, unless the user chose: in all, and for one client.
pub const MAX_SESSIONS: usize = 1024;
/// See [`MAX_SESSIONS`].
pub const MAX_SESSIONS_PER_HOST: usize = 256;

/// What all control connections of a server share.
#[derive(Debug)]
pub struct TwampHost {
    /// Test sessions in all, and for one client.
    pub seats: Seats,
    /// The UDP ports of test sessions.
    pub ports: RangeInclusive<u16>,
    /// Bounds of reflecting.
    pub limits: LightLimits,
    /// When the server was started.
    pub start: Wall,
    /// How many ports have been handed out.
    pub turn: AtomicU16,
    /// Whether test sessions are to end with the server.
    pub closing: Closing,
    /// Test sessions that begin and end, in the log.
    pub news: Arc<News>,
}

/// Beginnings and ends of test sessions that are told in a second: one client could
/// ask for a thousand.
const MOST_NEWS: u32 = 20;

impl Default for TwampHost {
    fn default() -> Self {
        Self {
            seats: Seats::new(MAX_SESSIONS, MAX_SESSIONS_PER_HOST),
            ports: TEST_PORTS,
            limits: LightLimits::default(),
            start: clock::wall(),
            turn: AtomicU16::new(0),
            closing: Closing::default(),
            news: Arc::new(News::new(MOST_NEWS)),
        }
    }
}

impl TwampHost {
    /// Binds a UDP port at `local` for a session: the one asked for where that is of
    /// the range, so that no stranger takes another service's, else the next free one
    /// (RFC 5357, section 3.5, has the reflector propose it).
    fn bind(&self, local: SocketAddr, wanted: u16) -> Option<DatagramSocket> {
        let first = *self.ports.start();
        let count = self.ports.end().saturating_sub(first).saturating_add(1);
        let others = (0..count).map(|_| {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            first.saturating_add(turn % count)
        });
        let wish = self.ports.contains(&wanted).then_some(wanted);
        wish.into_iter().chain(others).find_map(|port| {
            // With its scope: a link-local address is nothing without.
            let mut address = local;
            address.set_port(port);
            DatagramSocket::bind(&address).ok()
        })
    }
}

/// Serves one control connection.
pub fn serve(connection: &mut dyn Connection, context: &Context<'_>) -> Account {
    let mut control = Control {
        connection,
        context,
        sessions: Vec::new(),
        opened: 0,
        refusals: Throttle::default(),
    };
    let ending = control.converse().unwrap_or_else(|error| Ending::of_read(&error));
    Account { served: count(control.opened, "test session").into(), ending }
}

struct Control<'connection> {
    connection: &'connection mut dyn Connection,
    context: &'connection Context<'connection>,
    /// Asked for and not stopped yet. Without this connection they stop.
    sessions: Vec<TestSession>,
    opened: u64,
    refusals: Throttle,
}

impl Control<'_> {
    fn converse(&mut self) -> io::Result<Ending> {
        let [challenge, salt, iv] = [random(), random(), random()];
        let greeting = Greeting { modes: UNAUTHENTICATED, challenge, salt };
        self.connection.write_all(&greeting.emit())?;
        let mut set_up = [0; SET_UP];
        if !self.read(&mut set_up, 0)? {
            return Ok(Ending::PeerClosed);
        }
        let mode = read_set_up(&set_up).unwrap_or(0);
        if mode == 0 {
            return Ok(Ending::Refused("the client wants none of the modes offered"));
        }
        let accept = if mode == UNAUTHENTICATED { Accept::OK } else { Accept::FAILURE };
        let start = Timestamp::from_unix_nanos(self.context.settings.twamp.start.0);
        self.connection.write_all(&ServerStart { accept, iv, start }.emit())?;
        if accept != Accept::OK {
            return Ok(Ending::Refused("a mode that was not offered"));
        }
        while let Some(command) = self.next_command()? {
            if let Some(ending) = self.command(&command)? {
                return Ok(ending);
            }
        }
        Ok(Ending::PeerClosed)
    }

    /// The next command, filled up with zeros to the longest; `None` at the end.
    fn next_command(&mut self) -> io::Result<Option<[u8; REQUEST]>> {
        let mut bytes = [0; REQUEST];
        if !self.read(&mut bytes[..COMMAND], 0)? {
            return Ok(None);
        }
        let longer =
            [command::REQUEST_SESSION, command::REQUEST_TW_SESSION, command::START_N_SESSIONS];
        let whole = !longer.contains(&bytes[0]) || self.read(&mut bytes[COMMAND..], 1)?;
        Ok(whole.then_some(bytes))
    }

    /// Fills `buffer`. `false`: the peer has closed instead. Silence for longer
    /// than allowed (SERVWAIT) is an error, unless test packets come meanwhile;
    /// once something of a message has come, the rest must come in that time.
    fn read(&mut self, buffer: &mut [u8], begun: usize) -> io::Result<bool> {
        let mut since = clock::now();
        let patience = self.context.settings.idle_timeout.unwrap_or(Duration::MAX);
        let mut filled = 0;
        while filled < buffer.len() {
            let begun = begun + filled > 0;
            let heard = if begun { since } else { self.heard(since) };
            let left = patience.saturating_sub(clock::now().since(heard));
            if left.is_zero() {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.connection.wait_at_most(Some(left.min(LOOK)))?;
            match self.connection.read(&mut buffer[filled..]) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    filled += count;
                    // From its first byte on a message has a time of its own.
                    since = if begun { since } else { clock::now() };
                }
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted | ErrorKind::WouldBlock => {}
                    _ => return Err(error),
                },
            }
        }
        Ok(true)
    }

    /// The last sign of life: on this connection, or of its test sessions.
    fn heard(&self, here: Mono) -> Mono {
        self.sessions.iter().map(TestSession::last_packet).fold(here, Mono::max)
    }

    fn command(&mut self, bytes: &[u8; REQUEST]) -> io::Result<Option<Ending>> {
        match bytes[0] {
            command::REQUEST_TW_SESSION => {
                let (answer, why) = self.request(bytes);
                let peer = self.context.peer;
                match answer.accept {
                    Accept::OK => {
                        let news = &self.context.settings.twamp.news;
                        news.tell(|| log::info!("{peer} twamp session begins: {why}"));
                    }
                    accept => {
                        // One client could ask a thousand times a second.
                        if let Some(more) = self.refusals.admit(clock::now()) {
                            let text = accept.text();
                            log::warn!("{peer} twamp session {text}: {why} ({more} times before)");
                        }
                    }
                }
                self.connection.write_all(&answer.emit())?;
            }
            command::START_SESSIONS => {
                self.sessions.iter().for_each(TestSession::start);
                self.connection.write_all(&emit_start_ack(Accept::OK))?;
            }
            // Whatever number of sessions it names: implementations differ.
            command::STOP_SESSIONS => self.sessions.clear(),
            command::REQUEST_SESSION | command::START_N_SESSIONS => {
                let answer = AcceptSession { accept: Accept::UNSUPPORTED, port: 0, sid: [0; 16] };
                self.connection.write_all(&answer.emit())?;
            }
            _ => return Ok(Some(Ending::Refused("a command that is none of TWAMP's"))),
        }
        Ok(None)
    }

    /// The answer to a request, and what the log says of it.
    fn request(&mut self, bytes: &[u8; REQUEST]) -> (AcceptSession, String) {
        let refused =
            |accept, why: &str| (AcceptSession { accept, port: 0, sid: [0; 16] }, why.to_owned());
        let Some(request) = Request::read(bytes) else {
            return refused(Accept::UNSUPPORTED, "no IP version that there is");
        };
        if self.sessions.len() >= MAX_PER_CONNECTION {
            return refused(Accept::TEMPORARY_LIMIT, "too many on one connection");
        }
        let host = &self.context.settings.twamp;
        let seat = match host.seats.take(self.context.peer.ip()) {
            Ok(seat) => seat,
            Err(refusal) => {
                let why = match refusal {
                    Refusal::Full(most) => format!("{most} are open (--max-sessions)"),
                    Refusal::HostFull(most) => {
                        format!("{most} of this address are open (--max-sessions-per-host)")
                    }
                };
                return refused(Accept::TEMPORARY_LIMIT, &why);
            }
        };
        let local = self.context.local.ip();
        let sender = request.sender.unwrap_or(self.context.peer.ip());
        if !self.context.settings.allowed.admits(sender) {
            return refused(Accept::UNSUPPORTED, "the sender is not among those of --allow");
        }
        if sender.is_ipv4() != local.is_ipv4() {
            return refused(Accept::UNSUPPORTED, "sender and receiver of different families");
        }
        let Some(socket) = host.bind(self.context.local, request.receiver_port) else {
            return refused(Accept::TEMPORARY_LIMIT, "no UDP port is free (--test-ports)");
        };
        let port = socket.local_address().map_or(0, |address| address.port());
        if let Some(dscp) = request.dscp.filter(|dscp| *dscp > 0) {
            // Unmarked replies are better than none.
            let _ = socket.mark(dscp);
        }
        let terms = Terms {
            sender: SocketAddr::new(sender, request.sender_port),
            timeout: request.timeout.min(host.limits.ref_wait),
            ref_wait: host.limits.ref_wait,
            rate: host.limits.rate,
            dscp: request.dscp,
            port,
            reflect_dscp: host.limits.reflect_dscp,
            is_peer: sender.to_canonical() == self.context.peer.ip().to_canonical(),
        };
        match TestSession::open(socket, terms, seat, host.closing.clone(), Arc::clone(&host.news)) {
            Ok(session) => self.sessions.push(session),
            Err(error) => return refused(Accept::TEMPORARY_LIMIT, &error.to_string()),
        }
        self.opened += 1;
        let answer = AcceptSession { accept: Accept::OK, port, sid: session_id(local) };
        let padding = request.padding;
        (answer, format!("from {} to port {port}, padding {padding}", terms.sender))
    }
}

/// Address, time and four random bytes (RFC 4656, section 3.5).
fn session_id(local: IpAddr) -> [u8; 16] {
    let address = match local {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(v6) => v6.octets().last_chunk().copied().unwrap_or_default(),
    };
    let time = Timestamp::from_unix_nanos(clock::wall().0).0.to_be_bytes();
    let mut id = [0; 16];
    id[..4].copy_from_slice(&address);
    id[4..12].copy_from_slice(&time);
    id[12..].copy_from_slice(&random()[..4]);
    id
}

/// Bytes that nobody can guess, from the standard library's own source.
fn random() -> [u8; 16] {
    let half = || RandomState::new().build_hasher().finish().to_le_bytes();
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&half());
    bytes[8..].copy_from_slice(&half());
    bytes
}
