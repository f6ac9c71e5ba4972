//! The SQL, in the words that SQLite, MariaDB and MySQL have in common.
//!
//! A statement for many rows exists in a few fixed sizes, so that each is prepared once
//! for a connection and then reused, whatever the size of a batch.

use super::pay_statements::PaymentStatements;
use std::fmt::Write;

/// Rows in one insert, from large to small; the last is 1. A batch is cut greedily: of
/// sizes 512, 128, 32, 8 and 1, 700 rows are 512, 128, 32, three times 8 and four times 1.
pub(super) type Sizes = &'static [usize];

/// Rows in one `CASE` update: a row costs a search among the others of its statement, so
/// these are smaller.
pub(super) const CHANGES: [usize; 4] = [64, 16, 4, 1];

/// One statement in the dialect's sizes.
#[derive(Debug)]
pub(super) struct Insert {
    pub columns: usize,
    pub sql: Vec<String>,
}

impl Insert {
    pub(super) fn new(sizes: Sizes, into: &str, columns: usize, tail: &str) -> Self {
        let row = format!("({})", vec!["?"; columns].join(","));
        let statement =
            |&rows: &usize| format!("INSERT INTO {into} VALUES {}{tail}", vec![row.as_str(); rows].join(","));
        let sql = sizes.iter().map(statement).collect();
        Self { columns, sql }
    }
}

/// One statement in the sizes of [`CHANGES`].
#[derive(Debug)]
pub(super) struct Update {
    pub sql: [String; CHANGES.len()],
}

impl Update {
    /// `set` names each column with what goes before its `CASE`.
    pub(super) fn new(table: &str, constant: &str, set: &[(&str, &str)], key: &str, and: &str) -> Self {
        let sql = CHANGES.map(|rows| {
            let mut sql = format!("UPDATE {table} SET {constant}");
            for (at, (column, before)) in set.iter().enumerate() {
                let comma = if at == 0 { "" } else { ", " };
                // Writing to a String cannot fail.
                let _ = write!(sql, "{comma}{column} = {before}CASE {key}{} END", " WHEN ? THEN ?".repeat(rows));
            }
            let _ = write!(sql, " WHERE {key} IN ({}){and}", vec!["?"; rows].join(","));
            sql
        });
        Self { sql }
    }
}

/// A statement with one list of keys, in the dialect's sizes.
#[derive(Debug)]
pub(super) struct ByKeys {
    pub sql: Vec<String>,
}

impl ByKeys {
    pub(super) fn new(sizes: Sizes, head: &str, tail: &str) -> Self {
        let statement = |&rows: &usize| format!("{head} IN ({}){tail}", vec!["?"; rows].join(","));
        Self { sql: sizes.iter().map(statement).collect() }
    }
}

/// Everything that a batch can need.
#[derive(Debug)]
pub(super) struct Statements {
    /// The sizes of inserts and lists of keys.
    pub rows: Sizes,
    pub products: Insert,
    pub stock: Update,
    pub held: Update,
    pub adjustments: Insert,
    pub sales: Insert,
    pub orders: Insert,
    pub lines: Insert,
    pub placed: Update,
    pub ended: Update,
    pub moved: Update,
    pub touched: Update,
    pub refused_orders: ByKeys,
    pub refused_lines: ByKeys,
    pub part_lines: Insert,
    pub ended_parts: Update,
    pub timeline: Insert,
    pub lines_of: ByKeys,
    pub payments: PaymentStatements,
}

impl Statements {
    /// `upsert_sale` is the tail that makes an insert into `sales` an update where the row
    /// is there: the one thing that the dialects say differently.
    pub(super) fn new(rows: Sizes, upsert_sale: &str) -> Self {
        Self {
            rows,
            products: Insert::new(
                rows,
                "products (sku, partition_id, name, price, supplied, held, sold, created_at)",
                8,
                "",
            ),
            stock: Update::new(
                "products",
                "",
                &[("supplied", "supplied + "), ("held", "held + "), ("sold", "sold + ")],
                "sku",
                "",
            ),
            held: Update::new("products", "", &[("held", "held + ")], "sku", ""),
            adjustments: Insert::new(
                rows,
                "stock_adjustments (partition_id, lsn, sku, delta, reason, adjusted_at)",
                6,
                "",
            ),
            sales: Insert::new(
                rows,
                "sales (sku, number, opens_at, closes_at, price, per_customer_limit, changed_at, deleted_at)",
                8,
                upsert_sale,
            ),
            orders: Insert::new(
                rows,
                "orders (id, partition_id, customer_id, status, total, placed_at, expires_at, ended_at, lsn)",
                9,
                "",
            ),
            lines: Insert::new(rows, "order_lines (order_id, sku, quantity, unit_price, sale_number)", 5, ""),
            placed: Update::new(
                "orders",
                "status = 'held', ",
                &[("total", ""), ("lsn", "")],
                "id",
                " AND status = 'opening'",
            ),
            ended: Update::new(
                "orders",
                "",
                &[("status", ""), ("ended_at", ""), ("lsn", "")],
                "id",
                " AND status IN ('held', 'paying', 'approving')",
            ),
            moved: Update::new(
                "orders",
                "",
                &[("status", ""), ("lsn", "")],
                "id",
                " AND status IN ('held', 'paying', 'approving', 'confirmed')",
            ),
            touched: Update::new("orders", "", &[("lsn", "")], "id", " AND status <> 'opening'"),
            refused_orders: ByKeys::new(rows, "DELETE FROM orders WHERE id", " AND status = 'opening'"),
            refused_lines: ByKeys::new(rows, "DELETE FROM order_lines WHERE order_id", ""),
            part_lines: Insert::new(
                rows,
                "part_lines (order_id, sku, quantity, unit_price, sale_number, partition_id, customer_id, status, \
                 held_at, ended_at)",
                10,
                "",
            ),
            ended_parts: Update::new(
                "part_lines",
                "",
                &[("status", ""), ("ended_at", "")],
                "order_id",
                " AND partition_id = ? AND status = 'held'",
            ),
            timeline: Insert::new(rows, "timeline (order_id, partition_id, lsn, at, event, detail)", 6, ""),
            lines_of: ByKeys::new(
                rows,
                "SELECT order_id, sku, quantity, unit_price, sale_number FROM order_lines WHERE order_id",
                " ORDER BY order_id, sku",
            ),
            payments: PaymentStatements::new(rows),
        }
    }
}

pub(super) const DELETE_SALE: &str = "UPDATE sales SET deleted_at = ? WHERE sku = ? AND deleted_at IS NULL";

pub(super) const POSITION: &str = "SELECT partition_id, journal_id, lsn, chain FROM positions WHERE partition_id = ?";
pub(super) const POSITIONS: &str = "SELECT partition_id, journal_id, lsn, chain FROM positions ORDER BY partition_id";
pub(super) const FIRST_POSITION: &str =
    "INSERT INTO positions (journal_id, lsn, chain, last_event_at, partition_id) VALUES (?, ?, ?, ?, ?)";
pub(super) const MOVE_POSITION: &str = "UPDATE positions SET journal_id = ?, lsn = ?, chain = ?, \
     last_event_at = COALESCE(?, last_event_at) WHERE partition_id = ? AND journal_id = ? AND lsn = ? AND chain = ?";

macro_rules! orders {
    ($rest:literal) => {
        concat!("SELECT id, customer_id, status, total, placed_at, expires_at, ended_at, lsn FROM orders ", $rest)
    };
}

pub(super) const ORDER: &str = orders!("WHERE id = ? AND status <> 'opening'");
pub(super) const ORDERS_NEWEST: &str = orders!("WHERE status <> 'opening' ORDER BY placed_at DESC, id DESC LIMIT ?");
pub(super) const ORDERS_OLDER: &str = orders!(
    "WHERE status <> 'opening' AND placed_at <= ? AND (placed_at < ? OR id < ?) ORDER BY placed_at DESC, id DESC LIMIT ?"
);
pub(super) const CUSTOMER_NEWEST: &str =
    orders!("WHERE customer_id = ? AND status <> 'opening' ORDER BY placed_at DESC, id DESC LIMIT ?");
pub(super) const CUSTOMER_OLDER: &str = orders!(
    "WHERE customer_id = ? AND status <> 'opening' AND placed_at <= ? AND (placed_at < ? OR id < ?) \
     ORDER BY placed_at DESC, id DESC LIMIT ?"
);
pub(super) const ORDERS_AUDIT: &str = orders!("WHERE id > ? ORDER BY id LIMIT ?");
pub(super) const LINES_AUDIT: &str = "SELECT order_id, sku, quantity, unit_price, sale_number FROM order_lines \
     WHERE order_id > ? AND order_id <= ? ORDER BY order_id, sku";
pub(super) const PRODUCTS_AUDIT: &str = "SELECT sku, partition_id, name, price, supplied, held, sold FROM products \
     WHERE sku > ? ORDER BY sku LIMIT ?";
pub(super) const SALES_AUDIT: &str = "SELECT sku, number, opens_at, closes_at, price, per_customer_limit FROM sales \
     WHERE sku > ? AND sku <= ? AND deleted_at IS NULL ORDER BY sku";
