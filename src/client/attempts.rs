//! Attempts to connect beside a connection that is silent or gone: each sends
//! one packet, which must come back.

use std::io;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use crate::clock::Mono;
use crate::net::dial::Connected;
use crate::net::together::Share;
use crate::net::{Dial, Dialer, Heard, Stream};
use crate::os::poll::Interest;
use crate::os::socket;
use crate::probe::{Attempted, Connection, Progress};

/// Bytes of a scout's packet at most: as large as any Ethernet's segment, so that
/// a path which only passes small ones is not taken for one that works, and
/// within the first congestion window.
pub(super) const LONGEST_PACKET: usize = 9_000;

/// Bytes of a small one: with its headers below what any link passes (RFC 791,
/// section 3.2: 576).
pub(super) const SMALL_PACKET: usize = 400;

/// One attempt under way.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) id: u32,
    local: Option<SocketAddr>,
    remote: SocketAddr,
    stage: Stage,
    packet: Vec<u8>,
    came: usize,
    /// That part of it got through was told.
    partly: bool,
}

#[derive(Debug)]
enum Stage {
    Dialing(Dial),
    Waiting { stream: Stream, at: Mono, took: Duration },
    Over,
}

impl Attempt {
    /// Begins to connect to `remote` from `from`, or from any port.
    pub(super) fn start(
        dialer: &Dialer,
        id: u32,
        from: Option<SocketAddr>,
        remote: SocketAddr,
        packet: Vec<u8>,
    ) -> Result<Self, Attempted> {
        let mut dialer = Dialer { addresses: Vec::new(), ..dialer.clone() };
        dialer.options.reuse_address = from.is_some();
        dialer.options.source_port = None;
        dialer.options.source = match from {
            Some(from) => Some(from),
            None => dialer.options.source.map(|source| (source.ip(), 0).into()),
        };
        match Dial::start(&dialer, remote) {
            Ok(dial) => {
                let local = dial.local_address().ok();
                let stage = Stage::Dialing(dial);
                Ok(Self { id, local, remote, stage, packet, came: 0, partly: false })
            }
            Err(error) => {
                let ours = matches!(
                    error.kind(),
                    io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable
                );
                let progress = if ours && from.is_some() {
                    Progress::PortTaken(error.to_string())
                } else {
                    Progress::Failed(error.to_string())
                };
                Err(Attempted { id, local: from, remote, progress })
            }
        }
    }

    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        match &self.stage {
            Stage::Dialing(dial) => Some(dial.as_fd()),
            Stage::Waiting { stream, .. } => Some(stream.as_fd()),
            Stage::Over => None,
        }
    }

    pub(super) fn interest(&self) -> Option<Interest<'_>> {
        match &self.stage {
            Stage::Dialing(dial) => Some(dial.interest()),
            Stage::Waiting { stream, .. } => Some(stream.interest()),
            Stage::Over => None,
        }
    }

    /// Waits for it together with others.
    pub(super) fn watch(&self, share: &Share) -> io::Result<()> {
        let dialing = matches!(self.stage, Stage::Dialing(_));
        self.as_fd().map_or(Ok(()), |fd| share.watch(fd, dialing))
    }

    /// Something can be had from it: what that is, and when. `buffer` is only
    /// borrowed.
    pub(super) fn serve(&mut self, at: Mono, buffer: &mut [u8]) -> Option<(Mono, Attempted)> {
        let (at, progress) = match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Dialing(dial) => self.connected(dial, at),
            Stage::Waiting { stream, at: connected, took } => {
                let (at, heard) = stream.receive(buffer, at, Mono(0), false);
                self.stage = Stage::Waiting { stream, at: connected, took };
                (at, self.heard(buffer, heard)?)
            }
            Stage::Over => return None,
        };
        if matches!(progress, Progress::Failed(_)) {
            self.stage = Stage::Over;
        }
        Some((at, self.news(progress)))
    }

    fn news(&self, progress: Progress) -> Attempted {
        Attempted { id: self.id, local: self.local, remote: self.remote, progress }
    }

    fn connected(&mut self, dial: Dial, at: Mono) -> (Mono, Progress) {
        match dial.finish(at) {
            Ok(Connected { stream, took, at, .. }) => {
                let (_, sent) = stream.send(&self.packet);
                self.local = stream.local_address().ok().or(self.local);
                self.stage = Stage::Waiting { stream, at, took };
                match sent {
                    Ok(sent) if sent == self.packet.len() => (at, Progress::Connected),
                    Ok(_) => (at, Progress::Failed("its packet did not fit".to_owned())),
                    Err(error) => (at, Progress::Failed(error.to_string())),
                }
            }
            Err(error) => (at, Progress::Failed(error.to_string())),
        }
    }

    fn heard(&mut self, buffer: &[u8], heard: io::Result<Heard>) -> Option<Progress> {
        match heard {
            Ok(Heard::Bytes(count)) => {
                let expected = self.packet.get(self.came..self.came + count);
                if expected.is_none() || expected != buffer.get(..count) {
                    return Some(Progress::Failed("what came back was not sent".to_owned()));
                }
                self.came += count;
                let all = self.came == self.packet.len();
                let first = !std::mem::replace(&mut self.partly, true);
                if all { Some(Progress::Answered) } else { first.then_some(Progress::Partly) }
            }
            Ok(Heard::End) => Some(Progress::Failed("closed without an answer".to_owned())),
            Ok(Heard::Nothing | Heard::Room | Heard::Stamps) => None,
            Err(error) if socket::is_unreachable(&error) => None,
            Err(error) => Some(Progress::Failed(error.to_string())),
        }
    }

    /// Whether part of its packet has got through, and not all: told once.
    pub(super) fn look(&mut self) -> Option<Attempted> {
        let Stage::Waiting { stream, .. } = &self.stage else { return None };
        // The SYN is counted with them.
        let acked = stream.tcp_info()?.bytes_acked?.saturating_sub(1);
        let part = acked > 0 && acked < self.packet.len() as u64;
        let told = !part || std::mem::replace(&mut self.partly, true);
        (!told).then(|| self.news(Progress::Partly))
    }

    /// The connection, which was answered.
    pub(super) fn into_connected(self) -> Option<Connected> {
        match self.stage {
            Stage::Waiting { stream, at, took } => {
                Some(Connected { stream, address: self.remote, took, at })
            }
            Stage::Dialing(_) | Stage::Over => None,
        }
    }

    /// Ends it at once, without waiting for the peer's consent.
    pub(super) fn abort(self) {
        if let Some(fd) = self.as_fd() {
            // It ends anyway; this way no later SYN or FIN follows.
            let _ = socket::reset_on_close(fd);
        }
    }
}

impl Connected {
    /// As the machine knows it.
    pub fn connection(&self) -> Connection {
        Connection {
            at: self.at,
            local: self.stream.local_address().ok(),
            remote: self.address,
            connect: self.took,
        }
    }
}
