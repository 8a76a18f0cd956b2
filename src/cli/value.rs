//! Kinds of values, and how each is read: once, checked, typed.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::net::network::Network;
use crate::record::rotation::Limit;
use crate::text::decimal::scaled;
/// Longest time that an option takes: a hundred years.
const LONGEST: Duration = Duration::from_hours(36_525 * 24);

/// The shortest age of a file.
const SHORTEST_AGE: Duration = Duration::from_millis(10);

/// What an option's value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The option stands alone.
    Flag,
    /// A time; whether it may be zero.
    Seconds {
        /// Zero is allowed.
        zero: bool,
    },
    /// A size in bytes.
    Bytes {
        /// The smallest allowed.
        least: u64,
        /// The largest allowed.
        most: u64,
    },
    /// A whole number.
    Number {
        /// The smallest allowed.
        least: u64,
        /// The largest allowed.
        most: u64,
    },
    /// A time, zero included.
    SecondsUpTo {
        /// The longest allowed.
        most: Duration,
    },
    /// Sizes in bytes with commas between.
    ByteList {
        /// The smallest allowed.
        least: u64,
        /// The largest allowed.
        most: u64,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A share of a hundred.
    Percent,
    /// A differentiated services code point (RFC 2474), by number or name.
    CodePoint,
    /// A range of ports.
    Ports,
    /// A numeric address.
    Address,
    /// A file's path.
    File,
    /// A directory's path.
    Directory,
    /// Any text that is not empty.
    Text,
    /// A network of addresses.
    Network,
    /// A size in bytes from so many on, or an age.
    SizeOrAge {
        /// The smallest size.
        least: u64,
    },
}

/// A value that has been read.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// The option was given.
    Set,
    /// A time.
    Seconds(Duration),
    /// A size or a number.
    Whole(u64),
    /// Sizes.
    Wholes(Vec<u64>),
    /// A share of a hundred.
    Percent(f64),
    /// A range of ports.
    Ports(RangeInclusive<u16>),
    /// A numeric address.
    Address(IpAddr),
    /// A network.
    Network(Network),
    /// A text or path.
    Text(String),
    /// When a file is full.
    Limit(Limit),
}

impl Kind {
    /// Reads a value. `None` is a value that is not accepted.
    pub fn read(self, text: &str) -> Option<Value> {
        match self {
            Self::Flag => None,
            Self::Seconds { zero } => {
                seconds(text).filter(|span| zero || !span.is_zero()).map(Value::Seconds)
            }
            Self::Bytes { least, most } => whole(bytes(text)?, least, most),
            Self::Number { least, most } => whole(number(text)?, least, most),
            Self::SecondsUpTo { most } => {
                seconds(text).filter(|span| *span <= most).map(Value::Seconds)
            }
            Self::ByteList { least, most } => {
                let size = |text| bytes(text).filter(|size| (least..=most).contains(size));
                text.split(',').map(size).collect::<Option<_>>().map(Value::Wholes)
            }
            Self::Choice(words) => words.contains(&text).then(|| Value::Text(text.to_owned())),
            Self::Percent => decimal(text.strip_suffix('%').unwrap_or(text), 4)
                .and_then(|share| u32::try_from(share).ok())
                .map(|share| f64::from(share) / 1e4)
                .filter(|share| *share <= 100.0)
                .map(Value::Percent),
            Self::CodePoint => code_point(text).map(Value::Whole),
            Self::Ports => ports(text).map(Value::Ports),
            Self::Address => address(text).map(Value::Address),
            Self::Network => text.parse().ok().map(Value::Network),
            Self::SizeOrAge { least } => limit(text, least).map(Value::Limit),
            Self::File | Self::Directory | Self::Text => {
                (!text.is_empty()).then(|| Value::Text(text.to_owned()))
            }
        }
    }

    /// What is accepted, for an error message.
    pub fn accepts(self) -> String {
        match self {
            Self::Flag => "no value".to_owned(),
            Self::Seconds { zero: true } => {
                "0 or a time such as 0.5, 500ms, 250us, 2m, 1h".to_owned()
            }
            Self::Seconds { zero: false } => {
                "a time above 0 such as 0.5, 500ms, 250us, 2m, 1h".to_owned()
            }
            Self::Bytes { least, most } => {
                format!("{} to {} bytes, such as 64, 2K, 1M", size(least), size(most))
            }
            Self::Number { least, most: u64::MAX } => format!("a whole number from {least}"),
            Self::Number { least, most } => format!("a whole number from {least} to {most}"),
            Self::SecondsUpTo { most } => {
                format!("a time from 0 to {} s, such as 0.5 or 50ms", most.as_secs())
            }
            Self::ByteList { least, most } => format!(
                "sizes of {} to {} bytes with commas between, such as 100,1K",
                size(least),
                size(most)
            ),
            Self::Choice(words) => words.join(" or "),
            Self::Percent => "a number from 0 to 100".to_owned(),
            Self::CodePoint => "0 to 63, or a name: EF, AF41, CS6, LE, VA".to_owned(),
            Self::Ports => "two ports from 1 to 65535, the lower first: 18760-19960".to_owned(),
            Self::Address => "an IPv4 or IPv6 address of this host".to_owned(),
            Self::Network => "a network such as 10.0.0.0/8 or fd00::/8, or one address".to_owned(),
            Self::File => "a file's path".to_owned(),
            Self::Directory => "a directory's path".to_owned(),
            Self::Text => "a text that is not empty".to_owned(),
            Self::SizeOrAge { least } => format!(
                "a size of {} bytes or more such as 100M, or an age such as 3600, 12h or 1d",
                size(least)
            ),
        }
    }
}

fn whole(value: u64, least: u64, most: u64) -> Option<Value> {
    (least..=most).contains(&value).then_some(Value::Whole(value))
}

/// A size as people write it.
fn size(bytes: u64) -> String {
    const M: u64 = 1 << 20;
    if bytes >= M && bytes.is_multiple_of(M) {
        format!("{}M", bytes / M)
    } else {
        bytes.to_string()
    }
}

/// Digits alone: no sign, no white space.
fn number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// RFC 2474, 2597, 3246, 5865 and 8622.
fn code_point(text: &str) -> Option<u64> {
    if let Some(number) = number(text) {
        return (number <= 63).then_some(number);
    }
    let name = text.to_ascii_uppercase();
    let digit = |from: &str| from.parse::<u64>().ok().filter(|_| from.len() == 1);
    match name.as_str() {
        "EF" => Some(46),
        "VA" => Some(44),
        "LE" => Some(1),
        "BE" | "DF" => Some(0),
        _ => match (name.strip_prefix("CS"), name.strip_prefix("AF")) {
            (Some(class), _) => digit(class).filter(|class| *class < 8).map(|class| class * 8),
            (None, Some(rest)) => {
                let (class, drop) = rest.split_at_checked(1)?;
                let (class, drop) = (digit(class)?, digit(drop)?);
                let is_one = (1..=4).contains(&class) && (1..=3).contains(&drop);
                is_one.then_some(class * 8 + drop * 2)
            }
            _ => None,
        },
    }
}

/// Digits with at most one point and no exponent, in units of 10^-`places`.
fn decimal(text: &str, places: i32) -> Option<u64> {
    scaled(text.as_bytes(), places).filter(|_| !text.contains(['e', 'E']))
}

fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 1 << 10),
        b'M' | b'm' => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    number(digits)?.checked_mul(unit)
}

/// `100M` is a size, `1d` and `30m` are ages; a number alone is one of seconds.
fn limit(text: &str, least: u64) -> Option<Limit> {
    if text.ends_with(['K', 'k', 'M', 'G', 'g']) {
        let (gibibytes, text) = match text.strip_suffix(['G', 'g']) {
            Some(digits) => (1 << 10, format!("{digits}M")),
            None => (1, text.to_owned()),
        };
        let size = bytes(&text)?.checked_mul(gibibytes)?;
        return (size >= least).then_some(Limit::Bytes(size));
    }
    seconds(text).filter(|age| *age >= SHORTEST_AGE).map(Limit::Age)
}

/// `LOW-HIGH`, or one port.
fn ports(text: &str) -> Option<RangeInclusive<u16>> {
    let port =
        |text| number(text).and_then(|port| u16::try_from(port).ok()).filter(|&port| port > 0);
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (port(low)?, port(high)?);
    (low <= high).then_some(low..=high)
}

/// A time; without a suffix, in seconds.
pub fn seconds(text: &str) -> Option<Duration> {
    // Nanoseconds are so many places behind the unit's point, times a factor.
    const UNITS: [(&str, i32, u64); 7] = [
        ("ns", 0, 1),
        ("us", 3, 1),
        ("ms", 6, 1),
        ("s", 9, 1),
        ("m", 9, 60),
        ("h", 9, 3600),
        ("d", 9, 86_400),
    ];
    let found = UNITS
        .iter()
        .find_map(|(suffix, places, factor)| Some((text.strip_suffix(suffix)?, *places, *factor)));
    let (digits, places, factor) = found.unwrap_or((text, 9, 1));
    let nanos = decimal(digits, places)?.checked_mul(factor)?;
    Some(Duration::from_nanos(nanos)).filter(|span| *span <= LONGEST)
}

fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_suffix() {
        let nanos = |text| seconds(text).map(|span| span.as_nanos());
        assert_eq!(nanos("0.5"), Some(500_000_000));
        assert_eq!(nanos("500ms"), Some(500_000_000));
        assert_eq!(nanos("250us"), Some(250_000));
        assert_eq!(nanos("10ns"), Some(10));
        assert_eq!(nanos("2m"), Some(120_000_000_000));
        assert_eq!(nanos("1h"), Some(3_600_000_000_000));
        assert_eq!(nanos("0.001"), Some(1_000_000));
        assert_eq!(nanos(".5"), Some(500_000_000));
        for bad in ["", "-1", "nan", "inf", "1e9", "1 s", "s", ".", "1.2.3", "9999999999h", "5x"] {
            assert_eq!(nanos(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn sizes_and_numbers_have_bounds() {
        let size = Kind::Bytes { least: 1, most: 64 << 20 };
        assert_eq!(size.read("2K"), Some(Value::Whole(2048)));
        assert_eq!(size.read("64M"), Some(Value::Whole(64 << 20)));
        for bad in ["0", "65M", "-1", "1.5K", "K", "", "+5", "18446744073709551615M"] {
            assert_eq!(size.read(bad), None, "{bad:?}");
        }
        assert_eq!(size.accepts(), "1 to 64M bytes, such as 64, 2K, 1M");
    }

    #[test]
    fn ports_come_in_ranges() {
        assert_eq!(Kind::Ports.read("18760-19960"), Some(Value::Ports(18760..=19960)));
        assert_eq!(Kind::Ports.read("862"), Some(Value::Ports(862..=862)));
        for bad in ["", "-", "1-", "-1", "0-5", "5-4", "1-65536", "1-2-3", "a-b"] {
            assert_eq!(Kind::Ports.read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn code_points_have_names() {
        for (text, value) in [("46", 46), ("EF", 46), ("af41", 34), ("AF13", 14), ("CS6", 48)] {
            assert_eq!(Kind::CodePoint.read(text), Some(Value::Whole(value)), "{text}");
        }
        for bad in ["64", "AF51", "AF44", "AF4", "CS8", "CS", "XY", ""] {
            assert_eq!(Kind::CodePoint.read(bad), None, "{bad:?}");
        }
        assert_eq!(Kind::Percent.read("5%"), Some(Value::Percent(5.0)));
        let limit = Kind::SizeOrAge { least: 1 << 10 };
        for (text, value) in [
            ("100M", Some(Limit::Bytes(100 << 20))),
            ("2G", Some(Limit::Bytes(2 << 30))),
            ("1K", Some(Limit::Bytes(1 << 10))),
            ("1d", Some(Limit::Age(Duration::from_hours(24)))),
            ("30m", Some(Limit::Age(Duration::from_mins(30)))),
            ("0.2", Some(Limit::Age(Duration::from_millis(200)))),
            ("0", None),
            ("0K", None),
            ("x", None),
            ("99999999999G", None),
        ] {
            assert_eq!(limit.read(text), value.map(Value::Limit), "{text}");
        }
    }

    #[test]
    fn shares_are_finite_and_at_most_a_hundred() {
        assert_eq!(Kind::Percent.read("2.5"), Some(Value::Percent(2.5)));
        for bad in ["-1", "100.1", "NaN", "inf", ""] {
            assert_eq!(Kind::Percent.read(bad), None, "{bad:?}");
        }
    }
}
