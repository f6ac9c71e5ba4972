//! Whether the stock is right afterwards: the error as the two graphs of the first shop drew
//! it. Pure.

use super::backend::Shelf;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Verdict {
    /// Units that buyers were told are theirs, less units that the stock lost. Above zero,
    /// units were sold that are still for sale; below, units are gone that nobody bought.
    pub wrong_units: i64,
    /// Units sold beyond those that there were.
    pub oversold: u64,
    /// Units that buyers were told are theirs, less orders written.
    pub missing_orders: i64,
    /// Attempts whose outcome nobody knows: each may explain one wrong unit.
    pub unknown: u64,
}

impl Verdict {
    /// `units` were on the shelf, buyers were told that `sold` are theirs, and of `unknown`
    /// attempts nobody knows.
    pub fn new(units: u64, sold: u64, unknown: u64, shelf: Shelf) -> Self {
        let lost = signed(units) - shelf.left;
        Self {
            wrong_units: signed(sold) - lost,
            oversold: sold.saturating_sub(units),
            missing_orders: signed(sold) - signed(shelf.orders),
            unknown,
        }
    }

    /// Whether nothing is wrong that unknown attempts do not explain.
    pub fn is_right(&self) -> bool {
        let explained = |wrong: i64| wrong <= 0 && wrong.unsigned_abs() <= self.unknown;
        self.oversold == 0 && explained(self.wrong_units) && explained(self.missing_orders)
    }
}

fn signed(units: u64) -> i64 {
    i64::try_from(units).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Units, sold, unknown; left, orders; wrong units, oversold, missing orders, right.
    #[test]
    fn each_error_is_seen_for_what_it_is() {
        for (units, sold, unknown, left, orders, wrong, oversold, missing, right) in [
            (100, 30, 0, 70, 30, 0, 0, 0, true),
            // A read-modify-write that lost two decrements.
            (100, 30, 0, 72, 30, 2, 0, 0, false),
            (10, 12, 0, 0, 12, 2, 2, 0, false),
            // Below zero the stock is right and the sale is not.
            (10, 12, 0, -2, 12, 0, 2, 0, false),
            // One answer was lost; its unit is gone.
            (100, 30, 1, 69, 31, -1, 0, -1, true),
            (100, 30, 0, 69, 31, -1, 0, -1, false),
            // An order that was acknowledged is not there.
            (100, 30, 0, 70, 29, 0, 0, 1, false),
        ] {
            let verdict = Verdict::new(units, sold, unknown, Shelf { left, orders });
            assert_eq!(verdict, Verdict { wrong_units: wrong, oversold, missing_orders: missing, unknown });
            assert_eq!(verdict.is_right(), right, "{verdict:?}");
        }
    }
}
