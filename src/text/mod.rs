//! Numbers, times and JSON as text: pure functions that every room may use.

use std::fmt::{self, Write};

/// Adds formatted text to a `String`, without making another on the way.
macro_rules! put {
    ($text:expr, $($arguments:tt)*) => {
        $crate::text::Put::put(&mut $text, format_args!($($arguments)*))
    };
}

/// As `format!`, for a few words that need no `String`.
macro_rules! brief {
    ($($arguments:tt)*) => {
        $crate::text::format::Brief::of(format_args!($($arguments)*))
    };
}

/// See [`put!`].
pub(crate) trait Put {
    fn put(&mut self, arguments: fmt::Arguments<'_>);
}

impl Put for String {
    fn put(&mut self, arguments: fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.write_fmt(arguments);
    }
}

impl Put for &mut String {
    fn put(&mut self, arguments: fmt::Arguments<'_>) {
        (**self).put(arguments);
    }
}

pub mod clocks;
pub mod compared;
pub mod decimal;
pub mod format;
pub mod object;
pub mod row;
pub mod series;
pub mod timestamp;
