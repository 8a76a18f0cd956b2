//! What becomes of outputs: the tally is kept up, and each sink is told. A plain
//! machine; the thread that it runs in belongs to those who record.

use super::event::EventKind;
use super::outlet::{Output, Standing};
use super::sample::{Notice, Sample};
use super::sink::{Gone, Sink};
use super::tally::Tally;
use crate::clock::{Anchor, Mono};

/// A run's results and where they go.
pub struct Recorder<'sinks> {
    tally: Tally,
    sinks: &'sinks mut [Box<dyn Sink>],
    anchor: Anchor,
    gone: bool,
}

impl<'sinks> Recorder<'sinks> {
    /// For a run that begins with these figures. `anchor` gives times of day.
    pub fn new(tally: Tally, anchor: Anchor, sinks: &'sinks mut [Box<dyn Sink>]) -> Self {
        Self { tally, sinks, anchor, gone: false }
    }

    /// Takes in one output. Where the user wants to see how it stands, gives the
    /// figures and how many probes are outstanding.
    pub fn take(&mut self, output: &Output) -> Option<(&Tally, usize)> {
        match output {
            // One tally for all lanes.
            Output::Lane(_) => {}
            Output::Sample(sample) => self.sample(sample),
            Output::Notice(notice) => self.notice(notice),
            Output::Clocks(fresh) => self.clocks(fresh),
            Output::Show(standing) => {
                self.stand(standing);
                return Some((&self.tally, standing.outstanding));
            }
            Output::End(standing) => self.stand(standing),
        }
        None
    }

    fn sample(&mut self, sample: &Sample) {
        let anchor = self.anchor;
        let explained = self.tally.explain(sample);
        self.tally.sample(sample);
        if explained.is_some() {
            let sample = Sample { explained, ..*sample };
            return self.each(|sink| sink.sample(&sample, &anchor));
        }
        self.each(|sink| sink.sample(sample, &anchor));
    }

    /// What a packet showed that ended a silence tells of the silence.
    fn explained(&self, notice: &Notice) -> Option<Notice> {
        let Notice::Event(event) = notice else { return None };
        if !matches!(event.kind, EventKind::Stall | EventKind::Outage) {
            return None;
        }
        let mut event = event.clone();
        event.cause = Some(self.tally.slow.cause_since(event.end)?);
        Some(Notice::Event(event))
    }

    fn notice(&mut self, notice: &Notice) {
        let explained = self.explained(notice);
        let notice = explained.as_ref().unwrap_or(notice);
        self.tally.notice(notice);
        let anchor = self.anchor;
        self.each(|sink| sink.notice(notice, &anchor));
    }

    fn clocks(&mut self, fresh: &Anchor) {
        if let Some(by) = self.anchor.step(fresh) {
            self.notice(&Notice::ClockStep { at: fresh.mono, by });
            self.anchor = *fresh;
        }
    }

    fn stand(&mut self, standing: &Standing) {
        self.tally.end = standing.at;
        self.tally.tcp.clone_from(&standing.tcp);
    }

    fn each(&mut self, mut act: impl FnMut(&mut dyn Sink) -> Result<(), Gone>) {
        for sink in self.sinks.iter_mut() {
            self.gone |= act(sink.as_mut()).is_err();
        }
    }

    /// Whether nobody reads the results any more.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// By when [`Recorder::tick`] is to be called.
    pub fn deadline(&self) -> Mono {
        self.sinks.iter().map(|sink| sink.deadline()).min().unwrap_or(Mono::NEVER)
    }

    /// The sinks' own chores, where they are due.
    pub fn tick(&mut self, now: Mono) {
        self.tally.end = now;
        for sink in self.sinks.iter_mut().filter(|sink| sink.deadline() <= now) {
            self.gone |= sink.tick(now, &self.tally).is_err();
        }
    }

    /// The run is over: gives its figures.
    pub fn finish(mut self) -> Tally {
        // Rows first: how many were lost belongs to the figures.
        self.tally.not_recorded += self.sinks.iter_mut().map(|sink| sink.settle()).sum::<u64>();
        for sink in self.sinks.iter_mut() {
            sink.finish(&self.tally, &self.anchor);
        }
        self.tally.not_logged = self.sinks.iter_mut().map(|sink| sink.close()).sum();
        self.tally
    }
}
