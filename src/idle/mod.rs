//! The longest silence that a connection survives, and who may speak after it.
//!
//! [`connection`] is one connection that is left alone, [`link`] watches many of
//! them and asks beside each death whether the service is still there,
//! [`search`] says what is known and `next` what to try next, without a clock or
//! a socket, and [`words`] and [`json`] say it.

pub mod answer;
pub mod connection;
pub mod json;
pub mod link;
mod next;
pub mod outcome;
pub mod search;
pub mod words;

pub use connection::{Manner, Speaker, Trial};
pub use link::{Found, IdleLink, MAX_IDLE};
pub use outcome::{Outcome, Proof, Tried};
pub use search::{Answer, Range, Search};
