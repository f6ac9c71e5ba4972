//! The SQL, in the words that SQLite, MariaDB and MySQL have in common.
//!
//! A statement for many rows exists in a few fixed sizes, so that each is prepared once
//! for a connection and then reused, whatever the size of a batch.

use std::fmt::Write;

/// Rows in one insert, from large to small. A batch is cut greedily: 700 rows are one
/// statement of 512, one of 128, one of 32, three of 8 and four of 1.
pub(super) const ROWS: [usize; 5] = [512, 128, 32, 8, 1];
/// Rows in one `CASE` update: a row costs a search among the others of its statement, so
/// these are smaller.
pub(super) const CHANGES: [usize; 4] = [64, 16, 4, 1];

/// One statement in the sizes of [`ROWS`].
#[derive(Debug)]
pub(super) struct Insert {
    pub columns: usize,
    pub sql: [String; ROWS.len()],
}

impl Insert {
    fn new(into: &str, columns: usize, tail: &str) -> Self {
        let row = format!("({})", vec!["?"; columns].join(","));
        let sql = ROWS.map(|rows| format!("INSERT INTO {into} VALUES {}{tail}", vec![row.as_str(); rows].join(",")));
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
    fn new(table: &str, constant: &str, set: &[(&str, &str)], key: &str, and: &str) -> Self {
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

/// A statement with one list of keys, in the sizes of [`ROWS`].
#[derive(Debug)]
pub(super) struct ByKeys {
    pub sql: [String; ROWS.len()],
}

impl ByKeys {
    fn new(head: &str, tail: &str) -> Self {
        Self { sql: ROWS.map(|rows| format!("{head} IN ({}){tail}", vec!["?"; rows].join(","))) }
    }
}

/// Everything that a batch can need.
#[derive(Debug)]
pub(super) struct Statements {
    pub products: Insert,
    pub stock: Update,
    pub adjustments: Insert,
    pub sales: Insert,
    pub orders: Insert,
    pub lines: Insert,
    pub placed: Update,
    pub ended: Update,
    pub refused_orders: ByKeys,
    pub refused_lines: ByKeys,
    pub part_lines: Insert,
    pub ended_parts: Update,
    pub timeline: Insert,
    pub lines_of: ByKeys,
}

impl Statements {
    /// `upsert_sale` is the tail that makes an insert into `sales` an update where the row
    /// is there: the one thing that the dialects say differently.
    pub(super) fn new(upsert_sale: &str) -> Self {
        Self {
            products: Insert::new("products (sku, partition_id, name, price, supplied, held, sold, created_at)", 8, ""),
            stock: Update::new(
                "products",
                "",
                &[("supplied", "supplied + "), ("held", "held + "), ("sold", "sold + ")],
                "sku",
                "",
            ),
            adjustments: Insert::new("stock_adjustments (partition_id, lsn, sku, delta, reason, adjusted_at)", 6, ""),
            sales: Insert::new(
                "sales (sku, number, opens_at, closes_at, price, per_customer_limit, changed_at, deleted_at)",
                8,
                upsert_sale,
            ),
            orders: Insert::new(
                "orders (id, partition_id, customer_id, status, total, placed_at, expires_at, ended_at, lsn)",
                9,
                "",
            ),
            lines: Insert::new("order_lines (order_id, sku, quantity, unit_price, sale_number)", 5, ""),
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
                " AND status = 'held'",
            ),
            refused_orders: ByKeys::new("DELETE FROM orders WHERE id", " AND status = 'opening'"),
            refused_lines: ByKeys::new("DELETE FROM order_lines WHERE order_id", ""),
            part_lines: Insert::new(
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
            timeline: Insert::new("timeline (order_id, partition_id, lsn, at, event, detail)", 6, ""),
            lines_of: ByKeys::new(
                "SELECT order_id, sku, quantity, unit_price, sale_number FROM order_lines WHERE order_id",
                " ORDER BY order_id, sku",
            ),
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
