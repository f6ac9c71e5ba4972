//! Names that the sandbox gives out, in the shapes that real ones have, drawn from a seed.
//!
//! What opens a payment page or proves that its shopper pressed "pay" is a secret: its `Debug`
//! must never say which.

use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use std::fmt::{self, Write as _};

/// A payment's name: `T` and 19 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tid(String);

/// The name of a capture or a refund: `A` and 19 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Aid(String);

/// What the shopper carries to the shop: 20 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PgToken(String);

/// What names a payment's page: 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PageHash(String);

/// An address that a browser is sent to. The shop's hold secrets of the shop.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Address(String);

macro_rules! text {
    ($($name:ident),*) => {$(
        impl $name {
            /// A name that was read somewhere; it need not be one that was given out.
            #[must_use]
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    )*};
}
text!(Tid, Aid, PgToken, PageHash, Address);

macro_rules! secret {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}
secret!(PgToken, PageHash, Address);

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Draws names: the same seed and the same calls give the same names.
#[derive(Debug, Clone)]
pub(super) struct Names(StdRng);

impl Names {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    pub(super) fn tid(&mut self) -> Tid {
        Tid(format!("T{}", self.hex(19)))
    }

    pub(super) fn aid(&mut self) -> Aid {
        Aid(format!("A{}", self.hex(19)))
    }

    pub(super) fn pg_token(&mut self) -> PgToken {
        PgToken(self.hex(20))
    }

    pub(super) fn page(&mut self) -> PageHash {
        PageHash(self.hex(64))
    }

    /// `count` decimal digits.
    pub(super) fn digits(&mut self, count: usize) -> String {
        (0..count).map(|_| char::from(b'0' + (self.0.next_u32() % 10) as u8)).collect()
    }

    fn hex(&mut self, digits: usize) -> String {
        let mut text = String::with_capacity(digits + 16);
        while text.len() < digits {
            // Writing to a string does not fail.
            let _ = write!(text, "{:016x}", self.0.next_u64());
        }
        text.truncate(digits);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_shapes_of_real_ones() {
        let mut names = Names::new(7);
        let hex = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        for (text, first, length) in
            [(names.tid().0, "T", 20), (names.aid().0, "A", 20), (names.pg_token().0, "", 20), (names.page().0, "", 64)]
        {
            assert_eq!(text.len(), length, "{text}");
            assert!(text.strip_prefix(first).is_some_and(hex), "{text}");
        }
        assert!(names.digits(8).bytes().all(|b| b.is_ascii_digit()));
    }

    #[test]
    fn the_seed_is_all_that_names_depend_on() {
        let drawn = |seed| {
            let mut names = Names::new(seed);
            (names.tid(), names.aid(), names.page())
        };
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }

    #[test]
    fn what_opens_a_page_or_a_payment_is_not_printed() {
        let mut names = Names::new(7);
        let (token, page, address) = (names.pg_token(), names.page(), Address::new("http://shop/secret"));
        let printed = format!("{token:?} {page:?} {address:?}");
        assert_eq!(printed, "PgToken(..) PageHash(..) Address(..)");
    }
}
