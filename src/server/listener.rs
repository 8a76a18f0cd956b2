//! The accept loop: a seat and a thread for each client, and none of their
//! troubles for the others.

use std::fmt;
use std::io::{self, Read};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::Ending;
use super::busy::Busy;
use super::seats::{Seat, Seats};
use super::service::{Context, Service, Settings};
use super::sessions::{Entry, Sessions};
use super::throttle::Throttle;
use crate::clock::Mono;
use crate::net::notify::Notifier;
use crate::os::poll::{self, Interest};
use crate::os::socket::{self, KeepAlive};
use crate::os::{clock, signals::Signal, signals::seen, thread};

/// How many clients the server takes.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Clients served at once.
    pub max_clients: usize,
    /// Clients served at once from one address.
    pub max_per_host: usize,
}

/// A session needs little stack: its buffers are on the heap.
const STACK: usize = 64 * 1024;
/// A vanished peer is asked for after two hours, as Linux does it by itself, and
/// given up a minute later. Not sooner: a question is a word, and would break the
/// silence that somebody measures.
const KEEP_ALIVE: KeepAlive =
    KeepAlive { idle: Duration::from_hours(2), interval: Duration::from_secs(10), probes: 6 };
/// A peer that takes nothing for this long is closed.
const WRITE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long, and how many reads of 512 bytes, a closing session waits for the peer
/// to close too.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_READS: usize = 8192;
/// When the kernel has no descriptor or thread to give, accepting rests: at
/// full speed the failing calls would take a whole core.
const SHORTEST_REST: Duration = Duration::from_millis(10);
const LONGEST_REST: Duration = Duration::from_secs(1);
/// No wait is longer, so that a signal just before it is seen.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Clients that are taken in after one look at the listening socket.
const BURST: u32 = 64;
/// Why a client is closed unread.
const STRANGER: &str = "not among those of --allow";
/// What open sessions get when the server stops, and then to end.
const GRACE: Duration = Duration::from_secs(2);
const GOODBYE: Duration = Duration::from_millis(500);

/// Serves until a request to stop comes, then ends the sessions; gives how many
/// did not end of themselves.
///
/// # Errors
///
/// What waiting for clients says; a client's own troubles are never errors.
pub fn serve(
    listeners: Vec<TcpListener>,
    service: &'static Service,
    limits: &Limits,
    settings: Settings,
    notifier: Notifier,
) -> io::Result<usize> {
    let mut server = Server {
        service,
        settings: Arc::new(settings),
        seats: Seats::new(limits.max_clients, limits.max_per_host),
        sessions: Arc::default(),
        refusals: Throttle::default(),
        troubles: Throttle::default(),
        rest: SHORTEST_REST,
        rest_until: Mono(0),
        notifier,
        hang_ups: 0,
    };
    for listener in &listeners {
        prepare(listener.as_fd(), server.settings.idle_timeout)?;
    }
    while seen(Signal::Interrupt) + seen(Signal::Terminate) == 0 {
        server.wait_and_accept(&listeners)?;
    }
    // Who comes now is refused, or, where systemd holds the port, waits.
    drop(listeners);
    server.notifier.stopping();
    log::info!("stopping: no new clients, open sessions have {} s", GRACE.as_secs());
    Ok(server.sessions.drain(GRACE, GOODBYE))
}

struct Server {
    service: &'static Service,
    settings: Arc<Settings>,
    seats: Seats,
    sessions: Arc<Sessions>,
    refusals: Throttle,
    troubles: Throttle,
    rest: Duration,
    rest_until: Mono,
    notifier: Notifier,
    hang_ups: u32,
}

impl Server {
    fn wait_and_accept(&mut self, listeners: &[TcpListener]) -> io::Result<()> {
        let now = clock::now();
        let next_sign = self.notifier.sign_of_life(now);
        self.notifier.status(format!("serving {} clients", self.seats.taken()));
        if std::mem::replace(&mut self.hang_ups, seen(Signal::HangUp)) != seen(Signal::HangUp) {
            // This line is the first in the reopened file.
            log::info!("log file reopened");
        }
        if let Some(count) = self.refusals.overdue(now) {
            log::warn!("{count} more clients refused");
        }
        if now < self.rest_until {
            clock::sleep_until(self.rest_until.min(next_sign));
            return Ok(());
        }
        let mut interests: Vec<_> =
            listeners.iter().map(|listener| Interest::read(listener.as_fd())).collect();
        poll::wait(&mut interests, next_sign.min(now + LONGEST_WAIT))?;
        for (listener, found) in listeners.iter().zip(&interests) {
            // Several at a time: a burst should not wait for a look each.
            let mut left = BURST;
            while found.readable && left > 0 && self.accept(listener) {
                left -= 1;
            }
        }
        Ok(())
    }

    /// Takes one client in; `false` if there is none.
    fn accept(&mut self, listener: &TcpListener) -> bool {
        match listener.accept() {
            Ok((stream, peer)) => {
                self.rest = SHORTEST_REST;
                self.admit(stream, canonical(peer));
                // Without threads to give there is a rest first.
                self.rest_until <= clock::now()
            }
            Err(error) => {
                match error.kind() {
                    // The client has gone again, or another process was faster.
                    io::ErrorKind::WouldBlock
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::Interrupted => {}
                    _ => self.take_rest("cannot accept", &error),
                }
                false
            }
        }
    }

    /// The kernel has nothing to give just now; clients wait in its queue.
    fn take_rest(&mut self, what: &str, error: &io::Error) {
        let now = clock::now();
        if let Some(more) = self.troubles.admit(now) {
            log::error!("{what}: {error} ({more} times more since the last such line)");
        }
        self.rest_until = now + self.rest;
        self.rest = (self.rest * 2).min(LONGEST_REST);
    }

    fn admit(&mut self, stream: TcpStream, peer: SocketAddr) {
        if !self.settings.allowed.admits(peer.ip()) {
            // A reset tells a scanner less than an orderly end, and costs less.
            let _ = socket::reset_on_close(stream.as_fd());
            return self.refuse(peer, &STRANGER);
        }
        match self.seats.take(peer.ip()) {
            Ok(seat) => self.start(stream, peer, seat),
            Err(refusal) => self.refuse(peer, &refusal),
        }
    }

    fn refuse(&mut self, peer: SocketAddr, why: &dyn fmt::Display) {
        if let Some(more) = self.refusals.admit(clock::now()) {
            log::warn!("{peer} refused: {why} ({more} others since the last such line)");
        }
    }

    fn start(&mut self, stream: TcpStream, peer: SocketAddr, seat: Seat) {
        let local = match stream.local_addr() {
            Ok(local) => canonical(local),
            Err(error) => return log::warn!("{peer}: {error}"),
        };
        let stream = Arc::new(stream);
        let entry = self.sessions.enter(Arc::clone(&stream));
        let settings = Arc::clone(&self.settings);
        let service = self.service;
        let session = Session { service, settings, stream, peer, local, entry, _seat: Some(seat) };
        let started = thread::start("session", Some(STACK), Box::new(move || session.run()));
        if let Err(error) = started {
            self.take_rest(&format!("{peer} closed: cannot start a thread"), &error);
        }
    }
}

/// IPv4 as such, also on an IPv6 socket.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        // As it is: a link-local address is nothing without its scope.
        IpAddr::V6(_) => address,
    }
}

/// Sets the options of a connection, or of a listening socket, whose connections
/// inherit them: a system call less for each of them at every new client.
fn prepare(socket: BorrowedFd<'_>, idle_timeout: Option<Duration>) -> io::Result<()> {
    socket::set_no_delay(socket)?;
    socket::set_timeouts(socket, idle_timeout, Some(WRITE_TIMEOUT))?;
    socket::set_keep_alive(socket, &KEEP_ALIVE)
}

/// Serves the one client of `stream` to its end (inetd).
///
/// # Errors
///
/// `stream` is no connected TCP socket.
pub fn serve_one(
    stream: TcpStream,
    service: &'static Service,
    settings: Settings,
) -> io::Result<()> {
    let peer = stream.peer_addr()?;
    stream.set_nonblocking(false)?;
    prepare(stream.as_fd(), settings.idle_timeout)?;
    let local = canonical(stream.local_addr()?);
    let peer = canonical(peer);
    if !settings.allowed.admits(peer.ip()) {
        log::warn!("{peer} refused: {STRANGER}");
        return socket::reset_on_close(stream.as_fd());
    }
    let sessions: Arc<Sessions> = Arc::default();
    let stream = Arc::new(stream);
    let entry = sessions.enter(Arc::clone(&stream));
    let settings = Arc::new(settings);
    Session { service, settings, stream, peer, local, entry, _seat: None }.run();
    Ok(())
}

/// Lets the last words reach the peer: closing over bytes that nobody read
/// would reset the connection and take them back. Bounded in time and bytes.
fn linger(mut stream: &TcpStream) {
    let until = clock::now() + LINGER;
    // Small: it stands on each session's stack, which is memory per client.
    let mut unread = [0; 512];
    // Errors mean that the connection is over already.
    let _ = stream.shutdown(Shutdown::Write);
    let _ = stream.set_read_timeout(Some(LINGER));
    for _ in 0..LINGER_READS {
        match stream.read(&mut unread) {
            Ok(1..) if clock::now() < until => {}
            _ => return,
        }
    }
}

/// One client, on its own thread.
struct Session {
    service: &'static Service,
    settings: Arc<Settings>,
    stream: Arc<TcpStream>,
    peer: SocketAddr,
    local: SocketAddr,
    entry: Entry,
    /// None where there is but one client.
    _seat: Option<Seat>,
}

impl Session {
    fn run(self) {
        let began = clock::now();
        let Self { service, peer, entry, .. } = &self;
        let stopping = || entry.stopping();
        let context = Context {
            peer: *peer,
            local: self.local,
            stopping: &stopping,
            settings: &self.settings,
        };
        let serve = || {
            if self.settings.busy_poll {
                return (service.serve)(&mut Busy::new(&self.stream), &context);
            }
            (service.serve)(&mut self.stream.as_ref(), &context)
        };
        // One client's misfortune must not be another's.
        match catch_unwind(AssertUnwindSafe(serve)) {
            Ok(mut account) => {
                if account.ending.is_ours() {
                    linger(&self.stream);
                }
                if entry.stopping() {
                    account.ending = Ending::Stopping;
                }
                let took = clock::now().since(began);
                self.settings.endings.tell(|| {
                    log::info!(
                        "{peer} {}: {} in {:.3} s, {}",
                        service.name,
                        account.served,
                        took.as_secs_f64(),
                        account.ending
                    );
                });
            }
            Err(_) => log::error!("{peer} {}: internal error, session ended", service.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::{Account, Connection};
    use std::io::Write;

    fn panic_on_p(connection: &mut dyn Connection, _context: &Context<'_>) -> Account {
        let mut byte = [0];
        while matches!(connection.read(&mut byte), Ok(1)) {
            assert!(&byte != b"p", "a session's own misfortune");
            let _ = connection.write_all(&byte);
        }
        Account { served: String::new(), ending: Ending::PeerClosed }
    }

    static PANICKY: Service = Service {
        name: "panicky",
        port: 1,
        idle_timeout: Duration::ZERO,
        has_light: false,
        serve: panic_on_p,
    };

    #[test]
    fn a_session_that_panics_frees_its_seat_and_hurts_nobody() {
        const LIMITS: Limits = Limits { max_clients: 2, max_per_host: 2 };
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = socket::listen(&address, false, 16).unwrap();
        let address = listener.local_addr().unwrap();
        // Ends with the test's process.
        let serving = move || {
            let _ =
                serve(vec![listener], &PANICKY, &LIMITS, Settings::default(), Notifier::default());
        };
        thread::start("serving", None, Box::new(serving)).unwrap();
        let connect = || {
            let stream = socket::unconnected(&address, &socket::ConnectOptions::default()).unwrap();
            stream.set_nonblocking(false).unwrap();
            socket::start_connect(&stream, &address).unwrap();
            stream
        };
        let mut byte = [0];
        let mut steady = connect();
        for _ in 0..10 {
            let mut doomed = connect();
            doomed.write_all(b"p").unwrap();
            assert!(matches!(doomed.read(&mut byte), Ok(0) | Err(_)));
            steady.write_all(b"x").unwrap();
            steady.read_exact(&mut byte).unwrap();
        }
    }
}
