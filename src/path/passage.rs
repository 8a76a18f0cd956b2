//! Packets of a wanted size, there and back, over connections of their own.
//!
//! There: a connection agrees on segments of that size and sends one that nobody may
//! cut up; the peer's kernel acknowledges it or not. Back: it announces that size
//! and lets an echo service's replies pile up unread, so that the peer fills its
//! segments when they are taken; what goes there meanwhile is small.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::sizes::{LEAST, Passed};
use crate::clock::Mono;
use crate::net::dial::Connected;
use crate::net::{Dialer, Heard, Stream};
use crate::os::icmp::RawIcmp;
use crate::os::poll::{self, Interest};
use crate::os::{clock, signals, socket};
use crate::wire::tcp_info::TcpInfo;

/// Headers of IP and TCP without options.
const HEADERS4: u16 = 40;
const HEADERS6: u16 = 60;
/// What time stamps take of a segment (RFC 7323), and their bit in `tcpi_options`.
const STAMPS: u16 = 12;
const STAMPS_AGREED: u8 = 1;
/// How often the kernel is asked what became of a packet.
const LOOK: Duration = Duration::from_millis(2);
/// Linux sends a SYN again after 1, 3 and 7 s.
pub(super) const SYN_AGAIN: Duration = Duration::from_millis(3500);
/// What goes there while packets back are tried, in bytes: it fits everywhere.
const PIECE: usize = 192;
/// Bytes that are taken in unread: the peer's replies wait behind them.
const UNREAD: u32 = 8 << 10;
/// Full segments that are to come back.
const FULL: usize = 8;

/// See the module's text.
#[derive(Debug)]
pub struct Passage {
    dialer: Dialer,
    version6: bool,
    /// With the right to it: who says that a packet was too large.
    routers: Option<RawIcmp>,
}

/// What a connection to the target shows before anything is tried.
#[derive(Debug, Clone, Copy)]
pub struct Ends {
    /// The largest packet that this host sends there.
    pub interface: u16,
    /// The largest that the two ends agreed on.
    pub agreed: u16,
    /// Whether it is an echo service.
    pub echoes: bool,
}

impl Passage {
    /// Packets to `target` from `port`, as `dialer` says.
    pub fn new(dialer: &Dialer, target: SocketAddr, port: u16) -> Self {
        let mut dialer = dialer.clone();
        dialer.addresses = vec![target];
        dialer.options.source_port = Some(port);
        dialer.options.reuse_address = true;
        dialer.options.whole_packets = true;
        let routers = RawIcmp::open(target.is_ipv6()).ok();
        Self { dialer, version6: target.is_ipv6(), routers }
    }

    fn headers(&self) -> u16 {
        if self.version6 { HEADERS6 } else { HEADERS4 }
    }

    fn connect(&self, size: Option<u16>, receive_buffer: Option<u32>) -> io::Result<Connected> {
        let mut dialer = self.dialer.clone();
        dialer.options.max_segment = size.map(|size| size.saturating_sub(self.headers()));
        dialer.options.receive_buffer = receive_buffer;
        // The connection before had the same ports: what of it is still under way can
        // cost a SYN, which the kernel sends again after a second.
        dialer.timeout = dialer.timeout.max(SYN_AGAIN);
        let connected = dialer.connect().map_err(|(_, error)| error)?;
        socket::reset_on_close(connected.stream.as_fd())?;
        Ok(connected)
    }

    /// The size of a packet whose segment has `payload` bytes.
    fn packet(&self, info: &TcpInfo, payload: u32) -> u16 {
        let stamps = info.options.is_some_and(|agreed| agreed & STAMPS_AGREED != 0);
        let options = if stamps { STAMPS } else { 0 };
        let payload = u16::try_from(payload).unwrap_or(u16::MAX);
        payload.saturating_add(self.headers() + options)
    }

    /// What the two ends agree on, and whether a small echo comes back.
    ///
    /// # Errors
    ///
    /// No connection.
    pub fn ends(&self) -> io::Result<Ends> {
        let stream = self.connect(None, None)?.stream;
        let info = stream.tcp_info().unwrap_or_default();
        let agreed = self.packet(&info, info.mss.unwrap_or(0));
        let interface = socket::path_mtu(stream.as_fd(), !self.version6).unwrap_or(agreed);
        let deadline = clock::now() + self.dialer.timeout;
        let (_, sent) = stream.send(&[b'.'; PIECE]);
        sent?;
        Ok(Ends { interface, agreed, echoes: take(&stream, PIECE, deadline) == PIECE })
    }

    /// Sends a packet of `size` bytes, or of as many as the peer takes.
    ///
    /// # Errors
    ///
    /// No connection.
    pub fn there(&mut self, size: u16) -> io::Result<Passed> {
        let stream = self.connect(Some(size), None)?.stream;
        let info = stream.tcp_info().unwrap_or_default();
        let payload = info.mss.unwrap_or(0);
        let packet = self.packet(&info, payload);
        let deadline = clock::now() + self.dialer.timeout;
        let bytes = vec![b'.'; usize::try_from(payload).unwrap_or(0)];
        let (_, sent) = stream.send(&bytes);
        sent?;
        loop {
            let told = self.hear_routers(&stream);
            let info = stream.tcp_info().unwrap_or_default();
            let mtu = socket::path_mtu(stream.as_fd(), !self.version6).unwrap_or(packet);
            if mtu < packet {
                return Ok(Passed::Told(mtu, told));
            }
            // The kernel itself tries smaller ones after a while (tcp_mtu_probing).
            if info.mss.is_some_and(|mss| mss < payload) || clock::now() >= deadline {
                return Ok(Passed::Vanished);
            }
            if info.unacked == Some(0) {
                return Ok(Passed::Whole(packet));
            }
            if signals::stop_requests() > 0 {
                return Err(io::ErrorKind::Interrupted.into());
            }
            clock::sleep_until(clock::now() + LOOK);
        }
    }

    fn hear_routers(&self, stream: &Stream) -> Option<IpAddr> {
        let local = stream.local_address().ok()?;
        let routers = self.routers.as_ref()?;
        let mut from = None;
        while let Some((said, quoted)) = routers.next_error() {
            let ours = (quoted.source.ip(), quoted.source.port()) == (local.ip(), local.port());
            from = from.or(said.from.filter(|_| ours && said.mtu.is_some()));
        }
        from
    }

    /// Has the echo service send packets of `size` bytes.
    ///
    /// # Errors
    ///
    /// No connection.
    pub fn back(&mut self, size: u16) -> io::Result<Passed> {
        let unread = UNREAD.max(4 * u32::from(size));
        let stream = self.connect(Some(size), Some(unread))?.stream;
        // The kernel doubles what it is asked for.
        let total = 2 * usize::try_from(unread).unwrap_or(0) + usize::from(size) * FULL;
        let sent = self.fill(&stream, total);
        if sent == 0 {
            return Ok(Passed::Vanished);
        }
        let came = take(&stream, sent, clock::now() + self.dialer.timeout);
        if signals::stop_requests() > 0 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let info = stream.tcp_info().unwrap_or_default();
        let largest = self.packet(&info, info.peer_mss.unwrap_or(0)).min(size);
        if came == sent {
            return Ok(Passed::Whole(largest.max(LEAST)));
        }
        Ok(Passed::Vanished)
    }

    /// Sends up to `total` bytes piece by piece, each when the one before has left,
    /// so that none is put together with it; gives how many.
    fn fill(&self, stream: &Stream, total: usize) -> usize {
        let mut deadline = clock::now() + self.dialer.timeout;
        let mut sent = 0;
        while sent < total && clock::now() < deadline && signals::stop_requests() == 0 {
            let waits = stream.tcp_info().and_then(|info| info.not_sent).unwrap_or(0);
            if waits > 0 {
                clock::sleep_until(clock::now() + LOOK / 4);
                continue;
            }
            match stream.send(&[b'.'; PIECE]).1 {
                Ok(count) => {
                    sent += count;
                    deadline = clock::now() + self.dialer.timeout;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    clock::sleep_until(clock::now() + LOOK);
                }
                Err(_) => break,
            }
        }
        sent
    }
}

/// Reads up to `wanted` bytes, until none has come for as long as `deadline` is away
/// now; gives how many came.
fn take(stream: &Stream, wanted: usize, deadline: Mono) -> usize {
    let patience = deadline.since(clock::now());
    let mut until = deadline;
    let mut buffer = [0; 16 << 10];
    let mut came = 0;
    while came < wanted && clock::now() < until && signals::stop_requests() == 0 {
        let mut interests = [Interest::read(stream.as_fd())];
        if poll::wait(&mut interests, until).is_err() {
            break;
        }
        match stream.read(&mut buffer).1 {
            Ok(Heard::Bytes(count)) => {
                came += count;
                until = clock::now() + patience;
            }
            Ok(Heard::End) | Err(_) => break,
            Ok(_) => {}
        }
    }
    came
}
