//! The SQL about paying, as [`super::statements`] has the rest.
//!
//! What changes one of an order's attempts or refunds is keyed by the order; its last value is
//! the number, so that a statement is about the first attempts of many orders, or the second.

use super::statements::{ByKeys, Insert, Sizes, Update};

/// Everything about paying that a batch or a read can need.
#[derive(Debug)]
pub(super) struct PaymentStatements {
    pub superseded: Update,
    pub closed: Update,
    pub attempts: Insert,
    pub begun: Update,
    pub moved: Update,
    pub captured: Update,
    pub refunded: Update,
    pub refunds: Insert,
    pub sized: Update,
    pub ended: Update,
    pub refund_lines: Insert,
    pub told: Insert,
    pub attempts_of: ByKeys,
    pub refunds_of: ByKeys,
    pub refund_lines_of: ByKeys,
}

const LIVE: &str = " AND status IN ('preparing', 'ready', 'approving')";

macro_rules! attempts {
    ($rest:literal) => {
        concat!(
            "SELECT order_id, attempt, method, status, amount, gateway_ref, started_at, expires_at, captured_amount, \
             captured_at, receipt, means, refunded_amount FROM payments ",
            $rest
        )
    };
}

macro_rules! refunds {
    ($rest:literal) => {
        concat!(
            "SELECT order_id, refund, attempt, amount, status, reason, restock, asked, requested_at, receipt \
             FROM refunds ",
            $rest
        )
    };
}

macro_rules! refund_lines {
    ($rest:literal) => {
        concat!("SELECT order_id, refund, sku, quantity FROM refund_lines ", $rest)
    };
}

pub(super) const ATTEMPTS_AUDIT: &str = attempts!("WHERE order_id > ? AND order_id <= ? ORDER BY order_id, attempt");
pub(super) const REFUNDS_AUDIT: &str = refunds!("WHERE order_id > ? AND order_id <= ? ORDER BY order_id, refund");
pub(super) const REFUND_LINES_AUDIT: &str =
    refund_lines!("WHERE order_id > ? AND order_id <= ? ORDER BY order_id, refund, line");
pub(super) const REFERENCES: &str = attempts!(
    "WHERE order_id >= ? AND (order_id > ? OR attempt > ?) AND gateway_ref IS NOT NULL ORDER BY order_id, attempt LIMIT ?"
);

impl PaymentStatements {
    pub(super) fn new(rows: Sizes) -> Self {
        let change = |table, set, number| Update::new(table, "", set, "order_id", number);
        let (attempt, refund) = (" AND attempt = ?", " AND refund = ?");
        let ends: &[_] = &[("ended_at", ""), ("lsn", "")];
        Self {
            superseded: Update::new("payments", "status = 'superseded', ", ends, "order_id", LIVE),
            closed: Update::new(
                "payments",
                "status = CASE status WHEN 'approving' THEN 'given_up' ELSE 'order_ended' END, ",
                ends,
                "order_id",
                LIVE,
            ),
            attempts: Insert::new(
                rows,
                "payments (order_id, attempt, partition_id, method, status, amount, gateway_ref, started_at, \
                 expires_at, captured_amount, captured_at, receipt, means, refunded_amount, answer, ended_at, lsn)",
                17,
                "",
            ),
            begun: change("payments", &[("gateway_ref", ""), ("expires_at", "")], attempt),
            moved: change("payments", &[("status", ""), ("ended_at", ""), ("answer", ""), ("lsn", "")], attempt),
            captured: change(
                "payments",
                &[("captured_amount", ""), ("captured_at", ""), ("receipt", ""), ("means", "")],
                attempt,
            ),
            refunded: change("payments", &[("refunded_amount", "refunded_amount + "), ("lsn", "")], attempt),
            refunds: Insert::new(
                rows,
                "refunds (order_id, refund, partition_id, attempt, amount, status, reason, restock, asked, \
                 requested_at, done_at, receipt, lsn)",
                13,
                "",
            ),
            sized: change("refunds", &[("amount", ""), ("lsn", "")], refund),
            ended: change("refunds", &[("status", ""), ("done_at", ""), ("receipt", ""), ("lsn", "")], refund),
            refund_lines: Insert::new(rows, "refund_lines (order_id, refund, sku, line, quantity)", 5, ""),
            told: Insert::new(
                rows,
                "timeline (order_id, partition_id, lsn, at, event, detail, attempt, refund, actor, answer, next_at)",
                11,
                "",
            ),
            attempts_of: ByKeys::new(rows, attempts!("WHERE order_id"), " ORDER BY order_id, attempt"),
            refunds_of: ByKeys::new(rows, refunds!("WHERE order_id"), " ORDER BY order_id, refund"),
            refund_lines_of: ByKeys::new(rows, refund_lines!("WHERE order_id"), " ORDER BY order_id, refund, line"),
        }
    }
}
