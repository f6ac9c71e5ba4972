//! A real disk whose writes stay in the process until they are synced: a killed process
//! loses what it had not synced, as a machine without power would.

use crate::journal::storage::{DiskStorage, Storage, StorageFile, StorageLock, read_full};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The operating system's file system, with every write held back until its file's sync.
/// Names (create, rename, remove) are changed at once.
#[derive(Debug, Default)]
pub struct HeldStorage {
    disk: DiskStorage,
    /// What is held for the file that has this name now.
    files: Mutex<HashMap<PathBuf, Arc<Mutex<Held>>>>,
    sync_delay: Duration,
    lies: bool,
}

#[derive(Debug, Default)]
struct Held {
    /// Offset and bytes, oldest first.
    writes: Vec<(u64, Vec<u8>)>,
    /// How many of them a sync has promised without writing them: only where syncs lie.
    promised: usize,
}

#[derive(Debug)]
struct HeldFile {
    file: Box<dyn StorageFile>,
    held: Arc<Mutex<Held>>,
    sync_delay: Duration,
    lies: bool,
}

impl HeldStorage {
    /// Holds writes back; each sync of a file takes `sync_delay` longer than the disk's.
    #[must_use]
    pub fn new(sync_delay: Duration) -> Self {
        Self { sync_delay, ..Self::default() }
    }

    /// A disk that acknowledges before it has synced: each sync makes durable only what the
    /// sync before it promised. Whoever trusts it loses what was acknowledged last, and a
    /// crash test that finds nothing then proves nothing.
    #[must_use]
    pub fn lying() -> Self {
        Self { lies: true, ..Self::default() }
    }

    fn wrap(&self, path: &Path, file: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        let held = Arc::clone(lock(&self.files).entry(path.to_path_buf()).or_default());
        Box::new(HeldFile { file, held, sync_delay: self.sync_delay, lies: self.lies })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Storage for HeldStorage {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.create_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        self.disk.list(path)
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.wrap(path, self.disk.open_read(path)?))
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.wrap(path, self.disk.open_write(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let file = self.disk.create(path)?;
        lock(&self.files).remove(path);
        Ok(self.wrap(path, file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = lock(&self.files);
        self.disk.rename(from, to)?;
        match files.remove(from) {
            Some(held) => files.insert(to.to_path_buf(), held),
            None => files.remove(to),
        };
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)?;
        lock(&self.files).remove(path);
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        self.disk.lock(path)
    }
}

impl StorageFile for HeldFile {
    fn len(&self) -> io::Result<u64> {
        let held = lock(&self.held);
        let written = held.writes.iter().map(|(offset, bytes)| offset + bytes.len() as u64).max();
        Ok(self.file.len()?.max(written.unwrap_or(0)))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let held = lock(&self.held);
        let mut read = read_full(self.file.as_ref(), buffer, offset)?;
        let end = offset + buffer.len() as u64;
        for (at, bytes) in &held.writes {
            let (from, to) = (offset.max(*at), end.min(at + bytes.len() as u64));
            if from >= to {
                continue;
            }
            // All three are inside `buffer` or `bytes`, and so fit.
            let index = |place: u64, start: u64| usize::try_from(place - start).unwrap_or(usize::MAX);
            let (start, stop) = (index(from, offset), index(to, offset));
            // A hole between the file's end and a held write reads as zeros.
            if read < start {
                buffer[read..start].fill(0);
            }
            buffer[start..stop].copy_from_slice(&bytes[index(from, *at)..index(to, *at)]);
            read = read.max(stop);
        }
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        lock(&self.held).writes.push((offset, bytes.to_vec()));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut held = lock(&self.held);
        let durable = if self.lies { held.promised } else { held.writes.len() };
        for (offset, bytes) in held.writes.drain(..durable) {
            self.file.write_at(&bytes, offset)?;
        }
        held.promised = held.writes.len();
        if !self.sync_delay.is_zero() {
            std::thread::sleep(self.sync_delay);
        }
        self.file.sync()
    }
}
