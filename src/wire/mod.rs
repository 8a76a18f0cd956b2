//! Bytes to values and back, one file a protocol. No sockets, no clocks; any
//! input gives a value or a named error. Of `std::net` only addresses are used,
//! which are numbers.
// A panic in a test fails the test, which is what it is for.
#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic)
)]

mod bytes;
pub mod capture;
pub mod cursor;
pub mod icmp;
pub mod ip;
pub mod measurement;
pub mod ntp;
pub mod packet;
pub mod pcap;
pub mod pcapng;
pub mod ping;
pub mod stamp;
pub mod stamp_answer;
pub mod tcp;
pub mod tcp_info;
pub mod tunnel;
pub mod twamp_control;
pub mod twamp_test;
