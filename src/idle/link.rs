//! Many connections that are left alone, watched together, and beside each death
//! a fresh connection that is asked twice in a row: if both are answered, the
//! silent one alone was dead; if nothing answers any more, the service went away,
//! and where only the first word is answered it was not silence that ended it.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::connection::{Connection, Ended, Manner, Next, Speaker, Terms, Trial, not_opened};
use super::outcome::{Outcome, Proof};
use crate::clock::Mono;
use crate::net::dial::Connected;
use crate::net::stream::LONGEST_WAIT;
use crate::net::{Dial, Dialer};
use crate::os::icmp::RawIcmp;
use crate::os::poll::{self, Interest, MAX_WATCHED};
use crate::os::{clock, signals};
use crate::wire::icmp::Quoted;

/// Connections at once: as many as one wait can watch, beside the fresh one and
/// the socket that gets ICMP errors.
pub const MAX_IDLE: usize = MAX_WATCHED - 2;
/// A fresh connection that fails may have met a restart or a loss: the service
/// is gone only when so many in a row fail,
const FRESH_TRIES: u32 = 3;
/// each so long after the one before.
const FRESH_PAUSE: Duration = Duration::from_secs(1);
/// What is asked of a fresh connection: a second answer without any silence.
const FRESH: Trial = Trial { gap: Duration::ZERO, manner: Manner::Silent };

/// See the module's text.
#[derive(Debug)]
pub struct IdleLink {
    dialer: Dialer,
    terms: Terms,
    connections: Vec<Connection>,
    fresh: Fresh,
    /// Ended, and not handed over yet.
    done: VecDeque<Found>,
    /// With the right to it: who says that the peer cannot be reached.
    routers: Option<RawIcmp>,
}

/// What became of a connection.
#[derive(Debug)]
pub struct Found {
    /// How it ended,
    pub ended: Ended,
    /// and when that was known.
    pub at: Mono,
    /// Of a death: what a fresh connection showed just then.
    pub proof: Option<Proof>,
}

/// The fresh connection that proves a death.
#[derive(Debug, Default)]
struct Fresh {
    connection: Option<Connection>,
    began: Mono,
    /// Deaths that it was begun for.
    deaths: Vec<Found>,
    /// Deaths since then, for the next one.
    later: Vec<Found>,
    failures: u32,
    /// When the next attempt is due, after one that failed.
    next_at: Option<Mono>,
}

impl IdleLink {
    /// A link to the dialer's first address.
    pub fn new(dialer: Dialer, speaker: Speaker) -> Self {
        let version6 = dialer.addresses.first().is_some_and(SocketAddr::is_ipv6);
        let routers = RawIcmp::open(version6).ok();
        let terms = Terms { speaker, timeout: dialer.timeout };
        Self {
            dialer,
            terms,
            connections: Vec::with_capacity(MAX_IDLE),
            fresh: Fresh::default(),
            done: VecDeque::new(),
            routers,
        }
    }

    /// Opens a connection for `trial`.
    pub fn open(&mut self, trial: Trial) {
        let next = self.dial(trial);
        self.take(next);
    }

    /// The same with a connection that stands.
    pub fn adopt(&mut self, connected: Connected, trial: Trial) {
        let next = Connection::greet(trial, connected, self.terms);
        self.take(next);
    }

    fn dial(&self, trial: Trial) -> Next {
        let address = self.dialer.addresses.first().copied();
        let address = address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)));
        match Dial::start(&self.dialer, address) {
            Err(error) => Next::Ends(not_opened(trial, &error)),
            Ok(dial) if dial.has_ended() => match dial.finish(clock::now()) {
                Ok(connected) => Connection::greet(trial, connected, self.terms),
                Err(error) => Next::Ends(not_opened(trial, &error)),
            },
            Ok(dial) => Next::Goes(Connection::dialing(trial, dial, self.terms)),
        }
    }

    /// Ends the silences that were to last longer than `gap`, or all: each
    /// connection is asked now, which tells of the silence that it has had. One
    /// whose server is to speak cannot be asked and is closed. Gives how many are
    /// asked.
    pub fn ask_above(&mut self, gap: Option<Duration>) -> usize {
        let now = clock::now();
        let mut asked = 0;
        for connection in std::mem::take(&mut self.connections) {
            if gap.is_some_and(|gap| connection.trial.gap <= gap) {
                self.connections.push(connection);
            } else if let Some(next) = connection.ask_now(now) {
                asked += 1;
                self.take(next);
            }
        }
        asked
    }

    /// Whether nothing is left to wait for.
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.done.is_empty() && self.fresh.is_idle()
    }

    /// The next connection that ended, with what a fresh one showed if it was
    /// dead. `None`: none within a second, or a signal came.
    ///
    /// # Errors
    ///
    /// This host cannot wait.
    pub fn next_ended(&mut self) -> io::Result<Option<Found>> {
        if self.done.is_empty() && !self.is_empty() {
            self.watch()?;
        }
        Ok(self.done.pop_front())
    }

    fn watch(&mut self) -> io::Result<()> {
        let flying = self.connections.iter().chain(&self.fresh.connection);
        let mut interests: Vec<Interest<'_>> = flying.clone().map(Connection::interest).collect();
        interests.extend(self.routers.iter().map(|raw| Interest::read(raw.as_fd())));
        let due = flying.map(|connection| connection.deadline).chain(self.fresh.next_at).min();
        let until = due.unwrap_or(Mono::NEVER).min(clock::now() + LONGEST_WAIT);
        if signals::stop_requests() == 0 || !interests.is_empty() {
            poll::wait(&mut interests, until)?;
        }
        let now = clock::now();
        let ready: Vec<bool> =
            interests.iter().map(|found| found.readable || found.writable).collect();
        // First: what a router says explains how a connection ends.
        self.hear_routers();
        let mut ready = ready.into_iter();
        for mut connection in std::mem::take(&mut self.connections) {
            let ready = ready.next() == Some(true);
            if !ready {
                connection.listen(now);
            }
            let next = advance(connection, ready, now);
            self.take(next);
        }
        if let Some(connection) = self.fresh.connection.take() {
            let next = advance(connection, ready.next() == Some(true), now);
            self.take_fresh(next);
        }
        if self.fresh.next_at.is_some_and(|at| at <= now) {
            self.try_fresh();
        }
        Ok(())
    }

    fn hear_routers(&mut self) {
        let Some(raw) = &self.routers else { return };
        while let Some((error, Quoted { source, .. })) = raw.next_error() {
            let about = |connection: &&mut Connection| connection.local_address() == Some(source);
            if let Some(connection) = self.connections.iter_mut().find(about) {
                connection.icmp = Some(error);
            }
        }
    }

    fn take(&mut self, next: Next) {
        let ended = match next {
            Next::Goes(connection) => return self.connections.push(connection),
            Next::Ends(ended) => ended,
        };
        let found = Found { ended, at: clock::now(), proof: None };
        if !found.ended.outcome.is_death() {
            self.done.push_back(found);
        } else if self.fresh.is_idle() {
            self.fresh.deaths.push(found);
            self.try_fresh();
        } else {
            self.fresh.later.push(found);
        }
    }

    fn try_fresh(&mut self) {
        self.fresh.next_at = None;
        self.fresh.began = clock::now();
        let next = self.dial(FRESH);
        self.take_fresh(next);
    }

    fn take_fresh(&mut self, next: Next) {
        let proof = match next {
            Next::Goes(connection) => {
                self.fresh.connection = Some(connection);
                return;
            }
            Next::Ends(Ended { outcome: Outcome::Alive(_) | Outcome::Disturbed(_), .. }) => {
                Proof::Answered(clock::now().since(self.fresh.began))
            }
            Next::Ends(ended) => {
                self.fresh.failures += 1;
                if self.fresh.failures < FRESH_TRIES {
                    self.fresh.next_at = Some(clock::now() + FRESH_PAUSE);
                    return;
                }
                match ended.outcome {
                    Outcome::Untested(reason) => Proof::Gone(reason),
                    _ => Proof::Mute,
                }
            }
        };
        self.fresh.failures = 0;
        for death in self.fresh.deaths.drain(..) {
            self.done.push_back(Found { proof: Some(proof.clone()), ..death });
        }
        std::mem::swap(&mut self.fresh.deaths, &mut self.fresh.later);
        if !self.fresh.deaths.is_empty() {
            self.try_fresh();
        }
    }
}

impl Fresh {
    fn is_idle(&self) -> bool {
        self.deaths.is_empty()
    }
}

fn advance(connection: Connection, ready: bool, now: Mono) -> Next {
    match connection {
        connection if ready => connection.ready(now),
        connection if connection.deadline <= now => connection.expired(now),
        connection => Next::Goes(connection),
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
