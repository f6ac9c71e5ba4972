//! An index from a name to the place of the thing that has the name.
//!
//! A table of its own, because an owner's time is spent waiting for memory, and selling
//! waits while a table grows:
//!
//! - a slot is eight bytes, half a hash and the place, never the name: looking up a new
//!   name and putting it in touch one cache line;
//! - the slot where a hash belongs is `hash × slots >> 32`, so slots stand in the order of
//!   their hashes, and growing copies from front to back instead of from everywhere to
//!   everywhere;
//! - a large index is many tables, each with its share of the hashes, and each grows by
//!   itself: no order ever waits until a million slots are copied;
//! - what is taken out leaves nothing behind: the slots after it move up.
//!
//! Nothing decided depends on the order of its places.

use crate::map::hasher;
use foldhash::fast::SeedableRandomState;
use std::hash::{BuildHasher, Hash};

/// Slots of a first table.
const SLOTS_MIN: usize = 8;
/// Slots beyond which one table becomes many. (Few: a sale has an index, too, and a shop
/// may have thousands.)
const SLOTS_OF_ONE: usize = 8192;
/// The share of the hashes that each of many tables has: 2 to the power of −8. At a million
/// names each copies 4,000 slots, and their turns are spread over 50,000 insertions.
const SHARE_BITS: u32 = 8;

/// Places by name. The caller says whether what is at a place has the name that is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    tables: Tables,
    hasher: SeedableRandomState,
}

#[derive(Debug, Clone)]
enum Tables {
    One(Table),
    /// By the first [`SHARE_BITS`] of the hash, which are shifted out of what they keep.
    Many(Vec<Table>),
}

/// Open addressing with linear probing.
#[derive(Debug, Clone)]
struct Table {
    /// A power of two of them, or none; at most five eighths are taken. Plain numbers, so
    /// that a new table is made of memory that is zero already.
    slots: Vec<u64>,
    taken: usize,
}

/// Half a hash, then the place plus 1; 0 is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Slot(u64);

/// A name's hash in one index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameHash(u32);

impl NameHash {
    /// Which of many tables it belongs to, and what it is there.
    #[inline]
    const fn share(self) -> (usize, Self) {
        ((self.0 >> (u32::BITS - SHARE_BITS)) as usize, Self(self.0 << SHARE_BITS))
    }
}

impl Slot {
    const FREE: Self = Self(0);

    const fn new(hash: NameHash, place: u32) -> Self {
        Self((hash.0 as u64) << 32 | (place as u64 + 1))
    }

    const fn hash(self) -> NameHash {
        NameHash((self.0 >> 32) as u32)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    const fn place(self) -> u32 {
        (self.0 as u32).wrapping_sub(1)
    }
}

impl Index {
    /// An empty index; `seed` as for the maps.
    pub(crate) fn new(seed: u64) -> Self {
        Self { tables: Tables::One(Table::EMPTY), hasher: hasher(seed) }
    }

    /// The hash to pass to the other methods.
    #[inline]
    pub(crate) fn hash(&self, name: impl Hash) -> NameHash {
        #[expect(clippy::cast_possible_truncation, reason = "half of the hash is kept")]
        NameHash(self.hasher.hash_one(name) as u32)
    }

    /// Where the name leads.
    #[inline]
    pub(crate) fn get(&self, hash: NameHash, has_name: impl Fn(u32) -> bool) -> Option<u32> {
        let (table, hash) = match &self.tables {
            Tables::One(table) => (table, hash),
            Tables::Many(tables) => {
                let (at, hash) = hash.share();
                (&tables[at], hash)
            }
        };
        table.find(hash, has_name).ok().map(|at| table.slot(at).place())
    }

    /// Puts `place` in; false, and nothing changed, if the name has a place already.
    #[inline]
    pub(crate) fn insert(&mut self, hash: NameHash, place: u32, has_name: impl Fn(u32) -> bool) -> bool {
        if let Tables::One(table) = &self.tables
            && table.is_full()
            && table.slots.len() >= SLOTS_OF_ONE
        {
            self.tables = Tables::Many(table.shares());
        }
        let (table, hash) = self.table_mut(hash);
        table.insert(hash, place, has_name)
    }

    /// Takes the name out and says where it led.
    pub(crate) fn remove(&mut self, hash: NameHash, has_name: impl Fn(u32) -> bool) -> Option<u32> {
        let (table, hash) = self.table_mut(hash);
        table.remove(hash, has_name)
    }

    /// Every place, in no order.
    pub(crate) fn places(&self) -> impl Iterator<Item = u32> {
        let tables = match &self.tables {
            Tables::One(table) => std::slice::from_ref(table),
            Tables::Many(tables) => tables,
        };
        tables.iter().flat_map(Table::taken).map(Slot::place)
    }

    #[inline]
    fn table_mut(&mut self, hash: NameHash) -> (&mut Table, NameHash) {
        match &mut self.tables {
            Tables::One(table) => (table, hash),
            Tables::Many(tables) => {
                let (at, hash) = hash.share();
                (&mut tables[at], hash)
            }
        }
    }
}

impl Table {
    const EMPTY: Self = Self { slots: Vec::new(), taken: 0 };

    #[inline]
    fn is_full(&self) -> bool {
        self.taken * 8 >= self.slots.len() * 5
    }

    #[inline]
    fn insert(&mut self, hash: NameHash, place: u32, has_name: impl Fn(u32) -> bool) -> bool {
        if self.is_full() {
            self.grow();
        }
        let Err(free) = self.find(hash, has_name) else { return false };
        self.slots[free] = Slot::new(hash, place).0;
        self.taken += 1;
        true
    }

    fn remove(&mut self, hash: NameHash, has_name: impl Fn(u32) -> bool) -> Option<u32> {
        let mut hole = self.find(hash, has_name).ok()?;
        let place = self.slot(hole).place();
        let mut at = hole;
        loop {
            at = self.after(at);
            let slot = self.slot(at);
            if slot == Slot::FREE {
                break;
            }
            // One moves into the hole unless it would come to stand before where it belongs.
            if self.distance(self.home(slot.hash()), at) >= self.distance(hole, at) {
                self.slots[hole] = slot.0;
                hole = at;
            }
        }
        self.slots[hole] = Slot::FREE.0;
        self.taken -= 1;
        Some(place)
    }

    /// The slots that are taken, in no order.
    fn taken(&self) -> impl Iterator<Item = Slot> {
        self.slots.iter().map(|&slot| Slot(slot)).filter(|&slot| slot != Slot::FREE)
    }

    /// The slot of the name, or the free one where it would go. There is always a free one.
    #[inline]
    fn find(&self, hash: NameHash, has_name: impl Fn(u32) -> bool) -> Result<usize, usize> {
        if self.slots.is_empty() {
            return Err(0);
        }
        let mut at = self.home(hash);
        loop {
            let slot = self.slot(at);
            if slot == Slot::FREE {
                return Err(at);
            }
            if slot.hash() == hash && has_name(slot.place()) {
                return Ok(at);
            }
            at = self.after(at);
        }
    }

    #[inline]
    fn slot(&self, at: usize) -> Slot {
        Slot(self.slots[at])
    }

    #[inline]
    fn home(&self, hash: NameHash) -> usize {
        ((u64::from(hash.0) * self.slots.len() as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    /// Steps from one slot forward to another.
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.slots.len() - 1)
    }

    #[cold]
    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(SLOTS_MIN);
        let old = std::mem::replace(&mut self.slots, vec![Slot::FREE.0; slots]);
        for slot in old.into_iter().map(Slot).filter(|&slot| slot != Slot::FREE) {
            let mut at = self.home(slot.hash());
            while self.slot(at) != Slot::FREE {
                at = self.after(at);
            }
            self.slots[at] = slot.0;
        }
    }

    /// The same places in many tables.
    #[cold]
    fn shares(&self) -> Vec<Self> {
        let mut tables = vec![Self::EMPTY; 1 << SHARE_BITS];
        for slot in self.taken() {
            let (at, hash) = slot.hash().share();
            tables[at].insert(hash, slot.place(), |_| false);
        }
        tables
    }
}

#[cfg(test)]
mod tests {
    use super::{Index, NameHash, SLOTS_OF_ONE, Table, Tables};
    use rand::rngs::SmallRng;
    use rand::{Rng, SeedableRng};
    use std::collections::BTreeSet;

    #[test]
    fn names_lead_to_their_places_until_they_are_taken_out() {
        let names: Vec<String> = (0..20_000).map(|n| format!("name {n}")).collect();
        let mut index = Index::new(3);
        for (place, name) in (0..).zip(&names) {
            assert!(index.insert(index.hash(name), place, |at| names[at as usize] == *name));
        }
        let (known, strange) = (index.hash(&names[7]), index.hash("strange"));
        assert!(!index.insert(known, 9, |at| names[at as usize] == names[7]));
        assert_eq!(index.get(known, |at| names[at as usize] == names[7]), Some(7));
        assert_eq!(index.get(strange, |at| names[at as usize] == "strange"), None);
        assert_eq!(index.remove(known, |at| names[at as usize] == names[7]), Some(7));
        assert_eq!(index.remove(known, |at| names[at as usize] == names[7]), None);
        assert_eq!(index.places().count(), 19_999);
        assert_eq!(Index::new(3).get(known, |_| true), None);
        assert_eq!(Index::new(3).remove(known, |_| true), None);
    }

    #[test]
    fn many_names_take_many_tables_and_keep_their_places() {
        let mut index = Index::new(3);
        for place in 0..6000_u32 {
            index.insert(index.hash(place), place, |at| at == place);
            let is_one = matches!(index.tables, Tables::One(_));
            assert_eq!(is_one, place as usize * 8 < SLOTS_OF_ONE * 5, "{place}");
        }
        for place in 0..6000_u32 {
            assert_eq!(index.get(index.hash(place), |at| at == place), Some(place));
        }
    }

    /// Few hashes, at both ends of the table too, so that names crowd and wrap around.
    #[test]
    fn it_is_a_map_whatever_comes_and_goes() {
        let hash_of = |name: u32| match name % 4 {
            0 => NameHash(u32::MAX - name % 3),
            1 => NameHash(name % 5),
            2 => NameHash(0x8000_0000 + name % 2),
            _ => NameHash(name.wrapping_mul(0x9e37_79b9)),
        };
        for seed in 0..200 {
            let mut rng = SmallRng::seed_from_u64(seed);
            let (mut index, mut model) = (Index::new(seed), BTreeSet::new());
            if seed % 2 == 1 {
                index.tables = Tables::Many(Table::EMPTY.shares());
            }
            for _ in 0..400 {
                // A name's place is the name itself here.
                let name = rng.random_range(0..60);
                let is = |place: u32| place == name;
                match rng.random_range(0..3) {
                    0 => assert_eq!(index.insert(hash_of(name), name, is), model.insert(name)),
                    1 => assert_eq!(index.remove(hash_of(name), is), model.take(&name)),
                    _ => assert_eq!(index.get(hash_of(name), is), model.get(&name).copied(), "seed {seed}"),
                }
                let mut places: Vec<u32> = index.places().collect();
                places.sort_unstable();
                assert!(places.iter().eq(&model), "seed {seed}: {places:?}");
                assert!(model.iter().all(|&name| index.get(hash_of(name), |place| place == name).is_some()));
            }
        }
    }
}
