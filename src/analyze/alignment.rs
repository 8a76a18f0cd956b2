//! Which bytes of the server answer which of the client's, where a capture began
//! in mid-connection.
//!
//! An echo server sends back byte for byte, so its sequence numbers lead the
//! client's by a constant. A handshake shows it. Without one, each reply bounds it:
//! whoever sends back a byte has received it, and acknowledges it in the same
//! segment; and mostly it has received no more. So the constant is the largest
//! distance from what a reply acknowledges to its own end.

/// Replies that are looked at: those of a server that is behind acknowledge more
/// than they give back.
const LOOKED_AT: u32 = 16;

/// See the module's text.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Alignment {
    /// By how much the server's numbers lead the client's.
    lead: Option<u32>,
    /// Where the client's bytes begin, in the capture.
    begin: Option<u32>,
    exact: bool,
    replies: u32,
    /// Bytes of the server that answer bytes of the client since `begin`.
    returned: u32,
}

impl Alignment {
    /// The initial sequence numbers of both sides are known.
    pub(super) fn on_handshake(&mut self, client: u32, server: u32) {
        if !self.exact {
            self.lead = Some(server.wrapping_sub(client));
            self.begin = Some(client.wrapping_add(1));
            self.exact = true;
        }
    }

    /// The client's first byte has this number.
    pub(super) fn on_client(&mut self, sequence: u32) {
        self.begin.get_or_insert(sequence);
    }

    /// A reply ends before `end` and acknowledges everything before
    /// `acknowledged`.
    pub(super) fn on_reply(&mut self, end: u32, acknowledged: u32) {
        if self.exact || self.replies >= LOOKED_AT {
            return;
        }
        self.replies += 1;
        let lead = end.wrapping_sub(acknowledged);
        let larger = self.lead.is_none_or(|known| super::coverage::after(lead, known));
        if larger {
            self.lead = Some(lead);
        }
    }

    /// The server's bytes are there up to `end`: how many more of the client's
    /// are answered by that.
    pub(super) fn answers(&mut self, end: u32) -> u32 {
        let (Some(lead), Some(begin)) = (self.lead, self.begin) else { return 0 };
        let returned = end.wrapping_sub(lead).wrapping_sub(begin);
        // Replies to what was asked before the capture began lie below zero.
        if !super::coverage::after(returned, self.returned) || returned > i32::MAX as u32 {
            return 0;
        }
        let more = returned.wrapping_sub(self.returned);
        self.returned = returned;
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_to_what_was_asked_before_answer_nothing() {
        let mut alignment = Alignment::default();
        // The server is three requests of ten bytes behind; its lead is 400.
        alignment.on_reply(510, 110);
        assert_eq!(alignment.answers(510), 0, "nobody knows where the client is");
        alignment.on_client(130);
        alignment.on_reply(520, 120);
        assert_eq!(alignment.answers(530), 0);
        assert_eq!(alignment.answers(540), 10);
        assert_eq!(alignment.answers(540), 0);
    }

    #[test]
    fn a_server_that_has_received_more_than_it_sends_back_is_corrected() {
        let mut alignment = Alignment::default();
        alignment.on_client(100);
        alignment.on_reply(510, 130);
        assert_eq!(alignment.answers(510), 30);
        alignment.on_reply(520, 120);
        assert_eq!(alignment.answers(520), 0);
        assert_eq!(alignment.answers(540), 10);
    }

    #[test]
    fn a_handshake_is_exact() {
        let mut alignment = Alignment::default();
        alignment.on_handshake(u32::MAX, 7);
        assert_eq!(alignment.answers(8), 0);
        assert_eq!(alignment.answers(18), 10);
    }
}
