//! What becomes of outputs: the tallies are kept up, and each sink is told. A plain
//! machine; the thread that it runs in belongs to those who record.

use super::event::EventKind;
use super::outlet::{Output, Standing};
use super::sample::{Notice, Sample};
use super::sink::{Gone, Sink};
use super::tally::Tally;
use crate::clock::{Anchor, Mono};

/// One target's results and where they go.
pub struct Track<'sinks> {
    /// The figures so far. Where several flows go to the target each has its own
    /// beside the sum of all.
    pub tally: Tally,
    /// Its destinations.
    pub sinks: &'sinks mut [Box<dyn Sink>],
    /// One lane sends for all flows, one after another: a probe's number tells its
    /// flow and its round.
    pub dealt: bool,
    /// The figures since files were begun anew, once they were.
    pub stretch: Option<Tally>,
}

/// A run's results and where they go: a track for each target, whose lanes follow
/// one another, flow by flow.
pub struct Recorder<'sinks> {
    tracks: Vec<Track<'sinks>>,
    /// The track, and the flow in it from 0, that outputs belong to.
    now: (usize, usize),
    anchor: Anchor,
    gone: bool,
}

impl Track<'_> {
    fn flows(&self) -> usize {
        self.tally.flows.len().max(1)
    }

    /// The sample under the number of its round, and its flow from 0.
    fn deal(&self, sample: &Sample) -> (Sample, usize) {
        let flows = u64::try_from(self.flows()).unwrap_or(u64::MAX);
        let place = sample.number.saturating_sub(1);
        let flow = usize::try_from(place % flows).unwrap_or(0);
        (Sample { number: place / flows + 1, ..*sample }, flow)
    }

    fn sample(&mut self, sample: &Sample, flow: usize, anchor: &Anchor) -> Result<(), Gone> {
        let (sample, flow) = if self.dealt { self.deal(sample) } else { (*sample, flow) };
        // Slow is what is slow for its own flow: their paths may differ.
        let explained = match self.tally.flows.get_mut(flow) {
            Some(own) => own.explain(&sample),
            None => self.tally.explain(&sample),
        };
        let number = u16::try_from(flow + 1).unwrap_or(u16::MAX);
        let sample = Sample { flow: number, explained, ..sample };
        let told = self.each(|sink| sink.sample(&sample, anchor));
        // A file that is begun anew begins with this probe.
        self.turn(sample.sent, anchor);
        if let Some(stretch) = &mut self.stretch {
            stretch.add_told(&sample, flow, self.tally.slow.above());
        }
        if let Some(own) = self.tally.flows.get_mut(flow) {
            own.sample(&sample);
            self.tally.slow.add(explained, &sample, own.slow.above());
        }
        self.tally.sample(&sample);
        told
    }

    /// Ends the stretch at `at` if files were begun anew.
    fn turn(&mut self, at: Mono, anchor: &Anchor) {
        if self.sinks.iter_mut().any(|sink| sink.has_turned()) {
            self.end_stretch(at, anchor, false);
            self.stretch = Some(self.tally.anew(at));
        }
    }

    fn end_stretch(&mut self, at: Mono, anchor: &Anchor, last: bool) {
        let stretch = self.stretch.as_mut().unwrap_or(&mut self.tally);
        stretch.end = at;
        for sink in self.sinks.iter_mut() {
            sink.stretch(stretch, anchor, last);
        }
    }

    fn notice(&mut self, notice: &Notice, flow: usize, anchor: &Anchor) -> Result<(), Gone> {
        let explained = self.explained(notice, flow);
        let notice = explained.as_ref().unwrap_or(notice);
        let told = match notice {
            Notice::Pause { at, span, .. } => self.tally.pauses.has(*at, *span),
            _ => false,
        };
        for tally in [Some(&mut self.tally), self.stretch.as_mut()].into_iter().flatten() {
            tally.notice(notice);
            if let Some(own) = tally.flows.get_mut(flow) {
                own.notice(notice);
            }
        }
        // Each lane sees the same standstill.
        if told { Ok(()) } else { self.each(|sink| sink.notice(notice, anchor)) }
    }

    /// An event with its flow, and with what a packet showed that ended a silence.
    fn explained(&self, notice: &Notice, flow: usize) -> Option<Notice> {
        let Notice::Event(event) = notice else { return None };
        let mut event = event.clone();
        event.flow = u16::try_from(flow + 1).unwrap_or(u16::MAX);
        if matches!(event.kind, EventKind::Stall | EventKind::Outage) {
            let own = self.tally.flows.get(flow).unwrap_or(&self.tally);
            event.cause = own.slow.cause_since(event.end).or(event.cause);
        }
        Some(Notice::Event(event))
    }

    fn each(&mut self, mut act: impl FnMut(&mut dyn Sink) -> Result<(), Gone>) -> Result<(), Gone> {
        let mut result = Ok(());
        for sink in self.sinks.iter_mut() {
            result = act(sink.as_mut()).and(result);
        }
        result
    }
}

impl<'sinks> Recorder<'sinks> {
    /// For a run whose tracks begin with these figures. `anchor` gives times of day.
    pub fn new(tracks: Vec<Track<'sinks>>, anchor: Anchor) -> Self {
        Self { tracks, now: (0, 0), anchor, gone: false }
    }

    /// Takes in one output. Where the user wants to see how it stands, gives the
    /// figures of each track and how many probes are outstanding in all.
    pub fn take(&mut self, output: &Output) -> Option<(Vec<&Tally>, usize)> {
        let anchor = self.anchor;
        let (track, flow) = self.now;
        match output {
            Output::Lane(place) => self.now = self.place(*place),
            Output::Sample(sample) => {
                self.track(track, |track| track.sample(sample, flow, &anchor));
            }
            Output::Notice(notice) => {
                self.track(track, |track| track.notice(notice, flow, &anchor));
            }
            Output::Clocks(fresh) => self.clocks(fresh),
            Output::Show(standing) => {
                self.stand(std::slice::from_ref(standing));
                self.aside();
                let tallies = self.tracks.iter().map(|track| &track.tally).collect();
                return Some((tallies, standing.outstanding));
            }
            Output::End(standings) => self.stand(standings),
        }
        None
    }

    /// The track and the flow of a lane.
    fn place(&self, lane: usize) -> (usize, usize) {
        let flows = self.tracks.first().map_or(1, Track::flows);
        (lane / flows, lane % flows)
    }

    fn track(&mut self, place: usize, act: impl FnOnce(&mut Track<'sinks>) -> Result<(), Gone>) {
        if let Some(track) = self.tracks.get_mut(place) {
            self.gone |= act(track).is_err();
        }
    }

    fn clocks(&mut self, fresh: &Anchor) {
        if let Some(by) = self.anchor.step(fresh) {
            let (notice, anchor) = (Notice::ClockStep { at: fresh.mono, by }, self.anchor);
            for track in &mut self.tracks {
                self.gone |= track.notice(&notice, usize::MAX, &anchor).is_err();
            }
            self.anchor = *fresh;
        }
    }

    /// How the lanes stand, in their order; fewer than all where only the time is
    /// new.
    fn stand(&mut self, standings: &[Standing]) {
        let latest = standings.iter().map(|standing| standing.at).max();
        for track in &mut self.tracks {
            track.tally.end = latest.unwrap_or(track.tally.end);
        }
        for (lane, standing) in standings.iter().enumerate() {
            let (track, flow) = self.place(lane);
            let Some(Track { tally, .. }) = self.tracks.get_mut(track) else { continue };
            let end = tally.end;
            if let Some(directions) = &mut tally.directions {
                directions.settle();
                directions.answers.clone_from(&standing.answers);
            }
            let Some(own) = tally.flows.get_mut(flow) else {
                tally.tcp.clone_from(&standing.tcp);
                continue;
            };
            own.end = end;
            own.tcp.clone_from(&standing.tcp);
            if standings.len() > 1 {
                tally.add_tcp(standing.tcp.as_ref());
            }
        }
    }

    fn aside(&mut self) {
        for track in &mut self.tracks {
            track.sinks.iter_mut().for_each(|sink| sink.aside());
        }
    }

    /// Whether nobody reads the results any more.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    fn sinks(&self) -> impl Iterator<Item = &dyn Sink> {
        self.tracks.iter().flat_map(|track| track.sinks.iter().map(Box::as_ref))
    }

    /// By when [`Recorder::tick`] is to be called.
    pub fn deadline(&self) -> Mono {
        self.sinks().map(Sink::deadline).min().unwrap_or(Mono::NEVER)
    }

    /// The sinks' own chores, where they are due.
    pub fn tick(&mut self, now: Mono) {
        let anchor = self.anchor;
        for track in &mut self.tracks {
            track.tally.end = now;
            for sink in track.sinks.iter_mut().filter(|sink| sink.deadline() <= now) {
                self.gone |= sink.tick(now, &track.tally).is_err();
            }
            track.turn(now, &anchor);
        }
        self.pass_on();
    }

    /// What sinks have found out themselves.
    fn pass_on(&mut self) {
        for track in &mut self.tracks {
            while let Some((event, flow)) = track.sinks.iter_mut().find_map(|sink| sink.found()) {
                let notice = Notice::Event(Box::new(event));
                self.gone |= track.notice(&notice, flow, &self.anchor).is_err();
            }
        }
    }

    /// The run is over: gives the figures of each track.
    pub fn finish(mut self) -> Vec<Tally> {
        self.pass_on();
        for track in &mut self.tracks {
            // Rows first: how many were lost belongs to the figures.
            let lost = track.sinks.iter_mut().map(|sink| sink.settle()).sum::<u64>();
            track.tally.not_recorded += lost;
            if let Some(stretch) = &mut track.stretch {
                stretch.not_recorded += lost;
            }
            track.end_stretch(track.tally.end, &self.anchor, true);
        }
        // The first last: it may tell of all.
        for Track { tally, sinks, .. } in self.tracks.iter_mut().rev() {
            for sink in sinks.iter_mut() {
                sink.finish(tally, &self.anchor);
            }
        }
        for Track { tally, sinks, .. } in &mut self.tracks {
            tally.not_logged = sinks.iter_mut().map(|sink| sink.close()).sum();
        }
        self.tracks.into_iter().map(|track| track.tally).collect()
    }
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
