//! Reading frames one after the other, and checking that each belongs where it stands.

use super::error::IoContext;
use super::frame::{self, Fault, Header};
use super::position::{Chain, chain_origin};
use super::segment::Segment;
use super::storage::read_full;
use super::{JournalError, JournalId, Position};
use son7shop_engine::{Lsn, PartitionId};

/// Bytes read at once: two frames of the largest size.
const WINDOW_BYTES: usize = 1024 * 1024;

/// What one must know at the end of a frame to judge the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Track {
    pub journal: JournalId,
    pub partition: PartitionId,
    /// The epoch of the last frame; 0 before the first.
    pub epoch: u64,
    /// The last record's.
    pub lsn: Lsn,
    /// Chain hash after the last frame with records.
    pub position_chain: Chain,
    /// Chain hash after the last frame.
    pub chain: Chain,
}

impl Track {
    /// Before the first frame.
    pub(crate) fn origin(journal: JournalId, partition: PartitionId) -> Self {
        let chain = chain_origin(journal, partition);
        Self { journal, partition, epoch: 0, lsn: Lsn(0), position_chain: chain, chain }
    }

    pub(crate) fn position(&self) -> Position {
        Position { journal: self.journal, lsn: self.lsn, chain: self.position_chain }
    }

    /// Whether `header` is of this journal and partition and follows what came before;
    /// the error says in words why not.
    pub(crate) fn follows(&self, header: &Header) -> Result<(), String> {
        if header.journal != self.journal {
            return Err(format!("the frame is of journal {}", header.journal));
        }
        if header.partition != self.partition {
            return Err(format!("the frame is of partition {}", header.partition));
        }
        if header.first != self.lsn.next() {
            return Err(format!("the frame starts at LSN {}, expected was {}", header.first, self.lsn.next()));
        }
        if header.before != self.chain {
            return Err("the frame's chain hash is not that of what stands before it".into());
        }
        if header.epoch < self.epoch {
            return Err(format!("the frame is of epoch {}, after epoch {}", header.epoch, self.epoch));
        }
        Ok(())
    }

    /// Moves past a frame; `chain` is the hash after it.
    pub(crate) fn pass(&mut self, header: &Header, chain: Chain) {
        self.epoch = header.epoch;
        self.chain = chain;
        if header.count > 0 {
            self.lsn = header.last();
            self.position_chain = chain;
        }
    }
}

/// A part of a segment in memory.
#[derive(Debug, Default)]
pub(crate) struct Window {
    buffer: Vec<u8>,
    /// Which segment, and from which offset.
    segment: u64,
    start: u64,
    len: usize,
}

impl Window {
    /// The bytes of `segment` from `offset`: at least `need`, or all up to `limit`.
    pub(crate) fn bytes(
        &mut self,
        segment: &Segment,
        offset: u64,
        need: usize,
        limit: u64,
    ) -> Result<&[u8], JournalError> {
        let left = usize::try_from(limit.saturating_sub(offset)).unwrap_or(usize::MAX);
        let need = need.min(left);
        let inside = segment.number == self.segment && offset >= self.start;
        // Lossless: a window is far smaller than a usize.
        let skip = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        if inside && skip.checked_add(need).is_some_and(|end| end <= self.len) {
            return Ok(&self.buffer[skip..self.len.min(skip.saturating_add(left))]);
        }
        let wanted = left.min(WINDOW_BYTES);
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        self.len = 0;
        self.len = read_full(segment.file.as_ref(), &mut self.buffer[..wanted], offset).doing("read", &segment.path)?;
        self.segment = segment.number;
        self.start = offset;
        Ok(&self.buffer[..self.len])
    }

    /// Forgets what was read.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    /// The frame at `offset`, whole and with right checksums, if there is one below `limit`.
    pub(crate) fn frame(
        &mut self,
        segment: &Segment,
        offset: u64,
        limit: u64,
    ) -> Result<Result<(Header, &[u8]), Fault>, JournalError> {
        let header = match frame::parse(self.bytes(segment, offset, frame::HEADER_BYTES, limit)?) {
            Ok(header) => header,
            Err(Fault::Version(found)) => {
                return Err(JournalError::Version { path: segment.path.clone(), found, known: frame::VERSION });
            }
            Err(fault) => return Ok(Err(fault)),
        };
        let bytes = self.bytes(segment, offset, header.frame_bytes(), limit)?;
        let Some(bytes) = bytes.get(..header.frame_bytes()) else {
            return Ok(Err(Fault::Broken("the frame is longer than what is there".into())));
        };
        Ok(frame::payload(&header, bytes).map(|_| (header, bytes)))
    }
}

/// What stands in a segment from some offset on.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Rest {
    /// The end of the last byte that is not zero, if one is.
    pub dirty_end: Option<u64>,
    /// Where frames may start.
    pub starts: Vec<u64>,
}

/// Looks through `segment` from `offset` to its end.
pub(crate) fn rest(window: &mut Window, segment: &Segment, offset: u64) -> Result<Rest, JournalError> {
    let mut rest = Rest::default();
    let mut at = offset;
    while at < segment.size {
        let bytes = window.bytes(segment, at, WINDOW_BYTES, segment.size)?;
        if bytes.is_empty() {
            break;
        }
        // Most of a segment's rest is zero: the whole piece is tested at once, without early exits.
        let dirty = bytes.iter().fold(0, |all, byte| all | byte) != 0;
        let last = if dirty { bytes.iter().rposition(|&byte| byte != 0) } else { None };
        if let Some(last) = last {
            rest.dirty_end = Some(at + last as u64 + 1);
            let starts = bytes.chunks(frame::ALIGN).enumerate().filter(|(_, chunk)| frame::may_start(chunk));
            rest.starts.extend(starts.map(|(n, _)| at + (n * frame::ALIGN) as u64));
        }
        at += bytes.len() as u64;
    }
    Ok(rest)
}

/// A frame among `starts` that proves that what stood at `offset`, behind `track`, had been
/// synced: its offset and first LSN.
pub(crate) fn proof(
    window: &mut Window,
    segment: &Segment,
    offset: u64,
    starts: &[u64],
    track: &Track,
) -> Result<Option<(u64, Lsn)>, JournalError> {
    for &at in starts {
        let Ok((header, _)) = window.frame(segment, at, segment.size)? else { continue };
        let ours = header.journal == track.journal && header.partition == track.partition && header.first > track.lsn;
        // Everything before the frame's own write was synced before that write began.
        if ours && at.saturating_sub(u64::from(header.unsynced)) > offset {
            return Ok(Some((at, header.first)));
        }
    }
    Ok(None)
}
