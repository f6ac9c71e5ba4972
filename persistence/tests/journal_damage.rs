//! Damaged journals: recovered to exactly what was acknowledged, or to less with a warning
//! where nothing can prove more, or refused with the right words. Never wrong in silence.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

mod journal_support;

use journal_support::written::{SEGMENT_BYTES, Written, names_the_file, remove, segment_path};
use journal_support::{DATA, data_folder, folder_of, open, read_all};
use son7shop_engine::Lsn;
use son7shop_persistence::journal::faults::MemoryStorage;
use son7shop_persistence::journal::{DataFolder, JournalError, OpenHints, Recovered, inspect};
use std::path::Path;
use std::sync::Arc;

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

/// Two places damaged at once, such that no later frame is left to prove the first: that a
/// later segment was written to proves it.
#[test]
fn a_later_segment_that_was_written_to_proves_what_is_before_it() {
    let mut written = Written::new(23, 20);
    let data = data_folder(&written.storage, SEGMENT_BYTES).unwrap();
    let Recovered { mut journal, .. } = open(&folder_of(&data), OpenHints::default()).unwrap();
    let before = journal.committed().segment;
    while journal.committed().segment == before {
        written.batch(&mut journal, 1);
    }
    drop((journal, data));
    let last = written.last().segment;
    let ends: Vec<u64> = written.commits.iter().filter(|c| c.segment == last - 1).map(|c| c.offset).collect();
    let flip = |storage: &MemoryStorage, number: u64, offset: u64| {
        let mut bytes = storage.contents(&segment_path(number)).unwrap();
        bytes[usize::try_from(offset).unwrap()] ^= 1;
        storage.plant(&segment_path(number), &bytes);
    };
    let storage = written.storage.copy();
    flip(&storage, last - 1, ends[ends.len() - 2] + 30);
    flip(&storage, last, 128 + 30);
    let error = written.recover(&storage, None).unwrap_err();
    assert!(names_the_file(&error, &segment_path(last - 1)), "{error}");

    let storage = written.storage.copy();
    let mut bytes = storage.contents(&segment_path(last - 1)).unwrap();
    bytes[128..].fill(0);
    storage.plant(&segment_path(last - 1), &bytes);
    flip(&storage, last, 128 + 30);
    let error = written.recover(&storage, None).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
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
