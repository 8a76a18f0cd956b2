//! What a run measured at each address, where its connection moved from one to
//! another: a name that leads elsewhere, or the next address of several.

use std::net::SocketAddr;

use super::sample::{Outcome, Sample};
use super::tally::Tally;
use crate::stats::Summary;

/// Addresses that have figures of their own; what goes to further ones is in the
/// run's alone. More than a name of a load balancer has.
const MAX_ADDRESSES: usize = 64;

/// What was measured at one address.
#[derive(Debug, Clone)]
pub struct AtAddress {
    /// The address.
    pub remote: SocketAddr,
    /// Probes that fell due while the connection led there, or was to be rebuilt
    /// from there.
    pub sent: u64,
    /// Those of them whose reply came.
    pub received: u64,
    /// Their round-trip times in nanoseconds.
    pub rtt: Summary,
}

/// The addresses of one connection. One that never moves has no figures here that
/// the run has not: nothing is counted twice for it.
#[derive(Debug, Clone, Default)]
pub struct Addresses {
    /// Where the connection leads; `None` where several are one tally's.
    now: Option<SocketAddr>,
    /// In the order in which they were met, once there are two.
    met: Vec<AtAddress>,
}

impl Addresses {
    /// Those of a connection that leads to `remote` at first.
    pub fn from(remote: SocketAddr) -> Self {
        Self { now: Some(remote), met: Vec::new() }
    }

    /// Those of the same connection, with nothing measured yet.
    pub(super) fn anew(&self) -> Self {
        Self { now: self.now, met: Vec::new() }
    }

    /// The first.
    pub fn first(&self) -> Option<SocketAddr> {
        self.met.first().map(|at| at.remote).or(self.now)
    }

    /// Whether a connection to `remote` leads to another address than before.
    pub(super) fn moves(&self, remote: SocketAddr) -> bool {
        self.now.is_some_and(|now| now != remote)
    }

    /// The connection leads to `remote` now; `so_far` is what was measured where it
    /// led before, if that is the first.
    pub(super) fn move_to(&mut self, remote: SocketAddr, so_far: Option<AtAddress>) {
        if self.met.is_empty() {
            self.met.extend(so_far);
        }
        self.now = Some(remote);
        if self.place().is_none() && self.met.len() < MAX_ADDRESSES {
            self.met.push(AtAddress { remote, sent: 0, received: 0, rtt: Summary::new() });
        }
    }

    fn place(&self) -> Option<usize> {
        self.met.iter().position(|at| Some(at.remote) == self.now)
    }

    pub(super) fn sample(&mut self, sample: &Sample) {
        let Some(place) = self.place() else { return };
        let at = &mut self.met[place];
        at.sent += 1;
        if let Outcome::Received { .. } = sample.outcome {
            at.received += 1;
            at.rtt.record(sample.rtt_nanos().unwrap_or(0));
        }
    }
}

impl Tally {
    /// Each address that the run's connections have led to, with what was measured
    /// there; nothing where it was one.
    pub fn by_address(&self) -> Vec<AtAddress> {
        let flows = if self.flows.is_empty() { std::slice::from_ref(self) } else { &self.flows };
        let mut found: Vec<AtAddress> = Vec::new();
        for at in flows.iter().flat_map(Self::at_addresses) {
            match found.iter_mut().find(|known| known.remote == at.remote) {
                Some(known) => {
                    known.sent += at.sent;
                    known.received += at.received;
                    known.rtt.absorb(&at.rtt);
                }
                None => found.push(at),
            }
        }
        if found.len() < 2 { Vec::new() } else { found }
    }

    fn at_addresses(&self) -> Vec<AtAddress> {
        if self.addresses.met.is_empty() {
            return self.at_one_address().into_iter().collect();
        }
        self.addresses.met.clone()
    }

    /// Everything so far, where it is all of one address.
    pub(super) fn at_one_address(&self) -> Option<AtAddress> {
        let (sent, received) = (self.sent, self.received);
        self.addresses.now.map(|remote| AtAddress { remote, sent, received, rtt: self.rtt.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Mono;
    use crate::probe::{Connection, Detail, Notice};
    use std::time::Duration;

    fn address(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 7).into()
    }

    fn tally(remote: SocketAddr) -> Tally {
        let addresses = Addresses::from(remote);
        Tally { addresses, ..Tally::new(Mono(0), Duration::ZERO) }
    }

    fn send(tally: &mut Tally, rtt: Option<u64>) {
        let received = Mono(rtt.unwrap_or(0));
        tally.sample(&Sample {
            number: 1,
            due: Mono(0),
            sent: Mono(0),
            went_out: true,
            outcome: rtt.map_or(Outcome::Lost, |_| Outcome::Received { at: received, late: false }),
            detail: Detail::None,
            flow: 1,
            explained: None,
        });
    }

    fn up(tally: &mut Tally, remote: SocketAddr) {
        let (at, connect) = (Mono(0), Duration::ZERO);
        let connection = Connection { at, local: None, remote, connect };
        tally.notice(&Notice::Up { at, connection });
    }

    fn told(tally: &Tally) -> Vec<(SocketAddr, u64, u64, Option<u64>)> {
        let each = tally.by_address().into_iter();
        each.map(|at| (at.remote, at.sent, at.received, at.rtt.max())).collect()
    }

    #[test]
    fn each_address_has_what_was_measured_there() {
        let mut run = tally(address(1));
        send(&mut run, Some(100));
        send(&mut run, None);
        up(&mut run, address(1));
        assert_eq!(told(&run), []);
        up(&mut run, address(2));
        send(&mut run, Some(300));
        up(&mut run, address(1));
        send(&mut run, Some(200));
        assert_eq!(told(&run), [(address(1), 3, 2, Some(200)), (address(2), 1, 1, Some(300))]);
        assert_eq!((run.sent, run.received), (4, 3));
    }

    #[test]
    fn flows_of_one_run_are_added_up_by_address() {
        let mut all = Tally::new(Mono(0), Duration::ZERO);
        all.flows = vec![tally(address(1)), tally(address(2))];
        all.flows.iter_mut().for_each(|flow| send(flow, Some(100)));
        up(&mut all.flows[0], address(2));
        send(&mut all.flows[0], Some(300));
        // The sum is told of every flow's connections and follows none.
        up(&mut all, address(2));
        assert_eq!(told(&all), [(address(1), 1, 1, Some(100)), (address(2), 2, 2, Some(300))]);
    }
}
