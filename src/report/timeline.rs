//! What happened when: equal spans of time, each with its percentiles and
//! losses, in constant memory for a run of any length.

use super::outages::Outage;
use crate::stats::Histogram;

/// Spans kept. When they run out, neighbours are joined.
pub const MOST: usize = 480;
/// Spans that a page or JSON shows.
pub const SHOWN: usize = 240;
/// The width at first, in nanoseconds.
const FIRST_WIDTH: u64 = 1 << 10;

/// Six bits keep a value to within 0.8 %, in 512 bytes for each doubling that
/// occurs: there are hundreds of spans.
type Rtts = Histogram<6>;

/// What is gathered in a span.
#[derive(Debug, Clone, Default)]
struct Bucket {
    rtts: Rtts,
    /// The longest round-trip time.
    max: u64,
    received: u64,
    lost: u64,
    /// Of these, how many came after one that was not lost.
    losses: u64,
    outage: bool,
}

impl Bucket {
    fn percentile(&self, percent: f64) -> Option<u64> {
        self.rtts.percentile(percent).map(|value| value.min(self.max))
    }

    fn max(&self) -> Option<u64> {
        (self.received > 0).then_some(self.max)
    }

    fn absorb(&mut self, other: &Self) {
        self.rtts.absorb(&other.rtts);
        self.max = self.max.max(other.max);
        self.received += other.received;
        self.lost += other.lost;
        self.losses += other.losses;
        self.outage |= other.outage;
    }
}

/// The spans of a run.
#[derive(Debug, Clone)]
pub struct Timeline {
    start: u64,
    /// Two to this power nanoseconds.
    width: u64,
    buckets: Vec<Bucket>,
    /// The last packet was lost.
    losing: bool,
}

impl Timeline {
    /// One that begins with a packet sent then (nanoseconds since 1970).
    pub fn new(start: u64) -> Self {
        Self { start, width: FIRST_WIDTH, buckets: Vec::new(), losing: false }
    }

    /// The next packet.
    #[inline]
    pub fn record(&mut self, sent: u64, rtt: Option<u64>) {
        let began = rtt.is_none() && !self.losing;
        self.losing = rtt.is_none();
        let bucket = self.bucket(sent);
        if let Some(rtt) = rtt {
            bucket.rtts.record(rtt);
            bucket.max = bucket.max.max(rtt);
            bucket.received += 1;
        } else {
            bucket.lost += 1;
            bucket.losses += u64::from(began);
        }
    }

    /// What each span with a packet in it lost.
    pub fn losses(&self) -> Vec<Losses> {
        let mut start = self.start;
        let each = self.buckets.iter().map(|bucket| {
            let &Bucket { received, lost, losses, .. } = bucket;
            let losses = Losses { start, packets: received + lost, lost, begun: losses };
            start = start.saturating_add(self.width);
            losses
        });
        each.filter(|losses| losses.packets > 0).collect()
    }

    /// Marks an outage.
    pub fn mark(&mut self, outage: &Outage) {
        self.bucket(outage.end);
        let first = self.place(outage.start);
        // The packet at its end came back.
        let last = self.place(outage.end.saturating_sub(1)).max(first);
        for bucket in self.buckets.iter_mut().take(last + 1).skip(first) {
            bucket.outage = true;
        }
    }

    #[inline]
    fn place(&self, sent: u64) -> usize {
        usize::try_from(sent.saturating_sub(self.start) / self.width).unwrap_or(usize::MAX)
    }

    /// The bucket of a time; one before the start is in the first.
    #[inline]
    fn bucket(&mut self, sent: u64) -> &mut Bucket {
        let mut place = self.place(sent);
        if place >= self.buckets.len() {
            while place >= MOST {
                self.join();
                place = self.place(sent);
            }
            if place >= self.buckets.len() {
                self.buckets.resize_with(place + 1, Bucket::default);
            }
        }
        &mut self.buckets[place]
    }

    /// Joins neighbours: half as many, twice as wide.
    fn join(&mut self) {
        let half = self.buckets.len().div_ceil(2);
        for place in 0..half {
            let mut sum = std::mem::take(&mut self.buckets[2 * place]);
            if let Some(other) = self.buckets.get(2 * place + 1) {
                sum.absorb(other);
            }
            self.buckets[place] = sum;
        }
        self.buckets.truncate(half);
        self.width *= 2;
    }

    /// The same in at most so many spans, each as wide as several, as it is
    /// shown.
    pub fn at_most(&self, spans: usize) -> Spans {
        let group = self.buckets.len().div_ceil(spans.max(1)).max(1);
        let shown = |several: &[Bucket]| {
            let mut sum = Bucket::default();
            for bucket in several {
                sum.absorb(bucket);
            }
            Span {
                p50: sum.percentile(50.0),
                p99: sum.percentile(99.0),
                max: sum.max(),
                received: sum.received,
                lost: sum.lost,
                outage: sum.outage,
            }
        };
        Spans {
            start: self.start,
            width: self.width.saturating_mul(group as u64),
            spans: self.buckets.chunks(group).map(shown).collect(),
        }
    }
}

/// What was lost in a span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Losses {
    /// When it begins, in nanoseconds since 1970.
    pub start: u64,
    /// Packets sent in it.
    pub packets: u64,
    /// How many of them were lost.
    pub lost: u64,
    /// Runs of lost packets that began in it.
    pub begun: u64,
}

/// One span of time as it is shown; round-trip times in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// The median.
    pub p50: Option<u64>,
    /// The p99.
    pub p99: Option<u64>,
    /// The largest.
    pub max: Option<u64>,
    /// Packets sent in it that came back.
    pub received: u64,
    /// Packets sent in it that were lost.
    pub lost: u64,
    /// Whether an outage touched it.
    pub outage: bool,
}

/// The spans of a run as they are shown.
#[derive(Debug, Clone)]
pub struct Spans {
    /// When the first begins, in nanoseconds since 1970.
    pub start: u64,
    /// The width of each, in nanoseconds.
    pub width: u64,
    /// One after another.
    pub spans: Vec<Span>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_spans_widen_and_lose_nothing() {
        let mut timeline = Timeline::new(5 * SECOND);
        for second in 0..100_000 {
            let rtt = (second % 10 > 0).then_some(second + 1);
            timeline.record((5 + second) * SECOND, rtt);
        }
        let buckets = &timeline.buckets;
        assert!((MOST / 2..=MOST).contains(&buckets.len()), "{}", buckets.len());
        assert_eq!(buckets.iter().map(|bucket| bucket.lost).sum::<u64>(), 10_000);
        assert_eq!(buckets.iter().map(|bucket| bucket.losses).sum::<u64>(), 10_000);
        assert_eq!(buckets.iter().map(|bucket| bucket.received).sum::<u64>(), 90_000);
        let covered = timeline.width * buckets.len() as u64;
        assert!((99_999 * SECOND..102_000 * SECOND).contains(&covered));
        let maxima: Vec<_> = buckets.iter().map(Bucket::max).collect();
        assert!(maxima.is_sorted());
        assert!((31..=60).contains(&timeline.at_most(60).spans.len()));
    }

    #[test]
    fn an_outage_marks_all_that_it_touched() {
        let mut timeline = Timeline::new(0);
        timeline.record(0, Some(5));
        for sent in 1..5 {
            timeline.record(sent * FIRST_WIDTH, None);
        }
        timeline.record(9 * FIRST_WIDTH, Some(5));
        let all = timeline.losses();
        assert_eq!(all.iter().map(|losses| losses.lost).sum::<u64>(), 4);
        assert_eq!(all.iter().map(|losses| losses.begun).sum::<u64>(), 1);
        assert_eq!((all.len(), all[5].start, all[5].packets), (6, 9 * FIRST_WIDTH, 1));
        timeline.mark(&Outage { start: FIRST_WIDTH, end: 9 * FIRST_WIDTH, packets: 4 });
        let marked: Vec<bool> = timeline.buckets.iter().map(|bucket| bucket.outage).collect();
        assert_eq!(marked.iter().filter(|outage| **outage).count(), 8);
        assert!(!marked[0] && !marked[9]);
    }

    #[test]
    fn a_clock_set_back_or_far_ahead_is_survived() {
        let mut timeline = Timeline::new(SECOND);
        timeline.record(0, Some(1));
        timeline.record(u64::MAX, Some(2));
        assert_eq!(timeline.buckets[0].received, 1);
        assert!(timeline.buckets.len() <= MOST);
    }
}
