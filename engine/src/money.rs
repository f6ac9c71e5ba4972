//! Money: whole won, nothing smaller, never a float.

use serde::{Deserialize, Serialize};

/// The only currency, by its ISO 4217 code; named in every answer that has an amount.
pub const CURRENCY: &str = "KRW";

/// An integer number of won. Arithmetic is checked: an overflow is a refusal, not a wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Won(pub i64);

impl Won {
    /// The highest unit price that is taken: ten billion won. A hundred lines of the
    /// largest quantity at this price still fit an `i64`.
    pub const MAX_PRICE: Self = Self(10_000_000_000);

    /// `self × quantity`, or `None` if it does not fit.
    #[must_use]
    pub fn times(self, quantity: u32) -> Option<Self> {
        self.0.checked_mul(i64::from(quantity)).map(Self)
    }

    /// `self + other`, or `None` if it does not fit.
    #[must_use]
    pub fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}
