//! The disk limit: new orders are refused before it, what was promised still goes through.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod journal_support;

use journal_support::{DATA, Shop, folder_of, open, options};
use son7shop_persistence::journal::faults::{Call, MemoryStorage};
use son7shop_persistence::journal::{
    DataFolder, EVENT_OVERHEAD_BYTES, FolderOptions, Journal, JournalError, OpenHints, Recovered, Storage, removal,
    snapshot,
};
use std::path::Path;
use std::sync::Arc;

const SEGMENT_BYTES: u64 = 16 * 1024;

fn limited(storage: &MemoryStorage, segments: u64) -> DataFolder {
    let options = FolderOptions { limit_bytes: segments * SEGMENT_BYTES, ..options(SEGMENT_BYTES) };
    DataFolder::open(Arc::new(storage.clone()), Path::new(DATA), &options).unwrap()
}

fn write(shop: &mut Shop, journal: &mut Journal) {
    for _ in 0..5 {
        shop.step(|record| {
            journal.append(record);
        });
    }
    journal.commit().unwrap();
}

#[test]
fn the_reserve_is_there_when_it_is_needed() {
    let storage = MemoryStorage::new();
    let data = limited(&storage, 6);
    let Recovered { mut journal, .. } = open(&folder_of(&data), OpenHints::default()).unwrap();
    let mut shop = Shop::new(1);
    let reserve = 40 * (EVENT_OVERHEAD_BYTES + 80);
    assert!(journal.room(reserve));
    assert!(!journal.room(6 * SEGMENT_BYTES));
    let mut batches = 0;
    while journal.room(reserve) {
        write(&mut shop, &mut journal);
        journal.preparer().prepare_next().unwrap();
        batches += 1;
    }
    assert!(batches > 30, "{batches}");
    // Forty events, each in a frame of its own, still fit inside the limit.
    let before = journal.lsn();
    while journal.lsn().0 < before.0 + 40 {
        shop.step(|record| {
            journal.append(record);
        });
        journal.commit().unwrap();
    }
    assert!(folder_of(&data).disk_bytes() <= 6 * SEGMENT_BYTES, "{}", folder_of(&data).disk_bytes());
}

#[test]
fn removal_makes_room_again() {
    let storage = MemoryStorage::new();
    let data = limited(&storage, 16);
    let folder = folder_of(&data);
    let Recovered { mut journal, .. } = open(&folder, OpenHints::default()).unwrap();
    let mut shop = Shop::new(2);
    for sealed in [2, 4] {
        while journal.committed().segment <= sealed {
            write(&mut shop, &mut journal);
        }
        snapshot::make(&folder, journal.committed(), 1).unwrap().unwrap();
    }
    assert!(journal.room(8 * 1024));
    while journal.room(8 * 1024) {
        write(&mut shop, &mut journal);
    }
    let committed = journal.committed();
    assert!(removal::remove_below(&folder, committed, committed.position.lsn).unwrap().segments > 0);
    assert!(journal.room(8 * 1024));
}

#[test]
fn a_limit_without_room_for_four_segments_is_refused() {
    for (limit, fits) in [(4 * SEGMENT_BYTES, true), (4 * SEGMENT_BYTES - 1, false), (2 * SEGMENT_BYTES, false)] {
        let options = FolderOptions { limit_bytes: limit, ..options(SEGMENT_BYTES) };
        match DataFolder::open(Arc::new(MemoryStorage::new()), Path::new(DATA), &options) {
            Ok(_) => assert!(fits, "{limit}"),
            Err(error) => {
                let said = error.to_string();
                let named = said.contains(&limit.to_string()) && said.contains(&SEGMENT_BYTES.to_string());
                assert!(!fits && named && matches!(error, JournalError::LimitTooSmall { .. }), "{limit}: {said}");
            }
        }
    }
}

/// Nothing seals a segment at the limit: what was sealed before must do.
#[test]
fn a_journal_that_reached_its_limit_before_its_first_snapshot_gets_room_again() {
    use son7shop_engine::{Event, Record, RequestKey, Sku, Time, Won};
    let storage = MemoryStorage::new();
    let data = limited(&storage, 4);
    let folder = folder_of(&data);
    let Recovered { mut journal, .. } = open(&folder, OpenHints::default()).unwrap();
    let (at, sku) = (Time(2_000_000_000_000), Sku::parse("a").unwrap());
    let made = Event::ProductCreated { sku: sku.clone(), name: "thing".into(), price: Won(1), on_hand: 1, key: None };
    journal.append(&Record { at, event: made });
    // Long reasons: the journal grows, and the snapshots do not.
    for n in 0.. {
        if !journal.room(4 * 1024) {
            break;
        }
        let key = RequestKey { key: [n; 16], request: [n; 16] };
        let event = Event::StockAdjusted { sku: sku.clone(), delta: 1, reason: "x".repeat(1000).into(), key };
        journal.append(&Record { at, event });
        journal.commit().unwrap();
        journal.preparer().prepare_next().unwrap();
    }
    let committed = journal.committed();
    while snapshot::make(&folder, committed, 1).unwrap().is_some() {}
    assert!(removal::remove_below(&folder, committed, committed.position.lsn).unwrap().segments > 0);
    assert!(journal.room(4 * 1024));
}

/// The owner goes on in the next segment while a file system takes its time to remove old ones.
#[test]
fn removal_does_not_hold_up_the_next_segment() {
    let storage = MemoryStorage::new();
    let data = limited(&storage, 1000);
    let folder = folder_of(&data);
    let Recovered { mut journal, .. } = open(&folder, OpenHints::default()).unwrap();
    let mut shop = Shop::new(2);
    while journal.committed().segment < 5 {
        write(&mut shop, &mut journal);
    }
    let committed = journal.committed();
    while snapshot::make(&folder, committed, 1).unwrap().is_some() {}
    let (went_on, wait) = std::sync::mpsc::channel();
    std::thread::scope(|threads| {
        let hold = storage.hold(Call::Remove, ".segment");
        let removing = threads.spawn(|| removal::remove_below(&folder, committed, committed.position.lsn));
        threads.spawn(move || {
            while journal.committed().segment == committed.segment {
                write(&mut shop, &mut journal);
            }
            went_on.send(()).unwrap();
        });
        let waited = wait.recv_timeout(std::time::Duration::from_secs(20));
        drop(hold);
        assert!(removing.join().unwrap().unwrap().segments > 0);
        waited.unwrap();
    });
}

/// The disk is full although the limit is not reached: what is already made is what there is.
#[test]
fn a_full_disk_counts_only_what_is_made() {
    let storage = MemoryStorage::new();
    let data = limited(&storage, 1000);
    let Recovered { mut journal, .. } = open(&folder_of(&data), OpenHints::default()).unwrap();
    let mut shop = Shop::new(3);
    assert!(journal.room(4 * SEGMENT_BYTES));
    storage.fail(Call::Write, 1);
    assert!(matches!(journal.preparer().prepare_next(), Err(JournalError::Io { .. })));
    assert!(!journal.room(4 * SEGMENT_BYTES));
    assert!(journal.room(1000) || journal.committed().offset > SEGMENT_BYTES / 2);
    write(&mut shop, &mut journal);
    assert!(journal.preparer().prepare_next().unwrap());
    assert!(!journal.preparer().prepare_next().unwrap(), "it is there already");
    assert!(journal.room(4 * SEGMENT_BYTES));

    // Where the owner made one itself, there is room, too.
    while journal.committed().segment == 1 {
        write(&mut shop, &mut journal);
    }
    storage.fail(Call::Write, 1);
    assert!(journal.preparer().prepare_next().is_err());
    assert!(!journal.room(4 * SEGMENT_BYTES));
    while journal.committed().segment == 2 {
        write(&mut shop, &mut journal);
    }
    assert!(journal.room(4 * SEGMENT_BYTES));
}

/// What a failed attempt leaves would take the last bytes of a full disk.
#[test]
fn what_could_not_be_made_leaves_nothing_behind() {
    let storage = MemoryStorage::new();
    let data = limited(&storage, 1000);
    let folder = folder_of(&data);
    let Recovered { mut journal, .. } = open(&folder, OpenHints::default()).unwrap();
    let mut shop = Shop::new(4);
    while journal.committed().segment < 3 {
        write(&mut shop, &mut journal);
    }
    let names = || {
        let mut names = storage.list(folder.path()).unwrap();
        names.sort();
        names
    };
    let before = names();
    for call in [Call::Write, Call::Sync, Call::Rename] {
        storage.fail(call, 1);
        assert!(snapshot::make(&folder, journal.committed(), 1).is_err());
        assert_eq!(names(), before, "a snapshot: {call:?}");
        storage.fail(call, 1);
        assert!(journal.preparer().prepare_next().is_err());
        assert_eq!(names(), before, "a segment: {call:?}");
    }
}

#[test]
fn an_event_larger_than_a_segment_is_refused_and_the_journal_opens_again() {
    use son7shop_engine::{Event, Record, Sku, Time};
    let storage = MemoryStorage::new();
    let data = limited(&storage, 10);
    let folder = folder_of(&data);
    let Recovered { mut journal, .. } = open(&folder, OpenHints::default()).unwrap();
    let mut shop = Shop::new(3);
    write(&mut shop, &mut journal);
    let committed = journal.committed();
    let sku = Sku::parse("a").unwrap();
    let key = son7shop_engine::RequestKey { key: [9; 16], request: [9; 16] };
    let reason = "x".repeat(20_000).into();
    journal.append(&Record { at: Time(2_000_000_000_000), event: Event::StockAdjusted { sku, delta: 1, reason, key } });
    assert!(matches!(journal.commit(), Err(JournalError::RecordTooLarge { .. })));
    assert!(matches!(journal.commit(), Err(JournalError::Dead)));
    assert_eq!(journal.committed(), committed);
    let again = open(&folder, OpenHints { database: None, cut_at: Some(committed) }).unwrap();
    assert_eq!(again.journal.committed().position, committed.position);
    assert!(again.report.cut);
}
