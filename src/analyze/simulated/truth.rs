//! What is true of a capture of a conversation.

use super::{Nanos, Seen, World};

/// A part of what one end saw, and by which clock.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// What is in it, in the order of their coming.
    pub(super) seen: Vec<Seen>,
    /// How far the clock is ahead, and from when on it was set by how much.
    pub(super) ahead: Nanos,
    pub(super) set: Option<(Nanos, Nanos)>,
    /// Datagrams are in fragments of so many bytes.
    pub(super) fragments: Option<usize>,
}

impl Part {
    pub(super) fn whole(world: &World, place: usize) -> Self {
        Self {
            seen: world.seen[place].clone(),
            ahead: 1_700_000_000_000_000_000,
            set: None,
            fragments: None,
        }
    }

    /// What its clock says.
    pub(super) fn clock(&self, at: Nanos) -> Nanos {
        let set = self.set.map_or(0, |(from, by)| if at >= from { by } else { 0 });
        self.ahead + at + set
    }
}

/// Segments of one side that come behind what was captured before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Behind {
    pub(super) sent_again: u64,
    pub(super) overtaken: u64,
    /// Of them all: those that nothing in the capture tells apart.
    pub(super) unknown: u64,
    /// The same packet once more.
    pub(super) copies: u64,
    /// Of them those without data and number, which may be the sender's own.
    pub(super) silent_copies: u64,
    /// Sent again so soon, and with nothing to tell it by, that it looks like one.
    pub(super) soon: u64,
}

/// Of either side.
pub(super) fn behind(world: &World, part: &Part) -> [Behind; 2] {
    let mut found = [Behind::default(); 2];
    let mut furthest: [Option<(u64, u32)>; 2] = [None; 2];
    let mut known: [Vec<(u64, u64)>; 2] = [Vec::new(), Vec::new()];
    // What was sent again and seen: whether it was counted so.
    let mut seen_again: Vec<(usize, bool)> = Vec::new();
    let mut before = std::collections::HashSet::new();
    for (place, &(at, number)) in part.seen.iter().enumerate() {
        let packet = &world.sent[number];
        let (side, from, to) = (packet.side, packet.from, packet.to());
        let of = &mut found[side];
        if !before.insert(number) {
            of.copies += 1;
            of.silent_copies += u64::from(from == to && !world.shape.numbered);
            continue;
        }
        let overlaps = |other: &super::Sent| {
            other.side == side && other.from < to && from < other.to() && from < to
        };
        let again = world.sent[..number].iter().any(overlaps);
        if from < to && !world.shape.numbered {
            let alike = |&(before, other): &(Nanos, usize)| {
                let other = &world.sent[other];
                at - before < super::MS && other.side == side && other.from == from
            };
            let before = part.seen[..place].iter().rev().take(100);
            of.soon += u64::from(before.into_iter().any(alike));
        }
        let behind = furthest[side].filter(|(end, _)| from < *end && from < to);
        let there = known[side].iter().any(|piece| piece.0 <= from && to <= piece.1);
        if let Some((_, stamp)) = behind {
            let sent_later = seen_again.iter_mut().find(|(other, _)| overlaps(&world.sent[*other]));
            let stamp = match &sent_later {
                Some((other, true)) => world.sent[*other].stamps.0,
                _ => stamp,
            };
            // A count is one after some packets.
            let numbered = world.shape.numbered && known[side].len() > 8;
            let told = numbered || world.shape.stamps && stamp != packet.stamps.0;
            let uncounted = sent_later.filter(|(_, counted)| !*counted);
            let is_again = again || uncounted.is_some();
            *(if is_again { &mut of.sent_again } else { &mut of.overtaken }) += 1;
            of.unknown += u64::from(!(told || there && is_again));
            if let Some((_, counted)) = uncounted {
                *counted = true;
            }
        }
        if again {
            seen_again.push((number, behind.is_some()));
        }
        if furthest[side].is_none_or(|(end, _)| end < to) {
            furthest[side] = Some((to, packet.stamps.0));
        }
        known[side].push((from, to));
    }
    found
}

/// When all bytes of a side's stream before each place in `ends` had passed here.
fn passed(world: &World, place: usize, side: usize, ends: &[u64]) -> Vec<Option<Nanos>> {
    let mut pieces: Vec<(u64, u64)> = Vec::new();
    let mut end = 1;
    let mut times = vec![None; ends.len()];
    for &(at, number) in &world.seen[place] {
        let packet = &world.sent[number];
        if packet.side != side || packet.length == 0 {
            continue;
        }
        pieces.push((packet.from, packet.to()));
        while let Some(next) = pieces.iter().position(|piece| piece.0 <= end) {
            end = end.max(pieces.swap_remove(next).1);
        }
        for (time, wanted) in times.iter_mut().zip(ends) {
            if *wanted <= end {
                time.get_or_insert(at);
            }
        }
    }
    times
}

/// A request as it passed the place of a capture, by the true clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passed {
    pub(super) begun: Nanos,
    pub(super) sent: Nanos,
    pub(super) replied: Nanos,
}

/// Each request that passed with its reply, or `None`.
pub(super) fn requests(world: &World, place: usize) -> Vec<Option<Passed>> {
    let size = world.shape.request;
    let ends: Vec<u64> = (1..=world.shape.requests).map(|number| 1 + number * size).collect();
    let begins: Vec<u64> = ends.iter().map(|end| end - size + 1).collect();
    let begun = passed(world, place, super::CLIENT, &begins);
    let sent = passed(world, place, super::CLIENT, &ends);
    let replied = passed(world, place, super::SERVER, &ends);
    let times = begun.into_iter().zip(sent).zip(replied);
    times
        .map(|((begun, sent), replied)| {
            Some(Passed { begun: begun?, sent: sent?, replied: replied? })
        })
        .collect()
}
