//! The journal on a real disk: what was committed is there again.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

use son7shop_engine::{Event, Lsn, Partition, PartitionId, Record, RequestKey, Sku, Time, Won};
use son7shop_persistence::journal::{
    Cursor, DataFolder, DiskStorage, FolderOptions, Journal, JournalError, OpenHints, Position, Reader, Recovered,
    inspect,
};
use std::sync::Arc;

fn options() -> FolderOptions {
    FolderOptions { segment_bytes: 1024 * 1024, ..FolderOptions::new(Some(2), [7; 16]) }
}

fn product(n: u64) -> Record {
    let sku = Sku::parse(&format!("sku-{n:06}")).unwrap();
    let event = Event::ProductCreated { sku, name: "x".repeat(100).into(), price: Won(1000), on_hand: n, key: None };
    Record { at: Time(1_700_000_000_000 + i64::try_from(n).unwrap()), event }
}

fn adjusted(n: u64) -> Record {
    let sku = Sku::parse("sku-000001").unwrap();
    let mut key = [0; 16];
    key[..8].copy_from_slice(&n.to_le_bytes());
    let key = RequestKey { key, request: [1; 16] };
    Record { at: Time(1_700_000_001_000), event: Event::StockAdjusted { sku, delta: 1, reason: "count".into(), key } }
}

fn open(folder: &DataFolder) -> Recovered {
    let partition = folder.partition(PartitionId(0)).unwrap();
    Journal::open(&partition, OpenHints::default(), 1, &mut |_| {}).unwrap()
}

#[test]
fn what_was_committed_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/data");
    let mut model = Partition::new(PartitionId(0), 9);
    let last = {
        let folder = DataFolder::open(Arc::new(DiskStorage), &path, &options()).unwrap();
        assert_eq!(folder.partitions(), 2);
        let Recovered { mut journal, partition, report } = open(&folder);
        assert_eq!((partition.lsn(), report.epoch, report.torn), (Lsn(0), 1, None));
        for n in 1..=20_000 {
            let record = product(n);
            assert_eq!(journal.append(&record), Lsn(n));
            model.evolve(&record);
            if n % 97 == 0 {
                assert_eq!(journal.commit().unwrap().position.lsn, Lsn(n));
            }
        }
        let committed = journal.commit().unwrap();
        assert!(committed.segment > 1, "several segments: {committed:?}");
        journal.append(&product(99_999));
        committed
    };
    let folder = DataFolder::open(Arc::new(DiskStorage), &path, &FolderOptions::new(None, [8; 16])).unwrap();
    let hints = OpenHints { database: Some(last.position), cut_at: None };
    let mut reports = 0;
    let partition = folder.partition(PartitionId(0)).unwrap();
    let recovered = Journal::open(&partition, hints, 1, &mut |_| reports += 1).unwrap();
    assert_eq!(recovered.partition.image(), model.image());
    assert_eq!((recovered.report.lsn, recovered.report.epoch, recovered.report.torn), (Lsn(20_000), 2, None));
    assert_eq!(recovered.journal.committed().position, last.position);
    assert!(reports > 0);
}

#[test]
fn a_batch_larger_than_a_frame_or_a_segment_is_split() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(Arc::new(DiskStorage), dir.path(), &options()).unwrap();
    let Recovered { mut journal, .. } = open(&folder);
    let mut model = Partition::new(PartitionId(0), 1);
    for n in 1..=60_000 {
        journal.append(&product(n));
        model.evolve(&product(n));
    }
    assert!(journal.pending_bytes() > 2 * 1024 * 1024);
    let committed = journal.commit().unwrap();
    drop(journal);
    let recovered = open(&folder);
    assert_eq!(recovered.partition.image(), model.image());
    assert_eq!(recovered.journal.committed().position, committed.position);
}

#[test]
fn a_follower_reads_what_is_committed_and_not_more() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(Arc::new(DiskStorage), dir.path(), &options()).unwrap();
    let Recovered { mut journal, .. } = open(&folder);
    let partition = folder.partition(PartitionId(0)).unwrap();
    let start = journal.committed();
    let mut reader = Reader::open(&partition, Lsn(0), start).unwrap();
    assert_eq!(reader.next(start).unwrap(), None);
    let mut read = Vec::new();
    let mut ends: Vec<Position> = Vec::new();
    for n in 1..=3_000 {
        journal.append(&product(3 * n - 2));
        journal.append(&product(3 * n - 1));
        journal.append(&product(3 * n));
        let committed = journal.commit().unwrap();
        if n % 3 == 0 {
            while let Some(frame) = reader.next(committed).unwrap() {
                assert_eq!((frame.first_lsn.0, frame.epoch), (read.len() as u64 + 1, 1));
                read.extend(frame.records);
                ends.push(frame.position_after);
            }
            assert_eq!(reader.lsn(), committed.position.lsn);
            assert_eq!(ends.last(), Some(&committed.position));
        }
    }
    assert_eq!(read, (1..=9_000).map(product).collect::<Vec<_>>());
    let committed = journal.committed();
    assert!(committed.segment > 1);
    let mut late = Reader::open(&partition, Lsn(6_000), committed).unwrap();
    let frame = late.next(committed).unwrap().unwrap();
    assert_eq!((frame.first_lsn, frame.position_after), (Lsn(6_001), ends[2_000]));
    assert!(matches!(Reader::open(&partition, Lsn(6_001), committed), Err(JournalError::InsideFrame { .. })));
    assert!(matches!(Reader::open(&partition, Lsn(9_001), committed), Err(JournalError::AheadOfJournal { .. })));
}

#[test]
fn one_process_has_the_folder_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(Arc::new(DiskStorage), dir.path(), &options()).unwrap();
    let partition = folder.partition(PartitionId(1)).unwrap();
    drop(folder);
    let again = || DataFolder::open(Arc::new(DiskStorage), dir.path(), &options());
    assert!(matches!(again(), Err(JournalError::Locked(_))));
    let looked = DataFolder::look(Arc::new(DiskStorage), dir.path()).unwrap();
    let refused = Journal::open(&looked.partition(PartitionId(0)).unwrap(), OpenHints::default(), 1, &mut |_| {});
    assert!(matches!(refused, Err(JournalError::ReadOnly(_))));
    drop(partition);
    assert!(again().is_ok());
}

#[test]
fn the_number_of_partitions_is_fixed() {
    let dir = tempfile::tempdir().unwrap();
    drop(DataFolder::open(Arc::new(DiskStorage), dir.path(), &options()).unwrap());
    let other = FolderOptions { partitions: Some(3), ..options() };
    let refused = DataFolder::open(Arc::new(DiskStorage), dir.path(), &other);
    assert!(matches!(refused, Err(JournalError::PartitionsDiffer { found: 2, wanted: 3 })));
}

#[test]
fn snapshots_shorten_recovery_and_let_segments_go() {
    use son7shop_persistence::journal::{removal, snapshot};
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(Arc::new(DiskStorage), dir.path(), &options()).unwrap();
    let partition = folder.partition(PartitionId(0)).unwrap();
    let Recovered { mut journal, .. } = open(&folder);
    let mut model = Partition::new(PartitionId(0), 1);
    let mut write = |journal: &mut Journal, from: u64, to: u64| {
        for n in from..to {
            let record = if n == 1 { product(1) } else { adjusted(n) };
            model.evolve(&record);
            journal.append(&record);
            if n % 100 == 0 {
                journal.commit().unwrap();
            }
        }
        (journal.commit().unwrap(), model.image())
    };
    let (first, _) = write(&mut journal, 1, 40_000);
    assert!(first.segment >= 3);
    snapshot::make(&partition, first, 5).unwrap().unwrap();
    assert_eq!(removal::remove_below(&partition, first, first.position.lsn).unwrap().segments, 0, "one snapshot");
    let made = snapshot::make(&partition, first, 5).unwrap().unwrap();
    assert_eq!(snapshot::make(&partition, first, 5).unwrap(), None);
    let (second, image) = write(&mut journal, 40_000, 80_000);
    let newer = snapshot::make(&partition, second, 5).unwrap().unwrap();
    assert!(newer.lsn > made.lsn && newer.events < 41_000);
    let cursor = Cursor::new(&partition, "write-behind").unwrap();
    assert_eq!(cursor.load().unwrap(), None);
    cursor.store(Lsn(100)).unwrap();
    assert_eq!(cursor.load().unwrap(), Some(Lsn(100)));
    assert_eq!(removal::remove_below(&partition, second, second.position.lsn).unwrap().segments, 0, "a cursor");
    cursor.store(second.position.lsn).unwrap();
    let removed = removal::remove_below(&partition, second, second.position.lsn).unwrap();
    assert!(removed.segments >= 2, "{removed:?}");
    let below = Reader::open(&partition, Lsn(100), second);
    assert!(matches!(below, Err(JournalError::BelowOldest { .. })));
    drop(journal);
    let recovered = open(&folder);
    assert_eq!(recovered.report.snapshot, Some(newer.lsn));
    assert!(recovered.partition.image() == image);
}

/// A cursor is shown by the name that it was made with; one that cannot be read, by its file.
#[test]
fn cursors_are_shown_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(Arc::new(DiskStorage), dir.path(), &options()).unwrap();
    let partition = folder.partition(PartitionId(0)).unwrap();
    let shown = || {
        let mut shown = Vec::new();
        let found = inspect::partition(&partition, &mut |finding| match finding {
            inspect::Finding::Cursor { name, lsn } => shown.push((name, Some(lsn))),
            inspect::Finding::Wrong { path, .. } => shown.push((path.display().to_string(), None)),
            _ => {}
        });
        found.unwrap();
        shown
    };
    for (name, lsn) in [("stock", 7), ("audit", 5)] {
        Cursor::new(&partition, name).unwrap().store(Lsn(lsn)).unwrap();
    }
    assert_eq!(shown(), [("audit".to_owned(), Some(Lsn(5))), ("stock".to_owned(), Some(Lsn(7)))]);
    let file = dir.path().join("p0000/stock.cursor");
    std::fs::write(&file, "no cursor").unwrap();
    assert_eq!(shown(), [("audit".to_owned(), Some(Lsn(5))), (file.display().to_string(), None)]);
}
