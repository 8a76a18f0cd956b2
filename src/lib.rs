//! `echotest` times every round trip of a long-lived TCP connection between
//! two hosts.
//!
//! The rooms of the house, from the ground up; imports go only downwards
//! (`tests/house.rs` checks it):
//!
//! | floor | room | holds |
//! | --- | --- | --- |
//! | 0 | [`clock`] | monotonic and wall time as plain numbers |
//! | 0 | [`wire`] | bytes to values and back, one file a protocol |
//! | 0 | [`stats`] | histogram, summary, jitter |
//! | 1 | [`text`] | numbers, durations, times of day and JSON as text |
//! | 1 | [`os`] | what `std` lacks, over `libc`; the only `unsafe` |
//! | 2 | [`net`] | resolving, connecting, listening; how to wait |
//! | 3 | [`probe`] | the timed loop: schedule, tracker, samples, figures |
//! | 4 | [`record`] | a sink a destination: CSV, log file, terminal, JSON |
//! | 5 | [`analyze`] | captures: connections, steps, round trips on the wire |
//! | 5 | [`client`] | the links that the loop drives |
//! | 5 | [`server`] | accepting, seats, a session a protocol |
//! | 5 | [`idle`] | how long a silence a connection survives |
//! | 5 | [`report`] | CSV files to figures, plots, comparisons, a page |
//! | 6 | [`cli`] | option tables, parsing, and each command |
//!
//! One probe travels so: [`cli`] reads the options, opens the sinks and has
//! [`net`] connect; [`probe::run()`] asks the tracker for the next step and lets
//! the [`probe::Link`] do it; what it finds out goes into the [`probe::Outlet`],
//! in batches to the recorder's thread, and there once to each [`probe::Sink`]
//! and to the tally. A sample never goes back.

pub mod analyze;
pub mod cli;
pub mod client;
pub mod clock;
pub mod idle;
pub mod net;
pub mod os;
pub mod probe;
pub mod record;
pub mod report;
pub mod server;
pub mod stats;
pub mod text;
pub mod wire;
