//! Who on the way of a connection still answers when it stalls, and when that is
//! over: beside the measurement, in a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::inside::{Inside, Said};
use super::tracer::{IN_VAIN, PACE, Tracer};
use crate::clock::{Anchor, Mono};
use crate::net::Dialer;
use crate::os::thread::{self, step_back};
use crate::os::{clock, signals};
use crate::probe::event::{Answered, Trace};
use crate::probe::{Connection, Event, EventKind, Gone, Notice, Sample, Sink, Tally};
use crate::record::held;

/// How often it is asked what the peer has acknowledged: what it says in a second may
/// be more than a queue holds.
const LISTEN: Duration = Duration::from_millis(100);
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
    shared: Arc<Shared>,
    due: Mono,
}

/// What the recorder's thread and the other tell one another.
#[derive(Debug, Default)]
struct Shared {
    news: Mutex<Vec<News>>,
    found: Mutex<Vec<Event>>,
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
        let shared = Arc::<Shared>::default();
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
                shared: Arc::clone(&shared),
            };
            for &(local, remote) in ends.iter().flatten() {
                watcher.take(News::Up(local, remote));
            }
            let work = move || watcher.work(dialer);
            thread::start("hops", None, Box::new(work))?;
        }
        Ok(Self { ports, shared, due: Mono(0) })
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
        // Where there is nobody to ask the other thread has ended.
        if let Some(news) = news
            && Arc::strong_count(&self.shared) > 1
        {
            held(&self.shared.news).push(news);
        }
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
        let event = held(&self.shared.found).pop()?;
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
    /// How often hops were asked of late, and what was said so far.
    tries: u32,
    said: Vec<Said>,
    /// What was said when all was well, and when.
    well: Option<(Mono, Answered)>,
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
    shared: Arc<Shared>,
}

impl Watcher {
    fn take(&mut self, news: News) {
        match news {
            News::Up(local, remote) => {
                self.inside.know(local, remote);
                let alone = self.alone;
                let of = |flow: &&mut Flow| alone || flow.local == local;
                if let Some(flow) = self.flows.iter_mut().find(of) {
                    (flow.local, flow.remote) = (local, remote);
                } else {
                    let (phase, said) = (Phase::Well, Vec::new());
                    self.flows.push(Flow { local, remote, phase, tries: 0, said, well: None });
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
            let phase = change(flow.phase);
            if phase != flow.phase {
                (flow.phase, flow.tries) = (phase, 0);
                flow.said.clear();
            }
        }
    }

    /// Until the run is over.
    fn work(mut self, dialer: Dialer) {
        step_back();
        self.look_for_routers(dialer);
        if self.routers == 0 {
            return;
        }
        while Arc::strong_count(&self.shared) > 1 {
            clock::sleep_until(clock::now() + LISTEN);
            let news = std::mem::take(&mut *held(&self.shared.news));
            for news in news {
                self.take(news);
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
        // Of many flows each less often.
        let every = WELL_EVERY * (1 + u32::try_from(self.flows.len() / 8).unwrap_or(0));
        let stale = |flow: &Flow| {
            let fresh = |(at, _): &(Mono, _)| now < *at + every;
            flow.phase == Phase::Well && !flow.well.as_ref().is_some_and(fresh)
        };
        let of = |phase: Phase| self.flows.iter().position(|flow| flow.phase == phase);
        of(Phase::Silent).or_else(|| of(Phase::Over)).or_else(|| self.flows.iter().position(stale))
    }

    fn ask(&mut self, place: usize, now: Mono) -> io::Result<()> {
        let Some(flow) = self.flows.get_mut(place) else { return Ok(()) };
        flow.said.resize(self.routers, None);
        if !self.inside.ask(flow.local, &mut flow.said, self.patience)? {
            // Nothing was heard of it: the others have their turn.
            let last = self.flows.remove(place);
            self.flows.push(last);
            return Ok(());
        }
        flow.tries += 1;
        let lacking = flow.said.iter().any(Option::is_none);
        if lacking && flow.phase != Phase::Silent && flow.tries < IN_VAIN {
            // A router's limit, perhaps: those that are silent once more.
            return Ok(());
        }
        let said = std::mem::take(&mut flow.said);
        flow.tries = 0;
        let trace = Trace {
            now: Answered::of(&said),
            before: match flow.phase {
                Phase::Silent => flow.well.map(|(at, before)| (now.since(at), before)),
                _ => None,
            },
            over: flow.phase == Phase::Over,
        };
        if flow.phase != Phase::Silent {
            flow.well = Some((now, trace.now));
        }
        if flow.phase != Phase::Well {
            let mut event = Event::new(EventKind::Trace, now, clock::now());
            (event.local, event.remote) = (Some(flow.local), Some(flow.remote));
            event.trace = Some(trace);
            held(&self.shared.found).push(event);
        }
        flow.phase = if flow.phase == Phase::Silent { Phase::Asked } else { Phase::Well };
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

impl Answered {
    fn of(said: &[Said]) -> Self {
        let passed = |said: &Said| said.is_some_and(|(said, _)| said.is_passed_out());
        let last = said.iter().rposition(passed);
        Self {
            last: last.and_then(|place| Some((said[place]?.0.from?, place + 1))),
            all: said.iter().all(passed),
            of: said.len(),
            refused: said
                .iter()
                .flatten()
                .map(|(said, _)| *said)
                .find(|said| !said.is_passed_out()),
        }
    }
}
