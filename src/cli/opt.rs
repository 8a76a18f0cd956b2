//! What an option is: a row from which parsing, help, the manual and the
//! completions are made, and the type of what it means.
//!
//! How to add an option in three lines:
//!
//! 1. In a group of `options.rs` (`service_options.rs` for the server), a field:
//!    `rotate: Option<u64> = bytes("rotate", "SIZE", 1, MAX_SIZE, "begin a new
//!    file at this size");`. Builders say the rest: `.short('r')`,
//!    `.alias("…")`, `.default("100M")` (the field is `u64` then), `.repeatable()`
//!    (it is `Vec<u64>` then).
//! 2. What one option alone cannot know (two that exclude each other) is checked
//!    in the command's `Options::of`.
//! 3. It is read as `options.group.rotate`. A field that nobody reads is dead
//!    code and does not pass the lints; a name that is no field does not compile;
//!    a group that a command reads and its row does not list fails the tests.
//!
//! A new group is listed in the command's row of `command.rs` and held in its
//! `Options`. A new kind of value is a row of [`Kind`] and its [`Scalar`].

use std::marker::PhantomData;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::value::{Kind, Value};
use crate::net::network::Network;
use crate::record::rotation::Limit;

/// What of an option stands on the screen, and how its value is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    /// Another long name.
    pub(crate) alias: Option<&'static str>,
    /// What help calls its value; empty for a flag.
    pub(crate) value: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Option<&'static str>,
    /// Whether all values given count, and not the last alone.
    pub(crate) repeatable: bool,
    help: &'static str,
    /// Stands in place of `{}` in the help: what is defined elsewhere.
    defined: Option<fn() -> String>,
}

impl Row {
    /// What it does, in a sentence without a full stop.
    pub(crate) fn help(&self) -> String {
        match self.defined {
            Some(defined) => self.help.replace("{}", &defined()),
            None => self.help.to_owned(),
        }
    }
}

/// A row whose value means a `T`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opt<T> {
    pub(crate) row: Row,
    meaning: PhantomData<fn() -> T>,
}

impl<T> Opt<T> {
    const fn new(long: &'static str, value: &'static str, kind: Kind, help: &'static str) -> Self {
        let row = Row {
            long,
            short: None,
            alias: None,
            value,
            kind,
            default: None,
            repeatable: false,
            help,
            defined: None,
        };
        Self { row, meaning: PhantomData }
    }

    pub(crate) const fn short(mut self, letter: char) -> Self {
        self.row.short = Some(letter);
        self
    }

    pub(crate) const fn alias(mut self, name: &'static str) -> Self {
        self.row.alias = Some(name);
        self
    }

    /// What stands in place of `{}` in the help.
    pub(crate) const fn defined(mut self, text: fn() -> String) -> Self {
        self.row.defined = Some(text);
        self
    }
}

impl<T> Opt<Option<T>> {
    /// What holds when it is not given, as it would be written.
    pub(crate) const fn default(self, text: &'static str) -> Opt<T> {
        Opt { row: Row { default: Some(text), ..self.row }, meaning: PhantomData }
    }

    pub(crate) const fn repeatable(self) -> Opt<Vec<T>> {
        Opt { row: Row { repeatable: true, ..self.row }, meaning: PhantomData }
    }
}

impl<T> Opt<T> {
    /// The value together with whether the user gave it.
    pub(crate) const fn noting_who_chose(self) -> Opt<Chosen<T>> {
        Opt { row: self.row, meaning: PhantomData }
    }
}

type Maybe<T> = Opt<Option<T>>;

/// An option that stands alone.
pub(crate) const fn flag(long: &'static str, help: &'static str) -> Opt<bool> {
    Opt::new(long, "", Kind::Flag, help)
}

/// A flag of which it counts how often it is given.
pub(crate) const fn repeated_flag(long: &'static str, help: &'static str) -> Opt<Times> {
    Opt::new(long, "", Kind::Flag, help)
}

/// A time above zero.
pub(crate) const fn seconds(long: &'static str, help: &'static str) -> Maybe<Duration> {
    Opt::new(long, "SECS", Kind::Seconds { zero: false }, help)
}

/// A time, zero included.
pub(crate) const fn seconds_or_zero(long: &'static str, help: &'static str) -> Maybe<Duration> {
    Opt::new(long, "SECS", Kind::Seconds { zero: true }, help)
}

/// A time from 0 to `most`.
pub(crate) const fn seconds_up_to(
    long: &'static str,
    most: Duration,
    help: &'static str,
) -> Maybe<Duration> {
    Opt::new(long, "SECS", Kind::SecondsUpTo { most }, help)
}

/// A whole number from `least` to `most`, which fit its type.
pub(crate) const fn number<N: Whole>(
    long: &'static str,
    least: u64,
    most: u64,
    help: &'static str,
) -> Maybe<N> {
    assert!(least <= most && most <= N::MOST, "a bound is beyond the type");
    Opt::new(long, "N", Kind::Number { least, most }, help)
}

/// A size in bytes.
pub(crate) const fn bytes(
    long: &'static str,
    least: u64,
    most: u64,
    help: &'static str,
) -> Maybe<usize> {
    assert!(most <= u32::MAX as u64, "no size on a machine of 32 bits");
    Opt::new(long, "BYTES", Kind::Bytes { least, most }, help)
}

/// Sizes in bytes with commas between.
pub(crate) const fn sizes(
    long: &'static str,
    least: u64,
    most: u64,
    help: &'static str,
) -> Maybe<Box<[usize]>> {
    assert!(most <= u32::MAX as u64, "no size on a machine of 32 bits");
    Opt::new(long, "N[,N…]", Kind::ByteList { least, most }, help)
}

/// One of some words.
pub(crate) const fn choice(
    long: &'static str,
    value: &'static str,
    words: &'static [&'static str],
    help: &'static str,
) -> Maybe<String> {
    Opt::new(long, value, Kind::Choice(words), help)
}

/// A share of a hundred.
pub(crate) const fn percent(long: &'static str, help: &'static str) -> Maybe<f64> {
    Opt::new(long, "PCT", Kind::Percent, help)
}

/// A differentiated services code point.
pub(crate) const fn code_point(long: &'static str, help: &'static str) -> Maybe<u8> {
    Opt::new(long, "N", Kind::CodePoint, help)
}

/// A range of ports, or one.
pub(crate) const fn ports(long: &'static str, help: &'static str) -> Maybe<RangeInclusive<u16>> {
    Opt::new(long, "LOW-HIGH", Kind::Ports, help)
}

/// A numeric address.
pub(crate) const fn address(long: &'static str, help: &'static str) -> Maybe<IpAddr> {
    Opt::new(long, "ADDR", Kind::Address, help)
}

/// When a file is full: a size of at least so many bytes, or an age.
pub(crate) const fn size_or_age(
    long: &'static str,
    least: u64,
    help: &'static str,
) -> Maybe<Limit> {
    Opt::new(long, "SIZE|SECS", Kind::SizeOrAge { least }, help)
}

/// A network of addresses.
pub(crate) const fn network(long: &'static str, help: &'static str) -> Maybe<Network> {
    Opt::new(long, "CIDR", Kind::Network, help)
}

pub(crate) const fn file(
    long: &'static str,
    value: &'static str,
    help: &'static str,
) -> Maybe<PathBuf> {
    Opt::new(long, value, Kind::File, help)
}

pub(crate) const fn directory(long: &'static str, help: &'static str) -> Maybe<PathBuf> {
    Opt::new(long, "DIR", Kind::Directory, help)
}

/// Any text that is not empty.
pub(crate) const fn text(
    long: &'static str,
    value: &'static str,
    help: &'static str,
) -> Maybe<String> {
    Opt::new(long, value, Kind::Text, help)
}

/// How often a flag was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Times(pub(crate) usize);

/// A value, and whether the user chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Chosen<T> {
    pub(crate) value: T,
    pub(crate) by_user: bool,
}

/// What one value means. `None` is a value of another kind: the constructors
/// above keep kind and type together.
pub(crate) trait Scalar: Sized {
    fn of(value: &Value) -> Option<Self>;
}

/// A [`Scalar`] that a number's bounds must fit.
pub(crate) trait Whole: Scalar {
    const MOST: u64;
}

macro_rules! scalars {
    ($($type:ty: $variant:ident),*) => {$(
        impl Scalar for $type {
            fn of(value: &Value) -> Option<Self> {
                match value {
                    Value::$variant(value) => Some(value.clone().into()),
                    _ => None,
                }
            }
        }
    )*};
}

macro_rules! wholes {
    ($($type:ty),*) => {$(
        impl Scalar for $type {
            fn of(value: &Value) -> Option<Self> {
                match value {
                    Value::Whole(number) => (*number).try_into().ok(),
                    _ => None,
                }
            }
        }

        impl Whole for $type {
            const MOST: u64 = <$type>::MAX as u64;
        }
    )*};
}

scalars!(Duration: Seconds, f64: Percent, RangeInclusive<u16>: Ports, IpAddr: Address,
    Network: Network, PathBuf: Text, String: Text, Limit: Limit);
wholes!(u64, usize, u16, u8);

impl Scalar for Box<[usize]> {
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Wholes(sizes) => sizes.iter().map(|size| (*size).try_into().ok()).collect(),
            _ => None,
        }
    }
}

/// What an option means, of the values given and the default.
pub(crate) trait Meaning: Sized {
    fn of(given: &[&Value], default: Option<&Value>) -> Option<Self>;
}

impl<S: Scalar> Meaning for S {
    fn of(given: &[&Value], default: Option<&Value>) -> Option<Self> {
        given.last().copied().or(default).and_then(S::of)
    }
}

impl<S: Scalar> Meaning for Option<S> {
    fn of(given: &[&Value], default: Option<&Value>) -> Option<Self> {
        Some(<S as Meaning>::of(given, default))
    }
}

impl<S: Scalar> Meaning for Vec<S> {
    fn of(given: &[&Value], _default: Option<&Value>) -> Option<Self> {
        given.iter().map(|value| S::of(value)).collect()
    }
}

impl Meaning for bool {
    fn of(given: &[&Value], _default: Option<&Value>) -> Option<Self> {
        Some(!given.is_empty())
    }
}

impl Meaning for Times {
    fn of(given: &[&Value], _default: Option<&Value>) -> Option<Self> {
        Some(Self(given.len()))
    }
}

impl<T: Meaning> Meaning for Chosen<T> {
    fn of(given: &[&Value], default: Option<&Value>) -> Option<Self> {
        T::of(given, default).map(|value| Self { value, by_user: !given.is_empty() })
    }
}

/// Rows that belong together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group {
    /// What help calls them; groups of one title after another are shown as one.
    pub(crate) title: &'static str,
    pub(crate) rows: &'static [Row],
}

/// A struct of what a group's options mean, its rows (`GROUP`), and `of`, which
/// makes the one of what was typed.
macro_rules! options {
    ($(#[$doc:meta])* $name:ident $title:literal {
        $($field:ident: $type:ty = $option:expr;)*
    }) => {
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub(crate) struct $name {
            $(pub(crate) $field: $type,)*
        }

        impl $name {
            pub(crate) const GROUP: $crate::cli::opt::Group = $crate::cli::opt::Group {
                title: $title,
                rows: &[$({
                    const OPTION: $crate::cli::opt::Opt<$type> = $option;
                    OPTION.row
                },)*],
            };

            pub(crate) fn of(matches: &$crate::cli::matches::Matches) -> Self {
                Self {
                    $($field: {
                        const OPTION: $crate::cli::opt::Opt<$type> = $option;
                        matches.get(&OPTION)
                    },)*
                }
            }
        }
    };
}
pub(crate) use options;
