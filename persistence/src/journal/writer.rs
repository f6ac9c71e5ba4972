//! The single writer of one partition's journal: append in memory, commit by one write
//! and one sync.
//!
//! It must never retry a sync, never write after an error, and never let a reader see a
//! place that is not synced: only [`Journal::commit`] makes a [`Committed`].

use super::error::IoContext;
use super::folder::PartitionFolder;
use super::frame::{self, ALIGN, HEADER_BYTES, Header, MAX_FRAME_BYTES, MAX_PAYLOAD_BYTES};
use super::recovery::{self, OpenHints, Progress, Recovered};
use super::scan::Track;
use super::segment::{self, Segment};
use super::{Committed, JournalError, codec};
use son7shop_engine::{Lsn, Record};
use std::sync::atomic::Ordering;

/// The largest event that can be written, in bytes of its encoding; less where segments are
/// smaller than 2 MiB (a frame takes at most a quarter of one).
pub const MAX_RECORD_BYTES: usize = MAX_PAYLOAD_BYTES;
/// What an event may cost beyond its own bytes: a frame of its own.
pub const EVENT_OVERHEAD_BYTES: u64 = (HEADER_BYTES + ALIGN) as u64;
/// The batch buffer's first size; it grows to the largest batch and stays there.
const BUFFER_BYTES: usize = 256 * 1024;

/// The journal of one partition, open for writing. Blocking, and for one thread: the
/// owner's. After an error of [`Journal::commit`] it is dead and every later commit fails.
#[derive(Debug)]
pub struct Journal {
    folder: PartitionFolder,
    segment: Segment,
    /// Where the next write goes.
    offset: u64,
    /// After the last frame that is synced.
    track: Track,
    /// The end of the last batch that was synced whole.
    committed: Committed,
    batch: Batch,
    dead: bool,
}

/// Makes the next segment ahead, away from the owner's thread.
#[derive(Debug, Clone)]
pub struct Preparer {
    folder: PartitionFolder,
}

/// Records that wait for the next commit, already encoded: headers' room, payloads,
/// padding, frame after frame.
#[derive(Debug)]
struct Batch {
    buffer: Vec<u8>,
    used: usize,
    frames: Vec<OpenFrame>,
    records: usize,
    next: Lsn,
    too_large: Option<Lsn>,
    /// The most that a frame may take: a quarter of the smallest segment, so that little of a
    /// segment is lost when the next frame does not fit.
    frame_bytes_max: usize,
}

#[derive(Debug, Clone, Copy)]
struct OpenFrame {
    /// Where its header starts in the buffer, and where its padding ends.
    start: usize,
    end: usize,
    payload: usize,
    first: Lsn,
    count: u32,
}

impl Journal {
    /// Opens the journal of `folder`'s partition: applies snapshot and segments to a
    /// partition (whose maps are seeded with `seed`), repairs what a crash may leave,
    /// syncs what it read and takes the next epoch. `progress` is called now and then.
    ///
    /// Refuses, changing nothing, whatever would lose or skip an acknowledged event; the
    /// error says what, where and what to do.
    pub fn open(
        folder: &PartitionFolder,
        hints: OpenHints,
        seed: u64,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Recovered, JournalError> {
        recovery::open(folder, hints, seed, progress)
    }

    /// Goes on at `offset` of `segment`, after `track`. `smallest` is the size of the
    /// smallest segment that is there to be written.
    pub(crate) fn start(folder: PartitionFolder, segment: Segment, offset: u64, track: Track, smallest: u64) -> Self {
        let batch = Batch {
            buffer: vec![0; BUFFER_BYTES],
            used: 0,
            frames: Vec::new(),
            records: 0,
            next: track.lsn.next(),
            too_large: None,
            frame_bytes_max: usize::try_from((smallest - segment::HEADER_BYTES) / 4)
                .map_or(MAX_FRAME_BYTES, |quarter| MAX_FRAME_BYTES.min(quarter / ALIGN * ALIGN)),
        };
        let committed = Committed { position: track.position(), segment: segment.number, offset };
        Self { folder, segment, offset, track, committed, batch, dead: false }
    }

    /// Adds an event to the open batch, in memory only; gives its position. Nobody may
    /// hear of it before [`Journal::commit`].
    ///
    /// An event of more than [`MAX_RECORD_BYTES`] makes the next commit fail.
    #[inline]
    pub fn append(&mut self, record: &Record) -> Lsn {
        self.batch.push(record)
    }

    /// Events in the open batch.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.batch.records
    }

    /// Bytes that the open batch will take.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.batch.used
    }

    /// Writes the open batch and syncs it: one write and one sync, two of each where the
    /// batch meets the end of a segment. An empty batch costs nothing.
    ///
    /// After an error nothing is known about the batch, and the journal is dead: open it
    /// again, with the last good [`Committed`] as [`OpenHints::cut_at`].
    pub fn commit(&mut self) -> Result<Committed, JournalError> {
        if self.dead {
            return Err(JournalError::Dead);
        }
        if self.batch.records == 0 && self.batch.too_large.is_none() {
            return Ok(self.committed);
        }
        self.write_batch(self.track.epoch)
    }

    /// The end of the last batch that was synced, also once the journal is dead.
    #[must_use]
    pub fn committed(&self) -> Committed {
        self.committed
    }

    /// The epoch of this opening.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.track.epoch
    }

    /// The position of the last event appended.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        Lsn(self.batch.next.0 - 1)
    }

    /// Whether a new order may still be taken: whether, inside the disk limit, the open
    /// batch and `reserved_bytes` for the remaining events of open orders, that of the new
    /// order included, have room. Count [`EVENT_OVERHEAD_BYTES`] for each such event.
    ///
    /// Other events are taken at the limit and beyond: that is what the reserve is for.
    #[must_use]
    pub fn room(&self, reserved_bytes: u64) -> bool {
        let state = self.folder.state();
        // The end of a segment may be too short for the next frame.
        let usable = |bytes: u64| bytes.saturating_sub(self.batch.frame_bytes_max as u64);
        let each = usable(self.folder.segment_bytes() - segment::HEADER_BYTES);
        let ahead = state.ready.load(Ordering::Relaxed).saturating_sub(self.segment.number);
        let made = usable(self.segment.size - self.offset).saturating_add(ahead.saturating_mul(each));
        // When the disk itself is full, only what is already made counts.
        let more = if state.making_failed.load(Ordering::Relaxed) {
            0
        } else {
            self.folder.limit_bytes().saturating_sub(self.folder.disk_bytes()) / self.folder.segment_bytes()
        };
        let free = made.saturating_add(more.saturating_mul(each));
        reserved_bytes.saturating_add(self.batch.used as u64) <= free
    }

    /// The one that makes segments ahead; see [`Preparer::prepare_next`].
    #[must_use]
    pub fn preparer(&self) -> Preparer {
        Preparer { folder: self.folder.clone() }
    }

    /// Writes the frame without records that begins a new epoch.
    pub(crate) fn take_epoch(&mut self) -> Result<(), JournalError> {
        self.batch.open_frame();
        self.write_batch(self.track.epoch + 1).map(|_| ())
    }

    fn write_batch(&mut self, epoch: u64) -> Result<Committed, JournalError> {
        // Dead until proved alive: no early return below can leave a half-written journal usable.
        self.dead = true;
        if let Some(lsn) = self.batch.too_large {
            let max = self.batch.frame_bytes_max - HEADER_BYTES;
            return Err(JournalError::RecordTooLarge { lsn, max });
        }
        self.batch.close_frame();
        let mut run = 0;
        let mut track = self.track;
        for n in 0..self.batch.frames.len() {
            let OpenFrame { start, end, payload, first, count } = self.batch.frames[n];
            if self.offset + (end - run) as u64 > self.segment.size {
                self.write_run(run, start)?;
                // What is in the full segment is synced before a byte goes into the next.
                self.track = track;
                self.next_segment()?;
                run = start;
            }
            let unsynced = u32::try_from(start - run).unwrap_or(u32::MAX);
            let header = Header {
                journal: track.journal,
                partition: track.partition,
                epoch,
                first,
                count,
                unsynced,
                synced: self.track.lsn,
                before: track.chain,
                payload: 0,
                payload_crc: 0,
            };
            let chain = frame::seal(&mut self.batch.buffer[start..end], payload, &header);
            track.pass(&header, chain);
        }
        self.write_run(run, self.batch.used)?;
        self.track = track;
        self.batch.clear();
        self.committed = Committed { position: track.position(), segment: self.segment.number, offset: self.offset };
        self.dead = false;
        Ok(self.committed)
    }

    /// Writes and syncs a part of the buffer.
    fn write_run(&mut self, from: usize, to: usize) -> Result<(), JournalError> {
        if from == to {
            return Ok(());
        }
        self.segment.file.write_at(&self.batch.buffer[from..to], self.offset).doing("write", &self.segment.path)?;
        self.segment.file.sync().doing("sync", &self.segment.path)?;
        self.offset += (to - from) as u64;
        Ok(())
    }

    /// Goes on in the next segment: the one made ahead, or one made now.
    fn next_segment(&mut self) -> Result<(), JournalError> {
        let number = self.segment.number + 1;
        let state = self.folder.state();
        {
            let _making = self.folder.making();
            if state.ready.load(Ordering::Relaxed) < number {
                segment::make(&self.folder, number, None)?;
                state.making_failed.store(false, Ordering::Relaxed);
                state.ready.store(number, Ordering::Relaxed);
                self.folder.measure()?;
            }
        }
        self.segment = Segment::require(&self.folder, number, true, "it was made to be written")?;
        self.offset = segment::HEADER_BYTES;
        state.current.store(number, Ordering::Relaxed);
        Ok(())
    }
}

impl Preparer {
    /// Makes the segment after the one being written, if it is not there yet; says whether
    /// it did; it does not beyond the disk limit. Call it on a background thread after opening
    /// and every now and then, as it is cheap where there is nothing to do; it writes and syncs
    /// a whole segment of zeros.
    /// If it is never called, the owner makes its segments itself and stalls meanwhile.
    pub fn prepare_next(&self) -> Result<bool, JournalError> {
        let state = self.folder.state();
        let _making = self.folder.making();
        let number = state.current.load(Ordering::Relaxed) + 1;
        if state.ready.load(Ordering::Relaxed) >= number {
            return Ok(false);
        }
        let limit = self.folder.limit_bytes();
        if self.folder.disk_bytes().saturating_add(self.folder.segment_bytes()) > limit {
            return Ok(false);
        }
        let made = segment::make(&self.folder, number, None);
        state.making_failed.store(made.is_err(), Ordering::Relaxed);
        made.inspect_err(|_| {
            // What is there of it may be the disk's last bytes, which the followers need.
            let _ = self.folder.storage().remove(&segment::temporary(&self.folder, number));
        })?;
        state.ready.store(number, Ordering::Relaxed);
        self.folder.measure()?;
        Ok(true)
    }
}

impl Batch {
    #[inline]
    fn push(&mut self, record: &Record) -> Lsn {
        let lsn = self.next;
        self.next = lsn.next();
        self.records += 1;
        if self.frames.is_empty() {
            self.open_frame_at(lsn);
        }
        let Some(bytes) = self.encode(record) else {
            self.too_large.get_or_insert(lsn);
            return lsn;
        };
        let start = self.frames.last().map_or(0, |frame| frame.start);
        if self.used + bytes - start > self.frame_bytes_max {
            self.spill(bytes, lsn);
        } else {
            self.used += bytes;
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.count += 1;
        }
        lsn
    }

    /// Encodes behind what is used; `None` if the record is too large for any frame.
    fn encode(&mut self, record: &Record) -> Option<usize> {
        loop {
            if let Some(bytes) = codec::encode(record, &mut self.buffer[self.used..]) {
                return Some(bytes).filter(|&bytes| bytes <= self.frame_bytes_max - HEADER_BYTES);
            }
            if self.buffer.len() - self.used >= 2 * MAX_FRAME_BYTES {
                return None;
            }
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
    }

    /// The frame is full: the record just encoded moves to a new one.
    #[cold]
    fn spill(&mut self, bytes: usize, lsn: Lsn) {
        let record = self.used;
        let start = record.next_multiple_of(ALIGN);
        let payload = start + HEADER_BYTES;
        if self.buffer.len() < payload + bytes {
            self.buffer.resize(payload + bytes, 0);
        }
        self.buffer.copy_within(record..record + bytes, payload);
        self.close_frame();
        self.open_frame_at(lsn);
        self.used = payload + bytes;
    }

    fn open_frame(&mut self) {
        self.open_frame_at(self.next);
    }

    fn open_frame_at(&mut self, first: Lsn) {
        let start = self.used;
        self.used = start + HEADER_BYTES;
        if self.buffer.len() < self.used {
            self.buffer.resize(self.used, 0);
        }
        self.frames.push(OpenFrame { start, end: 0, payload: 0, first, count: 0 });
    }

    /// Ends the open frame: its padding is zeroed, its lengths are known.
    fn close_frame(&mut self) {
        let end = self.used.next_multiple_of(ALIGN);
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        self.buffer[self.used..end].fill(0);
        if let Some(frame) = self.frames.last_mut() {
            frame.payload = self.used - frame.start - HEADER_BYTES;
            frame.end = end;
        }
        self.used = end;
    }

    fn clear(&mut self) {
        self.used = 0;
        self.frames.clear();
        self.records = 0;
    }
}
