//! TWAMP-Control in unauthenticated mode (RFC 5357, section 3; the layouts are
//! RFC 4656's): messages of fixed sizes over TCP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use super::cursor::{Reader, Writer};
use super::ntp::Timestamp;

/// The UDP ports of test sessions that reflectors commonly have open.
pub const TEST_PORTS: RangeInclusive<u16> = 18760..=19960;

/// The mode without keys: the only one spoken here.
pub const UNAUTHENTICATED: u32 = 1;
/// Bytes of a Server Greeting.
pub const GREETING: usize = 64;
/// Bytes of a Set-Up-Response.
pub const SET_UP: usize = 164;
/// Bytes of a Server-Start, and of an Accept-Session.
pub const SERVER_START: usize = 48;
/// Bytes of a Request-TW-Session.
pub const REQUEST: usize = 112;
/// Bytes of a Start-Sessions, a Start-Ack and a Stop-Sessions; no command is
/// shorter.
pub const COMMAND: usize = 32;

/// Iterations for a key that nobody derives; at least 1024, a power of two.
const COUNT: u32 = 1024;

/// The first byte of each command.
pub mod command {
    /// OWAMP's Request-Session.
    pub const REQUEST_SESSION: u8 = 1;
    /// Start-Sessions.
    pub const START_SESSIONS: u8 = 2;
    /// Stop-Sessions.
    pub const STOP_SESSIONS: u8 = 3;
    /// Request-TW-Session.
    pub const REQUEST_TW_SESSION: u8 = 5;
    /// Start-N-Sessions (RFC 5938).
    pub const START_N_SESSIONS: u8 = 6;
}

/// What an Accept field says (RFC 4656, section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accept(pub u8);

impl Accept {
    /// Good.
    pub const OK: Self = Self(0);
    /// A failure without a reason.
    pub const FAILURE: Self = Self(1);
    /// Something is wrong inside the server.
    pub const INTERNAL: Self = Self(2);
    /// Something of the request is not supported.
    pub const UNSUPPORTED: Self = Self(3);
    /// A limit that waiting does not lift.
    pub const PERMANENT_LIMIT: Self = Self(4);
    /// A limit that may be gone later.
    pub const TEMPORARY_LIMIT: Self = Self(5);

    /// What it says, for people.
    pub fn text(self) -> &'static str {
        match self.0 {
            0 => "accepted",
            1 => "refused without a reason",
            2 => "refused: internal error",
            3 => "refused: not supported",
            4 => "refused: a permanent limit of resources",
            5 => "refused: a temporary limit of resources, try again later",
            _ => "refused with a code that no standard names",
        }
    }
}

/// The server's first words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// The modes offered, a bit each; zero is a refusal to talk.
    pub modes: u32,
    /// Random bytes.
    pub challenge: [u8; 16],
    /// Random bytes.
    pub salt: [u8; 16],
}

impl Greeting {
    /// Its bytes.
    pub fn emit(&self) -> [u8; GREETING] {
        Writer::new()
            .zeros(12)
            .u32(self.modes)
            .bytes(&self.challenge)
            .bytes(&self.salt)
            .u32(COUNT)
            .finish()
    }

    /// Reads one. What must be zero is not looked at.
    pub fn read(bytes: &[u8; GREETING]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        reader.skip(12)?;
        Some(Self { modes: reader.u32()?, challenge: reader.bytes()?, salt: reader.bytes()? })
    }
}

/// The client's choice of a mode; without keys, all else is zero.
pub fn emit_set_up(mode: u32) -> [u8; SET_UP] {
    Writer::new().u32(mode).finish()
}

/// The mode in a Set-Up-Response.
pub fn read_set_up(bytes: &[u8; SET_UP]) -> Option<u32> {
    Reader::new(bytes).u32()
}

/// The server's answer to the set-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerStart {
    /// Whether the conversation goes on.
    pub accept: Accept,
    /// Random bytes.
    pub iv: [u8; 16],
    /// When the server was started.
    pub start: Timestamp,
}

impl ServerStart {
    /// Its bytes.
    pub fn emit(&self) -> [u8; SERVER_START] {
        Writer::new().zeros(15).u8(self.accept.0).bytes(&self.iv).u64(self.start.0).finish()
    }

    /// Reads one.
    pub fn read(bytes: &[u8; SERVER_START]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        reader.skip(15)?;
        let accept = Accept(reader.u8()?);
        Some(Self { accept, iv: reader.bytes()?, start: Timestamp(reader.u64()?) })
    }
}

/// A request for a test session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// 4 or 6.
    pub ip_version: u8,
    /// The UDP port that test packets come from.
    pub sender_port: u16,
    /// The UDP port wished for at the reflector.
    pub receiver_port: u16,
    /// Where test packets come from; `None` is where the request came from.
    pub sender: Option<IpAddr>,
    /// Where they go; `None` is where the request went.
    pub receiver: Option<IpAddr>,
    /// Bytes of a test packet beyond its 14 of header.
    pub padding: u32,
    /// When sending is to begin; zero is at once.
    pub start: Timestamp,
    /// How long packets are reflected after the stop.
    pub timeout: Duration,
    /// The differentiated services code point, 0 to 63; `None` if the Type-P
    /// descriptor is no such thing.
    pub dscp: Option<u8>,
}

impl Request {
    /// Its bytes.
    pub fn emit(&self) -> [u8; REQUEST] {
        Writer::new()
            .u8(command::REQUEST_TW_SESSION)
            .u8(self.ip_version & 0x0f)
            .zeros(2 + 4 + 4)
            .u16(self.sender_port)
            .u16(self.receiver_port)
            .bytes(&sixteen(self.sender))
            .bytes(&sixteen(self.receiver))
            .zeros(16)
            .u32(self.padding)
            .u64(self.start.0)
            .u64(fixed_point(self.timeout))
            .u32(u32::from(self.dscp.unwrap_or(0)) << 24)
            .finish()
    }

    /// Reads one, the command's own byte left aside. `None` if it is of no IP
    /// version, or asks for what TWAMP has not.
    pub fn read(bytes: &[u8; REQUEST]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        reader.skip(1)?;
        let ip_version = reader.u8()? & 0x0f;
        reader.skip(2 + 4 + 4)?;
        let (sender_port, receiver_port) = (reader.u16()?, reader.u16()?);
        let sender = address(reader.bytes()?, ip_version);
        let receiver = address(reader.bytes()?, ip_version);
        reader.skip(16)?;
        let request = Self {
            ip_version,
            sender_port,
            receiver_port,
            sender,
            receiver,
            padding: reader.u32()?,
            start: Timestamp(reader.u64()?),
            timeout: span(reader.u64()?),
            dscp: dscp(reader.u32()?),
        };
        matches!(ip_version, 4 | 6).then_some(request)
    }
}

/// 32.32 bits of seconds.
#[allow(clippy::cast_possible_truncation, reason = "saturating before")]
fn fixed_point(span: Duration) -> u64 {
    let seconds = span.as_secs().min(u64::from(u32::MAX));
    let fraction = (u64::from(span.subsec_nanos()) << 32).div_ceil(1_000_000_000);
    seconds << 32 | fraction.min(u64::from(u32::MAX))
}

fn span(fixed_point: u64) -> Duration {
    let nanos = (fixed_point & 0xffff_ffff).saturating_mul(1_000_000_000) >> 32;
    Duration::new(fixed_point >> 32, u32::try_from(nanos).unwrap_or(0))
}

/// The code point in a Type-P descriptor whose first two bits are zero.
fn dscp(type_p: u32) -> Option<u8> {
    u8::try_from(type_p >> 24).ok().filter(|point| *point < 64)
}

fn sixteen(address: Option<IpAddr>) -> [u8; 16] {
    match address {
        None => [0; 16],
        Some(IpAddr::V4(v4)) => Writer::new().bytes(&v4.octets()).finish(),
        Some(IpAddr::V6(v6)) => v6.octets(),
    }
}

fn address(bytes: [u8; 16], ip_version: u8) -> Option<IpAddr> {
    let first = *bytes.first_chunk::<4>()?;
    match ip_version {
        4 => Some(IpAddr::from(Ipv4Addr::from(first))),
        _ => Some(IpAddr::from(Ipv6Addr::from(bytes))),
    }
    .filter(|address| !address.is_unspecified())
}

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcceptSession {
    /// Whether there is a session.
    pub accept: Accept,
    /// The reflector's UDP port.
    pub port: u16,
    /// The session's identifier.
    pub sid: [u8; 16],
}

impl AcceptSession {
    /// Its bytes.
    pub fn emit(&self) -> [u8; SERVER_START] {
        Writer::new().u8(self.accept.0).zeros(1).u16(self.port).bytes(&self.sid).finish()
    }

    /// Reads one.
    pub fn read(bytes: &[u8; SERVER_START]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let accept = Accept(reader.u8()?);
        reader.skip(1)?;
        Some(Self { accept, port: reader.u16()?, sid: reader.bytes()? })
    }
}

/// Start-Sessions.
pub fn emit_start() -> [u8; COMMAND] {
    Writer::new().u8(command::START_SESSIONS).finish()
}

/// Start-Ack.
pub fn emit_start_ack(accept: Accept) -> [u8; COMMAND] {
    Writer::new().u8(accept.0).finish()
}

/// The Accept field of a Start-Ack.
pub fn read_start_ack(bytes: &[u8; COMMAND]) -> Option<Accept> {
    Reader::new(bytes).u8().map(Accept)
}

/// Stop-Sessions of so many sessions.
pub fn emit_stop(sessions: u32) -> [u8; COMMAND] {
    Writer::new().u8(command::STOP_SESSIONS).u8(Accept::OK.0).zeros(2).u32(sessions).finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_field_stands_where_the_standards_put_it() {
        let greeting = Greeting { modes: 1, challenge: [7; 16], salt: [9; 16] };
        let bytes = greeting.emit();
        assert_eq!(
            (bytes[15], bytes[16], bytes[32], bytes[48..52].to_vec()),
            (1, 7, 9, vec![0, 0, 4, 0])
        );
        assert_eq!(Greeting::read(&bytes), Some(greeting));

        let start = ServerStart { accept: Accept(5), iv: [3; 16], start: Timestamp(0xab << 56) };
        let bytes = start.emit();
        assert_eq!((bytes[15], bytes[16], bytes[32]), (5, 3, 0xab));
        assert_eq!(ServerStart::read(&bytes), Some(start));

        let accept = AcceptSession { accept: Accept(4), port: 0x4948, sid: [6; 16] };
        let bytes = accept.emit();
        assert_eq!(bytes[..5], [4, 0, 0x49, 0x48, 6]);
        assert_eq!(AcceptSession::read(&bytes), Some(accept));

        assert_eq!(emit_set_up(1)[..5], [0, 0, 0, 1, 0]);
        assert_eq!(read_set_up(&emit_set_up(1)), Some(1));
        assert_eq!(emit_start()[0], 2);
        assert_eq!(emit_stop(3)[..8], [3, 0, 0, 0, 0, 0, 0, 3]);
        assert_eq!(read_start_ack(&emit_start_ack(Accept(2))), Some(Accept(2)));
    }

    #[test]
    fn a_request_stands_where_the_standards_put_it() {
        let request = Request {
            ip_version: 4,
            sender_port: 0x1234,
            receiver_port: 0x5678,
            sender: Some(IpAddr::from([10, 0, 0, 1])),
            receiver: None,
            padding: 27,
            start: Timestamp(1 << 63),
            timeout: Duration::from_millis(2500),
            dscp: Some(46),
        };
        let bytes = request.emit();
        assert_eq!(bytes[..2], [5, 4]);
        assert_eq!(bytes[12..20], [0x12, 0x34, 0x56, 0x78, 10, 0, 0, 1]);
        assert_eq!((bytes[67], bytes[68]), (27, 0x80));
        assert_eq!(bytes[76..88], [0, 0, 0, 2, 0x80, 0, 0, 0, 46, 0, 0, 0]);
        assert_eq!(Request::read(&bytes), Some(request));
        let mut other = bytes;
        other[1] = 5;
        assert_eq!(Request::read(&other), None);
    }

    proptest! {
        #[test]
        fn a_request_survives_the_way_there_and_back(
            six: bool,
            ports: (u16, u16),
            bytes: [u8; 16],
            padding: u32,
            millis in 0_u64..1_000_000_000,
            dscp in 0_u8..64,
        ) {
            let ip_version = if six { 6 } else { 4 };
            let request = Request {
                ip_version,
                sender_port: ports.0,
                receiver_port: ports.1,
                sender: address(bytes, ip_version),
                receiver: None,
                padding,
                start: Timestamp(u64::from(padding)),
                timeout: Duration::from_millis(millis),
                dscp: Some(dscp),
            };
            prop_assert_eq!(Request::read(&request.emit()), Some(request));
        }

        #[test]
        fn no_input_makes_a_parser_panic(bytes: Vec<u8>) {
            if let Some(bytes) = bytes.first_chunk() {
                let _ = Greeting::read(bytes);
            }
            let mut request = [0; REQUEST];
            request.iter_mut().zip(&bytes).for_each(|(place, byte)| *place = *byte);
            let _ = Request::read(&request);
        }
    }
}
