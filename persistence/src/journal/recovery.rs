//! Recovery: from what a folder holds to a partition and a journal that takes more.
//!
//! Two halves. The first ([`read`]) reads and judges and changes nothing; `verify` uses it
//! alone. The second ([`open`]) repairs what a crash may leave, makes durable what was
//! read, takes the next epoch and hands over.
//!
//! **Torn tail or damage.** One write is under way at a time, and it is synced before the
//! next begins. So a crash can only spoil the last write: frames behind which nothing
//! proves a sync. Proofs are: a later frame of another write (it names how far the bytes
//! before it belong to its own write), anything in a later segment, a snapshot, and the
//! database's position. What is spoiled and not proved was never acknowledged: it is cut,
//! with a warning. What is proved and not there is damage, and refuses the start.
//!
//! **What is read is rewritten.** The last write may be whole only in the page cache: the
//! process was killed before its sync, or the sync failed and the kernel marked the pages
//! clean. Syncing alone would then prove nothing, so its bytes are written again first.
//!
//! **After a failed sync** in the same process the caller names the last [`Committed`]
//! place. Nothing behind it is believed or touched: the journal goes on in a new segment,
//! whose header says at which chain hash the one before was cut. Once that segment has its
//! name, the cut holds, whatever a later start reads.

use super::error::IoContext;
use super::folder::PartitionFolder;
use super::frame::Fault;
use super::position::Chain;
use super::replay::{End, Replay, describe};
use super::scan::Track;
use super::segment::{self, Segment};
use super::snapshot::{self, Base, Unreadable};
use super::storage::read_full;
use super::writer::Journal;
use super::{Committed, JournalError, Position, judge};
use son7shop_engine::{Lsn, Partition};
use std::sync::atomic::Ordering;

/// Zeros and rewritten bytes go out in pieces of this size.
const PIECE_BYTES: usize = 256 * 1024;
/// Progress is reported after so many bytes.
const PROGRESS_BYTES: u64 = 4 * 1024 * 1024;

/// What else is known when a journal is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct OpenHints {
    /// The database's position, where it could be asked: [`Position::origin`] of one that has
    /// nothing of this partition yet.
    pub database: Option<Position>,
    /// The last place that this process knows to be synced, after a write or a sync
    /// failed: the journal is cut there whatever a read shows.
    pub cut_at: Option<Committed>,
}

/// How far recovery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of segments that were read.
    pub bytes_done: u64,
    /// Bytes of segments that there are to read at most.
    pub bytes_total: u64,
    /// The last event applied.
    pub lsn: Lsn,
}

/// A partition and its journal, ready to serve.
#[derive(Debug)]
pub struct Recovered {
    /// Every event of the journal applied.
    pub partition: Partition,
    /// The one that takes more.
    pub journal: Journal,
    /// What was found and done.
    pub report: RecoveryReport,
}

/// What recovery found and did; for the log and for operators.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecoveryReport {
    /// The snapshot that it started from.
    pub snapshot: Option<Lsn>,
    /// Newer snapshots that could not be read.
    pub unreadable_snapshots: Vec<Unreadable>,
    /// The last event.
    pub lsn: Lsn,
    /// The epoch that was taken; 0 if none was.
    pub epoch: u64,
    /// Events applied.
    pub events: u64,
    /// Frames read.
    pub frames: u64,
    /// Bytes of those frames.
    pub bytes: u64,
    /// A spoiled last write that was cut off.
    pub torn: Option<TornTail>,
    /// Whether the journal was cut after a failed sync and goes on in a new segment.
    pub cut: bool,
}

/// The remains of a write that a crash interrupted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TornTail {
    /// In which segment.
    pub segment: u64,
    /// From which offset.
    pub offset: u64,
    /// How many bytes, to the last one that is not zero.
    pub bytes: u64,
    /// What stands there.
    pub what: String,
}

/// What the first half found.
pub(crate) struct Reading<'a> {
    pub replay: Replay<'a>,
    pub report: RecoveryReport,
}

/// Opens the journal of one partition: reads, judges, repairs, takes the next epoch.
pub(crate) fn open(
    folder: &PartitionFolder,
    hints: OpenHints,
    seed: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recovered, JournalError> {
    folder.writable()?;
    let Reading { replay, mut report } = read(folder, hints, seed, progress)?;
    snapshot::set_aside(folder, &report.unreadable_snapshots)?;
    remove_temporaries(folder)?;
    let making = folder.making();
    let (number, offset) = if let Some(cut) = hints.cut_at {
        (start_behind(folder, cut, replay.track.chain)?, segment::HEADER_BYTES)
    } else {
        repair(&replay, report.torn.as_ref())?;
        (replay.segment.number, replay.offset)
    };
    report.cut = hints.cut_at.is_some();
    let state = folder.state();
    state.current.store(number, Ordering::Relaxed);
    state.ready.store(folder.segments()?.last().copied().unwrap_or(number), Ordering::Relaxed);
    folder.measure()?;
    drop(making);
    let segment = Segment::require(folder, number, true, "the journal goes on in it")?;
    let ahead = Segment::open(folder, number + 1, false)?.map_or(segment.size, |ahead| ahead.size);
    let smallest = folder.segment_bytes().min(segment.size).min(ahead);
    let mut journal = Journal::start(folder.clone(), segment, offset, replay.track, smallest);
    journal.take_epoch()?;
    report.epoch = journal.epoch();
    Ok(Recovered { partition: replay.partition, journal, report })
}

/// Reads snapshot and segments, and judges what it finds. Changes nothing.
pub(crate) fn read<'a>(
    folder: &'a PartitionFolder,
    hints: OpenHints,
    seed: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Reading<'a>, JournalError> {
    check_identity(folder, hints.database)?;
    let segments = folder.segments()?;
    let (base, mut report) = choose_base(folder, &segments, seed)?;
    let known = snapshot::list(folder)?.first().copied();
    let last = segments.last().copied().unwrap_or(base.next_segment);
    let from_snapshot = report.snapshot.is_some();
    let base_position = (base.track.position(), base.next_segment);
    let mut replay = Replay::new(folder, base, last)?;
    replay.wanted = hints.database.map(|database| database.lsn);
    let total = replay.bytes_ahead(&segments)?;
    let mut reported = 0;
    let mut watch = |replay: &Replay<'_>| {
        if replay.bytes >= reported + PROGRESS_BYTES {
            reported = replay.bytes;
            progress(Progress { bytes_done: replay.bytes, bytes_total: total, lsn: replay.track.lsn });
        }
    };
    if let Some(cut) = hints.cut_at {
        read_to_cut(&mut replay, cut, &mut watch)?;
    } else {
        let fault = read_to_end(&mut replay, &mut watch)?;
        report.torn = judge::tail(&mut replay, &fault, hints.database)?;
        if from_snapshot && replay.frames == 0 {
            return Err(replay.damaged("a snapshot ends here, and was made only because a frame follows"));
        }
    }
    replay.check_fit()?;
    judge::known(&replay, known, "a snapshot")?;
    if let Some(database) = hints.database {
        judge::database(&replay, base_position, database)?;
    }
    progress(Progress { bytes_done: total, bytes_total: total, lsn: replay.track.lsn });
    report.lsn = replay.track.lsn;
    report.events = replay.events;
    report.frames = replay.frames;
    report.bytes = replay.bytes;
    Ok(Reading { replay, report })
}

fn check_identity(folder: &PartitionFolder, database: Option<Position>) -> Result<(), JournalError> {
    match database {
        Some(database) if database.journal != folder.journal() => Err(JournalError::DatabaseOfAnotherJournal {
            partition: folder.id(),
            database: database.journal,
            folder: folder.journal(),
        }),
        _ => Ok(()),
    }
}

/// The newest readable snapshot from which the segments go on, or the beginning.
fn choose_base(folder: &PartitionFolder, segments: &[u64], seed: u64) -> Result<(Base, RecoveryReport), JournalError> {
    let bases = snapshot::newest(folder, seed)?;
    let oldest_segment = segments.first().copied().unwrap_or(0);
    let mut report = RecoveryReport { unreadable_snapshots: bases.unreadable, ..RecoveryReport::default() };
    let reaches = |base: &Base| segments.contains(&base.next_segment);
    let base = match bases.newest {
        Some(base) => {
            report.snapshot = Some(base.track.lsn);
            base
        }
        None => Base {
            partition: Partition::new(folder.id(), seed),
            track: Track::origin(folder.journal(), folder.id()),
            next_segment: 1,
        },
    };
    if !reaches(&base) && !report.unreadable_snapshots.is_empty() {
        let reasons: Vec<String> =
            report.unreadable_snapshots.iter().map(|bad| format!("{}: {}", bad.name, bad.why)).collect();
        return Err(JournalError::SnapshotsUnreadable {
            partition: folder.id(),
            reasons: reasons.join("; "),
            oldest_segment,
        });
    }
    for bad in &report.unreadable_snapshots {
        tracing::error!(
            partition = folder.id().0,
            snapshot = bad.name,
            why = bad.why,
            instead = ?report.snapshot,
            "a snapshot is unreadable; an older one is used"
        );
    }
    Ok((base, report))
}

/// Applies everything up to the first fault behind which no segment goes on.
fn read_to_end(replay: &mut Replay<'_>, watch: &mut dyn FnMut(&Replay<'_>)) -> Result<Fault, JournalError> {
    loop {
        if let Some(next) = Segment::open(replay.folder, replay.segment.number + 1, false)?
            && let Ok(goes_on) = next.goes_on()?
        {
            replay.through(goes_on, next, watch)?;
            continue;
        }
        return match replay.run(replay.segment.size, None, watch)? {
            End::Reached => Ok(Fault::Zeros),
            End::Fault(fault) => Ok(fault),
        };
    }
}

/// Applies everything up to `cut`, which was synced.
fn read_to_cut(
    replay: &mut Replay<'_>,
    cut: Committed,
    watch: &mut dyn FnMut(&Replay<'_>),
) -> Result<(), JournalError> {
    let cannot = |what: String| JournalError::CannotCut {
        partition: replay.folder.id(),
        cut: cut.position,
        segment: cut.segment,
        offset: cut.offset,
        what,
    };
    if replay.segment.number > cut.segment {
        return Err(cannot(format!("replay starts behind it, in segment {}", replay.segment.number)));
    }
    while replay.segment.number < cut.segment {
        replay.sealed_segment()?;
    }
    if let End::Fault(fault) = replay.run(cut.offset, None, watch)? {
        return Err(replay.damaged(&format!("up to offset {} it was synced, but {}", cut.offset, describe(&fault))));
    }
    if replay.track.position() != cut.position {
        return Err(replay.damaged(&format!("what stands here is not what was synced as {:?}", cut.position)));
    }
    Ok(())
}

/// Cuts off a torn tail and makes durable what was read.
fn repair(replay: &Replay<'_>, torn: Option<&TornTail>) -> Result<(), JournalError> {
    let folder = replay.folder;
    if let Some(torn) = torn {
        tracing::warn!(
            partition = folder.id().0,
            segment = torn.segment,
            offset = torn.offset,
            bytes = torn.bytes,
            what = torn.what,
            last_lsn = replay.track.lsn.0,
            "the last write was interrupted before it was acknowledged; it is cut off"
        );
        let segment = Segment::require(folder, torn.segment, true, "its tail is torn")?;
        zero(&segment, torn.offset, torn.bytes)?;
        segment.file.sync().doing("sync", &segment.path)?;
    }
    let segment = Segment::require(folder, replay.segment.number, true, "the journal ends in it")?;
    rewrite(&segment, replay.last_write, replay.offset)?;
    segment.file.sync().doing("sync", &segment.path)?;
    folder.storage().sync_dir(folder.path()).doing("sync", folder.path())
}

fn zero(segment: &Segment, offset: u64, bytes: u64) -> Result<(), JournalError> {
    let zeros = vec![0; PIECE_BYTES];
    let mut at = offset;
    while at < offset + bytes {
        let piece = usize::try_from(offset + bytes - at).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        segment.file.write_at(&zeros[..piece], at).doing("write", &segment.path)?;
        at += piece as u64;
    }
    Ok(())
}

fn rewrite(segment: &Segment, from: u64, to: u64) -> Result<(), JournalError> {
    let mut buffer = vec![0; PIECE_BYTES];
    let mut at = from;
    while at < to {
        let piece = usize::try_from(to - at).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
        let read = read_full(segment.file.as_ref(), &mut buffer[..piece], at).doing("read", &segment.path)?;
        segment.file.write_at(&buffer[..read], at).doing("write", &segment.path)?;
        at += piece as u64;
    }
    Ok(())
}

/// Makes a new segment directly behind the one that `cut` is in; what stood there was
/// never known to be synced.
fn start_behind(folder: &PartitionFolder, cut: Committed, chain: Chain) -> Result<u64, JournalError> {
    tracing::warn!(
        partition = folder.id().0,
        segment = cut.segment,
        offset = cut.offset,
        last_lsn = cut.position.lsn.0,
        "after a failed write or sync the journal is cut at the last event known to be synced"
    );
    for number in folder.segments()?.into_iter().rev().filter(|&number| number > cut.segment) {
        folder.remove(&segment::name(number))?;
    }
    segment::make(folder, cut.segment + 1, Some(chain))?;
    Ok(cut.segment + 1)
}

/// Removes what died while it was being made. Not a cursor's: its follower may be at work,
/// and its next store overwrites it.
fn remove_temporaries(folder: &PartitionFolder) -> Result<(), JournalError> {
    let making = folder.making();
    let names = folder.names()?;
    for name in names.iter().filter(|name| name.ends_with(".segment.tmp")) {
        folder.remove(name)?;
    }
    drop(making);
    // Somebody who makes a snapshot right now will need its file.
    let Some(_maintaining) = folder.try_maintaining() else { return Ok(()) };
    for name in names.iter().filter(|name| name.ends_with(".snapshot.tmp")) {
        folder.remove(name)?;
    }
    Ok(())
}
