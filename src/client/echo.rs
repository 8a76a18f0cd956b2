//! The echo protocol (RFC 862): what was sent comes back, in order.

use super::attempts::{LONGEST_PACKET, SMALL_PACKET};
use super::codec::{Codec, Decoded};

/// Bytes at a payload's start that carry its probe's number, so that no two
/// neighbouring payloads are alike and a byte too many or too few is seen.
const NUMBER: usize = 8;

/// Payloads of one size: pseudo-random bytes, which no link can compress,
/// headed by the probe's number. Nothing but one payload is kept in memory.
#[derive(Debug)]
pub struct EchoCodec {
    payload: Vec<u8>,
    /// The probe whose reply is coming in.
    expected: u64,
    /// Bytes of it that have come.
    offset: usize,
}

impl EchoCodec {
    /// Payloads of `size` bytes, at least one.
    pub fn new(size: usize) -> Self {
        let mut payload = vec![0; size];
        fill(&mut payload);
        Self { payload, expected: 1, offset: 0 }
    }

    /// The payload of a probe.
    #[inline]
    fn payload(&mut self, number: u64) -> &[u8] {
        let head = NUMBER.min(self.payload.len());
        self.payload[..head].copy_from_slice(&number.to_le_bytes()[..head]);
        &self.payload
    }

    /// Whether `bytes` continue the expected reply at its offset.
    fn matches(&mut self, bytes: &[u8]) -> bool {
        let offset = self.offset;
        same(bytes, &self.payload(self.expected)[offset..])
    }
}

/// Whether `expected` begins with `bytes`. The C library of the static binary
/// compares byte by byte, which takes half a microsecond for a thousand;
/// arrays of a known size are compared in registers.
fn same(bytes: &[u8], expected: &[u8]) -> bool {
    let Some(expected) = expected.get(..bytes.len()) else { return false };
    let rest = after_same::<32>(bytes, expected);
    let rest = rest.and_then(|(bytes, expected)| after_same::<8>(bytes, expected));
    rest.is_some_and(|(bytes, expected)| bytes.iter().eq(expected))
}

/// What follows the blocks of `N` bytes, if those are the same in both.
fn after_same<'two, const N: usize>(
    one: &'two [u8],
    other: &'two [u8],
) -> Option<(&'two [u8], &'two [u8])> {
    let ((blocks, rest), (other_blocks, other_rest)) = (one.as_chunks::<N>(), other.as_chunks());
    let same = blocks.iter().zip(other_blocks).all(|(block, other)| block == other);
    same.then_some((rest, other_rest))
}

/// Marsaglia's xorshift64: the same bytes in every run.
fn fill(bytes: &mut [u8]) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for chunk in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
    }
}

impl Codec for EchoCodec {
    #[inline]
    fn encode(&mut self, number: u64) -> &[u8] {
        self.payload(number)
    }

    #[inline]
    fn decode(&mut self, bytes: &[u8], sent: u64) -> (usize, Decoded) {
        if self.expected > sent {
            return (bytes.len(), Decoded::Unasked);
        }
        let used = bytes.len().min(self.payload.len() - self.offset);
        if !self.matches(&bytes[..used]) {
            return (bytes.len(), Decoded::Corrupt);
        }
        self.offset += used;
        if self.offset < self.payload.len() {
            return (used, Decoded::More);
        }
        self.offset = 0;
        self.expected += 1;
        (used, Decoded::Reply)
    }

    fn reset(&mut self, next: u64) {
        self.expected = next;
        self.offset = 0;
    }

    fn scout(&mut self, small: bool) -> Option<Vec<u8>> {
        let most = if small { SMALL_PACKET } else { LONGEST_PACKET };
        let length = self.payload.len().min(most);
        if small && length == self.payload.len() {
            return None;
        }
        Some(self.payload(0)[..length].to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(size: usize, packets: u64) -> Vec<u8> {
        let mut codec = EchoCodec::new(size);
        (1..=packets).flat_map(|number| codec.encode(number).to_vec()).collect()
    }

    fn replies(codec: &mut EchoCodec, mut bytes: &[u8], sent: u64) -> Vec<Decoded> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let (used, decoded) = codec.decode(bytes, sent);
            assert!(used > 0, "a decoder that takes nothing would never end");
            bytes = &bytes[used..];
            if decoded != Decoded::More {
                all.push(decoded);
            }
        }
        all
    }

    #[test]
    fn neighbouring_payloads_differ_even_at_one_byte() {
        let stream = stream(1, 3);
        assert_eq!(stream, [1, 2, 3]);
    }

    #[test]
    fn bytes_of_the_last_reply_are_not_taken_for_the_next() {
        let mut codec = EchoCodec::new(64);
        let twice = [stream(64, 1), stream(64, 1)].concat();
        assert_eq!(replies(&mut codec, &twice, 2), [Decoded::Reply, Decoded::Corrupt]);
    }

    #[test]
    fn bytes_that_nobody_asked_for_are_told() {
        let mut codec = EchoCodec::new(4);
        let bytes = stream(4, 2);
        assert_eq!(replies(&mut codec, &bytes, 1), [Decoded::Reply, Decoded::Unasked]);
    }

    #[test]
    fn after_a_reset_counting_goes_on_where_it_is_told() {
        let mut codec = EchoCodec::new(16);
        let all = stream(16, 9);
        codec.decode(&all[..7], 9);
        codec.reset(9);
        assert_eq!(replies(&mut codec, &all[8 * 16..], 9), [Decoded::Reply]);
    }

    proptest! {
        #[test]
        fn any_split_of_the_stream_gives_the_same_replies(
            size in 1_usize..40,
            cuts in prop::collection::vec(1_usize..30, 1..60),
        ) {
            let bytes = stream(size, 20);
            let mut codec = EchoCodec::new(size);
            let mut all = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                all.extend(replies(&mut codec, piece, 20));
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(all, vec![Decoded::Reply; 20]);
        }

        #[test]
        fn any_altered_byte_is_corrupt(size in 1_usize..100, at in 0_usize..100, bit in 0_u8..8) {
            let mut bytes = stream(size, 1);
            let at = at % size;
            bytes[at] ^= 1 << bit;
            let mut codec = EchoCodec::new(size);
            prop_assert_eq!(replies(&mut codec, &bytes, 1), vec![Decoded::Corrupt]);
        }
    }
}
