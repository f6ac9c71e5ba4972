//! What goes into a store and what comes out of it.

use crate::Position;
use son7shop_engine::payment::{GatewayRef, PaymentMethod};
use son7shop_engine::{
    AttemptStatus, CustomerId, Lsn, OrderId, OrderView, PartitionId, Record, SaleTerms, Sku, Stock, Time, Won,
};
use std::ops::ControlFlow;

/// Consecutive events of one partition, and the positions before and after them. Both
/// positions are ends of journal frames.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// Whose events they are.
    pub partition: PartitionId,
    /// Where the database stands; `None` for a partition's first batch.
    pub before: Option<Position>,
    /// Where it will stand; `after.lsn` is `before.lsn + records.len()`.
    pub after: Position,
    /// The events, in order; none where only the chain moved (a frame without records).
    pub records: &'a [Record],
}

impl Batch<'_> {
    /// The LSN of the first event.
    #[must_use]
    pub fn first_lsn(&self) -> Lsn {
        self.before.map_or(Lsn(0), |before| before.lsn).next()
    }
}

/// Where a page ends: the last order on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderCursor {
    /// When that order was placed.
    pub placed_at: Time,
    /// Its id.
    pub id: OrderId,
}

/// Where a page of attempts ends: the last one on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentCursor {
    /// Its order.
    pub order: OrderId,
    /// Its number.
    pub attempt: u32,
}

/// An attempt that a gateway has a name for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentReference {
    /// Its order.
    pub order: OrderId,
    /// Its number.
    pub attempt: u32,
    /// How it is paid: which gateway knows it.
    pub method: PaymentMethod,
    /// The gateway's name of it.
    pub reference: GatewayRef,
    /// What it was to take.
    pub amount: Won,
    /// Where it stands.
    pub status: AttemptStatus,
    /// What was taken, if anything was.
    pub captured: Option<Won>,
    /// What was given back of it.
    pub refunded: Won,
}

/// Which orders a page shows.
#[derive(Debug, Clone, Copy)]
pub struct OrdersPage<'a> {
    /// Only this customer's orders; `None` for everybody's.
    pub customer: Option<&'a CustomerId>,
    /// Only orders older than this one; `None` for the newest.
    pub after: Option<OrderCursor>,
    /// The most orders to return.
    pub limit: u32,
}

/// A product as the database has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductRow {
    /// Its name in every call.
    pub sku: Sku,
    /// Who owns it.
    pub partition: PartitionId,
    /// Its name for people.
    pub name: String,
    /// The unit price outside a sale.
    pub price: Won,
    /// Where its units are.
    pub stock: Stock,
    /// Its sale in force.
    pub sale: Option<SaleRow>,
}

/// A sale in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SaleRow {
    /// Its number among the partition's sales.
    pub number: u32,
    /// What was set.
    pub terms: SaleTerms,
}

/// What an audit shows, one at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditRow {
    /// Where the database stands in a partition's journal.
    Position(PartitionId, Position),
    /// A product, with its stock and its sale.
    Product(ProductRow),
    /// An order, with its lines and payments; without the addresses of payment pages.
    Order(OrderView),
}

/// Takes an audit's rows; `Break` ends it.
pub type AuditSink<'a> = &'a mut (dyn FnMut(AuditRow) -> ControlFlow<()> + Send);
