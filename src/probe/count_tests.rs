use super::*;
use crate::stats::Random;

/// What a directed path does to packets and replies; times in microseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Path {
    /// Out and back, in thousandths.
    lost: [u64; 2],
    doubled: [u64; 2],
    /// Delays vary by up to that; packets leave every 1000.
    spread: [u64; 2],
    copies: bool,
    /// The reflector's count begins anew with the packet that has waited till then.
    restart_at: Option<u64>,
    /// Its count begins there.
    base: u32,
    closes: bool,
}

/// Plays `count` packets over `path`; what is told, and the truth.
fn play(path: &Path, count: u64, seed: u64) -> (Losses, [u64; 2]) {
    let mut random = Random::new(seed);
    let mut below = move |bound: u64| random.below(bound.max(1));
    let mut truth = [0, 0];
    let mut there = Vec::new();
    for number in 1..=count {
        let copies = if below(1000) < path.doubled[0] { 2 } else { 1 };
        let mut arrived = false;
        for _ in 0..copies {
            let at = number * 1000 + 500 + below(path.spread[0]);
            if below(1000) >= path.lost[0] {
                there.push((at, number));
                arrived = true;
            }
        }
        truth[0] += u64::from(!arrived);
    }
    there.sort_unstable();
    let (mut next, mut restarted) = (path.base, false);
    let mut back = Vec::new();
    let mut answered = vec![(false, false); usize_of(count) + 1];
    for &(at, number) in &there {
        if path.restart_at.is_some_and(|begin| at >= begin) && !restarted {
            (next, restarted) = (0, true);
        }
        let sequence = if path.copies { own(number) } else { next };
        next = next.wrapping_add(1);
        answered[usize_of(number)].0 = true;
        if below(1000) < path.lost[1] {
            continue;
        }
        answered[usize_of(number)].1 = true;
        let copies = if below(1000) < path.doubled[1] { 2 } else { 1 };
        for _ in 0..copies {
            back.push((at + 500 + below(path.spread[1]), number, sequence, at));
        }
    }
    truth[1] = answered.iter().filter(|(there, back)| *there && !*back).count() as u64;
    back.sort_unstable();
    (tell(path, count, &back, next), truth)
}

/// Rows come in the order of packets; duplicates when they come.
fn tell(path: &Path, count: u64, back: &[(u64, u64, u32, u64)], next: u32) -> Losses {
    let mut account = ReflectorCount::default();
    let mut replies = vec![Vec::new(); usize_of(count) + 1];
    for &(_, number, sequence, at) in back {
        replies[usize_of(number)].push((sequence, at));
    }
    for number in 1..=count {
        match replies[usize_of(number)].first() {
            Some(&(sequence, at)) => {
                let at = i64::try_from(1_000_000_000 + at * 1000).unwrap();
                account.received(number, 0, sequence, Wall(at));
            }
            None => account.lost_one(number),
        }
        // Second replies to a packet some time ago.
        let ago = &replies[usize_of(number.saturating_sub(3))];
        for (sequence, _) in ago.iter().skip(1) {
            if *sequence != ago[0].0 {
                account.doubled(*sequence);
            }
        }
    }
    if path.closes {
        let copy = own(count);
        account.closing(Some(if path.copies { copy } else { next }));
        account.closing(Some(if path.copies { copy } else { next.wrapping_add(1) }));
    }
    account.losses()
}

/// Nothing is ever told that is not so; gives how much of it is told.
fn holds(path: &Path, name: &str) -> f64 {
    let (mut told, mut all) = (0, 0);
    for seed in 0..100 {
        let (losses, truth) = play(path, 1000, seed);
        let Losses { outbound, inbound, unknown } = losses;
        let context = format!("{name}, seed {seed}: told {losses:?}, so it is {truth:?}");
        assert_eq!(outbound + inbound + unknown, truth[0] + truth[1], "{context}");
        assert!(outbound <= truth[0] && inbound <= truth[1], "{context}");
        assert!(unknown > 0 || [outbound, inbound] == truth, "{context}");
        told += outbound + inbound;
        all += truth[0] + truth[1];
    }
    #[allow(clippy::cast_precision_loss, reason = "a share")]
    let share = told as f64 / all.max(1) as f64;
    share
}

const BOTH: Path = Path {
    lost: [20, 30],
    doubled: [0, 0],
    spread: [0, 0],
    copies: false,
    restart_at: None,
    base: 0,
    closes: true,
};

#[test]
fn losses_each_way_are_told_exactly_over_a_hundred_seeds() {
    assert!(holds(&BOTH, "both") > 0.9999);
    assert!(holds(&Path { lost: [30, 0], ..BOTH }, "outbound") > 0.9999);
    assert!(holds(&Path { lost: [0, 30], ..BOTH }, "inbound") > 0.9999);
    for spread in [[3000, 0], [0, 3000], [9000, 9000], [50_000, 20_000]] {
        assert!(holds(&Path { spread, ..BOTH }, "reordered") > 0.99, "{spread:?}");
        let path = Path { spread, doubled: [0, 50], ..BOTH };
        assert!(holds(&path, "doubled on the way back") > 0.99, "{spread:?}");
    }
}

#[test]
fn packets_doubled_on_their_way_out_never_exchange_directions() {
    for spread in [[0, 0], [3000, 3000]] {
        let path = Path { doubled: [20, 20], spread, ..BOTH };
        holds(&path, "doubled");
        let path = Path { lost: [20, 0], ..path };
        assert!(holds(&path, "doubled, lost outbound alone") > 0.99);
        let path = Path { doubled: [2, 0], lost: [0, 20], ..path };
        assert!(holds(&path, "few doubled, lost inbound alone") > 0.5);
    }
}

#[test]
fn a_reflector_that_copies_our_numbers_tells_nothing() {
    for closes in [false, true] {
        for spread in [[0, 0], [9000, 9000]] {
            let path = Path { copies: true, closes, spread, ..BOTH };
            assert!(holds(&path, "copied") < 1e-9);
        }
    }
}

#[test]
fn a_count_that_begins_anew_exchanges_nothing() {
    for spread in [[0, 0], [0, 3000], [3000, 0], [3000, 3000]] {
        let path = Path { restart_at: Some(400_000), spread, ..BOTH };
        let told = [[20, 30], [20, 0], [0, 20]]
            .map(|lost| holds(&Path { lost, ..path }, &format!("restarted {spread:?} {lost:?}")));
        // Some around the restart are unknown where packets overtook each other.
        let least = if spread[0] == 0 { 0.9 } else { 0.4 };
        assert!(told.iter().all(|told| *told > least), "{spread:?} {told:?}");
    }
}

#[test]
fn a_count_that_goes_on_from_before_is_no_loss() {
    let path = Path { base: 57, lost: [20, 0], ..BOTH };
    holds(&path, "went on");
    holds(&Path { base: 1_000_000, ..BOTH }, "went on from far");
    holds(&Path { base: u32::MAX - 300, ..BOTH }, "begins again in mid-run");
}

#[test]
fn without_an_answer_at_the_end_the_last_ones_are_unknown() {
    let mut account = ReflectorCount::default();
    account.received(1, 0, 0, Wall(0));
    account.lost_one(2);
    account.received(3, 0, 1, Wall(0));
    account.lost_one(4);
    account.lost_one(5);
    assert_eq!(account.losses(), Losses { outbound: 1, inbound: 0, unknown: 2 });
    account.closing(Some(3));
    assert_eq!(account.losses(), Losses { outbound: 2, inbound: 1, unknown: 0 });
}

#[test]
fn a_new_session_counts_from_zero_and_the_outage_stays_unknown() {
    let mut account = ReflectorCount::default();
    account.received(1, 0, 0, Wall(0));
    (2..=9).for_each(|number| account.lost_one(number));
    // Number 9 had reached the new session; its reply was lost.
    account.received(10, 1, 1, Wall(0));
    account.lost_one(11);
    account.received(12, 1, 2, Wall(0));
    assert_eq!(account.losses(), Losses { outbound: 1, inbound: 1, unknown: 7 });
    assert_eq!(account.restarts, 0);
}

#[test]
fn a_reply_given_up_on_that_comes_after_all_was_lost_neither_way() {
    let mut account = ReflectorCount::default();
    account.received(1, 0, 0, Wall(0));
    account.lost_one(2);
    account.received(3, 0, 2, Wall(0));
    account.lost_one(4);
    account.received(5, 0, 3, Wall(0));
    account.late(1);
    assert_eq!(account.losses(), Losses { outbound: 1, inbound: 0, unknown: 1 });
}
