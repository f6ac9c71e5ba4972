//! The data folder: which journal it is, how many partitions it has, and who has it.
//!
//! ```text
//! data/
//!   journal.lock        held while a process has the folder
//!   journal.meta        the folder's identity; the last file made when a folder is made
//!   p0000/              one folder for each partition
//!     0000000001.segment
//!     00000000000000123456.snapshot
//!     write-behind.cursor
//! ```
//!
//! `journal.meta`, 40 bytes, little-endian: magic `S7folder`, version (2), number of
//! partitions (2), zero (4), journal id (16), zero (4), CRC-32C of bytes 0 to 35 (4).
//!
//! Making a folder: `journal.making` with the same contents is written and synced first;
//! then the partitions' folders, each with its first segment; then `journal.making` is
//! renamed to `journal.meta`. So a folder with partitions and neither file has lost its
//! identity, and one that was half made is made again.

use super::error::IoContext;
use super::frame::{array_at, u16_at, u32_at};
use super::storage::{Storage, StorageLock, read_full};
use super::{JournalError, JournalId, segment};
use son7shop_engine::PartitionId;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// The most partitions that a data folder can have.
pub const MAX_PARTITIONS: u16 = 1024;
/// The fewest segments that a limit must have room for: the one that is written, the one
/// before it (removal keeps that), one made ahead, and one for the snapshots.
pub const LIMIT_SEGMENTS_MIN: u64 = 4;
const META: &str = "journal.meta";
const MAKING: &str = "journal.making";
const LOCK: &str = "journal.lock";
const META_BYTES: usize = 40;
const MAGIC: [u8; 8] = *b"S7folder";
const VERSION: u16 = 1;

/// How a data folder is opened, and made if there is none.
#[derive(Debug, Clone)]
pub struct FolderOptions {
    /// How many partitions it must have; `None` takes what the folder has, and makes a
    /// new one with a single partition.
    pub partitions: Option<u16>,
    /// The identity of a new folder: 16 random bytes.
    pub new_id: [u8; 16],
    /// Bytes of each new segment.
    pub segment_bytes: u64,
    /// Bytes that one partition's folder may take before new orders are refused, at least
    /// four segments; `u64::MAX` for no limit.
    pub limit_bytes: u64,
}

impl FolderOptions {
    /// Segments of 64 MiB and no limit.
    #[must_use]
    pub const fn new(partitions: Option<u16>, new_id: [u8; 16]) -> Self {
        Self { partitions, new_id, segment_bytes: 64 * 1024 * 1024, limit_bytes: u64::MAX }
    }
}

/// A data folder. While one opened with [`DataFolder::open`] or anything made from it
/// lives, no other process can open the same.
#[derive(Debug, Clone)]
pub struct DataFolder {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    storage: Arc<dyn Storage>,
    path: PathBuf,
    journal: JournalId,
    segment_bytes: u64,
    limit_bytes: u64,
    /// `None` in a folder that is only looked at.
    lock: Option<Box<dyn StorageLock>>,
    partitions: Vec<PartitionState>,
}

/// What the threads that work on one partition's files share.
#[derive(Debug, Default)]
pub(crate) struct PartitionState {
    /// Held while segments are made or cut off.
    making: Mutex<()>,
    /// Held while the files' bytes are counted.
    measuring: Mutex<()>,
    /// Held while a snapshot is made or a prefix removed.
    maintaining: Mutex<()>,
    /// The segment that is being written.
    pub current: AtomicU64,
    /// The last segment that exists.
    pub ready: AtomicU64,
    /// Bytes of all files.
    pub disk_bytes: AtomicU64,
    /// Whether the last attempt to make a segment ahead failed.
    pub making_failed: AtomicBool,
}

/// The folder of one partition. Cheap to clone; may be used from any thread.
#[derive(Clone)]
pub struct PartitionFolder {
    shared: Arc<Shared>,
    id: PartitionId,
    path: PathBuf,
}

impl fmt::Debug for PartitionFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartitionFolder({})", self.path.display())
    }
}

impl DataFolder {
    /// Opens the data folder at `path` for this process alone; makes it if there is none.
    pub fn open(storage: Arc<dyn Storage>, path: &Path, options: &FolderOptions) -> Result<Self, JournalError> {
        check_options(options)?;
        create_dirs(storage.as_ref(), path)?;
        let lock_path = path.join(LOCK);
        let lock = storage.lock(&lock_path).doing("lock", &lock_path)?;
        let lock = lock.ok_or_else(|| JournalError::Locked(path.to_path_buf()))?;
        if let Some((journal, found)) = read_meta(storage.as_ref(), path)? {
            if let Some(wanted) = options.partitions.filter(|&wanted| wanted != found) {
                return Err(JournalError::PartitionsDiffer { found, wanted });
            }
            return Ok(Self::with(storage, path, journal, found, options, Some(lock)));
        }
        clear_half_made(storage.as_ref(), path)?;
        let count = options.partitions.unwrap_or(1);
        let folder = Self::with(storage, path, JournalId(options.new_id), count, options, Some(lock));
        folder.make()?;
        Ok(folder)
    }

    /// Opens a data folder without locking it, to look at it. A process that has it may
    /// be writing: the end of its journal may be seen half written.
    pub fn look(storage: Arc<dyn Storage>, path: &Path) -> Result<Self, JournalError> {
        let Some((journal, partitions)) = read_meta(storage.as_ref(), path)? else {
            return Err(JournalError::NoFolder(path.to_path_buf()));
        };
        let options = FolderOptions::new(None, journal.0);
        Ok(Self::with(storage, path, journal, partitions, &options, None))
    }

    fn with(
        storage: Arc<dyn Storage>,
        path: &Path,
        journal: JournalId,
        partitions: u16,
        options: &FolderOptions,
        lock: Option<Box<dyn StorageLock>>,
    ) -> Self {
        let shared = Shared {
            storage,
            path: path.to_path_buf(),
            journal,
            segment_bytes: options.segment_bytes,
            limit_bytes: options.limit_bytes,
            lock,
            partitions: (0..partitions).map(|_| PartitionState::default()).collect(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// How many partitions there are; fixed when the folder was made.
    #[must_use]
    pub fn partitions(&self) -> u16 {
        // One was made for each number below a u16.
        u16::try_from(self.shared.partitions.len()).unwrap_or(u16::MAX)
    }

    /// The folder's identity.
    #[must_use]
    pub fn journal_id(&self) -> JournalId {
        self.shared.journal
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared.path
    }

    /// The folder of partition `id`; `None` if there is no such partition.
    #[must_use]
    pub fn partition(&self, id: PartitionId) -> Option<PartitionFolder> {
        let path = self.shared.path.join(partition_name(id.0));
        (id.0 < self.partitions()).then(|| PartitionFolder { shared: Arc::clone(&self.shared), id, path })
    }

    /// The folders of all partitions, in order.
    pub fn all(&self) -> impl Iterator<Item = PartitionFolder> {
        (0..self.partitions()).filter_map(|id| self.partition(PartitionId(id)))
    }

    /// Whether a clone, or anything made from it, still lives: the folder then stays locked
    /// beyond this one's end.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }

    fn make(&self) -> Result<(), JournalError> {
        let storage = self.shared.storage.as_ref();
        let path = self.path();
        let making = path.join(MAKING);
        let file = storage.create(&making).doing("create", &making)?;
        file.write_at(&meta(self.journal_id(), self.partitions()), 0).doing("write", &making)?;
        file.sync().doing("sync", &making)?;
        storage.sync_dir(path).doing("sync", path)?;
        for partition in self.all() {
            storage.create_dir(partition.path()).doing("create", partition.path())?;
            segment::make(&partition, 1, None)?;
        }
        storage.sync_dir(path).doing("sync", path)?;
        // Everything is in place and durable: now, and not before, the folder exists.
        storage.rename(&making, &path.join(META)).doing("rename", &making)?;
        storage.sync_dir(path).doing("sync", path)
    }
}

impl PartitionFolder {
    /// Which partition.
    #[must_use]
    pub fn id(&self) -> PartitionId {
        self.id
    }

    /// Which journal.
    #[must_use]
    pub fn journal(&self) -> JournalId {
        self.shared.journal
    }

    /// Where its files are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes that the partition's files take, as of the last change of their number.
    #[must_use]
    pub fn disk_bytes(&self) -> u64 {
        self.state().disk_bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn storage(&self) -> &dyn Storage {
        self.shared.storage.as_ref()
    }

    pub(crate) fn segment_bytes(&self) -> u64 {
        self.shared.segment_bytes
    }

    pub(crate) fn limit_bytes(&self) -> u64 {
        self.shared.limit_bytes
    }

    pub(crate) fn state(&self) -> &PartitionState {
        &self.shared.partitions[usize::from(self.id.0)]
    }

    /// Waits until nobody else makes or cuts off segments of this partition.
    pub(crate) fn making(&self) -> MutexGuard<'_, ()> {
        // What a panic may have left is a temporary file, and those are made anew.
        self.state().making.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else makes snapshots or removes a prefix of this partition.
    pub(crate) fn maintaining(&self) -> MutexGuard<'_, ()> {
        self.state().maintaining.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`PartitionFolder::maintaining`], but `None` instead of waiting.
    pub(crate) fn try_maintaining(&self) -> Option<MutexGuard<'_, ()>> {
        match self.state().maintaining.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Refuses in a folder that is only looked at.
    pub(crate) fn writable(&self) -> Result<(), JournalError> {
        if self.shared.lock.is_some() { Ok(()) } else { Err(JournalError::ReadOnly(self.shared.path.clone())) }
    }

    /// The partition's files.
    pub(crate) fn names(&self) -> Result<Vec<String>, JournalError> {
        self.storage().list(&self.path).doing("list", &self.path)
    }

    /// The numbers of the segments that are there, lowest first.
    pub(crate) fn segments(&self) -> Result<Vec<u64>, JournalError> {
        let mut numbers: Vec<u64> = self.names()?.iter().filter_map(|name| segment::number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Counts the bytes of all files again.
    pub(crate) fn measure(&self) -> Result<(), JournalError> {
        // One at a time: the last to store its sum has seen every change before its call.
        let _measuring = self.state().measuring.lock().unwrap_or_else(PoisonError::into_inner);
        let mut total = 0;
        for name in self.names()? {
            let path = self.path.join(name);
            match self.storage().open_read(&path) {
                Ok(file) => total += file.len().doing("measure", &path)?,
                // Removed since it was listed.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).doing("open", &path),
            }
        }
        self.state().disk_bytes.store(total, Ordering::Relaxed);
        Ok(())
    }

    /// Writes a whole small file so that a crash leaves the old one or the new one.
    pub(crate) fn replace(&self, name: &str, contents: &[u8]) -> Result<(), JournalError> {
        let temporary = self.path.join(format!("{name}.tmp"));
        let file = self.storage().create(&temporary).doing("create", &temporary)?;
        file.write_at(contents, 0).doing("write", &temporary)?;
        // Synced under its temporary name: the rename must never publish bytes that may vanish.
        file.sync().doing("sync", &temporary)?;
        self.storage().rename(&temporary, &self.path.join(name)).doing("rename", &temporary)?;
        self.storage().sync_dir(&self.path).doing("sync", &self.path)
    }

    /// Removes a file for good.
    pub(crate) fn remove(&self, name: &str) -> Result<(), JournalError> {
        let path = self.path.join(name);
        self.storage().remove(&path).doing("remove", &path)?;
        self.storage().sync_dir(&self.path).doing("sync", &self.path)
    }
}

fn check_options(options: &FolderOptions) -> Result<(), JournalError> {
    if let Some(wanted) = options.partitions.filter(|&count| count == 0 || count > MAX_PARTITIONS) {
        return Err(JournalError::PartitionsOutOfRange { wanted, max: MAX_PARTITIONS });
    }
    let (min, max) = (segment::MIN_SEGMENT_BYTES, segment::MAX_SEGMENT_BYTES);
    if !(min..=max).contains(&options.segment_bytes) {
        return Err(JournalError::SegmentSize { wanted: options.segment_bytes, min, max });
    }
    let least = LIMIT_SEGMENTS_MIN * options.segment_bytes;
    if options.limit_bytes < least {
        return Err(JournalError::LimitTooSmall {
            limit: options.limit_bytes,
            segment: options.segment_bytes,
            segments: LIMIT_SEGMENTS_MIN,
        });
    }
    Ok(())
}

fn partition_name(id: u16) -> String {
    format!("p{id:04}")
}

fn is_partition(name: &str) -> bool {
    name.strip_prefix('p').is_some_and(|id| id.len() >= 4 && id.parse::<u16>().is_ok())
}

/// Makes `path` and the folders above it that are missing, each durable in its parent.
fn create_dirs(storage: &dyn Storage, path: &Path) -> Result<(), JournalError> {
    match storage.list(path) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).doing("list", path),
    }
    let parent = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => return storage.create_dir(path).doing("create", path),
    };
    create_dirs(storage, parent)?;
    storage.create_dir(path).doing("create", path)?;
    storage.sync_dir(parent).doing("sync", parent)
}

/// Removes what a process that died while making the folder left.
fn clear_half_made(storage: &dyn Storage, path: &Path) -> Result<(), JournalError> {
    let names = storage.list(path).doing("list", path)?;
    let partitions: Vec<_> = names.iter().filter(|name| is_partition(name)).collect();
    if !names.iter().any(|name| name == MAKING) {
        return if partitions.is_empty() { Ok(()) } else { Err(JournalError::MetaMissing(path.to_path_buf())) };
    }
    for partition in partitions {
        let folder = path.join(partition);
        for name in storage.list(&folder).doing("list", &folder)? {
            storage.remove(&folder.join(&name)).doing("remove", &folder.join(&name))?;
        }
        storage.remove_dir(&folder).doing("remove", &folder)?;
    }
    storage.sync_dir(path).doing("sync", path)
}

fn meta(journal: JournalId, partitions: u16) -> [u8; META_BYTES] {
    let mut bytes = [0; META_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
    bytes[10..12].copy_from_slice(&partitions.to_le_bytes());
    bytes[16..32].copy_from_slice(&journal.0);
    let crc = crc32c::crc32c(&bytes[..36]);
    bytes[36..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn read_meta(storage: &dyn Storage, path: &Path) -> Result<Option<(JournalId, u16)>, JournalError> {
    let path = path.join(META);
    let file = match storage.open_read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        other => other.doing("open", &path)?,
    };
    let mut bytes = [0; META_BYTES + 1];
    let read = read_full(file.as_ref(), &mut bytes, 0).doing("read", &path)?;
    let bad = |what: String| JournalError::BadMeta { path: path.clone(), what };
    if read != META_BYTES {
        return Err(bad(format!("it has not {META_BYTES} bytes")));
    }
    if bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..36]) != u32_at(&bytes, 36) {
        return Err(bad("its checksum is wrong".into()));
    }
    if u16_at(&bytes, 8) != VERSION {
        return Err(JournalError::Version { path, found: u16_at(&bytes, 8), known: VERSION });
    }
    let partitions = u16_at(&bytes, 10);
    if partitions == 0 || partitions > MAX_PARTITIONS {
        return Err(bad(format!("it names {partitions} partitions")));
    }
    Ok(Some((JournalId(array_at(&bytes, 16)), partitions)))
}
