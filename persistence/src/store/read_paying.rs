//! Reading how orders were paid: their attempts and refunds, and all references of a gateway.
//!
//! What the tables do not have, the addresses of payment pages, is never shown from here.

use super::link::Link;
use super::pay_statements::{ATTEMPTS_AUDIT, REFERENCES, REFUND_LINES_AUDIT, REFUNDS_AUDIT};
use super::read::{number, order_id, sku};
use super::statements::ByKeys;
use super::values::{Cells, Values};
use super::{PaymentCursor, PaymentReference, StoreError};
use compact_str::CompactString;
use son7shop_engine::payment::{Captured, GatewayRef, PaymentMethod};
use son7shop_engine::{
    AttemptStatus, AttemptView, LineRequest, Lines, OrderId, OrderView, PaymentView, RefundStatus, RefundView, Won,
};
use std::collections::HashMap;

/// Reads the payments of `orders`.
pub(super) async fn add<L: Link>(link: &mut L, orders: &mut [OrderView]) -> Result<(), StoreError> {
    let sql = &L::statements().payments;
    let attempts = rows_of(link, &sql.attempts_of, orders.iter().map(|order| order.id)).await?;
    if attempts.is_empty() {
        return Ok(());
    }
    let mut payments = Payments::default();
    payments.attempts(&attempts)?;
    let paid: Vec<OrderId> = payments.of.keys().copied().collect();
    let refunds = rows_of(link, &sql.refunds_of, paid.into_iter()).await?;
    payments.refunds(&refunds)?;
    if !refunds.is_empty() {
        let refunded: Vec<OrderId> = payments.refunded().collect();
        let lines = rows_of(link, &sql.refund_lines_of, refunded.into_iter()).await?;
        payments.lines(&lines)?;
    }
    payments.give_to(orders)
}

/// Reads the payments of `orders`, which are all that there are above the id `after`, up to the last of them.
pub(super) async fn add_between<L: Link>(
    link: &mut L,
    orders: &mut [OrderView],
    after: &str,
    last: &str,
) -> Result<(), StoreError> {
    let mut payments = Payments::default();
    payments.attempts(&between(link, ATTEMPTS_AUDIT, after, last).await?)?;
    payments.refunds(&between(link, REFUNDS_AUDIT, after, last).await?)?;
    payments.lines(&between(link, REFUND_LINES_AUDIT, after, last).await?)?;
    payments.give_to(orders)
}

async fn between<L: Link>(link: &mut L, sql: &'static str, after: &str, last: &str) -> Result<Vec<L::Row>, StoreError> {
    let mut values = L::Values::with_capacity(2);
    values.text(after);
    values.text(last);
    link.read(sql, values).await
}

/// The rows of `orders`. A list is filled up to a size that there is a statement for, with its
/// last id: naming an order twice finds its rows once.
async fn rows_of<L: Link>(
    link: &mut L,
    sql: &'static ByKeys,
    orders: impl ExactSizeIterator<Item = OrderId>,
) -> Result<Vec<L::Row>, StoreError> {
    let sizes = L::statements().rows;
    let orders: Vec<OrderId> = orders.collect();
    let mut found = Vec::new();
    for orders in orders.chunks(sizes[0]) {
        let Some(last) = orders.last() else { continue };
        // The first size holds any chunk.
        let size = sizes.iter().rposition(|&size| size >= orders.len()).unwrap_or(0);
        let mut values = L::Values::with_capacity(sizes[size]);
        for order in orders.iter().chain(std::iter::repeat(last)).take(sizes[size]) {
            values.order(*order);
        }
        found.extend(link.read(&sql.sql[size], values).await?);
    }
    Ok(found)
}

/// What was read, by order.
#[derive(Default)]
struct Payments {
    of: HashMap<OrderId, PaymentView>,
}

impl Payments {
    fn at(&mut self, order: OrderId) -> &mut PaymentView {
        self.of.entry(order).or_insert_with(|| PaymentView { attempts: Vec::new(), refunds: Vec::new() })
    }

    fn refunded(&self) -> impl Iterator<Item = OrderId> {
        self.of.iter().filter(|(_, payment)| !payment.refunds.is_empty()).map(|(order, _)| *order)
    }

    fn attempts<C: Cells>(&mut self, rows: &[C]) -> Result<(), StoreError> {
        for row in rows {
            let (order, attempt) = attempt_row(row)?;
            self.at(order).attempts.push(attempt);
        }
        Ok(())
    }

    fn refunds<C: Cells>(&mut self, rows: &[C]) -> Result<(), StoreError> {
        for row in rows {
            let (order, refund) = refund_row(row)?;
            self.at(order).refunds.push(refund);
        }
        Ok(())
    }

    fn lines<C: Cells>(&mut self, rows: &[C]) -> Result<(), StoreError> {
        let table = "refund_lines";
        for row in rows {
            let (order, refund): (_, u32) = (order_id(row, table)?, number(row, 1, table)?);
            let line = LineRequest { sku: sku(row, 2, table)?, quantity: number(row, 3, table)? };
            let refunds = self.of.get_mut(&order).map(|payment| payment.refunds.as_mut_slice()).unwrap_or_default();
            let found = refunds.iter_mut().find(|known| known.number == refund);
            let what = || format!("'{order}' has lines of a refund {refund}, but no such refund");
            found.ok_or_else(|| StoreError::BadRow { table, what: what() })?.lines.push(line);
        }
        Ok(())
    }

    fn give_to(mut self, orders: &mut [OrderView]) -> Result<(), StoreError> {
        for order in orders {
            order.payment = self.of.remove(&order.id).map(Box::new);
        }
        match self.of.keys().next() {
            None => Ok(()),
            Some(id) => Err(StoreError::BadRow { table: "payments", what: format!("'{id}' is paid but no order") }),
        }
    }
}

fn attempt_row<C: Cells>(row: &C) -> Result<(OrderId, AttemptView), StoreError> {
    let table = "payments";
    let order = order_id(row, table)?;
    let bad = |what: String| StoreError::BadRow { table, what: format!("{what} of {order}") };
    let (method, status) = (row.text(2)?, row.text(3)?);
    let reference = row
        .maybe_text(5)?
        .map(|text| GatewayRef::parse(text).map_err(|error| bad(format!("gateway_ref '{text}' {error}"))));
    let captured = match (row.maybe_int(8)?, row.maybe_time(9)?) {
        (Some(amount), Some(at)) => {
            let [receipt, means] = [text(row, 10)?, text(row, 11)?];
            Some(Box::new(Captured { amount: Won(amount), receipt, means, at }))
        }
        (None, None) => None,
        _ => return Err(bad("half a capture".to_owned())),
    };
    let attempt = AttemptView {
        number: number(row, 1, table)?,
        method: PaymentMethod::parse(method).ok_or_else(|| bad(format!("method '{method}'")))?,
        status: AttemptStatus::parse(status).ok_or_else(|| bad(format!("status '{status}'")))?,
        amount: Won(row.int(4)?),
        started_at: row.time(6)?,
        expires_at: row.maybe_time(7)?,
        pages: None,
        reference: reference.transpose()?,
        captured,
        refunded: Won(row.int(12)?),
    };
    Ok((order, attempt))
}

fn refund_row<C: Cells>(row: &C) -> Result<(OrderId, RefundView), StoreError> {
    let table = "refunds";
    let order = order_id(row, table)?;
    let status = row.text(4)?;
    let bad = || StoreError::BadRow { table, what: format!("status '{status}' of {order}") };
    let refund = RefundView {
        number: number(row, 1, table)?,
        attempt: number(row, 2, table)?,
        amount: row.maybe_int(3)?.map(Won),
        lines: Lines::new(),
        restock: row.int(6)? != 0,
        reason: row.text(5)?.into(),
        asked: row.int(7)? != 0,
        requested_at: row.time(8)?,
        status: RefundStatus::parse(status).ok_or_else(bad)?,
        receipt: text(row, 9)?,
    };
    Ok((order, refund))
}

/// A text; empty for null.
fn text<C: Cells>(row: &C, column: usize) -> Result<CompactString, StoreError> {
    Ok(row.maybe_text(column)?.unwrap_or_default().into())
}

pub(super) async fn references<L: Link>(
    link: &mut L,
    after: Option<PaymentCursor>,
    limit: u32,
) -> Result<Vec<PaymentReference>, StoreError> {
    let PaymentCursor { order, attempt } =
        after.unwrap_or(PaymentCursor { order: OrderId::from_bytes([0; 16]), attempt: 0 });
    let mut values = L::Values::with_capacity(4);
    values.order(order);
    values.order(order);
    values.int(attempt.into());
    values.int(limit.into());
    let rows = link.read(REFERENCES, values).await?;
    rows.iter().map(reference_row).collect()
}

fn reference_row<C: Cells>(row: &C) -> Result<PaymentReference, StoreError> {
    let (order, attempt) = attempt_row(row)?;
    let missing = || StoreError::BadRow { table: "payments", what: format!("no gateway_ref of {order}") };
    Ok(PaymentReference {
        order,
        attempt: attempt.number,
        method: attempt.method,
        reference: attempt.reference.ok_or_else(missing)?,
        amount: attempt.amount,
        status: attempt.status,
        captured: attempt.captured.map(|captured| captured.amount),
        refunded: attempt.refunded,
    })
}
