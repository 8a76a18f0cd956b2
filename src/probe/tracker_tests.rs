//! Whole runs over a scripted link: no socket, no clock, no sleep.

use crate::probe::Track;
use std::collections::VecDeque;
use std::time::Duration;

use super::super::detail::Detail;
use super::super::event::{Event, EventKind};
use super::super::link::{
    Act, Arrival, Attempted, Connection, Done, Link, Progress, TcpTotals, What,
};
use super::super::outlet::{Delivery, outlet};
use super::super::recorder::Recorder;
use super::super::run::{Control, Order, run};
use super::super::sample::{DropCause, Notice, Outcome, Sample};
use super::super::schedule::Plan;
use super::super::sink::{Gone, Sink};
use super::super::tally::Tally;
use super::Tracker;
use crate::clock::{Anchor, Mono, Wall};
use std::sync::{Arc, Mutex};

const MS: u64 = 1_000_000;

/// A path that answers each probe after a delay of its own, over simulated
/// time.
struct Script {
    now: u64,
    /// Delay of the reply to each probe sent, in ms; `None` is never.
    delays: Box<dyn Fn(u64) -> Option<u64>>,
    /// Replies under way: when, and what.
    under_way: VecDeque<(u64, What)>,
    /// When the connection breaks, and why.
    break_at: Option<(u64, DropCause)>,
    /// When connecting works again.
    back_at: u64,
    /// How long the handshake's end goes unnoticed, in ms.
    unnoticed: u64,
    sent: Vec<(u64, u64)>,
    anchors: VecDeque<Anchor>,
}

impl Script {
    fn new(delays: impl Fn(u64) -> Option<u64> + 'static) -> Self {
        Self {
            now: 0,
            delays: Box::new(delays),
            under_way: VecDeque::new(),
            break_at: None,
            back_at: 0,
            unnoticed: 0,
            sent: Vec::new(),
            anchors: VecDeque::new(),
        }
    }
}

impl Link for Script {
    fn send(&mut self, number: u64) -> Mono {
        self.sent.push((number, self.now));
        if let Some(delay) = (self.delays)(number) {
            // A byte stream: no reply overtakes another.
            let last = self.under_way.back().map_or(0, |(at, _)| *at);
            let at = (self.now + delay * MS).max(last);
            self.under_way.push_back((at, What::Reply(Detail::None)));
        }
        Mono(self.now)
    }

    fn receive(&mut self, until: Mono) -> Arrival {
        let reply = self.under_way.front().map_or(u64::MAX, |(at, _)| *at);
        let broken = self.break_at.as_ref().map_or(u64::MAX, |(at, _)| *at);
        assert!(until.0.min(reply).min(broken) < u64::MAX, "a wait without an end");
        let (at, what) = if broken <= reply && broken <= until.0 {
            self.under_way.clear();
            let (at, cause) = self.break_at.take().unwrap();
            (at, What::Down(cause))
        } else if reply <= until.0 {
            self.under_way.pop_front().unwrap()
        } else {
            (until.0, What::Nothing)
        };
        self.now = self.now.max(at);
        Arrival { at: Mono(self.now), what }
    }

    fn act(&mut self, act: Act) -> Done {
        let remote = "10.0.0.1:7".parse().unwrap();
        match act {
            Act::Attempt { elsewhere: true, .. } => return Done::Nowhere,
            Act::Attempt { id, .. } => {
                // An attempt that is refused after a millisecond.
                let (at, progress) = if self.now >= self.back_at {
                    (self.now + 2 * MS + self.unnoticed * MS, Progress::Answered)
                } else {
                    (self.now + MS, Progress::Failed("refused".to_owned()))
                };
                let attempted = Attempted { id, local: None, remote, progress };
                self.under_way.push_back((at, What::Attempt(Box::new(attempted))));
            }
            Act::Adopt(_) => {
                let connect = Duration::from_millis(2);
                let at = Mono(self.now);
                return Done::Up(Connection { at, local: None, remote, connect });
            }
            Act::Abort => self.under_way.clear(),
            _ => {}
        }
        Done::Done
    }

    fn anchor(&mut self) -> Anchor {
        let wall = Wall(i64::try_from(self.now).unwrap());
        self.anchors.pop_front().unwrap_or(Anchor { mono: Mono(self.now), wall })
    }

    fn tcp(&self) -> Option<TcpTotals> {
        None
    }
}

#[derive(Clone, Default)]
struct Heard {
    samples: Vec<Sample>,
    walls: Vec<i64>,
    notices: Vec<Notice>,
}

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Heard>>);

impl Sink for Kept {
    fn sample(&mut self, sample: &Sample, anchor: &Anchor) -> Result<(), Gone> {
        let mut heard = self.0.lock().unwrap();
        heard.samples.push(*sample);
        heard.walls.push(anchor.wall(sample.sent).0);
        Ok(())
    }

    fn notice(&mut self, notice: &Notice, _anchor: &Anchor) -> Result<(), Gone> {
        self.0.lock().unwrap().notices.push(notice.clone());
        Ok(())
    }

    fn finish(&mut self, _tally: &Tally, _anchor: &Anchor) {}
}

struct NoOrders;

impl Control for NoOrders {
    fn order(&mut self) -> Option<Order> {
        None
    }
}

struct Played {
    tally: Tally,
    samples: Vec<Sample>,
    walls: Vec<i64>,
    notices: Vec<Notice>,
    sent: Vec<(u64, u64)>,
}

fn record(link: &mut impl Link, tracker: &mut Tracker, mut recorder: Recorder<'_>) -> Tally {
    let (mut outlet, inlet) = outlet();
    let standing = run(link, tracker, &mut outlet, &mut NoOrders);
    outlet.end(vec![standing]);
    while let Delivery::Batch(batch) = inlet.receive(Duration::ZERO) {
        assert!(batch.iter().all(|output| recorder.take(output).is_none()));
    }
    recorder.finish().remove(0)
}

fn play(plan: Plan, mut script: Script) -> Played {
    let kept = Kept::default();
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(kept.clone())];
    let start = Mono(script.now);
    let anchor = Anchor { mono: start, wall: Wall(0) };
    let mut tracker = Tracker::new(plan, start);
    let tally = Tally::new(start, Duration::ZERO);
    let tally = record(
        &mut script,
        &mut tracker,
        Recorder::new(
            vec![Track { tally, sinks: &mut sinks, dealt: false, stretch: None }],
            anchor,
        ),
    );
    let Heard { samples, walls, notices } = kept.0.lock().unwrap().clone();
    Played { tally, samples, walls, notices, sent: script.sent }
}

fn plan(frequency_ms: u64, count: u64) -> Plan {
    Plan {
        frequency: Duration::from_millis(frequency_ms),
        count,
        duration: None,
        timeout: Duration::from_millis(500),
        ..Plan::default()
    }
}

fn events(notices: &[Notice]) -> Vec<Event> {
    let event = |notice: &Notice| match notice {
        Notice::Event(event) => Some((**event).clone()),
        _ => None,
    };
    notices.iter().filter_map(event).collect()
}

fn rtts(samples: &[Sample]) -> Vec<Option<u64>> {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap();
    samples.iter().map(|sample| sample.rtt().map(millis)).collect()
}

#[test]
fn packets_go_out_on_schedule_while_replies_are_outstanding() {
    let played = play(plan(10, 5), Script::new(|_| Some(35)));
    let due = [0, 10, 20, 30, 40].map(|at| at * MS);
    assert_eq!(played.sent.iter().map(|(_, at)| *at).collect::<Vec<_>>(), due);
    assert_eq!(rtts(&played.samples), [Some(35); 5]);
    assert_eq!(played.tally.elapsed(), Duration::from_millis(75));
}

#[test]
fn ping_pong_sends_when_the_reply_is_in() {
    let played = play(plan(0, 3), Script::new(Some));
    assert_eq!(played.sent, [(1, 0), (2, MS), (3, 3 * MS)]);
    assert_eq!(played.tally.lateness.max(), Some(0));
}

#[test]
fn a_late_reply_is_counted_for_its_own_packet() {
    let delays = |number| Some(if number == 3 { 1000 } else { 20 });
    let played = play(plan(400, 6), Script::new(delays));
    // In a byte stream the replies to packets 4 and 5 wait behind that to 3.
    let expected = [20, 20, 1000, 600, 200, 20].map(Some);
    assert_eq!(rtts(&played.samples), expected);
    assert_eq!((played.tally.late, played.tally.lost), (2, 0));
    assert!(matches!(played.notices[0], Notice::Overdue { number: 3, .. }), "{:?}", played.notices);
}

#[test]
fn packets_due_in_an_outage_are_lost_on_time_and_never_sent() {
    let mut script = Script::new(|_| Some(5));
    script.break_at = Some((250 * MS, DropCause::Reset));
    script.back_at = 620 * MS;
    let played = play(plan(100, 12), script);
    let sent: Vec<u64> = played.sent.iter().map(|(number, _)| *number).collect();
    assert_eq!(sent, [1, 2, 3, 9, 10, 11, 12], "the third attempt, after 500 ms, is answered");
    let numbers: Vec<u64> = played.samples.iter().map(|sample| sample.number).collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    let lost = &played.samples[3];
    assert_eq!((lost.sent, lost.outcome), (Mono(300 * MS), Outcome::Lost));
    assert_eq!((played.tally.sent, played.tally.lost, played.tally.drops), (12, 5, 1));
    assert_eq!(played.tally.established, 2);
    let outage = played.tally.outage.as_millis();
    assert!((500..510).contains(&outage), "{outage}");
}

#[test]
fn packets_due_before_the_handshakes_end_was_noticed_are_lost_too() {
    let mut script = Script::new(|_| Some(5));
    script.break_at = Some((250 * MS, DropCause::Reset));
    script.unnoticed = 1000;
    let played = play(plan(100, 20), script);
    // Down at 250 ms, the first attempt at once, noticed at 1,252.
    let sent: Vec<u64> = played.sent.iter().map(|(number, _)| *number).collect();
    assert_eq!(sent, [1, 2, 3].into_iter().chain(14..=20).collect::<Vec<_>>());
    assert_eq!((played.samples.len(), played.tally.lost), (20, 10));
    assert!(played.tally.lateness.max() < Some(MS), "{:?}", played.tally.lateness.max());
}

#[test]
fn an_outage_begins_with_the_last_sign_of_life() {
    // Replies take 300 ms and packets leave every 100 ms.
    let mut script = Script::new(|_| Some(300));
    script.break_at = Some((1_010 * MS, DropCause::Reset));
    let played = play(plan(100, 30), script);
    let outage = &events(&played.notices)[0];
    assert_eq!((outage.kind, outage.begin), (EventKind::Outage, Mono(1_000_000_000)));
}

#[test]
fn silence_ends_no_connection_unless_the_protocol_waits_no_longer() {
    let answers = |number| (number < 4).then_some(10);
    let played = play(plan(100, 30), Script::new(answers));
    assert_eq!((played.tally.drops, played.tally.sent, played.tally.lost), (0, 30, 27));
    let give_up = Some(Duration::from_millis(1500));
    let played = play(Plan { give_up, ..plan(100, 30) }, Script::new(answers));
    let down = |notice: &&Notice| matches!(notice, Notice::Down { .. });
    let Some(Notice::Down { at, cause, .. }) = played.notices.iter().find(down) else {
        panic!("{:?}", played.notices)
    };
    assert_eq!(*at, Mono(1800 * MS));
    assert!(matches!(cause, DropCause::NoReply { .. }), "{cause:?}");
}

#[test]
fn the_run_waits_for_stragglers_one_timeout_and_no_longer() {
    let played = play(plan(10, 2), Script::new(|number| (number == 1).then_some(1)));
    assert_eq!(played.tally.elapsed(), Duration::from_millis(510));
    assert_eq!((played.tally.received, played.tally.lost), (1, 1));
    let played = play(plan(10, 2), Script::new(|_| Some(1)));
    assert_eq!(played.tally.elapsed(), Duration::from_millis(11));
}

#[test]
fn without_reconnecting_the_first_drop_ends_the_run() {
    let mut script = Script::new(|_| Some(5));
    script.break_at = Some((250 * MS, DropCause::Closed));
    let played = play(Plan { reconnect: false, ..plan(100, 0) }, script);
    assert_eq!((played.tally.sent, played.tally.received, played.tally.drops), (3, 3, 1));
}

#[test]
fn the_duration_ends_sending_before_its_own_end() {
    let duration = Some(Duration::from_millis(300));
    let played = play(Plan { duration, ..plan(100, 0) }, Script::new(|_| Some(1)));
    assert_eq!(played.tally.sent, 3);
    let played = play(Plan { duration, ..plan(0, 0) }, Script::new(|_| Some(100)));
    assert_eq!(played.tally.sent, 3);
}

#[test]
fn a_duration_that_ends_in_an_outage_ends_the_run() {
    let mut script = Script::new(|_| Some(5));
    script.break_at = Some((250 * MS, DropCause::Reset));
    script.back_at = u64::MAX;
    let duration = Some(Duration::from_secs(1));
    let played = play(Plan { duration, ..plan(100, 0) }, script);
    assert_eq!((played.tally.sent, played.tally.received, played.tally.lost), (10, 3, 7));
    // The last packet was due at 900 ms: there is nothing left to wait for.
    assert_eq!(played.tally.outage, Duration::from_millis(650));
}

#[test]
fn a_corrupt_reply_is_a_drop_and_neither_received_nor_lost() {
    let mut script = Script::new(|_| None);
    script.under_way.push_back((5 * MS, What::Corrupt));
    let played = play(plan(100, 1), script);
    assert_eq!((played.tally.corrupt, played.tally.received, played.tally.lost), (1, 0, 0));
    assert_eq!((played.tally.drops, played.tally.loss_percent()), (1, Some(100.0)));
}

#[test]
fn bytes_nobody_asked_for_are_a_drop() {
    let mut script = Script::new(|_| None);
    script.under_way.push_back((5 * MS, What::Reply(Detail::None)));
    script.under_way.push_back((50 * MS, What::Reply(Detail::None)));
    let played = play(plan(100, 2), script);
    assert_eq!((played.tally.received, played.tally.drops), (1, 1));
    assert!(matches!(played.notices[0], Notice::Down { cause: DropCause::Unasked, .. }));
}

#[test]
fn the_wall_clock_set_back_an_hour_changes_no_round_trip_time() {
    const HOUR: i64 = 3_600_000_000_000;
    let mut script = Script::new(|_| Some(7));
    let seconds = |s: u64| Mono(s * 1000 * MS);
    for second in 1..=3 {
        let wall = i64::try_from(second * 1000 * MS).unwrap() - HOUR;
        script.anchors.push_back(Anchor { mono: seconds(second), wall: Wall(wall) });
    }
    let played = play(plan(500, 8), script);
    assert_eq!(rtts(&played.samples), [Some(7); 8]);
    let steps: Vec<&Notice> =
        played.notices.iter().filter(|n| matches!(n, Notice::ClockStep { .. })).collect();
    assert!(matches!(steps[..], [Notice::ClockStep { by, .. }] if *by == -HOUR), "{steps:?}");
    assert!(played.walls[0] == 0 && played.walls[7] < 0, "{:?}", played.walls);
}

#[test]
fn what_fell_due_in_a_standstill_is_skipped_and_not_sent_in_a_burst() {
    // The first wait takes 100 ms longer than asked for, as on a starved host.
    struct Slow(Script, bool);
    impl Link for Slow {
        fn send(&mut self, number: u64) -> Mono {
            self.0.send(number)
        }
        fn receive(&mut self, until: Mono) -> Arrival {
            if !std::mem::replace(&mut self.1, true) {
                self.0.now += 100 * MS;
            }
            self.0.receive(until)
        }
        fn anchor(&mut self) -> Anchor {
            self.0.anchor()
        }
        fn tcp(&self) -> Option<TcpTotals> {
            None
        }
    }
    let mut link = Slow(Script::new(|_| Some(0)), false);
    let mut tracker = Tracker::new(plan(10, 20), Mono(0));
    let anchor = Anchor { mono: Mono(0), wall: Wall(0) };
    let tally = Tally::new(Mono(0), Duration::ZERO);
    let tally = record(
        &mut link,
        &mut tracker,
        Recorder::new(vec![Track { tally, sinks: &mut [], dealt: false, stretch: None }], anchor),
    );
    assert_eq!((tally.sent, tally.received, tally.skipped), (11, 11, 9));
    assert!(tally.lateness.max() < Some(10 * MS), "{:?}", tally.lateness.max());
    assert_eq!(tally.events.kept.len(), 1, "a pause is an event");
}
