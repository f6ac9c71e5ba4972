//! An index from a name to the place of the thing that has the name. It keeps half a
//! hash and the place, never the name: eight bytes for an order, and growing it reads
//! the entries in a row instead of visiting every order. Selling waits while it grows.
//!
//! It must never be asked in an order that matters: nothing decided depends on it.

use crate::map::hasher;
use foldhash::fast::SeedableRandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::{BuildHasher, Hash};

/// Places by name. The caller says whether what is at a place has the name that is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Index<P> {
    table: HashTable<(u32, P)>,
    hasher: SeedableRandomState,
}

/// A name's hash in one index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NameHash(u32);

impl<P: Copy> Index<P> {
    /// An empty index; `seed` as for the maps.
    pub(crate) fn new(seed: u64) -> Self {
        Self { table: HashTable::new(), hasher: hasher(seed) }
    }

    /// The hash to pass to the other methods.
    pub(crate) fn hash(&self, name: impl Hash) -> NameHash {
        #[expect(clippy::cast_possible_truncation, reason = "half of the hash is kept")]
        NameHash(self.hasher.hash_one(name) as u32)
    }

    pub(crate) fn get(&self, hash: NameHash, has_name: impl Fn(P) -> bool) -> Option<P> {
        self.table.find(widen(hash.0), |entry| entry.0 == hash.0 && has_name(entry.1)).map(|entry| entry.1)
    }

    /// Puts `place` in; false, and nothing changed, if the name has a place already.
    pub(crate) fn insert(&mut self, hash: NameHash, place: P, has_name: impl Fn(P) -> bool) -> bool {
        let same = |entry: &(u32, P)| entry.0 == hash.0 && has_name(entry.1);
        match self.table.entry(widen(hash.0), same, |entry| widen(entry.0)) {
            Entry::Occupied(_) => false,
            Entry::Vacant(vacant) => {
                vacant.insert((hash.0, place));
                true
            }
        }
    }

    /// Takes the name out and says where it led.
    pub(crate) fn remove(&mut self, hash: NameHash, has_name: impl Fn(P) -> bool) -> Option<P> {
        let same = |entry: &(u32, P)| entry.0 == hash.0 && has_name(entry.1);
        self.table.find_entry(widen(hash.0), same).ok().map(|entry| entry.remove().0.1)
    }

    /// Every place, in no order.
    pub(crate) fn places(&self) -> impl Iterator<Item = P> {
        self.table.iter().map(|entry| entry.1)
    }
}

/// A whole hash of the half that is kept: the table takes the bucket from the low bits
/// and a tag from the top ones.
const fn widen(half: u32) -> u64 {
    (half as u64) << 32 | half as u64
}

#[cfg(test)]
mod tests {
    use super::Index;

    #[test]
    fn names_lead_to_their_places_until_they_are_taken_out() {
        let names: Vec<String> = (0..5000).map(|n| format!("name {n}")).collect();
        let mut index = Index::new(3);
        for (place, name) in names.iter().enumerate() {
            assert!(index.insert(index.hash(name), place, |at| names[at] == *name));
        }
        let (known, strange) = (index.hash(&names[7]), index.hash("strange"));
        assert!(!index.insert(known, 9, |at| names[at] == names[7]));
        assert_eq!(index.get(known, |at| names[at] == names[7]), Some(7));
        assert_eq!(index.get(strange, |at| names[at] == "strange"), None);
        assert_eq!(index.remove(known, |at| names[at] == names[7]), Some(7));
        assert_eq!(index.remove(known, |at| names[at] == names[7]), None);
        assert_eq!(index.places().count(), 4999);
    }

    #[test]
    fn names_with_the_same_hash_are_told_apart() {
        let mut index = Index::new(3);
        let hash = index.hash("a");
        let names = ["a", "b"];
        assert!(index.insert(hash, 0, |at: usize| names[at] == "a"));
        assert!(index.insert(hash, 1, |at| names[at] == "b"));
        assert_eq!(index.get(hash, |at| names[at] == "b"), Some(1));
        assert_eq!(index.remove(hash, |at| names[at] == "a"), Some(0));
        assert_eq!(index.get(hash, |at| names[at] == "a"), None);
    }
}
