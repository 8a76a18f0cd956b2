//! The client's side of each protocol: a link that the timed loop drives.
//! Pacing, statistics and files are not its business.

mod attempts;
pub mod codec;
pub mod echo;
pub mod evidence;
pub(crate) mod gate;

pub mod lookup;
pub mod measurement;
pub mod message;
pub mod ping;
pub mod stream;
mod totals;
pub mod twamp;
pub mod twamp_control;

pub use codec::{Codec, Decoded};
pub use echo::EchoCodec;
pub use stream::{Extras, StreamLink};
