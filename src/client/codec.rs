//! Protocols on a byte stream, without sockets or time.

/// What the bytes that came mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded {
    /// A reply is not complete yet.
    More,
    /// The oldest outstanding probe's reply is complete, and right.
    Reply,
    /// What came in its place is wrong.
    Corrupt,
    /// Bytes came though no probe is outstanding.
    Unasked,
    /// The peer says, in its protocol, that it ends the session.
    Refused(String),
}

/// A protocol on a byte stream, without sockets or time.
pub trait Codec {
    /// All bytes of a probe. It is asked again when the probe could only be
    /// sent in part, and gives the same bytes then.
    fn encode(&mut self, number: u64) -> &[u8];

    /// Takes bytes in the order in which they came, at most to the end of one
    /// reply, and tells how many it took. `sent` is the last probe of which
    /// anything was sent.
    fn decode(&mut self, bytes: &[u8], sent: u64) -> (usize, Decoded);

    /// A new connection: the next reply will be the one to probe `next`.
    fn reset(&mut self, next: u64);

    /// A packet that is answered byte for byte on a connection of its own, where
    /// the protocol has such a thing: as large as a probe, or `small`, if that is
    /// any smaller.
    fn scout(&mut self, small: bool) -> Option<Vec<u8>> {
        let _ = small;
        None
    }

    /// The peer has closed. What bytes without an end mean now, if anything.
    fn at_end(&mut self) -> Option<String> {
        None
    }
}
