//! One connection that is left alone, from its handshake to what became of it.
//!
//! It first shows that it works: a probe comes back (or the measurement server
//! says that it is ready). Then nobody speaks for the gap. Then one side does:
//! this one sends a probe, or the server answers one that it was sent before the
//! gap, with the whole gap as its delay. Whether it really was silent is looked
//! up in the kernel, which counts the segments that came.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::outcome::{Outcome, Speech};
use crate::clock::Mono;
use crate::net::dial::{Connected, Reported};
use crate::net::{Dial, Heard, Stream};
use crate::os::poll::Interest;
use crate::os::socket::{self, KeepAlive};
use crate::wire::icmp::IcmpError;
use crate::wire::measurement::{Kind, Reply, Setup};

/// What is sent before and after the gap.
pub(super) const PROBE: &[u8; 32] = b"echotest: is anybody there? 1 2\n";
/// The measurement protocol's probe of one byte.
const MEASUREMENT_PROBE: &[u8] = b"m x 1\n";
/// What belongs to the conversation before the gap may still come so long: a
/// delayed acknowledgement (200 ms at the most on Linux), and as much for a
/// slow path as two of its round trips.
const SETTLING: Duration = Duration::from_millis(250);
/// Keep-alive packets that are lost are sent again soon, so that one loss is no
/// death.
const KEEP_ALIVE_AGAIN: Duration = Duration::from_secs(5);
const KEEP_ALIVE_TRIES: u32 = 6;

/// Who speaks first after the gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Speaker {
    /// This side: any echo service will do.
    #[default]
    Client,
    /// The server: it has to be our own measurement server, which answers a
    /// probe after the delay that it was asked for.
    Server,
}

/// How a connection is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Nobody speaks.
    Silent,
    /// Its kernel asks the peer's this often (TCP keep-alive).
    KeepAlive(Duration),
    /// A probe is echoed this often.
    Speaking(Duration),
}

impl Manner {
    /// Its name for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::KeepAlive(_) => "keep_alive",
            Self::Speaking(_) => "speaking",
        }
    }
}

/// What is asked of one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// How long it is left alone.
    pub gap: Duration,
    /// And how.
    pub manner: Manner,
}

/// How a connection ended.
#[derive(Debug)]
pub struct Ended {
    /// What it was opened for.
    pub trial: Trial,
    /// The silence that it had; shorter where the end was seen.
    pub silent: Duration,
    /// What became of it.
    pub outcome: Outcome,
}

/// What is the same for all connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) speaker: Speaker,
    pub(super) timeout: Duration,
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) trial: Trial,
    /// When the stage ends if nothing happens.
    pub(super) deadline: Mono,
    terms: Terms,
    /// The smallest round-trip time so far: handshake and first probe.
    smallest: Duration,
    came: Vec<u8>,
    /// What a router said of it.
    pub(super) icmp: Option<IcmpError>,
    /// Segments that had come when the silence was settled.
    segments: Option<u32>,
    speech: Option<Speech>,
    /// When the gap began, and when the whole of it is over.
    began: Mono,
    over: Mono,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Dialing(Dial),
    Greeting { stream: Stream, sent: Mono },
    Idle { stream: Stream, since: Mono },
    Probing { stream: Stream, sent: Mono, silent: Duration },
}

/// What became of a connection that something happened to.
pub(super) enum Next {
    Goes(Connection),
    Ends(Ended),
}

impl Connection {
    /// One whose handshake is under way.
    pub(super) fn dialing(trial: Trial, dial: Dial, terms: Terms) -> Self {
        let deadline = dial.began() + terms.timeout;
        Self::new(trial, deadline, terms, Stage::Dialing(dial), Duration::MAX)
    }

    fn new(trial: Trial, deadline: Mono, terms: Terms, stage: Stage, smallest: Duration) -> Self {
        Self {
            trial,
            deadline,
            terms,
            smallest,
            came: Vec::new(),
            icmp: None,
            segments: None,
            speech: None,
            began: Mono::NEVER,
            over: Mono::NEVER,
            stage,
        }
    }

    /// One whose handshake has ended: the first probe goes out.
    pub(super) fn greet(trial: Trial, connected: Connected, terms: Terms) -> Next {
        let Connected { stream, took, .. } = connected;
        if let Manner::KeepAlive(every) = trial.manner {
            let interval = KEEP_ALIVE_AGAIN.min(every);
            let keep = KeepAlive { idle: every, interval, probes: KEEP_ALIVE_TRIES };
            if let Err(error) = socket::set_keep_alive(stream.as_fd(), &keep) {
                return Next::Ends(Ended {
                    trial,
                    silent: trial.gap,
                    outcome: Outcome::Untested(format!("keep-alive: {error}")),
                });
            }
        }
        let greeting = match terms.speaker {
            Speaker::Client => PROBE.to_vec(),
            Speaker::Server => {
                let setup = Setup { kind: Kind::RoundTrip, size: 1, probes: 1, delay: trial.gap };
                setup.line().into_bytes()
            }
        };
        let (sent, result) = stream.send(&greeting);
        let deadline = sent + terms.timeout;
        let next = Self::new(trial, deadline, terms, Stage::Greeting { stream, sent }, took);
        match result {
            Ok(count) if count == greeting.len() => Next::Goes(next),
            _ => next.untested("the first probe could not be sent"),
        }
    }

    fn stream(&self) -> Option<&Stream> {
        match &self.stage {
            Stage::Dialing(_) => None,
            Stage::Greeting { stream, .. }
            | Stage::Idle { stream, .. }
            | Stage::Probing { stream, .. } => Some(stream),
        }
    }

    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        match &self.stage {
            Stage::Dialing(dial) => dial.local_address().ok(),
            _ => self.stream()?.local_address().ok(),
        }
    }

    pub(super) fn interest(&self) -> Interest<'_> {
        match &self.stage {
            Stage::Dialing(dial) => dial.interest(),
            Stage::Greeting { stream, .. }
            | Stage::Idle { stream, .. }
            | Stage::Probing { stream, .. } => stream.interest(),
        }
    }

    fn ends(&self, silent: Duration, outcome: Outcome) -> Next {
        Next::Ends(Ended { trial: self.trial, silent, outcome })
    }

    fn untested(&self, reason: impl Into<String>) -> Next {
        self.ends(self.trial.gap, Outcome::Untested(reason.into()))
    }

    /// Looks whether anything came although nobody was to speak.
    pub(super) fn listen(&mut self, now: Mono) {
        let Stage::Idle { stream, since } = &self.stage else { return };
        let silent = now.since(*since);
        let settling = (SETTLING + self.smallest * 2).min(self.trial.gap / 2);
        // The server's own answer, just in time, is no disturbance.
        let over = self.terms.speaker == Speaker::Server && silent + SETTLING >= self.trial.gap;
        if self.trial.manner != Manner::Silent || silent < settling || over {
            return;
        }
        let Some(segments) = stream.tcp_info().and_then(|info| info.segments_in) else { return };
        match self.segments.replace(segments) {
            Some(before) if before != segments => {
                let first = self.speech.map_or(silent, |speech| speech.first);
                let times = self.speech.map_or(0, |speech| speech.times) + 1;
                self.speech = Some(Speech { first, last: silent, times });
            }
            _ => {}
        }
    }

    /// The stage's time is over.
    pub(super) fn expired(self, now: Mono) -> Next {
        match &self.stage {
            Stage::Dialing(_) => self.untested("no connection: timed out"),
            Stage::Greeting { .. } => self.untested("the first probe had no answer"),
            Stage::Probing { silent, .. } => self.ends(*silent, self.nothing_came()),
            Stage::Idle { since, .. } if self.terms.speaker == Speaker::Server => {
                // The gap and the patience with the server's word.
                let silent = now.since(*since).saturating_sub(self.terms.timeout);
                self.ends(silent.min(self.trial.gap), self.nothing_came())
            }
            Stage::Idle { .. } => self.ask(),
        }
    }

    fn nothing_came(&self) -> Outcome {
        if let Some(icmp) = self.icmp {
            return Outcome::Unreachable(Some(icmp));
        }
        // What was said has reached the peer's kernel, so that the path is there.
        let probing = matches!(self.stage, Stage::Probing { .. });
        let info = self.stream().filter(|_| probing).and_then(Stream::tcp_info);
        match info.and_then(|info| info.unacked) {
            Some(0) => Outcome::Unanswered,
            _ => Outcome::Silent,
        }
    }

    /// Ends the silence: the second probe goes out. Where the server is to speak
    /// there is nothing to be done but to wait for it.
    pub(super) fn ask(mut self) -> Next {
        if self.terms.speaker == Speaker::Server {
            return Next::Goes(self);
        }
        let Stage::Idle { stream, since } = self.stage else { return Next::Goes(self) };
        stream.hear_reports();
        let (sent, result) = stream.send(PROBE);
        // A segment that came is the end of the silence before it.
        let spoken = self.speech.map_or(Duration::ZERO, |speech| speech.last);
        let silent = sent.since(since).saturating_sub(spoken);
        self.deadline = sent + self.terms.timeout;
        self.stage = Stage::Probing { stream, sent, silent };
        match result {
            Ok(count) if count == PROBE.len() => Next::Goes(self),
            Ok(_) => self.untested("the probe could not be sent"),
            Err(error) => self.failed(sent, &error),
        }
    }

    /// Ends the silence early; nothing for a connection that has none yet, and
    /// for one whose server is to speak.
    pub(super) fn ask_now(mut self, now: Mono) -> Option<Next> {
        self.over = now;
        match (&self.stage, self.terms.speaker) {
            (Stage::Probing { .. }, _) => Some(Next::Goes(self)),
            (Stage::Idle { .. }, Speaker::Client) => Some(self.ask()),
            _ => None,
        }
    }

    /// Something can be read, or a connection attempt has ended.
    pub(super) fn ready(mut self, now: Mono) -> Next {
        if let Stage::Dialing(dial) = self.stage {
            return match dial.finish(now) {
                Ok(connected) => Self::greet(self.trial, connected, self.terms),
                Err(error) => Next::Ends(not_opened(self.trial, &error)),
            };
        }
        let mut piece = [0; 2 * PROBE.len()];
        let Some((at, heard)) = self.stream().map(|stream| stream.read(&mut piece)) else {
            return Next::Goes(self);
        };
        match heard {
            Ok(Heard::Nothing | Heard::Room | Heard::Stamps) => Next::Goes(self),
            Ok(Heard::Bytes(count)) => {
                self.came.extend_from_slice(&piece[..count]);
                self.answered(at)
            }
            Ok(Heard::End) => match self.stage {
                Stage::Idle { since, .. } => self.ends(at.since(since), Outcome::ClosedIdle),
                Stage::Probing { silent, .. } => self.ends(silent, Outcome::Closed),
                Stage::Dialing(_) | Stage::Greeting { .. } => {
                    self.untested("the peer closed at once: it may take no more connections")
                }
            },
            Err(error) => self.failed(at, &error),
        }
    }

    /// Bytes came: an answer, whole or in part, or what nobody asked for.
    fn answered(self, at: Mono) -> Next {
        let greeting = matches!(self.stage, Stage::Greeting { .. });
        let server = self.terms.speaker == Speaker::Server;
        if greeting && server {
            return match Reply::read(&self.came) {
                Some(Reply::Ready) => self.settle(at),
                None if !self.came.contains(&b'\n') && self.came.len() < PROBE.len() => {
                    Next::Goes(self)
                }
                _ => self.untested("this is no measurement server of ours that takes this delay"),
            };
        }
        let expected: &[u8] = if server { MEASUREMENT_PROBE } else { PROBE };
        if !expected.starts_with(&self.came) {
            return self.untested("what came is not what was sent: this is no echo service");
        }
        if self.came.len() < expected.len() {
            return Next::Goes(self);
        }
        match self.stage {
            Stage::Greeting { .. } => self.settle(at),
            Stage::Idle { since, .. } if server => {
                let over = since + self.trial.gap;
                match self.speech {
                    // The server's clock may run a little faster than ours.
                    _ if at + SETTLING < over => {
                        self.untested("the server answered before the gap was over")
                    }
                    Some(speech) => self.ends(self.trial.gap, Outcome::Disturbed(speech)),
                    None => self.ends(self.trial.gap, Outcome::Alive(at.since(over))),
                }
            }
            Stage::Probing { .. } if self.is_to_go_on(at) => self.rest(at),
            Stage::Probing { sent, silent, .. } => match self.speech {
                Some(speech) => self.ends(self.trial.gap, Outcome::Disturbed(speech)),
                None if matches!(self.trial.manner, Manner::Speaking(_)) => {
                    let kept = sent.since(self.began).min(self.trial.gap);
                    self.ends(kept, Outcome::Alive(at.since(sent)))
                }
                // What was asked for is proven, where this host woke a moment late.
                None => self.ends(silent.min(self.trial.gap), Outcome::Alive(at.since(sent))),
            },
            Stage::Idle { .. } | Stage::Dialing(_) => {
                self.untested("the peer spoke in the silence: this is no echo service")
            }
        }
    }

    /// It works; from now on nobody speaks.
    fn settle(mut self, at: Mono) -> Next {
        let Stage::Greeting { stream, sent } = self.stage else { return Next::Goes(self) };
        self.smallest = self.smallest.min(at.since(sent));
        self.came.clear();
        if self.terms.speaker == Speaker::Client {
            (self.began, self.over) = (at, at + self.trial.gap);
            self.stage = Stage::Idle { stream, since: at };
            return self.rest(at);
        }
        let (sent, result) = stream.send(MEASUREMENT_PROBE);
        self.deadline = sent + self.trial.gap + self.terms.timeout;
        self.stage = Stage::Idle { stream, since: sent };
        match result {
            Ok(count) if count == MEASUREMENT_PROBE.len() => Next::Goes(self),
            _ => self.untested("the probe could not be sent"),
        }
    }

    /// One that speaks now and then is not at its end yet.
    fn is_to_go_on(&self, at: Mono) -> bool {
        matches!(self.trial.manner, Manner::Speaking(_)) && at < self.over
    }

    /// From here on nobody speaks, until the end or until the next word of one
    /// that speaks now and then.
    fn rest(mut self, at: Mono) -> Next {
        self.came.clear();
        self.deadline = match self.trial.manner {
            Manner::Speaking(every) => self.over.min(at + every),
            Manner::Silent | Manner::KeepAlive(_) => self.over,
        };
        if let Stage::Probing { stream, .. } = self.stage {
            self.stage = Stage::Idle { stream, since: at };
        }
        Next::Goes(self)
    }

    fn failed(self, at: Mono, error: &io::Error) -> Next {
        match &self.stage {
            Stage::Idle { since, .. } if error.kind() == io::ErrorKind::ConnectionReset => {
                self.ends(at.since(*since), Outcome::ResetIdle)
            }
            Stage::Idle { since, .. } if error.kind() == io::ErrorKind::TimedOut => {
                // The kernel's own keep-alive had no answer.
                self.ends(at.since(*since), Outcome::Silent)
            }
            Stage::Probing { silent, .. } if socket::is_unreachable(error) => {
                self.ends(*silent, Outcome::Unreachable(self.icmp))
            }
            Stage::Probing { silent, sent, .. } => match error.kind() {
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    let info = self.stream().and_then(Stream::tcp_info);
                    let kernel = info.and_then(|info| info.min_rtt_us);
                    let kernel = kernel.map(|us| Duration::from_micros(u64::from(us)));
                    let smallest = kernel.map_or(self.smallest, |rtt| rtt.min(self.smallest));
                    self.ends(*silent, Outcome::Reset { after: at.since(*sent), smallest })
                }
                io::ErrorKind::TimedOut => self.ends(*silent, Outcome::Silent),
                _ => self.untested(error.to_string()),
            },
            _ => self.untested(error.to_string()),
        }
    }
}

/// A connection that never stood.
pub(super) fn not_opened(trial: Trial, error: &io::Error) -> Ended {
    let reason = Reported::behind(error).map_or(error.to_string(), |icmp| icmp.to_string());
    let outcome = Outcome::Untested(format!("no connection: {reason}"));
    Ended { trial, silent: trial.gap, outcome }
}
