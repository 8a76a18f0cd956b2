//! Times of one connection: few of them as they are, many of them summed up.

use crate::stats::Summary;

/// So many are kept one by one, in less memory than a histogram takes.
const FEW: usize = 256;

/// A series of times in nanoseconds, in bounded memory.
#[derive(Debug, Clone, Default)]
pub struct Series {
    few: Vec<u64>,
    many: Option<Box<Summary>>,
}

impl Series {
    /// Takes in a time.
    pub fn record(&mut self, nanos: u64) {
        if let Some(many) = &mut self.many {
            return many.record(nanos);
        }
        self.few.push(nanos);
        if self.few.len() == FEW {
            self.many = Some(Box::new(self.summary()));
            self.few = Vec::new();
        }
    }

    /// How many were taken in.
    pub fn count(&self) -> u64 {
        let few = u64::try_from(self.few.len()).unwrap_or(u64::MAX);
        self.many.as_ref().map_or(few, |many| many.count())
    }

    /// The shortest.
    pub fn smallest(&self) -> Option<u64> {
        let few = self.few.iter().min().copied();
        self.many.as_ref().map_or(few, |many| many.min())
    }

    /// All of them summed up.
    pub fn summary(&self) -> Summary {
        if let Some(many) = &self.many {
            return (**many).clone();
        }
        let mut summary = Summary::new();
        self.few.iter().for_each(|&nanos| summary.record(nanos));
        summary
    }
}
