//! Sums of money as the protocol writes them, and the tax in them. It must never round twice.

use serde::{Deserialize, Serialize};
use son7shop_engine::Won;

/// What a sum is made of, in won.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Amount {
    /// All of it.
    pub total: Won,
    /// The part without tax.
    pub tax_free: Won,
    /// The tax in the rest.
    pub vat: Won,
    /// Paid with points; the sandbox has none.
    pub point: Won,
    /// Given as a discount; the sandbox gives none.
    pub discount: Won,
    /// The deposit for a cup.
    pub green_deposit: Won,
}

impl Amount {
    /// Part by part.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.with(other, i64::saturating_add)
    }

    /// Part by part.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.with(other, i64::saturating_sub)
    }

    fn with(self, other: Self, both: fn(i64, i64) -> i64) -> Self {
        let part = |one: Won, two: Won| Won(both(one.0, two.0));
        Self {
            total: part(self.total, other.total),
            tax_free: part(self.tax_free, other.tax_free),
            vat: part(self.vat, other.vat),
            point: part(self.point, other.point),
            discount: part(self.discount, other.discount),
            green_deposit: part(self.green_deposit, other.green_deposit),
        }
    }
}

/// The tax in `total` where none is given: an eleventh of what is taxed, half up. Neither may be
/// negative.
#[must_use]
pub fn vat_of(total: Won, tax_free: Won) -> Won {
    let taxed = total.0.saturating_sub(tax_free.0);
    // Of eleven parts five are less than a half, six are more.
    Won(taxed / 11 + i64::from(taxed % 11 >= 6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tax_is_an_eleventh_rounded_half_up() {
        let rows = [
            (270_600, 0, 24_600),
            (10_000, 0, 909),
            (1_100, 0, 100),
            (1_100_000, 0, 100_000),
            (5, 0, 0),
            (6, 0, 1),
            (16, 0, 1),
            (17, 0, 2),
            (10_000, 10_000, 0),
            (10_000, 9_994, 1),
            (i64::MAX, 0, i64::MAX / 11 + 1),
        ];
        for (total, tax_free, vat) in rows {
            assert_eq!(vat_of(Won(total), Won(tax_free)), Won(vat), "{total} with {tax_free} free");
        }
    }

    #[test]
    fn sums_are_taken_part_by_part() {
        let one = Amount { total: Won(10), tax_free: Won(3), vat: Won(1), ..Amount::default() };
        let two = Amount { total: Won(4), green_deposit: Won(2), ..Amount::default() };
        assert_eq!(one.plus(two).minus(two), one);
        assert_eq!(one.plus(two).total, Won(14));
        assert_eq!(one.minus(two).green_deposit, Won(-2));
    }
}
