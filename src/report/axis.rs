//! An axis of round-trip times: where a value lies, and what to write there.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places on a drawing"
)]

/// Beyond this ratio of its ends an axis is logarithmic.
const WIDE: f64 = 8.0;
/// An axis covers at least this share of its upper end: noise of 1 % should
/// look like it.
const LEAST_SPAN: f64 = 0.2;

/// From one value to another, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axis {
    low: f64,
    high: f64,
    logarithmic: bool,
}

impl Axis {
    /// One that holds both values; logarithmic if they are far apart.
    pub fn new(low: u64, high: u64) -> Self {
        let high = (high as f64).max(1.0);
        let low = (low as f64).clamp(1.0, high);
        let logarithmic = high / low > WIDE;
        let low = if logarithmic { low } else { low.min(high * (1.0 - LEAST_SPAN)) };
        Self { low, high, logarithmic }
    }

    /// Just from one value to another.
    pub fn between(low: u64, high: u64, logarithmic: bool) -> Self {
        let low = (low as f64).max(if logarithmic { 1.0 } else { 0.0 });
        Self { low, high: (high as f64).max(low + 1.0), logarithmic }
    }

    /// Whether equal steps are equal ratios.
    pub fn is_logarithmic(&self) -> bool {
        self.logarithmic
    }

    /// Where a value lies: 0 at the low end, 1 at the high end.
    pub fn place(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }

    /// The value at a place.
    pub fn value(&self, place: f64) -> f64 {
        if self.logarithmic {
            self.low * ((self.high / self.low).ln() * place).exp()
        } else {
            self.low + (self.high - self.low) * place
        }
    }

    /// Round values to write at the axis, not many more than asked for.
    pub fn ticks(&self, wanted: usize) -> Vec<f64> {
        if self.logarithmic {
            for digits in [&[1.0, 2.0, 5.0][..], &[1.0, 3.0], &[1.0]] {
                let ticks = self.digits(digits);
                if ticks.len() <= wanted + 2 && ticks.len() >= 2 {
                    return ticks;
                }
            }
        }
        let step = round_up((self.high - self.low) / wanted.max(1) as f64);
        let first = (self.low / step).ceil();
        let ticks = (0..).map(|count| (first + f64::from(count)) * step);
        let linear: Vec<f64> = ticks.take_while(|tick| *tick <= self.high).collect();
        if self.logarithmic { self.digits(&[1.0]) } else { linear }
    }

    /// All values within that begin with one of these digits.
    fn digits(&self, digits: &[f64]) -> Vec<f64> {
        let powers = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let all = powers.flat_map(|power| digits.iter().map(move |d| d * 10_f64.powi(power)));
        all.filter(|tick| (self.low..=self.high).contains(tick)).collect()
    }
}

/// The next of 1, 2, 5, 10, 20, …
pub fn round_up(value: f64) -> f64 {
    let power = 10_f64.powi(value.max(f64::MIN_POSITIVE).log10().floor() as i32);
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= value * 0.999_999);
    digit.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_ends_are_linear_and_far_ones_logarithmic() {
        let near = Axis::new(100_000, 200_000);
        assert!((near.place(150_000.0) - 0.5).abs() < 1e-9);
        assert_eq!(
            near.ticks(5),
            [100_000.0, 120_000.0, 140_000.0, 160_000.0, 180_000.0, 200_000.0]
        );
        let far = Axis::new(100_000, 10_000_000);
        assert!(far.is_logarithmic());
        assert!((far.place(1_000_000.0) - 0.5).abs() < 1e-9);
        assert!((far.value(0.5) - 1_000_000.0).abs() < 1.0);
        assert_eq!(far.ticks(3), [100_000.0, 300_000.0, 1_000_000.0, 3_000_000.0, 10_000_000.0]);
    }

    #[test]
    fn equal_values_still_make_an_axis() {
        for value in [1, 5, 123_456, u64::MAX] {
            let axis = Axis::new(value, value);
            assert!((axis.place(value as f64) - 1.0).abs() < 1e-9);
            assert!(axis.place(0.0) >= 0.0 && !axis.ticks(4).is_empty(), "{value}");
        }
    }
}
