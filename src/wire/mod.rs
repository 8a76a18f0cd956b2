//! Octets to values and back, one file a protocol. No sockets, no clocks; any
//! input gives a value or a named error.
// A panic in a test fails the test, which is what it is for.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic)
)]

pub mod cursor;
pub mod icmp;
pub mod measurement;
pub mod ntp;
pub mod ping;
pub mod stamp;
pub mod twamp_control;
pub mod twamp_test;
