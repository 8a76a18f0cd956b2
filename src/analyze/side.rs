//! What one end of a connection did.

use super::carried::Carried;
use super::series::Series;

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It connected.
    Client,
    /// It was connected to.
    Server,
}

impl Role {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// The other end.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// What one end did.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// Packets that it sent.
    pub packets: u64,
    /// Packets that are in the capture once more.
    pub copies: u64,
    /// Bytes of data that it sent, each counted once.
    pub bytes: u64,
    /// Data sent again, after a time-out, as asked for, or in vain.
    pub retransmissions: [u64; 3],
    /// Segments that were overtaken.
    pub out_of_order: u64,
    /// Segments before which something was not seen.
    pub lost_before: u64,
    /// Acknowledgements repeated.
    pub duplicate_acks: u64,
    /// Times that it had no room.
    pub zero_windows: u64,
    /// Updates of its window.
    pub window_updates: u64,
    /// Questions whether the other is there.
    pub keep_alives: u64,
    /// How long its segments waited for their acknowledgement, in nanoseconds.
    pub acknowledged_after: Series,
    /// What its packets carried besides bytes.
    pub carried: Carried,
    /// It has acknowledged something.
    pub acknowledges: bool,
    /// Its first sequence number.
    pub(super) first: Option<u32>,
    /// The longest segment that it sent, in bytes of data.
    pub(super) longest: u32,
    /// The largest that it announced to take.
    pub(super) takes: Option<u32>,
    /// The number after its FIN.
    pub(super) after_fin: Option<u32>,
    pub(super) fin_acked: bool,
}

impl Side {
    /// Data that it sent again, for whatever reason.
    pub fn sent_again(&self) -> u64 {
        self.retransmissions.iter().sum()
    }

    /// Nobody's segments are split up below this length.
    const SMALLEST_FULL: u32 = 500;

    /// Whether a segment of so many bytes may be one of several that a write was
    /// cut into, to an end that takes `takes` at once. A network card that cuts for
    /// the kernel shows several as one.
    pub(super) fn is_full(&self, length: u32, takes: Option<u32>) -> bool {
        match takes {
            Some(takes) if takes > 0 => length > 0 && length.is_multiple_of(takes),
            _ => length >= Self::SMALLEST_FULL && length >= self.longest,
        }
    }
}
