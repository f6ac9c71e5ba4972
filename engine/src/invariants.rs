//! What must hold of a partition after every step, by number. Tests, simulation and
//! metrics ask the same question here.

use crate::Lsn;
use crate::ids::{OrderId, Sku};
use crate::order::OrderStatus;
use crate::partition::Partition;

/// A broken invariant. Each variant's text begins with its number, which never changes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// 1: available + held + sold = supplied, none negative.
    #[error("1 conservation: '{sku}' has {held} held and {sold} sold of {supplied} supplied")]
    Conservation {
        /// The product.
        sku: Sku,
        /// Units ever received.
        supplied: u64,
        /// Units under unpaid orders.
        held: u64,
        /// Units under confirmed orders.
        sold: u64,
    },
    /// 2: held is the sum over the orders and parts that hold units.
    #[error("2 holds: '{sku}' has {held} held, its orders hold {ordered}")]
    Holds {
        /// The product.
        sku: Sku,
        /// Units under unpaid orders, by the stock.
        held: u64,
        /// Units under unpaid orders, by the orders.
        ordered: u64,
    },
    /// 3: sold is at least the sum over the confirmed orders and parts that are remembered.
    #[error("3 sales: '{sku}' has {sold} sold, its confirmed orders took {ordered}")]
    Sold {
        /// The product.
        sku: Sku,
        /// Units sold, by the stock.
        sold: u64,
        /// Units sold, by the orders.
        ordered: u64,
    },
    /// 4: what a sale counts for a customer covers what its remembered orders took in it.
    #[error("4 limits: the sale of '{sku}' counts {counted}, its orders took {ordered}")]
    Limits {
        /// The product.
        sku: Sku,
        /// Units by the sale's counts.
        counted: u64,
        /// Units by the orders.
        ordered: u64,
    },
    /// 5: one key, one order.
    #[error("5 exactly once: order {order} is not the one that its key leads to")]
    ExactlyOnce {
        /// The order.
        order: OrderId,
    },
    /// 6: every order that holds units has its deadline ahead, and no hold that has ended hides it.
    #[error("6 deadlines: order {order} holds units and nothing will end it")]
    Deadlines {
        /// The order.
        order: OrderId,
    },
    /// 7: every event fitted the state that it met.
    #[error("7 history: the event at {lsn} did not fit the state; this journal cannot have come about")]
    History {
        /// The first event that did not fit.
        lsn: Lsn,
    },
    /// 8: the numbers of open holds and of their lines are what the orders and parts say.
    #[error(
        "8 open holds: {counted} with {counted_lines} lines are counted, \
        {open} orders and parts hold units, with {open_lines} lines"
    )]
    OpenHolds {
        /// By the counter.
        counted: usize,
        /// By the orders and parts.
        open: usize,
        /// Their lines, by the counter.
        counted_lines: usize,
        /// Their lines, by the orders and parts.
        open_lines: usize,
    },
    /// 9: the open steps that participants are given are those of the orders' attempts and refunds.
    #[error("9 steps: {indexed} open steps can be found, the orders have {open}; the first that differs is {order}'s")]
    Steps {
        /// By the index.
        indexed: usize,
        /// By the attempts and refunds.
        open: usize,
        /// The order of the first step that is in one of the two only.
        order: OrderId,
    },
    /// 10: an order that is being paid has the one attempt that says so, its newest, with an open step; any
    /// other order has none.
    #[error("10 attempts: order {order} is {}, which its attempts do not say", status.as_str())]
    Attempts {
        /// The order.
        order: OrderId,
        /// Where it stands.
        status: OrderStatus,
    },
    /// 11: no charge without an order: money that was taken has confirmed its order, once, or has a refund of
    /// its own.
    #[error("11 charges: what attempt {attempt} of order {order} took has no use, and no one refund")]
    Charges {
        /// The order.
        order: OrderId,
        /// The attempt's number, from 1.
        attempt: u32,
    },
    /// 12: what was given back of a confirmed order's money is what its refunds say, and at most what was taken.
    #[error("12 refunds: {refunded} won were given back of order {order}, by its refunds {by_refunds}, of {captured}")]
    Refunds {
        /// The order.
        order: OrderId,
        /// Won taken.
        captured: i64,
        /// Won given back, by the attempt.
        refunded: i64,
        /// Won given back, by the refunds that are done.
        by_refunds: i64,
    },
}

/// Looks at the whole partition; the first violation found, if any.
pub fn check(partition: &Partition) -> Result<(), Violation> {
    partition.check_history()?;
    partition.check_stock()?;
    partition.check_orders()?;
    partition.check_payments()
}
