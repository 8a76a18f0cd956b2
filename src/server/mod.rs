//! Accepting clients, and a session a protocol.

pub mod account;
pub mod budget;
pub mod busy;
pub mod closing;
pub mod echo;
pub mod light;
pub mod listener;
pub mod measurement;
pub mod ping;
pub mod rate;
pub mod reflector;
pub mod seats;
pub mod service;
pub mod sessions;
pub mod test_session;
pub mod throttle;
pub mod twamp;

pub use account::{Account, Ending};
pub use listener::{Limits, serve, serve_one};
pub use service::{Connection, Context, SERVICES, Service, Settings};
