//! What to do about a connection that is silent or gone: a pure machine, told of
//! the silence and of attempts, that says what to try next and what it all was.
//!
//! While nothing is answered, a scout leaves every quarter of a second: a new
//! connection with one packet that must come back. The first to be answered
//! proves that the path is back, and then the old connection's fate is told
//! apart: it goes on, or it is given up and made anew from its own local port,
//! or that port is dead.

mod answers;
mod trying;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use super::event::{Event, EventKind, Fate};
use super::link::{Act, Attempted, Connection, Done, Look, Progress};
use super::sample::{DropCause, Notice};
use super::schedule::BackOff;
use super::verdict::Cause;
use crate::clock::Mono;

/// A stall that lasts longer is an outage, and scouts leave.
const OUTAGE: Duration = Duration::from_secs(1);
/// From one scout to the next: how exactly an outage's end is known.
const SCOUT_EVERY: Duration = Duration::from_millis(250);
/// Scouts under way at once; the oldest is ended for the next, so that none
/// lives to wait for the kernel's own slow second and third SYN.
const MOST_SCOUTS: usize = 8;
/// Once the path is back, scouts only check that it stays so.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Checks that stay unanswered so long mean that the path has gone again.
const CHECK_PATIENCE: Duration = Duration::from_secs(3);
/// The shortest wait for an answer over a path that works.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest wait for the kernel to send again over a path that works: its
/// back-off grows to two minutes.
const NO_COPY: Duration = Duration::from_secs(30);
/// Attempts from one local port, unanswered while others are answered, after
/// which that port is dead.
const PORT_TRIES: u32 = 3;
/// How long a local port that this host itself withholds is tried: TIME-WAIT
/// lasts a minute.
const PORT_TAKEN: Duration = Duration::from_mins(1);
/// How often a dead port is looked at again.
const DEAD_PORT_EVERY: Duration = Duration::from_secs(10);
/// How often the name is looked up again during an outage.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);
/// How long another address may be answered before the connection's own is
/// given up for it.
const ELSEWHERE: Duration = Duration::from_secs(3);
/// Scouts that were connected for a second and not answered, as proof that the
/// peer's host is reached and its program is not.
const UNANSWERED: u32 = 2;
/// How much later than the silence began an acknowledgement must have come to
/// be none of what was sent before.
const ACK_SLACK: Duration = Duration::from_millis(50);

/// What the rescue may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    /// Try other connections while this one is silent.
    pub(super) scouts: bool,
    /// A connection that ended is made anew from its own local port.
    pub(super) keep_port: bool,
    /// How long an attempt may take where there are no scouts.
    pub(super) timeout: Duration,
    /// From one probe to the next.
    pub(super) interval: Duration,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// This.
    Act(Act),
    /// Give the connection up.
    GiveUp(DropCause),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// From any local port.
    Scout,
    /// From any local port, with a small packet.
    Small,
    /// To another address of the name.
    Elsewhere,
    /// From the connection's own local port.
    Port,
    /// From a port that is dead.
    Dead,
}

#[derive(Debug, Clone)]
struct Running {
    id: u32,
    kind: Kind,
    began: Mono,
    connected: Option<Mono>,
    /// Part of its packet got through: what is missing is lost, and was not too
    /// large.
    partly: bool,
    answered: Option<Mono>,
}

/// The path is back, and the connection silent still.
#[derive(Debug, Clone, Copy)]
struct Back {
    at: Mono,
    /// The latest answer of a scout.
    checked: Mono,
    /// Segments sent again by the first look after the answer. Those that were sent
    /// before prove nothing: a scout may have left long ago, and the kernel sent its
    /// SYN again.
    copies: Option<u32>,
    /// When a later one was seen to have been sent.
    copy_seen: Option<Mono>,
}

/// Segments that a silence on a path without loss has sent again when it is first
/// looked at.
const USUAL_COPIES: u32 = 3;
/// Copies that must stay unanswered over a path that works, where it loses some
/// anyway: of one in five three are lost once in a hundred times.
const COPIES_UNDER_LOSS: u32 = 3;

/// The connection is there and silent.
#[derive(Debug, Clone)]
struct Silent {
    /// The same, not counting time in which this host stood still.
    counted: Mono,
    /// Whether the connection had lost segments before.
    lossy: Option<bool>,
    /// As the last look at it told: the peer's kernel has all of it.
    acknowledged: bool,
    back: Option<Back>,
}

/// The connection's own local port, tried again.
#[derive(Debug, Clone, Copy)]
struct Port {
    local: SocketAddr,
    tries: u32,
    taken: Option<Mono>,
}

/// There is no connection.
#[derive(Debug, Clone)]
struct Remaking {
    path_back: Option<Mono>,
    /// The latest answer of a scout.
    checked: Option<Mono>,
    /// What is to become of it if its own port is answered.
    if_answered: Option<Fate>,
    port: Option<Port>,
    back_off: BackOff,
    began: Mono,
}

#[derive(Debug, Clone)]
enum State {
    Quiet,
    Silent(Silent),
    Remaking(Remaking),
}

#[derive(Debug, Clone, Copy)]
struct DeadPort {
    local: SocketAddr,
    since: Mono,
    next: Mono,
}

/// See the module's text.
#[derive(Debug)]
pub(super) struct Rescue {
    policy: Policy,
    /// Smoothed round-trip time.
    rtt: Duration,
    connection: Option<Connection>,
    state: State,
    /// The stall or outage under way.
    open: Option<Event>,
    running: Vec<Running>,
    acts: VecDeque<Act>,
    adopting: Option<u32>,
    next_id: u32,
    next_tick: Mono,
    next_check: Mono,
    resolve_at: Mono,
    /// Scouts that were connected for long and not answered.
    unanswered: u32,
    /// Those of which nothing had got through.
    nothing: u32,
    /// A small packet was answered while large ones were not.
    small_passes: bool,
    dead: Option<DeadPort>,
    notices: Vec<Notice>,
}

impl Rescue {
    /// For a connection that stands.
    pub(super) fn new(policy: Policy, connection: Option<Connection>) -> Self {
        Self {
            policy,
            rtt: connection.map_or(Duration::ZERO, |connection| connection.connect),
            connection,
            state: State::Quiet,
            open: None,
            running: Vec::new(),
            acts: VecDeque::new(),
            adopting: None,
            next_id: 0,
            next_tick: Mono(0),
            next_check: Mono(0),
            resolve_at: Mono(0),
            unanswered: 0,
            nothing: 0,
            small_passes: false,
            dead: None,
            notices: Vec::new(),
        }
    }

    /// There never was a connection: one is to be made, from `local` if possible.
    pub(super) fn start_without(
        &mut self,
        now: Mono,
        local: Option<SocketAddr>,
        remote: SocketAddr,
    ) {
        let mut event = Event::new(EventKind::Outage, now, now);
        event.local = local;
        event.remote = Some(remote);
        event.fate = Some(Fate::Unknown);
        event.resolution = self.resolution(true);
        self.open = Some(event);
        self.state = State::Remaking(Remaking {
            path_back: None,
            checked: None,
            if_answered: None,
            port: local.map(|local| Port { local, tries: 0, taken: None }),
            back_off: BackOff::default(),
            began: now,
        });
    }

    /// Nothing is wrong, and there is nothing to be done.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Quiet) && self.acts.is_empty() && self.dead.is_none()
    }

    /// What was found out.
    pub(super) fn notices(&mut self) -> &mut Vec<Notice> {
        &mut self.notices
    }

    /// The connection as it stands, or stood.
    pub(super) fn connection(&self) -> Option<Connection> {
        self.connection
    }

    /// How old an unanswered probe must be for a stall.
    #[inline]
    pub(super) fn stall_after(&self) -> Duration {
        (self.rtt * 4).max(self.rtt + Duration::from_millis(200))
    }

    /// The longest wait for an answer over a path that works.
    fn patience(&self) -> Duration {
        (self.rtt * 4).max(PATIENCE)
    }

    fn resolution(&self, scouts: bool) -> Duration {
        let found = if scouts { SCOUT_EVERY } else { Duration::ZERO };
        (found + self.rtt * 2).max(self.policy.interval)
    }

    /// The connection is there, and has been silent since `since`; `counted` is
    /// later where this host stood still meanwhile.
    pub(super) fn watch(&mut self, now: Mono, since: Mono, counted: Mono) {
        if matches!(self.state, State::Quiet) && now >= counted + self.stall_after() {
            self.state =
                State::Silent(Silent { counted, lossy: None, acknowledged: false, back: None });
            let mut event = Event::new(EventKind::Stall, since, now);
            event.resolution = self.resolution(false);
            self.begin(event);
            self.acts.push_back(Act::Look);
            self.next_tick = (counted + OUTAGE).max(now);
        }
        // Time in which this host stood still is no silence.
        if let State::Silent(silent) = &mut self.state
            && counted > silent.counted
        {
            silent.counted = counted;
            self.next_tick = self.next_tick.max(counted + OUTAGE);
        }
    }

    fn begin(&mut self, mut event: Event) {
        event.local = self.connection.and_then(|connection| connection.local);
        event.remote = self.connection.map(|connection| connection.remote);
        self.notices.push(Notice::Begun(Box::new(event.clone())));
        self.open = Some(event);
    }

    /// Part of something came: a stall is over, an outage not.
    pub(super) fn on_progress(&mut self, at: Mono) {
        let stall = self.open.as_ref().is_some_and(|event| event.kind == EventKind::Stall);
        match &mut self.state {
            State::Silent(_) if stall => self.survived(at),
            // It lives.
            State::Silent(silent) => silent.back = None,
            _ => {}
        }
    }

    /// A reply came over the connection.
    pub(super) fn on_reply(&mut self, at: Mono, rtt: Duration) {
        if matches!(self.state, State::Silent(_)) {
            self.survived(at);
        } else {
            // RFC 6298; a round trip through a stall says nothing of the path.
            self.rtt = if self.rtt.is_zero() { rtt } else { (self.rtt * 7 + rtt) / 8 };
        }
    }

    /// A probe was answered after so long that it was a stall, which nobody had
    /// the time to notice.
    pub(super) fn unnoticed(&mut self, since: Mono, at: Mono) {
        if matches!(self.state, State::Quiet) {
            let mut event = Event::new(EventKind::Stall, since, at);
            event.resolution = self.resolution(false);
            event.fate = Some(Fate::Survived);
            event.local = self.connection.and_then(|connection| connection.local);
            event.remote = self.connection.map(|connection| connection.remote);
            if event.span() > OUTAGE {
                event.kind = EventKind::Outage;
            }
            self.notices.push(Notice::Event(Box::new(event)));
        }
    }

    /// The connection has answered.
    fn survived(&mut self, at: Mono) {
        let State::Silent(silent) = std::mem::replace(&mut self.state, State::Quiet) else {
            return;
        };
        let cause = self.cause(&silent, at);
        self.close(silent.back.map_or(at, |back| back.at), at, Fate::Survived, cause);
        self.abandon_all();
    }

    /// Where a silence came from that the connection is in or was in.
    fn cause(&self, silent: &Silent, now: Mono) -> Option<Cause> {
        let outage = self.open.as_ref().is_some_and(|event| event.kind == EventKind::Outage);
        if !outage {
            return None;
        }
        let (unanswered, _) = self.unanswered(now);
        // Whoever answers a small packet is no program that does not answer.
        if (silent.acknowledged || unanswered >= UNANSWERED) && !self.small_passes {
            Some(Cause::Peer)
        } else if self.policy.scouts {
            Some(Cause::Path)
        } else {
            None
        }
    }

    /// Scouts that were connected for long and not answered, those that are still
    /// under way included; and of how many of them nothing had got through.
    fn unanswered(&self, now: Mono) -> (u32, u32) {
        let large = self
            .running
            .iter()
            .filter(|scout| scout.kind == Kind::Scout && scout.is_unanswered(now, PATIENCE));
        large.fold((self.unanswered, self.nothing), |(all, nothing), scout| {
            (all + 1, nothing + u32::from(!scout.partly))
        })
    }

    /// The stall or outage ended at `end`, and the connection goes on since `at`.
    fn close(&mut self, end: Mono, at: Mono, fate: Fate, cause: Option<Cause>) {
        let Some(mut event) = self.open.take() else { return };
        event.end = end.max(event.begin);
        event.fate = Some(fate);
        event.cause = cause;
        if at > event.end + self.rtt * 2 {
            event.resumed_after = Some(at.since(event.end));
        }
        let (all, nothing) = self.unanswered(at);
        // Of each large one nothing, not even a part: that is no ordinary loss.
        if self.small_passes && all == nothing && nothing >= UNANSWERED {
            let mut hole = Event::new(EventKind::MtuBlackHole, event.begin, event.end);
            hole.resolution = event.resolution;
            hole.cause = Some(Cause::Path);
            hole.local = event.local;
            hole.remote = event.remote;
            self.notices.push(Notice::Event(Box::new(hole)));
        }
        self.unanswered = 0;
        self.nothing = 0;
        self.small_passes = false;
        self.notices.push(Notice::Event(Box::new(event)));
    }

    /// The connection has ended. It had been silent since `since`.
    pub(super) fn on_down(&mut self, now: Mono, since: Mono, cause: &DropCause, reconnect: bool) {
        let silent = match std::mem::replace(&mut self.state, State::Quiet) {
            State::Silent(silent) => Some(silent),
            State::Quiet | State::Remaking(_) => None,
        };
        let why = match (cause, &silent) {
            (DropCause::Closed | DropCause::Refused(_), _) => Some(Cause::Peer),
            (DropCause::Reset | DropCause::Corrupt { .. } | DropCause::Unasked, _) => None,
            (_, Some(silent)) => self.cause(silent, now),
            _ => None,
        };
        let mut event = self.open.take().unwrap_or_else(|| {
            let mut event = Event::new(EventKind::Outage, since, now);
            event.local = self.connection.and_then(|connection| connection.local);
            event.remote = self.connection.map(|connection| connection.remote);
            event
        });
        event.kind = EventKind::Outage;
        event.resolution = self.resolution(true);
        event.fate = Some(Fate::of(cause));
        event.cause = why;
        self.open = Some(event);
        if !reconnect {
            return;
        }
        self.acts.push_back(Act::Abort);
        self.remake(now, silent.as_ref(), cause);
    }

    fn remake(&mut self, now: Mono, silent: Option<&Silent>, cause: &DropCause) {
        let given_up = matches!(cause, DropCause::GivenUp { .. });
        let local = self.connection.and_then(|connection| connection.local);
        let port = local.filter(|_| (given_up || self.policy.keep_port) && self.policy.scouts);
        let sent_again = matches!(cause, DropCause::GivenUp { sent_again: true, .. });
        let back = silent.and_then(|silent| silent.back);
        self.state = State::Remaking(Remaking {
            path_back: back.map(|back| back.at),
            checked: None,
            // That its kernel never sent again is no proof that it was forgotten.
            if_answered: sent_again.then_some(Fate::Forgotten),
            port: port.map(|local| Port { local, tries: 0, taken: None }),
            back_off: BackOff::default(),
            began: now,
        });
        // At once, but never faster than scouts go: a peer that answers once and
        // closes is not to be hammered.
        self.next_tick = self.next_tick.min(now + SCOUT_EVERY).max(now);
        self.resolve_at = now;
        if matches!(cause, DropCause::OtherAddress)
            && let Some(id) = self.answered(Kind::Elsewhere)
        {
            self.adopt(id);
        }
    }

    fn answered(&self, kind: Kind) -> Option<u32> {
        let answered = |scout: &&Running| scout.kind == kind && scout.answered.is_some();
        self.running.iter().rev().find(answered).map(|scout| scout.id)
    }
}

impl Running {
    /// Whether it may be ended for the next.
    fn is_plain(&self) -> bool {
        let plain = matches!(self.kind, Kind::Scout | Kind::Small | Kind::Elsewhere);
        plain && self.answered.is_none()
    }

    /// Whether it has been connected for long without an answer.
    fn is_unanswered(&self, now: Mono, patience: Duration) -> bool {
        let connected = self.connected.filter(|_| self.answered.is_none());
        connected.is_some_and(|at| now >= at + patience)
    }
}

#[cfg(test)]
mod tests;
