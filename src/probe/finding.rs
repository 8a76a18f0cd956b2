//! What a run's figures say about the way they came about, each with advice.

use std::fmt;

use super::tally::{Pauses, Tally};

/// Round-trip times that gather where no network put them.
///
/// The rule, for a plateau from `low` to `high`: at least three round trips
/// and one in a hundred lie there; they are at least four times as many as lie
/// in the equally wide stretch on either side; and the path is known to be
/// faster than half of `low`, from a handshake or any round trip. A path whose
/// true round trip is 40 ms never falls under it, because its handshake takes
/// 40 ms too; nor does one with jitter, whose times have no edges; nor a peer
/// that was asked to wait. And half of those packets have to bear it out: their
/// replies came in two parts, the second a delayed acknowledgement after the first;
/// or they were sent again after the shortest time-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plateau {
    /// Linux holds an acknowledgement back for 40 ms.
    DelayedAck,
    /// Linux sends a lost segment again after 200 ms at the earliest.
    MinimumRto,
}

impl Plateau {
    const ALL: [Self; 2] = [Self::DelayedAck, Self::MinimumRto];

    /// Its edges in nanoseconds: timer granularity and a round trip come on top
    /// of the timer itself.
    fn edges(self) -> (u64, u64) {
        match self {
            Self::DelayedAck => (38_000_000, 56_000_000),
            Self::MinimumRto => (196_000_000, 240_000_000),
        }
    }

    fn found(self, tally: &Tally) -> Option<Finding> {
        let (low, high) = self.edges();
        let width = high - low;
        let within = tally.rtt.count_between(low, high);
        let around = tally
            .rtt
            .count_between(low - width, low)
            .max(tally.rtt.count_between(high, high + width));
        let fastest = tally.rtt.min()?;
        let fastest = tally.connect.min().map_or(fastest, |connect| connect.min(fastest));
        // Datagrams wait for none of these timers.
        let over_tcp = tally.directions.is_none();
        let gathered = within >= 3 && within * 100 >= tally.rtt.count() && within >= 4 * around;
        let unexplained = tally.peer_delay.is_zero();
        // A magnitude alone is no evidence: a path may have become longer, and a send
        // interval may be as long as a timer.
        let borne_out = match self {
            Self::DelayedAck => tally.slow.in_two_parts,
            Self::MinimumRto => tally.slow.after_minimum_rto,
        };
        let proven = borne_out >= 3 && borne_out * 2 >= within;
        let plain = over_tcp && unexplained && gathered && proven;
        (plain && fastest * 2 < low).then(|| Finding::Plateau {
            plateau: self,
            packets: within,
            of: tally.rtt.count(),
        })
    }
}

/// Something about the measurement itself that a reader must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Round trips gather at one of the kernel's timers.
    Plateau {
        /// Which timer.
        plateau: Plateau,
        /// How many round trips lie there.
        packets: u64,
        /// Of so many.
        of: u64,
    },
    /// This host stood still while it measured.
    Paused(Pauses),
    /// A reflector writes nanoseconds where NTP's fraction of a second belongs.
    NanosecondFractions,
    /// A reflector's times cannot be true.
    UntrueTimes {
        /// Of how many packets.
        packets: u64,
        /// Of so many.
        of: u64,
    },
}

impl Finding {
    /// A name for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plateau { plateau: Plateau::DelayedAck, .. } => "delayed_ack_plateau",
            Self::Plateau { plateau: Plateau::MinimumRto, .. } => "minimum_rto_plateau",
            Self::Paused(_) => "host_pauses",
            Self::NanosecondFractions => "nanosecond_fractions",
            Self::UntrueTimes { .. } => "untrue_reflector_times",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plateau { plateau: Plateau::DelayedAck, packets, of } => write!(
                f,
                "{packets} of {of} round trips gather at 40 ms on a faster path: a delayed ACK \
                 met Nagle's algorithm. Likely the server runs without TCP_NODELAY, or the \
                 payload exceeds what it reads at once; set NODELAY there (xinetd: flags = \
                 NODELAY; systemd: NoDelay=true) or use 'echotest server'"
            ),
            Self::Plateau { plateau: Plateau::MinimumRto, packets, of } => write!(
                f,
                "{packets} of {of} round trips gather at 200 ms on a faster path: the kernel's \
                 shortest retransmission time-out. Segments were lost with nothing behind them; \
                 look for loss on the path (--tcp-info marks the packets)"
            ),
            Self::Paused(Pauses { count, total, longest, .. }) => write!(
                f,
                "this host stood still {}, {:.3} s in all, {:.3} s at the longest: \
                 round trips in that time are not the network's",
                if *count == 1 { "1 time".to_owned() } else { format!("{count} times") },
                total.as_secs_f64(),
                longest.as_secs_f64()
            ),
            Self::NanosecondFractions => f.write_str(
                "the reflector writes nanoseconds where the fraction of a second belongs: its \
                 times run too slow within each second, so one-way delays mean nothing, and \
                 most of the time that it held packets is still in the round trips",
            ),
            Self::UntrueTimes { packets, of } => write!(
                f,
                "the reflector's times of {packets} of {of} packets cannot be true: it says that \
                 it sent before it received, or held a packet for longer than the round trip. \
                 Theirs are plain round-trip times, with the reflector's time in them"
            ),
        }
    }
}

/// Everything found.
pub fn findings(tally: &Tally) -> Vec<Finding> {
    let plateaus = Plateau::ALL.iter().filter_map(|plateau| plateau.found(tally));
    let paused = (tally.pauses.count > 0).then_some(Finding::Paused(tally.pauses));
    let untrue = tally.directions.as_ref().filter(|directions| directions.untrue_times > 0);
    let untrue = untrue.map(|directions| Finding::UntrueTimes {
        packets: directions.untrue_times,
        of: directions.received,
    });
    let nanoseconds = tally.directions.as_ref().filter(|found| found.counts_nanoseconds());
    let nanoseconds = nanoseconds.map(|_| Finding::NanosecondFractions);
    plateaus.chain(paused).chain(untrue).chain(nanoseconds).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Mono;
    use std::time::Duration;

    fn names(connect_ms: u64, rtts_ms: impl IntoIterator<Item = f64>) -> Vec<&'static str> {
        let mut tally = Tally::new(Mono(0), Duration::from_millis(connect_ms));
        (tally.slow.in_two_parts, tally.slow.after_minimum_rto) = (1000, 1000);
        for rtt in rtts_ms {
            tally.rtt.record(Duration::from_secs_f64(rtt / 1e3).as_nanos().try_into().unwrap());
        }
        findings(&tally).iter().map(Finding::name).collect()
    }

    #[test]
    fn a_delayed_ack_on_a_fast_path_is_named() {
        let all = std::iter::repeat_n(43.8, 10);
        assert_eq!(names(1, all), ["delayed_ack_plateau"]);
        let some = (0..100).map(|n| if n % 20 == 0 { 41.0 } else { 0.3 });
        assert_eq!(names(1, some), ["delayed_ack_plateau"]);
    }

    #[test]
    fn a_magnitude_alone_is_no_evidence() {
        let mut tally = Tally::new(Mono(0), Duration::from_millis(1));
        for rtt in std::iter::repeat_n(43_800_000, 10).chain(std::iter::repeat_n(205_000_000, 10)) {
            tally.rtt.record(rtt);
        }
        assert_eq!(findings(&tally), []);
    }

    #[test]
    fn a_path_of_forty_milliseconds_is_no_plateau() {
        let steady = (0..1000).map(|n| 40.0 + f64::from(n % 7) / 10.0);
        assert!(names(40, steady).is_empty());
    }

    #[test]
    fn a_delay_that_was_asked_for_is_no_plateau() {
        let peer_delay = Duration::from_millis(40);
        let mut tally = Tally { peer_delay, ..Tally::new(Mono(0), Duration::from_millis(1)) };
        for _ in 0..10 {
            tally.rtt.record(40_100_000);
        }
        assert_eq!(findings(&tally), []);
    }

    #[test]
    fn jitter_without_edges_is_no_plateau() {
        let spread = (0..1000).map(|n| 5.0 + f64::from(n % 100));
        assert!(names(5, spread).is_empty());
    }

    #[test]
    fn one_straggler_is_no_plateau() {
        assert!(names(1, [0.2, 0.2, 40.0, 41.0, 0.2]).is_empty());
    }

    #[test]
    fn retransmission_time_outs_are_named_as_such() {
        let lossy = (0..200).map(|n| if n % 50 == 0 { 211.0 } else { 10.0 });
        assert_eq!(names(10, lossy), ["minimum_rto_plateau"]);
        let far = (0..200).map(|n| 205.0 + f64::from(n % 9));
        assert!(names(204, far).is_empty());
    }
}
