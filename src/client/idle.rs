//! Connections that are left alone for a gap each, watched together.
//!
//! Each sends a probe and awaits its echo, so that it is known to work, says
//! nothing for its gap, and sends a second probe. Keep-alive stays off, as it
//! is on every new socket: it would be traffic.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::clock::Mono;
use crate::net::dial::{Connected, Reported};
use crate::net::stream::LONGEST_WAIT;
use crate::net::{Dial, Dialer, Heard, Stream};
use crate::os::icmp::RawIcmp;
use crate::os::poll::{self, Interest, MAX_WATCHED};
use crate::os::{clock, socket};
use crate::probe::gaps::Fate;
use crate::wire::icmp::{IcmpError, Quoted};

/// Connections at once: as many as one wait can watch, beside the two sockets
/// that get ICMP errors.
pub const MAX_IDLE: usize = MAX_WATCHED - 2;

/// What is sent before and after the gap.
const PROBE: &[u8; 32] = b"echotest: is anybody there? 1 2\n";

/// See the module's text.
#[derive(Debug)]
pub struct IdleLink {
    dialer: Dialer,
    flights: Vec<Flight>,
    /// Ended, and not handed over yet.
    done: VecDeque<Ended>,
    /// With the right to it: who says that the peer cannot be reached.
    routers: Option<RawIcmp>,
}

/// How a connection ended.
#[derive(Debug)]
pub struct Ended {
    /// The gap that it was opened for.
    pub planned: Duration,
    /// The silence that it had; shorter where the end was seen.
    pub silent: Duration,
    /// What became of it.
    pub fate: Fate,
}

#[derive(Debug)]
struct Flight {
    gap: Duration,
    /// When the stage ends if nothing happens.
    deadline: Mono,
    /// The first probe's round-trip time.
    usual: Duration,
    came: Vec<u8>,
    /// What a router said of it.
    icmp: Option<IcmpError>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Dialing(Dial),
    Greeting { stream: Stream, sent: Mono },
    Idle { stream: Stream, since: Mono },
    Probing { stream: Stream, sent: Mono },
}

/// What became of a flight that something happened to.
enum Next {
    Goes(Flight),
    Ends(Ended),
}

impl Flight {
    fn new(gap: Duration, deadline: Mono, stage: Stage) -> Self {
        Self { gap, deadline, usual: Duration::ZERO, came: Vec::new(), icmp: None, stage }
    }

    fn local_address(&self) -> Option<SocketAddr> {
        match &self.stage {
            Stage::Dialing(dial) => dial.local_address().ok(),
            Stage::Greeting { stream, .. }
            | Stage::Idle { stream, .. }
            | Stage::Probing { stream, .. } => stream.local_address().ok(),
        }
    }

    fn interest(&self) -> Interest<'_> {
        match &self.stage {
            Stage::Dialing(dial) => dial.interest(),
            Stage::Greeting { stream, .. }
            | Stage::Idle { stream, .. }
            | Stage::Probing { stream, .. } => stream.interest(),
        }
    }

    fn ends(&self, fate: Fate) -> Next {
        Next::Ends(Ended { planned: self.gap, silent: self.gap, fate })
    }

    fn untested(&self, reason: impl Into<String>) -> Next {
        self.ends(Fate::Untested(reason.into()))
    }

    /// The stage's time is over.
    fn expired(mut self, timeout: Duration) -> Next {
        match self.stage {
            Stage::Dialing(_) => self.untested("no connection: timed out"),
            Stage::Greeting { .. } => self.untested("the first probe had no answer"),
            Stage::Probing { .. } if self.icmp.is_some() => self.ends(Fate::Unreachable(self.icmp)),
            Stage::Probing { .. } => self.ends(Fate::Silent),
            Stage::Idle { stream, .. } => {
                stream.hear_reports();
                let (sent, result) = stream.send(PROBE);
                self.deadline = sent + timeout;
                self.stage = Stage::Probing { stream, sent };
                match result {
                    Ok(count) if count == PROBE.len() => Next::Goes(self),
                    Ok(_) => self.untested("the probe could not be sent"),
                    Err(error) => self.failed(sent, &error),
                }
            }
        }
    }

    /// Something can be read, or a connection attempt has ended.
    fn ready(mut self, now: Mono, timeout: Duration) -> Next {
        let mut piece = [0; 2 * PROBE.len()];
        let (at, heard) = match self.stage {
            Stage::Dialing(dial) => return connected(self.gap, dial, now, timeout),
            Stage::Greeting { ref stream, .. }
            | Stage::Idle { ref stream, .. }
            | Stage::Probing { ref stream, .. } => stream.read(&mut piece),
        };
        match heard {
            Ok(Heard::Nothing | Heard::Room | Heard::Stamps) => Next::Goes(self),
            Ok(Heard::Bytes(count)) => {
                self.came.extend_from_slice(&piece[..count]);
                self.answered(at)
            }
            Ok(Heard::End) => match self.stage {
                Stage::Idle { since, .. } => self.seen(at.since(since), Fate::ClosedIdle),
                Stage::Probing { .. } => self.ends(Fate::Closed),
                Stage::Dialing(_) | Stage::Greeting { .. } => {
                    self.untested("the peer closed at once: it may take no more connections")
                }
            },
            Err(error) => self.failed(at, &error),
        }
    }

    /// Bytes came: the probe's echo, whole or in part, or what nobody asked
    /// for.
    fn answered(mut self, at: Mono) -> Next {
        if !PROBE.starts_with(&self.came) {
            return self.untested("what came is not what was sent: this is no echo service");
        }
        if self.came.len() < PROBE.len() {
            return Next::Goes(self);
        }
        match self.stage {
            Stage::Greeting { stream, sent } => {
                self.usual = at.since(sent);
                self.deadline = at + self.gap;
                self.came.clear();
                self.stage = Stage::Idle { stream, since: at };
                Next::Goes(self)
            }
            Stage::Probing { sent, .. } => self.ends(Fate::Alive(at.since(sent))),
            Stage::Idle { .. } | Stage::Dialing(_) => {
                self.untested("the peer spoke in the silence: this is no echo service")
            }
        }
    }

    fn failed(self, at: Mono, error: &io::Error) -> Next {
        let unreachable = socket::is_unreachable(error);
        match &self.stage {
            Stage::Idle { since, .. } if error.kind() == io::ErrorKind::ConnectionReset => {
                self.seen(at.since(*since), Fate::ResetIdle)
            }
            Stage::Probing { .. } if unreachable => self.ends(Fate::Unreachable(self.icmp)),
            Stage::Probing { sent, .. } => match error.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    self.ends(Fate::Reset { after: at.since(*sent), usual: self.usual })
                }
                io::ErrorKind::TimedOut => self.ends(Fate::Silent),
                _ => self.untested(error.to_string()),
            },
            _ => self.untested(error.to_string()),
        }
    }

    /// The end was seen after this much silence.
    fn seen(&self, silent: Duration, fate: Fate) -> Next {
        Next::Ends(Ended { planned: self.gap, silent, fate })
    }
}

/// The handshake has ended.
fn connected(gap: Duration, dial: Dial, now: Mono, timeout: Duration) -> Next {
    match dial.finish(now) {
        Ok(Connected { stream, .. }) => greet(gap, stream, timeout),
        Err(error) => Next::Ends(not_opened(gap, &error)),
    }
}

/// The connection stands: the first probe goes out.
fn greet(gap: Duration, stream: Stream, timeout: Duration) -> Next {
    let (sent, result) = stream.send(PROBE);
    let stage = Stage::Greeting { stream, sent };
    let deadline = sent + timeout;
    let flight = Flight::new(gap, deadline, stage);
    match result {
        Ok(count) if count == PROBE.len() => Next::Goes(flight),
        _ => flight.untested("the first probe could not be sent"),
    }
}

fn not_opened(gap: Duration, error: &io::Error) -> Ended {
    let reason = Reported::behind(error).map_or(error.to_string(), |icmp| icmp.to_string());
    let fate = Fate::Untested(format!("no connection: {reason}"));
    Ended { planned: gap, silent: gap, fate }
}

impl IdleLink {
    /// A link to the dialer's first address.
    pub fn new(dialer: Dialer) -> Self {
        let version6 = dialer.addresses.first().is_some_and(SocketAddr::is_ipv6);
        let routers = RawIcmp::open(version6).ok();
        Self { dialer, flights: Vec::with_capacity(MAX_IDLE), done: VecDeque::new(), routers }
    }

    /// Opens a connection for `gap`.
    pub fn open(&mut self, gap: Duration) {
        let address = self.dialer.addresses.first().copied();
        let address = address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        match Dial::start(&self.dialer, address) {
            Err(error) => self.done.push_back(not_opened(gap, &error)),
            Ok(dial) if dial.has_ended() => {
                let next = connected(gap, dial, clock::now(), self.dialer.timeout);
                self.take(next);
            }
            Ok(dial) => {
                let deadline = dial.began() + self.dialer.timeout;
                self.flights.push(Flight::new(gap, deadline, Stage::Dialing(dial)));
            }
        }
    }

    /// The same with a connection that stands.
    pub fn adopt(&mut self, connected: Connected, gap: Duration) {
        let next = greet(gap, connected.stream, self.dialer.timeout);
        self.take(next);
    }

    /// Closes every connection for a longer gap; gives their number.
    pub fn abandon_above(&mut self, gap: Duration) -> usize {
        let before = self.flights.len() + self.done.len();
        self.flights.retain(|flight| flight.gap <= gap);
        self.done.retain(|ended| ended.planned <= gap);
        before - self.flights.len() - self.done.len()
    }

    /// Whether nothing is left to wait for.
    pub fn is_empty(&self) -> bool {
        self.flights.is_empty() && self.done.is_empty()
    }

    /// The next connection that ended. `None`: none within a second, or a
    /// signal came.
    ///
    /// # Errors
    ///
    /// This host cannot wait.
    pub fn next_ended(&mut self) -> io::Result<Option<Ended>> {
        if self.done.is_empty() && !self.flights.is_empty() {
            self.watch()?;
        }
        Ok(self.done.pop_front())
    }

    fn watch(&mut self) -> io::Result<()> {
        let mut interests: Vec<Interest<'_>> = self.flights.iter().map(Flight::interest).collect();
        interests.extend(self.routers.iter().map(|raw| Interest::read(raw.as_fd())));
        let due = self.flights.iter().map(|flight| flight.deadline).min();
        let until = due.unwrap_or(Mono::NEVER).min(clock::now() + LONGEST_WAIT);
        poll::wait(&mut interests, until)?;
        let now = clock::now();
        let ready: Vec<bool> =
            interests.iter().map(|found| found.readable || found.writable).collect();
        // First: what a router says explains how a connection ends.
        self.hear_routers();
        let timeout = self.dialer.timeout;
        for (flight, ready) in std::mem::take(&mut self.flights).into_iter().zip(ready) {
            let next = match flight {
                flight if ready => flight.ready(now, timeout),
                flight if flight.deadline <= now => flight.expired(timeout),
                flight => Next::Goes(flight),
            };
            self.take(next);
        }
        Ok(())
    }

    fn hear_routers(&mut self) {
        let Some(raw) = &self.routers else { return };
        while let Some((error, Quoted { source, .. })) = raw.next_error() {
            let about = |flight: &&mut Flight| flight.local_address() == Some(source);
            if let Some(flight) = self.flights.iter_mut().find(about) {
                flight.icmp = Some(error);
            }
        }
    }

    fn take(&mut self, next: Next) {
        match next {
            Next::Goes(flight) => self.flights.push(flight),
            Next::Ends(ended) => self.done.push_back(ended),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::socket::ConnectOptions;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpStream};
    use std::thread;

    const GAP: Duration = Duration::from_millis(50);

    /// What becomes of a connection to a peer that does so.
    fn fate(serve: impl FnOnce(TcpStream) + Send + 'static) -> Ended {
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = socket::listen(&address, false, 8).unwrap();
        listener.set_nonblocking(false).unwrap();
        let addresses = vec![listener.local_addr().unwrap()];
        let options = ConnectOptions::default();
        let mut link =
            IdleLink::new(Dialer { addresses, options, timeout: Duration::from_millis(200) });
        let server = thread::Builder::new().spawn(move || serve(listener.accept().unwrap().0));
        link.open(GAP);
        let ended = loop {
            if let Some(ended) = link.next_ended().unwrap() {
                break ended;
            }
        };
        assert!(link.is_empty());
        server.unwrap().join().unwrap();
        ended
    }

    fn echo_once(stream: &mut TcpStream) {
        let mut bytes = [0; PROBE.len()];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
    }

    #[test]
    fn each_fate_has_its_name() {
        let ended = fate(|mut stream| {
            echo_once(&mut stream);
            echo_once(&mut stream);
        });
        assert_eq!((ended.fate.name(), ended.silent), ("alive", GAP));
        let ended = fate(|mut stream| {
            echo_once(&mut stream);
            stream.read_exact(&mut [0; PROBE.len()]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        assert_eq!((ended.fate.name(), ended.silent), ("closed", GAP));
        // Closed with bytes unread: the kernel sends a reset.
        let ended = fate(|mut stream| {
            echo_once(&mut stream);
            stream.read_exact(&mut [0; 1]).unwrap();
        });
        assert_eq!((ended.fate.name(), ended.silent), ("reset", GAP));
        let ended = fate(|mut stream| {
            echo_once(&mut stream);
            let _ = stream.read_to_end(&mut Vec::new());
        });
        assert_eq!((ended.fate.name(), ended.silent), ("silent", GAP));
        let ended = fate(|mut stream| echo_once(&mut stream));
        assert_eq!(ended.fate, Fate::ClosedIdle);
        assert!(ended.silent < GAP, "{ended:?}");
    }

    #[test]
    fn what_is_no_echo_service_tests_nothing() {
        let twice = [*PROBE, *PROBE].concat();
        for greeting in [b"SSH-2.0-x\r\n".to_vec(), twice] {
            let ended = fate(move |mut stream| {
                stream.write_all(&greeting).unwrap();
                let _ = stream.read_to_end(&mut Vec::new());
            });
            assert_eq!(ended.fate.name(), "untested", "{ended:?}");
        }
    }
}
