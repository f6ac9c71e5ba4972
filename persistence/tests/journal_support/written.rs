//! A journal that was written and closed, and everything that is known about it.

use super::{DATA, Shop, data_folder, folder_of, open};
use son7shop_engine::{Lsn, Partition, PartitionImage};
use son7shop_persistence::journal::faults::MemoryStorage;
use son7shop_persistence::journal::{
    Committed, Journal, JournalError, OpenHints, Position, Recovered, RecoveryReport, Storage,
};
use std::path::{Path, PathBuf};

/// Small, so that a few events fill several.
pub(crate) const SEGMENT_BYTES: u64 = 4096;

/// A journal that was written and closed, and everything that is known about it.
pub(crate) struct Written {
    pub(crate) storage: MemoryStorage,
    pub(crate) shop: Shop,
    pub(crate) states: Vec<PartitionImage>,
    /// After each batch, in order.
    pub(crate) commits: Vec<Committed>,
}

impl Written {
    /// `batches` batches of a few events.
    pub(crate) fn new(seed: u64, batches: usize) -> Self {
        let mut written = Self {
            storage: MemoryStorage::new(),
            shop: Shop::new(seed),
            states: vec![Partition::new(super::PARTITION, 0).image()],
            commits: Vec::new(),
        };
        written.go_on(batches);
        written
    }

    pub(crate) fn go_on(&mut self, batches: usize) {
        let data = data_folder(&self.storage, SEGMENT_BYTES).unwrap();
        let Recovered { mut journal, .. } = open(&folder_of(&data), OpenHints::default()).unwrap();
        for batch in 0..batches {
            self.batch(&mut journal, 1 + batch % 4);
        }
    }

    pub(crate) fn batch(&mut self, journal: &mut Journal, commands: usize) {
        while journal.pending() < commands {
            self.shop.step(|record| {
                journal.append(record);
            });
        }
        self.commits.push(journal.commit().unwrap());
        while (self.states.len() as u64) <= self.shop.partition.lsn().0 {
            self.states.push(self.shop.state_at(Lsn(self.states.len() as u64)).image());
        }
    }

    pub(crate) fn last(&self) -> Committed {
        *self.commits.last().unwrap()
    }

    pub(crate) fn lsn(&self) -> Lsn {
        self.last().position.lsn
    }

    /// Where the last batch starts: the end of the one before, if that is in the same segment.
    pub(crate) fn last_batch(&self) -> (u64, u64) {
        let before = self.commits[self.commits.len() - 2];
        assert_eq!(before.segment, self.last().segment, "choose another seed: the last batch starts a segment");
        (before.segment, before.offset)
    }

    /// What became of a damaged copy.
    pub(crate) fn recover(
        &self,
        storage: &MemoryStorage,
        database: Option<Position>,
    ) -> Result<RecoveryReport, JournalError> {
        let data = data_folder(storage, SEGMENT_BYTES)?;
        let folder = folder_of(&data);
        let before = contents(storage);
        match open(&folder, OpenHints { database, cut_at: None }) {
            Ok(Recovered { partition, journal, report }) => {
                let lsn = usize::try_from(report.lsn.0).unwrap();
                assert_eq!(partition.image(), self.states[lsn], "a state that never was");
                let known = self.commits.iter().any(|committed| committed.position == journal.committed().position);
                assert!(known || lsn == 0, "half a batch");
                drop(journal);
                let again = open(&folder, OpenHints { database, cut_at: None }).unwrap();
                assert_eq!((again.report.lsn, again.report.torn), (report.lsn, None), "repaired for good");
                Ok(report)
            }
            Err(error) => {
                assert_eq!(contents(storage), before, "a refusal changes nothing: {error}");
                Err(error)
            }
        }
    }
}

pub(crate) fn partition_path(name: &str) -> PathBuf {
    Path::new(DATA).join("p0000").join(name)
}

pub(crate) fn segment_path(number: u64) -> PathBuf {
    partition_path(&format!("{number:010}.segment"))
}

/// All files of the partition.
pub(crate) fn contents(storage: &MemoryStorage) -> Vec<(String, Vec<u8>)> {
    let mut names = storage.list(&Path::new(DATA).join("p0000")).unwrap_or_default();
    names.sort();
    names.into_iter().map(|name| (name.clone(), storage.contents(&partition_path(&name)).unwrap())).collect()
}

pub(crate) fn remove(storage: &MemoryStorage, path: &Path) {
    storage.remove(path).unwrap();
    storage.sync_dir(path.parent().unwrap()).unwrap();
}

/// The refusals that damaged bytes may lead to, each naming the file.
pub(crate) fn names_the_file(error: &JournalError, path: &Path) -> bool {
    let named = matches!(
        error,
        JournalError::Damaged { .. }
            | JournalError::SegmentMissing { .. }
            | JournalError::WrongJournal { .. }
            | JournalError::WrongPartition { .. }
            | JournalError::Version { .. }
            | JournalError::BadMeta { .. }
    );
    named && error.to_string().contains(path.to_str().unwrap())
}
