//! Products: what an owner keeps of each, its stock and its sale.

use crate::arena::Arena;
use crate::ids::{CustomerId, Sku};
use crate::index::Index;
use crate::money::Won;
use crate::time::Time;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

/// The longest product name, in bytes of UTF-8.
pub const MAX_NAME_BYTES: usize = 200;
/// The most units of one product in one order.
pub const MAX_QUANTITY: u32 = 100_000;
/// The most units of one product ever supplied; keeps every sum inside an `i64`.
pub const MAX_UNITS: u64 = 1_000_000_000_000;

/// Where a product's units are. `on hand = supplied − sold`, `available = on hand − held`;
/// none is ever negative (see [`crate::invariants`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stock {
    /// Every unit ever received, less those taken out by an adjustment.
    pub supplied: u64,
    /// Units under an unpaid order.
    pub held: u64,
    /// Units under a confirmed order.
    pub sold: u64,
}

impl Stock {
    /// Units in the shop: `supplied − sold`.
    #[must_use]
    pub const fn on_hand(&self) -> u64 {
        self.supplied.saturating_sub(self.sold)
    }

    /// Units that a new order may take: `on hand − held`.
    #[must_use]
    pub const fn available(&self) -> u64 {
        self.on_hand().saturating_sub(self.held)
    }
}

/// A flash sale's terms: what an admin sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SaleTerms {
    /// The first instant at which the product sells.
    pub opens_at: Time,
    /// The first instant at which it no longer does; after `opens_at`.
    pub closes_at: Time,
    /// The unit price inside the window.
    pub price: Won,
    /// The most units one customer may hold or have bought in this sale; at least 1.
    pub per_customer_limit: u32,
}

/// A sale in force, with what each customer has taken in it.
#[derive(Debug, Clone)]
pub(crate) struct Sale {
    /// Its number among the partition's sales. An order line remembers it, so that a
    /// line from a deleted sale never counts in the next.
    pub number: u32,
    /// What was set.
    pub terms: SaleTerms,
    /// Units held or bought by each customer.
    pub taken: Taken,
}

/// Units by customer; none has zero.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    by_customer: Index,
    units: Arena<(CustomerId, u32)>,
}

impl Taken {
    /// Nobody has any; `seed` as for the maps.
    pub(crate) fn new(seed: u64) -> Self {
        Self { by_customer: Index::new(seed), units: Arena::new() }
    }

    /// Units of `customer`.
    pub(crate) fn by(&self, customer: &CustomerId) -> u32 {
        self.place_of(customer).and_then(|at| self.units.get(at)).map_or(0, |(_, units)| *units)
    }

    /// Every customer with their units, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(CustomerId, u32)> {
        self.units.iter()
    }

    pub(crate) fn add(&mut self, customer: &CustomerId, more: u32) {
        if more == 0 {
            return;
        }
        if let Some((_, units)) = self.place_of(customer).and_then(|at| self.units.get_mut(at)) {
            *units = units.saturating_add(more);
            return;
        }
        let at = self.units.insert((customer.clone(), more));
        self.by_customer.insert(self.by_customer.hash(customer), at, |_| false);
    }

    /// False if the customer had not as many; then none is left.
    pub(crate) fn give_back(&mut self, customer: &CustomerId, fewer: u32) -> bool {
        let Some(at) = self.place_of(customer) else { return fewer == 0 };
        let Some((_, units)) = self.units.get_mut(at) else { return false };
        let fits = *units >= fewer;
        *units = units.saturating_sub(fewer);
        if *units == 0 {
            self.by_customer.remove(self.by_customer.hash(customer), |place| place == at);
            self.units.remove(at);
        }
        fits
    }

    fn place_of(&self, customer: &CustomerId) -> Option<u32> {
        let hash = self.by_customer.hash(customer);
        self.by_customer.get(hash, |at| self.units.get(at).is_some_and(|(known, _)| known == customer))
    }
}

/// A product as its owner keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    /// Its name in every call.
    pub sku: Sku,
    /// Its name for people.
    pub name: CompactString,
    /// The unit price outside a sale.
    pub price: Won,
    /// Where its units are.
    pub stock: Stock,
    /// Its flash sale. With a sale, the product sells only inside the window.
    pub sale: Option<Box<Sale>>,
}

/// A product as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductView {
    /// Its name in every call.
    pub sku: Sku,
    /// Its name for people.
    pub name: CompactString,
    /// The unit price outside a sale.
    pub price: Won,
    /// Where its units are.
    pub stock: Stock,
    /// Its flash sale's terms.
    pub sale: Option<SaleTerms>,
}

impl Product {
    /// The product as it is shown.
    pub(crate) fn view(&self) -> ProductView {
        ProductView {
            sku: self.sku.clone(),
            name: self.name.clone(),
            price: self.price,
            stock: self.stock,
            sale: self.sale.as_ref().map(|sale| sale.terms),
        }
    }
}
