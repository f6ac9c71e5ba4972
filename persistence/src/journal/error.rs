//! What can go wrong with a journal. One variant, one meaning; each says what, where and
//! what to do, because whoever reads it stands before a shop that does not start.

use super::{JournalId, Position};
use son7shop_engine::{Lsn, PartitionId};
use std::io;
use std::path::PathBuf;

/// Why a journal could not be opened, written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Another process has the data folder.
    #[error(
        "the data folder {0} is in use by another process; stop that process, or choose another folder (SON7_DATA_DIR)"
    )]
    Locked(PathBuf),
    /// A call of the operating system failed.
    #[error("cannot {doing} {path}")]
    Io {
        /// The verb, as in "cannot read".
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder was opened to be looked at, and something would have changed it.
    #[error("the data folder {0} was opened for reading only")]
    ReadOnly(PathBuf),
    /// The data folder's description is unreadable.
    #[error("{path} does not describe a data folder: {what}; restore it from a copy of this same folder")]
    BadMeta {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Partitions without the file that describes them.
    #[error(
        "{0} has partitions but no journal.meta: part of the folder is missing; restore the whole folder from one copy"
    )]
    MetaMissing(PathBuf),
    /// There is no data folder where one was to be looked at.
    #[error("{0} is not a data folder: it has no journal.meta")]
    NoFolder(PathBuf),
    /// A file was written by a version of the program that this one does not know.
    #[error("{path} has format version {found}; this program reads version {known}: use the program that wrote it")]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says.
        found: u16,
        /// What this program can read.
        known: u16,
    },
    /// The number of partitions is not the one that the folder was made with.
    #[error(
        "the data folder was made with {found} partition(s), not {wanted}: the number is fixed when a folder is made; \
         set SON7_PARTITIONS={found} or leave it out"
    )]
    PartitionsDiffer {
        /// What the folder has.
        found: u16,
        /// What was asked for.
        wanted: u16,
    },
    /// A number of partitions that no folder can have.
    #[error("a data folder needs 1 to {max} partitions, not {wanted}")]
    PartitionsOutOfRange {
        /// What was asked for.
        wanted: u16,
        /// The most.
        max: u16,
    },
    /// Segments of a size that no journal can have.
    #[error("a segment needs {min} to {max} bytes, not {wanted}")]
    SegmentSize {
        /// What was asked for.
        wanted: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A limit at which the journal would be full for ever.
    #[error(
        "a journal limit of {limit} bytes has no room for {segments} segments of {segment} bytes: with fewer, nothing can \
         ever be removed; raise SON7_JOURNAL_LIMIT_MIB or lower SON7_SEGMENT_MIB"
    )]
    LimitTooSmall {
        /// What was asked for.
        limit: u64,
        /// Bytes of a segment.
        segment: u64,
        /// How many segments must have room.
        segments: u64,
    },
    /// A file belongs to another data folder.
    #[error(
        "{path} belongs to journal {found}, the data folder to journal {expected}: files of two folders are mixed; \
         restore the whole folder from one copy"
    )]
    WrongJournal {
        /// The file.
        path: PathBuf,
        /// What the file says.
        found: JournalId,
        /// What the folder says.
        expected: JournalId,
    },
    /// A file belongs to another partition.
    #[error(
        "{path} belongs to partition {found}, not {expected}: partitions' folders are mixed; restore the whole folder \
         from one copy"
    )]
    WrongPartition {
        /// The file.
        path: PathBuf,
        /// What the file says.
        found: PartitionId,
        /// Whose folder it is in.
        expected: PartitionId,
    },
    /// Something that had been synced is not there any more, or not as it was written.
    #[error(
        "partition {partition}: the journal is damaged in segment {segment} at offset {offset} ({path}): {what}. \
         Acknowledged events would be lost, so nothing was started and nothing was changed. \
         Restore the data folder from a copy that is not older than the database, or find out what changed the file; \
         `son7shop journal inspect` shows what is readable"
    )]
    Damaged {
        /// Whose journal.
        partition: PartitionId,
        /// The segment's number.
        segment: u64,
        /// Bytes from the segment's start.
        offset: u64,
        /// The segment's file.
        path: PathBuf,
        /// What was expected and what is there.
        what: String,
    },
    /// An event is whole and in its place, and yet cannot have happened.
    #[error(
        "partition {partition}: the event at LSN {lsn} does not fit what happened before it, though its checksums are \
         right: the program that wrote it, or this one, is wrong. Nothing was started and nothing was changed; use the \
         version that wrote the journal, and report this"
    )]
    Misfit {
        /// Whose journal.
        partition: PartitionId,
        /// The first such event.
        lsn: Lsn,
    },
    /// A segment that recovery needs is not there.
    #[error(
        "partition {partition}: segment {segment} is missing ({path}): {what}. Restore the data folder from a copy that \
         is not older than the database"
    )]
    SegmentMissing {
        /// Whose journal.
        partition: PartitionId,
        /// The segment's number.
        segment: u64,
        /// Where its file should be.
        path: PathBuf,
        /// Why it must exist.
        what: String,
    },
    /// No snapshot can be read, and the segments do not reach back to the beginning.
    #[error(
        "partition {partition}: no snapshot is readable ({reasons}), and the oldest segment, {oldest_segment}, does not \
         reach back to where an older one would start. Restore the data folder from a copy that is not older than the \
         database"
    )]
    SnapshotsUnreadable {
        /// Whose.
        partition: PartitionId,
        /// What is wrong with each.
        reasons: String,
        /// The first segment that is there.
        oldest_segment: u64,
    },
    /// The database follows another journal.
    #[error(
        "partition {partition}: the database follows journal {database}, this data folder is journal {folder}. Point \
         SON7_DATABASE_URL and SON7_DATA_DIR at a pair that belongs together, or start with an empty database"
    )]
    DatabaseOfAnotherJournal {
        /// Whose.
        partition: PartitionId,
        /// What the database's position says.
        database: JournalId,
        /// What the folder says.
        folder: JournalId,
    },
    /// The database has events that the journal does not have.
    #[error(
        "partition {partition}: the database is at LSN {database}, but the journal ends at LSN {journal}: the data \
         folder is an older copy, or its end was lost. Restore a data folder that is not older than the database, or a \
         database that is not newer than the data folder; nothing was changed"
    )]
    DatabaseAhead {
        /// Whose.
        partition: PartitionId,
        /// The database's last event.
        database: Lsn,
        /// The journal's last event.
        journal: Lsn,
    },
    /// The database was filled from another history of the same journal.
    #[error(
        "partition {partition}: at LSN {lsn} the database was filled from other events than the journal has: the data \
         folder was an older copy that went on by itself, or the database was. Restore the two from the same moment"
    )]
    DatabaseDiverged {
        /// Whose.
        partition: PartitionId,
        /// Where they differ at the latest.
        lsn: Lsn,
    },
    /// The database needs events that the journal has already removed.
    #[error(
        "partition {partition}: the database is at LSN {database}, but the oldest event that the journal still has is \
         LSN {oldest}: the database is an older copy. Restore a newer database, or an older data folder of the same \
         moment"
    )]
    DatabaseBelowOldest {
        /// Whose.
        partition: PartitionId,
        /// The database's last event.
        database: Lsn,
        /// The oldest event that is left.
        oldest: Lsn,
    },
    /// The database has nothing of a journal that has removed its first segments.
    #[error(
        "partition {partition}: the database has nothing of this journal, and the journal's first segments are gone (the \
         oldest event that it still has is LSN {oldest}), so the database cannot be filled from it. Point \
         SON7_DATABASE_URL at the database that belongs to this data folder, or restore a copy of that database; nothing \
         was changed"
    )]
    DatabaseEmpty {
        /// Whose.
        partition: PartitionId,
        /// The oldest event that is left.
        oldest: Lsn,
    },
    /// A follower wants events that are removed.
    #[error("partition {partition}: events after LSN {after} are asked for, but the oldest left is LSN {oldest}")]
    BelowOldest {
        /// Whose.
        partition: PartitionId,
        /// What the follower has.
        after: Lsn,
        /// The oldest event that is left.
        oldest: Lsn,
    },
    /// A follower wants to start between two events of one frame.
    #[error(
        "partition {partition}: LSN {after} is inside the frame of LSN {first} to {last}; a follower stops at ends"
    )]
    InsideFrame {
        /// Whose.
        partition: PartitionId,
        /// What the follower says it has.
        after: Lsn,
        /// The frame's first event.
        first: Lsn,
        /// The frame's last event.
        last: Lsn,
    },
    /// A follower is ahead of what it follows.
    #[error("partition {partition}: a follower is at LSN {after}, the journal only at {committed}")]
    AheadOfJournal {
        /// Whose.
        partition: PartitionId,
        /// What the follower says it has.
        after: Lsn,
        /// How far the journal is on disk.
        committed: Lsn,
    },
    /// The place to cut at, after a failed sync, is not in the journal.
    #[error("partition {partition}: the journal cannot be cut at {cut:?} (segment {segment}, offset {offset}): {what}")]
    CannotCut {
        /// Whose.
        partition: PartitionId,
        /// The last position that was synced.
        cut: Position,
        /// Where it ended.
        segment: u64,
        /// Where it ended in the segment.
        offset: u64,
        /// Why not.
        what: String,
    },
    /// One event is larger than a frame may be.
    #[error("the event at LSN {lsn} is larger than {max} bytes and cannot be written")]
    RecordTooLarge {
        /// Which.
        lsn: Lsn,
        /// The most that fits.
        max: usize,
    },
    /// An earlier write or sync of this journal failed: it takes nothing more.
    #[error("the journal stopped at an earlier error; it must be opened again")]
    Dead,
    /// A cursor's file is unreadable.
    #[error("{path} is not a readable cursor: {what}; restore it, or remove it if its follower may start again")]
    BadCursor {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A cursor's name that cannot be a file's name.
    #[error("a cursor is named by 1 to 48 of a–z, 0–9 and '-', not {0:?}")]
    CursorName(String),
}

/// The two shapes in which I/O errors arise, with the path and the verb.
pub(crate) trait IoContext<T> {
    /// Names what was being done, to which file.
    fn doing(self, doing: &'static str, path: &std::path::Path) -> Result<T, JournalError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &std::path::Path) -> Result<T, JournalError> {
        self.map_err(|source| JournalError::Io { doing, path: path.to_path_buf(), source })
    }
}
