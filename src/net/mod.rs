//! Connections whose every read and write tells its time. How to wait is
//! decided here and nowhere else.

pub mod datagram;
pub mod dial;
pub mod listen;
pub mod many;
pub mod network;
pub mod notify;
pub mod resolve;
pub mod stream;
pub mod syslog;
pub mod together;

pub use datagram::{Datagram, DatagramSocket};
pub use dial::{Dial, Dialer};
pub use stream::{Heard, Stream, Waiting};
