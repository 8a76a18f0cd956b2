//! A [`crate::probe::Sink`] for each destination, and what they share.

mod addresses;
pub mod compress;
pub mod csv;
pub mod daily;
pub mod diagnostics;
mod events;
pub mod files;
mod flows;
pub mod joint;
pub mod journal;
pub mod json;
pub mod live;
pub mod log_file;
pub mod manifest;
pub mod measurement;
pub mod metrics;
pub mod outflow;
pub mod ping;
pub mod recording;
pub mod rotation;
pub mod row_file;
pub mod screen;
mod slow;
pub mod terminal;
pub mod text;
pub mod twamp;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::manifest::Manifest;
use crate::clock::Wall;

/// What is shared with the recorder's thread; a panic there is no reason to lose
/// it.
pub(crate) fn held<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a run is, as its records name it.
#[derive(Debug, Clone)]
pub struct Run {
    /// The command: `client`, `loopback`.
    pub command: &'static str,
    /// The protocol's name in the summary: `echo`.
    pub protocol: &'static str,
    /// The host as the user gave it.
    pub host: String,
    /// The port as the user gave it.
    pub port: u16,
    /// The address that answered.
    pub address: SocketAddr,
    /// This side's address.
    pub local: Option<SocketAddr>,
    /// When it began.
    pub start: Wall,
    /// Payload bytes of each probe; 0 where they differ.
    pub size: usize,
    /// Time from one send to the next.
    pub frequency: Duration,
    /// Probes to send; 0 is without end.
    pub count: u64,
    /// The age at which an unanswered probe is late.
    pub timeout: Duration,
    /// Whether the kernel is asked about the connection at each reply.
    pub tcp_info: bool,
    /// This host's own floor: p50 and p99 of a short loopback run before, in
    /// nanoseconds.
    pub floor: Option<(u64, u64)>,
    /// What the run was made with.
    pub manifest: Manifest,
    /// How long looking the name up took; `None` for a numeric address.
    pub look_up: Option<Duration>,
    /// How its packets are marked (RFC 2474), if they are.
    pub dscp: Option<u8>,
    /// Its place among several targets, from 1.
    pub target: Option<usize>,
    /// Connections at once to this target.
    pub flows: usize,
    /// Where the log and the CSV are, if they are written.
    pub files: Option<(PathBuf, PathBuf)>,
}
