//! Simulated runs, of which it is known whether they differ.
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "simulations"
)]

use super::*;
use crate::report::reader::Row;
use crate::stats::random::tests::{Walk, simulations};

const LENGTH: usize = 5000;

/// A run whose round trips wander around 1 ms by 10 us; its packets are a second
/// apart, from `start` on.
fn run(file: usize, start: u64, values: impl Iterator<Item = f64>) -> Run {
    let mut figures = Figures::new(start);
    for (place, value) in (0..).zip(values) {
        let sent = start + place * 1_000_000_000;
        let rtt = Some((1e6 + 1e4 * value) as u64);
        figures.record(&Row {
            number: 0,
            sent,
            rtt,
            retransmitted: None,
            flow: None,
            reflected: None,
            series: [b"", b""],
        });
    }
    figures.finish();
    Run { label: file.to_string(), file, series: String::new(), figures }
}

fn differences(one: Walk, two: Walk, apart: f64) -> Difference {
    let first = run(0, 0, one.take(LENGTH));
    let second = run(1, 1 << 60, two.take(LENGTH).map(|value| value + apart));
    all(&[first, second]).remove(0)
}

fn pair(seed: u64, rho: f64, heavy: bool) -> [Walk; 2] {
    [2 * seed, 2 * seed + 1].map(|seed| {
        let mut walk = Walk::new(seed + 1_000, rho);
        walk.heavy = heavy;
        walk
    })
}

#[test]
fn no_difference_is_seldom_claimed_and_only_slow_runs_are_refused() {
    let pairs = simulations(60);
    for (rho, heavy) in [(0.0, false), (0.9, false), (0.99, false), (0.999, false), (0.9, true)] {
        let (mut claimed, mut refused) = ([0, 0], 0);
        for seed in 0..pairs {
            let [one, two] = pair(seed, rho, heavy);
            let difference = differences(one, two, 0.0);
            for (claims, estimate) in
                claimed.iter_mut().zip([difference.compared.median, difference.compared.p99])
            {
                *claims += u64::from(estimate.unwrap().is_clear());
            }
            refused += u64::from(difference.compared.median.unwrap().interval.is_err());
        }
        // At a promised 5 %, with what chance adds to so few.
        let most = pairs * 72 / 1000 + pairs.isqrt() / 2;
        assert!(claimed.iter().all(|claims| *claims <= most), "rho {rho}: {claimed:?} of {pairs}");
        assert!(rho > 0.9 || refused == 0, "rho {rho}: {refused} refused");
        assert!(rho < 0.99 || refused * 2 > pairs, "rho {rho}: {refused} refused");
    }
}

#[test]
fn a_standard_deviation_is_found() {
    let pairs = simulations(40);
    for rho in [0.0, 0.9] {
        let mut found = [0, 0];
        for seed in 0..pairs {
            let [one, two] = pair(seed, rho, false);
            let difference = differences(one, two, 1.0);
            for (finds, estimate) in
                found.iter_mut().zip([difference.compared.median, difference.compared.p99])
            {
                *finds += u64::from(estimate.unwrap().is_clear());
            }
        }
        assert!(found[0] * 100 >= pairs * 95 && found[1] * 100 >= pairs * 80, "{rho}: {found:?}");
    }
}

#[test]
fn runs_of_the_same_time_are_compared_round_by_round() {
    let mut found = 0;
    let pairs = simulations(20);
    for seed in 0..pairs {
        let level: Vec<f64> =
            Walk::new(seed, 0.999).take(LENGTH).map(|value| 5.0 * value).collect();
        let own = |seed: u64, apart: f64| {
            let noise = Walk::new(seed, 0.0).take(LENGTH);
            level.iter().zip(noise).map(move |(level, noise)| level + noise + apart).collect()
        };
        let [one, two]: [Vec<f64>; 2] = [own(seed + 50, 0.0), own(seed + 5_000, 0.2)];
        // 0.3 s later in each round.
        let runs = [
            run(0, 1 << 60, one.clone().into_iter()),
            run(1, (1 << 60) + 300_000_000, two.clone().into_iter()),
        ];
        let difference = all(&runs).remove(0);
        assert_eq!(difference.compared.paired.unwrap().0, LENGTH as u64);
        found += u64::from(difference.compared.median.unwrap().is_clear());
        let apart = [run(0, 0, one.into_iter()), run(1, 1 << 60, two.into_iter())];
        let difference = all(&apart).remove(0);
        assert_eq!(difference.compared.paired, None);
        assert!(!difference.compared.median.unwrap().is_clear());
    }
    assert!(found * 100 >= pairs * 95, "{found} of {pairs}");
}

#[test]
fn too_few_claim_nothing() {
    let short = |count| run(0, 0, Walk::new(1, 0.0).take(count));
    let other = |count| Run { file: 1, ..run(1, 1 << 60, Walk::new(2, 0.0).take(count)) };
    let difference = all(&[short(49), other(5000)]).remove(0);
    assert_eq!(difference.compared.median.unwrap().interval, Err(WhyNot::TooFew(FEWEST_MEDIAN)));
    let difference = all(&[short(400), other(5000)]).remove(0);
    assert!(difference.compared.median.unwrap().interval.is_ok());
    assert_eq!(difference.compared.p99.unwrap().interval, Err(WhyNot::TooFew(FEWEST_P99)));
    assert!(all(&[short(0), other(5)]).remove(0).compared.median.is_none());
}
