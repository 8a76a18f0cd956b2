use super::*;
use crate::idle::next::PERIODS;
use proptest::prelude::*;

const RANGE: Range = Range {
    from: Duration::from_secs(10),
    to: Duration::from_hours(1),
    precision: None,
    width: 24,
    manner: Manner::Silent,
    verify: false,
};

fn seconds(trials: &[Trial]) -> Vec<u64> {
    trials.iter().map(|trial| trial.gap.as_secs()).collect()
}

/// Plays rounds against a path that is told the gap, the round and the place of
/// the connection in it; gives what was learnt and the waiting.
fn play(
    range: Range,
    fate: impl Fn(Trial, u32, usize) -> (Duration, Outcome),
) -> (Search, Duration) {
    let mut search = Search::new(range);
    let mut waited = Duration::ZERO;
    loop {
        let trials = search.next_round();
        let Some(last) = trials.iter().map(|trial| trial.gap).max() else {
            return (search, waited);
        };
        assert!(trials.len() <= range.width.max(2), "{trials:?}");
        let mut longest = last;
        for (place, mut trial) in trials.into_iter().enumerate() {
            if let Some(enough) = search.enough().filter(|enough| trial.gap > *enough) {
                // It is asked as soon as the death is known.
                trial.gap = trial.gap.min(enough + Duration::from_secs(2));
                longest = longest.min(trial.gap);
            }
            let (at, outcome) = fate(trial, search.round(), place);
            let proof = outcome.is_death().then_some(Proof::Answered(Duration::ZERO));
            search.learn(trial.manner, at, outcome, waited + at, proof);
        }
        waited += longest;
    }
}

fn alive() -> Outcome {
    Outcome::Alive(Duration::ZERO)
}

fn forgets(limit: Duration) -> impl Fn(Trial, u32, usize) -> (Duration, Outcome) {
    move |trial, _, _| {
        let silence = match trial.manner {
            Manner::Silent => trial.gap,
            Manner::KeepAlive(every) | Manner::Speaking(every) => every,
        };
        (trial.gap, if silence < limit { alive() } else { Outcome::Silent })
    }
}

#[test]
fn the_first_round_doubles_up_to_the_longest() {
    let trials = Search::new(RANGE).next_round();
    let gaps = [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600];
    assert_eq!(seconds(&trials), gaps);
}

#[test]
fn no_limit_takes_one_round() {
    let (search, waited) = play(RANGE, forgets(Duration::MAX));
    assert_eq!(waited, RANGE.to);
    let answer = search.answer();
    assert_eq!((answer.lived, answer.died, answer.complete), (Some(RANGE.to), None, true));
}

#[test]
fn the_350_seconds_of_a_cloud_nat_take_three_rounds_and_the_proof_one() {
    let limit = Duration::from_secs(350);
    let (search, waited) = play(RANGE, forgets(limit));
    assert_eq!(search.round(), 3);
    assert!(waited < Duration::from_mins(24), "{waited:?}");
    let answer = search.answer();
    let (lived, died) = (answer.lived.unwrap(), answer.died.unwrap().gap);
    assert!(lived < limit && limit <= died && died <= lived + died / 100, "{answer:?}");
    let (search, _) = play(Range { verify: true, ..RANGE }, forgets(limit));
    assert_eq!(search.round(), 4);
    let answer = search.answer();
    let proof = answer.verified.unwrap();
    assert_eq!((proof.keep_alive, proof.speaking), (Some(true), Some(true)));
    assert!(proof.held_for >= limit * PERIODS, "{proof:?}");
    assert_eq!(keep_alive(&answer), Some(proof.interval.as_secs()));
}

#[test]
fn an_interval_that_does_not_hold_is_not_advised() {
    let limit = Duration::from_mins(1);
    let (search, _) = play(Range { verify: true, ..RANGE }, |trial, _, _| match trial.manner {
        Manner::Silent if trial.gap >= limit => (limit, Outcome::ClosedIdle),
        Manner::KeepAlive(_) => (limit, Outcome::ClosedIdle),
        _ => (trial.gap, alive()),
    });
    let answer = search.answer();
    let proof = answer.verified.unwrap();
    assert_eq!((proof.keep_alive, proof.speaking), (Some(false), Some(true)));
    assert_eq!(keep_alive(&answer), None);
}

#[test]
fn a_close_that_was_seen_is_seen_again_and_a_little_less_lived_through() {
    let limit = Duration::from_mins(1);
    let (search, _) = play(RANGE, |trial, _, _| {
        if trial.gap < limit { (trial.gap, alive()) } else { (limit, Outcome::ClosedIdle) }
    });
    assert_eq!(search.round(), 2);
    assert_eq!(search.answer().died.unwrap().gap, limit);
    assert_eq!(search.answer().lived, Some(Duration::from_secs(59)));
}

#[test]
fn a_limit_below_the_shortest_gap_is_found() {
    let limit = Duration::from_millis(3500);
    let (search, _) = play(RANGE, forgets(limit));
    let answer = search.answer();
    assert!(answer.lived.unwrap() < limit && answer.died.unwrap().gap >= limit, "{answer:?}");
}

#[test]
fn an_accident_is_no_limit_and_is_told() {
    let (search, _) = play(RANGE, |trial, round, place| {
        let strange = round == 1 && place == 3;
        (trial.gap, if strange { Outcome::Silent } else { alive() })
    });
    let answer = search.answer();
    assert_eq!((answer.lived, answer.died), (Some(RANGE.to), None));
    assert_eq!(answer.accidents.len(), 1, "{answer:?}");
}

#[test]
fn a_service_that_restarts_ends_many_and_is_no_limit() {
    let (search, _) = play(RANGE, |trial, round, _| match round {
        1 if trial.gap > Duration::from_mins(1) => (Duration::from_mins(1), Outcome::ClosedIdle),
        _ => (trial.gap, alive()),
    });
    let answer = search.answer();
    assert_eq!((answer.lived, answer.died), (Some(RANGE.to), None));
    assert_eq!(answer.mixture, None);
}

#[test]
fn every_second_path_that_forgets_is_a_mixture_with_the_lower_limit() {
    let short = Duration::from_secs(30);
    let (search, _) = play(RANGE, |trial, _, place| {
        let forgotten = place % 2 == 1 && trial.gap >= short;
        (trial.gap, if forgotten { Outcome::Silent } else { alive() })
    });
    let answer = search.answer();
    let mixture = answer.mixture.unwrap();
    assert!(mixture.died > 1 && mixture.of > mixture.died, "{mixture:?}");
    assert!(mixture.from >= short && mixture.from < short * 2, "{mixture:?}");
    assert!(keep_alive(&answer).unwrap() < 30, "{answer:?}");
}

#[test]
fn lives_and_deaths_at_one_gap_are_a_mixture_too() {
    let short = Duration::from_secs(30);
    let (search, _) = play(Range { verify: true, ..RANGE }, |trial, round, place| {
        // The one death below the others does not come again.
        let met = if round == 2 { false } else { place % 2 == 1 };
        let long = Duration::from_hours(2);
        forgets(if met { short } else { long })(trial, round, place)
    });
    let answer = search.answer();
    assert!(answer.mixture.is_some() && answer.accidents.is_empty(), "{answer:?}");
    assert!(keep_alive(&answer).is_none_or(|seconds| seconds < 30), "{answer:?}");
}

#[test]
fn a_path_that_only_the_proof_meets_is_searched_too() {
    let limits = [Duration::from_mins(2), Duration::from_secs(25)];
    let range = Range { verify: true, ..RANGE };
    let (search, _) = play(range, |trial, round, place| {
        // The first rounds' connections have all met the other path.
        let met = (round > 3 || trial.manner != Manner::Silent) && place % 2 == 1;
        forgets(limits[usize::from(met)])(trial, round, place)
    });
    let answer = search.answer();
    assert!(answer.died.unwrap().silence() <= Duration::from_mins(1), "{answer:?}");
    assert!(keep_alive(&answer).is_none_or(|seconds| seconds < 25), "{answer:?}");
}

#[test]
fn a_gap_in_which_the_peer_spoke_is_none() {
    let every = Duration::from_mins(1);
    let (search, waited) = play(RANGE, |trial, _, _| {
        let speech = Speech { first: every, last: every, times: 1 };
        let broken = trial.gap > every;
        (trial.gap, if broken { Outcome::Disturbed(speech) } else { alive() })
    });
    let answer = search.answer();
    assert_eq!(answer.peer_speaks, Some(every));
    assert_eq!(answer.lived, Some(Duration::from_secs(59)));
    assert_eq!(answer.died, None);
    assert!(answer.complete && waited <= RANGE.to + every, "{waited:?}");
}

#[test]
fn a_service_that_goes_away_is_no_limit() {
    let mut search = Search::new(RANGE);
    let gap = search.next_round()[3].gap;
    let gone = Some(Proof::Gone("connection refused".to_owned()));
    search.learn(Manner::Silent, gap, Outcome::ClosedIdle, gap, gone);
    assert!(search.next_round().is_empty());
    let answer = search.answer();
    assert_eq!((answer.died, answer.gone.map(|death| death.moment)), (None, Some(gap)));
    assert_eq!(keep_alive(&answer), None);
}

#[test]
fn a_peer_that_takes_few_connections_is_asked_for_few() {
    let mut search = Search::new(RANGE);
    for (place, trial) in search.next_round().into_iter().enumerate() {
        let refused = Outcome::Untested("refused".to_owned());
        let outcome = if place < 3 { alive() } else { refused };
        search.learn(trial.manner, trial.gap, outcome, trial.gap, None);
    }
    assert_eq!(seconds(&search.next_round()), [80, 160, 320]);
}

#[test]
fn a_peer_that_takes_none_ends_the_search() {
    let refused = Outcome::Untested("refused".to_owned());
    let (search, _) = play(RANGE, |trial, _, _| (trial.gap, refused.clone()));
    assert_eq!(search.round(), 1);
    assert!(!search.answer().complete);
}

proptest! {
    #[test]
    fn every_limit_is_found_as_precisely_as_asked(
        limit in 1_u64..4_000_000,
        precision in 500_u64..20_000,
        width in 1_usize..32,
    ) {
        let limit = Duration::from_millis(limit);
        let precision = Duration::from_millis(precision);
        let range = Range { precision: Some(precision), width, ..RANGE };
        let (search, _) = play(range, forgets(limit));
        let answer = search.answer();
        let lived = answer.lived.unwrap_or_default();
        prop_assert!(lived < limit);
        match answer.died {
            Some(died) => {
                prop_assert!(died.gap >= limit);
                prop_assert!(died.gap <= lived + precision, "{:?}", answer);
            }
            None => prop_assert!(lived >= range.to),
        }
    }
}

#[test]
fn a_table_that_is_lost_once_is_no_limit() {
    for (from, to) in [(1, 5), (2, 20), (3, 12), (10, 3600)] {
        let (from, to) = (Duration::from_secs(from), Duration::from_secs(to));
        let range = Range { from, to, verify: true, ..RANGE };
        for lost_at in [from * 3 / 2, from * 3, to * 9 / 10] {
            let (search, _) = play(range, |trial, round, _| {
                let dies = round == 1 && trial.gap > lost_at;
                (trial.gap, if dies { Outcome::Silent } else { alive() })
            });
            let answer = search.answer();
            assert_eq!(answer.died, None, "{from:?} {to:?} {lost_at:?}: {answer:?}");
            assert!(answer.mixture.is_none() && !answer.accidents.is_empty(), "{answer:?}");
            assert!(answer.complete && answer.lived >= Some(to), "{answer:?}");
        }
    }
}

#[test]
fn a_proof_that_was_cut_short_is_none() {
    let range = Range { verify: true, ..RANGE };
    let limit = Duration::from_secs(350);
    let (search, _) = play(range, |trial, round, place| {
        let cut = !matches!(trial.manner, Manner::Silent);
        let gap = if cut { trial.gap / 3 } else { trial.gap };
        (gap, forgets(limit)(trial, round, place).1)
    });
    let verified = search.answer().verified.expect("an interval that was to be proven");
    assert_eq!((verified.keep_alive, verified.speaking), (None, None));
    assert!(verified.held_for > limit * 19 / 10, "{verified:?}");
}

#[test]
fn a_path_that_ends_connections_by_their_age_is_not_mixed() {
    let range = Range { verify: true, ..RANGE };
    let age = Duration::from_secs(100);
    let (search, _) = play(range, |trial, _, _| {
        (trial.gap, if trial.gap < age { alive() } else { Outcome::Silent })
    });
    let answer = search.answer();
    assert!(answer.mixture.is_none(), "{answer:?}");
    let died = answer.died.expect("a limit").silence();
    assert!(died >= age && died < age + Duration::from_secs(3), "{answer:?}");
    let verified = answer.verified.expect("the proof");
    assert_eq!((verified.keep_alive, verified.speaking), (Some(false), Some(false)));
    assert_eq!(keep_alive(&answer), None);
}

#[test]
fn what_the_peer_sends_again_once_is_not_its_keep_alive() {
    let (search, _) = play(RANGE, |trial, round, _| {
        let first = Duration::from_secs(1);
        let again = Outcome::Disturbed(Speech { first, last: first, times: 1 });
        let disturbed = round == 1 && trial.gap.as_secs() == 40;
        (trial.gap, if disturbed { again } else { alive() })
    });
    let answer = search.answer();
    assert_eq!((answer.peer_speaks, answer.lived), (None, Some(RANGE.to)));
}

#[test]
fn a_proof_that_met_one_event_is_made_again() {
    let range = Range { verify: true, ..RANGE };
    let limit = Duration::from_secs(350);
    let (search, _) = play(range, |trial, round, place| match round {
        // The first proof: the table is lost while all of them are open.
        4 => (trial.gap, Outcome::Silent),
        _ => forgets(limit)(trial, round, place),
    });
    let answer = search.answer();
    let verified = answer.verified.expect("the second proof");
    assert_eq!((verified.keep_alive, verified.speaking), (Some(true), Some(true)));
    assert!(answer.mixture.is_none() && !answer.accidents.is_empty(), "{answer:?}");
    let (lived, died) = (answer.lived.unwrap(), answer.died.unwrap().silence());
    assert!(lived < limit && limit <= died && died <= lived * 101 / 100, "{answer:?}");
    assert_eq!(keep_alive(&answer), Some(verified.interval.as_secs()));
}
