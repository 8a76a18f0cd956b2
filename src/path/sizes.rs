//! The search for the largest packet that passes one way, without a socket.

use std::net::IpAddr;

/// Every path carries packets of this size; also where an echo of several bytes is
/// asked for before anything else.
pub const LEAST: u16 = 256;

/// So often a smaller one must have come than was asked for before the other end is
/// known to send no larger: a busy one may not have had enough to fill it.
const SHORT: u8 = 3;

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// It arrived, and was this large.
    Whole(u16),
    /// A router said that no more than so much fits, and who that was, where that
    /// is known.
    Told(u16, Option<IpAddr>),
    /// It vanished, and nobody said a word.
    Vanished,
}

/// Why no larger packet passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// None is sent: this host's interface, or what it has been told of late.
    Interface,
    /// The other end sends and takes none.
    Peer,
    /// A router says so.
    Told(Option<IpAddr>),
    /// They vanish without a word.
    Vanish,
}

/// What is known of one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The largest packet that passes, in bytes from the IP header on; `None` if not
    /// even a small one does.
    pub passes: Option<u16>,
    /// The smallest that does not, as far as that was tried.
    pub fails: Option<u16>,
    /// Why.
    pub why: Why,
}

/// See the module's text.
#[derive(Debug, Clone)]
pub struct Search {
    passes: Option<u16>,
    /// The largest that can be tried.
    most: u16,
    /// The smallest that did not pass.
    fails: Option<u16>,
    /// It failed twice: not by a chance loss.
    sure: bool,
    /// How often a smaller one came than was asked for.
    short: u8,
    why: Why,
}

impl Search {
    /// A search up to `most`, beyond which `why` lets nothing pass.
    pub fn new(most: u16, why: Why) -> Self {
        Self { passes: None, most, fails: None, sure: false, short: 0, why }
    }

    /// The size to try; `None` if all is known.
    pub fn next(&self) -> Option<u16> {
        let Some(fails) = self.fails else {
            // The largest first: on a good path it is the only one.
            return (self.passes < Some(self.most)).then_some(self.most);
        };
        let Some(passes) = self.passes else {
            return (fails > LEAST).then_some(LEAST);
        };
        if fails > passes + 1 {
            return Some(passes + (fails - passes) / 2);
        }
        (!self.sure).then_some(fails)
    }

    /// What became of a packet that was to have `size` bytes.
    pub fn learn(&mut self, size: u16, passed: Passed) {
        match passed {
            Passed::Whole(size_of) => {
                self.passes = self.passes.max(Some(size_of));
                self.short += u8::from(size_of < size);
                if self.short == SHORT {
                    self.short = 0;
                    self.most = self.most.min(self.passes.unwrap_or(size_of));
                    self.why = Why::Peer;
                }
                // What had failed before was lost by chance.
                if self.fails.is_some_and(|fails| fails <= size_of) {
                    self.fails = None;
                    self.sure = false;
                }
            }
            Passed::Told(fits, from) => {
                self.most = self.most.min(fits.min(size.saturating_sub(1)));
                self.why = Why::Told(from);
                self.fails = self.fails.filter(|&fails| fails <= self.most);
            }
            Passed::Vanished => {
                self.sure = self.fails == Some(size);
                self.fails = Some(self.fails.map_or(size, |fails| fails.min(size)));
            }
        }
    }

    /// What is known.
    pub fn verdict(&self) -> Verdict {
        if self.fails.is_some() {
            return Verdict { passes: self.passes, fails: self.fails, why: Why::Vanish };
        }
        let told = matches!(self.why, Why::Told(_));
        let fails = self.passes.filter(|_| told).map(|passes| passes + 1);
        Verdict { passes: self.passes, fails, why: self.why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn search(most: u16, why: Why, mut send: impl FnMut(u16) -> Passed) -> (Verdict, u32) {
        let mut search = Search::new(most, why);
        let mut tries = 0;
        while let Some(size) = search.next() {
            tries += 1;
            assert!(tries < 60, "it never ends: {search:?}");
            search.learn(size, send(size));
        }
        (search.verdict(), tries)
    }

    #[test]
    fn a_good_path_is_tried_once() {
        let (verdict, tries) = search(1500, Why::Interface, Passed::Whole);
        assert_eq!(tries, 1);
        let good = Verdict { passes: Some(1500), fails: None, why: Why::Interface };
        assert_eq!(verdict, good);
    }

    #[test]
    fn who_says_what_fits_is_believed_and_tried() {
        let router = IpAddr::from([10, 0, 1, 1]);
        let send = |size| {
            if size > 1400 { Passed::Told(1400, Some(router)) } else { Passed::Whole(size) }
        };
        let (verdict, tries) = search(1500, Why::Interface, send);
        assert_eq!(tries, 2);
        let told = Why::Told(Some(router));
        assert_eq!(verdict, Verdict { passes: Some(1400), fails: Some(1401), why: told });
    }

    #[test]
    fn behind_a_router_that_tells_one_may_be_that_does_not() {
        let send = |size| match size {
            1401.. => Passed::Told(1400, None),
            1301.. => Passed::Vanished,
            _ => Passed::Whole(size),
        };
        let (verdict, _) = search(1500, Why::Interface, send);
        assert_eq!(verdict, Verdict { passes: Some(1300), fails: Some(1301), why: Why::Vanish });
    }

    #[test]
    fn a_peer_that_takes_less_is_named() {
        let (verdict, _) = search(1500, Why::Interface, |size| Passed::Whole(size.min(1240)));
        assert_eq!(verdict, Verdict { passes: Some(1240), fails: None, why: Why::Peer });
    }

    #[test]
    fn where_nothing_passes_no_size_is_told() {
        let (verdict, _) = search(1500, Why::Interface, |_| Passed::Vanished);
        assert_eq!(verdict.passes, None);
    }

    proptest! {
        #[test]
        fn a_limit_is_found_exactly(limit in LEAST..9000, most in LEAST..9001, lost in 0..12_u32) {
            // One packet that would have passed is lost by chance.
            let mut sent = 0;
            let (verdict, _) = search(most, Why::Interface, |size| {
                sent += 1;
                if size > limit || sent == lost { Passed::Vanished } else { Passed::Whole(size) }
            });
            if lost == 0 || limit >= most {
                prop_assert_eq!(verdict.passes, Some(limit.min(most)));
            }
        }
    }
}
