//! The measurement protocol's server: a state machine over lines.

use std::io::{self, ErrorKind};
use std::time::Duration;

use super::budget::Share;
use super::{Account, Connection, Context, Ending};
use crate::os::clock;
use crate::wire::measurement::{self, MAX_SHORT_LINE, Reply, Setup};

/// Bytes read at a time: a page, so that an idle client costs no more.
const PIECE: usize = 4 * 1024;
/// How often a delay looks whether the server is stopping.
const NAP: Duration = Duration::from_millis(100);

/// Lines out of a connection, each with a limit that is checked before memory
/// is taken.
struct Lines<'connection> {
    connection: &'connection mut dyn Connection,
    piece: Box<[u8; PIECE]>,
    /// Bytes read and not used yet.
    pending: Vec<u8>,
    /// How many of them hold no newline.
    searched: usize,
    /// What all sessions share for that.
    share: Share,
}

/// What the next line is.
enum Next {
    /// A line without its newline.
    Line(Vec<u8>),
    /// The peer has closed, after an incomplete line or not.
    End {
        /// Something came that is no whole line.
        incomplete: bool,
    },
    /// More bytes than a line may have.
    TooLong,
    /// More bytes than there is memory for, as shared among all.
    NoRoom,
}

impl<'connection> Lines<'connection> {
    fn new(connection: &'connection mut dyn Connection, share: Share) -> Self {
        let (piece, pending) = (Box::new([0; PIECE]), Vec::new());
        Self { connection, piece, pending, searched: 0, share }
    }

    fn next(&mut self, limit: usize) -> io::Result<Next> {
        loop {
            let fresh = self.pending.get(self.searched..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|&byte| byte == b'\n') {
                let end = self.searched + at;
                let rest = self.pending.split_off(end + 1);
                let mut line = std::mem::replace(&mut self.pending, rest);
                line.pop();
                self.searched = 0;
                return Ok(if line.len() > limit { Next::TooLong } else { Next::Line(line) });
            }
            self.searched = self.pending.len();
            if self.pending.len() > limit {
                return Ok(Next::TooLong);
            }
            if !self.share.set(self.pending.len()) {
                // At once: it is for others.
                self.pending = Vec::new();
                return Ok(Next::NoRoom);
            }
            if self.read_more()? == 0 {
                return Ok(Next::End { incomplete: !self.pending.is_empty() });
            }
        }
    }

    fn read_more(&mut self) -> io::Result<usize> {
        loop {
            match self.connection.read(self.piece.as_mut_slice()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(count) => {
                    // Memory that cannot be had ends this session alone.
                    self.pending.try_reserve(count)?;
                    self.pending.extend_from_slice(&self.piece[..count]);
                    return Ok(count);
                }
            }
        }
    }

    fn say(&mut self, reply: Reply) -> io::Result<()> {
        self.connection.write_all(format!("{}\n", reply.text()).as_bytes())
    }
}

/// Serves one client.
pub fn serve(connection: &mut dyn Connection, context: &Context<'_>) -> Account {
    let mut echoed = 0;
    let share = context.settings.budget.share(context.peer.ip());
    let ending = converse(&mut Lines::new(connection, share), context, &mut echoed)
        .unwrap_or_else(|error| Ending::of_read(&error));
    Account { served: format!("{echoed} probes"), ending }
}

/// All three phases; the error is the connection's.
fn converse(lines: &mut Lines<'_>, context: &Context<'_>, echoed: &mut u64) -> io::Result<Ending> {
    let peer = context.peer;
    let setup = match lines.next(MAX_SHORT_LINE)? {
        Next::Line(line) => Setup::read(&line),
        Next::End { incomplete: false } => return Ok(Ending::PeerClosed),
        Next::End { incomplete: true } | Next::TooLong | Next::NoRoom => None,
    };
    let Some(setup) = setup else { return refuse(lines, Reply::InvalidSetup) };
    context.settings.messages.tell(|| {
        log::info!(
            "{peer} measure: type {}, message size {}, probes {}, server delay {} s",
            setup.kind.name(),
            setup.size,
            setup.probes,
            setup.delay.as_secs_f64()
        );
    });
    lines.say(Reply::Ready)?;
    loop {
        let line = match lines.next(setup.longest_probe())? {
            Next::Line(line) => line,
            Next::End { incomplete: false } => return Ok(Ending::PeerClosed),
            Next::End { incomplete: true } | Next::TooLong => {
                return refuse(lines, Reply::InvalidMeasurement);
            }
            Next::NoRoom => {
                refuse(lines, Reply::InvalidMeasurement)?;
                return Ok(Ending::Refused("other messages of this host have its memory"));
            }
        };
        let all_done = *echoed == setup.probes;
        match line.first() {
            Some(b't') if measurement::is_termination(&line) => {
                lines.say(Reply::Closing)?;
                return Ok(Ending::Finished);
            }
            Some(b't') => return refuse(lines, Reply::InvalidTermination),
            Some(b'm') if !all_done && measurement::is_probe(&line, setup.size, *echoed + 1) => {
                echo(lines, line, &setup, context)?;
                *echoed += 1;
            }
            Some(b'm') => return refuse(lines, Reply::InvalidMeasurement),
            _ if all_done => return refuse(lines, Reply::InvalidTermination),
            _ => return refuse(lines, Reply::InvalidMeasurement),
        }
    }
}

fn refuse(lines: &mut Lines<'_>, reply: Reply) -> io::Result<Ending> {
    lines.say(reply)?;
    Ok(Ending::Refused(reply.text()))
}

/// Sends the whole message back, unchanged, after the delay.
fn echo(
    lines: &mut Lines<'_>,
    mut message: Vec<u8>,
    setup: &Setup,
    context: &Context<'_>,
) -> io::Result<()> {
    message.push(b'\n');
    let until = clock::now() + setup.delay;
    while clock::now() < until && !(context.stopping)() {
        clock::sleep_until(until.min(clock::now() + NAP));
    }
    lines.connection.write_all(&message)
}

#[cfg(test)]
#[path = "measurement_tests.rs"]
mod tests;
