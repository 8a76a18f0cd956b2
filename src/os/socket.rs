//! TCP sockets with what `std` cannot ask for: a connect that does not block,
//! a source address, DSCP, a backlog, a bound on silence.

use std::io;
use std::mem::size_of_val;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::{check, socket_option};

/// The error number of a kernel without the address family.
pub const NO_SUCH_FAMILY: i32 = libc::EAFNOSUPPORT;

/// An address in the kernel's form.
pub(super) enum Address {
    V4(libc::sockaddr_in),
    V6(libc::sockaddr_in6),
}

impl Address {
    pub(super) fn new(address: &SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => Self::V4(libc::sockaddr_in {
                sin_family: family(libc::AF_INET),
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(v6) => Self::V6(Self::v6(v6)),
        }
    }

    fn v6(address: &SocketAddrV6) -> libc::sockaddr_in6 {
        libc::sockaddr_in6 {
            sin6_family: family(libc::AF_INET6),
            sin6_port: address.port().to_be(),
            sin6_flowinfo: address.flowinfo(),
            sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
            sin6_scope_id: address.scope_id(),
        }
    }

    pub(super) fn pointer(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        match self {
            Self::V4(v4) => (std::ptr::from_ref(v4).cast(), length(v4)),
            Self::V6(v6) => (std::ptr::from_ref(v6).cast(), length(v6)),
        }
    }
}

fn family(family: libc::c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(family).unwrap_or(0)
}

fn length<T>(value: &T) -> libc::socklen_t {
    libc::socklen_t::try_from(size_of_val(value)).unwrap_or(0)
}

/// A new TCP socket of the address's family, closed on exec, not blocking.
fn tcp_socket(address: &SocketAddr) -> io::Result<OwnedFd> {
    new_socket(address, libc::SOCK_STREAM)
}

/// The same for UDP.
pub(super) fn udp_socket(address: &SocketAddr) -> io::Result<OwnedFd> {
    new_socket(address, libc::SOCK_DGRAM)
}

fn new_socket(address: &SocketAddr, kind: libc::c_int) -> io::Result<OwnedFd> {
    socket(family_of(address.is_ipv6()), kind, 0)
}

pub(super) fn family_of(version6: bool) -> libc::c_int {
    if version6 { libc::AF_INET6 } else { libc::AF_INET }
}

/// A new raw socket of a protocol, which takes `CAP_NET_RAW`.
pub(super) fn raw_socket(version6: bool, protocol: libc::c_int) -> io::Result<OwnedFd> {
    socket(family_of(version6), libc::SOCK_RAW, protocol)
}

/// A new socket, closed on exec, not blocking.
pub(super) fn socket(
    family: libc::c_int,
    kind: libc::c_int,
    protocol: libc::c_int,
) -> io::Result<OwnedFd> {
    let kind = kind | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: takes numbers only.
    let fd = check(unsafe { libc::socket(family, kind, protocol) })?;
    // SAFETY: `fd` is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn set_option<T>(
    socket: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: `value` is valid for reading `length(value)` bytes; the callers
    // below pass integers, which is what their options are made of.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            length(value),
        )
    })?;
    Ok(())
}

pub(super) fn bind(socket: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    let address = Address::new(address);
    let (pointer, length) = address.pointer();
    // SAFETY: `pointer` points to a socket address of `length` bytes inside
    // `address`, which outlives the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), pointer, length) })?;
    Ok(())
}

/// A network interface or VRF of this host by which packets are to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface([u8; libc::IFNAMSIZ]);

impl Interface {
    /// The interface of this name; none if this host has none such.
    pub fn named(name: &str) -> Option<Self> {
        let mut bytes = [0; libc::IFNAMSIZ];
        // With the end that C wants.
        bytes
            .get_mut(..name.len())
            .filter(|room| room.len() < libc::IFNAMSIZ)?
            .copy_from_slice(name.as_bytes());
        // SAFETY: `bytes` ends with a zero, as the name is shorter than it.
        let index = unsafe { libc::if_nametoindex(bytes.as_ptr().cast()) };
        (index > 0).then_some(Self(bytes))
    }

    /// Its name.
    pub fn name(&self) -> String {
        let name = self.0.split(|&byte| byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(name).into_owned()
    }

    /// Lets `socket` send and receive by it alone.
    ///
    /// # Errors
    ///
    /// What `setsockopt` says; before Linux 5.7 it takes `CAP_NET_RAW`.
    pub fn hold(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        set_option(socket, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, &self.0)
    }
}

/// What a connection is to be made with.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConnectOptions {
    /// Address to connect from; port 0 lets the kernel choose.
    pub source: Option<SocketAddr>,
    /// Differentiated services code point (RFC 2474), 0 to 63.
    pub dscp: Option<u8>,
    /// Port to connect from, of any address of this host where no source is given.
    pub source_port: Option<u16>,
    /// Interface to leave by.
    pub interface: Option<Interface>,
    /// Whether the source port may be one that a connection just had, or has to
    /// another address.
    pub reuse_address: bool,
    /// Routers that its packets may pass (time to live, hop limit), if not as many as
    /// usual.
    pub hop_limit: Option<u8>,
    /// The largest segment to agree on and to announce, TCP options included.
    pub max_segment: Option<u16>,
    /// Nobody on the way may cut its packets up.
    pub whole_packets: bool,
    /// What it takes in before it is read, in bytes, if not as much as usual.
    pub receive_buffer: Option<u32>,
}

/// Creates a TCP socket that is ready to connect to `address`.
///
/// # Errors
///
/// What the kernel says of the socket, the source address or the code point.
pub fn unconnected(address: &SocketAddr, options: &ConnectOptions) -> io::Result<TcpStream> {
    let socket = tcp_socket(address)?;
    if options.reuse_address {
        let on: libc::c_int = 1;
        set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR, &on)?;
    }
    shape_packets(socket.as_fd(), address.is_ipv4(), options)?;
    place(socket.as_fd(), address, options)?;
    Ok(TcpStream::from(socket))
}

/// Marks what `socket` sends to `address`, and binds it to where it is to leave.
pub(super) fn place(
    socket: BorrowedFd<'_>,
    address: &SocketAddr,
    options: &ConnectOptions,
) -> io::Result<()> {
    if let Some(dscp) = options.dscp {
        set_dscp(socket, address.is_ipv4(), dscp)?;
    }
    if let Some(interface) = options.interface {
        interface.hold(socket)?;
    }
    match source(address, options) {
        Some(source) => bind(socket, &source),
        None => Ok(()),
    }
}

/// Sets how many routers what `socket` sends may pass.
pub(super) fn set_hop_limit(socket: BorrowedFd<'_>, ipv4: bool, limit: u8) -> io::Result<()> {
    let (level, name) = if ipv4 {
        (libc::IPPROTO_IP, libc::IP_TTL)
    } else {
        (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS)
    };
    set_option(socket, level, name, &libc::c_int::from(limit))
}

fn shape_packets(socket: BorrowedFd<'_>, ipv4: bool, options: &ConnectOptions) -> io::Result<()> {
    if let Some(limit) = options.hop_limit {
        set_hop_limit(socket, ipv4, limit)?;
    }
    if let Some(segment) = options.max_segment {
        let segment = libc::c_int::from(segment);
        set_option(socket, libc::IPPROTO_TCP, libc::TCP_MAXSEG, &segment)?;
    }
    if options.whole_packets {
        let (level, name, whole) = if ipv4 {
            (libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_DO)
        } else {
            (libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_DO)
        };
        set_option(socket, level, name, &whole)?;
    }
    if let Some(bytes) = options.receive_buffer {
        set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUF, &bytes)?;
    }
    Ok(())
}

/// The largest packet that this host sends on a connection's way, as far as it
/// knows: its interface's MTU, or what a router has said of late.
pub fn path_mtu(socket: BorrowedFd<'_>, ipv4: bool) -> Option<u16> {
    let (level, name) =
        if ipv4 { (libc::IPPROTO_IP, libc::IP_MTU) } else { (libc::IPPROTO_IPV6, libc::IPV6_MTU) };
    let mut bytes = [0; 4];
    let filled = socket_option(socket.as_raw_fd(), level, name, &mut bytes).ok()?;
    let mtu = i32::from_ne_bytes(*filled.first_chunk()?);
    // Loopback's 65,536 is one more than a packet can have.
    u16::try_from(mtu.min(i32::from(u16::MAX))).ok()
}

/// Where to connect from, if that is not left to the kernel.
fn source(address: &SocketAddr, options: &ConnectOptions) -> Option<SocketAddr> {
    let Some(port) = options.source_port else { return options.source };
    let any = || {
        let any: IpAddr = if address.is_ipv4() {
            Ipv4Addr::UNSPECIFIED.into()
        } else {
            Ipv6Addr::UNSPECIFIED.into()
        };
        (any, 0).into()
    };
    let mut source = options.source.unwrap_or_else(any);
    source.set_port(port);
    Some(source)
}

pub(super) fn set_dscp(socket: BorrowedFd<'_>, ipv4: bool, dscp: u8) -> io::Result<()> {
    // The code point fills the upper six bits of the old type of service; the
    // lower two belong to ECN.
    let class = libc::c_int::from(dscp) << 2;
    if ipv4 {
        set_option(socket, libc::IPPROTO_IP, libc::IP_TOS, &class)
    } else {
        set_option(socket, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &class)
    }
}

/// Starts to connect. `false`: under way, and the socket becomes writable when
/// it has ended.
///
/// # Errors
///
/// What `connect` says, for example that there is no route.
pub fn start_connect(socket: &TcpStream, address: &SocketAddr) -> io::Result<bool> {
    match connect(socket.as_fd(), address) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn connect(socket: BorrowedFd<'_>, address: &SocketAddr) -> io::Result<()> {
    let address = Address::new(address);
    let (pointer, length) = address.pointer();
    // SAFETY: `pointer` points to a socket address of `length` bytes inside
    // `address`, which outlives the call.
    check(unsafe { libc::connect(socket.as_raw_fd(), pointer, length) })?;
    Ok(())
}

/// Has the socket's end be a reset, at once, whatever is still under way.
///
/// # Errors
///
/// What `setsockopt` says.
pub fn reset_on_close(socket: BorrowedFd<'_>) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    set_option(socket, libc::SOL_SOCKET, libc::SO_LINGER, &linger)
}

/// Whether an error says that a destination cannot be reached just now: on a
/// connection that stands, a report and not its end.
pub fn is_unreachable(error: &io::Error) -> bool {
    const REPORTS: [i32; 6] = [
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::ECONNREFUSED,
        libc::EACCES,
        libc::EPROTO,
        libc::ENOPROTOOPT,
    ];
    error.raw_os_error().is_some_and(|number| REPORTS.contains(&number))
}

/// Puts as many bytes into a blocking socket as fit without waiting.
///
/// # Errors
///
/// What `send` says; `WouldBlock` where nothing fits.
#[inline]
pub fn send_now(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: `bytes` is valid for reading its whole length.
    let sent = unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Takes bytes out of a blocking socket without waiting.
///
/// # Errors
///
/// What `recv` says; `WouldBlock` where there are none.
#[inline]
pub fn receive_now(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let (pointer, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: `buffer` is valid for writing its whole length.
    let count = unsafe { libc::recv(socket.as_raw_fd(), pointer, length, libc::MSG_DONTWAIT) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Listens on `address` without blocking. An IPv6 wildcard takes IPv4 as well
/// unless `ipv6_only`.
///
/// # Errors
///
/// What `socket`, `bind` or `listen` says.
pub fn listen(address: &SocketAddr, ipv6_only: bool, backlog: i32) -> io::Result<TcpListener> {
    let socket = tcp_socket(address)?;
    let fd = socket.as_fd();
    let on: libc::c_int = 1;
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, &on)?;
    if address.is_ipv6() {
        let only = libc::c_int::from(ipv6_only);
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &only)?;
    }
    bind(fd, address)?;
    // SAFETY: takes a descriptor that lives and a number.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) })?;
    Ok(TcpListener::from(socket))
}

/// Sends small segments at once instead of waiting for acknowledgements.
///
/// # Errors
///
/// What `setsockopt` says.
pub fn set_no_delay(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, &on)
}

/// How long a read and a write wait at most; `None` is for ever.
///
/// # Errors
///
/// What `setsockopt` says.
pub fn set_timeouts(
    socket: BorrowedFd<'_>,
    read: Option<Duration>,
    write: Option<Duration>,
) -> io::Result<()> {
    for (name, span) in [(libc::SO_RCVTIMEO, read), (libc::SO_SNDTIMEO, write)] {
        let span = span.unwrap_or_default();
        let value = libc::timeval {
            tv_sec: span.as_secs().try_into().unwrap_or(i32::MAX.into()),
            // What is shorter than a microsecond must not become for ever.
            tv_usec: i64::from(span.subsec_nanos().div_ceil(1000)).min(999_999) as _,
        };
        set_option(socket, libc::SOL_SOCKET, name, &value)?;
    }
    Ok(())
}

/// How a vanished peer is found.
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive {
    /// Silence before the first question.
    pub idle: Duration,
    /// Time from one question to the next.
    pub interval: Duration,
    /// Questions without an answer before the connection is given up.
    pub probes: u32,
}

/// Asks the kernel to find out when the peer has vanished.
///
/// # Errors
///
/// What `setsockopt` says.
pub fn set_keep_alive(socket: BorrowedFd<'_>, keep: &KeepAlive) -> io::Result<()> {
    let seconds =
        |span: Duration| libc::c_int::try_from(span.as_secs()).unwrap_or(libc::c_int::MAX);
    let probes = libc::c_int::try_from(keep.probes).unwrap_or(libc::c_int::MAX);
    let on: libc::c_int = 1;
    set_option(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &on)?;
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, &seconds(keep.idle))?;
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, &seconds(keep.interval))?;
    set_option(socket, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, &probes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn addresses_go_to_the_kernel_and_come_back() {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = listen(&wanted, false, 8).unwrap();
        assert_eq!(listener.local_addr().unwrap().ip(), wanted.ip());
        if let Ok(listener) = listen(&SocketAddr::from((Ipv6Addr::LOCALHOST, 0)), false, 8) {
            assert_eq!(listener.local_addr().unwrap().ip(), Ipv6Addr::LOCALHOST);
        }
    }

    #[test]
    fn a_source_address_is_used() {
        let listener = listen(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), false, 8).unwrap();
        let target = listener.local_addr().unwrap();
        let source = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 9), 0));
        let options = ConnectOptions {
            source: Some(source),
            dscp: Some(46),
            reuse_address: true,
            ..ConnectOptions::default()
        };
        let stream = unconnected(&target, &options).unwrap();
        start_connect(&stream, &target).unwrap();
        assert_eq!(stream.local_addr().unwrap().ip(), source.ip());
    }
}
