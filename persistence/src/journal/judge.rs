//! Telling a torn tail from damage: what stands behind the last good frame, and whether
//! anything else knows of events that are not there. See [`super::recovery`] for the rules.
//!
//! Nothing here changes a file.

use super::frame::Fault;
use super::recovery::TornTail;
use super::replay::{Replay, describe};
use super::scan::{self, Rest};
use super::segment::{self, Segment};
use super::{JournalError, Position, reader};
use son7shop_engine::Lsn;
use std::cmp::Ordering;

/// Decides what the bytes behind the last good frame are: nothing, a torn tail, or damage.
pub(crate) fn tail(
    replay: &mut Replay<'_>,
    fault: &Fault,
    database: Option<Position>,
) -> Result<Option<TornTail>, JournalError> {
    let offset = replay.offset;
    let rest = scan::rest(&mut replay.window, &replay.segment, offset)?;
    let proof = scan::proof(&mut replay.window, &replay.segment, offset, &rest.starts, &replay.track)?;
    if let Some((at, first)) = proof {
        let what =
            format!("{}, but the frame of LSN {first} at offset {at} proves that it was synced", describe(fault));
        return Err(replay.damaged(&what));
    }
    let torn_here = rest.dirty_end.map(|end| TornTail {
        segment: replay.segment.number,
        offset,
        bytes: end - offset,
        what: describe(fault),
    });
    let torn = later_segments(replay, fault, torn_here)?;
    if let (Some(torn), Some(database)) = (&torn, database)
        && database.lsn > replay.track.lsn
    {
        return Err(replay.damaged(&format!("{}, but the database has events up to LSN {}", torn.what, database.lsn)));
    }
    Ok(torn)
}

/// Segments behind the last good frame: one may have been made ahead, or hold the torn
/// first write after a switch. Anything else in them is damage before them.
fn later_segments(
    replay: &mut Replay<'_>,
    fault: &Fault,
    torn_here: Option<TornTail>,
) -> Result<Option<TornTail>, JournalError> {
    let mut torn = torn_here;
    let here = replay.segment.number;
    let start = segment::HEADER_BYTES;
    let last = replay.folder.segments()?.last().copied().unwrap_or(here);
    for number in here + 1..=last {
        let later = Segment::require(replay.folder, number, false, "a later one exists")?;
        let Rest { dirty_end, starts } = scan::rest(&mut replay.window, &later, start)?;
        let Some(end) = dirty_end else { continue };
        // A segment is written to only once the one before it is whole and synced.
        if torn.is_some() || number > here + 1 {
            let what = format!("{}, but segment {number} is written to, which proves it", describe(fault));
            return Err(replay.damaged(&what));
        }
        if let Some((at, first)) = scan::proof(&mut replay.window, &later, start, &starts, &replay.track)? {
            let what =
                format!("no frame starts the segment, but one of LSN {first} at offset {at} proves that one did");
            return Err(replay.damaged_at(&later, start, &what));
        }
        let what = "the segment's first write is not whole".into();
        torn = Some(TornTail { segment: number, offset: start, bytes: end - start, what });
    }
    Ok(torn)
}

/// Something else remembers events up to `known`: the journal must have them.
pub(crate) fn known(replay: &Replay<'_>, known: Option<Lsn>, what: &str) -> Result<(), JournalError> {
    match known {
        Some(known) if known > replay.track.lsn => {
            Err(replay
                .damaged(&format!("{what} has events up to LSN {known}, which the journal does not have any more")))
        }
        _ => Ok(()),
    }
}

/// The database must have been filled from this journal, and not be ahead of it.
pub(crate) fn database(
    replay: &Replay<'_>,
    (base, base_segment): (Position, u64),
    database: Position,
) -> Result<(), JournalError> {
    let partition = replay.folder.id();
    if database.lsn > replay.track.lsn {
        return Err(JournalError::DatabaseAhead { partition, database: database.lsn, journal: replay.track.lsn });
    }
    let ours = match database.lsn.cmp(&base.lsn) {
        Ordering::Equal => Some(base),
        Ordering::Greater => replay.found,
        Ordering::Less => match reader::position_at(replay.folder, database.lsn, base_segment) {
            Err(JournalError::BelowOldest { oldest, .. }) if database.lsn == Lsn(0) => {
                return Err(JournalError::DatabaseEmpty { partition, oldest });
            }
            Err(JournalError::BelowOldest { oldest, .. }) => {
                return Err(JournalError::DatabaseBelowOldest { partition, database: database.lsn, oldest });
            }
            other => other?,
        },
    };
    if ours == Some(database) { Ok(()) } else { Err(JournalError::DatabaseDiverged { partition, lsn: database.lsn }) }
}
