//! What answers mean: the path is back, a port is dead, a connection is made.

use std::net::SocketAddr;

use super::{
    ACK_SLACK, Act, Attempted, Back, COPIES_UNDER_LOSS, Cause, Connection, DEAD_PORT_EVERY, Done,
    Event, EventKind, Fate, Kind, Look, Mono, Notice, Progress, Remaking, Rescue, Running, State,
    USUAL_COPIES,
};

impl Rescue {
    /// News of an attempt.
    pub(crate) fn on_attempt(&mut self, at: Mono, attempted: Attempted) {
        let (id, remote) = (attempted.id, attempted.remote);
        let progress = attempted.progress.clone();
        self.notices.push(Notice::Attempt { at, attempted: attempted.clone() });
        let Some(scout) = self.running.iter_mut().find(|scout| scout.id == id) else { return };
        match progress {
            Progress::Connected => scout.connected = Some(at),
            Progress::Partly => scout.partly = true,
            Progress::Answered => {
                scout.answered = Some(at);
                let scout = scout.clone();
                self.on_answer(at, &scout, remote);
            }
            Progress::Failed(_) => {
                let scout = scout.clone();
                self.running.retain(|scout| scout.id != id);
                self.failed(&scout);
            }
            Progress::PortTaken(_) => {
                self.running.retain(|scout| scout.id != id);
                if let State::Remaking(Remaking { port: Some(port), .. }) = &mut self.state
                    && port.taken.is_none()
                {
                    port.taken = Some(at);
                    self.notices.push(Notice::PortTaken { at, attempted });
                }
            }
        }
    }

    fn on_answer(&mut self, at: Mono, scout: &Running, remote: SocketAddr) {
        if scout.kind == Kind::Dead {
            return self.port_is_back(at, scout.id, remote);
        }
        if scout.kind == Kind::Small {
            if !std::mem::replace(&mut self.small_passes, true)
                && let Some(event) = &self.open
            {
                let mut hole = Event::new(EventKind::MtuBlackHole, event.begin, at);
                hole.local = event.local;
                self.notices.push(Notice::Begun(Box::new(hole)));
            }
            return self.abandon(scout.id);
        }
        match &mut self.state {
            State::Quiet => self.abandon(scout.id),
            State::Silent(silent) if scout.kind == Kind::Scout => {
                let first = silent.back.is_none();
                let (at_first, copies, copy_seen) = match silent.back {
                    Some(back) => (back.at, back.copies, back.copy_seen),
                    None => (at, None, None),
                };
                silent.back = Some(Back { at: at_first, checked: at, copies, copy_seen });
                let after = at.since(self.open.as_ref().map_or(at, |event| event.begin));
                if first {
                    self.notices.push(Notice::PathBack { at, after });
                }
                self.keep_latest(scout.id);
            }
            State::Silent(_) => {}
            State::Remaking(remaking) => {
                if scout.kind != Kind::Elsewhere {
                    remaking.path_back.get_or_insert(at);
                    remaking.checked = Some(at);
                }
                match (remaking.port, scout.kind) {
                    (Some(_), Kind::Scout) => self.keep_latest(scout.id),
                    (_, Kind::Elsewhere) => {}
                    (_, Kind::Port) => {
                        let fate = remaking.if_answered;
                        if let (Some(event), Some(fate)) = (self.open.as_mut(), fate) {
                            event.fate = Some(fate);
                        }
                        self.adopt(scout.id);
                    }
                    _ => self.adopt(scout.id),
                }
            }
        }
    }

    /// Of the answered scouts the latest is kept: it may become the connection.
    fn keep_latest(&mut self, id: u32) {
        let older = |scout: &&Running| {
            scout.kind == Kind::Scout && scout.answered.is_some() && scout.id != id
        };
        while let Some(id) = self.running.iter().find(older).map(|scout| scout.id) {
            self.abandon(id);
        }
    }

    fn port_is_back(&mut self, at: Mono, id: u32, remote: SocketAddr) {
        self.abandon(id);
        let Some(dead) = self.dead.take() else { return };
        let mut event = Event::new(EventKind::DeadPort, dead.since, at);
        event.resolution = DEAD_PORT_EVERY;
        event.cause = Some(Cause::Path);
        event.local = Some(dead.local);
        event.remote = Some(remote);
        self.notices.push(Notice::Event(Box::new(event)));
    }

    pub(super) fn adopt(&mut self, id: u32) {
        if self.adopting.is_none() {
            self.adopting = Some(id);
            self.acts.push_back(Act::Adopt(id));
        }
    }

    /// What was to be done is done. Gives the new connection, if there is one.
    pub(crate) fn on_done(&mut self, now: Mono, act: Act, done: Done) -> Option<Connection> {
        match (act, done) {
            (Act::Attempt { id, .. }, Done::Nowhere) => {
                self.running.retain(|scout| scout.id != id);
            }
            (Act::Look, Done::Looked(look)) => self.on_look(now, look),
            (Act::Adopt(id), Done::Up(connection)) => {
                self.adopting = None;
                return self.on_adopted(id, connection);
            }
            (Act::Adopt(id), _) => {
                self.adopting = None;
                self.running.retain(|scout| scout.id != id);
            }
            _ => {}
        }
        None
    }

    fn on_look(&mut self, now: Mono, look: Look) {
        let rtt = self.rtt;
        let State::Silent(silent) = &mut self.state else { return };
        let lossy = *silent.lossy.get_or_insert(look.copies > Some(USUAL_COPIES));
        let needed = if lossy { COPIES_UNDER_LOSS } else { 1 };
        let since = silent.counted + rtt * 2 + ACK_SLACK;
        silent.acknowledged = look.nothing_missing
            && look.acknowledged_before.is_some_and(|before| now - before > since);
        if let Some(back) = &mut silent.back
            && back.copies.is_none()
        {
            back.copies = look.copies;
        } else if let Some(back) = &mut silent.back
            && back.copy_seen.is_none()
            && let (Some(copies), Some(before)) = (look.copies, back.copies)
            && copies >= before + needed
        {
            back.copy_seen = Some(now);
        }
    }

    fn on_adopted(&mut self, id: u32, connection: Connection) -> Option<Connection> {
        let place = self.running.iter().position(|scout| scout.id == id)?;
        let scout = self.running.remove(place);
        let at = scout.answered.unwrap_or(connection.at);
        let State::Remaking(remaking) = std::mem::replace(&mut self.state, State::Quiet) else {
            return None;
        };
        let fate = self.open.as_ref().and_then(|event| event.fate).unwrap_or(Fate::Unknown);
        let cause = self.open.as_ref().and_then(|event| event.cause);
        // A dead port's path is not back: its outage ends with the change-over.
        let back = remaking.path_back.filter(|_| fate != Fate::DeadPorts);
        self.connection = Some(connection);
        self.rtt = connection.connect;
        self.notices.push(Notice::Up { at, connection });
        self.close(back.map_or(at, |back| back.min(at)), at, fate, cause);
        self.abandon_all();
        Some(connection)
    }

    /// The run is over.
    pub(crate) fn finish(&mut self, now: Mono) {
        let state = std::mem::replace(&mut self.state, State::Quiet);
        let (end, fate, cause) = match &state {
            State::Silent(silent) => {
                let cause = self.cause(silent, now);
                (silent.back.map_or(now, |back| back.at), Fate::Unknown, cause)
            }
            State::Remaking(remaking) => {
                let event = self.open.as_ref();
                let fate = event.and_then(|event| event.fate).unwrap_or(Fate::Unknown);
                let cause = event.and_then(|event| event.cause);
                (remaking.path_back.unwrap_or(now), fate, cause)
            }
            State::Quiet => match &self.open {
                Some(event) => (now, event.fate.unwrap_or(Fate::Unknown), event.cause),
                None => return,
            },
        };
        self.close(end, end, fate, cause);
        if let Some(dead) = self.dead.take() {
            let mut event = Event::new(EventKind::DeadPort, dead.since, now);
            event.cause = Some(Cause::Path);
            event.resolution = DEAD_PORT_EVERY;
            event.local = Some(dead.local);
            event.remote = self.connection.map(|connection| connection.remote);
            self.notices.push(Notice::Event(Box::new(event)));
        }
    }
}
