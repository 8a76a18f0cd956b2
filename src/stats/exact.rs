//! How likely a count is by chance: exact tails, without tables.

/// The natural logarithm of the gamma function for `x` >= 1: Stirling's series
/// after a shift, exact to ten digits (Abramowitz and Stegun, 6.1.41).
fn ln_gamma(x: f64) -> f64 {
    let mut shift = 0.0;
    let mut x = x;
    while x < 10.0 {
        shift += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = (1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse / 1260.0)) / x;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - shift
}

/// The chance of `hits` or more of `draws`, each with the chance `share`.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub fn at_least(hits: u64, draws: u64, share: f64) -> f64 {
    if hits == 0 {
        return 1.0;
    }
    if hits > draws || share <= 0.0 {
        return 0.0;
    }
    let (one, n) = (share.min(1.0 - f64::EPSILON), draws as f64);
    let (yes, no) = (one.ln(), (1.0 - one).ln());
    let chance = |k: u64| {
        let k = k as f64;
        let ways = ln_gamma(n + 1.0) - ln_gamma(k + 1.0) - ln_gamma(n - k + 1.0);
        (ways + k * yes + (n - k) * no).exp()
    };
    let mut sum = 0.0;
    for k in hits..=draws {
        let more = chance(k);
        sum += more;
        // Beyond its peak each is smaller than the one before.
        if more < sum * 1e-12 && k as f64 > n * one {
            break;
        }
    }
    sum.min(1.0)
}

/// In how many ways so many of `all` can be chosen; infinite beyond what a double
/// holds.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub fn choices(all: usize, chosen: usize) -> f64 {
    let of = |count: usize| ln_gamma(count as f64 + 1.0);
    (of(all) - of(chosen) - of(all.saturating_sub(chosen))).exp()
}

/// Student's t at 97.5 % for so many degrees of freedom, to two decimals from 9 on.
pub fn student(freedom: usize) -> f64 {
    const FROM_NINE: [f64; 12] =
        [2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086];
    FROM_NINE.get(freedom.saturating_sub(9)).copied().unwrap_or(1.96)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_the_books() {
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-6 * expected.max(1e-9);
        assert!(near(at_least(1, 10, 0.5), 1.0 - 1.0 / 1024.0), "{}", at_least(1, 10, 0.5));
        assert!(near(at_least(10, 10, 0.5), 1.0 / 1024.0));
        assert!(near(at_least(8, 10, 0.5), 56.0 / 1024.0));
        assert!(near(at_least(0, 10, 0.5), 1.0));
        assert!(near(at_least(11, 10, 0.5), 0.0));
        // The sum of the twenty-first to the last term, in whole numbers.
        let found = at_least(20, 100, 1.0 / 16.0);
        assert!((found - 3.380_799_15e-6).abs() < 1e-12, "{found}");
    }

    #[test]
    fn choices_are_counted() {
        for (all, chosen, ways) in [(16, 5, 4368.0), (5, 0, 1.0), (5, 5, 1.0), (2, 1, 2.0)] {
            let found = choices(all, chosen);
            assert!((found - ways).abs() < 1e-6 * ways, "{found}");
        }
    }
}
