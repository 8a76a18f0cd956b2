//! The flows of a run beside one another, where its file tells them apart.

use super::error::Problem;
use crate::stats::Summary;
use crate::stats::outliers::{Apart, Series};
use crate::text::format::{count, duration_or_dash};

/// Flows of one run at most: what `client --flows` takes.
const MOST: usize = 256;
/// Rows that the table shows; the others are counted.
const ROWS: usize = 16;

/// One flow.
#[derive(Debug, Clone, Default)]
pub struct Flow {
    /// Its number, from 1.
    pub number: u64,
    /// Its round-trip times in nanoseconds.
    pub rtts: Summary,
    /// Packets without one,
    pub lost: u64,
    /// and runs of them.
    pub losses: u64,
    /// Runs of two and more.
    pub outages: u64,
    /// Packets lost since the last that came.
    in_row: u64,
}

impl Flow {
    /// Packets in all.
    pub fn sent(&self) -> u64 {
        self.rtts.count() + self.lost
    }

    fn record(&mut self, rtt: Option<u64>) {
        let Some(rtt) = rtt else {
            self.lost += 1;
            self.in_row += 1;
            self.losses += u64::from(self.in_row == 1);
            self.outages += u64::from(self.in_row == 2);
            return;
        };
        self.rtts.record(rtt);
        self.in_row = 0;
    }
}

/// The flows of a run, in the order of their numbers.
#[derive(Debug, Clone, Default)]
pub struct Flows(pub Vec<Flow>);

impl Flows {
    /// A packet of flow `number`.
    ///
    /// # Errors
    ///
    /// More flows than a run has.
    pub fn record(&mut self, number: u64, rtt: Option<u64>, line: u64) -> Result<(), Problem> {
        let place = self.0.partition_point(|flow| flow.number < number);
        if self.0.get(place).is_none_or(|flow| flow.number != number) {
            if self.0.len() == MOST {
                let why = format!("more than {MOST} flows");
                return Err(Problem::Line { line, why });
            }
            self.0.insert(place, Flow { number, ..Flow::default() });
        }
        self.0[place].record(rtt);
        Ok(())
    }

    /// What sets them apart.
    pub fn apart(&self) -> Apart {
        let of = |flow: &Flow| Series::new(flow.sent(), flow.losses, &flow.rtts);
        Apart::of(&self.0.iter().map(of).collect::<Vec<_>>())
    }

    /// The heads of the columns of [`Flows::rows`].
    pub const HEAD: [&'static str; 6] = ["flow", "packets", "lost", "p50", "p99", "outages"];

    /// The flows as cells, worst first, and a sentence for those that are left out.
    pub fn rows(&self) -> (Vec<Vec<String>>, Option<String>) {
        let apart = self.apart();
        let mut order: Vec<usize> = (0..self.0.len()).collect();
        order.sort_unstable_by_key(|place| {
            let flow = &self.0[*place];
            let odd = apart.why(*place).is_some();
            std::cmp::Reverse((odd, flow.lost, flow.losses, flow.rtts.percentile(99.0)))
        });
        let row = |place: &usize| {
            let flow = &self.0[*place];
            let time = |percent| duration_or_dash(flow.rtts.percentile(percent)).into();
            let mark = if apart.why(*place).is_some() { " *" } else { "" };
            vec![
                flow.number.to_string(),
                flow.sent().to_string(),
                flow.lost.to_string(),
                time(50.0),
                time(99.0),
                format!("{}{mark}", flow.outages),
            ]
        };
        let more = self.0.len().saturating_sub(ROWS) as u64;
        let more = (more > 0).then(|| format!("and {} more", count(more, "flow")));
        (order.iter().take(ROWS).map(row).collect(), more)
    }

    /// Which flows are unlike the others, in sentences.
    pub fn told(&self) -> Vec<String> {
        let apart = self.apart();
        let named = |places: &[usize]| {
            let numbers = places.iter().map(|place| self.0[*place].number.to_string());
            numbers.collect::<Vec<_>>().join(", ")
        };
        let mut told = Vec::new();
        if !apart.troubled.is_empty() {
            let mut bad = apart.troubled.clone();
            bad.sort_unstable();
            let (lost, sent) = bad.iter().fold((0, 0), |(lost, sent), place| {
                let flow = &self.0[*place];
                (lost + flow.lost, sent + flow.sent())
            });
            told.push(format!(
                "{} of {} flows lose more than the others ({}): {lost} of {sent} packets",
                bad.len(),
                self.0.len(),
                named(&bad),
            ));
        }
        if apart.levels.len() > 1 {
            let groups = apart.levels.iter().map(|group| {
                let mut group = group.clone();
                group.sort_unstable();
                format!("{} ({})", count(group.len() as u64, "flow"), named(&group))
            });
            let groups = groups.collect::<Vec<_>>().join(", ");
            told.push(format!(
                "{} groups by round-trip time, the quickest first: {groups}",
                apart.levels.len()
            ));
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_that_loses_and_one_that_is_slow_are_told() {
        let mut flows = Flows::default();
        for round in 0..400_u64 {
            for flow in 1..=8 {
                let lost = flow == 3 && round % 4 < 2;
                let level = if flow == 6 { 1_900_000 } else { 1_200_000 };
                let rtt = (!lost).then_some(level + round % 7 * 100);
                flows.record(flow, rtt, 2).unwrap();
            }
        }
        assert_eq!(flows.0[2].outages, 100);
        let told = [
            "1 of 8 flows lose more than the others (3): 200 of 400 packets",
            "2 groups by round-trip time, the quickest first: 7 flows (1, 2, 3, 4, 5, 7, 8), \
             1 flow (6)",
        ];
        assert_eq!(flows.told(), told);
        let (rows, more) = flows.rows();
        assert_eq!(rows[0], ["3", "400", "200", "1200.6 us", "1200.6 us", "100 *"]);
        assert_eq!((rows.len(), more), (8, None));
        for flow in 9..=256 {
            flows.record(flow, None, 2).unwrap();
        }
        assert!(flows.record(257, None, 2).is_err());
    }
}
