//! Segments: the files that frames are written to, made whole before they are used.
//!
//! A segment's file has its full size, every byte really written as zero and synced,
//! before it gets its name. So a write into it never changes the file's length or its
//! extents (an "unwritten" extent of `fallocate` would cost a metadata commit at each
//! first write), one `fdatasync` is one flush of data, and a file shorter than its header
//! says was cut by somebody else.
//!
//! Its first 128 bytes, little-endian:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic `S7segmt\n` |
//! | 8 | 2 | format version, 1 |
//! | 10 | 2 | partition |
//! | 12 | 4 | 0; or 1: made after a failed write or sync |
//! | 16 | 16 | journal id |
//! | 32 | 8 | the segment's number; the first is 1, and there are no gaps |
//! | 40 | 8 | the file's length in bytes |
//! | 48 | 32 | made after a failed write or sync: the chain hash at which the segment before ends, whatever stands there behind it; else zero |
//! | 80 | 44 | zero |
//! | 124 | 4 | CRC-32C of bytes 0 to 123 |
//!
//! Any other segment goes on where the one before is full: its first frame's chain hash
//! must be that of the last frame there.

use super::error::IoContext;
use super::folder::PartitionFolder;
use super::frame::{self, Header, array_at, u16_at, u32_at, u64_at};
use super::position::Chain;
use super::storage::{StorageFile, read_full};
use super::{JournalError, JournalId};
use son7shop_engine::PartitionId;
use std::path::PathBuf;

const HEADER_LEN: usize = 128;
/// Bytes of a segment's own header; the first frame starts here.
pub(crate) const HEADER_BYTES: u64 = HEADER_LEN as u64;
/// The smallest segment. Below 2 MiB frames, and with them events, are bounded to a quarter
/// of it; such small ones are for tests.
pub const MIN_SEGMENT_BYTES: u64 = 4096;
/// The largest segment.
pub const MAX_SEGMENT_BYTES: u64 = 4 * 1024 * 1024 * 1024;
const MAGIC: [u8; 8] = *b"S7segmt\n";
const VERSION: u16 = 1;
const SUFFIX: &str = ".segment";
/// Zeros are written and synced in pieces of this size, so that making a segment beside
/// a live journal never puts a long queue in front of that journal's next sync.
const ZERO_PIECE_BYTES: usize = 1024 * 1024;

/// The name of a segment's file.
pub(crate) fn name(number: u64) -> String {
    format!("{number:010}{SUFFIX}")
}

/// The number in a segment's file name; `None` for other files.
pub(crate) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let plain = digits.len() >= 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok().filter(|&number| number > 0) } else { None }
}

/// An open segment whose header was found right.
#[derive(Debug)]
pub(crate) struct Segment {
    pub number: u64,
    pub path: PathBuf,
    pub file: Box<dyn StorageFile>,
    /// The file's length in bytes.
    pub size: u64,
    /// The chain hash at which the segment before was cut, if it was.
    pub cut: Option<Chain>,
}

/// Where a segment goes on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GoesOn {
    /// The chain hash at which the segment before ends.
    pub from: Chain,
    /// Whether it was cut there: what it has behind that never counted.
    pub cut: bool,
}

impl Segment {
    /// Opens segment `number` of `folder` and checks its header; `None` if there is no such file.
    pub(crate) fn open(folder: &PartitionFolder, number: u64, write: bool) -> Result<Option<Self>, JournalError> {
        let path = folder.path().join(name(number));
        let opened = if write { folder.storage().open_write(&path) } else { folder.storage().open_read(&path) };
        let file = match opened {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other.doing("open", &path)?,
        };
        let mut header = [0; HEADER_LEN];
        let read = read_full(file.as_ref(), &mut header, 0).doing("read", &path)?;
        let length = file.len().doing("measure", &path)?;
        let (size, cut) = check_header(folder, number, &header[..read], length)?;
        Ok(Some(Self { number, path, file, size, cut }))
    }

    /// As [`Segment::open`], for a segment that must exist because of `why`.
    pub(crate) fn require(folder: &PartitionFolder, number: u64, write: bool, why: &str) -> Result<Self, JournalError> {
        Self::open(folder, number, write)?.ok_or_else(|| JournalError::SegmentMissing {
            partition: folder.id(),
            segment: number,
            path: folder.path().join(name(number)),
            what: why.to_owned(),
        })
    }

    /// The header of the first frame, if one was ever written.
    pub(crate) fn first_header(&self) -> Result<Result<Header, frame::Fault>, JournalError> {
        let mut bytes = [0; frame::HEADER_BYTES];
        let read = read_full(self.file.as_ref(), &mut bytes, HEADER_BYTES).doing("read", &self.path)?;
        Ok(frame::parse(&bytes[..read]))
    }

    /// Where this segment goes on from, if that can be said yet: it can once it has a frame,
    /// or from the start if it was made after a cut.
    pub(crate) fn goes_on(&self) -> Result<Result<GoesOn, frame::Fault>, JournalError> {
        if let Some(from) = self.cut {
            return Ok(Ok(GoesOn { from, cut: true }));
        }
        Ok(self.first_header()?.map(|header| GoesOn { from: header.before, cut: false }))
    }
}

/// What segment `number` is called until it is whole.
pub(crate) fn temporary(folder: &PartitionFolder, number: u64) -> PathBuf {
    folder.path().join(format!("{number:010}{SUFFIX}.tmp"))
}

/// Makes segment `number`; with `cut`, one that says where the segment before ends. The
/// caller holds the folder's lock for making.
pub(crate) fn make(folder: &PartitionFolder, number: u64, cut: Option<Chain>) -> Result<(), JournalError> {
    let path = folder.path().join(name(number));
    let temporary = temporary(folder, number);
    let storage = folder.storage();
    let size = folder.segment_bytes();
    let file = storage.create(&temporary).doing("create", &temporary)?;
    let zeros = vec![0; ZERO_PIECE_BYTES];
    let mut at = 0;
    while at < size {
        let piece = usize::try_from(size - at).map_or(ZERO_PIECE_BYTES, |left| left.min(ZERO_PIECE_BYTES));
        file.write_at(&zeros[..piece], at).doing("write", &temporary)?;
        at += piece as u64;
        if at.is_multiple_of(8 * ZERO_PIECE_BYTES as u64) {
            file.sync().doing("sync", &temporary)?;
        }
    }
    file.write_at(&header(folder, number, cut), 0).doing("write", &temporary)?;
    file.sync().doing("sync", &temporary)?;
    // The name appears only now, on a file that is whole.
    storage.rename(&temporary, &path).doing("rename", &temporary)?;
    storage.sync_dir(folder.path()).doing("sync", folder.path())
}

fn header(folder: &PartitionFolder, number: u64, cut: Option<Chain>) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
    bytes[10..12].copy_from_slice(&folder.id().0.to_le_bytes());
    bytes[12..16].copy_from_slice(&u32::from(cut.is_some()).to_le_bytes());
    bytes[16..32].copy_from_slice(&folder.journal().0);
    bytes[32..40].copy_from_slice(&number.to_le_bytes());
    bytes[40..48].copy_from_slice(&folder.segment_bytes().to_le_bytes());
    bytes[48..80].copy_from_slice(&cut.unwrap_or_default());
    let crc = crc32c::crc32c(&bytes[..124]);
    bytes[124..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Gives the segment's size and cut, or says why this is not segment `number` of `folder`.
fn check_header(
    folder: &PartitionFolder,
    number: u64,
    bytes: &[u8],
    length: u64,
) -> Result<(u64, Option<Chain>), JournalError> {
    let path = || folder.path().join(name(number));
    let damaged =
        |what: String| JournalError::Damaged { partition: folder.id(), segment: number, offset: 0, path: path(), what };
    if bytes.len() < HEADER_LEN {
        return Err(damaged(format!("the file has only {length} bytes, not even its header")));
    }
    if bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..124]) != u32_at(bytes, 124) {
        return Err(damaged("the segment's header is unreadable".into()));
    }
    if u16_at(bytes, 8) != VERSION {
        return Err(JournalError::Version { path: path(), found: u16_at(bytes, 8), known: VERSION });
    }
    let journal = JournalId(array_at(bytes, 16));
    if journal != folder.journal() {
        return Err(JournalError::WrongJournal { path: path(), found: journal, expected: folder.journal() });
    }
    let partition = PartitionId(u16_at(bytes, 10));
    if partition != folder.id() {
        return Err(JournalError::WrongPartition { path: path(), found: partition, expected: folder.id() });
    }
    if u64_at(bytes, 32) != number {
        return Err(damaged(format!("the file says that it is segment {}", u64_at(bytes, 32))));
    }
    let size = u64_at(bytes, 40);
    if length != size {
        return Err(damaged(format!("the file has {length} bytes, but was made with {size}: it was cut or grown")));
    }
    let cut = (u32_at(bytes, 12) != 0).then(|| array_at(bytes, 48));
    Ok((size, cut))
}
