//! The trace of a request: taken over from `traceparent` (W3C Trace Context), or drawn.
//!
//! Must never make a system call for a request, and never refuse one: an invalid
//! `traceparent` is ignored, as the standard says.

use http::HeaderValue;
use std::cell::Cell;
use std::fmt;

/// A trace id: 16 bytes, not all zero, written as 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TraceId(u128);

thread_local! {
    /// Seeded once for a thread; ids need to be distinct, not secret.
    static STATE: Cell<u128> = Cell::new(rand::random());
}

impl TraceId {
    /// The next id of this thread: a Weyl sequence, mixed (SplitMix64 on both halves).
    pub(super) fn draw() -> Self {
        let state = STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        STATE.set(state);
        #[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
        let (low, high) = (mix(state as u64), mix((state >> 64) as u64));
        Self(((u128::from(high) << 64) | u128::from(low)).max(1))
    }

    /// The trace that `traceparent` names (`00-<trace>-<parent>-<flags>`), if it is valid.
    pub(super) fn of_traceparent(value: &HeaderValue) -> Option<Self> {
        let bytes = value.as_bytes();
        let (version, rest) = bytes.split_at_checked(2)?;
        let known_version = version != b"ff" && (version != b"00" || bytes.len() == 55);
        let shaped = rest.len() >= 53 && rest[0] == b'-' && rest[33] == b'-' && rest[50] == b'-';
        if !known_version || !shaped || rest.get(53).is_some_and(|&after| after != b'-') {
            return None;
        }
        hex(version)?;
        hex(&rest[51..53])?;
        let trace = hex(&rest[1..33])?;
        (trace != 0 && hex(&rest[34..50])? != 0).then_some(Self(trace))
    }

    /// The id as a header's value.
    pub(super) fn header(self) -> HeaderValue {
        let digits = self.digits();
        // Hexadecimal digits are always a valid value; the fallback is never taken.
        HeaderValue::from_bytes(&digits).unwrap_or(HeaderValue::from_static(""))
    }

    fn digits(self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The finaliser of SplitMix64.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Reads up to 32 lower-case hexadecimal digits: the standard knows no others.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u128::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Option<String> {
        TraceId::of_traceparent(&HeaderValue::from_static(text)).map(|id| id.to_string())
    }

    #[test]
    fn a_valid_traceparent_is_taken_over_and_any_other_ignored() {
        const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(read("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").as_deref(), Some(ID));
        assert_eq!(read("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more").as_deref(), Some(ID));
        for bad in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0g-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-xx",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn drawn_ids_differ_and_read_as_they_are_sent() {
        let (a, b) = (TraceId::draw(), TraceId::draw());
        assert_ne!(a, b);
        assert_eq!(a.header().to_str().unwrap(), a.to_string());
        assert_eq!(a.to_string().len(), 32);
    }
}
