//! A file system in memory that forgets, in a crash, whatever was not synced.
//!
//! The model is harsher than any disk that keeps [`Storage`]'s promises:
//! - of each write since a file's last sync, any 512-byte sectors survive, each by itself;
//! - of the names made, renamed and removed since their folder's last sync, any changes
//!   survive, each by itself (a rename is one change: whole, or not at all);
//! - after a failed sync, the bytes are still read, but no later sync makes them durable
//!   unless they are written again (as Linux does it);
//! - a failed write leaves any first part of its bytes.

use super::Draw;
use crate::journal::storage::{Storage, StorageFile, StorageLock};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

const SECTOR: usize = 512;

/// The calls that change something, and so can fail or be the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Call {
    /// [`StorageFile::write_at`].
    Write,
    /// [`StorageFile::sync`].
    Sync,
    /// [`Storage::sync_dir`].
    SyncDir,
    /// [`Storage::create`] and [`Storage::create_dir`].
    Create,
    /// [`Storage::rename`].
    Rename,
    /// [`Storage::remove`] and [`Storage::remove_dir`].
    Remove,
}

/// The file system. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct MemoryStorage {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    folders: BTreeMap<PathBuf, Folder>,
    files: BTreeMap<u64, Inode>,
    next_file: u64,
    locks: BTreeSet<PathBuf>,
    /// Grows with every crash: handles from before are dead.
    life: u64,
    /// Calls that changed something, since the storage was made.
    calls: u64,
    /// From this call on nothing works any more.
    stop_at: Option<u64>,
    /// The next calls of a kind that fail: after how many more.
    failing: Vec<(Call, u64)>,
    holds: Vec<Arc<Held>>,
    draw: Option<Draw>,
}

/// Calls that hang until this is dropped.
#[derive(Debug)]
pub struct Hold(Arc<Held>);

#[derive(Debug)]
struct Held {
    call: Call,
    suffix: String,
    waiting: AtomicUsize,
    released: Mutex<bool>,
    release: Condvar,
}

impl Held {
    fn wait(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let released = self.released.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.release.wait_while(released, |released| !*released));
    }
}

impl Hold {
    /// How many calls came to hang.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        *self.0.released.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.release.notify_all();
    }
}

#[derive(Debug, Default)]
struct Folder {
    now: BTreeMap<String, u64>,
    durable: BTreeMap<String, u64>,
    /// Changes since the last sync, oldest first.
    pending: Vec<Change>,
}

/// What can happen to a folder's names.
#[derive(Debug, Clone)]
enum Change {
    Made(String, u64),
    Renamed(String, String, u64),
    Removed(String),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Made(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Renamed(from, to, file) => {
                if names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
            Self::Removed(name) => {
                names.remove(name);
            }
        }
    }
}

#[derive(Debug, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Written since the last sync: offset and bytes.
    pending: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug)]
struct MemoryFile {
    state: Arc<Mutex<State>>,
    /// The name it was opened under.
    path: PathBuf,
    file: u64,
    life: u64,
}

#[derive(Debug)]
struct MemoryLock {
    state: Arc<Mutex<State>>,
    path: PathBuf,
    life: u64,
}

impl MemoryStorage {
    /// An empty file system.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The machine loses power and comes back: of what was not synced, `seed` decides what
    /// is left. Open files and locks are gone; calls fail no more.
    pub fn crash(&self, seed: u64) {
        let mut draw = Draw::new(seed);
        let mut state = self.state();
        for file in state.files.values_mut() {
            file.settle(&mut draw);
            file.now.clone_from(&file.durable);
        }
        for folder in state.folders.values_mut() {
            folder.settle(&mut draw);
        }
        state.locks.clear();
        state.failing.clear();
        state.stop_at = None;
        state.life += 1;
    }

    /// The process dies, the machine does not: what was written is there, synced or not.
    pub fn kill(&self) {
        let mut state = self.state();
        state.locks.clear();
        state.failing.clear();
        state.stop_at = None;
        state.life += 1;
    }

    /// Calls that changed something so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// From the `n`-th changing call from now on (1 is the next), nothing works until
    /// [`MemoryStorage::crash`]; a write that is the first to fail may be done in part.
    pub fn stop_at(&self, n: u64) {
        let mut state = self.state();
        state.stop_at = Some(state.calls + n);
    }

    /// The `n`-th call of this kind from now (1 is the next) fails, once.
    pub fn fail(&self, call: Call, n: u64) {
        self.state().failing.push((call, n));
    }

    /// Calls of this kind on files whose name ends in `suffix` hang until the answer is dropped.
    #[must_use]
    pub fn hold(&self, call: Call, suffix: &str) -> Hold {
        let (released, release) = (Mutex::new(false), Condvar::new());
        let waiting = AtomicUsize::new(0);
        let held = Arc::new(Held { call, suffix: suffix.to_owned(), waiting, released, release });
        self.state().holds.push(Arc::clone(&held));
        Hold(held)
    }

    /// Seeds what failing writes and syncs leave behind; otherwise they leave nothing.
    pub fn seed(&self, seed: u64) {
        self.state().draw = Some(Draw::new(seed));
    }

    /// A file's bytes as a reader sees them; `None` if there is no such file.
    #[must_use]
    pub fn contents(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let file = state.find(path).ok()?;
        Some(state.files.get(&file)?.now.clone())
    }

    /// Puts a file there, durable, as if it had always been.
    pub fn plant(&self, path: &Path, contents: &[u8]) {
        let mut state = self.state();
        let file = state.next_file;
        state.next_file += 1;
        let inode = Inode { now: contents.to_vec(), durable: contents.to_vec(), pending: Vec::new() };
        state.files.insert(file, inode);
        let (folder, name) = split(path);
        let folder = state.folders.entry(folder).or_default();
        folder.now.insert(name.clone(), file);
        folder.durable.insert(name, file);
    }

    /// A file system with the same files, all of them durable, that goes its own way.
    #[must_use]
    pub fn copy(&self) -> Self {
        let state = self.state();
        let mut copy = State { next_file: state.next_file, ..State::default() };
        for (path, folder) in &state.folders {
            copy.folders.insert(
                path.clone(),
                Folder { now: folder.now.clone(), durable: folder.now.clone(), pending: Vec::new() },
            );
            for file in folder.now.values() {
                let now = state.files.get(file).map(|inode| inode.now.clone()).unwrap_or_default();
                copy.files.insert(*file, Inode { durable: now.clone(), now, pending: Vec::new() });
            }
        }
        Self { state: Arc::new(Mutex::new(copy)) }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hangs where the test wants it, without holding up other calls.
fn wait(state: &Mutex<State>, call: Call, path: &Path) {
    let name = split(path).1;
    let holds = lock(state).holds.clone();
    holds.iter().filter(|held| held.call == call && name.ends_with(&held.suffix)).for_each(|held| held.wait());
}

fn split(path: &Path) -> (PathBuf, String) {
    let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    (folder, name)
}

fn missing(path: &Path) -> Error {
    Error::new(ErrorKind::NotFound, format!("no {}", path.display()))
}

impl Folder {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    /// Each change is durable or never was.
    fn settle(&mut self, draw: &mut Draw) {
        for change in std::mem::take(&mut self.pending) {
            if draw.coin() {
                change.apply(&mut self.durable);
            }
        }
        self.now.clone_from(&self.durable);
    }
}

impl Inode {
    /// Any sectors of what is pending become durable; nothing is pending any more.
    fn settle(&mut self, draw: &mut Draw) {
        let all_or_nothing = draw.below(4);
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            let mut from = 0;
            while from < bytes.len() {
                let to = bytes.len().min(((offset + from) / SECTOR + 1) * SECTOR - offset);
                let survives = match all_or_nothing {
                    0 => true,
                    1 => false,
                    _ => draw.coin(),
                };
                if survives {
                    put(&mut self.durable, offset + from, &bytes[from..to]);
                }
                from = to;
            }
        }
    }

    fn sync(&mut self) {
        for (offset, bytes) in std::mem::take(&mut self.pending) {
            put(&mut self.durable, offset, &bytes);
        }
    }
}

fn put(contents: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if contents.len() < offset + bytes.len() {
        contents.resize(offset + bytes.len(), 0);
    }
    contents[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl State {
    /// Counts a changing call; whether it is to fail.
    fn fails(&mut self, call: Call) -> bool {
        self.calls += 1;
        let stopped = self.stop_at.is_some_and(|at| self.calls >= at);
        let mut fails = stopped;
        for (kind, left) in &mut self.failing {
            if *kind == call {
                *left -= 1;
                fails |= *left == 0;
            }
        }
        self.failing.retain(|(_, left)| *left > 0);
        fails
    }

    fn check(&mut self, call: Call) -> io::Result<()> {
        if self.fails(call) { Err(Error::other(format!("injected: {call:?} fails"))) } else { Ok(()) }
    }

    fn find(&self, path: &Path) -> io::Result<u64> {
        let (folder, name) = split(path);
        self.folders.get(&folder).and_then(|folder| folder.now.get(&name)).copied().ok_or_else(|| missing(path))
    }

    fn folder(&mut self, path: &Path) -> io::Result<&mut Folder> {
        self.folders.get_mut(path).ok_or_else(|| missing(path))
    }

    fn inode(&mut self, file: u64, life: u64) -> io::Result<&mut Inode> {
        if self.life != life {
            return Err(Error::other("the file was opened before the crash"));
        }
        self.files.get_mut(&file).ok_or_else(|| Error::other("the file is gone"))
    }
}

impl Storage for MemoryStorage {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.check(Call::Create)?;
        // Folders themselves are durable at once: only their entries are in question.
        state.folders.entry(path.to_path_buf()).or_default();
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let mut state = self.state();
        let inside = |folder: &&PathBuf| folder.parent() == Some(path);
        let folders: Vec<String> = state.folders.keys().filter(inside).map(|folder| split(folder).1).collect();
        let files = state.folder(path)?.now.keys().cloned();
        Ok(files.chain(folders).collect())
    }

    fn open_read(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        self.open_write(path)
    }

    fn open_write(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let state = self.state();
        let file = state.find(path)?;
        Ok(Box::new(MemoryFile { state: Arc::clone(&self.state), path: path.to_path_buf(), file, life: state.life }))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        wait(&self.state, Call::Create, path);
        let mut state = self.state();
        state.check(Call::Create)?;
        let (folder, name) = split(path);
        let file = state.next_file;
        state.next_file += 1;
        state.folder(&folder)?.change(Change::Made(name, file));
        state.files.insert(file, Inode::default());
        Ok(Box::new(MemoryFile { state: Arc::clone(&self.state), path: path.to_path_buf(), file, life: state.life }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        wait(&self.state, Call::Rename, from);
        let mut state = self.state();
        state.check(Call::Rename)?;
        let file = state.find(from)?;
        let ((folder, old), (_, new)) = (split(from), split(to));
        state.folder(&folder)?.change(Change::Renamed(old, new, file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        wait(&self.state, Call::Remove, path);
        let mut state = self.state();
        state.check(Call::Remove)?;
        state.find(path)?;
        let (folder, name) = split(path);
        state.folder(&folder)?.change(Change::Removed(name));
        Ok(())
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.check(Call::Remove)?;
        if state.folder(path)?.now.is_empty() {
            state.folders.remove(path);
            return Ok(());
        }
        Err(Error::new(ErrorKind::DirectoryNotEmpty, "the folder is not empty"))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.check(Call::SyncDir)?;
        let folder = state.folder(path)?;
        folder.durable.clone_from(&folder.now);
        folder.pending.clear();
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn StorageLock>>> {
        let mut state = self.state();
        if !state.locks.insert(path.to_path_buf()) {
            return Ok(None);
        }
        let life = state.life;
        Ok(Some(Box::new(MemoryLock { state: Arc::clone(&self.state), path: path.to_path_buf(), life })))
    }
}

impl StorageLock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        // A lock from before a crash must not take away that of the next process.
        if state.life == self.life {
            state.locks.remove(&self.path);
        }
    }
}

impl StorageFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.state).inode(self.file, self.life)?.now.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = lock(&self.state);
        let contents = &state.inode(self.file, self.life)?.now;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(contents.len());
        let read = buffer.len().min(contents.len() - from);
        buffer[..read].copy_from_slice(&contents[from..from + read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        wait(&self.state, Call::Write, &self.path);
        let mut state = lock(&self.state);
        let fails = state.fails(Call::Write);
        let done = match (fails, &mut state.draw) {
            (false, _) => bytes.len(),
            (true, Some(draw)) => draw.below(bytes.len()),
            (true, None) => 0,
        };
        let inode = state.inode(self.file, self.life)?;
        let offset = usize::try_from(offset).map_err(Error::other)?;
        put(&mut inode.now, offset, &bytes[..done]);
        inode.pending.push((offset, bytes[..done].to_vec()));
        if fails { Err(Error::other("injected: Write fails")) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        wait(&self.state, Call::Sync, &self.path);
        let mut state = lock(&self.state);
        let fails = state.fails(Call::Sync);
        let stopped = state.stop_at.is_some_and(|at| state.calls >= at);
        let mut draw = state.draw.clone();
        let inode = state.inode(self.file, self.life)?;
        if !fails {
            inode.sync();
            return Ok(());
        }
        // When all stops, the crash that follows decides. Otherwise the pages count as
        // clean from now on: what did not reach the disk never will.
        if !stopped {
            match &mut draw {
                Some(draw) => inode.settle(draw),
                None => inode.pending.clear(),
            }
            state.draw = draw;
        }
        Err(Error::other("injected: Sync fails"))
    }
}
