//! Where it is kept: the journal, its snapshots, and the databases that follow it.
//!
//! The journal is the truth; a database is what people query. This crate must never decide
//! anything about stock or orders.

pub mod journal;
pub mod store;

pub use journal::{JournalId, Position};
