//! The hash map used inside a partition.
//!
//! Its seed is an argument, so that a process can choose one an outsider cannot guess;
//! nothing that the engine decides depends on a map's order.

use foldhash::SharedSeed;
use foldhash::fast::SeedableRandomState;

/// A hash map with a seed that was passed in.
pub(crate) type Map<K, V> = hashbrown::HashMap<K, V, SeedableRandomState>;

/// The hasher for `seed`.
pub(crate) fn hasher(seed: u64) -> SeedableRandomState {
    SeedableRandomState::with_seed(seed, SharedSeed::global_fixed())
}
