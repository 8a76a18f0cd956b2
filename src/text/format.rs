//! Durations as people read them.

use std::borrow::Borrow;
use std::fmt::{self, Write};
use std::ops::Deref;
use std::time::Duration;

/// The longest of the texts below: a number of 20 digits and a noun or two.
const LONGEST: usize = 62;

/// A text of a few words that is on its way into another one. It allocates nothing,
/// so that there is nothing to be freed where it was used.
#[derive(Clone, Copy)]
pub struct Brief {
    bytes: [u8; LONGEST],
    length: u8,
}

impl Brief {
    /// Its words.
    pub fn as_str(&self) -> &str {
        self
    }

    /// What of these words there is room for.
    pub fn of(words: fmt::Arguments<'_>) -> Self {
        let mut brief = Self { bytes: [0; LONGEST], length: 0 };
        // What does not fit is left out.
        let _ = brief.write_fmt(words);
        brief
    }
}

impl Write for Brief {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let length = usize::from(self.length);
        let room = self.bytes.get_mut(length..length + text.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += u8::try_from(text.len()).unwrap_or(0);
        Ok(())
    }
}

impl Deref for Brief {
    type Target = str;

    fn deref(&self) -> &str {
        // Whole words went in: it is never anything else.
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or_default()
    }
}

impl Borrow<str> for Brief {
    fn borrow(&self) -> &str {
        self
    }
}

impl PartialEq<&str> for Brief {
    fn eq(&self, other: &&str) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl fmt::Display for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl From<&str> for Brief {
    fn from(text: &str) -> Self {
        Self::of(format_args!("{text}"))
    }
}

impl From<Brief> for String {
    fn from(brief: Brief) -> Self {
        (*brief).to_owned()
    }
}

/// The unit in which a group of durations is printed, so that its numbers can
/// be compared at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds, one decimal.
    Micro,
    /// Milliseconds, three decimals.
    Milli,
}

impl Unit {
    /// Microseconds while the largest value is below 10 ms.
    pub fn for_largest(nanos: u64) -> Self {
        if nanos < 10_000_000 { Self::Micro } else { Self::Milli }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Micro => "us",
            Self::Milli => "ms",
        }
    }

    /// The number alone, without its unit.
    pub fn number(self, nanos: f64) -> Brief {
        match self {
            Self::Micro => brief!("{:.1}", nanos / 1e3),
            Self::Milli => brief!("{:.3}", nanos / 1e6),
        }
    }

    /// Several numbers with slashes between; `-` where there is none.
    pub fn numbers(self, values: &[Option<f64>]) -> String {
        let mut text = String::new();
        for value in values {
            let slash = if text.is_empty() { "" } else { "/" };
            match value {
                Some(value) => put!(text, "{slash}{}", self.number(*value)),
                None => put!(text, "{slash}-"),
            }
        }
        text
    }
}

/// One duration with its unit.
#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
pub fn duration(nanos: u64) -> Brief {
    let unit = Unit::for_largest(nanos);
    brief!("{} {}", unit.number(nanos as f64), unit.name())
}

/// The same, or `-` where there is none.
pub fn duration_or_dash(nanos: Option<u64>) -> Brief {
    nanos.map_or("-".into(), duration)
}

/// Seconds with three decimals.
pub fn seconds(span: Duration) -> Brief {
    brief!("{:.3} s", span.as_secs_f64())
}

/// Seconds as short as they were given: `5 s`, `0.25 s`.
pub fn short_seconds(span: Duration) -> Brief {
    brief!("{} s", exact_seconds(span))
}

/// The same without the unit. A float of seconds would be `2.5300000000000002`.
pub fn exact_seconds(span: Duration) -> Brief {
    let text = brief!("{}.{:09}", span.as_secs(), span.subsec_nanos());
    let short = text.trim_end_matches('0').trim_end_matches('.');
    Brief { length: u8::try_from(short.len()).unwrap_or(0), ..text }
}

/// A count and what it counts: `1 connection`, `2 connections`.
pub fn count(number: u64, noun: &str) -> Brief {
    let s = if number == 1 { "" } else { "s" };
    brief!("{number} {noun}{s}")
}

/// A sentence in lines that fit, the further ones indented.
pub fn wrapped(sentence: &str, width: usize) -> String {
    let mut text = String::new();
    let mut length = 0;
    for word in sentence.split(' ') {
        let long = word.chars().count();
        if length > 0 && length + 1 + long > width {
            text.push_str("\n  ");
            length = 2;
        } else if length > 0 {
            text.push(' ');
            length += 1;
        }
        text.push_str(word);
        length += long;
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_follows_the_largest_value() {
        assert_eq!(duration(108_349), "108.3 us");
        assert_eq!(duration(9_999_999), "10000.0 us");
        assert_eq!(duration(10_000_000), "10.000 ms");
        assert_eq!(Unit::Milli.numbers(&[Some(20_123_456.0), None]), "20.123/-");
    }

    #[test]
    fn counts_speak_english() {
        assert_eq!(count(1, "drop"), "1 drop");
        assert_eq!(count(0, "drop"), "0 drops");
        assert_eq!(count(u64::MAX, "retransmission that came after that").len(), 20 + 1 + 36);
    }

    #[test]
    fn seconds_are_exact() {
        for (millis, text) in [(0, "0"), (250, "0.25"), (2530, "2.53"), (100_000, "100")] {
            assert_eq!(exact_seconds(Duration::from_millis(millis)), text);
        }
    }
}
