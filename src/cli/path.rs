//! `echotest path`: the way that a connection takes, and how large a packet fits.

use std::io;

use super::Status;
use super::error::{Failure, UsageError};
use super::flows::{listed, withheld};
use super::matches::Matches;
use super::measuring;
use super::options::{General, Route};
use super::target::{Target, Way, dialer, foreign};
use crate::clock::Wall;
use crate::net::Dialer;
use crate::os::{clock, signals};
use crate::path::inside::Said;
use crate::path::passage::Passage;
use crate::path::sizes::{Passed, Why};
use crate::path::tracer::Tracer;
use crate::path::words::{self, PathRun};
use crate::path::{Search, Verdict, json};
use crate::record::screen;
use crate::text::object::Object;
use crate::text::timestamp::rfc3339;

/// `echotest path` with its arguments.
#[derive(Debug)]
pub(super) struct Options {
    target: Target,
    way: Way,
    route: Route,
    ports: Vec<u16>,
    quiet: usize,
}

/// What is known of both ways; `None` where it was not asked or could not be.
#[derive(Debug, Default)]
struct Sizes {
    there: Option<Verdict>,
    back: Option<Verdict>,
    /// Why one is not known.
    unknown: Option<String>,
}

impl super::command::Options for Options {
    fn of(matches: &Matches) -> Result<Self, UsageError> {
        let route = Route::of(matches);
        let ports = match &route.source_ports {
            Some(ports) => listed(matches, ports, route.flows)?,
            None => vec![0; route.flows],
        };
        if let Some(stranger) = route.bad.iter().find(|port| !ports.contains(port)) {
            let problem = format!("--bad {stranger}: it is none of --source-ports");
            return Err(matches.usage(problem));
        }
        let (target, way) = (Target::of(matches)?, Way::of(matches)?);
        Ok(Self { target, way, route, ports, quiet: General::of(matches).quiet.0 })
    }

    fn run(self) -> Result<Status, Failure> {
        let Self { mut target, way, route, ports, quiet } = self;
        let dialer = dialer(&way, &mut target, route.timeout)?;
        measuring::watch_signals()?;
        let (start, began) = (clock::wall(), clock::now());
        let mut tracer =
            Tracer::new(dialer.clone(), &ports, route.max_hops, u32::from(route.count)).map_err(
                |(port, error)| {
                    let chosen = route.source_ports.as_ref().map(|_| port);
                    withheld(chosen, &error)
                        .or_else(|| foreign(&dialer, &error))
                        .unwrap_or_else(|| target.not_connected(dialer.addresses[0], &error))
                },
            )?;
        let run =
            PathRun { host: target.host.clone(), address: tracer.target(), bad: route.bad.clone() };
        if !route.json && quiet == 0 && screen::say(&words::header(&run, &tracer.trails)).is_err() {
            return Ok(Status::Good);
        }
        tracer.run();
        if route.names
            && let Err(error) = tracer.look_names_up()
        {
            log::warn!("--names: {error}");
        }
        if !route.json && quiet == 0 {
            screen::result(words::table(&run, &tracer.trails));
        }
        let inside = inside(&tracer);
        let sizes = if route.mtu && signals::stop_requests() == 0 {
            Sizes::measure(&dialer, &tracer)
        } else {
            Sizes::default()
        };
        if route.json {
            let head = head(&run, &route, start);
            let spent = clock::now().since(began).as_secs_f64();
            let head = head.number("duration_s", spent, 6);
            let object = json::hops(head, &tracer.trails, &inside, &run.bad);
            let object = if route.mtu { object.object("mtu", sizes.object()) } else { object };
            screen::result(object.finish() + "\n");
        } else if quiet < 2 {
            let mut text = words::summary(&run, &tracer.trails);
            if let Some(trail) = tracer.trails.first() {
                text += &words::inside(trail, &inside);
            }
            screen::result(text + &sizes.text(run.address.is_ipv6()));
        }
        let reached = tracer.trails.iter().all(crate::path::Trail::is_reached);
        Ok(if reached { Status::Good } else { Status::Bad })
    }
}

/// What hops say inside a connection that stands, where that can be asked.
fn inside(tracer: &Tracer) -> Vec<Said> {
    if signals::stop_requests() > 0 {
        return Vec::new();
    }
    tracer.ask_inside().unwrap_or_else(|error| {
        if error.kind() == io::ErrorKind::PermissionDenied {
            log::info!(
                "hops are asked by connection attempts alone: inside a connection that stands \
                 they need root or CAP_NET_RAW"
            );
        } else {
            log::warn!("hops inside an established connection are not known: {error}");
        }
        Vec::new()
    })
}

fn head(run: &PathRun, route: &Route, start: Wall) -> Object {
    let config = Object::new()
        .whole("flows", u64::try_from(route.flows).ok())
        .whole("max_hops", u64::try_from(route.max_hops).ok())
        .whole("count", u64::from(route.count))
        .number("timeout_s", route.timeout.as_secs_f64(), 9);
    Object::new()
        .text("version", env!("CARGO_PKG_VERSION"))
        .text("command", "path")
        .text("host", run.host.as_str())
        .text("address", run.address.to_string().as_str())
        .text("start", rfc3339(start).as_str())
        .object("config", config)
}

impl Sizes {
    /// From the first flow's port, as large packets may go another way than small ones
    /// only where routers are worse than that.
    fn measure(dialer: &Dialer, tracer: &Tracer) -> Self {
        let port = tracer.trails.first().map_or(0, |trail| trail.port);
        let mut passage = Passage::new(dialer, tracer.target(), port);
        let mut sizes = Self::default();
        if let Err(error) = sizes.both(&mut passage) {
            sizes.unknown = Some(format!("how large a packet passes is not known: {error}"));
        }
        sizes
    }

    fn both(&mut self, passage: &mut Passage) -> io::Result<()> {
        let ends = passage.ends()?;
        let (most, why) = if ends.agreed < ends.interface {
            (ends.agreed, Why::Peer)
        } else {
            (ends.interface, Why::Interface)
        };
        let search = |send: &mut dyn FnMut(u16) -> io::Result<Passed>| -> io::Result<Verdict> {
            let mut search = Search::new(most, why);
            while let Some(size) = search.next() {
                search.learn(size, send(size)?);
            }
            Ok(search.verdict())
        };
        self.there = Some(search(&mut |size| passage.there(size))?);
        if ends.echoes {
            self.back = Some(search(&mut |size| passage.back(size))?);
        } else {
            self.unknown = Some("back: not known, as the port is no echo service's".to_owned());
        }
        Ok(())
    }

    fn text(&self, version6: bool) -> String {
        let mut text = words::sizes(self.there.as_ref(), self.back.as_ref(), version6);
        if let Some(unknown) = &self.unknown {
            put!(text, "{unknown}\n");
        }
        text
    }

    fn object(&self) -> Object {
        Object::new()
            .object("there", self.there.as_ref().map(json::size))
            .object("back", self.back.as_ref().map(json::size))
            .text("unknown", self.unknown.as_deref())
    }
}
