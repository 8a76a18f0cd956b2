//! `echotest idle`: the silence after which a connection is ended.

use std::io::{self, Write};
use std::time::Duration;

use super::Status;
use super::error::{Failure, UsageError};
use super::matches::Matches;
use super::measuring;
use super::options::Gaps;
use super::target::{Target, Way, dialer};
use crate::client::idle::IdleLink;
use crate::net::dial::Connected;
use crate::os::{clock, signals};
use crate::probe::gaps::{Fate, Range, Search};
use crate::record::idle::{self, IdleRun};

/// Why no further gap is waited for.
enum Halt {
    /// Ctrl-C, or a request to end.
    Asked,
    /// Nobody reads what is found.
    Unread,
}

/// `echotest idle` with its arguments.
#[derive(Debug)]
pub(super) struct Options {
    target: Target,
    way: Way,
    range: Range,
    timeout: Duration,
    json: bool,
}

impl super::command::Options for Options {
    fn of(matches: &Matches) -> Result<Self, UsageError> {
        let Gaps { from, to, precision, parallel, timeout, json } = Gaps::of(matches);
        if from > to {
            return Err(matches.usage("--from is longer than --to".to_owned()));
        }
        let range = Range { from, to, precision, width: parallel };
        let (target, way) = (Target::of(matches)?, Way::of(matches)?);
        Ok(Self { target, way, range, timeout, json })
    }

    fn run(self) -> Result<Status, Failure> {
        let Self { mut target, way, range, timeout, json: as_json } = self;
        let mut dialer = dialer(&way, &mut target, timeout)?;
        measuring::watch_signals()?;
        let connected = measuring::connect(&target, &mut dialer, None)?;
        let start = clock::now();
        let run = IdleRun {
            host: target.host,
            address: connected.address,
            start: clock::wall(),
            range,
            timeout,
        };
        let mut idle =
            Idle { link: IdleLink::new(dialer), search: Search::new(range), quiet: as_json };
        let halt = idle.say(&idle::header(&run)).err();
        let halt = match halt {
            None => idle.search(connected)?,
            unread => unread,
        };
        if !matches!(halt, Some(Halt::Unread)) {
            let text = if as_json {
                idle::object(&run, &idle.search, clock::now().since(start)).finish() + "\n"
            } else {
                idle.summary(&run)
            };
            // A reader that has gone has read enough.
            let _ = io::stdout().write_all(text.as_bytes());
        }
        idle.status(halt.is_some())
    }
}

/// A search under way.
struct Idle {
    link: IdleLink,
    search: Search,
    /// Nothing is printed on the way.
    quiet: bool,
}

impl Idle {
    fn say(&self, line: &str) -> Result<(), Halt> {
        if self.quiet {
            return Ok(());
        }
        match writeln!(io::stdout(), "{line}") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Halt::Unread),
            _ => Ok(()),
        }
    }

    /// Every round; the first has a connection already.
    fn search(&mut self, connected: Connected) -> io::Result<Option<Halt>> {
        let mut first = Some(connected);
        loop {
            let gaps = self.search.next_round();
            if gaps.is_empty() {
                return Ok(None);
            }
            if let Err(halt) = self.say(&idle::round(self.search.round(), &gaps)) {
                return Ok(Some(halt));
            }
            for gap in gaps {
                match first.take() {
                    Some(connected) => self.link.adopt(connected, gap),
                    None => self.link.open(gap),
                }
            }
            if let Some(halt) = self.wait()? {
                return Ok(Some(halt));
            }
        }
    }

    /// One round, to its end.
    fn wait(&mut self) -> io::Result<Option<Halt>> {
        while !self.link.is_empty() {
            if signals::stop_requests() > 0 {
                return Ok(Some(Halt::Asked));
            }
            let Some(ended) = self.link.next_ended()? else { continue };
            let line = idle::line(self.search.learn(ended.silent, ended.fate));
            if let Err(halt) = self.say(&line) {
                return Ok(Some(halt));
            }
            if let Some(died) = self.search.answer().died {
                let gap = died.gap;
                let left = self.link.abandon_above(gap);
                log::debug!("{left} longer gaps are not waited for");
            }
        }
        Ok(None)
    }

    fn summary(&self, run: &IdleRun) -> String {
        let answer = self.search.answer();
        format!(
            "--- {} idle limit ---\n{}\n{}",
            run.address,
            idle::sentence(&answer),
            idle::advice(&answer)
        )
    }

    /// Good if a gap was tried to its end.
    fn status(&self, halted: bool) -> Result<Status, Failure> {
        let tested = |fate: &Fate| !matches!(fate, Fate::Untested(_));
        let tried = self.search.tried();
        if tried.iter().any(|tried| tested(&tried.fate)) {
            return Ok(Status::Good);
        }
        match tried.first() {
            Some(tried) if !halted => Err(Failure::NoReply(idle::line(tried))),
            _ => Ok(Status::Bad),
        }
    }
}
