//! Refusals: the named ways of saying no. A refusal is a value, not a breakage; it
//! changes nothing and is not remembered, so the same key may be accepted later.

use crate::ids::{OrderId, PartitionId, Sku};
use crate::order::OrderStatus;
use crate::time::Time;
use serde::{Deserialize, Serialize};

/// Why a command changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// No such product.
    #[error("there is no product '{sku}'")]
    UnknownProduct {
        /// What was asked for.
        sku: Sku,
    },
    /// The sku is taken.
    #[error("there is a product '{sku}' already")]
    ProductExists {
        /// What was asked for.
        sku: Sku,
    },
    /// Fewer units are available than were asked for.
    #[error("'{sku}' has {available} available, {requested} were asked for")]
    SoldOut {
        /// The product.
        sku: Sku,
        /// Units asked for.
        requested: u32,
        /// Units that could have been had.
        available: u64,
    },
    /// The customer would hold more than the sale allows.
    #[error("'{sku}' sells at most {limit} to a customer; {taken} taken, {requested} asked for")]
    LimitReached {
        /// The product.
        sku: Sku,
        /// Units asked for.
        requested: u32,
        /// Units held or bought before.
        taken: u32,
        /// The sale's limit.
        limit: u32,
    },
    /// The sale has not begun.
    #[error("the sale of '{sku}' is not open yet")]
    SaleNotOpen {
        /// The product.
        sku: Sku,
        /// When it opens.
        opens_at: Time,
    },
    /// The sale has ended and was not deleted.
    #[error("the sale of '{sku}' is over")]
    SaleOver {
        /// The product.
        sku: Sku,
        /// When it closed.
        closed_at: Time,
    },
    /// There is no sale to delete.
    #[error("'{sku}' is not on sale")]
    NoSale {
        /// The product.
        sku: Sku,
    },
    /// No such order, or none that the requester may see.
    #[error("there is no order {order}")]
    UnknownOrder {
        /// What was asked for.
        order: OrderId,
    },
    /// The order's state does not allow it.
    #[error("the order is {}", status.as_str())]
    WrongState {
        /// Where the order stands.
        status: OrderStatus,
    },
    /// The request under this key has not been answered yet.
    #[error("the request under this idempotency key is still running")]
    StillRunning,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The adjustment would leave fewer units on hand than are held, or more than can be counted.
    #[error("'{sku}' has {on_hand} on hand and {held} held; the change does not fit")]
    StockOutOfRange {
        /// The product.
        sku: Sku,
        /// Units in the shop.
        on_hand: u64,
        /// Units under unpaid orders.
        held: u64,
    },
    /// The order's total does not fit.
    #[error("the order's total is too large")]
    TotalTooLarge,
    /// The order's id is taken; the caller draws another.
    #[error("the order id is taken")]
    OrderIdTaken,
    /// The deadline came before every partition had answered.
    #[error("the order's deadline came before it could be placed")]
    DeadlineBeforePlaced,
    /// Another partition did not answer for its part in time.
    #[error("partition {partition} did not answer in time")]
    PartUnanswered {
        /// Which.
        partition: PartitionId,
    },
    /// The part was ended by home before it was asked for.
    #[error("the part was ended before it was asked for")]
    PartEnded,
    /// The part holds its units yet: it has not heard that its order was paid.
    #[error("the part has not heard that its order was paid")]
    PartHeld,
    /// The order costs nothing.
    #[error("the order costs nothing; there is nothing to pay")]
    NothingToPay,
    /// The order had as many attempts at paying it as it may have.
    #[error("the order was tried to pay {attempts} times; it may not be tried again")]
    TooManyAttempts {
        /// How many.
        attempts: u32,
    },
    /// No gateway took money for the order, or all of it went back.
    #[error("no money was taken for the order that could be given back")]
    NothingToRefund,
    /// A refund of the order is under way.
    #[error("refund {refund} of the order is under way; one at a time")]
    RefundUnderWay {
        /// Which.
        refund: u32,
    },
    /// The order had as many refunds as it may have.
    #[error("the order was refunded {refunds} times; it may not be refunded again")]
    TooManyRefunds {
        /// How many.
        refunds: u32,
    },
    /// More money than is left, or none.
    #[error("{left} won are left to give back, {asked} were asked for")]
    RefundOutOfRange {
        /// Won that are left.
        left: i64,
        /// Won asked for.
        asked: i64,
    },
    /// More units of a product than the order has left.
    #[error("'{sku}' has {left} units left to refund, {asked} were asked for")]
    UnitsOutOfRange {
        /// The product.
        sku: Sku,
        /// Units that are left.
        left: u32,
        /// Units asked for.
        asked: u32,
    },
    /// The order has no such step open.
    #[error("the order has no such step open")]
    NoSuchStep,
    /// The step cannot be ended in this way.
    #[error("this cannot be done about this step")]
    WrongStep,
}

impl Refusal {
    /// Whether the refusal tells something of an order or a key, which may still be on its
    /// way to the disk. "Sold out", "over the limit" and "not open" promise nothing.
    #[must_use]
    pub const fn tells_state(&self) -> bool {
        !matches!(
            self,
            Self::SoldOut { .. }
                | Self::LimitReached { .. }
                | Self::SaleNotOpen { .. }
                | Self::SaleOver { .. }
                | Self::TotalTooLarge
                | Self::OrderIdTaken
                | Self::StillRunning
        )
    }
}
