//! Followers: reading the committed frames of one partition from its files.
//!
//! A follower looks only at bytes below a [`Committed`] that the journal's owner gave it.
//! What stands behind may be half written, or may never come to count.

use super::folder::PartitionFolder;
use super::frame::{self, Fault, Header};
use super::replay::describe;
use super::scan::{Track, Window};
use super::segment::{self, GoesOn, Segment};
use super::{Committed, JournalError, Position, codec};
use son7shop_engine::{Lsn, Record};

/// A frame with events, as a follower gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The position of the first event.
    pub first_lsn: Lsn,
    /// The events; at least one.
    pub records: Vec<Record>,
    /// The epoch in which they were decided.
    pub epoch: u64,
    /// Where a follower is that has taken the whole frame.
    pub position_after: Position,
}

/// Reads one partition's committed frames, in order.
#[derive(Debug)]
pub struct Reader {
    folder: PartitionFolder,
    segment: Segment,
    offset: u64,
    track: Track,
    window: Window,
    /// Where the next segment goes on from, once it is known.
    goes_on: Option<GoesOn>,
    /// Whether the chain hash before the next event is known.
    placed: bool,
}

impl Reader {
    /// Places a follower that has every event up to `after`: the first frame it reads
    /// starts at the next one. Looks only at what `up_to` covers.
    pub fn open(folder: &PartitionFolder, after: Lsn, up_to: Committed) -> Result<Self, JournalError> {
        if after > up_to.position.lsn {
            return Err(JournalError::AheadOfJournal { partition: folder.id(), after, committed: up_to.position.lsn });
        }
        let mut reader = Self::at_segment_of(folder, after, up_to.segment)?;
        while reader.track.lsn < after {
            let Some((header, _)) = reader.step(up_to)? else { break };
            reader.placed |= header.count > 0;
            if header.count > 0 && header.last() > after {
                return Err(JournalError::InsideFrame {
                    partition: folder.id(),
                    after,
                    first: header.first,
                    last: header.last(),
                });
            }
        }
        Ok(reader)
    }

    /// A reader at the start of the last segment, up to number `last`, that has `after`
    /// itself, so that the chain hash there can be known; or else the event behind it.
    fn at_segment_of(folder: &PartitionFolder, after: Lsn, last: u64) -> Result<Self, JournalError> {
        let mut oldest = None;
        let mut behind = None;
        for number in folder.segments()?.into_iter().filter(|&number| number <= last).rev() {
            // One that was removed since it was listed is below what is kept.
            let Some(segment) = Segment::open(folder, number, false)? else { break };
            let Ok(header) = segment.first_header()? else { continue };
            oldest = Some(header.first);
            if header.first <= after.next() {
                let mut track = Track::origin(folder.journal(), folder.id());
                track.epoch = header.epoch;
                track.lsn = Lsn(header.first.0 - 1);
                track.chain = header.before;
                let reader = Self {
                    folder: folder.clone(),
                    segment,
                    offset: segment::HEADER_BYTES,
                    track,
                    window: Window::default(),
                    goes_on: None,
                    placed: after == Lsn(0),
                };
                if header.first <= after || after == Lsn(0) {
                    return Ok(reader);
                }
                behind = Some(reader);
            }
        }
        if let Some(reader) = behind {
            return Ok(reader);
        }
        Err(JournalError::BelowOldest { partition: folder.id(), after, oldest: oldest.unwrap_or(after.next()) })
    }

    /// The next frame with events, if `up_to` covers one. Blocks on file reads only.
    pub fn next(&mut self, up_to: Committed) -> Result<Option<Frame>, JournalError> {
        loop {
            let Some((header, records)) = self.step(up_to)? else { return Ok(None) };
            if header.count > 0 {
                return Ok(Some(Frame {
                    first_lsn: header.first,
                    records,
                    epoch: header.epoch,
                    position_after: self.track.position(),
                }));
            }
        }
    }

    /// Where the reader stands, with the chain hash there; `None` where the frame before is
    /// in a segment that was removed. Asked right after opening, it tells whether a follower
    /// followed this journal.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        self.placed.then(|| self.track.position())
    }

    /// The last event that was read.
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        self.track.lsn
    }

    /// Reads one frame, with or without events.
    fn step(&mut self, up_to: Committed) -> Result<Option<(Header, Vec<Record>)>, JournalError> {
        while self.segment.number < up_to.segment && self.segment_ends()? {
            self.next_segment()?;
        }
        let limit = match self.segment.number.cmp(&up_to.segment) {
            std::cmp::Ordering::Less => self.segment.size,
            std::cmp::Ordering::Equal => up_to.offset,
            std::cmp::Ordering::Greater => return Ok(None),
        };
        if self.offset >= limit {
            return Ok(None);
        }
        let (header, bytes) = match self.window.frame(&self.segment, self.offset, limit)? {
            Ok(frame) => frame,
            Err(fault) => return Err(self.damaged(&fault)),
        };
        let mut records = Vec::with_capacity(header.count.min(65_536) as usize);
        let taken = self.track.follows(&header).and_then(|()| {
            let payload = &bytes[frame::HEADER_BYTES..frame::HEADER_BYTES + header.payload as usize];
            codec::decode(payload, header.count, |record| records.push(record))
        });
        let chain = frame::hash(bytes);
        if let Err(what) = taken {
            return Err(self.damaged(&Fault::Broken(what)));
        }
        self.track.pass(&header, chain);
        self.offset += header.frame_bytes() as u64;
        Ok(Some((header, records)))
    }

    /// Whether the next frame is the first of the next segment, which is committed.
    fn segment_ends(&mut self) -> Result<bool, JournalError> {
        if self.goes_on.is_none() {
            let why = "a follower has not read it, and later ones are committed";
            let next = Segment::require(&self.folder, self.segment.number + 1, false, why)?;
            match next.goes_on()? {
                Ok(goes_on) => self.goes_on = Some(goes_on),
                Err(fault) => {
                    return Err(JournalError::Damaged {
                        partition: self.folder.id(),
                        segment: next.number,
                        offset: segment::HEADER_BYTES,
                        path: next.path,
                        what: format!("{}, but later events are committed", describe(&fault)),
                    });
                }
            }
        }
        Ok(self.goes_on.is_some_and(|goes_on| goes_on.from == self.track.chain))
    }

    fn next_segment(&mut self) -> Result<(), JournalError> {
        let why = "a follower reads on in it";
        self.segment = Segment::require(&self.folder, self.segment.number + 1, false, why)?;
        self.offset = segment::HEADER_BYTES;
        self.goes_on = None;
        self.window.clear();
        Ok(())
    }

    fn damaged(&self, fault: &Fault) -> JournalError {
        JournalError::Damaged {
            partition: self.folder.id(),
            segment: self.segment.number,
            offset: self.offset,
            path: self.segment.path.clone(),
            what: format!("{}, but it is committed; the last good event is LSN {}", describe(fault), self.track.lsn),
        }
    }
}

/// The position at `lsn`, by the frames of sealed segments below number `end`; `None` if
/// no frame ends there.
pub(crate) fn position_at(folder: &PartitionFolder, lsn: Lsn, end: u64) -> Result<Option<Position>, JournalError> {
    let origin = Position::origin(folder.journal(), folder.id());
    let up_to = Committed { position: origin, segment: end, offset: segment::HEADER_BYTES };
    // The frame that holds the event itself is needed: only it gives the chain hash.
    let mut reader = Reader::at_segment_of(folder, Lsn(lsn.0.saturating_sub(1)), end)?;
    while reader.track.lsn < lsn {
        if reader.step(up_to)?.is_none() {
            return Ok(None);
        }
    }
    let position = if lsn == Lsn(0) { origin } else { reader.track.position() };
    Ok(Some(position).filter(|position| position.lsn == lsn))
}
