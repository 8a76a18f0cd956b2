//! Repeatable random numbers: the same seed gives the same ones everywhere.

/// 2^64 over the golden ratio, odd.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// One number made of another: neighbours give unrelated ones.
#[inline]
pub fn mix(number: u64) -> u64 {
    let mixed = number.wrapping_add(STEP);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// `SplitMix64` (Steele, Lea and Flood 2014).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    #[inline]
    fn next(&mut self) -> u64 {
        let mixed = mix(self.0);
        self.0 = self.0.wrapping_add(STEP);
        mixed
    }

    /// A number below `bound`, which is not 0; each as likely as the others, to
    /// one part in 2^64 / `bound`.
    #[inline]
    #[allow(clippy::cast_possible_truncation, reason = "the upper half of a product")]
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// How many series a simulation makes: so many, or as many times more as
    /// `ECHOTEST_SIMULATIONS` says.
    pub(crate) fn simulations(usual: u64) -> u64 {
        let times = std::env::var("ECHOTEST_SIMULATIONS").ok().and_then(|text| text.parse().ok());
        usual * times.unwrap_or(1)
    }

    /// An autoregressive series of the first order, with mean 0 and standard
    /// deviation 1.
    pub(crate) struct Walk {
        random: Random,
        rho: f64,
        value: f64,
        /// Noise by Student's t with four degrees of freedom.
        pub(crate) heavy: bool,
    }

    impl Walk {
        pub(crate) fn new(seed: u64, rho: f64) -> Self {
            let mut random = Random::new(mix(seed));
            let value = normal(&mut random);
            Self { random, rho, value, heavy: false }
        }
    }

    /// Box and Muller's.
    #[allow(clippy::cast_precision_loss, reason = "a test's noise")]
    pub(crate) fn normal(random: &mut Random) -> f64 {
        let unit =
            |random: &mut Random| (random.below(1 << 52) as f64 + 0.5) / (1_u64 << 52) as f64;
        let (radius, angle) = (unit(random), unit(random));
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    impl Iterator for Walk {
        type Item = f64;

        fn next(&mut self) -> Option<f64> {
            let mut noise = normal(&mut self.random);
            if self.heavy {
                let squares: f64 = (0..4).map(|_| normal(&mut self.random).powi(2)).sum();
                noise /= (squares / 4.0).sqrt() * std::f64::consts::SQRT_2;
            }
            self.value = self.rho * self.value + (1.0 - self.rho * self.rho).sqrt() * noise;
            Some(self.value)
        }
    }

    #[test]
    fn every_number_below_the_bound_comes_as_often() {
        let mut random = Random::new(7);
        let mut counts = [0_u32; 10];
        for _ in 0..100_000 {
            counts[usize::try_from(random.below(10)).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }
}
