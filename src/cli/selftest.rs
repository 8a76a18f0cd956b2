//! `echotest selftest`: known trouble, and what the client tells of it.
//!
//! Each kind of trouble has a server of its own in this process, which lets it
//! happen in the first connection; the client's own loop measures it.
//! What happens in one program on this host is never the path's doing.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use super::Status;
use super::error::{Failure, UsageError};
use super::floor::Quiet;
use super::matches::Matches;
use crate::client::evidence::Asked;
use crate::client::{EchoCodec, Extras, StreamLink};
use crate::net::{Dialer, Waiting, listen};
use crate::os::socket::{self, ConnectOptions};
use crate::os::{clock, thread as os_thread};
use crate::probe::{Cause, EventKind, Plan, Slow, Tally, Tracker, run as run_loop};
use crate::record::recording::record;

/// A packet of the client's.
const PACKET: usize = 64;
/// The packet in which it happens. Packets are 0.2 s apart, so that the peer's kernel
/// acknowledges each by itself before its program does.
const THERE: usize = 8;
/// How long what is late is late; what stands still does so longer.
const LATE: Duration = Duration::from_millis(150);
const STANDS: Duration = Duration::from_millis(1600);

/// How the client goes about it.
const PACE: Duration = Duration::from_millis(200);
const LASTS: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(1);
const SLOW: Duration = Duration::from_millis(50);

/// What is done to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Injected {
    Nothing,
    Delay,
    Stall,
    Reset,
    Corruption,
    Oblivion,
}

impl Injected {
    const ALL: [Self; 6] =
        [Self::Nothing, Self::Delay, Self::Stall, Self::Reset, Self::Corruption, Self::Oblivion];

    fn text(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Delay => "the peer's program answers one packet 150 ms late",
            Self::Stall => "the peer's program stands still for 1.6 s",
            Self::Reset => "the peer resets the connection",
            Self::Corruption => "the peer changes a byte",
            Self::Oblivion => "the peer answers this connection no more, and others still",
        }
    }

    /// Whether `told` says so: not at all, that nothing is known, or something else.
    fn judge(self, told: &Told) -> Judgement {
        let Told { drops_by_peer, drops, corrupt, outages, peer, path, lost } = *told;
        let (right, wrong) = match self {
            Self::Nothing => (drops + corrupt + outages + lost == 0, drops + corrupt + lost > 0),
            Self::Delay => (peer > 0 && drops == 0, path > peer || drops > 0 || corrupt > 0),
            Self::Stall => (outages > 0 && peer > 0 && drops == 0, drops > 0 || path > peer),
            Self::Reset => (drops_by_peer == 1 && drops == 1, drops_by_peer != drops),
            Self::Corruption => (corrupt > 0, lost > 0 && corrupt == 0),
            Self::Oblivion => (outages > 0 && peer > 0, path > peer || drops_by_peer > 0),
        };
        match (right, wrong) {
            (true, _) => Judgement::Right,
            (false, true) => Judgement::Wrong,
            (false, false) => Judgement::Unknown,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    Right,
    Unknown,
    Wrong,
}

impl Judgement {
    fn text(self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Unknown => "not told",
            Self::Wrong => "WRONG",
        }
    }
}

/// What the client told, in numbers.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    drops_by_peer: u64,
    drops: u64,
    corrupt: u64,
    /// Stalls and outages.
    outages: u64,
    /// Slow packets and events that it puts down to the peer,
    peer: u64,
    /// and to the path.
    path: u64,
    lost: u64,
}

impl Told {
    fn of(tally: &Tally) -> Self {
        let events = || tally.events.kept.iter();
        let kinds = [EventKind::Stall, EventKind::Outage];
        let silences = events().filter(|event| kinds.contains(&event.kind)).count();
        let told = |cause: Cause| {
            let events = events().filter(|event| event.cause == Some(cause)).count();
            tally.slow.count(cause) + u64::try_from(events).unwrap_or(0)
        };
        let causes = [Cause::OutboundLoss, Cause::InboundLoss, Cause::Path];
        Self {
            drops_by_peer: tally.drops_by.peer,
            drops: tally.drops,
            corrupt: tally.corrupt,
            outages: u64::try_from(silences).unwrap_or(0),
            peer: told(Cause::Peer),
            path: causes.map(told).iter().sum(),
            lost: tally.lost,
        }
    }

    fn text(&self) -> String {
        let parts = [
            (self.drops_by_peer, "drop by the peer"),
            (self.drops - self.drops_by_peer.min(self.drops), "drop by others"),
            (self.corrupt, "corrupt"),
            (self.outages, "stall or outage"),
            (self.peer, "put down to the peer"),
            (self.path, "put down to the path"),
        ];
        let parts: Vec<String> = parts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
    }
}

/// Echoes packets; in the first connection it happens.
fn serve(listener: &TcpListener, injected: Injected) {
    let first = AtomicBool::new(true);
    thread::scope(|scope| {
        for stream in listener.incoming().map_while(Result::ok) {
            let injected =
                if first.swap(false, Ordering::Relaxed) { injected } else { Injected::Nothing };
            // It ends with the process, as the client does.
            scope.spawn(move || echo(&stream, injected));
        }
    });
}

fn echo(mut stream: &TcpStream, injected: Injected) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut packet = [0; PACKET];
    for number in 1.. {
        stream.read_exact(&mut packet)?;
        match injected {
            Injected::Delay if number == THERE => {
                clock::sleep_until(clock::now() + LATE);
            }
            Injected::Stall if number == THERE => {
                clock::sleep_until(clock::now() + STANDS);
            }
            _ if number != THERE => {}
            Injected::Reset => return socket::reset_on_close(stream.as_fd()),
            Injected::Corruption => packet[PACKET / 2] ^= 1,
            Injected::Oblivion => {
                while stream.read(&mut packet)? > 0 {}
                return Ok(());
            }
            Injected::Nothing | Injected::Delay | Injected::Stall => {}
        }
        stream.write_all(&packet)?;
    }
    Ok(())
}

/// Measures what is injected as the client does, and gives what it would tell.
fn measure(injected: Injected) -> io::Result<Told> {
    let here = [IpAddr::from(Ipv4Addr::LOCALHOST)];
    let listener = listen::tcp(&here, 0)
        .map_err(io::Error::other)?
        .pop()
        .ok_or(io::ErrorKind::AddrNotAvailable)?;
    listener.set_nonblocking(false)?;
    let addresses = vec![listener.local_addr()?];
    os_thread::start("injecting", None, Box::new(move || serve(&listener, injected)))?;
    let mut dialer = Dialer { addresses, options: ConnectOptions::default(), timeout: TIMEOUT };
    let connected = dialer.connect().map_err(|(_, error)| error)?;
    let plan = Plan {
        frequency: PACE,
        duration: Some(LASTS),
        timeout: TIMEOUT,
        reconnect: true,
        scouts: true,
        ..Plan::default()
    };
    let asked = Asked { parts: false, causes: true, all: true };
    let extras = Extras { tcp_info: false, asked, explain: false, waiting: Waiting::Sleep };
    let start = clock::now();
    let tally = Tally { slow: Slow::new(Some(SLOW)), ..Tally::new(start, connected.took) };
    let mut tracker = Tracker::over(plan, start, Some(connected.connection()));
    let mut link = StreamLink::new(EchoCodec::new(PACKET), dialer, connected, extras);
    let mut measure = |outlet: &mut _| run_loop(&mut link, &mut tracker, outlet, &mut Quiet);
    record(None, tally, clock::anchor(), &mut [], &mut measure).map(|tally| Told::of(&tally))
}

/// `echotest selftest` with its arguments, of which there are none.
#[derive(Debug)]
pub(super) struct Options;

impl super::command::Options for Options {
    fn of(_: &Matches) -> Result<Self, UsageError> {
        Ok(Self)
    }

    fn run(self) -> Result<Status, Failure> {
        let start = |injected| {
            let (told, running) = sync_channel(1);
            let measuring = move || drop(told.send(measure(injected)));
            os_thread::start("measuring", None, Box::new(measuring))?;
            Ok((injected, running))
        };
        let running = Injected::ALL.into_iter().map(start).collect::<io::Result<Vec<_>>>()?;
        let mut text = format!("{:<60} {:<9} told\n", "injected", "");
        let mut wrong = 0;
        for (injected, running) in running {
            let told = running.recv().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?;
            let judgement = injected.judge(&told);
            wrong += u32::from(judgement == Judgement::Wrong);
            put!(text, "{:<60} {:<9} {}\n", injected.text(), judgement.text(), told.text());
        }
        text += match wrong {
            0 => "no wrong cause was told\n",
            _ => "a wrong cause was told: please report it with this table and 'uname -r'\n",
        };
        super::print(&text)?;
        Ok(if wrong == 0 { Status::Good } else { Status::Bad })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Mono;
    use crate::probe::Event;

    #[test]
    fn what_is_told_is_read_and_judged() {
        let mut tally = Tally { corrupt: 1, drops: 2, ..Tally::default() };
        tally.drops_by.peer = 1;
        let mut outage = Event::new(EventKind::Outage, Mono(0), Mono(1));
        outage.cause = Some(Cause::Peer);
        tally.events.add(&outage);
        tally.events.add(&Event::new(EventKind::Pause, Mono(0), Mono(1)));
        let told = Told::of(&tally);
        assert_eq!((told.drops, told.drops_by_peer, told.corrupt), (2, 1, 1));
        assert_eq!((told.outages, told.peer, told.path), (1, 1, 0));
        assert_eq!(Injected::Reset.judge(&told), Judgement::Wrong);
        assert_eq!(Injected::Corruption.judge(&told), Judgement::Right);
        assert_eq!(Injected::Stall.judge(&Told::default()), Judgement::Unknown);
        assert_eq!(Injected::Nothing.judge(&Told::default()), Judgement::Right);
        assert_eq!(Told::default().text(), "nothing");
    }
}
