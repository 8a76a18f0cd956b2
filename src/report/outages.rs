//! Outages: packets lost in a row.

/// Fewer lost in a row are losses, not an outage.
const FEWEST: u64 = 2;
/// The longest are kept by themselves.
const KEPT: usize = 10;

/// Packets lost in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// When the first was sent, in nanoseconds since 1970.
    pub start: u64,
    /// When the first was sent that came back; that of the last lost one, if
    /// the file ends before.
    pub end: u64,
    /// How many were lost.
    pub packets: u64,
}

impl Outage {
    /// How long it lasted, in nanoseconds.
    pub fn nanos(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// Outages of several runs that began within [`TOGETHER`] of one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Together {
    /// When the first began, in nanoseconds since 1970.
    pub at: u64,
    /// From there to when the last of them began, in nanoseconds.
    pub apart: u64,
    /// The places of the runs.
    pub runs: Vec<usize>,
}

/// Outages that begin so near to one another may have one cause, in nanoseconds.
pub const TOGETHER: u64 = 10_000_000_000;

impl Together {
    /// What several of these runs have in common, of the longest outages of each.
    pub fn of<'runs>(runs: impl Iterator<Item = &'runs Outages>) -> Vec<Self> {
        let each = runs.enumerate().flat_map(|(run, outages)| {
            outages.longest().iter().map(move |outage| (outage.start, run))
        });
        let mut all: Vec<(u64, usize)> = each.collect();
        all.sort_unstable();
        let mut found: Vec<Self> = Vec::new();
        for (start, run) in all {
            match found.last_mut().filter(|last| start - last.at <= TOGETHER) {
                Some(last) => {
                    last.apart = start - last.at;
                    if !last.runs.contains(&run) {
                        last.runs.push(run);
                    }
                }
                None => found.push(Self { at: start, apart: 0, runs: vec![run] }),
            }
        }
        found.retain(|together| together.runs.len() > 1);
        found
    }
}

/// Finds outages in a series of packets, in constant memory.
#[derive(Debug, Clone, Default)]
pub struct Outages {
    current: Option<Outage>,
    count: u64,
    nanos: u64,
    longest: Vec<Outage>,
}

impl Outages {
    /// The next packet was lost.
    pub fn lost(&mut self, sent: u64) {
        let current = self.current.get_or_insert(Outage { start: sent, end: sent, packets: 0 });
        current.packets += 1;
        current.end = current.end.max(sent);
    }

    /// The next packet came back: an outage that was under way is returned.
    #[inline]
    pub fn received(&mut self, sent: u64) -> Option<Outage> {
        let outage = self.current.take()?;
        self.close(Outage { end: outage.end.max(sent), ..outage })
    }

    /// There is no further packet.
    pub fn finish(&mut self) -> Option<Outage> {
        let outage = self.current.take()?;
        self.close(outage)
    }

    fn close(&mut self, outage: Outage) -> Option<Outage> {
        if outage.packets < FEWEST {
            return None;
        }
        self.count += 1;
        self.nanos = self.nanos.saturating_add(outage.nanos());
        let place = self.longest.partition_point(|other| other.nanos() >= outage.nanos());
        if place < KEPT {
            self.longest.truncate(KEPT - 1);
            self.longest.insert(place, outage);
        }
        Some(outage)
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How long they lasted together, in nanoseconds.
    pub fn nanos(&self) -> u64 {
        self.nanos
    }

    /// The ten longest, the longest first.
    pub fn longest(&self) -> &[Outage] {
        &self.longest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_from_the_first_lost_to_the_first_that_came_back() {
        let mut outages = Outages::default();
        outages.lost(100);
        assert_eq!(outages.received(200), None, "a single loss is none");
        outages.lost(300);
        outages.lost(400);
        assert_eq!(outages.received(500), Some(Outage { start: 300, end: 500, packets: 2 }));
        outages.lost(600);
        outages.lost(700);
        outages.lost(800);
        assert_eq!(outages.finish().map(|outage| outage.nanos()), Some(200));
        assert_eq!((outages.count(), outages.nanos()), (2, 400));
    }

    #[test]
    fn outages_of_several_runs_at_one_time_are_named() {
        let outages = |starts: &[u64]| {
            let mut outages = Outages::default();
            for start in starts {
                outages.lost(*start);
                outages.lost(start + 1);
                outages.received(start + 5);
            }
            outages
        };
        let runs = [outages(&[100, TOGETHER * 5]), outages(&[300 + TOGETHER / 2]), outages(&[])];
        let apart = 200 + TOGETHER / 2;
        let expected = Together { at: 100, apart, runs: vec![0, 1] };
        assert_eq!(Together::of(runs.iter()), [expected]);
    }

    #[test]
    fn the_longest_are_kept() {
        let mut outages = Outages::default();
        for length in [5, 1, 9, 3, 7, 2, 8, 4, 6, 20, 11, 12, 10] {
            outages.lost(0);
            outages.lost(0);
            outages.received(length);
        }
        let longest: Vec<u64> = outages.longest().iter().map(Outage::nanos).collect();
        assert_eq!(longest, [20, 12, 11, 10, 9, 8, 7, 6, 5, 4]);
    }
}
