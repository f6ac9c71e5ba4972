//! The journal over storage that loses, tears and fails, against a model: everything that
//! was acknowledged is recovered, nothing is invented, the order is kept.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod journal_support;

use journal_support::{DATA, Shop, data_folder, folder_of, open, read_all, seeds};
use rand::Rng;
use son7shop_engine::Lsn;
use son7shop_persistence::journal::faults::{Call, HeldStorage, MemoryStorage};
use son7shop_persistence::journal::{
    Committed, Cursor, DataFolder, Journal, JournalError, OpenHints, Position, Recovered, Storage, removal, snapshot,
};
use std::path::Path;
use std::sync::Arc;

/// A process that has the journal, the storage under it, and what the world knows.
struct World {
    seed: u64,
    shop: Shop,
    storage: MemoryStorage,
    segment_bytes: u64,
    data: Option<DataFolder>,
    journal: Option<Journal>,
    /// What was acknowledged, by the process that lives or an earlier one.
    acknowledged: Lsn,
    /// The last place that the living process knows to be synced.
    synced: Option<Committed>,
    /// Where the database is: at an acknowledged position.
    database: Option<Position>,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Counts {
    crashes: u32,
    kills: u32,
    failures: u32,
    torn: u32,
    snapshots: u32,
    removed: u64,
    events: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut shop = Shop::new(seed);
        let segment_bytes = shop.rng.random_range(4096..20_000);
        let storage = MemoryStorage::new();
        storage.seed(seed);
        Self {
            seed,
            shop,
            storage,
            segment_bytes,
            data: None,
            journal: None,
            acknowledged: Lsn(0),
            synced: None,
            database: None,
            counts: Counts::default(),
        }
    }

    /// Opens the journal, through as many crashes as it takes, and checks what is there.
    fn recover(&mut self) {
        loop {
            if self.shop.rng.random_ratio(1, 4) {
                self.storage.stop_at(self.shop.rng.random_range(1..30));
            }
            match self.try_recover() {
                Ok(recovered) => {
                    self.check(&recovered);
                    let Recovered { partition, journal, report } = recovered;
                    self.counts.torn += u32::from(report.torn.is_some());
                    self.synced = Some(journal.committed());
                    self.journal = Some(journal);
                    drop(partition);
                    self.check_repaired();
                    return;
                }
                // A storage that fails is no fault of the journal's: again, here or after a crash.
                Err(JournalError::Io { .. }) => {
                    self.counts.failures += 1;
                    if self.shop.rng.random() {
                        self.crash();
                    }
                }
                Err(error) => panic!("seed {}: refused without a reason: {error}", self.seed),
            }
        }
    }

    /// What was repaired stays repaired: a process that dies right here finds nothing to do.
    fn check_repaired(&mut self) {
        if self.shop.rng.random_ratio(3, 4) {
            return;
        }
        let last = self.synced;
        self.kill();
        let Recovered { journal, report, .. } =
            self.try_recover().unwrap_or_else(|e| panic!("seed {}: {e}", self.seed));
        assert_eq!(report.torn, None, "seed {}: a tail was left", self.seed);
        assert_eq!(Some(journal.committed().position), last.map(|last| last.position));
        self.synced = Some(journal.committed());
        self.journal = Some(journal);
    }

    fn try_recover(&mut self) -> Result<Recovered, JournalError> {
        let data = match self.data.take() {
            Some(data) => data,
            None => data_folder(&self.storage, self.segment_bytes)?,
        };
        let folder = folder_of(&data);
        self.data = Some(data);
        open(&folder, OpenHints { database: self.database, cut_at: self.synced })
    }

    fn check(&mut self, recovered: &Recovered) {
        let lsn = recovered.report.lsn;
        let seed = self.seed;
        assert!(lsn >= self.acknowledged, "seed {seed}: LSN {} was acknowledged, {lsn} recovered", self.acknowledged);
        assert!(lsn.0 <= self.shop.records.len() as u64, "seed {seed}: invented events");
        if let Some(cut) = self.synced {
            assert_eq!(lsn, cut.position.lsn, "seed {seed}: cut elsewhere");
        }
        self.shop.roll_back(lsn);
        assert_eq!(recovered.partition.image(), self.shop.partition.image(), "seed {seed}: another state");
        assert_eq!(recovered.journal.committed().position.lsn, lsn);
        // What recovery shows counts from now on: somebody may have seen it.
        self.acknowledged = lsn;
        self.check_follower(recovered.journal.committed());
    }

    /// A follower sees the same events, from the oldest that is left.
    fn check_follower(&self, committed: Committed) {
        let folder = folder_of(self.data.as_ref().expect("the folder is open"));
        let from = self.database.map_or(Lsn(0), |database| database.lsn);
        let records = read_all(&folder, committed, from).unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
        let known =
            &self.shop.records[usize::try_from(from.0).unwrap()..usize::try_from(committed.position.lsn.0).unwrap()];
        assert_eq!(records, known, "seed {}: a follower reads other events", self.seed);
    }

    /// The machine loses power.
    fn crash(&mut self) {
        self.journal = None;
        self.data = None;
        self.synced = None;
        self.storage.crash(self.shop.rng.random());
        self.storage.seed(self.shop.rng.random());
        self.counts.crashes += 1;
    }

    /// The process is killed; the page cache stays.
    fn kill(&mut self) {
        self.journal = None;
        self.data = None;
        self.synced = None;
        self.storage.kill();
        self.counts.kills += 1;
    }

    /// Some batches, with whatever an operator's shop does beside them.
    fn live(&mut self) {
        for _ in 0..self.shop.rng.random_range(1..40) {
            self.maintain();
            let journal = self.journal.as_mut().expect("the journal is open");
            for _ in 0..self.shop.rng.random_range(1..30) {
                self.shop.step(|record| {
                    journal.append(record);
                });
            }
            let Ok(committed) = journal.commit() else {
                assert!(journal.commit().is_err(), "a dead journal stays dead");
                self.counts.failures += 1;
                return;
            };
            self.counts.events += committed.position.lsn.0 - self.acknowledged.0;
            self.acknowledged = committed.position.lsn;
            self.synced = Some(committed);
            if self.shop.rng.random_ratio(1, 4) {
                self.check_follower(committed);
                self.database = Some(committed.position);
            }
        }
    }

    /// Segments made ahead, snapshots, cursors, removal. Any of it may fail: it is tried again later.
    fn maintain(&mut self) {
        let folder = folder_of(self.data.as_ref().expect("the folder is open"));
        let journal = self.journal.as_ref().expect("the journal is open");
        let committed = journal.committed();
        match self.shop.rng.random_range(0..12) {
            0 | 1 => drop(journal.preparer().prepare_next()),
            2 => {
                let made = snapshot::make(&folder, committed, 5);
                self.counts.snapshots += u32::from(made.is_ok_and(|made| made.is_some()));
            }
            3 => {
                let keep = self.database.map_or(Lsn(0), |database| database.lsn);
                if let Ok(removed) = removal::remove_below(&folder, committed, keep) {
                    self.counts.removed += removed.segments;
                }
            }
            4 => {
                let cursor = Cursor::new(&folder, "stock").expect("the name is right");
                drop(cursor.store(committed.position.lsn));
            }
            _ => {}
        }
    }

    /// One of the things that go wrong, some calls from now.
    fn plan_trouble(&mut self) {
        let n = self.shop.rng.random_range(1..60);
        match self.shop.rng.random_range(0..8) {
            0 | 1 => self.storage.stop_at(n),
            2 => self.storage.fail(Call::Sync, n / 2 + 1),
            3 => self.storage.fail(Call::Write, n / 2 + 1),
            4 => self.storage.fail(Call::SyncDir, n / 8 + 1),
            5 => self.storage.fail(Call::Rename, n / 16 + 1),
            _ => {}
        }
    }

    fn run(mut self, lives: u32) -> Counts {
        self.recover();
        for _ in 0..lives {
            self.plan_trouble();
            self.live();
            match self.shop.rng.random_range(0..3) {
                0 => self.crash(),
                1 => self.kill(),
                // The process lives on; only the owner died.
                _ => self.journal = None,
            }
            self.recover();
        }
        self.counts
    }
}

#[test]
fn whatever_fails_the_acknowledged_is_there_and_nothing_else() {
    let mut all = Counts::default();
    for seed in seeds(0..80) {
        let counts = World::new(seed).run(25);
        all.crashes += counts.crashes;
        all.kills += counts.kills;
        all.failures += counts.failures;
        all.torn += counts.torn;
        all.snapshots += counts.snapshots;
        all.removed += counts.removed;
        all.events += counts.events;
    }
    println!("{all:?}");
    if std::env::var("SON7_SEED").is_err() {
        // A history in which nothing happens proves nothing.
        let happened = [all.crashes, all.kills, all.failures, all.torn, all.snapshots];
        assert!(happened.iter().all(|&count| count > 50) && all.removed > 50, "too tame: {all:?}");
    }
}

/// A short life with everything in it: opening, batches over several segments, a segment
/// made ahead, snapshots, removal, a failed sync. Gives what was acknowledged.
fn short_life(storage: &MemoryStorage, shop: &mut Shop) -> (Lsn, Result<(), JournalError>) {
    let mut acknowledged = Lsn(0);
    let mut live = || {
        let data = data_folder(storage, 4096)?;
        let folder = folder_of(&data);
        let Recovered { mut journal, .. } = open(&folder, OpenHints::default())?;
        for round in 0..3 {
            for _ in 0..8 {
                for _ in 0..14 {
                    shop.step(|record| {
                        journal.append(record);
                    });
                }
                acknowledged = journal.commit()?.position.lsn;
            }
            journal.preparer().prepare_next()?;
            let committed = journal.committed();
            snapshot::make(&folder, committed, 1)?;
            removal::remove_below(&folder, committed, acknowledged)?;
            Cursor::new(&folder, "stock")?.store(acknowledged)?;
            if round == 1 {
                let cut_at = Some(committed);
                journal = open(&folder, OpenHints { database: Some(committed.position), cut_at })?.journal;
            }
        }
        Ok(())
    };
    let ended = live();
    (acknowledged, ended)
}

#[test]
fn every_call_can_be_the_last() {
    let calls = {
        let storage = MemoryStorage::new();
        let (acknowledged, ended) = short_life(&storage, &mut Shop::new(1));
        ended.unwrap();
        assert!(acknowledged > Lsn(80));
        let oldest = Path::new(DATA).join("p0000/0000000001.segment");
        assert!(storage.contents(&oldest).is_none(), "a prefix was removed");
        storage.calls()
    };
    assert!(calls > 100);
    for n in 1..=calls {
        for seed in 0..6 {
            let storage = MemoryStorage::new();
            storage.seed(seed);
            storage.stop_at(n);
            let mut shop = Shop::new(1);
            let (acknowledged, ended) = short_life(&storage, &mut shop);
            assert!(ended.is_err(), "call {n} is the last");
            if seed == 0 {
                storage.kill();
            } else {
                storage.crash(seed);
            }
            let place = format!("call {n}, seed {seed}");
            let data = data_folder(&storage, 4096).unwrap_or_else(|error| panic!("{place}: {error}"));
            let recovered = open(&folder_of(&data), OpenHints::default()).unwrap_or_else(|e| panic!("{place}: {e}"));
            let lsn = recovered.report.lsn;
            assert!(lsn >= acknowledged && lsn <= shop.partition.lsn(), "{place}: {acknowledged} acknowledged, {lsn}");
            assert_eq!(recovered.partition.image(), shop.state_at(lsn).image(), "{place}");
        }
    }
}

/// A batch over many segments fails at any of its syncs: nothing of it counts, wherever it lies.
#[test]
fn a_batch_over_many_segments_fails_at_each_of_its_syncs() {
    for n in 1..=4 {
        for process_dies in [false, true] {
            let storage = MemoryStorage::new();
            storage.seed(n);
            let data = data_folder(&storage, 4096).unwrap();
            let mut shop = Shop::new(8);
            let Recovered { mut journal, .. } = open(&folder_of(&data), OpenHints::default()).unwrap();
            let mut write = |journal: &mut Journal, commands: usize| {
                for _ in 0..commands {
                    shop.step(|record| {
                        journal.append(record);
                    });
                }
                (journal.commit(), shop.partition.lsn(), shop.state_at(journal.committed().position.lsn).image())
            };
            let (committed, ..) = write(&mut journal, 10);
            let committed = committed.unwrap();
            // A sync of the batch itself; making its segments takes one for each, too.
            storage.fail(Call::Sync, 2 * n - 1);
            let (failed, _, state) = write(&mut journal, 300);
            assert!(failed.is_err());
            assert_eq!(journal.committed(), committed);
            let Recovered { mut journal, partition, report } =
                open(&folder_of(&data), OpenHints { database: Some(committed.position), cut_at: Some(committed) })
                    .unwrap();
            assert_eq!((report.lsn, partition.image() == state), (committed.position.lsn, true), "sync {n}");
            shop = Shop::new(9);
            shop.partition = partition;
            let mut lsn = committed.position.lsn;
            for _ in 0..3 {
                for _ in 0..10 {
                    shop.step(|record| {
                        journal.append(record);
                    });
                }
                lsn = journal.commit().unwrap().position.lsn;
            }
            drop((journal, data));
            if process_dies {
                storage.kill();
            } else {
                storage.crash(n);
            }
            let data = data_folder(&storage, 4096).unwrap();
            let again =
                open(&folder_of(&data), OpenHints { database: Some(committed.position), cut_at: None }).unwrap();
            assert_eq!((again.report.lsn, again.report.torn), (lsn, None), "sync {n}");
            assert!(again.partition.image() == shop.partition.image(), "sync {n}");
        }
    }
}

/// A process on [`HeldStorage`] that dies leaves on the disk what it synced, and no more.
#[test]
fn held_storage_loses_what_was_not_synced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    let storage = HeldStorage::default();
    let file = storage.create(&path).unwrap();
    file.write_at(b"synced", 0).unwrap();
    file.sync().unwrap();
    file.write_at(b"lost", 3).unwrap();
    file.write_at(b"far", 20).unwrap();
    let renamed = dir.path().join("renamed");
    storage.rename(&path, &renamed).unwrap();
    // The living process reads what it wrote, through any handle.
    let mut bytes = [9; 30];
    let read = storage.open_read(&renamed).unwrap().read_at(&mut bytes, 0).unwrap();
    assert_eq!(&bytes[..read], b"synlost\0\0\0\0\0\0\0\0\0\0\0\0\0far");
    assert_eq!(file.len().unwrap(), 23);
    drop((file, storage));
    assert_eq!(std::fs::read(&renamed).unwrap(), b"synced");
}

#[test]
fn the_journal_serves_over_held_storage() {
    let dir = tempfile::tempdir().unwrap();
    let mut shop = Shop::new(4);
    let options = journal_support::options(8192);
    for _ in 0..3 {
        let data = DataFolder::open(Arc::new(HeldStorage::default()), dir.path(), &options).unwrap();
        let Recovered { mut journal, partition, .. } = open(&folder_of(&data), OpenHints::default()).unwrap();
        assert_eq!(partition.lsn(), shop.partition.lsn());
        for _ in 0..30 {
            for _ in 0..7 {
                shop.step(|record| {
                    journal.append(record);
                });
            }
            journal.commit().unwrap();
        }
        assert_eq!(read_all(&folder_of(&data), journal.committed(), Lsn(0)).unwrap(), shop.records);
    }
}
