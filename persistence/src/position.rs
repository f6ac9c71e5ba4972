//! Where a follower of a journal stands: the one type that the journal and the
//! database's position row share.
//!
//! Nothing here reads or writes anything.

use son7shop_engine::Lsn;
use std::fmt;

/// The identity of a data folder's journal, drawn when the folder is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JournalId(pub [u8; 16]);

impl fmt::Display for JournalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A place in one partition's journal, with what proves that two parties mean the same
/// history: the chain hash after the frame that ends at `lsn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Whose journal it is.
    pub journal: JournalId,
    /// The last event that counts.
    pub lsn: Lsn,
    /// The chain hash after the frame that ends at `lsn`.
    pub chain: [u8; 32],
}
