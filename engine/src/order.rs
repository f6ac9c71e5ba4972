//! Orders as their owner keeps them.

use crate::Lsn;
use crate::attempt::PaymentView;
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
    /// Its shopper is about to pay; units are set aside until the deadline.
    Paying,
    /// Its shopper authorised the payment; units are set aside until the gateway's answer,
    /// whatever the clock says.
    Approving,
    /// All of its money was given back.
    Refunded,
}

impl OrderStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Opening,
        Self::Held,
        Self::Confirmed,
        Self::Cancelled,
        Self::Expired,
        Self::Paying,
        Self::Approving,
        Self::Refunded,
    ];

    /// The status as it stands in the API and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Held => "held",
            Self::Confirmed => "confirmed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Paying => "paying",
            Self::Approving => "approving",
            Self::Refunded => "refunded",
        }
    }

    /// Reads [`OrderStatus::as_str`] back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Whether anybody sees an order in this state.
    #[must_use]
    pub const fn is_shown(self) -> bool {
        !matches!(self, Self::Opening)
    }

    /// Whether units are still set aside for the order.
    #[must_use]
    pub const fn holds_units(self) -> bool {
        matches!(self, Self::Opening | Self::Held | Self::Paying | Self::Approving)
    }

    /// Whether the clock ends the order's hold.
    #[must_use]
    pub const fn has_deadline(self) -> bool {
        matches!(self, Self::Opening | Self::Held | Self::Paying)
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

/// Lines with their prices; most orders have one, so room for it is kept inline.
pub type PricedLines = SmallVec<[PricedLine; 1]>;

/// A line inside a partition: the product by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Index of the product in its partition.
    pub product: u32,
    /// Units; at least 1.
    pub quantity: u32,
    /// The price of one unit when the order was placed.
    pub unit_price: Won,
    /// The number of the sale the units were taken in; 0 for none.
    pub sale: u32,
}

/// An order at home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    pub id: OrderId,
    pub customer: CustomerId,
    /// The idempotency key it was placed under.
    pub key: RequestKey,
    /// The lines that home owns.
    pub lines: SmallVec<[Line; 1]>,
    /// What other partitions have to do with it; most orders spare the room.
    pub elsewhere: Option<Box<Elsewhere>>,
    /// The sum over all lines; fixed when the order is placed.
    pub total: Won,
    pub status: OrderStatus,
    pub placed_at: Time,
    /// When an unpaid order gives its units back; fixed when the order is placed.
    pub deadline: Time,
    /// When it was confirmed, cancelled or expired; meaningless before.
    pub ended_at: Time,
    /// The last event that changed it.
    pub lsn: Lsn,
}

/// An order's lines that other partitions own, as its home keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Elsewhere {
    /// Who was asked for a part, in the order of the request.
    pub asked: Vec<PartitionId>,
    /// The held lines; empty until everybody has answered.
    pub lines: Vec<PricedLine>,
}

impl Order {
    /// The other partitions that were asked for a part.
    pub(crate) fn asked(&self) -> &[PartitionId] {
        self.elsewhere.as_ref().map_or(&[], |elsewhere| &elsewhere.asked)
    }

    /// What the event that ends it will repeat.
    pub(crate) fn open_lines(&self) -> usize {
        self.lines.len() + self.asked().len()
    }

    /// The lines that other partitions hold for it.
    pub(crate) fn lines_elsewhere(&self) -> &[PricedLine] {
        self.elsewhere.as_ref().map_or(&[], |elsewhere| &elsewhere.lines)
    }
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
pub(crate) struct Part {
    /// Whose order it is; `None` for a part that was released before it was asked for.
    pub customer: Option<CustomerId>,
    /// The lines that this partition owns.
    pub lines: SmallVec<[Line; 1]>,
    pub status: PartStatus,
}

/// An order as it is shown: what an answer says and what the database keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderView {
    /// Its id; names the home partition.
    pub id: OrderId,
    /// Whose it is.
    pub customer: CustomerId,
    /// Where it stands.
    pub status: OrderStatus,
    /// All lines, by sku.
    pub lines: PricedLines,
    /// The sum over all lines.
    pub total: Won,
    /// When it was placed.
    pub placed_at: Time,
    /// When an unpaid order gives its units back.
    pub deadline: Time,
    /// When it was confirmed, cancelled or expired.
    pub ended_at: Option<Time>,
    /// Its attempts and refunds, once there are any.
    pub payment: Option<Box<PaymentView>>,
    /// The last event that changed it, in its home's journal.
    pub lsn: Lsn,
}
