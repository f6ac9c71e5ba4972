//! Copies that do not belong together: unreadable snapshots, another journal's files, an
//! older journal under a newer database and the reverse. Recovered whole, or refused with
//! the right words.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod journal_support;

use journal_support::written::{SEGMENT_BYTES, Written, contents, partition_path, remove, segment_path};
use journal_support::{DATA, Shop, data_folder, folder_of, open, options};
use son7shop_engine::Lsn;
use son7shop_persistence::journal::faults::MemoryStorage;
use son7shop_persistence::journal::{
    DataFolder, FolderOptions, JournalError, OpenHints, Position, Recovered, inspect, removal, snapshot,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

/// A segment of one history, and behind it one of another that left the first in its middle.
#[test]
fn a_segment_that_leaves_acknowledged_events_out_is_refused() {
    let mut written = Written::new(23, 10);
    let room = |written: &Written| SEGMENT_BYTES - written.last().offset;
    {
        let data = data_folder(&written.storage, SEGMENT_BYTES).unwrap();
        let Recovered { mut journal, .. } = open(&folder_of(&data), OpenHints::default()).unwrap();
        while !(450..750).contains(&room(&written)) {
            written.batch(&mut journal, 1);
        }
    }
    let number = written.last().segment;
    let known = usize::try_from(written.lsn().0).unwrap();
    let mut other =
        Written { storage: written.storage.copy(), shop: Shop::new(99), states: Vec::new(), commits: Vec::new() };
    other.shop.records = written.shop.records[..known].to_vec();
    other.shop.roll_back(written.lsn());
    other.states = written.states[..=known].to_vec();
    for (history, commands) in [(&mut written, 1), (&mut other, 5)] {
        let data = data_folder(&history.storage, SEGMENT_BYTES).unwrap();
        let Recovered { mut journal, .. } = open(&folder_of(&data), OpenHints::default()).unwrap();
        history.batch(&mut journal, commands);
    }
    assert_eq!((written.last().segment, other.last().segment), (number, number + 1));
    let mixed = written.storage.copy();
    mixed.plant(&segment_path(number + 1), &other.storage.contents(&segment_path(number + 1)).unwrap());
    let error = other.recover(&mixed, None).unwrap_err();
    assert!(error.to_string().contains("two histories"), "{error}");
}

#[test]
fn an_empty_database_is_filled_from_a_whole_journal_and_refused_by_one_without_its_start() {
    for removed in [false, true] {
        let written = with_snapshots(removed);
        let data = data_folder(&written.storage, SEGMENT_BYTES).unwrap();
        let origin = Position::origin(data.journal_id(), folder_of(&data).id());
        drop(data);
        match written.recover(&written.storage.copy(), Some(origin)) {
            Ok(report) => assert!(!removed && report.snapshot.is_some()),
            Err(error) => assert!(removed && matches!(error, JournalError::DatabaseEmpty { .. }), "{error}"),
        }
    }
    let storage = MemoryStorage::new();
    let data = data_folder(&storage, SEGMENT_BYTES).unwrap();
    let folder = folder_of(&data);
    for _ in 0..2 {
        let origin = Position::origin(data.journal_id(), folder.id());
        let opened = open(&folder, OpenHints { database: Some(origin), cut_at: None });
        assert_eq!(opened.unwrap().report.lsn, Lsn(0), "a new journal, and one that was only opened");
    }
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
