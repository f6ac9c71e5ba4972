//! Cursors: how far a follower is, kept in the partition's folder so that the segments it
//! still needs are kept too.
//!
//! `NAME.cursor`, 48 bytes, little-endian: magic `S7cursor`, version (2), partition (2),
//! zero (4), journal id (16), LSN (8), zero (4), CRC-32C of bytes 0 to 43 (4).

use super::error::IoContext;
use super::folder::PartitionFolder;
use super::frame::{array_at, u16_at, u32_at, u64_at};
use super::storage::read_full;
use super::{JournalError, JournalId};
use son7shop_engine::{Lsn, PartitionId};
use std::io::ErrorKind;
use std::path::PathBuf;

const BYTES: usize = 48;
const MAGIC: [u8; 8] = *b"S7cursor";
const VERSION: u16 = 1;
const SUFFIX: &str = ".cursor";
const NAME_MAX: usize = 48;

/// A follower's durable place. While it exists, the events after it are kept.
#[derive(Debug, Clone)]
pub struct Cursor {
    folder: PartitionFolder,
    /// Whose it is; its file's name without the suffix.
    pub(crate) name: String,
}

impl Cursor {
    /// The cursor of this name; its file is made by the first [`Cursor::store`].
    pub fn new(folder: &PartitionFolder, name: &str) -> Result<Self, JournalError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(allowed) {
            return Err(JournalError::CursorName(name.to_owned()));
        }
        Ok(Self { folder: folder.clone(), name: name.to_owned() })
    }

    /// The last event that its follower is done with; `None` if it was never stored.
    pub fn load(&self) -> Result<Option<Lsn>, JournalError> {
        let (folder, path) = (&self.folder, self.path());
        let file = match folder.storage().open_read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.doing("open", &path)?,
        };
        let mut bytes = [0; BYTES + 1];
        let read = read_full(file.as_ref(), &mut bytes, 0).doing("read", &path)?;
        let right = read == BYTES && bytes[..8] == MAGIC && crc32c::crc32c(&bytes[..44]) == u32_at(&bytes, 44);
        if !right {
            return Err(JournalError::BadCursor { path, what: "its checksum or length is wrong".into() });
        }
        if u16_at(&bytes, 8) != VERSION {
            return Err(JournalError::Version { path, found: u16_at(&bytes, 8), known: VERSION });
        }
        let journal = JournalId(array_at(&bytes, 16));
        if journal != folder.journal() {
            return Err(JournalError::WrongJournal { path, found: journal, expected: folder.journal() });
        }
        let partition = PartitionId(u16_at(&bytes, 10));
        if partition != folder.id() {
            return Err(JournalError::WrongPartition { path, found: partition, expected: folder.id() });
        }
        Ok(Some(Lsn(u64_at(&bytes, 32))))
    }

    /// Keeps that the follower is done with every event up to `lsn`. Two syncs: store it
    /// once in a while, not for every event.
    pub fn store(&self, lsn: Lsn) -> Result<(), JournalError> {
        self.folder.writable()?;
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.folder.id().0.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.folder.journal().0);
        bytes[32..40].copy_from_slice(&lsn.0.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..44]);
        bytes[44..].copy_from_slice(&crc.to_le_bytes());
        self.folder.replace(&self.file(), &bytes)
    }

    /// Where its file is, once it was stored.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join(self.file())
    }

    fn file(&self) -> String {
        format!("{}{SUFFIX}", self.name)
    }
}

/// The cursors that the folder has, by name, each with its place.
pub(crate) fn all(folder: &PartitionFolder) -> Result<Vec<(String, Lsn)>, JournalError> {
    let mut places = Vec::new();
    for cursor in list(folder)? {
        if let Some(lsn) = cursor.load()? {
            places.push((cursor.name, lsn));
        }
    }
    Ok(places)
}

/// The cursors that the folder has, by name; unread.
pub(crate) fn list(folder: &PartitionFolder) -> Result<Vec<Cursor>, JournalError> {
    let mut names: Vec<_> =
        folder.names()?.iter().filter_map(|file| file.strip_suffix(SUFFIX)).map(str::to_owned).collect();
    names.sort_unstable();
    Ok(names.into_iter().map(|name| Cursor { folder: folder.clone(), name }).collect())
}
