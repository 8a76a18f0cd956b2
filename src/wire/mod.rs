//! Octets to values and back, one file a protocol. No sockets, no clocks; any
//! input gives a value or a named error.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic)]

pub mod measurement;
