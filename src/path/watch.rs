//! Who on the way of a connection still answers when it stalls, and when that is
//! over: beside the measurement, in a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::inside::{Inside, Said};
use super::tracer::{PACE, Tracer};
use super::words;
use crate::clock::{Anchor, Mono};
use crate::net::Dialer;
use crate::os::thread::{self, step_back};
use crate::os::{clock, signals};
use crate::probe::{Connection, Event, EventKind, Gone, Notice, Sample, Sink, Tally};

/// How often it is asked what the peer has acknowledged: what it says in a second may
/// be more than a queue holds.
const LISTEN: Duration = Duration::from_millis(250);
/// How often it is asked while all is well, to compare.
const WELL_EVERY: Duration = Duration::from_mins(1);
/// Hops that the target may be away.
const MOST_HOPS: usize = 30;

/// News of a connection, by its own end.
#[derive(Debug, Clone, Copy)]
enum News {
    /// It stands: its other end.
    Up(SocketAddr, SocketAddr),
    /// It is silent.
    Silent(SocketAddr),
    /// That is over.
    Over(SocketAddr),
}

/// A sink that learns of trouble, and of what was found out about it.
#[derive(Debug)]
pub struct Watch {
    /// The flows' local ports, as far as they are known.
    ports: Vec<u16>,
    news: Sender<News>,
    found: Receiver<Event>,
    due: Mono,
}

impl Watch {
    /// Starts to watch the connections of a target's flows, made by `dialer`, as far as
    /// they stand.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` without `CAP_NET_RAW`; the kernel gives no thread.
    pub fn start(dialer: &Dialer, flows: &[Option<Connection>]) -> io::Result<Self> {
        let ends = |flow: &Option<Connection>| Some((flow.as_ref()?.local?, flow.as_ref()?.remote));
        let ends: Vec<_> = flows.iter().map(ends).collect();
        let ports = ends.iter().map(|ends| ends.map_or(0, |(local, _)| local.port())).collect();
        let (news, orders) = channel();
        let (to, found) = channel();
        if let Some(&(local, remote)) = ends.iter().flatten().next() {
            let mut dialer = dialer.clone();
            dialer.addresses = vec![remote];
            dialer.options.source = Some(local);
            dialer.options.source_port = None;
            let mut watcher = Watcher {
                inside: Inside::open(&remote, &dialer.options)?,
                alone: flows.len() == 1,
                routers: 0,
                patience: Duration::ZERO,
                flows: Vec::new(),
                next: Mono(0),
                found: to,
            };
            for &(local, remote) in ends.iter().flatten() {
                watcher.take(News::Up(local, remote));
            }
            let work = move || watcher.work(dialer, &orders);
            thread::start("hops", None, Box::new(work))?;
        }
        Ok(Self { ports, news, found, due: Mono(0) })
    }
}

impl Sink for Watch {
    fn sample(&mut self, _sample: &Sample, _anchor: &Anchor) -> Result<(), Gone> {
        Ok(())
    }

    fn notice(&mut self, notice: &Notice, _anchor: &Anchor) -> Result<(), Gone> {
        let silent = |event: &Event| {
            event.local.filter(|_| matches!(event.kind, EventKind::Stall | EventKind::Outage))
        };
        let news = match notice {
            Notice::Up { connection, .. } => {
                connection.local.map(|local| News::Up(local, connection.remote))
            }
            Notice::Begun(event) => silent(event).map(News::Silent),
            Notice::Event(event) => silent(event).map(News::Over),
            _ => None,
        };
        // Where there is no way to trace its thread has ended.
        let _ = news.map(|news| self.news.send(news));
        Ok(())
    }

    fn deadline(&self) -> Mono {
        self.due
    }

    fn tick(&mut self, now: Mono, _tally: &Tally) -> Result<(), Gone> {
        self.due = now + LISTEN;
        Ok(())
    }

    fn found(&mut self) -> Option<(Event, usize)> {
        let event = self.found.try_recv().ok()?;
        let port = event.local.map_or(0, |local| local.port());
        let flow = self.ports.iter().position(|known| *known == port);
        Some((event, flow.unwrap_or(0)))
    }

    fn finish(&mut self, _tally: &Tally, _anchor: &Anchor) {}
}

/// How a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Well,
    /// Silent, and its hops are not asked yet.
    Silent,
    /// Silent, and they are.
    Asked,
    /// Well again, and its hops are not asked yet.
    Over,
}

#[derive(Debug)]
struct Flow {
    local: SocketAddr,
    remote: SocketAddr,
    phase: Phase,
    /// What was said when all was well, and when.
    well: Option<(Mono, Vec<Said>)>,
}

/// What the thread has.
struct Watcher {
    inside: Inside,
    /// There is one flow, whatever its local port is.
    alone: bool,
    /// Routers before the target, and how long their answers are waited for.
    routers: usize,
    patience: Duration,
    flows: Vec<Flow>,
    /// Routers are not asked before: they limit how often they answer a host.
    next: Mono,
    found: Sender<Event>,
}

impl Watcher {
    fn take(&mut self, news: News) {
        match news {
            News::Up(local, remote) => {
                self.inside.know(local, remote);
                let alone = self.alone;
                match self.flows.iter_mut().find(|flow| alone || flow.local == local) {
                    Some(flow) => (flow.local, flow.remote) = (local, remote),
                    None => self.flows.push(Flow { local, remote, phase: Phase::Well, well: None }),
                }
            }
            News::Silent(local) => self.turn(local, |phase| match phase {
                Phase::Well | Phase::Over => Phase::Silent,
                phase => phase,
            }),
            News::Over(local) => self.turn(local, |phase| match phase {
                Phase::Asked => Phase::Over,
                _ => Phase::Well,
            }),
        }
    }

    fn turn(&mut self, local: SocketAddr, change: impl Fn(Phase) -> Phase) {
        let alone = self.alone;
        if let Some(flow) = self.flows.iter_mut().find(|flow| alone || flow.local == local) {
            flow.phase = change(flow.phase);
        }
    }

    /// Until the run is over.
    fn work(mut self, dialer: Dialer, orders: &Receiver<News>) {
        step_back();
        self.look_for_routers(dialer);
        if self.routers == 0 {
            return;
        }
        loop {
            match orders.recv_timeout(LISTEN) {
                Ok(news) => self.take(news),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.inside.listen();
            let now = clock::now();
            if now >= self.next
                && let Some(place) = self.choose(now)
            {
                self.next = now + PACE;
                if let Err(error) = self.ask(place, now) {
                    log::warn!("hops cannot be asked: {error}");
                }
            }
        }
    }

    /// Whose hops to ask: of those in trouble first.
    fn choose(&self, now: Mono) -> Option<usize> {
        let stale = |flow: &Flow| {
            let fresh = |(at, _): &(Mono, _)| now < *at + WELL_EVERY;
            flow.phase == Phase::Well && !flow.well.as_ref().is_some_and(fresh)
        };
        let of = |phase: Phase| self.flows.iter().position(|flow| flow.phase == phase);
        of(Phase::Silent).or_else(|| of(Phase::Over)).or_else(|| self.flows.iter().position(stale))
    }

    fn ask(&mut self, place: usize, now: Mono) -> io::Result<()> {
        let Some(flow) = self.flows.get_mut(place) else { return Ok(()) };
        let mut said = vec![None; self.routers];
        if !self.inside.ask(flow.local, &mut said, self.patience)? {
            // Nothing was heard of it: the others have their turn.
            self.flows[place..].rotate_left(1);
            return Ok(());
        }
        let told = words::answered(&said);
        let text = match (flow.phase, &flow.well) {
            (Phase::Silent, Some((at, before))) => {
                Some(words::compared(&told, &words::answered(before), now.since(*at)))
            }
            (Phase::Silent, None) => Some(told),
            (Phase::Over, _) => Some(format!("after the silence: {told}")),
            _ => None,
        };
        if flow.phase == Phase::Silent {
            flow.phase = Phase::Asked;
        } else {
            flow.phase = Phase::Well;
            flow.well = Some((now, said));
        }
        if let Some(text) = text {
            let mut event = Event::new(EventKind::Trace, now, clock::now());
            event.local = Some(flow.local);
            event.remote = Some(flow.remote);
            event.text = Some(text.into());
            // The run may be over.
            let _ = self.found.send(event);
        }
        Ok(())
    }

    /// How many there are before the target, as connection attempts tell: it itself is
    /// not to be asked.
    fn look_for_routers(&mut self, dialer: Dialer) {
        let why = match Tracer::new(dialer, &[0], MOST_HOPS, 1) {
            Ok(mut tracer) => {
                tracer.run();
                let reached = tracer.trails.first().filter(|trail| trail.is_reached());
                self.routers = reached.map_or(0, |trail| trail.hops.len().saturating_sub(1));
                self.patience = tracer.patience();
                if reached.is_some() {
                    "no router is on the way".to_owned()
                } else {
                    "connection attempts do not show how far the target is".to_owned()
                }
            }
            Err((_, error)) => error.to_string(),
        };
        if self.routers == 0 && signals::stop_requests() == 0 {
            log::warn!("--trace-on-trouble has nobody to ask: {why}");
        }
    }
}
