//! A month played in seconds: time is a number.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::clock::Wall;
use crate::probe::link::Connection;
use crate::probe::{Detail, DropCause, Event, Outcome};

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;
const DAYS: u64 = 31;
/// A million packets in a month.
const INTERVAL: u64 = 2_678_400_000;

/// Packets from one outage to the next: five thousand outages in a month.
const OUTAGE: u64 = 200;

/// Has files begun anew at midnight, and keeps what it is told of each day.
#[derive(Default)]
struct Days {
    day: u64,
    turned: bool,
    /// Packets, lost ones, outages and drops of each, and how much was kept of it.
    told: Vec<([u64; 4], usize)>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Days>>);

impl Sink for Shared {
    fn sample(&mut self, sample: &Sample, _anchor: &Anchor) -> Result<(), Gone> {
        let day = sample.sent.0 / DAY;
        let mut days = self.0.lock().unwrap();
        days.turned = day != days.day;
        days.day = day;
        Ok(())
    }

    fn has_turned(&mut self) -> bool {
        std::mem::take(&mut self.0.lock().unwrap().turned)
    }

    fn stretch(&mut self, figures: &Tally, _anchor: &Anchor, _last: bool) {
        let outages = figures.events.of(EventKind::Outage).count;
        let counts = [figures.sent, figures.lost, outages, figures.drops];
        self.0.lock().unwrap().told.push((counts, kept(figures)));
    }

    fn finish(&mut self, _tally: &Tally, _anchor: &Anchor) {}
}

/// How much figures hold: each element of each list stands in this text.
fn kept(tally: &Tally) -> usize {
    format!("{tally:?}").len()
}

fn sample(number: u64, outage: bool) -> Sample {
    let sent = Mono(number * INTERVAL);
    // Between 100 and 164 us, a slow one now and then.
    let rtt = 100_000 + number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % 65_536;
    let rtt = if number.is_multiple_of(500) { rtt + 30_000_000 } else { rtt };
    let at = sent + Duration::from_nanos(rtt);
    Sample {
        number,
        flow: 1,
        due: sent,
        sent,
        went_out: !outage,
        outcome: if outage { Outcome::Lost } else { Outcome::Received { at, late: false } },
        detail: Detail::Tcp {
            info: None,
            retransmitted: false,
            kernel: None,
            evidence: None,
            connection: 1,
            watched: true,
        },
        explained: None,
    }
}

/// What an outage of ten packets ends with; each fourth time the name leads elsewhere.
fn trouble(number: u64) -> Vec<Notice> {
    let at = Mono(number * INTERVAL);
    let span = Duration::from_nanos(10 * INTERVAL);
    let address = |last: u64| SocketAddr::from(([10, 0, 0, u8::try_from(last % 256).unwrap()], 7));
    let mut outage = Event::new(EventKind::Outage, at - span, at);
    outage.remote = Some(address(number / OUTAGE / 4));
    let connection = Connection {
        at,
        local: Some(address(99)),
        remote: address(number / OUTAGE / 4),
        connect: Duration::from_micros(200),
    };
    let mut notices = vec![
        Notice::Down { at, lived: Duration::from_secs(535), local: None, cause: DropCause::Reset },
        Notice::Up { at, connection },
        Notice::Event(Box::new(outage)),
    ];
    if (number / OUTAGE).is_multiple_of(4) {
        let mut change = Event::new(EventKind::AddressChange, at, at);
        (change.former, change.remote) = (Some(address(1)), Some(address(number / OUTAGE / 4)));
        notices.push(Notice::Event(Box::new(change)));
    }
    notices
}

#[test]
fn a_month_of_outages_and_rotations_is_kept_in_constant_room() {
    let days = Shared::default();
    let mut sinks: Vec<Box<dyn Sink>> = vec![Box::new(days.clone())];
    let tally = Tally::new(Mono(0), Duration::from_micros(200));
    let track = Track { tally, sinks: &mut sinks, dealt: false, stretch: None };
    let mut recorder = Recorder::new(vec![track], Anchor { mono: Mono(0), wall: Wall(0) });
    let (mut half, packets) = (0, DAYS * DAY / INTERVAL);
    for number in 0..packets {
        let outage = number % OUTAGE >= OUTAGE - 10;
        recorder.take(&Output::Sample(sample(number, outage)));
        if number % OUTAGE == OUTAGE - 1 {
            for notice in trouble(number) {
                recorder.take(&Output::Notice(notice));
            }
        }
        if number == packets / 2 {
            half = kept(&recorder.tracks[0].tally);
        }
    }
    let tally = recorder.finish().pop().unwrap();
    assert_eq!((tally.sent, tally.lost), (packets, packets / OUTAGE * 10));
    let told = &days.0.lock().unwrap().told;
    assert_eq!(told.len() as u64, DAYS);
    let sum = |place: usize| told.iter().map(|(counts, _)| counts[place]).sum::<u64>();
    let outages = tally.events.of(EventKind::Outage).count;
    assert_eq!([0, 1, 2, 3].map(sum), [tally.sent, tally.lost, outages, tally.drops]);
    assert!(outages > 4_900, "{outages}");
    // Counts of more digits make a text a little longer, what is kept does not.
    let same = |one: usize, other: usize| one.abs_diff(other) < one / 50;
    assert!(same(half, kept(&tally)), "{half} in half a month, {} in all", kept(&tally));
    let (first, last) = (told[1].1, told[30].1);
    assert!(same(first, last), "{first} on the second day, {last} on the last");
}
