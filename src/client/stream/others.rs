//! The connections that are tried beside the one that is measured, and the look-ups
//! of the name: how a silent link is waited for.

use std::net::SocketAddr;

use super::{StreamLink, watched};
use crate::client::attempts::Attempt;
use crate::client::codec::Codec;
use crate::client::lookup::LookUp;
use crate::clock::Mono;
use crate::net::stream::LONGEST_WAIT;
use crate::os::clock;
use crate::os::poll::{self, Interest};
use crate::probe::{Arrival, Done, What};

impl<C: Codec> StreamLink<C> {
    /// Waits for the connection and for all attempts.
    pub(super) fn listen_to_all(&mut self, until: Mono) -> Option<What> {
        let until = until.min(self.at + LONGEST_WAIT);
        let for_room = !self.unsent.is_empty() && self.write_error.is_none();
        let main = self.stream.as_ref().map(|stream| {
            if for_room { Interest::both(stream.as_fd()) } else { stream.interest() }
        });
        let others = self.attempts.iter().filter_map(Attempt::interest);
        let mut interests: Vec<Interest<'_>> = main.into_iter().chain(others).collect();
        if interests.is_empty() {
            self.at = clock::sleep_until(until);
            return None;
        }
        if let Err(error) = poll::wait(&mut interests, until) {
            log::error!("cannot wait: {error}");
        }
        let at = clock::now();
        self.at = at;
        let ready: Vec<bool> =
            interests.iter().map(|found| found.readable || found.writable).collect();
        drop(interests);
        let mut ready = ready.into_iter();
        if self.stream.is_some() && ready.next() == Some(true) {
            return self.listen(Mono(0)).or_else(|| self.decode());
        }
        let mut scratch = [0; 4096];
        for (attempt, _) in self.attempts.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            if let Some(news) = attempt.serve(at, &mut scratch) {
                if let Some(share) = &self.share {
                    watched(attempt.watch(share));
                }
                self.news.push_back(news);
            }
        }
        self.attempts.retain(|attempt| attempt.as_fd().is_some());
        None
    }

    /// What else is to be told, if anything.
    pub(super) fn told(&mut self) -> Option<Arrival> {
        if let Some((at, attempted)) = self.news.pop_front() {
            return Some(Arrival { at, what: What::Attempt(Box::new(attempted)) });
        }
        let addresses = self.look_up.as_mut().and_then(LookUp::fresh)?;
        let moved = !addresses.contains(&self.remote);
        let known = self.dialer.addresses == addresses;
        self.dialer.addresses.clone_from(&addresses);
        let what = What::Addresses(addresses.into_boxed_slice());
        (moved && !known).then_some(Arrival { at: self.at, what })
    }

    /// Where an attempt goes: to the connection's own address while the name has
    /// it, or to the others in turn.
    fn target(&mut self, elsewhere: bool) -> Option<SocketAddr> {
        let addresses = &self.dialer.addresses;
        let own = if addresses.contains(&self.remote) { Some(&self.remote) } else { None };
        let own = own.or(addresses.first()).copied();
        if !elsewhere {
            return own;
        }
        let others = addresses.iter().filter(|address| Some(**address) != own);
        let count = others.clone().count();
        self.turn += 1;
        others.copied().nth(self.turn.checked_rem(count)?)
    }

    pub(super) fn attempt(
        &mut self,
        id: u32,
        from: Option<SocketAddr>,
        elsewhere: bool,
        packet: Option<Vec<u8>>,
    ) -> Done {
        let (Some(remote), Some(packet)) = (self.target(elsewhere), packet) else {
            return Done::Nowhere;
        };
        match Attempt::start(&self.dialer, id, from, remote, packet) {
            Ok(attempt) => {
                if let Some(share) = &self.share {
                    watched(attempt.watch(share));
                }
                self.attempts.push(attempt);
            }
            Err(failed) => self.news.push_back((clock::now(), failed)),
        }
        Done::Done
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<Attempt> {
        let place = self.attempts.iter().position(|attempt| attempt.id == id)?;
        Some(self.attempts.remove(place))
    }

    pub(super) fn adopt(&mut self, id: u32) -> Done {
        let Some(connected) = self.remove(id).and_then(Attempt::into_connected) else {
            return Done::Nowhere;
        };
        let connection = connected.connection();
        self.close();
        self.take(connected);
        Done::Up(connection)
    }
}
