//! Where one is in a journal, and which journal that is.

use serde::{Deserialize, Serialize};
use son7shop_engine::{Lsn, PartitionId};
use std::fmt;

/// A data folder's identity, drawn once when the folder is made. Everything that was
/// written from a journal remembers it, so that one journal is never taken for another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JournalId(pub [u8; 16]);

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A chain hash: blake3 over a frame, which itself holds the hash of what came before.
/// Two journals with the same hash somewhere are the same up to there.
pub type Chain = [u8; 32];

/// The chain hash before a partition's first frame.
pub(crate) fn chain_origin(journal: JournalId, partition: PartitionId) -> Chain {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"son7shop journal, origin");
    hasher.update(&journal.0);
    hasher.update(&partition.0.to_le_bytes());
    *hasher.finalize().as_bytes()
}

/// A place between two events of one partition's journal.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which journal.
    pub journal: JournalId,
    /// The last event before this place; 0 for the beginning.
    pub lsn: Lsn,
    /// The chain hash after the frame whose last event has this LSN. A frame without
    /// events (a new epoch) does not move a position.
    pub chain: Chain,
}

impl Position {
    /// The place before the first event.
    #[must_use]
    pub fn origin(journal: JournalId, partition: PartitionId) -> Self {
        Self { journal, lsn: Lsn(0), chain: chain_origin(journal, partition) }
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}#", self.journal, self.lsn)?;
        self.chain[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// How far a journal is on disk: everything that a follower may read. Only
/// [`super::Journal`] makes one, and only after a sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The last event on disk.
    pub position: Position,
    /// The number of the segment that is being written.
    pub segment: u64,
    /// Bytes of that segment that are on disk and final.
    pub offset: u64,
}
