//! How long a series remembers: of how many neighbours each one of a series of
//! independent values would be worth.

/// Points that are looked at; longer series are looked at through the means of
/// neighbours, which keeps what lasts longer than that.
const MOST: usize = 2048;
/// The sum ends where its window is so many times its value (Sokal 1989).
const WINDOW: f64 = 5.0;

/// The integrated autocorrelation time of a series, in its own steps; 1 where its
/// values are independent, and for a series without any spread.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub fn time(values: &[f64]) -> f64 {
    let group = values.len().div_ceil(MOST).max(1);
    let whole = variance(values);
    if whole <= 0.0 {
        return 1.0;
    }
    if group == 1 {
        return of_few(values).max(1.0);
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let means: Vec<f64> = values.chunks_exact(group).map(mean).collect();
    (group as f64 * variance(&means) / whole * of_few(&means)).max(1.0)
}

/// The mean square of distances from the mean.
#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub fn variance(values: &[f64]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count
}

#[allow(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn of_few(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let centred: Vec<f64> = values.iter().map(|value| value - mean).collect();
    let square: f64 = centred.iter().map(|value| value * value).sum();
    if square <= 0.0 {
        return 1.0;
    }
    let mut time = 1.0;
    for lag in 1..values.len() / 3 {
        let products = centred.iter().zip(&centred[lag..]).map(|(one, other)| one * other);
        time += 2.0 * products.sum::<f64>() / square;
        if lag as f64 >= WINDOW * time {
            break;
        }
    }
    time
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::random::tests::Walk;

    #[test]
    fn an_autoregressive_series_has_the_time_that_theory_gives() {
        // (1 + rho) / (1 - rho)
        for (rho, expected) in [(0.0, 1.0), (0.5, 3.0), (0.9, 19.0)] {
            let mean: f64 = (0..20)
                .map(|seed| {
                    let series: Vec<f64> = Walk::new(seed, rho).take(20_000).collect();
                    time(&series) / 20.0
                })
                .sum();
            assert!((mean - expected).abs() < 0.12 * expected, "{rho}: {mean} for {expected}");
        }
        assert!(time(&[5.0; 100]) <= 1.0);
        assert!(time(&[]) <= 1.0);
    }
}
