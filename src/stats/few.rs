//! A map of few keys, in their order: what happened, by kind.

/// See the module's text. Looking a key up takes a step for each that there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Few<K, V>(Vec<(K, V)>);

impl<K, V> Default for Few<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: Ord + Copy, V: Default> Few<K, V> {
    /// The value of a key, which is made if there is none.
    pub fn of(&mut self, key: K) -> &mut V {
        let place = self.0.iter().position(|(known, _)| *known >= key).unwrap_or(self.0.len());
        if self.0.get(place).is_none_or(|(known, _)| *known != key) {
            self.0.insert(place, (key, V::default()));
        }
        &mut self.0[place].1
    }

    /// The value of a key, if there is one.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.0.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    /// Keys and values, by rising keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_in_order() {
        let mut few: Few<u8, u64> = Few::default();
        for key in [3, 1, 3, 2, 3] {
            *few.of(key) += 1;
        }
        let all: Vec<_> = few.iter().map(|(key, count)| (*key, *count)).collect();
        assert_eq!(all, [(1, 1), (2, 1), (3, 3)]);
        assert_eq!(
            (few.get(&3), few.get(&4), few.len(), few.is_empty()),
            (Some(&3), None, 3, false)
        );
    }
}
