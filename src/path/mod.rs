//! The way that a connection takes, and how large a packet fits through it.
//!
//! [`hops`] decides which router is asked next and what is known, without a clock
//! or a socket; [`tracer`] asks, by connection attempts whose packets may pass so
//! many routers and no more, [`inside`] by empty segments of a connection that
//! stands, [`watch`] while a run is in trouble; [`sizes`] searches for the largest
//! packet, [`passage`] sends them; [`words`] and [`json`] say it.

pub mod hops;
pub mod inside;
pub mod json;
pub mod passage;
pub mod sizes;
pub mod tracer;
pub mod watch;
pub mod words;

pub use hops::{Answer, End, Trail};
pub use sizes::{Search, Verdict};
