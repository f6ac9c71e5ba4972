//! The journal: where an owner's decisions are before anybody hears of them.
//!
//! Each partition has a folder with segments (files of frames), snapshots and cursors.
//! One [`Journal`] writes: records are appended to a batch in memory, and
//! [`Journal::commit`] puts the batch on disk with one write and one sync. What is not
//! committed does not exist. Everyone else reads: [`Reader`] follows the committed frames,
//! [`snapshot::make`] turns sealed segments into a snapshot, [`removal::remove_below`]
//! removes what nobody needs, [`inspect`] shows people what is there.
//!
//! What this module must never do: acknowledge before a sync, retry a sync, go on after an
//! error, start on part of a state, or skip an event in silence.
//!
//! # The format
//!
//! Written down where it is coded: the folder and its identity in `folder`, segments in
//! `segment`, frames in `frame`, records in `codec`, snapshots in [`snapshot`],
//! cursors in [`cursor`]. All numbers are little-endian; all checksums are CRC-32C, all
//! hashes blake3. What recovery makes of it is in `recovery`.
//!
//! What must be true of the storage underneath is in [`storage`].

mod codec;
pub mod cursor;
mod error;
#[cfg(feature = "faults")]
pub mod faults;
mod folder;
mod frame;
pub mod inspect;
mod judge;
mod position;
mod reader;
mod recovery;
pub mod removal;
mod replay;
mod scan;
mod segment;
pub mod snapshot;
pub mod storage;
mod writer;

pub use cursor::Cursor;
pub use error::JournalError;
pub use folder::{DataFolder, FolderOptions, LIMIT_SEGMENTS_MIN, MAX_PARTITIONS, PartitionFolder};
pub use position::{Chain, Committed, JournalId, Position};
pub use reader::{Frame, Reader};
pub use recovery::{OpenHints, Progress, Recovered, RecoveryReport, TornTail};
pub use segment::{MAX_SEGMENT_BYTES, MIN_SEGMENT_BYTES};
pub use storage::{DiskStorage, Storage};
pub use writer::{EVENT_OVERHEAD_BYTES, Journal, MAX_RECORD_BYTES, Preparer};
