//! A packet capture explained: each TCP connection's story, round trips on the
//! wire, and what went wrong. Sequence numbers are judged by the rules that
//! Wireshark uses, so that both say the same of the same file.

pub mod connection;
pub mod coverage;
pub mod input;
pub mod join;
pub mod json;
pub mod requests;
pub mod sequence;
pub mod series;
pub mod story;
pub mod table;
pub mod text;

pub use connection::{Connection, Role};
pub use input::{Input, InputError};
pub use join::{Join, Pairing, Timed};
pub use table::Capture;
