//! The hops of a connection that stands, whose state is in every firewall and
//! translator on the way: it takes `CAP_NET_RAW`.
//!
//! What is sent is a keep-alive that may pass so many routers and no more: an empty
//! segment whose number the peer has acknowledged. This host's kernel takes no
//! notice of the ICMP about it, as that number is not in flight. The target itself
//! is not asked; if one reached it all the same, it would acknowledge it and give
//! its program nothing, and without data there is no DSACK.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::hops::{End, Trail};
use super::passage::SYN_AGAIN;
use super::tracer::{IN_VAIN, PACE, Tracer, pause_until};
use crate::clock::Mono;
use crate::os::icmp::RawIcmp;
use crate::os::poll::{self, Interest};
use crate::os::raw_tcp::RawTcp;
use crate::os::route;
use crate::os::socket::{self, ConnectOptions};
use crate::os::{clock, signals};
use crate::wire::icmp::IcmpError;
use crate::wire::tcp;

/// Numbers below the acknowledged one that are used in turn, so that a late answer is
/// not taken for one to a later question. Firewalls take what is a window old.
const NUMBERS: u32 = 4096;
/// Connections between two hosts that are known at once.
const MOST: usize = 256;

/// What a hop said, and how long that took; `None` where it did not.
pub type Said = Option<(IcmpError, Duration)>;

/// A connection.
#[derive(Debug)]
struct Known {
    local: SocketAddr,
    remote: SocketAddr,
    /// By which interface its packets leave.
    interface: Option<u32>,
    /// What the peer has acknowledged, and its own number then.
    heard: Option<(u32, u32)>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Inside {
    raw: RawTcp,
    routers: RawIcmp,
    /// Where all of them go.
    host: IpAddr,
    /// All leave by the one that the user named.
    held: bool,
    known: Vec<Known>,
    asked: u32,
}

impl Inside {
    /// For connections to the host of `remote` that were made with these options.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` without `CAP_NET_RAW`.
    pub fn open(remote: &SocketAddr, options: &ConnectOptions) -> io::Result<Self> {
        let routers = RawIcmp::open(remote.is_ipv6())?;
        let raw = RawTcp::open(remote, options)?;
        let held = options.interface.is_some();
        Ok(Self { raw, routers, host: remote.ip(), held, known: Vec::new(), asked: 0 })
    }

    /// Takes note of a connection, or that one was made anew between the same ports.
    pub fn know(&mut self, local: SocketAddr, remote: SocketAddr) {
        self.known.retain(|known| known.local != local);
        if self.known.len() < MOST && remote.ip() == self.host {
            let interface = if self.held { None } else { route::interface(&local, &remote) };
            self.known.push(Known { local, remote, interface, heard: None });
        }
    }

    /// Takes in what the peer has sent meanwhile.
    pub fn listen(&mut self) {
        while let Some(segment) = self.raw.next_segment() {
            let ports = (segment.destination, segment.source);
            let of = |known: &&mut Known| (known.local.port(), known.remote.port()) == ports;
            if segment.any(tcp::ACK)
                && !segment.any(tcp::RST)
                && let Some(known) = self.known.iter_mut().find(of)
            {
                let next = segment.sequence.wrapping_add(u32::from(segment.any(tcp::SYN)));
                known.heard = Some((segment.acknowledgement, next));
            }
        }
    }

    /// Asks the hops of the connection from `local` that have not said anything,
    /// all at once. False: nothing was heard of that connection yet.
    ///
    /// # Errors
    ///
    /// What the kernel says.
    pub fn ask(
        &mut self,
        local: SocketAddr,
        hops: &mut [Said],
        patience: Duration,
    ) -> io::Result<bool> {
        self.listen();
        let of = |known: &&Known| known.local == local;
        let Some(&Known { remote, interface, heard: Some((acknowledged, next)), .. }) =
            self.known.iter().find(of)
        else {
            return Ok(false);
        };
        let mut open: Vec<(usize, u32, Mono)> = Vec::new();
        for (place, _) in hops.iter().enumerate().filter(|(_, said)| said.is_none()) {
            self.asked = (self.asked + 1) % NUMBERS;
            let sequence = acknowledged.wrapping_sub(self.asked + 1);
            let segment = tcp::empty(local, remote, sequence, next);
            let limit = u8::try_from(place + 1).unwrap_or(u8::MAX);
            open.push((place, sequence, clock::now()));
            let send = || self.raw.send(&segment, limit, interface);
            // An earlier answer may wait there as an error.
            send().or_else(|_| send())?;
        }
        let until = clock::now() + patience;
        while !open.is_empty() && clock::now() < until && signals::stop_requests() == 0 {
            poll::wait(&mut [Interest::read(self.routers.as_fd())], until)?;
            let now = clock::now();
            let Some((said, quoted)) = self.routers.next_error() else { continue };
            let ours = (quoted.source.port(), quoted.destination.port());
            let of = |(_, sequence, _): &(usize, u32, Mono)| quoted.sequence == Some(*sequence);
            if ours == (local.port(), remote.port())
                && let Some(found) = open.iter().position(of)
            {
                let (place, _, at) = open.swap_remove(found);
                hops[place] = Some((said, now.since(at)));
            }
        }
        Ok(true)
    }
}

impl Tracer {
    /// Asks the routers on the first flow's way once more, inside a connection from
    /// its port that stands meanwhile; nobody where there are none, or where the
    /// target takes no connection.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` without `CAP_NET_RAW`; no connection.
    pub fn ask_inside(&self) -> io::Result<Vec<Said>> {
        let Some(Trail { end: Some(End::SynAck), port, hops, .. }) = self.trails.first() else {
            return Ok(Vec::new());
        };
        let mut said = vec![None; hops.len() - 1];
        if said.is_empty() {
            return Ok(said);
        }
        let mut dialer = self.dialer.clone();
        dialer.addresses = vec![self.target()];
        dialer.options.source_port = Some(*port);
        dialer.timeout = dialer.timeout.max(SYN_AGAIN);
        // First, so that it hears the SYN-ACK.
        let mut inside = Inside::open(&self.target(), &dialer.options)?;
        let connected = dialer.connect().map_err(|(_, error)| error)?;
        socket::reset_on_close(connected.stream.as_fd())?;
        let local = connected.stream.local_address()?;
        inside.know(local, self.target());
        for turn in 1..=IN_VAIN {
            let due = clock::now() + PACE;
            inside.ask(local, &mut said, self.patience())?;
            let mut pairs = said.iter().zip(hops);
            if turn == IN_VAIN || !pairs.any(|(said, hop)| said.is_none() && hop.is_known()) {
                break;
            }
            pause_until(due);
        }
        Ok(said)
    }
}
