//! The rows and changes that a batch is made of, and in which order each gives its values
//! to a statement of [`super::statements`].

use super::values::Values;
use son7shop_engine::{
    CustomerId, Lsn, OrderId, OrderStatus, PartStatus, PartitionId, PricedLine, SaleTerms, Sku, Time, Won,
};

/// A row to insert.
pub(super) trait Row {
    /// Gives the row's values, in the order of the statement's columns.
    fn give<V: Values>(&self, values: &mut V);
}

/// A change to a row that is there: `SET column = CASE key … END WHERE key IN (…)`.
pub(super) trait Change {
    /// Whose rows change.
    const TABLE: &'static str;
    /// How many columns change.
    const COLUMNS: usize;

    /// Gives the row's key.
    fn key<V: Values>(&self, values: &mut V);

    /// Gives the value of one of the columns, from 0.
    fn column<V: Values>(&self, column: usize, values: &mut V);

    /// Whether there surely are as many rows as [`Change::rows`] says.
    const CERTAIN: bool = true;

    /// How many rows have the key.
    fn rows(&self) -> u64 {
        1
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewProduct<'a> {
    pub sku: &'a Sku,
    pub partition: PartitionId,
    pub name: &'a str,
    pub price: Won,
    pub supplied: i64,
    pub held: i64,
    pub sold: i64,
    pub at: Time,
}

impl Row for NewProduct<'_> {
    fn give<V: Values>(&self, values: &mut V) {
        values.text(self.sku.as_str());
        values.int(self.partition.0.into());
        values.text(self.name);
        values.int(self.price.0);
        values.int(self.supplied);
        values.int(self.held);
        values.int(self.sold);
        values.time(self.at);
    }
}

/// Units to add to what is held of a product. Nearly all that a sale does; a third of the
/// statement that [`StockChange`] needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HeldChange<'a> {
    pub sku: &'a Sku,
    pub held: i64,
}

impl Change for HeldChange<'_> {
    const TABLE: &'static str = "products";
    const COLUMNS: usize = 1;

    fn key<V: Values>(&self, values: &mut V) {
        values.text(self.sku.as_str());
    }

    fn column<V: Values>(&self, _: usize, values: &mut V) {
        values.int(self.held);
    }
}

/// Units to add to a product's columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StockChange<'a> {
    pub sku: &'a Sku,
    pub supplied: i64,
    pub held: i64,
    pub sold: i64,
}

impl Change for StockChange<'_> {
    const TABLE: &'static str = "products";
    const COLUMNS: usize = 3;

    fn key<V: Values>(&self, values: &mut V) {
        values.text(self.sku.as_str());
    }

    fn column<V: Values>(&self, column: usize, values: &mut V) {
        values.int([self.supplied, self.held, self.sold][column]);
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Adjustment<'a> {
    pub partition: PartitionId,
    pub lsn: Lsn,
    pub sku: &'a Sku,
    pub delta: i64,
    pub reason: &'a str,
    pub at: Time,
}

impl Row for Adjustment<'_> {
    fn give<V: Values>(&self, values: &mut V) {
        values.int(self.partition.0.into());
        values.lsn(self.lsn);
        values.text(self.sku.as_str());
        values.int(self.delta);
        values.text(self.reason);
        values.time(self.at);
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sale<'a> {
    pub sku: &'a Sku,
    pub number: u32,
    pub terms: SaleTerms,
    pub changed_at: Time,
    pub deleted_at: Option<Time>,
}

impl Row for Sale<'_> {
    fn give<V: Values>(&self, values: &mut V) {
        values.text(self.sku.as_str());
        values.int(self.number.into());
        values.time(self.terms.opens_at);
        values.time(self.terms.closes_at);
        values.int(self.terms.price.0);
        values.int(self.terms.per_customer_limit.into());
        values.time(self.changed_at);
        values.maybe_time(self.deleted_at);
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewOrder<'a> {
    pub id: OrderId,
    pub partition: PartitionId,
    pub customer: &'a CustomerId,
    pub status: OrderStatus,
    pub total: Won,
    pub placed_at: Time,
    pub expires_at: Time,
    pub ended_at: Option<Time>,
    pub lsn: Lsn,
}

impl<'a> NewOrder<'a> {
    /// An order that was opened `at` its first event.
    pub(super) fn new(
        id: OrderId,
        partition: PartitionId,
        customer: &'a CustomerId,
        (placed_at, lsn): (Time, Lsn),
        expires_at: Time,
    ) -> Self {
        let (status, total, ended_at) = (OrderStatus::Opening, Won(0), None);
        Self { id, partition, customer, status, total, placed_at, expires_at, ended_at, lsn }
    }
}

impl Row for NewOrder<'_> {
    fn give<V: Values>(&self, values: &mut V) {
        values.order(self.id);
        values.int(self.partition.0.into());
        values.text(self.customer.as_str());
        values.text(self.status.as_str());
        values.int(self.total.0);
        values.time(self.placed_at);
        values.time(self.expires_at);
        values.maybe_time(self.ended_at);
        values.lsn(self.lsn);
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrderLine<'a> {
    pub order: OrderId,
    pub line: &'a PricedLine,
}

impl Row for OrderLine<'_> {
    fn give<V: Values>(&self, values: &mut V) {
        values.order(self.order);
        give_line(self.line, values);
    }
}

fn give_line<V: Values>(line: &PricedLine, values: &mut V) {
    values.text(line.sku.as_str());
    values.int(line.quantity.into());
    values.int(line.unit_price.0);
    values.int(line.sale.into());
}

/// A basket of an earlier batch becomes an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub id: OrderId,
    pub total: Won,
    pub lsn: Lsn,
}

impl Change for Placed {
    const TABLE: &'static str = "orders";
    const COLUMNS: usize = 2;

    fn key<V: Values>(&self, values: &mut V) {
        values.order(self.id);
    }

    fn column<V: Values>(&self, column: usize, values: &mut V) {
        match column {
            0 => values.int(self.total.0),
            _ => values.lsn(self.lsn),
        }
    }
}

/// An order of an earlier batch ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrderEnd {
    pub id: OrderId,
    pub status: OrderStatus,
    pub ended_at: Time,
    pub lsn: Lsn,
}

impl Change for OrderEnd {
    const TABLE: &'static str = "orders";
    const COLUMNS: usize = 3;

    fn key<V: Values>(&self, values: &mut V) {
        values.order(self.id);
    }

    fn column<V: Values>(&self, column: usize, values: &mut V) {
        match column {
            0 => values.text(self.status.as_str()),
            1 => values.time(self.ended_at),
            _ => values.lsn(self.lsn),
        }
    }
}

/// An order of an earlier batch stands elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrderMoved {
    pub id: OrderId,
    pub status: OrderStatus,
    pub lsn: Lsn,
}

impl Change for OrderMoved {
    const TABLE: &'static str = "orders";
    const COLUMNS: usize = 2;

    fn key<V: Values>(&self, values: &mut V) {
        values.order(self.id);
    }

    fn column<V: Values>(&self, column: usize, values: &mut V) {
        match column {
            0 => values.text(self.status.as_str()),
            _ => values.lsn(self.lsn),
        }
    }
}

/// Something happened to an order of an earlier batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrderTouched {
    pub id: OrderId,
    pub lsn: Lsn,
}

impl Change for OrderTouched {
    const TABLE: &'static str = "orders";
    const COLUMNS: usize = 1;

    fn key<V: Values>(&self, values: &mut V) {
        values.order(self.id);
    }

    fn column<V: Values>(&self, _: usize, values: &mut V) {
        values.lsn(self.lsn);
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartLine<'a> {
    pub order: OrderId,
    pub partition: PartitionId,
    pub customer: &'a CustomerId,
    pub line: &'a PricedLine,
    pub status: PartStatus,
    pub held_at: Time,
    pub ended_at: Option<Time>,
}

impl Row for PartLine<'_> {
    fn give<V: Values>(&self, values: &mut V) {
        values.order(self.order);
        give_line(self.line, values);
        values.int(self.partition.0.into());
        values.text(self.customer.as_str());
        values.text(part_status(self.status));
        values.time(self.held_at);
        values.maybe_time(self.ended_at);
    }
}

/// A part of an earlier batch ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartEnd {
    pub order: OrderId,
    pub status: PartStatus,
    pub ended_at: Time,
    /// How many lines the part has.
    pub lines: usize,
}

impl Change for PartEnd {
    const TABLE: &'static str = "part_lines";
    const COLUMNS: usize = 2;

    fn key<V: Values>(&self, values: &mut V) {
        values.order(self.order);
    }

    fn column<V: Values>(&self, column: usize, values: &mut V) {
        match column {
            0 => values.text(part_status(self.status)),
            _ => values.time(self.ended_at),
        }
    }

    fn rows(&self) -> u64 {
        self.lines as u64
    }
}

const fn part_status(status: PartStatus) -> &'static str {
    match status {
        PartStatus::Held => "held",
        PartStatus::Confirmed => "confirmed",
        PartStatus::Released => "released",
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TimelineRow {
    pub order: OrderId,
    pub partition: PartitionId,
    pub lsn: Lsn,
    pub at: Time,
    pub event: &'static str,
    pub detail: Option<&'static str>,
}

impl Row for TimelineRow {
    fn give<V: Values>(&self, values: &mut V) {
        values.order(self.order);
        values.int(self.partition.0.into());
        values.lsn(self.lsn);
        values.time(self.at);
        values.text(self.event);
        values.maybe_text(self.detail);
    }
}
