//! What happened, on standard error.

use super::text;
use crate::clock::Anchor;
use crate::probe::{EventKind, Gone, Notice, Sample, Sink, Tally};

/// Logs a run's notices; every packet too at debug level.
pub struct DiagnosticsSink {
    size: usize,
    /// What stands before each line.
    label: String,
    /// In a fast run one overdue packet has a thousand neighbours.
    each_overdue: bool,
    /// Nor is each packet named that an outage makes overdue, which has been told.
    in_outage: bool,
}

impl DiagnosticsSink {
    /// For probes of `size` bytes; `each_overdue` names every late packet.
    pub fn new(size: usize, each_overdue: bool) -> Self {
        Self { size, label: String::new(), each_overdue, in_outage: false }
    }

    /// The same with the target's name before each line, where there are several.
    #[must_use]
    pub fn of_target(self, name: &str) -> Self {
        Self { label: format!("{name}: "), ..self }
    }
}

impl Sink for DiagnosticsSink {
    fn sample(&mut self, sample: &Sample, _anchor: &Anchor) -> Result<(), Gone> {
        log::debug!("{}{}", self.label, text::sample(sample, self.size));
        Ok(())
    }

    fn notice(&mut self, notice: &Notice, _anchor: &Anchor) -> Result<(), Gone> {
        match notice {
            Notice::Begun(event) => self.in_outage |= event.kind == EventKind::Outage,
            Notice::Event(event) => self.in_outage &= event.kind != EventKind::Outage,
            _ => {}
        }
        let level = match notice {
            Notice::Overdue { .. } if self.in_outage => log::Level::Debug,
            Notice::Down { .. } => log::Level::Error,
            Notice::Up { .. } | Notice::PathBack { .. } => log::Level::Info,
            Notice::Attempt { .. } => log::Level::Debug,
            Notice::Begun(event) if event.kind == EventKind::Stall => log::Level::Debug,
            Notice::Overdue { .. }
            | Notice::Duplicate { .. }
            | Notice::Counted { .. }
            | Notice::Reordered { .. }
            | Notice::TooLate { .. }
                if !self.each_overdue =>
            {
                log::Level::Debug
            }
            _ => log::Level::Warn,
        };
        log::log!(level, "{}{}", self.label, text::notice(notice));
        Ok(())
    }

    fn finish(&mut self, _tally: &Tally, _anchor: &Anchor) {}
}
