//! Damaged journals: recovered to exactly what was acknowledged, or to less with a warning
//! where nothing can prove more, or refused with the right words. Never wrong in silence.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod journal_support;

use journal_support::{DATA, Shop, data_folder, folder_of, open, options, read_all};
use son7shop_engine::{Lsn, Partition, PartitionImage};
use son7shop_persistence::journal::faults::MemoryStorage;
use son7shop_persistence::journal::{
    Committed, DataFolder, FolderOptions, Journal, JournalError, OpenHints, Position, Recovered, RecoveryReport,
    inspect, removal, snapshot,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SEGMENT_BYTES: u64 = 4096;

/// A journal that was written and closed, and everything that is known about it.
struct Written {
    storage: MemoryStorage,
    shop: Shop,
    states: Vec<PartitionImage>,
    /// After each batch, in order.
    commits: Vec<Committed>,
}

impl Written {
    /// `batches` batches of a few events.
    fn new(seed: u64, batches: usize) -> Self {
        let mut written = Self {
            storage: MemoryStorage::new(),
            shop: Shop::new(seed),
            states: vec![Partition::new(journal_support::PARTITION, 0).image()],
            commits: Vec::new(),
        };
        written.go_on(batches);
        written
    }

    fn go_on(&mut self, batches: usize) {
        let data = data_folder(&self.storage, SEGMENT_BYTES).unwrap();
        let Recovered { mut journal, .. } = open(&folder_of(&data), OpenHints::default()).unwrap();
        for batch in 0..batches {
            self.batch(&mut journal, 1 + batch % 4);
        }
    }

    fn batch(&mut self, journal: &mut Journal, commands: usize) {
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

    fn last(&self) -> Committed {
        *self.commits.last().unwrap()
    }

    fn lsn(&self) -> Lsn {
        self.last().position.lsn
    }

    /// Where the last batch starts: the end of the one before, if that is in the same segment.
    fn last_batch(&self) -> (u64, u64) {
        let before = self.commits[self.commits.len() - 2];
        assert_eq!(before.segment, self.last().segment, "choose another seed: the last batch starts a segment");
        (before.segment, before.offset)
    }

    /// What became of a damaged copy.
    fn recover(&self, storage: &MemoryStorage, database: Option<Position>) -> Result<RecoveryReport, JournalError> {
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

fn partition_path(name: &str) -> PathBuf {
    Path::new(DATA).join("p0000").join(name)
}

fn segment_path(number: u64) -> PathBuf {
    partition_path(&format!("{number:010}.segment"))
}

/// All files of the partition.
fn contents(storage: &MemoryStorage) -> Vec<(String, Vec<u8>)> {
    use son7shop_persistence::journal::Storage;
    let mut names = storage.list(&Path::new(DATA).join("p0000")).unwrap_or_default();
    names.sort();
    names.into_iter().map(|name| (name.clone(), storage.contents(&partition_path(&name)).unwrap())).collect()
}

/// The refusals that damaged bytes may lead to, each naming the file.
fn names_the_file(error: &JournalError, path: &Path) -> bool {
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

#[test]
fn every_byte_of_every_segment_flipped() {
    let written = Written::new(11, 40);
    let (last, end) = (written.last().segment, written.last().offset);
    let (batch_segment, batch_offset) = written.last_batch();
    assert!(last >= 3, "several segments: {last}");
    let (mut refused, mut torn, mut untouched) = (0, 0, 0);
    for number in 1..=last {
        let path = segment_path(number);
        let whole = written.storage.contents(&path).unwrap();
        for (offset, mask) in (0..whole.len()).flat_map(|offset| [(offset, 0xff), (offset, 1 << (offset % 8))]) {
            let storage = written.storage.copy();
            let mut bytes = whole.clone();
            bytes[offset] ^= mask;
            storage.plant(&path, &bytes);
            let offset = offset as u64;
            let place = format!("segment {number}, offset {offset}, mask {mask:#x}");
            let in_last_batch = number == batch_segment && (batch_offset..end).contains(&offset);
            match written.recover(&storage, None) {
                Err(error) => {
                    refused += 1;
                    assert!(names_the_file(&error, &path), "{place}: {error}");
                    assert!(!in_last_batch, "{place}: nothing proves the last batch, but {error}");
                }
                Ok(report) if report.lsn == written.lsn() => {
                    untouched += 1;
                    assert!(whole[usize::try_from(offset).unwrap()] == 0, "{place}: a flip in a frame went unseen");
                    assert_eq!(report.torn.is_some(), number == last, "{place}: garbage at the end is told of");
                }
                Ok(report) => {
                    torn += 1;
                    assert!(in_last_batch, "{place}: lost {} of {}", written.lsn().0 - report.lsn.0, written.lsn());
                    assert!(report.torn.is_some_and(|torn| torn.segment == number && torn.offset == batch_offset));
                }
            }
        }
    }
    assert!(refused > 5_000 && torn > 100 && untouched > 500, "{refused} refused, {torn} torn, {untouched} untouched");
}

#[test]
fn a_database_at_the_end_proves_the_last_batch() {
    let written = Written::new(11, 40);
    let (number, from) = written.last_batch();
    let path = segment_path(number);
    let whole = written.storage.contents(&path).unwrap();
    for offset in from..written.last().offset {
        let storage = written.storage.copy();
        let mut bytes = whole.clone();
        bytes[usize::try_from(offset).unwrap()] ^= 0x10;
        storage.plant(&path, &bytes);
        let error = written.recover(&storage, Some(written.last().position)).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { offset, .. } if offset == from), "{error}");
        assert!(error.to_string().contains("the database has events up to LSN"), "{error}");
    }
}

/// The whole journal cut after `n` of its bytes, as a crash could do it: zeros from there on.
#[test]
fn every_prefix_as_a_crash_leaves_it() {
    let written = Written::new(23, 30);
    let last = written.last().segment;
    let mut recovered = 0;
    for number in 1..=last {
        let whole = written.storage.contents(&segment_path(number)).unwrap();
        let here = written.commits.iter().filter(|committed| committed.segment == number);
        let ends: Vec<usize> = here.map(|committed| usize::try_from(committed.offset).unwrap()).collect();
        for n in 128..whole.len() {
            let storage = written.storage.copy();
            let mut bytes = whole.clone();
            bytes[n..].fill(0);
            storage.plant(&segment_path(number), &bytes);
            for later in number + 1..=last {
                remove(&storage, &segment_path(later));
            }
            let place = format!("segment {number}, cut at {n}");
            let report = written.recover(&storage, None).unwrap_or_else(|error| panic!("{place}: {error}"));
            let at_an_end = is_a_frames_end(&whole, &ends, n);
            let n = n as u64;
            let known = written.commits.iter().rev().find(|end| (end.segment, end.offset) <= (number, n));
            let whole_batches = known.map_or(Lsn(0), |committed| committed.position.lsn);
            // A cut may fall behind a batch's last byte that is not zero.
            assert!(report.lsn >= whole_batches, "{place}: {} instead of {whole_batches}", report.lsn);
            assert_eq!(report.torn.is_none(), at_an_end, "{place}: {:?}", report.torn);
            recovered += 1;
            // Against a database nothing is lost in silence.
            if report.lsn < written.lsn() {
                let error = written.recover(&damaged_again(&written, number, n, last), Some(written.last().position));
                let error = error.unwrap_err();
                let right = matches!(error, JournalError::Damaged { .. } | JournalError::DatabaseAhead { .. });
                assert!(right, "{place}: {error}");
            }
        }
    }
    assert!(recovered > 5_000);
}

fn damaged_again(written: &Written, number: u64, n: u64, last: u64) -> MemoryStorage {
    let storage = written.storage.copy();
    let mut bytes = storage.contents(&segment_path(number)).unwrap();
    bytes[usize::try_from(n).unwrap()..].fill(0);
    storage.plant(&segment_path(number), &bytes);
    (number + 1..=last).for_each(|later| remove(&storage, &segment_path(later)));
    storage
}

/// Whether what is left after cutting at `n` is what was there after some whole frame: then
/// nothing in the file can tell.
fn is_a_frames_end(whole: &[u8], ends: &[usize], n: usize) -> bool {
    let starts = (128..whole.len()).step_by(8).filter(|&at| whole[at..].starts_with(b"S7frame\n"));
    let mut ends = starts.chain(ends.iter().copied());
    ends.any(|end| end >= n && whole[n..end].iter().all(|&byte| byte == 0)) || whole[n..].iter().all(|&byte| byte == 0)
}

fn remove(storage: &MemoryStorage, path: &Path) {
    use son7shop_persistence::journal::Storage;
    storage.remove(path).unwrap();
    storage.sync_dir(path.parent().unwrap()).unwrap();
}

#[test]
fn every_length_of_every_segment_file() {
    let written = Written::new(23, 30);
    for number in 1..=written.last().segment {
        let whole = written.storage.contents(&segment_path(number)).unwrap();
        for n in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            let storage = written.storage.copy();
            storage.plant(&segment_path(number), &whole[..n]);
            let error = written.recover(&storage, None).unwrap_err();
            assert!(matches!(error, JournalError::Damaged { segment, .. } if segment == number), "{n}: {error}");
        }
    }
}

#[test]
fn a_cut_before_the_end_is_proved_by_what_follows() {
    let written = Written::new(23, 30);
    let last = written.last().segment;
    for committed in written.commits.iter().filter(|committed| committed.segment < last) {
        let path = segment_path(committed.segment);
        let mut bytes = written.storage.contents(&path).unwrap();
        bytes[usize::try_from(committed.offset).unwrap()..].fill(0);
        let lost = bytes != written.storage.contents(&path).unwrap();
        let storage = written.storage.copy();
        storage.plant(&path, &bytes);
        match written.recover(&storage, None) {
            Ok(report) => assert!(!lost && report.lsn == written.lsn()),
            Err(error) => assert!(lost && names_the_file(&error, &path), "{error}"),
        }
    }
}

#[test]
fn a_missing_segment_is_named() {
    let written = Written::new(23, 30);
    let last = written.last().segment;
    for number in 1..last {
        let storage = written.storage.copy();
        remove(&storage, &segment_path(number));
        let error = written.recover(&storage, None).unwrap_err();
        assert!(names_the_file(&error, &segment_path(number)), "{error}");
    }
    let storage = written.storage.copy();
    remove(&storage, &segment_path(last));
    let error = written.recover(&storage, Some(written.last().position)).unwrap_err();
    assert!(matches!(error, JournalError::DatabaseAhead { .. }), "{error}");
}

#[test]
fn every_byte_of_the_folders_description_flipped() {
    let written = Written::new(11, 5);
    let path = Path::new(DATA).join("journal.meta");
    let whole = written.storage.contents(&path).unwrap();
    for offset in 0..whole.len() {
        let storage = written.storage.copy();
        let mut bytes = whole.clone();
        bytes[offset] ^= 0x04;
        storage.plant(&path, &bytes);
        let error = data_folder(&storage, SEGMENT_BYTES).unwrap_err();
        assert!(matches!(error, JournalError::BadMeta { .. }), "offset {offset}: {error}");
    }
    let storage = written.storage.copy();
    remove(&storage, &path);
    assert!(matches!(data_folder(&storage, SEGMENT_BYTES), Err(JournalError::MetaMissing(_))));
}

/// A journal with two snapshots, and a prefix removed or not.
fn with_snapshots(removed: bool) -> Written {
    let mut written = Written::new(5, 30);
    for _ in 0..2 {
        let data = data_folder(&written.storage, SEGMENT_BYTES).unwrap();
        let folder = folder_of(&data);
        let Recovered { mut journal, .. } = open(&folder, OpenHints::default()).unwrap();
        for batch in 0..30 {
            written.batch(&mut journal, 1 + batch % 4);
        }
        snapshot::make(&folder, written.last(), 1).unwrap().unwrap();
        if removed {
            removal::remove_below(&folder, written.last(), written.lsn()).unwrap();
        }
    }
    written
}

fn snapshots(written: &Written) -> Vec<PathBuf> {
    let names = contents(&written.storage).into_iter().map(|(name, _)| name);
    names.filter(|name| name.ends_with(".snapshot")).map(|name| partition_path(&name)).collect()
}

#[test]
fn every_byte_of_the_newest_snapshot_flipped() {
    let written = with_snapshots(true);
    assert!(written.storage.contents(&segment_path(1)).is_none(), "a prefix was removed");
    let files = snapshots(&written);
    let [older, newest] = files.as_slice() else { panic!("two snapshots: {files:?}") };
    let whole = written.storage.contents(newest).unwrap();
    for offset in 0..whole.len() {
        let storage = written.storage.copy();
        let mut bytes = whole.clone();
        bytes[offset] ^= 0x80;
        storage.plant(newest, &bytes);
        let report = written.recover(&storage, Some(written.last().position)).unwrap();
        assert_eq!((report.lsn, report.unreadable_snapshots.len()), (written.lsn(), 1), "offset {offset}");
    }
    for cut in (0..whole.len()).step_by(11) {
        let storage = written.storage.copy();
        storage.plant(newest, &whole[..cut]);
        let report = written.recover(&storage, None).unwrap();
        assert_eq!((report.lsn, report.unreadable_snapshots.len()), (written.lsn(), 1), "cut at {cut}");
    }
    let storage = written.storage.copy();
    storage.plant(newest, b"no");
    storage.plant(older, b"no");
    let error = written.recover(&storage, None).unwrap_err();
    assert!(matches!(error, JournalError::SnapshotsUnreadable { .. }), "{error}");
}

#[test]
fn without_any_readable_snapshot_the_whole_journal_is_read_if_it_is_there() {
    let written = with_snapshots(false);
    let storage = written.storage.copy();
    for path in snapshots(&written) {
        storage.plant(&path, b"no");
    }
    let report = written.recover(&storage, None).unwrap();
    assert_eq!((report.lsn, report.snapshot, report.unreadable_snapshots.len()), (written.lsn(), None, 2));
}

#[test]
fn a_snapshot_proves_what_the_journal_had() {
    let written = with_snapshots(false);
    let files = snapshots(&written);
    let newest = files.last().unwrap().file_stem().unwrap().to_str().unwrap().parse().unwrap();
    // The journal of an earlier day under the snapshot of today, and the same with the
    // snapshot unreadable: its name alone tells.
    for contents in [written.storage.contents(files.last().unwrap()).unwrap(), b"no".to_vec()] {
        let storage = written.storage.copy();
        let cut = written.commits.iter().rev().find(|committed| committed.position.lsn < Lsn(newest)).unwrap();
        for number in cut.segment + 1..=written.last().segment {
            remove(&storage, &segment_path(number));
        }
        let path = segment_path(cut.segment);
        let mut bytes = storage.contents(&path).unwrap();
        bytes[usize::try_from(cut.offset).unwrap()..].fill(0);
        storage.plant(&path, &bytes);
        storage.plant(files.last().unwrap(), &contents);
        let error = written.recover(&storage, None).unwrap_err();
        let right = matches!(error, JournalError::Damaged { .. } | JournalError::SegmentMissing { .. });
        assert!(right, "{error}");
    }
}

#[test]
fn another_journal_and_another_partition_are_refused() {
    let written = Written::new(23, 30);
    let other = MemoryStorage::new();
    let options = FolderOptions { new_id: [8; 16], ..options(SEGMENT_BYTES) };
    let data = DataFolder::open(Arc::new(other.clone()), Path::new(DATA), &options).unwrap();
    drop(open(&folder_of(&data), OpenHints::default()).unwrap());
    drop(data);

    let error = written.recover(&other, Some(written.last().position)).unwrap_err();
    assert!(matches!(error, JournalError::DatabaseOfAnotherJournal { .. }), "{error}");

    let mixed = written.storage.copy();
    mixed.plant(&segment_path(2), &other.contents(&segment_path(1)).unwrap());
    let error = written.recover(&mixed, None).unwrap_err();
    assert!(matches!(error, JournalError::WrongJournal { .. }), "{error}");

    let two = MemoryStorage::new();
    let options = FolderOptions { partitions: Some(2), ..options };
    drop(DataFolder::open(Arc::new(two.clone()), Path::new(DATA), &options).unwrap());
    let theirs = Path::new(DATA).join("p0001/0000000001.segment");
    two.plant(&segment_path(1), &two.contents(&theirs).unwrap());
    let data = DataFolder::open(Arc::new(two.clone()), Path::new(DATA), &options).unwrap();
    let error = open(&folder_of(&data), OpenHints::default()).unwrap_err();
    assert!(matches!(error, JournalError::WrongPartition { .. }), "{error}");
}

#[test]
fn an_older_copy_under_a_newer_database_is_refused() {
    let mut written = Written::new(23, 20);
    let older = written.storage.copy();
    let known = written.lsn();
    written.go_on(20);
    let error = written.recover(&older.copy(), Some(written.last().position)).unwrap_err();
    assert!(matches!(error, JournalError::DatabaseAhead { .. }), "{error}");
    assert!(error.to_string().contains(&format!("ends at LSN {known}")), "{error}");

    // The copy went on by itself, past the database.
    let mut diverged = Written { storage: older, shop: Shop::new(99), states: Vec::new(), commits: Vec::new() };
    diverged.shop.records = written.shop.records[..usize::try_from(known.0).unwrap()].to_vec();
    diverged.shop.roll_back(known);
    diverged.states = written.states[..=usize::try_from(known.0).unwrap()].to_vec();
    diverged.go_on(60);
    assert!(diverged.lsn() > written.lsn());
    let error = diverged.recover(&diverged.storage.copy(), Some(written.last().position)).unwrap_err();
    assert!(matches!(error, JournalError::DatabaseDiverged { .. }), "{error}");

    // Segments of the two histories mixed.
    let mixed = written.storage.copy();
    let number = diverged.last().segment;
    assert!(number > written.last().segment);
    mixed.plant(&segment_path(number), &diverged.storage.contents(&segment_path(number)).unwrap());
    let error = written.recover(&mixed, None).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. } | JournalError::SegmentMissing { .. }), "{error}");
}

#[test]
fn a_database_below_the_oldest_segment_is_refused_and_one_inside_is_checked() {
    let written = with_snapshots(true);
    let data = data_folder(&written.storage, SEGMENT_BYTES).unwrap();
    let folder = folder_of(&data);
    let first = inspect::partition(&folder, &mut |_| {}).unwrap().first_lsn.unwrap();
    drop(data);
    drop(folder);
    let mut accepted = 0;
    for committed in &written.commits {
        let position = committed.position;
        match written.recover(&written.storage.copy(), Some(position)) {
            Ok(_) => accepted += 1,
            Err(error) => {
                assert!(matches!(error, JournalError::DatabaseBelowOldest { .. }), "{error}");
                assert!(position.lsn < first, "{} is there: {error}", position.lsn);
            }
        }
        let other = Position { chain: [1; 32], ..position };
        assert!(written.recover(&written.storage.copy(), Some(other)).is_err());
    }
    assert!(accepted > 5 && accepted < written.commits.len());
}

/// A live follower meets damage: it says so, and hands out nothing from there on.
#[test]
fn a_follower_stops_at_damage() {
    let written = Written::new(23, 30);
    let data = data_folder(&written.storage, SEGMENT_BYTES).unwrap();
    let folder = folder_of(&data);
    let whole = read_all(&folder, written.last(), Lsn(0)).unwrap();
    assert_eq!(whole, written.shop.records);
    let path = segment_path(2);
    let mut bytes = written.storage.contents(&path).unwrap();
    bytes[700] ^= 1;
    written.storage.plant(&path, &bytes);
    let error = read_all(&folder, written.last(), Lsn(0)).unwrap_err();
    assert!(names_the_file(&error, &path), "{error}");
}

/// What people are shown names the place of each flip inside a frame.
#[test]
fn inspect_tells_where_it_is_damaged() {
    let written = Written::new(23, 30);
    let wrong_in = |storage: &MemoryStorage| {
        let data = DataFolder::look(Arc::new(storage.clone()), Path::new(DATA)).unwrap();
        let mut wrong = Vec::new();
        let summary = inspect::partition(&folder_of(&data), &mut |finding| {
            if let inspect::Finding::Wrong { path, offset, .. } = finding {
                wrong.push((path, offset));
            }
        });
        (summary.unwrap(), wrong)
    };
    let (summary, wrong) = wrong_in(&written.storage);
    assert_eq!((summary.last_lsn, summary.wrong, wrong), (written.lsn(), 0, Vec::new()));
    let starts: Vec<(u64, u64)> =
        written.commits.iter().map(|committed| (committed.segment, committed.offset)).collect();
    for (committed, next) in written.commits.iter().zip(&starts[1..]) {
        if committed.segment != next.0 {
            continue;
        }
        let storage = written.storage.copy();
        let path = segment_path(committed.segment);
        let mut bytes = storage.contents(&path).unwrap();
        bytes[usize::try_from(committed.offset).unwrap() + 50] ^= 1;
        storage.plant(&path, &bytes);
        let (summary, wrong) = wrong_in(&storage);
        assert!(wrong.contains(&(path, committed.offset)), "{wrong:?}");
        let is_last = *next == (written.last().segment, written.last().offset);
        assert!(summary.last_lsn == written.lsn() || is_last, "what is behind the damage is shown too");
    }
}
