//! How many packets a second one sender may have answered.

use crate::clock::Mono;

/// A bucket that fills with time, up to one second's worth.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// Nanoseconds that one packet costs.
    cost: u64,
    /// Nanoseconds saved, up to a second.
    saved: u64,
    last: Mono,
}

const SECOND: u64 = 1_000_000_000;

impl Bucket {
    /// Full, for `per_second` packets.
    pub fn new(per_second: u64, now: Mono) -> Self {
        Self { cost: SECOND / per_second.clamp(1, SECOND), saved: SECOND, last: now }
    }

    /// Whether one more packet may be answered at `now`.
    pub fn admit(&mut self, now: Mono) -> bool {
        let gained = now.0.saturating_sub(self.last.0);
        self.last = self.last.max(now);
        self.saved = self.saved.saturating_add(gained).min(SECOND);
        let admitted = self.saved >= self.cost;
        if admitted {
            self.saved -= self.cost;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_in_one_go_and_then_no_more_than_the_rate() {
        let mut bucket = Bucket::new(100, Mono(0));
        let admitted =
            |bucket: &mut Bucket, at: u64| (0..1000).filter(|_| bucket.admit(Mono(at))).count();
        assert_eq!(admitted(&mut bucket, 0), 100);
        assert_eq!(admitted(&mut bucket, SECOND / 2), 50);
        assert_eq!(admitted(&mut bucket, 100 * SECOND), 100);
    }
}
