//! Asking the hops: connection attempts whose packets may pass so many routers and
//! no more. A router says so to the kernel, which tells it without any right
//! (`IP_RECVERR`); of each flow one attempt is under way, as all have its ports.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::hops::{Answer, End, Trail};
use crate::clock::Mono;
use crate::net::Dialer;
use crate::net::dial::{Connected, Reported};
use crate::net::many::{Attempt, attempt_all};
use crate::os::{clock, resolver, signals, socket};

/// Nobody is waited for less long than this,
const SHORTEST_WAIT: Duration = Duration::from_millis(300);
/// or than so many times the slowest answer: routers answer at their leisure.
const TIMES_SLOWEST: u32 = 3;
/// Routers often limit what they say to one host to one answer a second (Linux:
/// `icmp_ratelimit`): whoever got none asks again at that pace,
pub(super) const PACE: Duration = Duration::from_millis(1050);
/// until as many have asked in vain, one after the other.
pub(super) const IN_VAIN: u32 = 3;

/// How the ways of flows are asked for.
#[derive(Debug)]
pub struct Tracer {
    /// Where to, and how; of its addresses the first.
    pub(super) dialer: Dialer,
    target: SocketAddr,
    /// Whether it answers.
    reachable: bool,
    slowest: Duration,
    /// A way for each flow.
    pub trails: Vec<Trail>,
}

impl Tracer {
    /// Tries the target itself and prepares a way for each of `ports`, of which 0
    /// is any. Gives why the target was not reached, too.
    ///
    /// # Errors
    ///
    /// This host cannot even try: a port in use, no route.
    pub fn new(
        mut dialer: Dialer,
        ports: &[u16],
        most: usize,
        count: u32,
    ) -> Result<Self, (u16, std::io::Error)> {
        let target = dialer.addresses.first().copied();
        let target = target.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        dialer.options.reuse_address = true;
        let trails = ports.iter().map(|&port| Trail::new(port, target.ip(), most, count)).collect();
        let slowest = Duration::ZERO;
        let mut tracer = Self { dialer, target, reachable: false, slowest, trails };
        tracer.choose_ports()?;
        let first = tracer.trails.first().map_or(0, |trail| trail.port);
        let dialers = [tracer.attempt(first, None, tracer.dialer.timeout)];
        for Attempt { result, took } in attempt_all(&dialers) {
            match result {
                Ok(connected) => {
                    forget(&connected);
                    tracer.reachable = true;
                }
                Err((_, error)) => match read(&error, took) {
                    Some(answer) => tracer.reachable = matches!(answer, Answer::End(..)),
                    None => return Err((first, error)),
                },
            }
            if tracer.reachable {
                tracer.slowest = took;
            }
        }
        Ok(tracer)
    }

    /// The kernel's choice for the flows that have no port yet. Sockets are held
    /// until all have one, so that no two get the same.
    fn choose_ports(&mut self) -> Result<(), (u16, std::io::Error)> {
        let mut held = Vec::new();
        for trail in self.trails.iter_mut().filter(|trail| trail.port == 0) {
            let mut options = self.dialer.options;
            options.source_port = Some(0);
            let socket = socket::unconnected(&self.target, &options).map_err(|error| (0, error))?;
            trail.port = socket.local_addr().map_err(|error| (0, error))?.port();
            held.push(socket);
        }
        Ok(())
    }

    fn attempt(&self, port: u16, hops: Option<usize>, patience: Duration) -> Dialer {
        let mut dialer = self.dialer.clone();
        dialer.addresses = vec![self.target];
        dialer.timeout = patience;
        dialer.options.source_port = Some(port);
        dialer.options.hop_limit = hops.and_then(|hops| u8::try_from(hops).ok());
        dialer
    }

    /// How long an answer is waited for.
    pub(super) fn patience(&self) -> Duration {
        let enough = (self.slowest * TIMES_SLOWEST).max(SHORTEST_WAIT);
        if self.slowest.is_zero() { self.dialer.timeout } else { enough.min(self.dialer.timeout) }
    }

    /// Asks all that there is to ask, or until a request to end.
    pub fn run(&mut self) {
        loop {
            let asked: Vec<(usize, usize)> = (0..self.trails.len())
                .filter_map(|flow| Some((flow, self.trails[flow].next(self.reachable)?)))
                .collect();
            if asked.is_empty() || signals::stop_requests() > 0 {
                break;
            }
            self.ask(&asked);
        }
        self.ask_patiently();
    }

    /// One round: each flow of `asked` its hop.
    fn ask(&mut self, asked: &[(usize, usize)]) {
        let patience = self.patience();
        let dialers: Vec<Dialer> = asked
            .iter()
            .map(|&(flow, hop)| self.attempt(self.trails[flow].port, Some(hop), patience))
            .collect();
        for &(flow, hop) in asked {
            self.trails[flow].asked(hop);
        }
        let attempts = attempt_all(&dialers);
        for (&(flow, hop), Attempt { result, took }) in asked.iter().zip(attempts) {
            let answer = match result {
                Ok(connected) => {
                    forget(&connected);
                    Some(Answer::End(End::SynAck, connected.took))
                }
                Err((_, error)) => read(&error, took).or_else(|| {
                    self.trails[flow].failed = Some(error.to_string());
                    None
                }),
            };
            match answer {
                None | Some(Answer::Nothing) => {}
                Some(Answer::Router(_, took) | Answer::End(_, took) | Answer::Refused(_, took)) => {
                    self.slowest = self.slowest.max(took);
                }
            }
            self.trails[flow].learn(hop, answer.unwrap_or(Answer::Nothing));
        }
    }

    /// A hop of one flow is silent, that of another is not: a limit of the router's,
    /// perhaps. Of each such hop one flow asks at a time.
    fn ask_patiently(&mut self) {
        let longest = self.trails.iter().map(|trail| trail.hops.len()).max().unwrap_or(0);
        let mut in_vain = vec![0; longest];
        let mut turn = 0;
        let mut told = false;
        while signals::stop_requests() == 0 {
            turn += 1;
            let asked: Vec<(usize, usize)> = (0..longest)
                .filter(|&hop| in_vain[hop] < IN_VAIN)
                .filter_map(|hop| Some((self.missing(hop, turn)?, hop + 1)))
                .collect();
            if asked.is_empty() {
                return;
            }
            if !told {
                log::info!("some routers do not answer every flow at once: asking at their pace");
                told = true;
            }
            let due = clock::now() + PACE;
            // Two hops of one flow have the same ports: one after the other.
            for one in &asked {
                self.ask(std::slice::from_ref(one));
                let known = self.hop_is_known(one.0, one.1 - 1);
                in_vain[one.1 - 1] = if known { 0 } else { in_vain[one.1 - 1] + 1 };
            }
            pause_until(due);
        }
    }

    /// A flow that knows nobody at this hop, where another knows somebody; each time
    /// another one.
    fn missing(&self, hop: usize, turn: usize) -> Option<usize> {
        let silent = |flow: &usize| {
            let trail = &self.trails[*flow];
            let lit = trail.hops.len() - trail.dark();
            hop < lit && trail.failed.is_none() && !self.hop_is_known(*flow, hop)
        };
        let flows: Vec<usize> = (0..self.trails.len()).filter(silent).collect();
        let others = (0..self.trails.len()).any(|flow| self.hop_is_known(flow, hop));
        flows.get(turn % flows.len().max(1)).copied().filter(|_| others)
    }

    fn hop_is_known(&self, flow: usize, hop: usize) -> bool {
        self.trails[flow].hops.get(hop).is_some_and(super::hops::Hop::is_known)
    }

    /// Looks up the names of all who answered, one after the other.
    ///
    /// # Errors
    ///
    /// The resolver does not answer: nobody else is looked up.
    pub fn look_names_up(&mut self) -> std::io::Result<()> {
        let mut known: Vec<(IpAddr, Option<String>)> = Vec::new();
        for hop in self.trails.iter_mut().flat_map(|trail| &mut trail.hops) {
            for address in hop.addresses() {
                if signals::stop_requests() > 0 {
                    return Ok(());
                }
                let place = known.iter().position(|(looked_up, _)| *looked_up == address);
                let place = if let Some(place) = place {
                    place
                } else {
                    known.push((address, resolver::name(address)?));
                    known.len() - 1
                };
                hop.names.extend(known[place].1.clone().map(|name| (address, name)));
            }
        }
        Ok(())
    }

    /// Whom was asked for.
    pub fn target(&self) -> SocketAddr {
        self.target
    }
}

/// Sleeps, unless a request to end comes.
pub(super) fn pause_until(due: Mono) {
    while clock::now() < due && signals::stop_requests() == 0 {
        clock::sleep_until(due.min(clock::now() + Duration::from_millis(100)));
    }
}

/// Ends a connection so that its ports are free at once.
fn forget(connected: &Connected) {
    let _ = socket::reset_on_close(connected.stream.as_fd());
}

/// What an attempt that failed says of the way; `None` where this host is at fault.
fn read(error: &std::io::Error, took: Duration) -> Option<Answer> {
    use std::io::ErrorKind::{
        AddrInUse, AddrNotAvailable, ConnectionRefused, ConnectionReset, Interrupted, TimedOut,
    };
    if let Some(said) = Reported::behind(error) {
        return Some(match said.from {
            Some(from) if said.is_passed_out() => Answer::Router(from, took),
            _ => Answer::Refused(said, took),
        });
    }
    match error.kind() {
        ConnectionRefused | ConnectionReset => Some(Answer::End(End::Reset, took)),
        TimedOut | Interrupted => Some(Answer::Nothing),
        AddrInUse | AddrNotAvailable => None,
        // A report whose sender the kernel does not name.
        _ if socket::is_unreachable(error) && !took.is_zero() => Some(Answer::Nothing),
        _ => None,
    }
}
