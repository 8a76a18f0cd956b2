//! What a run left in its CSV becomes something to look at and to compare: the
//! rows are read once, in constant memory, and shown as text, JSON or a page.

pub mod error;
pub mod figures;
pub mod number;
pub mod octets;
pub mod outages;
pub mod random;
pub mod reader;
pub mod reservoir;
pub mod run;
pub mod sketch;
pub mod timeline;

pub use error::Error;
pub use reader::Reader;
pub use run::{Run, Source};
