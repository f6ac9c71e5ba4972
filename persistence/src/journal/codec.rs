//! The one place that turns events into bytes and back: `postcard`, whose encoding of the
//! engine's types is the journal's format. A changed event is a new variant at the end of
//! [`son7shop_engine::Event`]; what is here never changes for an old one.

use son7shop_engine::Record;

/// Encodes `record` at the start of `space`; says how many bytes it took, or `None` if
/// it does not fit.
pub(crate) fn encode(record: &Record, space: &mut [u8]) -> Option<usize> {
    // The only error that encoding into a slice can give is a full slice.
    postcard::to_slice(record, space).ok().map(|used| used.len())
}

/// Decodes exactly `count` records from `payload` and hands each to `each`. The error
/// says in words what is wrong; it means damage, because the payload's checksum was right.
pub(crate) fn decode(payload: &[u8], count: u32, mut each: impl FnMut(Record)) -> Result<(), String> {
    let mut rest = payload;
    for n in 0..count {
        let (record, after) = postcard::take_from_bytes::<Record>(rest)
            .map_err(|error| format!("record {} of {count} is unreadable ({error})", n + 1))?;
        each(record);
        rest = after;
    }
    if rest.is_empty() { Ok(()) } else { Err(format!("{} bytes are left after {count} records", rest.len())) }
}
