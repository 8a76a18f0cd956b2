//! The measurement protocol: lines of text in three phases over one TCP
//! connection (connection setup, measurement, connection termination).

use std::fmt;
use std::time::Duration;

/// The largest payload of a probe in bytes.
pub const MAX_SIZE: usize = 64 << 20;
/// The most probes of a session.
pub const MAX_PROBES: u64 = 1_000_000;
/// The longest delay before an echo: what a search for the longest silence asks
/// for (RFC 5382 wants 2 h 4 min of a NAT), and no more for nothing.
pub const MAX_DELAY: Duration = Duration::from_hours(3);
/// The longest setup or termination line that is read; a valid one is shorter.
pub const MAX_SHORT_LINE: usize = 128;
/// Digits of a fraction that are read: nanoseconds.
const FRACTION_DIGITS: usize = 9;

/// What the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The setup is good; probes may come.
    Ready,
    /// The setup message is incomplete or invalid.
    InvalidSetup,
    /// The probe message is incomplete or invalid.
    InvalidMeasurement,
    /// The connection is closed as asked.
    Closing,
    /// The termination message is incomplete or invalid.
    InvalidTermination,
}

impl Reply {
    const ALL: [Self; 5] = [
        Self::Ready,
        Self::InvalidSetup,
        Self::InvalidMeasurement,
        Self::Closing,
        Self::InvalidTermination,
    ];

    /// Its text without the newline that ends it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Ready => "200 OK: Ready",
            Self::InvalidSetup => "404 ERROR: Invalid Connection Setup Message",
            Self::InvalidMeasurement => "404 ERROR: Invalid Measurement Message",
            Self::Closing => "200 OK: Closing Connection",
            Self::InvalidTermination => "404 ERROR: Invalid Connection Termination Message",
        }
    }

    /// The reply that `text` is, in any letter case and with white space around
    /// it, as servers in the field write it.
    pub fn read(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        Self::ALL.into_iter().find(|reply| text.eq_ignore_ascii_case(reply.text().as_bytes()))
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Round-trip time.
    RoundTrip,
    /// Payload throughput.
    Throughput,
}

impl Kind {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::RoundTrip => "RTT",
            Self::Throughput => "TTPUT",
        }
    }

    fn read(text: &[u8]) -> Option<Self> {
        [Self::RoundTrip, Self::Throughput].into_iter().find(|kind| kind.name().as_bytes() == text)
    }
}

/// The values of a connection setup message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setup {
    /// What is measured.
    pub kind: Kind,
    /// Payload bytes of each probe, 1 to [`MAX_SIZE`].
    pub size: usize,
    /// Probes to expect, 1 to [`MAX_PROBES`].
    pub probes: u64,
    /// What the server waits before each echo, up to [`MAX_DELAY`].
    pub delay: Duration,
}

impl Setup {
    /// Reads a line without its newline: `s TYPE SIZE PROBES DELAY`, one space
    /// between fields; one more at the end is let pass.
    pub fn read(line: &[u8]) -> Option<Self> {
        let line = line.strip_suffix(b" ").unwrap_or(line);
        let mut fields = line.split(|&byte| byte == b' ');
        let mut field = || fields.next();
        (field()? == b"s").then_some(())?;
        let setup = Self {
            kind: Kind::read(field()?)?,
            size: usize::try_from(number(field()?)?).ok()?,
            probes: number(field()?)?,
            delay: seconds(field()?)?,
        };
        let complete = field().is_none();
        let allowed = (1..=MAX_SIZE).contains(&setup.size)
            && (1..=MAX_PROBES).contains(&setup.probes)
            && setup.delay <= MAX_DELAY;
        (complete && allowed).then_some(setup)
    }

    /// The line that says it, with its newline.
    pub fn line(&self) -> String {
        format!("s {self}\n")
    }

    /// The longest measurement line of this session, without its newline:
    /// `m `, payload, space, number, and a space that is let pass.
    pub fn longest_probe(&self) -> usize {
        const AROUND: usize = 2 + 1 + 20 + 1;
        self.size.saturating_add(AROUND)
    }
}

impl fmt::Display for Setup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, size, probes, delay } = self;
        write!(f, "{} {size} {probes} {}", kind.name(), delay.as_secs_f64())
    }
}

/// Whether `line` (without its newline) is probe `number` with a payload of
/// `size` bytes: `m PAYLOAD NUMBER`. The payload may hold spaces, its size is
/// known; one space at the end is let pass.
pub fn is_probe(line: &[u8], size: usize, number: u64) -> bool {
    let payload_and_rest = line.strip_prefix(b"m ").and_then(|rest| rest.split_at_checked(size));
    let Some((_, rest)) = payload_and_rest else { return false };
    let Some(digits) = rest.strip_prefix(b" ") else { return false };
    let digits = digits.strip_suffix(b" ").unwrap_or(digits);
    self::number(digits) == Some(number)
}

/// Whether `line` (without its newline) asks for termination.
pub fn is_termination(line: &[u8]) -> bool {
    line == b"t" || line == b"t "
}

/// Digits alone, without a sign.
fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// Seconds as digits with at most one point; nanoseconds at the finest.
fn seconds(text: &[u8]) -> Option<Duration> {
    let point = text.iter().position(|&byte| byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (text.get(..at)?, text.get(at.checked_add(1)?..)?),
        None => (text, &b""[..]),
    };
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { number(whole)? };
    let mut nanos = fraction.to_vec();
    if !nanos.iter().all(u8::is_ascii_digit) {
        return None;
    }
    nanos.resize(FRACTION_DIGITS, b'0');
    Some(Duration::new(whole, u32::try_from(number(&nanos)?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Option<Setup> {
        Setup::read(line.as_bytes())
    }

    #[test]
    fn the_seeds_setup_is_read() {
        let setup = read("s RTT 1000 10 0.5").unwrap();
        let delay = Duration::from_millis(500);
        assert_eq!(setup, Setup { kind: Kind::RoundTrip, size: 1000, probes: 10, delay });
        assert_eq!(setup.line(), "s RTT 1000 10 0.5\n");
        assert_eq!(read("s TTPUT 32768 10 0 ").unwrap().kind, Kind::Throughput);
    }

    #[test]
    fn what_is_incomplete_or_beyond_a_limit_is_refused() {
        for line in [
            "",
            "s",
            "s RTT 1000 10",
            "s RTT 1000 10 0 0",
            "s  RTT 1000 10 0",
            "s rtt 1000 10 0",
            "s rtt 10 1000 0.5",
            "S RTT 1000 10 0",
            "s RTT 0 10 0",
            "s RTT -1 10 0",
            "s RTT +1 10 0",
            "s RTT 67108865 10 0",
            "s RTT 1000 0 0",
            "s RTT 1000 1000001 0",
            "s RTT 1000 10 10800.1",
            "s RTT 1000 10 -0.5",
            "s RTT 1000 10 nan",
            "s RTT 1000 10 1e1",
            "s RTT 1000 10 .",
            "s RTT 99999999999999999999 10 0",
            "s RTT 1000 10 0\r",
        ] {
            assert_eq!(read(line), None, "{line:?}");
        }
        assert!(read("s RTT 67108864 1000000 60").is_some());
    }

    #[test]
    fn a_payload_may_hold_spaces_and_numbers() {
        assert!(is_probe(b"m a 7 b 3", 5, 3));
        assert!(is_probe(b"m   3 3", 3, 3));
        assert!(!is_probe(b"m a 7 b 4", 5, 3));
        assert!(!is_probe(b"m abcd 3", 5, 3));
        assert!(!is_probe(b"m abcde3", 5, 3));
        assert!(!is_probe(b"mHello_World_welcome_to_lit 0", 1000, 1));
        assert!(!is_probe(b"m abcde", 5, 1));
    }

    #[test]
    fn replies_are_known_in_any_case_and_with_or_without_their_newline() {
        assert_eq!(Reply::read(b"200 Ok: Ready"), Some(Reply::Ready));
        assert_eq!(Reply::read(b"200 OK: Ready \n"), Some(Reply::Ready));
        assert_eq!(Reply::read(b"200 OK: Rea"), None);
        for reply in Reply::ALL {
            assert_eq!(Reply::read(reply.text().as_bytes()), Some(reply));
        }
    }

    proptest! {
        #[test]
        fn reading_what_was_written_is_the_identity(
            throughput: bool,
            size in 1..=MAX_SIZE,
            probes in 1..=MAX_PROBES,
            nanos in 0_u64..=60_000_000_000,
        ) {
            let kind = if throughput { Kind::Throughput } else { Kind::RoundTrip };
            let setup = Setup { kind, size, probes, delay: Duration::from_nanos(nanos) };
            let line = setup.line();
            let read = Setup::read(line.trim_end_matches('\n').as_bytes()).unwrap();
            prop_assert_eq!((read.kind, read.size, read.probes), (kind, size, probes));
            // A double holds sixty seconds to better than a nanosecond's half.
            let off = read.delay.abs_diff(setup.delay);
            prop_assert!(off <= Duration::from_nanos(1), "{:?}", off);
        }

        #[test]
        fn no_input_makes_a_parser_panic(line: Vec<u8>, size: usize, number: u64) {
            let _ = Setup::read(&line);
            let _ = is_probe(&line, size, number);
            let _ = (is_termination(&line), Reply::read(&line));
        }
    }
}
