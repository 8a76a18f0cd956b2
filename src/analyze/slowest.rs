//! The slowest of many, in bounded memory.

use std::cmp::Reverse;

/// So many of the slowest, with what is known of each.
#[derive(Debug, Clone, Default)]
pub struct Slowest<T> {
    most: usize,
    /// Slowest first; of equals the earlier.
    kept: Vec<(u64, T)>,
}

impl<T: Copy> Slowest<T> {
    /// Keeps the `most` slowest.
    pub fn new(most: usize) -> Self {
        Self { most, kept: Vec::new() }
    }

    /// Takes in one that took so many nanoseconds.
    pub fn take(&mut self, nanos: u64, one: T) {
        let full = self.kept.len() >= self.most;
        if full && self.kept.last().is_none_or(|(least, _)| nanos <= *least) {
            return;
        }
        let place = self.kept.partition_point(|(other, _)| Reverse(*other) <= Reverse(nanos));
        self.kept.insert(place, (nanos, one));
        self.kept.truncate(self.most);
    }

    /// Those that are kept, the slowest first.
    pub fn sorted(&self) -> impl Iterator<Item = (u64, T)> {
        self.kept.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_are_kept_in_order() {
        let mut slowest = Slowest::new(3);
        for (nanos, name) in [(5, 'a'), (9, 'b'), (1, 'c'), (9, 'd'), (7, 'e')] {
            slowest.take(nanos, name);
        }
        let kept: Vec<_> = slowest.sorted().collect();
        assert_eq!(kept, [(9, 'b'), (9, 'd'), (7, 'e')]);
        let mut none = Slowest::new(0);
        none.take(1, 'x');
        assert_eq!(none.sorted().count(), 0);
    }
}
