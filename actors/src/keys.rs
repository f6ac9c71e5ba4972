//! The idempotency keys of the whole process: a key belongs to a customer, not to a
//! product, so before a request finds its partition this index says whether its key has
//! been there.
//!
//! It only routes. Whether a key was used is decided by the owner that used it; a process
//! with one partition needs no index.

use son7shop_engine::{Partition, PartitionId, Refusal, RequestKey};
use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 64;

#[derive(Debug, Clone, Copy)]
struct Entry {
    partition: PartitionId,
    request: [u8; 16],
    /// Requests under the key that have not been answered.
    running: u32,
    /// Whether the owner knows the key.
    used: bool,
}

type Shard = HashMap<[u8; 16], Entry>;

/// Which partition each key led to.
#[derive(Debug)]
pub(crate) struct KeyIndex {
    /// `None` where there is one partition.
    shards: Option<Vec<Mutex<Shard>>>,
}

/// A request under way under its key. Dropped unanswered, the key counts as used: nobody
/// knows better.
#[derive(Debug)]
pub(crate) struct Running {
    index: Arc<KeyIndex>,
    key: [u8; 16],
    used: bool,
}

impl KeyIndex {
    pub(crate) fn new(partitions: u16) -> Self {
        let shards = (partitions > 1).then(|| (0..SHARDS).map(|_| Mutex::default()).collect());
        Self { shards }
    }

    fn shard(&self, key: &[u8; 16]) -> Option<MutexGuard<'_, Shard>> {
        let shard = self.shards.as_ref()?.get(usize::from(key[0]) % SHARDS)?;
        Some(shard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Begins a request that would go to `home`: it goes where its key has been.
    pub(crate) fn begin(
        self: &Arc<Self>,
        key: RequestKey,
        home: PartitionId,
    ) -> Result<(PartitionId, Option<Running>), Refusal> {
        let Some(mut shard) = self.shard(&key.key) else { return Ok((home, None)) };
        let entry =
            shard.entry(key.key).or_insert(Entry { partition: home, request: key.request, running: 0, used: false });
        if entry.request != key.request {
            return Err(Refusal::KeyReused);
        }
        entry.running += 1;
        let running = Running { index: Arc::clone(self), key: key.key, used: true };
        Ok((entry.partition, Some(running)))
    }

    /// What recovery found in `partition`. Keys of it that are neither running nor found
    /// are not used.
    pub(crate) fn recover(&self, partition: &Partition) {
        let Some(shards) = &self.shards else { return };
        for shard in shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, entry| entry.partition != partition.id() || entry.running > 0);
        }
        for RequestKey { key, request } in partition.keys() {
            if let Some(mut shard) = self.shard(&key) {
                let fresh = Entry { partition: partition.id(), request, running: 0, used: true };
                shard.entry(key).and_modify(|entry| entry.used = true).or_insert(fresh);
            }
        }
    }

    /// Drops keys that their partition has forgotten.
    pub(crate) fn forget(&self, partition: PartitionId, keys: &[[u8; 16]]) {
        for key in keys {
            let Some(mut shard) = self.shard(key) else { return };
            if let Place::Occupied(mut known) = shard.entry(*key)
                && known.get().partition == partition
            {
                known.get_mut().used = false;
                if known.get().running == 0 {
                    known.remove();
                }
            }
        }
    }
}

impl Running {
    /// Ends the request; `used`: the owner accepted it, now or before.
    pub(crate) fn end(mut self, used: bool) {
        self.used = used;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(mut shard) = self.index.shard(&self.key) else { return };
        if let Place::Occupied(mut known) = shard.entry(self.key) {
            let entry = known.get_mut();
            entry.running = entry.running.saturating_sub(1);
            entry.used |= self.used;
            if entry.running == 0 && !entry.used {
                known.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: RequestKey = RequestKey { key: [7; 16], request: [1; 16] };
    const OTHER: RequestKey = RequestKey { key: [7; 16], request: [2; 16] };

    fn index() -> Arc<KeyIndex> {
        Arc::new(KeyIndex::new(4))
    }

    /// The partition that `key` leads to and the request under way.
    fn begin(index: &Arc<KeyIndex>, key: RequestKey, home: u16) -> Result<(u16, Running), Refusal> {
        index.begin(key, PartitionId(home)).map(|(partition, running)| (partition.0, running.unwrap()))
    }

    #[test]
    fn a_key_leads_where_it_has_been() {
        let index = index();
        let (_, first) = begin(&index, KEY, 1).unwrap();
        assert_eq!(begin(&index, KEY, 2).unwrap().0, 1);
        first.end(true);
        assert_eq!(begin(&index, KEY, 3).unwrap().0, 1);
        assert_eq!(begin(&index, OTHER, 1).unwrap_err(), Refusal::KeyReused);
    }

    #[test]
    fn a_refusal_is_not_remembered_unless_another_request_was_accepted() {
        let index = index();
        begin(&index, KEY, 1).unwrap().1.end(false);
        let (_, refused) = begin(&index, OTHER, 2).unwrap();
        let (_, accepted) = begin(&index, OTHER, 2).unwrap();
        accepted.end(true);
        refused.end(false);
        assert_eq!(begin(&index, KEY, 1).unwrap_err(), Refusal::KeyReused);
    }

    #[test]
    fn an_unknown_outcome_keeps_the_key_until_recovery_knows() {
        let index = index();
        drop(begin(&index, KEY, 1).unwrap());
        assert_eq!(begin(&index, OTHER, 1).unwrap_err(), Refusal::KeyReused);
        index.recover(&Partition::new(PartitionId(1), 0));
        assert_eq!(begin(&index, OTHER, 2).unwrap().0, 2);
    }

    #[test]
    fn what_the_owner_forgot_is_forgotten() {
        let index = index();
        begin(&index, KEY, 1).unwrap().1.end(true);
        index.forget(PartitionId(1), &[KEY.key]);
        assert_eq!(begin(&index, OTHER, 2).unwrap().0, 2);
    }

    #[test]
    fn one_partition_needs_no_index() {
        let index = Arc::new(KeyIndex::new(1));
        assert!(matches!(index.begin(KEY, PartitionId(0)), Ok((PartitionId(0), None))));
        assert!(matches!(index.begin(OTHER, PartitionId(0)), Ok((PartitionId(0), None))));
    }
}
