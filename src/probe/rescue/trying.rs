//! What is tried while there is no answer, and when the connection is given up.

use std::net::SocketAddr;
use std::time::Duration;

use super::{
    Act, CHECK_EVERY, CHECK_PATIENCE, DEAD_PORT_EVERY, DeadPort, DropCause, ELSEWHERE, EventKind,
    Fate, Kind, MOST_SCOUTS, Mono, NO_COPY, Notice, Order, PATIENCE, PORT_TAKEN, PORT_TRIES,
    RESOLVE_EVERY, Rescue, Running, SCOUT_EVERY, State,
};

impl Rescue {
    /// By when [`Rescue::step`] wants to be asked.
    pub(crate) fn wake(&self) -> Mono {
        if !self.acts.is_empty() {
            return Mono(0);
        }
        let tick = if matches!(self.state, State::Quiet) { Mono::NEVER } else { self.next_tick };
        let dead = self.dead.map_or(Mono::NEVER, |dead| dead.next);
        let limited = self.running.iter().filter(|scout| self.is_limited(scout));
        let expires = limited.map(|scout| scout.began + self.limit()).min();
        tick.min(dead).min(expires.unwrap_or(Mono::NEVER))
    }

    /// Whether it is ended by its age and not by the next.
    fn is_limited(&self, scout: &Running) -> bool {
        let alone = !self.policy.scouts || matches!(scout.kind, Kind::Port | Kind::Dead);
        alone && scout.answered.is_none()
    }

    fn limit(&self) -> Duration {
        if self.policy.scouts { self.patience() } else { self.policy.timeout }
    }

    /// What is to be done now, if anything.
    pub(crate) fn step(&mut self, now: Mono) -> Option<Order> {
        if let Some(act) = self.acts.pop_front() {
            return Some(Order::Act(act));
        }
        self.expire(now);
        self.look_at_dead_port(now);
        if !matches!(self.state, State::Quiet) && now >= self.next_tick {
            self.tick(now);
        }
        if let Some(cause) = self.given_up(now) {
            return Some(Order::GiveUp(cause));
        }
        self.acts.pop_front().map(Order::Act)
    }

    fn tick(&mut self, now: Mono) {
        self.next_tick = now + SCOUT_EVERY;
        if let State::Silent(_) = &self.state {
            self.acts.push_back(Act::Look);
            self.outage(now);
        }
        if now >= self.resolve_at {
            self.resolve_at = now + RESOLVE_EVERY;
            self.acts.push_back(Act::Resolve);
        }
        if !self.policy.scouts {
            return self.try_alone(now);
        }
        let back = match &mut self.state {
            State::Silent(silent) => {
                silent.back = silent.back.filter(|back| now < back.checked + CHECK_PATIENCE);
                silent.back.is_some()
            }
            _ => false,
        };
        if !back || now >= self.next_check {
            self.next_check = now + CHECK_EVERY;
            self.make_room();
            self.attempt(now, Kind::Scout, None);
            self.attempt(now, Kind::Elsewhere, None);
            self.try_small(now);
        }
        self.try_port(now);
        self.go_elsewhere(now);
    }

    /// A scout was connected and its packet is not answered: is it too large for
    /// the path?
    fn try_small(&mut self, now: Mono) {
        let patience = SCOUT_EVERY + self.rtt * 2;
        let hangs =
            |scout: &Running| scout.kind == Kind::Scout && scout.is_unanswered(now, patience);
        if !self.small_passes && self.running.iter().any(hangs) {
            self.attempt(now, Kind::Small, None);
        }
    }

    /// A stall has become an outage.
    fn outage(&mut self, now: Mono) {
        let resolution = self.resolution(self.policy.scouts);
        if let Some(event) = self.open.as_mut().filter(|event| event.kind == EventKind::Stall) {
            event.kind = EventKind::Outage;
            event.resolution = resolution;
            event.end = now;
            self.notices.push(Notice::Begun(Box::new(event.clone())));
        }
    }

    /// Without scouts a connection that ended is tried again, one at a time, with
    /// longer and longer pauses.
    fn try_alone(&mut self, now: Mono) {
        let State::Remaking(remaking) = &mut self.state else { return };
        if self.running.is_empty() && self.adopting.is_none() {
            self.next_tick = now + remaking.back_off.pause();
            self.attempt(now, Kind::Scout, None);
        }
    }

    /// The connection's own local port, one attempt after another.
    fn try_port(&mut self, now: Mono) {
        let State::Remaking(remaking) = &mut self.state else { return };
        let Some(port) = remaking.port else { return };
        let taken = port.taken.is_some_and(|since| now >= since + PORT_TAKEN);
        let dead = port.tries >= PORT_TRIES;
        let given_up = remaking.if_answered.is_some() || remaking.path_back.is_some();
        if (taken || dead)
            && let Some(id) = self.answered(Kind::Scout)
        {
            if let (true, State::Remaking(remaking)) = (dead, &mut self.state) {
                remaking.port = None;
                if let Some(event) = self.open.as_mut().filter(|_| given_up) {
                    event.fate = Some(Fate::DeadPorts);
                }
                self.dead = Some(DeadPort {
                    local: port.local,
                    since: self.open.as_ref().map_or(now, |event| event.begin),
                    next: now + DEAD_PORT_EVERY,
                });
            }
            return self.adopt(id);
        }
        if !taken && !dead && !self.running.iter().any(|scout| scout.kind == Kind::Port) {
            self.attempt(now, Kind::Port, Some(port.local));
        }
    }

    /// Whether another address is answered and the connection's own is not.
    fn go_elsewhere(&mut self, now: Mono) {
        let State::Remaking(remaking) = &self.state else { return };
        let waited = now >= remaking.began + PATIENCE;
        if waited
            && self.answered(Kind::Scout).is_none()
            && let Some(id) = self.answered(Kind::Elsewhere)
        {
            self.adopt(id);
        }
    }

    fn look_at_dead_port(&mut self, now: Mono) {
        if let Some(dead) = self.dead.as_mut().filter(|dead| now >= dead.next) {
            dead.next = now + DEAD_PORT_EVERY;
            let local = dead.local;
            self.attempt(now, Kind::Dead, Some(local));
        }
    }

    fn attempt(&mut self, now: Mono, kind: Kind, from: Option<SocketAddr>) {
        self.next_id += 1;
        let id = self.next_id;
        self.running.push(Running {
            id,
            kind,
            began: now,
            connected: None,
            partly: false,
            answered: None,
        });
        let (elsewhere, small) = (kind == Kind::Elsewhere, kind == Kind::Small);
        self.acts.push_back(Act::Attempt { id, from, elsewhere, small });
    }

    /// Ends the oldest scouts for the next; the answered ones stay.
    fn make_room(&mut self) {
        let now = self.next_tick;
        while self.running.iter().filter(|scout| scout.is_plain()).count() >= MOST_SCOUTS {
            let Some(place) = self.running.iter().position(Running::is_plain) else { return };
            let scout = self.running.remove(place);
            let large = scout.kind == Kind::Scout && scout.is_unanswered(now, PATIENCE);
            self.unanswered += u32::from(large);
            self.nothing += u32::from(large && !scout.partly);
            self.acts.push_back(Act::Abandon(scout.id));
        }
    }

    pub(super) fn abandon_all(&mut self) {
        for scout in self.running.drain(..) {
            self.acts.push_back(Act::Abandon(scout.id));
        }
    }

    pub(super) fn abandon(&mut self, id: u32) {
        self.running.retain(|scout| scout.id != id);
        self.acts.push_back(Act::Abandon(id));
    }

    /// Ends attempts that have had their time.
    fn expire(&mut self, now: Mono) {
        let limit = self.limit();
        while let Some(scout) = self
            .running
            .iter()
            .find(|scout| self.is_limited(scout) && now >= scout.began + limit)
            .cloned()
        {
            self.abandon(scout.id);
            self.failed(&scout);
        }
    }

    /// An attempt has ended without an answer.
    pub(super) fn failed(&mut self, scout: &Running) {
        if let State::Remaking(remaking) = &mut self.state
            && let Some(port) = remaking.port.as_mut().filter(|_| scout.kind == Kind::Port)
        {
            // Only while others are answered.
            let others = remaking.checked.is_some_and(|at| at >= scout.began);
            port.tries += u32::from(others);
        }
    }

    /// Whether there is proof that the connection is dead, and which.
    fn given_up(&mut self, now: Mono) -> Option<DropCause> {
        let patience = self.patience();
        let State::Silent(silent) = &self.state else { return None };
        if silent.acknowledged {
            return None;
        }
        let since = self.open.as_ref().map_or(now, |event| event.begin);
        let age = now.since(since);
        let Some(back) = silent.back else {
            let elsewhere = self.running.iter().find(|scout| {
                scout.kind == Kind::Elsewhere
                    && scout.answered.is_some_and(|at| now >= at + ELSEWHERE)
            });
            return elsewhere.map(|_| DropCause::OtherAddress);
        };
        let sent_again = back.copy_seen.is_some_and(|seen| now >= seen + patience);
        let no_copy = back.copy_seen.is_none() && now >= back.at + NO_COPY;
        if !(sent_again || no_copy) {
            return None;
        }
        Some(DropCause::GivenUp { silent: age, sent_again })
    }
}
