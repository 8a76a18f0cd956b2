//! What `analyze` says of conversations whose truth is known.

use super::frame::{datagram, fragments};
use super::truth::{Behind, Part, Passed, behind, requests};
use super::{CLIENT, SERVER, Shape, World};
use crate::analyze::Capture;
use crate::analyze::connection::{Connection, Vantage};
use crate::analyze::requests::Answered;
use crate::analyze::table::Wish;
use crate::stats::random::tests::simulations;
use crate::stats::random::{Random, mix};
use crate::wire::capture::Captured;

/// Conversations where nothing more is asked for.
const USUAL: u64 = 30;

/// What is said of a part of a conversation.
fn analyzed(world: &World, part: &Part, wish: Wish) -> (Capture, Vec<Answered>) {
    let mut capture = Capture::new(wish);
    let mut answers = Vec::new();
    let mut take = |at, bytes: &[u8]| {
        let captured = Captured {
            at: Some(part.clock(at)),
            link: 101,
            original: u32::try_from(bytes.len()).unwrap(),
            data: 0..bytes.len(),
        };
        capture.take(&captured, bytes, &mut |_, answered| answers.push(answered));
    };
    for &(at, number) in &part.seen {
        let packet = &world.sent[number];
        match part.fragments {
            None => take(at, &datagram(&world.shape, packet)),
            Some(most) => {
                let mark = u16::try_from(number % 60_000).unwrap() + 1;
                let mut all = fragments(&world.shape, packet, most, mark);
                let one = number % 2 % all.len();
                all.rotate_left(one);
                for bytes in &all {
                    take(at, bytes);
                }
            }
        }
    }
    capture.end(&mut |_, answered| answers.push(answered));
    (capture, answers)
}

fn world(seed: u64) -> (World, Random) {
    let mut random = Random::new(mix(seed));
    let shape = Shape::of(&mut random);
    let world = World::played(shape, random.clone());
    (world, random)
}

/// Faults of one kind, with the seeds that show them.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn check(&mut self, good: bool, what: impl FnOnce() -> String) {
        if !good {
            self.0.push(what());
        }
    }

    fn none(self) {
        let some: Vec<_> = self.0.iter().take(12).collect();
        assert!(some.is_empty(), "{} faults: {some:#?}", self.0.len());
    }
}

#[test]
fn what_was_sent_again_and_what_was_overtaken() {
    let mut faults = Faults::default();
    for seed in 0..simulations(USUAL) {
        let (world, _) = world(seed);
        for place in [CLIENT, SERVER] {
            let part = Part::whole(&world, place);
            let (capture, _) = analyzed(&world, &part, Wish::default());
            let truth = behind(&world, &part);
            let Some(connection) = capture.connections.first() else { continue };
            for side in [CLIENT, SERVER] {
                let (said, truth) = (&connection.sides[side], truth[side]);
                let again = said.sent_again();
                let Behind { sent_again, overtaken, unknown, copies, silent_copies, soon } = truth;
                let good = (again + said.out_of_order).abs_diff(sent_again + overtaken) <= soon
                    && again.abs_diff(sent_again) <= unknown + soon
                    && (copies - silent_copies..=copies + soon).contains(&said.copies);
                faults.check(good, || {
                    format!(
                        "seed {seed}, at {place}, side {side}: {truth:?}, said {again} again, {} \
                         overtaken, {} copies; {:?}",
                        said.out_of_order, said.copies, world.shape
                    )
                });
            }
        }
    }
    faults.none();
}

#[test]
fn round_trips_of_requests() {
    let mut faults = Faults::default();
    for seed in 0..simulations(USUAL) {
        let (world, _) = world(seed);
        for place in [CLIENT, SERVER] {
            let part = Part::whole(&world, place);
            let (_, answers) = analyzed(&world, &part, Wish::default());
            let truth = requests(&world, place);
            let all = truth.iter().flatten().count();
            // With several in one segment nobody can say which number each has.
            let apart = !world.coalesces();
            for answer in &answers {
                let said = |passed: &Passed| {
                    part.clock(passed.sent) == answer.sent
                        && part.clock(passed.replied) == answer.replied
                        && part.clock(passed.begun) <= answer.begun
                        && (place == SERVER || part.clock(passed.begun) == answer.begun)
                };
                let number = usize::try_from(answer.number - 1).unwrap();
                let passed = truth.get(number).copied().flatten();
                let good =
                    passed.as_ref().is_some_and(said) || !apart && truth.iter().flatten().any(said);
                let relative = |at: i64| at - part.ahead;
                faults.check(good, || {
                    format!(
                        "seed {seed}, at {place}: request {number} is {passed:?}, said {} {} {}; \
                         {:?}",
                        relative(answer.begun),
                        relative(answer.sent),
                        relative(answer.replied),
                        world.shape
                    )
                });
                if !good {
                    break;
                }
            }
            faults.check(answers.len() == all || !apart && answers.len() < all, || {
                format!("seed {seed}, at {place}: {} of {all}; {:?}", answers.len(), world.shape)
            });
        }
    }
    faults.none();
}

#[test]
fn fragments_make_no_difference() {
    for seed in 0..simulations(USUAL) / 4 {
        let (world, _) = world(seed);
        let mut part = Part::whole(&world, SERVER);
        let (whole, answers) = analyzed(&world, &part, Wish::default());
        part.fragments = Some(if seed % 2 == 0 { 64 } else { 552 });
        let (pieces, others) = analyzed(&world, &part, Wish::default());
        let times = |answers: &[Answered]| -> Vec<_> {
            answers.iter().map(|one| (one.number, one.begun, one.sent, one.replied)).collect()
        };
        assert_eq!(times(&answers), times(&others), "seed {seed}");
        assert!(pieces.packets > whole.packets || world.shape.request < 552, "seed {seed}");
        assert!(pieces.skipped.is_empty(), "seed {seed}: {:?}", pieces.skipped);
        assert_eq!(pieces.looked_at, pieces.packets, "seed {seed}");
    }
}

#[test]
fn where_a_capture_was_made() {
    let mut faults = Faults::default();
    for seed in 0..simulations(USUAL) {
        let (world, _) = world(seed);
        for (place, right) in [(CLIENT, Vantage::Client), (SERVER, Vantage::Server)] {
            let part = Part::whole(&world, place);
            let (capture, _) = analyzed(&world, &part, Wish::default());
            let said = capture.connections.first().and_then(Connection::vantage);
            // On one host both ends are near.
            let near = world.shape.delay[CLIENT] < 200_000;
            faults.check(near || said.is_none() || said == Some(right), || {
                format!("seed {seed}: {said:?}, {right:?}; {:?}", world.shape)
            });
        }
    }
    faults.none();
}

#[test]
fn a_part_of_a_conversation_with_its_clock_set_back_has_no_wrong_times() {
    let mut faults = Faults::default();
    for seed in 0..simulations(USUAL) {
        let (world, mut random) = world(seed);
        for place in [CLIENT, SERVER] {
            let mut part = Part::whole(&world, place);
            let all = part.seen.len() as u64;
            part.seen.truncate(usize::try_from(all / 2 + random.below(all / 2 + 1)).unwrap());
            let (at, _) = part.seen[usize::try_from(random.below(all / 2)).unwrap()];
            let back = 20_000_000 + i64::try_from(random.below(2_000_000_000)).unwrap();
            part.set = (seed % 3 == 0).then_some((at, -back));
            let (_, answers) = analyzed(&world, &part, Wish::default());
            let truth = requests(&world, place);
            for answer in &answers {
                let said = |passed: &Passed| {
                    let spans = part
                        .set
                        .is_some_and(|(at, _)| (passed.begun < at) != (passed.replied < at));
                    !spans
                        && part.clock(passed.sent) == answer.sent
                        && part.clock(passed.replied) == answer.replied
                };
                faults.check(truth.iter().flatten().any(said), || {
                    format!("seed {seed}, at {place}: {answer:?}; {:?}", world.shape)
                });
            }
        }
    }
    faults.none();
}
