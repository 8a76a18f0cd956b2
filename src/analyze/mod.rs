//! A packet capture explained: each TCP connection's story, round trips on the
//! wire, and what went wrong. Sequence numbers are judged by the rules that
//! Wireshark uses, so that both say the same of the same file.

mod alignment;
pub mod both;
pub mod candidates;
pub mod carried;
pub mod connection;
mod copies;
pub mod coverage;
mod fragments;
mod handshake;
pub mod input;
pub mod join;
pub mod json;
pub mod pairs;
pub mod requests;
pub mod roles;
pub mod sequence;
pub mod series;
pub mod side;
#[cfg(test)]
mod simulated;
pub mod slowest;
pub mod story;
pub mod table;
mod tell;
pub mod text;

pub use both::{Both, Packets};
pub use candidates::Candidates;
pub use connection::Connection;
pub use input::{Input, InputError};
pub use join::{Join, Timed};
pub use table::Capture;
