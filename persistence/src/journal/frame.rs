//! A frame: a batch of records, or a part of one, with everything that proves its place.
//!
//! All numbers are little-endian.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | magic `S7frame\n` |
//! | 8 | 2 | format version, 1 |
//! | 10 | 2 | partition |
//! | 12 | 4 | length of the payload in bytes, without the padding |
//! | 16 | 16 | journal id |
//! | 32 | 8 | epoch |
//! | 40 | 8 | LSN of the first record; for a frame without records, of the next one |
//! | 48 | 4 | number of records |
//! | 52 | 4 | bytes directly before this frame, in this segment, that belong to the same write and so are not known to be synced |
//! | 56 | 8 | the last LSN known to be synced when this frame was written |
//! | 64 | 32 | chain hash of what came before |
//! | 96 | 4 | CRC-32C of payload and padding |
//! | 100 | 4 | CRC-32C of bytes 0 to 99 |
//! | 104 | n | payload: the records, one after the other, as [`super::codec`] writes them |
//! | 104+n | 0–7 | zeros up to a multiple of 8 |
//!
//! The chain hash after a frame is blake3 over all of its bytes, padding included.

use super::JournalId;
use super::position::Chain;
use son7shop_engine::{Lsn, PartitionId};

/// Bytes of a frame's header.
pub(crate) const HEADER_BYTES: usize = 104;
/// A frame stays under 512 KiB, so that it can also be one message of a stream.
pub(crate) const MAX_FRAME_BYTES: usize = 512 * 1024 - ALIGN;
/// The most that a frame's payload may take.
pub(crate) const MAX_PAYLOAD_BYTES: usize = MAX_FRAME_BYTES - HEADER_BYTES;
/// Frames start at multiples of this, so that a search for one is quick.
pub(crate) const ALIGN: usize = 8;
/// The version that this program writes and reads.
pub(crate) const VERSION: u16 = 1;
const MAGIC: [u8; 8] = *b"S7frame\n";

/// What a frame says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub journal: JournalId,
    pub partition: PartitionId,
    pub epoch: u64,
    /// LSN of the first record, or of the next one where there is none.
    pub first: Lsn,
    /// Records.
    pub count: u32,
    /// Bytes before this frame that are of the same write.
    pub unsynced: u32,
    /// The last LSN that was on disk before this write.
    pub synced: Lsn,
    /// Chain hash of what came before.
    pub before: Chain,
    /// Bytes of payload, without padding.
    pub payload: u32,
    /// Checksum of payload and padding.
    pub payload_crc: u32,
}

impl Header {
    /// The last LSN that the journal has after this frame.
    pub(crate) const fn last(&self) -> Lsn {
        Lsn(self.first.0 + self.count as u64 - 1)
    }

    /// Bytes of the whole frame, padding included.
    pub(crate) const fn frame_bytes(&self) -> usize {
        frame_bytes(self.payload as usize)
    }
}

/// Bytes of a frame with that much payload, padding included.
pub(crate) const fn frame_bytes(payload: usize) -> usize {
    (HEADER_BYTES + payload).next_multiple_of(ALIGN)
}

/// Why bytes are no frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing was written here.
    Zeros,
    /// Something is here, but no frame, or not all of one.
    Broken(String),
    /// A whole header of a format that this program does not know.
    Version(u16),
}

/// Fills in the header of `frame`, whose payload and padding are in place, from `header`
/// (whose lengths and checksums are ignored) and gives the chain hash after it.
pub(crate) fn seal(frame: &mut [u8], payload: usize, header: &Header) -> Chain {
    let payload_crc = crc32c::crc32c(&frame[HEADER_BYTES..]);
    frame[0..8].copy_from_slice(&MAGIC);
    frame[8..10].copy_from_slice(&VERSION.to_le_bytes());
    frame[10..12].copy_from_slice(&header.partition.0.to_le_bytes());
    #[expect(clippy::cast_possible_truncation, reason = "a payload is at most MAX_PAYLOAD_BYTES")]
    frame[12..16].copy_from_slice(&(payload as u32).to_le_bytes());
    frame[16..32].copy_from_slice(&header.journal.0);
    frame[32..40].copy_from_slice(&header.epoch.to_le_bytes());
    frame[40..48].copy_from_slice(&header.first.0.to_le_bytes());
    frame[48..52].copy_from_slice(&header.count.to_le_bytes());
    frame[52..56].copy_from_slice(&header.unsynced.to_le_bytes());
    frame[56..64].copy_from_slice(&header.synced.0.to_le_bytes());
    frame[64..96].copy_from_slice(&header.before);
    frame[96..100].copy_from_slice(&payload_crc.to_le_bytes());
    let header_crc = crc32c::crc32c(&frame[..100]);
    frame[100..104].copy_from_slice(&header_crc.to_le_bytes());
    hash(frame)
}

/// The chain hash after a frame with these bytes.
pub(crate) fn hash(frame: &[u8]) -> Chain {
    *blake3::hash(frame).as_bytes()
}

/// Reads a header; `bytes` starts where the frame starts and may be longer.
pub(crate) fn parse(bytes: &[u8]) -> Result<Header, Fault> {
    let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(Fault::Broken("there is no room for a frame".into()));
    };
    if bytes.iter().all(|&byte| byte == 0) {
        return Err(Fault::Zeros);
    }
    if bytes[..8] != MAGIC {
        return Err(Fault::Broken("the bytes are no frame".into()));
    }
    if crc32c::crc32c(&bytes[..100]) != u32_at(bytes, 100) {
        return Err(Fault::Broken("the frame's header has a wrong checksum".into()));
    }
    let version = u16_at(bytes, 8);
    if version != VERSION {
        return Err(Fault::Version(version));
    }
    let header = Header {
        journal: JournalId(array_at(bytes, 16)),
        partition: PartitionId(u16_at(bytes, 10)),
        epoch: u64_at(bytes, 32),
        first: Lsn(u64_at(bytes, 40)),
        count: u32_at(bytes, 48),
        unsynced: u32_at(bytes, 52),
        synced: Lsn(u64_at(bytes, 56)),
        before: array_at(bytes, 64),
        payload: u32_at(bytes, 12),
        payload_crc: u32_at(bytes, 96),
    };
    // So far from the last number that nothing that counts on can overflow.
    let possible = 1..u64::MAX / 2;
    if header.payload as usize > MAX_PAYLOAD_BYTES || !possible.contains(&header.first.0) {
        return Err(Fault::Broken("the frame's header has impossible numbers".into()));
    }
    Ok(header)
}

/// Checks the payload of a frame; `frame` is exactly the frame that `header` describes.
pub(crate) fn payload<'a>(header: &Header, frame: &'a [u8]) -> Result<&'a [u8], Fault> {
    if crc32c::crc32c(&frame[HEADER_BYTES..]) != header.payload_crc {
        return Err(Fault::Broken("the frame's payload has a wrong checksum".into()));
    }
    Ok(&frame[HEADER_BYTES..HEADER_BYTES + header.payload as usize])
}

/// Whether a frame may start with these bytes: the cheap test of a search.
pub(crate) fn may_start(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// `N` bytes at `at`. The callers' offsets are constants inside fixed headers.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed() -> (Vec<u8>, Chain) {
        let header = Header {
            journal: JournalId([7; 16]),
            partition: PartitionId(3),
            epoch: 5,
            first: Lsn(42),
            count: 2,
            unsynced: 8,
            synced: Lsn(41),
            before: [9; 32],
            payload: 0,
            payload_crc: 0,
        };
        let mut frame = vec![0; frame_bytes(5)];
        frame[HEADER_BYTES..HEADER_BYTES + 5].copy_from_slice(b"hello");
        let chain = seal(&mut frame, 5, &header);
        (frame, chain)
    }

    /// Old journals are read for ever: these bytes never change.
    #[test]
    fn a_frame_is_the_bytes_that_it_always_was() {
        let (frame, chain) = sealed();
        let mut expected = b"S7frame\n\x01\0\x03\0\x05\0\0\0".to_vec();
        expected.extend([7; 16]);
        expected.extend([5, 0, 0, 0, 0, 0, 0, 0, 42, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([2, 0, 0, 0, 8, 0, 0, 0, 41, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([9; 32]);
        assert_eq!(frame[..96], expected);
        assert_eq!(u32_at(&frame, 96), crc32c::crc32c(b"hello\0\0\0"));
        assert_eq!(u32_at(&frame, 100), crc32c::crc32c(&frame[..100]));
        assert_eq!(&frame[104..], b"hello\0\0\0");
        assert_eq!(chain, *blake3::hash(&frame).as_bytes());
    }

    #[test]
    fn a_frame_reads_back_and_every_flipped_bit_is_seen() {
        let (mut frame, _) = sealed();
        let header = parse(&frame).unwrap();
        assert_eq!((header.first, header.last(), header.count, header.payload), (Lsn(42), Lsn(43), 2, 5));
        assert_eq!(payload(&header, &frame).unwrap(), b"hello");
        for bit in 0..frame.len() * 8 {
            frame[bit / 8] ^= 1 << (bit % 8);
            let whole = parse(&frame).and_then(|header| payload(&header, &frame).map(<[u8]>::len));
            assert!(whole.is_err(), "bit {bit}");
            frame[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn zeros_and_a_later_version_are_told_apart_from_garbage() {
        assert_eq!(parse(&[0; 200]), Err(Fault::Zeros));
        let (mut frame, _) = sealed();
        frame[8] = 2;
        let crc = crc32c::crc32c(&frame[..100]);
        frame[100..104].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(parse(&frame), Err(Fault::Version(2)));
        assert!(matches!(parse(&frame[..50]), Err(Fault::Broken(_))));
    }

    proptest! {
        /// Whatever stands there, even behind a right magic and checksum: an answer, never a panic.
        #[test]
        fn any_bytes_are_parsed_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..300), right in any::<bool>()) {
            if right && bytes.len() >= HEADER_BYTES {
                bytes[..8].copy_from_slice(&MAGIC);
                bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
                let crc = crc32c::crc32c(&bytes[..100]);
                bytes[100..104].copy_from_slice(&crc.to_le_bytes());
            }
            if let Ok(header) = parse(&bytes) {
                prop_assert!(header.frame_bytes() <= MAX_FRAME_BYTES);
            }
        }

        /// Records' bytes are checked before they are decoded; decoding stands on its own all the same.
        #[test]
        fn any_payload_is_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), count in 0u32..20) {
            let mut records = 0;
            let decoded = super::super::codec::decode(&bytes, count, |_| records += 1);
            prop_assert!(decoded.is_err() || records == count);
        }
    }
}
