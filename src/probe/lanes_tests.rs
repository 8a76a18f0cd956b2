//! Several lanes over scripted links: no socket, no clock, no sleep.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::super::detail::Detail;
use super::super::link::{Arrival, Link, TcpTotals, What};
use super::super::outlet::{Delivery, Inlet, outlet};
use super::super::sample::{DropCause, Notice, Outcome, Sample};
use super::super::schedule::Plan;
use super::super::tracker::Tracker;
use super::*;
use crate::clock::{Anchor, Wall};

const MS: u64 = 1_000_000;
/// What each send and each look takes.
const STEP: u64 = 1_000;

/// The world that all scripted links share.
#[derive(Default)]
struct World {
    now: u64,
    /// What is under way to each lane: when it comes, and what it is.
    under_way: Vec<VecDeque<(u64, What)>>,
    /// Who did what when: the lane, and the probe sent or nothing for a look.
    done: Vec<(u64, usize, Option<u64>)>,
}

struct Script {
    world: Rc<RefCell<World>>,
    place: usize,
    /// How long a round trip takes, in ms; `None` is never.
    round_trip: Option<u64>,
}

impl Link for Script {
    fn send(&mut self, number: u64) -> Mono {
        let world = &mut *self.world.borrow_mut();
        world.now += STEP;
        world.done.push((world.now, self.place, Some(number)));
        if let Some(round_trip) = self.round_trip {
            let at = world.now + round_trip * MS;
            let mine = &mut world.under_way[self.place];
            mine.push_back((at, What::Reply(Detail::None)));
            mine.make_contiguous().sort_by_key(|(at, _)| *at);
        }
        Mono(world.now)
    }

    fn receive(&mut self, until: Mono) -> Arrival {
        let world = &mut *self.world.borrow_mut();
        assert!(until.0 <= world.now, "a lane among several never waits alone");
        world.now += STEP;
        world.done.push((world.now, self.place, None));
        let mine = &mut world.under_way[self.place];
        let what = mine.pop_front_if(|(at, _)| *at <= world.now);
        Arrival { at: Mono(world.now), what: what.map_or(What::Nothing, |(_, what)| what) }
    }

    fn finish(&mut self) {
        self.world.borrow_mut().under_way[self.place].clear();
    }

    fn anchor(&mut self) -> Anchor {
        Anchor { mono: Mono(self.world.borrow().now), wall: Wall(0) }
    }

    fn tcp(&self) -> Option<TcpTotals> {
        None
    }
}

struct Door {
    world: Rc<RefCell<World>>,
    waits: u64,
    /// The first wait ends this much too late.
    standstill: u64,
}

impl Gate for Door {
    fn wait(&mut self, until: Mono, ready: &mut Vec<usize>) -> Mono {
        self.waits += 1;
        let world = &mut *self.world.borrow_mut();
        let heads = world.under_way.iter().map(|way| way.front().map_or(u64::MAX, |head| head.0));
        let first = heads.clone().min().unwrap_or(u64::MAX).min(until.0);
        assert!(first < u64::MAX, "a wait without an end");
        world.now = world.now.max(first) + std::mem::take(&mut self.standstill);
        let there = |(place, head): (usize, u64)| (head <= world.now).then_some(place);
        ready.extend(heads.enumerate().filter_map(there));
        Mono(world.now)
    }
}

#[derive(Default)]
struct Kept {
    samples: Vec<(usize, Sample)>,
    notices: Vec<(usize, Notice)>,
}

impl Kept {
    fn all(inlet: &Inlet) -> Self {
        let mut kept = Self::default();
        let mut lane = usize::MAX;
        while let Delivery::Batch(batch) = inlet.receive(Duration::ZERO) {
            for output in batch {
                match output {
                    Output::Lane(place) => lane = place,
                    Output::Sample(sample) => kept.samples.push((lane, sample)),
                    Output::Notice(notice) => kept.notices.push((lane, notice)),
                    Output::Clocks(_) | Output::Show(_) | Output::End(_) => {}
                }
            }
        }
        kept
    }
}

struct NoOrders;

impl Control for NoOrders {
    fn order(&mut self) -> Option<Order> {
        None
    }
}

fn plan(frequency_ms: u64, count: u64) -> Plan {
    Plan {
        frequency: Duration::from_millis(frequency_ms),
        count,
        duration: None,
        timeout: Duration::from_millis(500),
        reconnect: false,
        ..Plan::default()
    }
}

struct Played {
    kept: Kept,
    world: World,
    waits: u64,
}

/// Lanes with these round trips; each begins a millisecond after the one before.
fn play(
    plan: Plan,
    round_trips: &[Option<u64>],
    standstill: u64,
    ends: Option<(usize, u64)>,
) -> Played {
    let world = Rc::new(RefCell::new(World::default()));
    world.borrow_mut().under_way = vec![VecDeque::new(); round_trips.len()];
    if let Some((place, at)) = ends {
        world.borrow_mut().under_way[place].push_back((at, What::Down(DropCause::Closed)));
    }
    let lane = |(place, answer): (usize, &Option<u64>)| {
        let link = Script { world: Rc::clone(&world), place, round_trip: *answer };
        Lane::new(link, Tracker::new(plan, Mono(place as u64 * MS)))
    };
    let mut lanes: Vec<_> = round_trips.iter().enumerate().map(lane).collect();
    let mut door = Door { world: Rc::clone(&world), waits: 0, standstill };
    let (mut outlet, inlet) = outlet();
    let standings = run_lanes(&mut lanes, &mut door, &mut outlet, &mut NoOrders);
    outlet.end(standings);
    drop(lanes);
    let kept = Kept::all(&inlet);
    let waits = door.waits;
    Played { kept, world: std::mem::take(&mut *world.borrow_mut()), waits }
}

fn of(played: &Played, place: usize) -> Vec<Sample> {
    played.kept.samples.iter().filter(|(lane, _)| *lane == place).map(|(_, s)| *s).collect()
}

#[test]
fn lanes_with_different_round_trips_each_keep_their_schedule_and_their_times() {
    let played = play(plan(10, 20), &[Some(1), Some(35), Some(7)], 0, None);
    for (place, round_trip) in [(0, 1), (1, 35), (2, 7)] {
        let samples = of(&played, place);
        let numbers: Vec<u64> = samples.iter().map(|sample| sample.number).collect();
        assert_eq!(numbers, (1..=20).collect::<Vec<_>>());
        for sample in samples {
            let due = place as u64 * MS + (sample.number - 1) * 10 * MS;
            assert_eq!(sample.due, Mono(due));
            assert!(sample.sent.0 - due <= 8 * STEP, "lane {place}: {sample:?}");
            let rtt = sample.rtt_nanos().unwrap();
            let off = rtt - round_trip * MS;
            assert!(off <= 8 * STEP, "lane {place}: {off} ns more than {round_trip} ms");
        }
    }
}

#[test]
fn a_silent_lane_holds_up_no_other_and_loses_its_own_packets() {
    let played = play(plan(10, 20), &[Some(3), None, Some(3)], 0, None);
    assert!(of(&played, 1).iter().all(|sample| sample.outcome == Outcome::Lost));
    assert_eq!(of(&played, 1).len(), 20);
    for place in [0, 2] {
        assert!(of(&played, place).iter().all(|sample| sample.rtt_nanos() < Some(4 * MS)));
    }
}

#[test]
fn a_lane_that_ends_leaves_the_others_to_their_end() {
    let played = play(plan(10, 20), &[Some(3), Some(3), Some(3)], 0, Some((1, 55 * MS)));
    let lost = of(&played, 1).iter().filter(|sample| sample.outcome == Outcome::Lost).count();
    assert!((0..=1).contains(&lost), "{lost}");
    assert!(of(&played, 1).len() < 8, "its connection ended at 55 ms");
    assert_eq!([of(&played, 0).len(), of(&played, 2).len()], [20, 20]);
    let downs: Vec<usize> = played.kept.notices.iter().map(|(place, _)| *place).collect();
    assert!(!downs.is_empty() && downs.iter().all(|&place| place == 1), "{downs:?}");
}

#[test]
fn after_a_standstill_the_lanes_take_turns_step_by_step() {
    let played = play(plan(1, 100), &[Some(1), Some(1), Some(1)], 90 * MS, None);
    let world = &played.world;
    let burst = world.done.iter().filter(|(at, ..)| *at > 90 * MS);
    let order: Vec<usize> = burst.take(60).map(|(_, place, _)| *place).collect();
    // Each of the three within any few steps: nobody's backlog is worked off first.
    for window in order.windows(6) {
        for place in 0..3 {
            assert!(window.contains(&place), "{order:?}");
        }
    }
}

#[test]
fn a_wait_costs_no_look_at_lanes_that_have_nothing() {
    let mut round_trips = vec![Some(5); 1];
    round_trips.extend(vec![None; 255]);
    let quiet = Plan { timeout: Duration::from_secs(5), ..plan(10_000, 1) };
    let played = play(quiet, &round_trips, 0, None);
    let looks = played.world.done.iter().filter(|(_, _, sent)| sent.is_none()).count();
    assert!(looks <= 2, "{looks} looks for one reply");
    assert!(played.waits <= 256 * 3 + 4, "{} waits", played.waits);
}
