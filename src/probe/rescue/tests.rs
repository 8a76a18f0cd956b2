//! The machine alone: silence and attempts written down, no link.

use super::*;

const MS: u64 = 1_000_000;
const RTT: u64 = 20;

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 2], port))
}

fn connection(port: u16, at: u64) -> Connection {
    let remote = "10.0.0.1:7".parse().unwrap();
    let connect = Duration::from_millis(RTT);
    Connection { at: Mono(at * MS), local: Some(local(port)), remote, connect }
}

/// What becomes of a scout's large packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Large {
    Pass,
    InPart,
    Vanish,
}

/// A world in which a rescue acts, a millisecond after another.
struct World {
    rescue: Rescue,
    now: u64,
    /// From when on scouts are answered.
    answers_from: u64,
    /// Whether the connection's own port is answered too.
    own_port: bool,
    /// Segments that the silent connection has sent again, by time.
    copies: fn(u64) -> u32,
    acknowledged: bool,
    large: Large,
    notices: Vec<Notice>,
    attempts: u32,
    /// When the first scout is answered, whose SYN the kernel has sent again.
    first_again: Option<u64>,
    first: Option<u32>,
    down: Option<(u64, DropCause)>,
}

impl World {
    fn new() -> Self {
        let policy = Policy {
            scouts: true,
            keep_port: false,
            timeout: Duration::from_secs(5),
            interval: Duration::from_millis(50),
        };
        Self {
            rescue: Rescue::new(policy, Some(connection(4000, 0))),
            now: 0,
            answers_from: u64::MAX,
            own_port: true,
            copies: |_| 0,
            acknowledged: false,
            large: Large::Pass,
            notices: Vec::new(),
            attempts: 0,
            first_again: None,
            first: None,
            down: None,
        }
    }

    fn answer(&mut self, id: u32, from: Option<SocketAddr>, small: bool) {
        self.attempts += 1;
        self.first.get_or_insert(id);
        if self.large != Large::Pass && !small {
            let remote = "10.0.0.1:7".parse().unwrap();
            let told = |progress| Attempted { id, local: from, remote, progress };
            let at = Mono((self.now + RTT) * MS);
            self.rescue.on_attempt(at, told(Progress::Connected));
            if self.large == Large::InPart {
                self.rescue.on_attempt(at, told(Progress::Partly));
            }
            return;
        }
        if self.now < self.answers_from || (from.is_some() && !self.own_port) {
            return;
        }
        let remote = "10.0.0.1:7".parse().unwrap();
        let attempted = Attempted { id, local: from, remote, progress: Progress::Answered };
        self.rescue.on_attempt(Mono((self.now + 2 * RTT) * MS), attempted);
    }

    fn act(&mut self, act: Act) {
        let done = match act {
            Act::Attempt { elsewhere: true, .. } => Done::Nowhere,
            Act::Attempt { id, from, small, .. } => {
                self.answer(id, from, small);
                Done::Done
            }
            Act::Adopt(_) => Done::Up(connection(5000, self.now)),
            Act::Look => Done::Looked(Look {
                copies: Some((self.copies)(self.now)),
                acknowledged_before: self.acknowledged.then_some(Duration::ZERO),
                nothing_missing: self.acknowledged,
            }),
            _ => Done::Done,
        };
        self.rescue.on_done(Mono(self.now * MS), act, done);
    }

    /// Silence since 0, watched until `until`.
    fn watch(mut self, until: u64) -> Self {
        while self.now <= until {
            let now = Mono(self.now * MS);
            if self.down.is_none() {
                self.rescue.watch(now, Mono(0), Mono(0));
            }
            while let Some(order) = self.rescue.step(now) {
                match order {
                    Order::Act(act) => self.act(act),
                    Order::GiveUp(cause) => {
                        self.rescue.on_down(now, Mono(0), &cause, true);
                        self.down = Some((self.now, cause));
                    }
                }
            }
            if let (Some(id), true) = (self.first, self.first_again == Some(self.now)) {
                let remote = "10.0.0.1:7".parse().unwrap();
                let progress = Progress::Answered;
                let attempted = Attempted { id, local: None, remote, progress };
                self.rescue.on_attempt(now, attempted);
            }
            self.notices.append(self.rescue.notices());
            self.now += 1;
        }
        self
    }

    fn event(&self) -> Event {
        let event = |notice: &Notice| match notice {
            Notice::Event(event) => Some((**event).clone()),
            _ => None,
        };
        let found = self.notices.iter().find_map(event);
        found.unwrap_or_else(|| panic!("{:?}", self.notices))
    }
}

#[test]
fn the_path_is_back_within_a_quarter_second_and_two_round_trips() {
    for cut in [2_000, 8_010, 30_120, 90_240] {
        let world = World { answers_from: cut, ..World::new() };
        let mut world = world.watch(cut + 600);
        let at = Mono(world.now * MS);
        world.rescue.on_reply(at, Duration::from_millis(RTT));
        world.notices.append(world.rescue.notices());
        let event = world.event();
        let off = event.span().as_millis() - u128::from(cut);
        assert!(off <= 250 + 2 * u128::from(RTT), "{off} ms late for a cut of {cut} ms");
        assert_eq!((event.kind, event.fate), (EventKind::Outage, Some(Fate::Survived)));
        assert_eq!(event.cause, Some(Cause::Path));
        assert!(event.resumed_after.is_some());
    }
}

#[test]
fn a_short_silence_is_a_stall_and_sends_no_scout() {
    let mut world = World::new().watch(900);
    world.rescue.on_progress(Mono(900 * MS));
    world.notices.append(world.rescue.notices());
    assert_eq!((world.event().kind, world.attempts), (EventKind::Stall, 0));
}

#[test]
fn a_forgotten_connection_is_made_anew_from_its_own_port() {
    let copies = |now| if now < 1_400 { 2 } else { 3 };
    let world = World { answers_from: 0, copies, ..World::new() }.watch(4_000);
    let event = world.event();
    assert_eq!(event.fate, Some(Fate::Forgotten), "{event:?}");
    assert!(matches!(
        world.down,
        Some((2_400..2_800, DropCause::GivenUp { sent_again: true, .. }))
    ));
}

#[test]
fn a_copy_that_was_lost_before_the_path_came_back_is_no_proof() {
    // Scouts leave at 1,750 and 2,000: the copy was lost between them.
    let copies = |now| if now < 1_900 { 2 } else { 3 };
    let world = World { answers_from: 1_950, copies, ..World::new() }.watch(6_000);
    assert!(world.down.is_none(), "{:?}", world.down);
    // Nor one after the first scout had left, whose SYN was sent again and answered.
    let copies = |now| if now < 1_500 { 2 } else { 3 };
    let world = World { answers_from: 2_010, first_again: Some(2_005), copies, ..World::new() };
    let world = world.watch(6_000);
    assert!(world.down.is_none(), "{:?}", world.down);
}

#[test]
fn one_copy_that_is_lost_on_a_lossy_path_is_no_proof() {
    let copies = |now| if now < 1_400 { 40 } else { 41 };
    let world = World { answers_from: 0, copies, ..World::new() }.watch(20_000);
    assert!(world.down.is_none(), "{:?}", world.down);
    let copies = |now| match now {
        0..1_400 => 40,
        1_400..3_000 => 41,
        3_000..6_000 => 42,
        _ => 43,
    };
    let world = World { answers_from: 0, copies, ..World::new() }.watch(9_000);
    assert!(matches!(world.down, Some((7_000..7_400, DropCause::GivenUp { .. }))));
}

#[test]
fn a_port_that_stays_silent_while_others_are_answered_is_dead() {
    let copies = |now| if now < 1_400 { 2 } else { 3 };
    let world = World { answers_from: 0, copies, own_port: false, ..World::new() }.watch(9_000);
    let event = world.event();
    assert_eq!((event.fate, event.cause), (Some(Fate::DeadPorts), Some(Cause::Path)), "{event:?}");
    assert!(event.span() > Duration::from_secs(5), "until the change-over");
}

#[test]
fn without_a_copy_of_the_kernel_the_fate_is_unknown() {
    let world = World { answers_from: 0, ..World::new() }.watch(33_000);
    assert_eq!(world.event().fate, Some(Fate::Unknown));
    assert!(matches!(world.down, Some((31_000.., DropCause::GivenUp { sent_again: false, .. }))));
}

#[test]
fn small_packets_that_pass_while_large_ones_vanish_are_an_mtu_black_hole() {
    let vanish = [(false, Large::Vanish), (true, Large::Vanish), (false, Large::InPart)];
    for (acknowledged, large) in vanish {
        let world = World { answers_from: 0, acknowledged, large, ..World::new() };
        let mut world = world.watch(8_000);
        world.rescue.finish(Mono(8_000 * MS));
        world.notices.append(world.rescue.notices());
        assert!(world.down.is_none(), "{:?}", world.down);
        let events: Vec<Event> = world
            .notices
            .iter()
            .filter_map(|notice| match notice {
                Notice::Event(event) => Some((**event).clone()),
                _ => None,
            })
            .collect();
        let holes = events.iter().filter(|event| event.kind == EventKind::MtuBlackHole).count();
        // What came through in part was not too large, but lost.
        assert_eq!(holes, usize::from(large == Large::Vanish), "{events:?}");
        assert!(events.iter().all(|event| event.cause == Some(Cause::Path)), "{events:?}");
    }
}

#[test]
fn a_peer_whose_kernel_acknowledges_is_never_given_up() {
    let copies = |now| if now < 1_400 { 2 } else { 3 };
    let world = World { answers_from: 0, acknowledged: true, copies, ..World::new() };
    let mut world = world.watch(60_000);
    assert!(world.down.is_none(), "{:?}", world.down);
    world.rescue.on_reply(Mono(world.now * MS), Duration::from_millis(RTT));
    world.notices.append(world.rescue.notices());
    assert_eq!(
        (world.event().cause, world.event().fate),
        (Some(Cause::Peer), Some(Fate::Survived))
    );
}
