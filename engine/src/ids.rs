//! Names of things. Each is its own type, so that none is passed for another.

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};

/// Why a text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("must not be empty")]
    Empty,
    /// The text is longer than the database's column.
    #[error("must be at most {0} characters")]
    TooLong(usize),
    /// The text has a character outside the id's alphabet.
    #[error("may hold only ASCII letters, digits and '{0}'")]
    Alphabet(&'static str),
    /// The text has a character that is not visible ASCII.
    #[error("may hold only visible ASCII characters")]
    NotVisible,
    /// The text is not 32 hexadecimal digits grouped as a UUID.
    #[error("must be a UUID as given when the order was placed")]
    NotAnOrderId,
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $max:literal, $punctuation:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(CompactString);

        /// The bytes alone: an id is never part of a longer key.
        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                state.write(self.0.as_bytes());
            }
        }

        impl $name {
            /// The longest id, in characters; the width of the database's column.
            pub const MAX: usize = $max;

            /// Checks length and alphabet.
            pub fn parse(text: &str) -> Result<Self, IdError> {
                if text.is_empty() {
                    return Err(IdError::Empty);
                }
                if text.len() > Self::MAX {
                    return Err(IdError::TooLong(Self::MAX));
                }
                let allowed = |b: u8| b.is_ascii_alphanumeric() || $punctuation.as_bytes().contains(&b);
                if !text.bytes().all(allowed) {
                    return Err(IdError::Alphabet($punctuation));
                }
                Ok(Self(CompactString::new(text)))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

text_id!(
    /// A product's name in every call: 1 to 64 of `A–Z a–z 0–9 . _ -`.
    Sku, 64, "._-"
);
text_id!(
    /// A customer: the subject of their token, 1 to 64 of `A–Z a–z 0–9 . _ - @ : |`.
    CustomerId, 64, "._-@:|"
);

/// A partition's number, from 0; fixed when the data folder is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PartitionId(pub u16);

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An order's id: a UUID whose last two bytes name the home partition, so that whoever
/// has the id can find the owner without asking anyone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId([u8; 16]);

/// As one number: two multiplications instead of a walk over sixteen bytes.
impl Hash for OrderId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(u128::from_ne_bytes(self.0));
    }
}

impl OrderId {
    /// A version 7 UUID (RFC 9562, section 5.7) made of `now`, eight bytes that the
    /// caller drew, and the home partition.
    #[must_use]
    pub fn new(now: Time, entropy: u64, home: PartitionId) -> Self {
        let millis = now.0.to_be_bytes();
        let drawn = entropy.to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&millis[2..]);
        bytes[6..14].copy_from_slice(&drawn);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        bytes[14..].copy_from_slice(&home.0.to_be_bytes());
        Self(bytes)
    }

    /// The id with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id's bytes, in the order in which they are written.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The partition that keeps the order.
    #[must_use]
    pub const fn home(&self) -> PartitionId {
        PartitionId(u16::from_be_bytes([self.0[14], self.0[15]]))
    }

    /// Reads the hyphenated form, upper or lower case.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let text = text.as_bytes();
        if text.len() != 36 {
            return Err(IdError::NotAnOrderId);
        }
        let mut bytes = [0; 16];
        let mut at = 0;
        for byte in &mut bytes {
            if matches!(at, 8 | 13 | 18 | 23) {
                if text[at] != b'-' {
                    return Err(IdError::NotAnOrderId);
                }
                at += 1;
            }
            *byte = hex(text[at])? << 4 | hex(text[at + 1])?;
            at += 2;
        }
        Ok(Self(bytes))
    }
}

fn hex(digit: u8) -> Result<u8, IdError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(IdError::NotAnOrderId),
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; 36];
        let mut at = 0;
        for byte in self.0 {
            if matches!(at, 8 | 13 | 18 | 23) {
                at += 1;
            }
            text[at] = DIGITS[usize::from(byte >> 4)];
            text[at + 1] = DIGITS[usize::from(byte & 15)];
            at += 2;
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An idempotency key as the engine keeps it: digests made at the edge, so that a key
/// costs 32 bytes whatever its text was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestKey {
    /// Digest of who sent the key and the key itself.
    pub key: [u8; 16],
    /// Digest of what was asked for under it.
    pub request: [u8; 16],
}

use crate::time::Time;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_id_reads_back_and_names_its_home() {
        let id = OrderId::new(Time(1_700_000_000_000), 0x0123_4567_89ab_cdef, PartitionId(513));
        assert_eq!(OrderId::parse(&id.to_string()), Ok(id));
        assert_eq!(OrderId::parse(&id.to_string().to_uppercase()), Ok(id));
        assert_eq!(id.home(), PartitionId(513));
        assert_eq!(id.to_string().as_bytes()[14], b'7');
    }

    #[test]
    fn texts_that_are_no_ids_are_refused_by_name() {
        assert_eq!(Sku::parse(""), Err(IdError::Empty));
        assert_eq!(Sku::parse(&"x".repeat(65)), Err(IdError::TooLong(64)));
        assert_eq!(Sku::parse("a b"), Err(IdError::Alphabet("._-")));
        assert!(Sku::parse("AIR-90_black.v2").is_ok());
        for text in [
            "",
            "0",
            "018bcfe5-6800-7123-8567-89abcdef020",
            "018bcfe5-6800-7123-8567-89abcdef020g",
            "018bcfe5068000712308567089abcdef0201",
            "018bcfe5-6800-7123-8567-89abcdef0201ff",
        ] {
            assert_eq!(OrderId::parse(text), Err(IdError::NotAnOrderId), "{text}");
        }
    }
}
