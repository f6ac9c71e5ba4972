//! Replay: applying a journal's frames to a partition, with every frame's place proved.
//! Recovery, the making of snapshots and `verify` all go through here.

use super::error::IoContext;
use super::folder::PartitionFolder;
use super::frame::{self, Fault};
use super::position::Chain;
use super::scan::{Track, Window};
use super::segment::{self, GoesOn, Segment};
use super::snapshot::Base;
use super::{JournalError, Position, codec};
use son7shop_engine::{Lsn, Partition, Record};
use std::sync::mpsc;

/// From so many bytes on, a second thread is worth its start.
const SECOND_THREAD_BYTES: u64 = 512 * 1024;
/// Frames that are decoded ahead of being applied: a few, each under 512 KiB encoded.
const FRAMES_AHEAD: usize = 8;

/// A replay under way. It is always at the end of a frame.
pub(crate) struct Replay<'a> {
    pub folder: &'a PartitionFolder,
    pub partition: Partition,
    pub track: Track,
    /// The segment that is being read.
    pub segment: Segment,
    /// The end of the last good frame in it.
    pub offset: u64,
    /// The start of the write that the last good frame was part of.
    pub last_write: u64,
    pub window: Window,
    /// Records applied.
    pub events: u64,
    /// Frames passed.
    pub frames: u64,
    /// Bytes of frames passed.
    pub bytes: u64,
    /// A position whose chain hash is wanted, and the hash once it was passed.
    pub wanted: Option<Lsn>,
    pub found: Option<Position>,
}

/// Why a segment's frames ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The place that the caller named.
    Reached,
    /// There is no good frame at [`Replay::offset`].
    Fault(Fault),
}

impl<'a> Replay<'a> {
    /// Starts at `base`; `why` it needs its first segment is for whoever finds it missing.
    pub(crate) fn new(folder: &'a PartitionFolder, base: Base, up_to: u64) -> Result<Self, JournalError> {
        let why = format!("replay starts in it and goes on to segment {up_to}");
        let segment = Segment::require(folder, base.next_segment, false, &why)?;
        Ok(Self {
            folder,
            partition: base.partition,
            track: base.track,
            segment,
            offset: segment::HEADER_BYTES,
            last_write: segment::HEADER_BYTES,
            window: Window::default(),
            events: 0,
            frames: 0,
            bytes: 0,
            wanted: None,
            found: None,
        })
    }

    /// Applies all frames of this segment, which is sealed: the one after it has frames.
    pub(crate) fn sealed_segment(&mut self) -> Result<(), JournalError> {
        let next = Segment::require(self.folder, self.segment.number + 1, false, "the segment before it is sealed")?;
        match next.goes_on()? {
            Ok(goes_on) => self.through(goes_on, next, &mut |_| {}),
            Err(fault) => {
                let what = format!("{}, but events behind it are committed", describe(&fault));
                Err(self.damaged_at(&next, segment::HEADER_BYTES, &what))
            }
        }
    }

    /// Applies the frames of this segment up to where `next` goes on from.
    pub(crate) fn through(
        &mut self,
        goes_on: GoesOn,
        next: Segment,
        progress: &mut dyn FnMut(&Self),
    ) -> Result<(), JournalError> {
        if let End::Fault(fault) = self.run(self.segment.size, Some(&goes_on.from), progress)? {
            let what = format!("segment {} goes on behind more frames, but here {}", next.number, describe(&fault));
            return Err(self.damaged(&what));
        }
        // What a cut leaves behind never counted. Without one, nothing may stand here.
        if !goes_on.cut && self.window.frame(&self.segment, self.offset, self.segment.size)?.is_ok() {
            return Err(self.damaged(&format!("segment {} goes on before this frame: two histories", next.number)));
        }
        self.segment = next;
        self.offset = segment::HEADER_BYTES;
        self.last_write = segment::HEADER_BYTES;
        Ok(())
    }

    /// Applies frames until one is not good, ends at `limit`, or has `until` as its chain hash.
    /// A long run is applied on a second thread, while this one reads on and decodes.
    pub(crate) fn run(
        &mut self,
        limit: u64,
        until: Option<&Chain>,
        progress: &mut dyn FnMut(&Self),
    ) -> Result<End, JournalError> {
        let mut partition = std::mem::replace(&mut self.partition, Partition::new(self.folder.id(), 0));
        let ended = if limit.saturating_sub(self.offset) < SECOND_THREAD_BYTES {
            self.each_frame(limit, until, progress, &mut |records: &mut Vec<Record>| {
                records.drain(..).for_each(|record| partition.evolve(&record));
            })
        } else {
            let applied = &mut partition;
            std::thread::scope(|scope| {
                let (full, frames) = mpsc::sync_channel::<Vec<Record>>(FRAMES_AHEAD);
                let (back, empty) = mpsc::channel::<Vec<Record>>();
                let applying = scope.spawn(move || {
                    for mut records in frames {
                        records.drain(..).for_each(|record| applied.evolve(&record));
                        // Fails only once nothing more is read.
                        let _ = back.send(records);
                    }
                });
                let ended = self.each_frame(limit, until, progress, &mut |records: &mut Vec<Record>| {
                    // Fails only if the other thread panicked, which joining it tells.
                    let _ = full.send(std::mem::replace(records, empty.try_recv().unwrap_or_default()));
                });
                drop(full);
                applying.join().map_or_else(|panic| std::panic::resume_unwind(panic), |()| ended)
            })
        };
        self.partition = partition;
        ended
    }

    fn each_frame(
        &mut self,
        limit: u64,
        until: Option<&Chain>,
        progress: &mut dyn FnMut(&Self),
        apply: &mut dyn FnMut(&mut Vec<Record>),
    ) -> Result<End, JournalError> {
        let mut records = Vec::new();
        loop {
            if until == Some(&self.track.chain) || self.offset == limit {
                return Ok(End::Reached);
            }
            if let Some(fault) = self.frame(limit, &mut records)? {
                return Ok(End::Fault(fault));
            }
            apply(&mut records);
            progress(self);
        }
    }

    /// Reads one frame; gives back why it is none.
    fn frame(&mut self, limit: u64, records: &mut Vec<Record>) -> Result<Option<Fault>, JournalError> {
        let (header, bytes) = match self.window.frame(&self.segment, self.offset, limit)? {
            Ok(frame) => frame,
            Err(fault) => return Ok(Some(fault)),
        };
        // From here on the checksums are right: what does not fit was not torn by a crash.
        let decoded = self.track.follows(&header).and_then(|()| {
            let payload = &bytes[frame::HEADER_BYTES..frame::HEADER_BYTES + header.payload as usize];
            codec::decode(payload, header.count, |record| records.push(record))
        });
        if let Err(what) = decoded {
            return Err(self.damaged(&what));
        }
        let chain = frame::hash(bytes);
        self.track.pass(&header, chain);
        self.last_write = self.offset.saturating_sub(u64::from(header.unsynced));
        self.offset += header.frame_bytes() as u64;
        self.events += u64::from(header.count);
        self.frames += 1;
        self.bytes += header.frame_bytes() as u64;
        if header.count > 0 && self.wanted == Some(self.track.lsn) {
            self.found = Some(self.track.position());
        }
        Ok(None)
    }

    /// Refuses a state to which an event did not fit.
    pub(crate) fn check_fit(&self) -> Result<(), JournalError> {
        match self.partition.misfit() {
            Some(lsn) => Err(JournalError::Misfit { partition: self.folder.id(), lsn }),
            None => Ok(()),
        }
    }

    /// Damage where this replay stands.
    pub(crate) fn damaged(&self, what: &str) -> JournalError {
        self.damaged_at(&self.segment, self.offset, what)
    }

    /// Damage elsewhere.
    pub(crate) fn damaged_at(&self, segment: &Segment, offset: u64, what: &str) -> JournalError {
        JournalError::Damaged {
            partition: self.folder.id(),
            segment: segment.number,
            offset,
            path: segment.path.clone(),
            what: format!("{what}; the last good event is LSN {}", self.track.lsn),
        }
    }

    /// Bytes of the segments from the current one on.
    pub(crate) fn bytes_ahead(&self, segments: &[u64]) -> Result<u64, JournalError> {
        let mut total = 0;
        for &number in segments.iter().filter(|&&number| number >= self.segment.number) {
            let path = self.folder.path().join(segment::name(number));
            total += self.folder.storage().open_read(&path).and_then(|file| file.len()).doing("measure", &path)?;
        }
        Ok(total)
    }
}

/// A fault in words.
pub(crate) fn describe(fault: &Fault) -> String {
    match fault {
        Fault::Zeros => "nothing is written".into(),
        Fault::Broken(what) => what.clone(),
        Fault::Version(found) => format!("a frame of version {found} stands"),
    }
}
