//! TCP ping: ours against ours, against the exercise's own client and server, and
//! across a router that says why it does not deliver.
#![allow(clippy::disallowed_methods, reason = "tests use std's sockets and clock")]

mod common;
#[path = "ping/errors.rs"]
mod errors;
#[path = "ping/routed.rs"]
mod routed;
