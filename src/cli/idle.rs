//! `echotest idle`: the silence after which a connection is ended.

use std::fmt;
use std::io;
use std::time::Duration;

use super::Status;
use super::error::{Failure, UsageError};
use super::matches::Matches;
use super::measuring;
use super::options::{Gaps, General};
use super::target::{Target, Way, dialer};
use crate::clock::Mono;
use crate::idle::connection::Ended;
use crate::idle::words::{self, IdleRun};
use crate::idle::{Found, IdleLink, Manner, Outcome, Range, Search, Speaker, json};
use crate::net::dial::Connected;
use crate::os::{clock, signals};
use crate::record::screen;
use crate::server::service::MEASURE;
use crate::text::format::short_seconds;

/// What Linux takes for `TCP_KEEPIDLE`, in seconds.
const KEEP_ALIVE: std::ops::RangeInclusive<u64> = 1..=32767;

/// Why no further gap is waited for.
enum Halt {
    /// Ctrl-C, or a request to end.
    Asked,
    /// Nobody reads what is found.
    Unread,
}

/// The service went away while it was asked.
#[derive(Debug)]
struct Gone(String);

impl fmt::Display for Gone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Gone {}

/// `echotest idle` with its arguments.
#[derive(Debug)]
pub(super) struct Options {
    target: Target,
    way: Way,
    range: Range,
    speaker: Speaker,
    timeout: Duration,
    json: bool,
    quiet: usize,
}

impl super::command::Options for Options {
    fn of(matches: &Matches) -> Result<Self, UsageError> {
        let gaps = Gaps::of(matches);
        let Gaps { from, to, precision, parallel, timeout, json, .. } = gaps;
        if from > to {
            return Err(matches.usage("--from is longer than --to".to_owned()));
        }
        let whole =
            |every: Duration| every.subsec_nanos() == 0 && KEEP_ALIVE.contains(&every.as_secs());
        if gaps.keepalive.is_some_and(|every| !whole(every)) {
            let (least, most) = (KEEP_ALIVE.start(), KEEP_ALIVE.end());
            return Err(matches
                .usage(format!("--keepalive: accepted are whole seconds from {least} to {most}")));
        }
        if let Some(every) = gaps.keepalive.filter(|every| *every >= to) {
            let (every, to) = (short_seconds(every), short_seconds(to));
            return Err(matches.usage(format!(
                "--keepalive {every} never speaks in gaps of {to} at the most: accepted is less \
                 than --to"
            )));
        }
        if gaps.keepalive.is_some() && gaps.from_server {
            return Err(
                matches.usage("--keepalive and --from-server exclude each other".to_owned())
            );
        }
        let manner = gaps.keepalive.map_or(Manner::Silent, Manner::KeepAlive);
        let verify = !gaps.no_verify && !gaps.from_server;
        let range = Range { from, to, precision, width: parallel, manner, verify };
        let (mut target, way) = (Target::of(matches)?, Way::of(matches)?);
        if gaps.from_server && matches.positional_at(1).is_none() {
            target.port = MEASURE.port;
        }
        let speaker = if gaps.from_server { Speaker::Server } else { Speaker::Client };
        let quiet = General::of(matches).quiet.0;
        Ok(Self { target, way, range, speaker, timeout, json, quiet })
    }

    fn run(self) -> Result<Status, Failure> {
        let Self { mut target, way, range, speaker, timeout, json: as_json, quiet } = self;
        let mut dialer = dialer(&way, &mut target, timeout)?;
        measuring::watch_signals()?;
        let connected = measuring::connect(&target, &mut dialer, None)?;
        let start = clock::now();
        let run = IdleRun {
            host: target.host,
            address: connected.address,
            start: clock::wall(),
            range,
            speaker,
            timeout,
        };
        let link = IdleLink::new(dialer, speaker);
        let mut idle =
            Idle { link, search: Search::new(range), start, quiet: as_json || quiet > 0 };
        let halt = idle.say(&words::header(&run)).err();
        let halt = match halt {
            None => idle.search(connected)?,
            unread => unread,
        };
        let status = idle.status(&run, halt.is_some());
        if !matches!(halt, Some(Halt::Unread)) && (as_json || quiet < 2) {
            let text = if as_json {
                let error = status.as_ref().err().map(Failure::to_string);
                let elapsed = clock::now().since(start);
                json::object(&run, &idle.search, elapsed, error.as_deref()).finish() + "\n"
            } else {
                idle.summary(&run)
            };
            screen::result(&text);
        }
        status
    }
}

/// A search under way.
struct Idle {
    link: IdleLink,
    search: Search,
    start: Mono,
    /// Nothing is printed on the way.
    quiet: bool,
}

impl Idle {
    fn say(&self, line: &str) -> Result<(), Halt> {
        if self.quiet {
            return Ok(());
        }
        screen::say(&format!("{line}\n")).map_err(|_| Halt::Unread)
    }

    /// Every round; the first has a connection already.
    fn search(&mut self, connected: Connected) -> io::Result<Option<Halt>> {
        let mut first = Some(connected);
        loop {
            let trials = self.search.next_round();
            if trials.is_empty() {
                return Ok(None);
            }
            let line = words::round(self.search.round(), &trials, self.search.proves());
            if let Err(halt) = self.say(&line) {
                return Ok(Some(halt));
            }
            for trial in trials {
                match first.take() {
                    Some(connected) => self.link.adopt(connected, trial),
                    None => self.link.open(trial),
                }
            }
            if let Some(halt) = self.wait()? {
                return Ok(Some(halt));
            }
        }
    }

    /// One round, to its end; a request to end makes it one at once.
    fn wait(&mut self) -> io::Result<Option<Halt>> {
        let mut asked = false;
        while !self.link.is_empty() {
            if signals::stop_requests() > 1 {
                return Ok(Some(Halt::Asked));
            }
            if signals::stop_requests() == 1 && !asked {
                asked = true;
                if let Err(halt) = self.ask_all() {
                    return Ok(Some(halt));
                }
            }
            let Some(found) = self.link.next_ended()? else { continue };
            if let Err(halt) = self.learn(found) {
                return Ok(Some(halt));
            }
            if let Some(enough) = self.search.enough() {
                let asked = self.link.ask_above(Some(enough));
                log::debug!("{asked} longer gaps are asked at once");
            }
            if self.search.answer().gone.is_some() {
                return Ok(None);
            }
        }
        Ok(asked.then_some(Halt::Asked))
    }

    fn ask_all(&mut self) -> Result<(), Halt> {
        let what = match self.link.ask_above(None) {
            0 => "none can be asked before its time".to_owned(),
            open => format!("asking the connections that are silent so far ({open})"),
        };
        self.say(&format!("{what}; Ctrl-C again leaves at once"))
    }

    fn learn(&mut self, found: Found) -> Result<(), Halt> {
        let Found { ended: Ended { trial, silent, outcome }, at, proof } = found;
        let moment = at.since(self.start);
        let tried = self.search.learn(trial.manner, silent, outcome, moment, proof);
        let line = words::line(tried);
        self.say(&line)
    }

    fn summary(&self, run: &IdleRun) -> String {
        let answer = self.search.answer();
        let mut text = format!("--- {} idle limit ---\n", run.address);
        put!(text, "{}\n", words::sentence(&answer, run));
        for remark in words::remarks(&answer, run) {
            put!(text, "{remark}\n");
        }
        text + &words::advice(&answer, run)
    }

    /// Good if a gap was tried to its end.
    fn status(&self, run: &IdleRun, halted: bool) -> Result<Status, Failure> {
        let answer = self.search.answer();
        if answer.gone.is_some() {
            return Err(Gone(words::sentence(&answer, run)).into());
        }
        let tested = |outcome: &Outcome| !matches!(outcome, Outcome::Untested(_));
        let tried = self.search.tried();
        if tried.iter().any(|tried| tested(&tried.outcome)) {
            return Ok(Status::Good);
        }
        match tried.first() {
            Some(tried) if !halted => Err(Failure::NoReply(words::line(tried))),
            _ => Ok(Status::Bad),
        }
    }
}
