//! Looking at a journal: for people ([`partition`]) and for `verify` ([`replay`]).
//!
//! Nothing here changes a file or needs the folder's lock. Beside a process that writes,
//! the journal's end may be seen half written.

use super::folder::PartitionFolder;
use super::frame::{self, Fault, Header};
use super::position::Chain;
use super::recovery::{self, OpenHints, Progress, RecoveryReport};
use super::replay::describe;
use super::scan::{self, Track, Window};
use super::segment::{self, Segment};
use super::{JournalError, Position, codec, cursor, snapshot};
use son7shop_engine::{Lsn, Partition, Record};
use std::path::PathBuf;

/// One thing that is in a partition's folder, or is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// A snapshot.
    Snapshot {
        /// The last event in it.
        lsn: Lsn,
        /// The epoch of the last frame in it.
        epoch: u64,
        /// The first segment that is not in it.
        next_segment: u64,
        /// Bytes of its state.
        bytes: u64,
    },
    /// A follower's place.
    Cursor {
        /// Whose.
        name: String,
        /// The last event that it is done with.
        lsn: Lsn,
    },
    /// A segment begins; its frames follow.
    Segment {
        /// Its number.
        number: u64,
        /// Its file.
        path: PathBuf,
        /// Its length in bytes.
        bytes: u64,
        /// Whether it was made after a failed write or sync, and ends the one before.
        after_cut: bool,
    },
    /// A good frame.
    Frame(FrameInfo),
    /// Frames that a cut left behind in their segment: they never counted.
    Cut {
        /// In which segment.
        segment: u64,
        /// From which offset to the segment's end.
        offset: u64,
    },
    /// Something that should not be so. Behind the last good frame of a journal that nobody
    /// has closed it may be a torn tail, which opening cuts off.
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What.
        what: String,
    },
}

/// What a frame says and holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameInfo {
    /// In which segment.
    pub segment: u64,
    /// At which offset.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// In which epoch it was written.
    pub epoch: u64,
    /// The position of its first record, or of the next one where it has none.
    pub first_lsn: Lsn,
    /// The last event that was on disk before it was written.
    pub synced: Lsn,
    /// The chain hash after it.
    pub chain: Chain,
    /// The events; none in the first frame of an epoch.
    pub records: Vec<Record>,
}

/// What there is in all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Segments.
    pub segments: u64,
    /// Good frames that count.
    pub frames: u64,
    /// Events in them.
    pub events: u64,
    /// The first event that is there.
    pub first_lsn: Option<Lsn>,
    /// The last one.
    pub last_lsn: Lsn,
    /// The last epoch.
    pub epoch: u64,
    /// Things that should not be so.
    pub wrong: u64,
}

/// The first half of recovery: reads snapshot and segments, judges, and repairs nothing.
/// A torn tail is left out and reported.
pub fn replay(
    folder: &PartitionFolder,
    seed: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<(Partition, Position, RecoveryReport), JournalError> {
    let reading = recovery::read(folder, OpenHints::default(), seed, progress)?;
    Ok((reading.replay.partition, reading.replay.track.position(), reading.report))
}

/// Shows everything that is in a partition's folder to `each`: snapshots, cursors, then
/// segments with their frames; and what is wrong, without stopping at it.
pub fn partition(folder: &PartitionFolder, each: &mut dyn FnMut(Finding)) -> Result<Summary, JournalError> {
    let mut summary = Summary::default();
    let mut tell = |finding: Finding| {
        summary.wrong += u64::from(matches!(finding, Finding::Wrong { .. }));
        each(finding);
    };
    snapshots(folder, &mut tell)?;
    cursors(folder, &mut tell)?;
    let mut walk = Walk { window: Window::default(), track: None, counted: Summary::default() };
    let mut expected = None;
    for number in folder.segments()? {
        let path = folder.path().join(segment::name(number));
        if expected.is_some_and(|expected| expected != number) {
            tell(wrong(path.clone(), 0, format!("segment {} is missing", number - 1)));
            walk.track = None;
        }
        expected = Some(number + 1);
        match Segment::open(folder, number, false) {
            Ok(Some(segment)) => walk.segment(folder, &segment, &mut tell)?,
            // Removed since it was listed.
            Ok(None) => {}
            Err(error) => {
                tell(wrong(path, 0, error.to_string()));
                walk.track = None;
            }
        }
    }
    Ok(Summary { wrong: summary.wrong, ..walk.counted })
}

fn wrong(path: PathBuf, offset: u64, what: String) -> Finding {
    Finding::Wrong { path, offset, what }
}

fn snapshots(folder: &PartitionFolder, tell: &mut dyn FnMut(Finding)) -> Result<(), JournalError> {
    let names = folder.names()?;
    for name in names.iter().filter(|name| name.ends_with(".unreadable")) {
        tell(wrong(folder.path().join(name), 0, "an unreadable snapshot was set aside".into()));
    }
    for lsn in snapshot::list(folder)? {
        let path = folder.path().join(snapshot::name(lsn));
        match snapshot::verify(folder, lsn) {
            Ok(Ok(header)) => tell(Finding::Snapshot {
                lsn,
                epoch: header.track.epoch,
                next_segment: header.next_segment,
                bytes: header.body_bytes,
            }),
            Ok(Err(what)) => tell(wrong(path, 0, what)),
            Err(error) => tell(wrong(path, 0, error.to_string())),
        }
    }
    Ok(())
}

fn cursors(folder: &PartitionFolder, tell: &mut dyn FnMut(Finding)) -> Result<(), JournalError> {
    for cursor in cursor::list(folder)? {
        match cursor.load() {
            Ok(Some(lsn)) => tell(Finding::Cursor { name: cursor.name, lsn }),
            Ok(None) => {}
            Err(error) => tell(wrong(cursor.path(), 0, error.to_string())),
        }
    }
    Ok(())
}

struct Walk {
    window: Window,
    /// After the last good frame; unknown at the start and behind a gap.
    track: Option<Track>,
    counted: Summary,
}

impl Walk {
    fn segment(
        &mut self,
        folder: &PartitionFolder,
        segment: &Segment,
        tell: &mut dyn FnMut(Finding),
    ) -> Result<(), JournalError> {
        self.counted.segments += 1;
        tell(Finding::Segment {
            number: segment.number,
            path: segment.path.clone(),
            bytes: segment.size,
            after_cut: segment.cut.is_some(),
        });
        let cut = Segment::open(folder, segment.number + 1, false).ok().flatten().and_then(|next| next.cut);
        let mut offset = segment::HEADER_BYTES;
        let mut starts: Option<Vec<u64>> = None;
        loop {
            if cut.is_some() && cut == self.track.map(|track| track.chain) {
                if scan::rest(&mut self.window, segment, offset)?.dirty_end.is_some() {
                    tell(Finding::Cut { segment: segment.number, offset });
                }
                return Ok(());
            }
            match self.frame(segment, offset, tell)? {
                Ok(end) => offset = end,
                Err(fault) => {
                    if starts.is_none() {
                        let rest = scan::rest(&mut self.window, segment, offset)?;
                        let Some(dirty_end) = rest.dirty_end else { return Ok(()) };
                        let what = format!("{}, but up to offset {dirty_end} there is something", describe(&fault));
                        tell(wrong(segment.path.clone(), offset, what));
                        starts = Some(rest.starts);
                    }
                    // Go on at the next place where a frame may start.
                    let next = starts.iter().flatten().copied().find(|&start| start > offset);
                    let Some(next) = next else { return Ok(()) };
                    self.track = None;
                    offset = next;
                }
            }
        }
    }

    /// Shows the frame at `offset`; gives its end.
    fn frame(
        &mut self,
        segment: &Segment,
        offset: u64,
        tell: &mut dyn FnMut(Finding),
    ) -> Result<Result<u64, Fault>, JournalError> {
        let (header, bytes) = match self.window.frame(segment, offset, segment.size)? {
            Ok(frame) => frame,
            Err(fault) => return Ok(Err(fault)),
        };
        let mut records = Vec::new();
        let payload = &bytes[frame::HEADER_BYTES..frame::HEADER_BYTES + header.payload as usize];
        let decoded = codec::decode(payload, header.count, |record| records.push(record));
        let chain = frame::hash(bytes);
        let mut track = self.track.unwrap_or_else(|| before(&header));
        if let Err(what) = track.follows(&header).and(decoded) {
            tell(wrong(segment.path.clone(), offset, what));
            track = before(&header);
        }
        track.pass(&header, chain);
        self.track = Some(track);
        self.count(&header);
        let frame_bytes = header.frame_bytes() as u64;
        tell(Finding::Frame(FrameInfo {
            segment: segment.number,
            offset,
            bytes: frame_bytes,
            epoch: header.epoch,
            first_lsn: header.first,
            synced: header.synced,
            chain,
            records,
        }));
        Ok(Ok(offset + frame_bytes))
    }

    fn count(&mut self, header: &Header) {
        self.counted.frames += 1;
        self.counted.events += u64::from(header.count);
        self.counted.epoch = header.epoch;
        self.counted.last_lsn = header.last();
        if header.count > 0 {
            self.counted.first_lsn.get_or_insert(header.first);
        }
    }
}

/// What must be true before `header`, by its own word.
fn before(header: &Header) -> Track {
    let mut track = Track::origin(header.journal, header.partition);
    track.epoch = header.epoch;
    track.lsn = Lsn(header.first.0 - 1);
    track.chain = header.before;
    track
}
