//! Numbers about numbers: what a series of durations looked like. Knows
//! nothing of where a value came from.

pub mod autocorrelation;
pub mod change;
pub mod clocks;
pub mod exact;
pub mod few;
pub mod histogram;
pub mod jitter;
pub mod line;
pub mod outliers;
pub mod paired;
pub mod random;
pub mod rate;
pub mod summary;

pub use few::Few;
pub use histogram::{Histogram, nearest_rank, percentile};
pub use jitter::Jitter;
pub use random::Random;
pub use summary::Summary;
