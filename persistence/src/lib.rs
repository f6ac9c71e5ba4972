//! Where it is kept: the journal, its snapshots, and the databases that follow it.

mod position;
pub mod store;

pub use position::{JournalId, Position};
