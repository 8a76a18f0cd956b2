//! Durations as people read them.

use std::time::Duration;

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
    pub fn number(self, nanos: f64) -> String {
        match self {
            Self::Micro => format!("{:.1}", nanos / 1e3),
            Self::Milli => format!("{:.3}", nanos / 1e6),
        }
    }

    /// Several numbers with slashes between; `-` where there is none.
    pub fn numbers(self, values: &[Option<f64>]) -> String {
        let texts = values.iter().map(|value| value.map_or("-".to_owned(), |v| self.number(v)));
        texts.collect::<Vec<_>>().join("/")
    }
}

/// One duration with its unit.
#[allow(clippy::cast_precision_loss, reason = "rounded for people anyway")]
pub fn duration(nanos: u64) -> String {
    let unit = Unit::for_largest(nanos);
    format!("{} {}", unit.number(nanos as f64), unit.name())
}

/// Seconds with three decimals.
pub fn seconds(span: Duration) -> String {
    format!("{:.3} s", span.as_secs_f64())
}

/// Seconds as short as they were given: `5 s`, `0.25 s`.
pub fn short_seconds(span: Duration) -> String {
    exact_seconds(span) + " s"
}

/// The same without the unit. A float of seconds would be `2.5300000000000002`.
pub fn exact_seconds(span: Duration) -> String {
    let text = format!("{}.{:09}", span.as_secs(), span.subsec_nanos());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A count and what it counts: `1 connection`, `2 connections`.
pub fn count(number: u64, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{s}")
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
    }

    #[test]
    fn seconds_are_exact() {
        for (millis, text) in [(0, "0"), (250, "0.25"), (2530, "2.53"), (100_000, "100")] {
            assert_eq!(exact_seconds(Duration::from_millis(millis)), text);
        }
    }
}
