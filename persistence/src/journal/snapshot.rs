//! Snapshots: a partition's whole state at the end of a sealed segment, so that recovery
//! need not start at the first event.
//!
//! A snapshot is made by a reader, from the one before and the segments that have been
//! sealed since; the owner never pauses for one, and each one replays the journal again.
//! It must never look at anything that is not committed.
//!
//! The file, little-endian, named by its LSN in 20 digits:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic `S7snap\n\n` |
//! | 8 | 2 | format version: 2, or 1 of a state without payments |
//! | 10 | 2 | partition |
//! | 12 | 4 | zero |
//! | 16 | 16 | journal id |
//! | 32 | 8 | LSN of the last event in it |
//! | 40 | 8 | epoch of the last frame in it |
//! | 48 | 8 | number of the first segment that is not in it |
//! | 56 | 8 | length of the body |
//! | 64 | 32 | chain hash after the frame of the last event |
//! | 96 | 32 | chain hash after the last frame |
//! | 128 | 32 | blake3 of the body |
//! | 160 | 4 | zero |
//! | 164 | 4 | CRC-32C of bytes 0 to 163 |
//! | 168 | n | body: `PartitionImage` in `postcard`; equal states give equal bytes |

use super::error::IoContext;
use super::folder::PartitionFolder;
use super::frame::{array_at, u16_at, u32_at, u64_at};
use super::replay::Replay;
use super::scan::Track;
use super::storage::{StorageFile, read_full};
use super::{Committed, JournalError, JournalId};
use son7shop_engine::invariants::{self, Violation};
use son7shop_engine::{ImageBeforePayments, Lsn, Partition, PartitionId, PartitionImage};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const HEADER_BYTES: usize = 168;
const MAGIC: [u8; 8] = *b"S7snap\n\n";
const VERSION: u16 = 2;
/// Before orders were paid.
const VERSION_BEFORE_PAYMENTS: u16 = 1;
const SUFFIX: &str = ".snapshot";
/// Snapshots that are kept: the newest, and the one before in case the newest is unreadable.
pub(crate) const KEPT: usize = 2;
const WRITE_PIECE_BYTES: usize = 1024 * 1024;
const SYNC_PIECE_BYTES: u64 = 8 * 1024 * 1024;

/// A snapshot that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// The last event in it.
    pub lsn: Lsn,
    /// Events that were replayed to make it.
    pub events: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// The first invariant that the state in it breaks: a defect of the engine.
    pub violation: Option<Violation>,
}

/// A snapshot that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The file's name.
    pub name: String,
    /// The LSN in its name.
    pub lsn: Lsn,
    /// What is wrong with it.
    pub why: String,
}

/// Where replay starts.
#[derive(Debug)]
pub(crate) struct Base {
    pub partition: Partition,
    pub track: Track,
    /// The first segment that is not in it.
    pub next_segment: u64,
}

/// What the folder has to start from.
#[derive(Debug)]
pub(crate) struct Bases {
    /// The newest readable snapshot.
    pub newest: Option<Base>,
    /// Newer ones that are not.
    pub unreadable: Vec<Unreadable>,
}

/// What a snapshot's header says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Header {
    pub track: Track,
    pub next_segment: u64,
    pub body_bytes: u64,
    body_hash: [u8; 32],
    version: u16,
}

/// The name of a snapshot's file.
pub(crate) fn name(lsn: Lsn) -> String {
    format!("{lsn:020}{SUFFIX}", lsn = lsn.0)
}

/// The LSN in a snapshot's file name; `None` for other files.
pub(crate) fn lsn_of(name: &str) -> Option<Lsn> {
    let digits = name.strip_suffix(SUFFIX)?;
    let plain = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok().map(Lsn) } else { None }
}

/// The snapshots that the folder has, newest first.
pub(crate) fn list(folder: &PartitionFolder) -> Result<Vec<Lsn>, JournalError> {
    let mut lsns: Vec<Lsn> = folder.names()?.iter().filter_map(|name| lsn_of(name)).collect();
    lsns.sort_unstable_by(|a, b| b.cmp(a));
    Ok(lsns)
}

/// Loads the newest snapshot that is readable. A file of another journal, partition or
/// version is an error, not an unreadable snapshot: somebody mixed files.
pub(crate) fn newest(folder: &PartitionFolder, seed: u64) -> Result<Bases, JournalError> {
    let mut unreadable = Vec::new();
    for lsn in list(folder)? {
        match load(folder, lsn, seed)? {
            Ok(base) => return Ok(Bases { newest: Some(base), unreadable }),
            Err(why) => unreadable.push(Unreadable { name: name(lsn), lsn, why }),
        }
    }
    Ok(Bases { newest: None, unreadable })
}

fn load(folder: &PartitionFolder, lsn: Lsn, seed: u64) -> Result<Result<Base, String>, JournalError> {
    let path = folder.path().join(name(lsn));
    let file = folder.storage().open_read(&path).doing("open", &path)?;
    let header = match read_header(folder, lsn, file.as_ref(), &path)? {
        Ok(header) => header,
        Err(why) => return Ok(Err(why)),
    };
    let body = match read_body(&header, file.as_ref(), &path)? {
        Ok(body) => body,
        Err(why) => return Ok(Err(why)),
    };
    let decoded = match header.version {
        VERSION_BEFORE_PAYMENTS => {
            postcard::take_from_bytes::<ImageBeforePayments>(&body).map(|(image, rest)| (image.into(), rest))
        }
        _ => postcard::take_from_bytes::<PartitionImage>(&body),
    };
    let image: PartitionImage = match decoded {
        Ok((image, [])) => image,
        Ok((_, rest)) => return Ok(Err(format!("{} bytes are left behind the state", rest.len()))),
        Err(error) => return Ok(Err(format!("the state cannot be decoded ({error})"))),
    };
    drop(body);
    if image.id() != folder.id() || image.lsn() != lsn {
        return Ok(Err(format!("the state is of partition {} at LSN {}", image.id(), image.lsn())));
    }
    Ok(Ok(Base { partition: image.restore(seed), track: header.track, next_segment: header.next_segment }))
}

/// Reads the whole snapshot of `lsn` but does not decode it; its header, or what is wrong.
pub(crate) fn verify(folder: &PartitionFolder, lsn: Lsn) -> Result<Result<Header, String>, JournalError> {
    let path = folder.path().join(name(lsn));
    let file = folder.storage().open_read(&path).doing("open", &path)?;
    match read_header(folder, lsn, file.as_ref(), &path)? {
        Ok(header) => Ok(read_body(&header, file.as_ref(), &path)?.map(|_| header)),
        Err(why) => Ok(Err(why)),
    }
}

/// The header of the snapshot of `lsn`, or what is wrong with it.
pub(crate) fn header(folder: &PartitionFolder, lsn: Lsn) -> Result<Result<Header, String>, JournalError> {
    let path = folder.path().join(name(lsn));
    let file = folder.storage().open_read(&path).doing("open", &path)?;
    read_header(folder, lsn, file.as_ref(), &path)
}

fn read_header(
    folder: &PartitionFolder,
    lsn: Lsn,
    file: &dyn StorageFile,
    path: &Path,
) -> Result<Result<Header, String>, JournalError> {
    let mut bytes = [0; HEADER_BYTES];
    if read_full(file, &mut bytes, 0).doing("read", path)? < HEADER_BYTES {
        return Ok(Err("the file ends inside its header".into()));
    }
    if bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..164]) != u32_at(&bytes, 164) {
        return Ok(Err("the header's checksum is wrong".into()));
    }
    let version = u16_at(&bytes, 8);
    if !matches!(version, VERSION_BEFORE_PAYMENTS | VERSION) {
        return Err(JournalError::Version { path: path.into(), found: version, known: VERSION });
    }
    let journal = JournalId(array_at(&bytes, 16));
    if journal != folder.journal() {
        return Err(JournalError::WrongJournal { path: path.into(), found: journal, expected: folder.journal() });
    }
    let partition = PartitionId(u16_at(&bytes, 10));
    if partition != folder.id() {
        return Err(JournalError::WrongPartition { path: path.into(), found: partition, expected: folder.id() });
    }
    let track = Track {
        journal,
        partition,
        epoch: u64_at(&bytes, 40),
        lsn: Lsn(u64_at(&bytes, 32)),
        position_chain: array_at(&bytes, 64),
        chain: array_at(&bytes, 96),
    };
    if track.lsn != lsn {
        return Ok(Err(format!("the file is of LSN {}", track.lsn)));
    }
    let (next_segment, body_bytes) = (u64_at(&bytes, 48), u64_at(&bytes, 56));
    Ok(Ok(Header { track, next_segment, body_bytes, body_hash: array_at(&bytes, 128), version }))
}

fn read_body(header: &Header, file: &dyn StorageFile, path: &Path) -> Result<Result<Vec<u8>, String>, JournalError> {
    let there = file.len().doing("measure", path)?.saturating_sub(HEADER_BYTES as u64);
    // The length is believed only as far as the file goes: a damaged one must not allocate the world.
    let Some(len) = usize::try_from(header.body_bytes).ok().filter(|_| there == header.body_bytes) else {
        return Ok(Err(format!("the state has {there} bytes, not {}", header.body_bytes)));
    };
    let mut body = vec![0; len];
    if read_full(file, &mut body, HEADER_BYTES as u64).doing("read", path)? < len {
        return Ok(Err("the file ends inside the state".into()));
    }
    if *blake3::hash(&body).as_bytes() != header.body_hash {
        return Ok(Err("the state's checksum is wrong".into()));
    }
    Ok(Ok(body))
}

/// How many segments were sealed since the newest snapshot; cheap.
pub fn sealed_since(folder: &PartitionFolder, up_to: Committed) -> Result<u64, JournalError> {
    for lsn in list(folder)? {
        if let Ok(header) = header(folder, lsn)? {
            return Ok(up_to.segment.saturating_sub(header.next_segment));
        }
    }
    Ok(up_to.segment.saturating_sub(1))
}

/// Makes a snapshot at the end of the last sealed segment: every segment before the one
/// that `up_to` is in. `None` if no segment was sealed since the last snapshot.
///
/// A journal's first snapshot ends one segment earlier where it can, and the next call makes
/// another: removal needs two, and at the disk limit no further segment comes to be sealed.
///
/// Takes as long as a replay of the segments, and the memory of two more partitions: the
/// replayed one, and its image while that is written. Call it on a thread of its own; for
/// each partition one waits for the other.
pub fn make(folder: &PartitionFolder, up_to: Committed, seed: u64) -> Result<Option<SnapshotInfo>, JournalError> {
    folder.writable()?;
    let _maintaining = folder.maintaining();
    if sealed_since(folder, up_to)? == 0 {
        return Ok(None);
    }
    let bases = newest(folder, seed)?;
    let end = if bases.newest.is_some() { up_to.segment } else { (up_to.segment - 1).max(2) };
    let base = match bases.newest {
        Some(base) => base,
        None => Base {
            partition: Partition::new(folder.id(), seed),
            track: Track::origin(folder.journal(), folder.id()),
            next_segment: 1,
        },
    };
    let mut replay = Replay::new(folder, base, end)?;
    while replay.segment.number < end {
        replay.sealed_segment()?;
    }
    replay.check_fit()?;
    if !bases.unreadable.is_empty() {
        set_aside(folder, &bases.unreadable)?;
    }
    let info = write(folder, &replay).inspect_err(|_| {
        // On a full disk its bytes are missed. What cannot be removed now goes at the next start.
        let _ = folder.storage().remove(&temporary(folder, replay.track.lsn));
    })?;
    for old in list(folder)?.into_iter().skip(KEPT) {
        folder.remove(&name(old))?;
    }
    folder.measure()?;
    Ok(Some(info))
}

/// Renames unreadable snapshots, so that they neither count as kept nor are tried again.
pub(crate) fn set_aside(folder: &PartitionFolder, unreadable: &[Unreadable]) -> Result<(), JournalError> {
    for Unreadable { name, why, .. } in unreadable {
        tracing::error!(partition = folder.id().0, snapshot = name, why, "an unreadable snapshot is set aside");
        let path = folder.path().join(name);
        let aside = folder.path().join(format!("{name}.unreadable"));
        folder.storage().rename(&path, &aside).doing("rename", &path)?;
    }
    folder.storage().sync_dir(folder.path()).doing("sync", folder.path())
}

/// What the snapshot of `lsn` is called until it is whole.
fn temporary(folder: &PartitionFolder, lsn: Lsn) -> PathBuf {
    folder.path().join(format!("{}.tmp", name(lsn)))
}

fn write(folder: &PartitionFolder, replay: &Replay<'_>) -> Result<SnapshotInfo, JournalError> {
    let track = &replay.track;
    let path = folder.path().join(name(track.lsn));
    let temporary = temporary(folder, track.lsn);
    let file = folder.storage().create(&temporary).doing("create", &temporary)?;
    let mut body =
        Body { file: file.as_ref(), hasher: blake3::Hasher::new(), buffer: Vec::new(), written: 0, synced: 0 };
    postcard::to_io(&replay.partition.image(), &mut body)
        .map_err(io::Error::other)
        .and_then(Write::flush)
        .doing("write", &temporary)?;
    let header = encode_header(track, replay.segment.number, body.written, body.hasher.finalize().as_bytes());
    file.write_at(&header, 0).doing("write", &temporary)?;
    file.sync().doing("sync", &temporary)?;
    folder.storage().rename(&temporary, &path).doing("rename", &temporary)?;
    folder.storage().sync_dir(folder.path()).doing("sync", folder.path())?;
    let violation = invariants::check(&replay.partition).err();
    Ok(SnapshotInfo { lsn: track.lsn, events: replay.events, bytes: body.written + HEADER_BYTES as u64, violation })
}

fn encode_header(track: &Track, next_segment: u64, body_bytes: u64, body_hash: &[u8; 32]) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
    bytes[10..12].copy_from_slice(&track.partition.0.to_le_bytes());
    bytes[16..32].copy_from_slice(&track.journal.0);
    bytes[32..40].copy_from_slice(&track.lsn.0.to_le_bytes());
    bytes[40..48].copy_from_slice(&track.epoch.to_le_bytes());
    bytes[48..56].copy_from_slice(&next_segment.to_le_bytes());
    bytes[56..64].copy_from_slice(&body_bytes.to_le_bytes());
    bytes[64..96].copy_from_slice(&track.position_chain);
    bytes[96..128].copy_from_slice(&track.chain);
    bytes[128..160].copy_from_slice(body_hash);
    let crc = crc32c::crc32c(&bytes[..164]);
    bytes[164..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// A snapshot's body on its way to the file: hashed and written in large pieces.
struct Body<'a> {
    file: &'a dyn StorageFile,
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    written: u64,
    synced: u64,
}

impl Write for Body<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= WRITE_PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.file.write_at(&self.buffer, HEADER_BYTES as u64 + self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        // Little by little, so that the owner's next sync never waits behind a whole snapshot.
        if self.written - self.synced >= SYNC_PIECE_BYTES {
            self.file.sync()?;
            self.synced = self.written;
        }
        Ok(())
    }
}
