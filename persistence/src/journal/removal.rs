//! Removal of what nobody needs any more: the oldest segments.
//!
//! A segment goes once it lies below the older of the two newest snapshots (so that an
//! unreadable newest one can be done without), below every cursor, and below what the
//! caller keeps. It must never remove a segment that holds the event *at* a place
//! somebody is: that event's frame proves the place's chain hash.

use super::folder::PartitionFolder;
use super::segment::{self, Segment};
use super::{Committed, JournalError, cursor, snapshot};
use son7shop_engine::Lsn;

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Removed {
    /// How many segments.
    pub segments: u64,
    /// The first segment that is left.
    pub oldest: u64,
}

/// Removes the segments that lie wholly below `keep` (the database's place, as a rule),
/// the older snapshot and every cursor in the folder. Nothing goes before there are two
/// readable snapshots, or while a cursor is unreadable (an error).
pub fn remove_below(folder: &PartitionFolder, up_to: Committed, keep: Lsn) -> Result<Removed, JournalError> {
    folder.writable()?;
    let _maintaining = folder.maintaining();
    let segments = folder.segments()?;
    let mut removed = Removed { segments: 0, oldest: segments.first().copied().unwrap_or(0) };
    let Some(first_needed) = first_needed(folder)?.map(|number| number.min(up_to.segment)) else {
        return Ok(removed);
    };
    let keep = cursor::all(folder)?.into_iter().fold(keep, |keep, (_, lsn)| keep.min(lsn));
    for number in segments.into_iter().take_while(|&number| number < first_needed) {
        let next = Segment::require(folder, number + 1, false, "later events are committed")?;
        // The first event behind this segment: all of this one's are below it.
        let below = next.first_header()?.is_ok_and(|header| header.first <= keep);
        if !below {
            break;
        }
        // One at a time, oldest first, each durable: a crash leaves no gap. The lock for making
        // is not taken, as the owner may wait for it: what is made, or cut off, is above `up_to`.
        folder.remove(&segment::name(number))?;
        removed.segments += 1;
        removed.oldest = number + 1;
    }
    if removed.segments > 0 {
        folder.measure()?;
    }
    Ok(removed)
}

/// The first segment that the older of two readable snapshots does not have in it.
fn first_needed(folder: &PartitionFolder) -> Result<Option<u64>, JournalError> {
    let mut readable = Vec::new();
    for lsn in snapshot::list(folder)? {
        if let Ok(header) = snapshot::header(folder, lsn)? {
            readable.push(header.next_segment);
        }
    }
    Ok(readable.get(snapshot::KEPT - 1).copied())
}
