//! Jitter as the mean of absolute differences of successive values.

/// Mean absolute packet delay variation of neighbours (IPDV, RFC 3393 with
/// the previous packet as the reference). A lost packet has no delay, so the
/// pairs on either side of it do not count.
#[derive(Debug, Clone, Default)]
pub struct Jitter {
    last: Option<u64>,
    sum: u128,
    pairs: u64,
}

impl Jitter {
    /// The next value of the series, in nanoseconds.
    pub fn record(&mut self, value: u64) {
        if let Some(last) = self.last.replace(value) {
            self.sum += u128::from(value.abs_diff(last));
            self.pairs += 1;
        }
    }

    /// The series has a gap here: the next value has no neighbour before it.
    pub fn gap(&mut self) {
        self.last = None;
    }

    /// The mean in nanoseconds; `None` before the first pair.
    #[allow(clippy::cast_precision_loss, reason = "a mean for people, exact to 15 digits")]
    pub fn mean(&self) -> Option<f64> {
        (self.pairs > 0).then(|| self.sum as f64 / self.pairs as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_of_absolute_differences() {
        let mut jitter = Jitter::default();
        for value in [100, 130, 120, 120] {
            jitter.record(value);
        }
        assert_eq!(jitter.mean(), Some((30.0 + 10.0 + 0.0) / 3.0));
    }

    #[test]
    fn a_gap_breaks_the_pair() {
        let mut jitter = Jitter::default();
        jitter.record(100);
        jitter.gap();
        jitter.record(9_000);
        assert_eq!(jitter.mean(), None);
        jitter.record(9_005);
        assert_eq!(jitter.mean(), Some(5.0));
    }
}
