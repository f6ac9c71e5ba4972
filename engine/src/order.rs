//! Orders as their owner keeps them.

use crate::ids::{CustomerId, OrderId, PartitionId, RequestKey, Sku};
use crate::money::Won;
use crate::time::Time;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OrderStatus {
    /// A basket over several partitions whose other owners have not answered yet.
    /// Nobody sees an order in this state.
    Opening,
    /// Units are set aside until the deadline.
    Held,
    /// Paid; its units are sold.
    Confirmed,
    /// Ended by its customer or an admin; its units were given back.
    Cancelled,
    /// Ended by its deadline; its units were given back.
    Expired,
}

impl OrderStatus {
    /// The status as it stands in the API and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Held => "held",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Reads [`OrderStatus::as_str`] back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Opening, Self::Held, Self::Confirmed, Self::Cancelled, Self::Expired]
            .into_iter()
            .find(|status| status.as_str() == text)
    }

    /// Whether units are still set aside for the order.
    #[must_use]
    pub const fn holds_units(self) -> bool {
        matches!(self, Self::Opening | Self::Held)
    }
}

/// A line with its price, as it stands in events, answers and the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricedLine {
    /// The product.
    pub sku: Sku,
    /// Units; at least 1.
    pub quantity: u32,
    /// The price of one unit when the order was placed.
    pub unit_price: Won,
    /// The number of the sale the units were taken in; 0 for none.
    pub sale: u32,
}

/// A line inside a partition: the product by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Index of the product in its partition.
    pub(crate) product: u32,
    /// Units; at least 1.
    pub quantity: u32,
    /// The price of one unit when the order was placed.
    pub unit_price: Won,
    /// The number of the sale the units were taken in; 0 for none.
    pub sale: u32,
}

/// Most orders have one line: room for it is kept inline.
pub(crate) type Lines = SmallVec<[Line; 1]>;

/// An order at home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Its id; names the home partition.
    pub id: OrderId,
    /// Whose it is.
    pub customer: CustomerId,
    /// The idempotency key it was placed under.
    pub key: RequestKey,
    /// The lines that home owns.
    pub(crate) lines: Lines,
    /// The lines that other partitions own, with their prices once those answered.
    pub(crate) parts: Vec<(PartitionId, Vec<PricedLine>)>,
    /// The sum over all lines; fixed when the order is placed.
    pub total: Won,
    /// Where it stands.
    pub status: OrderStatus,
    /// When it was placed.
    pub placed_at: Time,
    /// When an unpaid order gives its units back; fixed when the order is placed.
    pub deadline: Time,
    /// When it was confirmed, cancelled or expired; meaningless before.
    pub ended_at: Time,
}

/// Where a part hold stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartStatus {
    /// Units are set aside until home ends the hold.
    Held,
    /// The order was confirmed: the units are sold.
    Confirmed,
    /// The units were given back, or home ended the part before it was asked for.
    Released,
}

/// The part of another partition's order that this partition owns. It has no deadline
/// of its own: only the order's home ends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Whose order it is; meaningless for a part released before it was asked for.
    pub customer: Option<CustomerId>,
    /// The lines that this partition owns.
    pub(crate) lines: Lines,
    /// Where it stands.
    pub status: PartStatus,
    /// When it ended; meaningless while held.
    pub ended_at: Time,
}
