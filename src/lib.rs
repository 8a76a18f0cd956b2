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
//! | 0 | [`stats`] | histogram, summary, jitter, two clocks |
//! | 1 | [`text`] | numbers, durations, times of day and JSON as text |
//! | 1 | [`os`] | what `std` lacks, over `libc`; the only `unsafe` |
//! | 2 | [`net`] | resolving, connecting, listening; how to wait |
//! | 3 | [`probe`] | the timed loop: schedule, tracker, samples, figures |
//! | 4 | [`record`] | a sink a destination: CSV, log file, terminal, JSON |
//! | 5 | [`analyze`] | captures: connections, steps, round trips on the wire |
//! | 5 | [`client`] | the links that the loop drives |
//! | 5 | [`server`] | accepting, seats, a session a protocol |
//! | 5 | [`idle`] | how long a silence a connection survives |
//! | 5 | [`path`] | the routers on a connection's way, the largest packet |
//! | 5 | [`report`] | CSV files to figures, plots, comparisons, a page |
//! | 6 | [`cli`] | option tables, parsing, and each command |
//!
//! One packet of `echotest client 10.0.0.1 7 -i 0.5` travels so:
//!
//! 1. [`cli`] reads the arguments into the command's options: checked, nothing opened.
//! 2. The files are created and the name is looked up; [`net`] connects.
//! 3. Each destination gets its thread ([`record::outflow`]); the recorder gets its own.
//! 4. [`probe::run()`] asks the lane's machine, [`probe::Tracker`], for the next step.
//! 5. It says: wait until packet 7 is due. The [`probe::Link`] waits in [`net`].
//! 6. It says: send it. The codec encodes, [`net::Stream`] writes and gives the time.
//! 7. It says: receive. The link reads, stamps and decodes; the bytes are compared.
//! 8. The tracker matches the reply to its packet and puts a sample into its outputs.
//! 9. They go into the [`probe::Outlet`]'s batch, which travels when full, old or idle.
//! 10. The [`probe::Recorder`]'s thread takes the batch: first into the [`probe::Tally`],
//! 11. then once to each [`probe::Sink`]; the empty batch goes back.
//! 12. The CSV's sink makes a row, the terminal's a line; both hand bytes to an outflow.
//! 13. Its thread writes them. Where it stands still, bytes wait to a bound, then count.
//! 14. At the end rows are settled, so that the summary and the JSON own to what was lost.
//! 15. `main` gives the exit status: replies, thresholds, results stored in full.

// First: its macro `put!` is used everywhere.
#[macro_use]
pub mod text;

pub mod analyze;
pub mod cli;
pub mod client;
pub mod clock;
pub mod idle;
pub mod net;
pub mod os;
pub mod path;
pub mod probe;
pub mod record;
pub mod report;
pub mod server;
pub mod stats;
pub mod wire;
