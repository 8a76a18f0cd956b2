//! TCP ping: a link that makes a connection for each probe.
//!
//! Several may be under way at once, so that a host that says nothing does not
//! hold up the schedule. Each has its own socket: what one gets too late can
//! never be taken for another's answer.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::lookup::LookUp;
use crate::clock::{Anchor, Mono, Wall};
use crate::net::dial::Reported;
use crate::net::stream::LONGEST_WAIT;
use crate::net::{Dial, Dialer, Heard, Stream};
use crate::os::icmp::RawIcmp;
use crate::os::poll::{self, Interest, MAX_WATCHED};
use crate::os::{clock, socket};
use crate::probe::link::TcpTotals;
use crate::probe::{Arrival, Detail, Ended, Failure, Link, PingDetail, Single, What};
use crate::text::timestamp::rfc3339;
use crate::wire::icmp::{IcmpError, Quoted};
use crate::wire::ping::{self, Answer};

/// Pings under way at once: as many as one wait can watch, beside the two
/// sockets that get ICMP errors.
pub const MAX_UNDER_WAY: usize = MAX_WATCHED - 2;

/// How pings are made.
#[derive(Debug)]
pub struct PingOptions {
    /// Time the handshake alone.
    pub handshake_only: bool,
    /// Ping every address of the name in turn; else the first that answers.
    pub all_addresses: bool,
    /// The local ports of the flows, in turn; any if there are none.
    pub ports: Vec<u16>,
}

/// See the module's text.
#[derive(Debug)]
pub struct PingLink {
    dialer: Dialer,
    options: PingOptions,
    /// Looks the name up again when pings fail.
    look_up: Option<LookUp>,
    flights: Vec<Flight>,
    /// Done and not handed over yet.
    done: VecDeque<(Mono, Single)>,
    /// Which address is pinged.
    turn: usize,
    /// An address has answered, so that the others are left alone.
    answered: bool,
    icmp: Vec<RawIcmp>,
    anchor: Anchor,
}

/// One ping under way.
#[derive(Debug)]
struct Flight {
    number: u64,
    began: Mono,
    deadline: Mono,
    /// Addresses that this ping has tried, and whether there are more than one.
    tried: usize,
    one_of_many: bool,
    local_port: Option<u16>,
    ends: (Option<SocketAddr>, SocketAddr),
    connect: Option<Duration>,
    /// What a router said of it.
    icmp: Option<IcmpError>,
    stamped: Option<Wall>,
    request: Vec<u8>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Dialing(Dial),
    Waiting { stream: Stream, sent: Mono, came: Vec<u8> },
    Over,
}

impl Flight {
    fn interest(&self) -> Option<Interest<'_>> {
        match &self.stage {
            Stage::Dialing(dial) => Some(dial.interest()),
            Stage::Waiting { stream, .. } => Some(stream.interest()),
            Stage::Over => None,
        }
    }

    /// The ping as it ended at `at`.
    fn end(&self, at: Mono, sent: Mono, ended: Ended, failure: Option<Failure>) -> (Mono, Single) {
        let detail = Detail::Ping(PingDetail {
            local_port: self.local_port,
            address: self.ends.1.ip(),
            one_of_many: self.one_of_many,
            began: self.began,
            connect: self.connect,
            known_after: at.since(self.began),
            stamped: self.stamped,
            failure,
        });
        (at, Single { number: self.number, sent: Some(sent), ended, detail })
    }

    /// Why nothing came, as far as it is known.
    fn timed_out(&self) -> Failure {
        match (&self.stage, self.icmp) {
            (Stage::Waiting { stream, .. }, None) => {
                stream.trouble().map_or(Failure::TimedOut(None), Failure::Told)
            }
            (_, icmp) => Failure::TimedOut(icmp),
        }
    }

    fn failed(&self, at: Mono, failure: Failure) -> (Mono, Single) {
        let sent = match &self.stage {
            Stage::Waiting { sent, .. } => *sent,
            Stage::Dialing(_) | Stage::Over => self.began,
        };
        self.end(at, sent, Ended::Lost, Some(failure))
    }
}

/// Why a connection was not made.
fn why_not_connected(error: &io::Error, icmp: Option<IcmpError>) -> Failure {
    if let Some(icmp) = Reported::behind(error) {
        return Failure::Icmp(icmp);
    }
    match error.kind() {
        io::ErrorKind::TimedOut => Failure::TimedOut(icmp),
        io::ErrorKind::ConnectionRefused => Failure::Refused,
        io::ErrorKind::ConnectionReset => Failure::Reset,
        _ => Failure::Other(error.raw_os_error().unwrap_or(0)),
    }
}

impl PingLink {
    /// A link to the dialer's addresses. `anchor` gives the messages' times.
    pub fn new(
        dialer: Dialer,
        options: PingOptions,
        look_up: Option<LookUp>,
        anchor: Anchor,
    ) -> Self {
        // Without the right to them, errors in mid-stream stay unknown.
        let families = [false, true].into_iter();
        let wanted =
            families.filter(|six| dialer.addresses.iter().any(|address| address.is_ipv6() == *six));
        let icmp = wanted.filter_map(|version6| RawIcmp::open(version6).ok()).collect();
        Self {
            dialer,
            options,
            look_up,
            flights: Vec::with_capacity(MAX_UNDER_WAY),
            done: VecDeque::with_capacity(MAX_UNDER_WAY),
            turn: 0,
            answered: false,
            icmp,
            anchor,
        }
    }

    fn address(&self, number: u64) -> SocketAddr {
        let count = self.dialer.addresses.len().max(1);
        let turn = if self.options.all_addresses {
            usize::try_from(number.wrapping_sub(1)).unwrap_or(0)
        } else {
            self.turn
        };
        self.dialer.addresses[turn % count]
    }

    /// Connects for `flight`; the failure is this host's own if even that
    /// cannot begin.
    fn dial(&mut self, mut flight: Flight, address: SocketAddr) {
        flight.tried += 1;
        // What was said of the address before is nothing of this one's.
        flight.ends = (None, address);
        flight.icmp = None;
        if let Some(turn) =
            flight.number.wrapping_sub(1).checked_rem(self.options.ports.len() as u64)
        {
            let port = usize::try_from(turn).ok().and_then(|turn| self.options.ports.get(turn));
            flight.local_port = port.copied();
            self.dialer.options.source_port = flight.local_port;
        }
        match Dial::start(&self.dialer, address) {
            Ok(dial) => {
                flight.began = dial.began();
                flight.ends.0 = dial.local_address().ok();
                let at_once = dial.has_ended();
                flight.stage = Stage::Dialing(dial);
                if flight.request.is_empty() && !self.options.handshake_only {
                    // While the handshake is under way there is time for it.
                    let stamped = self.anchor.wall(flight.began);
                    flight.request = ping::request(flight.number, &rfc3339(stamped));
                    flight.stamped = Some(stamped);
                }
                if at_once {
                    self.connected(flight, clock::now());
                } else {
                    self.flights.push(flight);
                }
            }
            Err(error) => {
                let failure = match error.raw_os_error() {
                    Some(number) if error.kind() != io::ErrorKind::ConnectionRefused => {
                        Failure::Local(number)
                    }
                    _ => why_not_connected(&error, None),
                };
                self.not_connected(flight, clock::now(), failure);
            }
        }
    }

    /// While no address has answered yet, the others of the name are tried.
    fn not_connected(&mut self, mut flight: Flight, at: Mono, failure: Failure) {
        let others = flight.tried < self.dialer.addresses.len() && at < flight.deadline;
        if self.look_elsewhere(&flight) && others {
            flight.stage = Stage::Over;
            let address = self.address(flight.number);
            return self.dial(flight, address);
        }
        self.fail(&flight, at, failure);
    }

    /// Whether another address is to be pinged instead of that of `flight`,
    /// which was not reached. Of several pings under way to it the first decides.
    fn look_elsewhere(&mut self, flight: &Flight) -> bool {
        let search = !self.answered && !self.options.all_addresses;
        if search && self.address(flight.number) == flight.ends.1 {
            self.turn += 1;
        }
        search
    }

    fn fail(&mut self, flight: &Flight, at: Mono, failure: Failure) {
        self.done.push_back(flight.failed(at, failure));
        if let Some(look_up) = &mut self.look_up {
            look_up.failed();
        }
    }

    fn succeed(&mut self, done: (Mono, Single)) {
        self.answered = true;
        if let Some(look_up) = &mut self.look_up {
            look_up.succeeded();
        }
        self.done.push_back(done);
    }

    /// The handshake of `flight` was seen to have ended at `at`.
    fn connected(&mut self, mut flight: Flight, at: Mono) {
        let Stage::Dialing(dial) = std::mem::replace(&mut flight.stage, Stage::Over) else {
            return;
        };
        let connected = match dial.finish(at) {
            Ok(connected) => connected,
            Err(error) => {
                let failure = why_not_connected(&error, flight.icmp);
                return self.not_connected(flight, at, failure);
            }
        };
        flight.connect = Some(connected.took);
        if self.options.handshake_only {
            if !self.options.ports.is_empty() {
                // An orderly end would keep the port from the next ping for a minute.
                let _ = socket::reset_on_close(connected.stream.as_fd());
            }
            let done = flight.end(connected.at, flight.began, Ended::Received, None);
            return self.succeed(done);
        }
        let stream = connected.stream;
        let (sent, result) = stream.send(&flight.request);
        flight.stage = Stage::Waiting { stream, sent, came: Vec::new() };
        match result {
            Ok(count) if count == flight.request.len() => self.flights.push(flight),
            Ok(_) => self.fail(&flight, sent, Failure::Other(0)),
            Err(error) => self.fail(&flight, sent, why_not_connected(&error, flight.icmp)),
        }
    }

    /// Something can be read for `flight`.
    fn readable(&mut self, mut flight: Flight) {
        let Stage::Waiting { stream, sent, came } = &mut flight.stage else { return };
        let mut piece = [0; ping::MAX_MESSAGE];
        let (at, heard) = stream.read(&mut piece);
        let sent = *sent;
        match heard {
            Ok(Heard::Bytes(count)) => {
                came.extend_from_slice(&piece[..count]);
                match ping::read(&flight.request, came) {
                    Answer::Part if came.len() <= ping::MAX_MESSAGE => self.flights.push(flight),
                    Answer::Reply => {
                        let done = flight.end(at, sent, Ended::Received, None);
                        self.succeed(done);
                    }
                    Answer::Lost => {
                        self.answered = true;
                        let lost = flight.end(at, sent, Ended::Lost, Some(Failure::Declared));
                        self.done.push_back(lost);
                    }
                    Answer::Part | Answer::Wrong => {
                        let text = String::from_utf8_lossy(came);
                        log::warn!("packet {}: the answer was {text:?}", flight.number);
                        self.done.push_back(flight.end(at, sent, Ended::Corrupt, None));
                    }
                }
            }
            Ok(Heard::End) => self.fail(&flight, at, Failure::Closed),
            Ok(Heard::Nothing | Heard::Room | Heard::Stamps) => self.flights.push(flight),
            // A report in mid-stream; the kernel goes on trying, and so do we.
            Err(error) if socket::is_unreachable(&error) => self.flights.push(flight),
            Err(error) => {
                let failure = match error.kind() {
                    io::ErrorKind::ConnectionReset => Failure::Reset,
                    io::ErrorKind::TimedOut => Failure::TimedOut(flight.icmp),
                    _ => Failure::Other(error.raw_os_error().unwrap_or(0)),
                };
                self.fail(&flight, at, failure);
            }
        }
    }

    /// ICMP errors that quote one of our own connections.
    fn hear_routers(&mut self) {
        for raw in &self.icmp {
            while let Some((error, Quoted { source, destination, .. })) = raw.next_error() {
                let about = |flight: &&mut Flight| {
                    let (near, far) = flight.ends;
                    near.is_some_and(|near| same_end(near, source)) && same_end(far, destination)
                };
                if let Some(flight) = self.flights.iter_mut().find(about) {
                    flight.icmp = Some(error);
                }
            }
        }
    }

    fn expire(&mut self, now: Mono) {
        while let Some(place) = self.flights.iter().position(|flight| flight.deadline <= now) {
            let flight = self.flights.remove(place);
            let failure = flight.timed_out();
            if matches!(flight.stage, Stage::Dialing(_)) {
                self.look_elsewhere(&flight);
            }
            self.fail(&flight, now, failure);
        }
    }

    /// Waits for anything to happen, and does what it asks for.
    fn watch(&mut self, until: Mono) -> Mono {
        let mut interests: Vec<Interest<'_>> =
            self.flights.iter().filter_map(Flight::interest).collect();
        let flights = interests.len();
        interests.extend(self.icmp.iter().map(|raw| Interest::read(raw.as_fd())));
        if let Err(error) = poll::wait(&mut interests, until) {
            log::error!("cannot wait: {error}");
        }
        let now = clock::now();
        let ready = |found: &Interest<'_>| found.readable || found.writable;
        let places: Vec<bool> = interests.iter().take(flights).map(ready).collect();
        let routers = interests.iter().skip(flights).any(ready);
        if routers {
            self.hear_routers();
        }
        if places.contains(&true) {
            let (awake, asleep) = std::mem::take(&mut self.flights)
                .into_iter()
                .zip(places)
                .partition::<Vec<_>, _>(|(_, ready)| *ready);
            self.flights = asleep.into_iter().map(|(flight, _)| flight).collect();
            for (flight, _) in awake {
                match flight.stage {
                    Stage::Dialing(_) => self.connected(flight, now),
                    Stage::Waiting { .. } => self.readable(flight),
                    Stage::Over => {}
                }
            }
        }
        now
    }

    /// Addresses that a look-up in the background has found meanwhile.
    fn take_addresses(&mut self) {
        if let Some(addresses) = self.look_up.as_mut().and_then(LookUp::fresh)
            && addresses != self.dialer.addresses
        {
            log::info!("the name now leads to {addresses:?}");
            self.dialer.addresses = addresses;
            self.turn = 0;
            self.answered = false;
        }
    }
}

/// Whether two addresses name the same end; a quoted one has no scope.
fn same_end(one: SocketAddr, other: SocketAddr) -> bool {
    (one.ip(), one.port()) == (other.ip(), other.port())
}

impl Link for PingLink {
    fn send(&mut self, number: u64) -> Mono {
        self.take_addresses();
        let began = clock::now();
        let address = self.address(number);
        let flight = Flight {
            number,
            began,
            deadline: began + self.dialer.timeout,
            tried: 0,
            one_of_many: self.dialer.addresses.len() > 1,
            local_port: None,
            ends: (None, address),
            connect: None,
            icmp: None,
            stamped: None,
            request: Vec::new(),
            stage: Stage::Over,
        };
        self.dial(flight, address);
        began
    }

    fn receive(&mut self, until: Mono) -> Arrival {
        let mut at = clock::now();
        if self.done.is_empty() {
            let deadline = self.flights.iter().map(|flight| flight.deadline).min();
            let until = until.min(deadline.unwrap_or(Mono::NEVER));
            at = self.watch(until.min(at + LONGEST_WAIT));
            self.expire(at);
        }
        match self.done.pop_front() {
            Some((at, single)) => Arrival { at, what: What::Single(single) },
            None => Arrival { at, what: What::Nothing },
        }
    }

    fn anchor(&mut self) -> Anchor {
        self.anchor = clock::anchor();
        self.anchor
    }

    fn tcp(&self) -> Option<TcpTotals> {
        None
    }
}
