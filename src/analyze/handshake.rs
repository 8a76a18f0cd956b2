//! How a connection began.

/// When the handshake's packets were seen, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Handshake {
    pub(super) syn: Option<i64>,
    /// Whether anything answered it.
    pub(super) answered: bool,
    /// The first answer to that SYN, and the last.
    pub(super) syn_acks: Option<(i64, i64)>,
    /// A SYN after an answer, whose own answer has not come.
    pub(super) syn_again: Option<i64>,
    pub(super) ack: Option<i64>,
}

impl Handshake {
    /// Whether its SYN was seen.
    pub fn began(&self) -> bool {
        self.answered || self.syn.is_some()
    }

    /// The clock of the capture was set: times before say nothing any more.
    pub(super) fn forget_times(&mut self) {
        if self.ack.is_none() {
            *self = Self { answered: self.began(), ..Self::default() };
        }
    }

    /// From SYN to SYN-ACK, in nanoseconds: the round trip from this place to
    /// the server.
    pub fn to_server(self) -> Option<u64> {
        span(self.syn?, self.syn_acks?.0)
    }

    /// From SYN-ACK to ACK: the round trip from this place to the client.
    pub fn to_client(self) -> Option<u64> {
        span(self.syn_acks?.1, self.ack?)
    }

    /// Both together: the round trip of the whole path.
    pub fn whole(self) -> Option<u64> {
        Some(self.to_server()? + self.to_client()?)
    }
}

fn span(from: i64, to: i64) -> Option<u64> {
    u64::try_from(to.saturating_sub(from)).ok()
}
