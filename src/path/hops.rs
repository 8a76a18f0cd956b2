//! The routers on the way of one flow: which is asked next, and what they said.
//!
//! A flow is a source port that stays, so that routers which choose among equal
//! paths by ports choose the same one each time.

use std::net::IpAddr;
use std::time::Duration;

use crate::wire::icmp::IcmpError;

/// So many hops without an answer, one after another, and no end beyond them: what
/// follows is dark too.
pub const DARK: usize = 5;
/// A silent hop just before the end may be the end itself, whose answer was lost:
/// it is asked so often before the path is believed to be that long.
const SURE: u32 = 3;

/// What came of one connection attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing in time.
    Nothing,
    /// A router where the packet had passed as many as it may.
    Router(IpAddr, Duration),
    /// The other end.
    End(End, Duration),
    /// Somebody who does not let it pass.
    Refused(IcmpError, Duration),
}

/// How the other end answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It accepts connections.
    SynAck,
    /// The host is there, nothing listens.
    Reset,
}

impl End {
    /// As tcpdump and traceroute call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::SynAck => "SYN-ACK",
            Self::Reset => "RST",
        }
    }
}

/// One hop of a flow.
#[derive(Debug, Clone, Default)]
pub struct Hop {
    /// Attempts that were to end here.
    pub sent: u32,
    /// Who answered, and how long that took; more than one of them where routers
    /// choose by something else than ports.
    pub answers: Vec<(IpAddr, Duration)>,
    /// What was said instead of letting the packet pass.
    pub refused: Option<IcmpError>,
    /// Names of those who answered, where they were looked up.
    pub names: Vec<(IpAddr, String)>,
}

impl Hop {
    /// Whether anybody answered.
    pub fn is_known(&self) -> bool {
        !self.answers.is_empty()
    }

    /// Each who answered, once.
    pub fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> = self.answers.iter().map(|(from, _)| *from).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }
}

/// The way of one flow.
#[derive(Debug, Clone)]
pub struct Trail {
    /// Its source port; 0 before the first attempt.
    pub port: u16,
    /// The hops, from the first router on.
    pub hops: Vec<Hop>,
    /// How the other end answered: the last of the hops, then.
    pub end: Option<End>,
    /// Why this host cannot ask further.
    pub failed: Option<String>,
    target: IpAddr,
    most: usize,
    count: u32,
    /// No hop beyond the present ones is asked.
    ended: bool,
}

impl Trail {
    /// A way to `target` of at most `most` hops, each asked `count` times.
    pub fn new(port: u16, target: IpAddr, most: usize, count: u32) -> Self {
        let (hops, end, failed) = (Vec::new(), None, None);
        Self { port, hops, end, failed, target, most, count, ended: false }
    }

    /// The hop to ask now, from 1; `None` if there is nothing left to ask of
    /// `reachable` ends, which are known to answer.
    pub fn next(&self, reachable: bool) -> Option<usize> {
        if self.failed.is_some() {
            return None;
        }
        if !self.ended && self.hops.len() < self.most && (reachable || self.dark() < DARK) {
            return Some(self.hops.len() + 1);
        }
        if self.end.is_some()
            && let Some((before, hop)) = self.before_end()
            && !hop.is_known()
            && hop.sent < SURE
        {
            return Some(before);
        }
        let asked = self.hops.len() - self.dark();
        // The whole way each time: a router's limit on ICMP recovers meanwhile.
        let least = self.hops.iter().take(asked).map(|hop| hop.sent).min()?;
        let next = self.hops.iter().take(asked).position(|hop| hop.sent == least)?;
        (least < self.count).then_some(next + 1)
    }

    fn before_end(&self) -> Option<(usize, &Hop)> {
        let place = self.hops.len().checked_sub(2)?;
        Some((place + 1, &self.hops[place]))
    }

    /// Hops at the end of which nothing is known.
    pub fn dark(&self) -> usize {
        self.hops.iter().rev().take_while(|hop| !hop.is_known()).count()
    }

    /// Asked of hop `number`, counted from 1.
    pub fn asked(&mut self, number: usize) {
        if self.hops.len() < number {
            self.hops.resize(number, Hop::default());
        }
        self.hops[number - 1].sent += 1;
    }

    /// What came of it.
    pub fn learn(&mut self, number: usize, answer: Answer) {
        let target = self.target;
        let Some(hop) = self.hops.get_mut(number - 1) else { return };
        match answer {
            Answer::Nothing => return,
            Answer::Router(from, took) => return hop.answers.push((from, took)),
            Answer::End(end, took) => {
                hop.answers.push((target, took));
                self.end = Some(end);
            }
            Answer::Refused(said, took) => {
                hop.answers.push((said.from.unwrap_or(target), took));
                hop.refused = Some(said);
                self.end = None;
            }
        }
        // Beyond the end there is nothing: an earlier answer of it was lost.
        self.hops.truncate(number);
        self.ended = true;
    }

    /// Whether the other end answered: with a handshake, a reset, or by saying
    /// itself that it does not let this pass.
    pub fn is_reached(&self) -> bool {
        self.end.is_some()
            || self
                .hops
                .last()
                .is_some_and(|hop| hop.refused.is_some_and(|said| said.from == Some(self.target)))
    }
}

/// A hop at which flows go different ways: its number, and who is there on the way
/// of which flows, by their places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// The hop, from 1.
    pub hop: usize,
    /// Each address with the flows that go by it.
    pub branches: Vec<(IpAddr, Vec<usize>)>,
}

impl Fork {
    /// Who is at hop `number` on the way of which flows.
    pub fn at(trails: &[Trail], number: usize) -> Self {
        let mut branches: Vec<(IpAddr, Vec<usize>)> = Vec::new();
        for (flow, trail) in trails.iter().enumerate() {
            for address in trail.hops.get(number - 1).into_iter().flat_map(Hop::addresses) {
                match branches.iter_mut().find(|(known, _)| *known == address) {
                    Some((_, flows)) => flows.push(flow),
                    None => branches.push((address, vec![flow])),
                }
            }
        }
        branches.sort_unstable();
        Self { hop: number, branches }
    }

    /// Each hop at which there is more than one.
    pub fn all(trails: &[Trail]) -> Vec<Self> {
        let longest = trails.iter().map(|trail| trail.hops.len()).max().unwrap_or(0);
        let forks = (1..=longest).map(|number| Self::at(trails, number));
        forks.filter(|fork| fork.branches.len() > 1).collect()
    }

    /// The addresses that every bad flow goes by and no good one, where there are
    /// any: those of the bad flows, those of the good ones.
    pub fn blames(&self, is_bad: impl Fn(usize) -> bool) -> Option<(Vec<IpAddr>, Vec<IpAddr>)> {
        let (mut bad, mut good) = (Vec::new(), Vec::new());
        for (address, flows) in &self.branches {
            match flows.iter().filter(|flow| is_bad(**flow)).count() {
                0 => good.push(*address),
                count if count == flows.len() => bad.push(*address),
                _ => return None,
            }
        }
        (!bad.is_empty() && !good.is_empty()).then_some((bad, good))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, last, 1])
    }

    fn trail(count: u32) -> Trail {
        Trail::new(40001, address(9), 30, count)
    }

    /// Asks until nothing is left, of a path of three routers and the end; `lost`
    /// says which attempts get nothing, by hop and how often it was asked before.
    fn walk(trail: &mut Trail, reachable: bool, lost: impl Fn(usize, u32) -> bool) {
        for _ in 0..200 {
            let Some(hop) = trail.next(reachable) else { return };
            let before = trail.hops.get(hop - 1).map_or(0, |hop| hop.sent);
            trail.asked(hop);
            let answer = match hop {
                _ if lost(hop, before) => Answer::Nothing,
                1..=3 => Answer::Router(address(u8::try_from(hop).unwrap()), MS),
                _ => Answer::End(End::SynAck, MS),
            };
            trail.learn(hop, answer);
        }
        panic!("it never ends: {trail:?}");
    }

    #[test]
    fn every_hop_is_asked_as_often_as_wanted() {
        let mut trail = trail(3);
        walk(&mut trail, true, |_, _| false);
        let sent: Vec<u32> = trail.hops.iter().map(|hop| hop.sent).collect();
        assert_eq!(sent, [3, 3, 3, 3]);
        assert_eq!(trail.end, Some(End::SynAck));
        assert!(trail.is_reached());
    }

    #[test]
    fn a_router_that_never_answers_is_unknown_and_no_end() {
        let mut trail = trail(3);
        walk(&mut trail, true, |hop, _| hop == 2);
        assert_eq!(trail.hops.len(), 4);
        assert!(!trail.hops[1].is_known());
    }

    #[test]
    fn an_end_whose_first_answer_was_lost_does_not_lengthen_the_path() {
        for count in [1, 3] {
            let mut trail = trail(count);
            walk(&mut trail, true, |hop, before| hop == 4 && before == 0);
            assert_eq!(trail.hops.len(), 4, "{count}");
            assert!(trail.hops[3].is_known());
        }
    }

    #[test]
    fn an_end_that_never_answers_is_not_asked_for_ever() {
        let mut trail = trail(3);
        walk(&mut trail, false, |hop, _| hop > 3);
        assert_eq!(trail.hops.len(), 3 + DARK);
        assert_eq!(trail.dark(), DARK);
        assert!(!trail.is_reached());
    }

    #[test]
    fn who_does_not_let_it_pass_ends_the_way() {
        let mut trail = trail(1);
        let said = IcmpError { version6: false, kind: 3, code: 13, mtu: None, from: None };
        trail.asked(1);
        trail.learn(1, Answer::Router(address(1), MS));
        trail.asked(2);
        trail.learn(2, Answer::Refused(IcmpError { from: Some(address(2)), ..said }, MS));
        assert_eq!(trail.next(true), None);
        assert!(!trail.is_reached());
        trail.learn(2, Answer::Refused(IcmpError { from: Some(address(9)), ..said }, MS));
        assert!(trail.is_reached());
    }

    #[test]
    fn flows_part_where_addresses_differ_and_bad_ones_are_told_from_good_ones() {
        let mut trails = vec![trail(1), trail(1), trail(1)];
        for (flow, trail) in trails.iter_mut().enumerate() {
            let second = if flow == 1 { 13 } else { 12 };
            for (hop, last) in [(1, 1), (2, second), (3, 3)] {
                trail.asked(hop);
                trail.learn(hop, Answer::Router(address(last), MS));
            }
        }
        let forks = Fork::all(&trails);
        assert_eq!(forks.len(), 1);
        let branches = vec![(address(12), vec![0, 2]), (address(13), vec![1])];
        assert_eq!(forks[0], Fork { hop: 2, branches });
        assert_eq!(forks[0].blames(|flow| flow == 1), Some((vec![address(13)], vec![address(12)])));
        assert_eq!(forks[0].blames(|flow| flow < 2), None);
    }
}
