//! Numbers, times and JSON as text: pure functions that every room may use.

pub mod decimal;
pub mod format;
pub mod object;
pub mod row;
pub mod timestamp;
